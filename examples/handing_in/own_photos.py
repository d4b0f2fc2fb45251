#!/usr/bin/env python3
"""Train on a data set of your own: here the bright photos of a folder, by tf.data.

python -m examples.handing_in.own_photos STYLE --content FOLDER [options of train.py]
"""

import os

import keras
import tensorflow as tf

import fst
from fst import errors
from fst.console import cli


def bright_photos(folder, side=512):
    """The photos whose mean is above 90, each float32 `[side, side, 3]`, 0-255."""
    photos = keras.utils.image_dataset_from_directory(
        folder,
        label_mode=None,
        batch_size=None,
        image_size=(side, side),
        crop_to_aspect_ratio=True,
        seed=1,
        verbose=False,
    )
    return photos.filter(lambda photo: tf.reduce_mean(photo) > 90.0)


def main():
    config = cli.parse(fst.TrainingConfig, "own_photos.py")
    if not os.path.isdir(config.content):
        raise errors.UserError(f"‹content› '{config.content}': give a folder of photos")
    trained = fst.train(config, photos=bright_photos(config.content))
    print(f"the style is in {trained.folder}")
    return 0


if __name__ == "__main__":
    errors.run(main)
