#!/usr/bin/env python3
"""Train with an optimizer of your own: here Lion, whose rate halves every thousand steps.

python examples/handing_in/own_optimizer.py STYLE --content FOLDER [options of train.py]
"""

import sys

import keras

import fst
from fst.console import cli


def main():
    config = cli.parse(fst.TrainingConfig, "own_optimizer.py")
    # Lion steps by the sign of what it has seen: its rate is a third of Adam's or less.
    rate = keras.optimizers.schedules.ExponentialDecay(config.learning_rate / 3, 1000, 0.5)
    trained = fst.train(config, optimizer=keras.optimizers.Lion(rate))
    print(f"the style is in {trained.folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
