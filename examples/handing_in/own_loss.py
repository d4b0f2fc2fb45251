#!/usr/bin/env python3
"""Train by a loss of your own: here the perceptual loss and a term that keeps the photo's colours.

python -m examples.handing_in.own_loss STYLE --content FOLDER [options of train.py]
"""

from keras import ops

import fst
from fst import errors
from fst.console import cli
from fst.models.perceptual import PerceptualLoss
from fst.models.precision import resolve
from fst.training.loop import build_loss
from fst.training.style_images import open_styles

WEIGHT = 20.0
PATCH = 16  # px; of what is larger the colour is to stay


class ColourKeepingLoss(PerceptualLoss):
    """The perceptual loss and, in its total, how far the colours of patches are apart."""

    def content_features(self, content_images):
        return [*super().content_features(content_images), content_images]

    def of_each(self, stylised, content_features, shares=None):
        *features, photos = content_features
        terms = super().of_each(stylised, features, shares)
        apart = (_patches(stylised) - _patches(photos)) / 127.5
        term = ops.mean(ops.square(apart), axis=(1, 2, 3))
        return terms._replace(total=terms.total + WEIGHT * term)


def _patches(image):
    return ops.average_pool(image, PATCH, strides=PATCH, padding="same")


def main():
    config = cli.parse(fst.TrainingConfig, "own_loss.py")
    pictures = [style.image for style in open_styles(config)]
    loss = build_loss(config, pictures, resolve(config.precision), ColourKeepingLoss)
    trained = fst.train(config, loss=loss)
    print(f"the style is in {trained.folder}")
    return 0


if __name__ == "__main__":
    errors.run(main)
