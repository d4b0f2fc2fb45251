#!/usr/bin/env python3
"""Train with a Keras callback of your own: here one that ends the run when it gains no more.

python -m examples.handing_in.own_callback STYLE --content FOLDER [options of train.py]
"""

import keras

import fst
from fst import errors
from fst.console import cli


class StopWhenStill(keras.callbacks.Callback):
    """Stops when the mean loss of so many steps is no lower than that of as many before them."""

    def __init__(self, window=200, gain=0.01):
        super().__init__()
        self.window, self.gain, self.losses = window, gain, []

    def on_train_batch_end(self, batch, logs=None):
        self.losses.append(logs["loss"])
        if len(self.losses) % self.window or len(self.losses) < 2 * self.window:
            return
        before, now = (
            sum(part) / self.window
            for part in (self.losses[-2 * self.window : -self.window], self.losses[-self.window :])
        )
        if now > (1 - self.gain) * before:
            print(f"no gain between the steps {batch + 1 - self.window} and {batch + 1}: it ends")
            self.model.stop_training = True


def main():
    config = cli.parse(fst.TrainingConfig, "own_callback.py")
    trained = fst.train(config, callbacks=[StopWhenStill()])
    print(f"the style is in {trained.folder}")
    return 0


if __name__ == "__main__":
    errors.run(main)
