#!/usr/bin/env python3
"""Train a network of your own: here a plain one without residual blocks, small and fast.

python -m examples.handing_in.own_network STYLE --content FOLDER --width 16 [options of train.py]

Its folder then holds network.keras and a SavedModel, which takes photos of any size.
"""

import keras
from keras import layers

import fst
from fst import errors
from fst.console import cli


def plain_network(width):
    """A `keras.Model` from photos `[B, H, W, 3]`, 0-255, of any size to pictures of the same."""
    photo = keras.Input((None, None, 3), name="image")
    x = layers.Rescaling(1 / 127.5, -1.0, name="to_unit")(photo)
    for number, rate in enumerate((1, 2, 4, 8)):  # Ever wider strides of the eye, at full size.
        x = layers.Conv2D(width, 3, padding="same", dilation_rate=rate, name=f"conv{number}")(x)
        x = layers.GroupNormalization(groups=-1, name=f"norm{number}")(x)
        x = layers.Activation("relu", name=f"relu{number}")(x)
    x = layers.Conv2D(3, 5, padding="same", activation="sigmoid", dtype="float32", name="rgb")(x)
    return keras.Model(photo, layers.Rescaling(255.0, dtype="float32", name="pixels")(x))


def main():
    config = cli.parse(fst.TrainingConfig, "own_network.py")
    trained = fst.train(config, network=plain_network(config.width))
    network = keras.saving.load_model(trained.folder / "network.keras")
    print(f"{network.count_params():,} parameters, in {trained.folder}")
    return 0


if __name__ == "__main__":
    errors.run(main)
