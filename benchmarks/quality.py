#!/usr/bin/env python3
"""How good a trained style is: its content and style losses on photos that it never saw.

    python benchmarks/quality.py great_wave --style great_wave.jpg --photos a.jpg b.jpg

The losses are those of training, relative, in float32, in the layers that training uses by default
(--style-layers names others). Photos and style image have a long side of 512 px. Without --photos
the packaged sample photos are taken.
"""

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"

import numpy as np

import fst
from fst import errors, images, samples
from fst.perceptual import STYLE_LAYERS, PerceptualLoss, load_vgg19


def measure(stylise, loss, photos):
    """Content and style of every photo, `[N, 2]`."""
    rows = []
    for photo in photos:
        content = loss.content_features(photo[None])
        terms = loss(stylise(photo)[None], content)
        rows.append((float(terms.content), float(terms.style)))
    return np.array(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", help="trained style: a name or a folder")
    parser.add_argument("--style", required=True, help="the style image it was trained on")
    parser.add_argument("--photos", nargs="*", default=[], help="photos to measure on")
    parser.add_argument("--size", type=int, default=512, help="long side of all pictures, in px")
    parser.add_argument("--style-layers", nargs="+", default=STYLE_LAYERS, help="as for train.py")
    parser.add_argument("--vgg-weights", help="as for train.py")
    arguments = parser.parse_args()
    if arguments.photos:
        photos = {name: images.load_rgb(name, arguments.size) for name in arguments.photos}
    else:
        photos = samples.load(arguments.size)
    style = images.load_rgb(arguments.style, arguments.size)
    features = load_vgg19(arguments.vgg_weights)
    loss = PerceptualLoss(features, [style], style_layers=arguments.style_layers)
    losses = measure(fst.load(arguments.name), loss, photos.values())
    print(f"{'photo':32}content  style")
    for name, (content, style) in zip(photos, losses, strict=True):
        print(f"{Path(name).name:32}{content:7.3f}  {style:5.3f}")
    content, style = losses.mean(axis=0)
    print(f"{'mean':32}{content:7.3f}  {style:5.3f}")
    return 0


if __name__ == "__main__":
    errors.run(main)
