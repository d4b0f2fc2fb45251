#!/usr/bin/env python3
"""How good trained styles are: their content and style losses on photos that they never saw.

    python benchmarks/quality.py great_wave=great_wave.jpg udnie=udnie.jpg --photos a.jpg b.jpg

Each style is given with the style image that it was trained on. The losses are relative, in
float32: content at relu4_2, style layer by layer and as the mean of the layers, SSIM of photo and
picture in grey. Photos have a long side of 512 px, the style image of --style-size. Without
--photos the packaged sample photos are taken.
"""

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"

import numpy as np

import fst
from fst import errors, metrics
from fst.config import EMBEDDED
from fst.errors import UserError
from fst.media import images, samples
from fst.models.perceptual import STYLE_LAYERS, gram_matrix, load_vgg19


def measure(stylise, features, style, photos, layers):
    """Content, SSIM, and style by layer of every photo, `[N, 2 + layers]`."""
    targets = [np.asarray(gram_matrix(found)) for found in features(style[None], layers)]
    rows = []
    for photo in photos:
        painted = stylise(photo)
        wanted = np.asarray(features(photo[None], ("relu4_2",))[0])
        content, *found = features(painted[None], ("relu4_2", *layers))
        style_terms = [
            np.sum((np.asarray(gram_matrix(f)) - t) ** 2) / np.sum(t**2)
            for f, t in zip(found, targets, strict=True)
        ]
        relative = np.sum((np.asarray(content) - wanted) ** 2) / np.sum(wanted**2)
        rows.append([relative, metrics.ssim_luma(photo, painted), *style_terms])
    return np.array(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("styles", nargs="+", help="STYLE=STYLE_IMAGE, as infer.py calls the style")
    parser.add_argument("--photos", nargs="*", default=[], help="photos to measure on")
    parser.add_argument("--size", type=int, default=512, help="long side of the photos, in px")
    parser.add_argument("--style-size", type=int, default=512, help="of the style image, in px")
    parser.add_argument("--style-layers", nargs="+", default=STYLE_LAYERS)
    parser.add_argument("--vgg-weights", default=EMBEDDED, help="as for train.py")
    parser.add_argument("--checkpoints", default="checkpoints")
    arguments = parser.parse_args()
    if arguments.photos:
        photos = [images.load_rgb(name, arguments.size) for name in arguments.photos]
    else:
        photos = list(samples.load(arguments.size).values())
    features = load_vgg19(arguments.vgg_weights)
    layers = tuple(arguments.style_layers)
    print(f"{'style':22}content   ssim  style   " + "  ".join(layers))
    for given in arguments.styles:
        name, _, picture = given.rpartition("=")
        if not name:
            raise UserError(f"'{given}': give a style and its image, as in udnie=udnie.jpg")
        stylise = fst.load(name, arguments.checkpoints, engine="auto")
        style = images.load_rgb(picture, arguments.style_size)
        content, ssim, *terms = measure(stylise, features, style, photos, layers).mean(axis=0)
        by_layer = "  ".join(f"{term:7.4f}" for term in terms)
        print(f"{name:22}{content:7.3f}{ssim:7.3f}{np.mean(terms):7.4f}   {by_layer}", flush=True)
    return 0


if __name__ == "__main__":
    errors.run(main)
