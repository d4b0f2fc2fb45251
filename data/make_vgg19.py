#!/usr/bin/env python3
"""Makes the VGG19 that comes with the package: cut at conv4_2, with kernels of 8 bits.

    python data/make_vgg19.py vgg19_notop.h5
    python data/make_vgg19.py vgg19_notop.h5 --measure --photos photos/*.jpg

Reads Keras's weights file, writes `fst/models/weights/vgg19_relu4_2.npz` and prints how far its
features are from those of the weights in float32; with --measure it only prints, and how far the
loss of stylised photos is as well.

Each output channel has one scale, the one that leaves the least squared error of its weights.
Rounding then goes through a channel's weights one by one. Each error is compensated, as far as
possible, by the weights that are still to be rounded, in proportion to how the inputs of the layer
correlate (Frantar et al., "GPTQ", 2022). The inputs are those that the sample photos and our own
style pictures have in the layers before, already rounded.
"""

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"

import keras
import numpy as np
from keras import ops

import fst
from fst import errors, files
from fst.loss_options import EMBEDDED_END
from fst.media import images, samples
from fst.models import vgg19
from fst.models.perceptual import PerceptualLoss, Vgg19Features

ABOUT = (
    "VGG19, the layers down to conv4_2, with kernels rounded to 8 bits: a modification of the "
    "ImageNet weights by Karen Simonyan and Andrew Zisserman, Visual Geometry Group, University of "
    "Oxford, licensed CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/), in the form that "
    "Keras distributes"
)
ROOT = Path(__file__).resolve().parent.parent
LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu4_2")
STYLES = ("flow_strokes", "stained_glass")  # Of the gallery, those whose picture is in data/styles.

_SIZE = 384  # px: long side of all pictures that are looked at
_DAMPING = 0.01  # of the mean energy of the inputs, for the directions that the pictures lack
_BLOCK = 128  # weights that are rounded before all the later ones are corrected at once


def best_scale(kernel):
    """The scale of each output channel that leaves the least squared error when rounded to it.

    Args:
        kernel: float32 `[3, 3, in, out]`.

    Returns:
        float32 `[out]`.
    """
    flat = kernel.reshape(-1, kernel.shape[-1]).astype(np.float64)
    largest = np.maximum(np.abs(flat).max(axis=0), 1e-30) / vgg19.TOP
    best, least = largest.copy(), np.full(len(largest), np.inf)
    for share in np.linspace(0.3, 1.0, 71):  # Below 1 the largest weights are clipped.
        levels = _nearest(flat, share * largest)
        scale = (levels * flat).sum(axis=0) / np.maximum((levels**2).sum(axis=0), 1)
        scale = np.where(scale > 0, scale, share * largest)
        error = ((_nearest(flat, scale) * scale - flat) ** 2).sum(axis=0)
        best, least = np.where(error < least, scale, best), np.minimum(error, least)
    return best.astype(np.float32)


def _nearest(weights, scale):
    return np.clip(np.rint(weights / scale), -vgg19.TOP, vgg19.TOP)


def quantise(kernel, scale, energy):
    """Rounds a kernel to levels, so that the outputs of the layer change as little as may be.

    Args:
        kernel: float32 `[3, 3, in, out]`.
        scale: float32 `[out]`.
        energy: float `[3*3*in, 3*3*in]`, the mean of `xxᵀ` over the layer's inputs, or None to
            round each weight by itself.

    Returns:
        int8 `[3, 3, in, out]`.
    """
    flat = kernel.reshape(-1, kernel.shape[-1]).astype(np.float32)
    if energy is None:
        return _nearest(flat, scale).astype(np.int8).reshape(kernel.shape)
    # The strongest inputs first: most weights are then left to compensate their errors.
    order = np.argsort(-np.diag(energy))
    pull, rest = _pull(energy[np.ix_(order, order)]), flat[order]
    levels = np.empty_like(rest)
    for start in range(0, len(rest), _BLOCK):
        block = range(start, min(start + _BLOCK, len(rest)))
        misses = np.empty((len(block), rest.shape[1]), np.float32)
        for at, row in enumerate(block):
            levels[row] = _nearest(rest[row], scale)
            misses[at] = (rest[row] - levels[row] * scale) / pull[row, row]
            rest[row : block.stop] -= np.outer(pull[row, row : block.stop], misses[at])
        rest[block.stop :] -= pull[start : block.stop, block.stop :].T @ misses
    return levels[np.argsort(order)].astype(np.int8).reshape(kernel.shape)


def _pull(energy):
    """How the later weights compensate each: the upper Cholesky factor of the inverse."""
    damped = energy.astype(np.float64) + _DAMPING * np.mean(np.diag(energy)) * np.eye(len(energy))
    return np.linalg.cholesky(np.linalg.inv(damped)).T.astype(np.float32)


def make(weights, pictures):
    """Rounds the layers one after the other, each for inputs from those that are rounded.

    Args:
        weights: Keras's file.
        pictures: a list of float32 `[H, W, 3]`, 0-255.

    Returns:
        A dictionary for `fst.models.vgg19.write_quantised`.
    """
    network = vgg19.load_network(weights)
    made = {}
    for name in vgg19.NAMES[: vgg19.NAMES.index(vgg19.keras_layer_name(EMBEDDED_END)) + 1]:
        layer = network.get_layer(name)
        kernel, bias = layer.get_weights()
        scale = best_scale(kernel)
        before = keras.Model(network.input, layer.input)
        levels = quantise(kernel, scale, _input_energy(before, pictures))
        layer.set_weights([vgg19.dequantise(levels, scale), bias])
        made[name] = levels, scale, bias
        print(f"{name}: rounded", flush=True)
    return made


def _input_energy(before, pictures):
    energy, count = 0.0, 0
    for picture in pictures:
        for turned in (picture, picture[:, ::-1]):
            pixels = keras.applications.vgg19.preprocess_input(turned[None].copy())
            patches = ops.image.extract_patches(before(pixels), 3, strides=1, padding="same")
            flat = ops.reshape(patches, (-1, patches.shape[-1]))
            energy = energy + ops.convert_to_numpy(ops.matmul(ops.transpose(flat), flat))
            count += flat.shape[0]
    return energy / count


# --- Measuring -----------------------------------------------------------------------------------


def feature_errors(exact, rounded, photos):
    """The relative error of each of `LAYERS`, `‖F8 − F‖² / ‖F‖²`: `[photos, layers]`."""
    rows = []
    for photo in photos:
        pairs = zip(exact(photo[None], LAYERS), rounded(photo[None], LAYERS), strict=True)
        rows.append([relative_error(f, g) for f, g in pairs])
    return np.array(rows)


def relative_error(exact, found):
    """`‖found − exact‖² / ‖exact‖²`, of two tensors of one shape."""
    return float(ops.sum((found - exact) ** 2) / ops.sum(exact**2))


def loss_terms(features, photos):
    """Content and style of the photos stylised in `STYLES`, `[styles, photos, 2]`."""
    found = []
    for name in STYLES:
        style = images.load_rgb(ROOT / "data" / "styles" / f"{name}.jpg", _SIZE)
        loss, stylise = PerceptualLoss(features, [style]), fst.load(name, ROOT / "checkpoints")
        rows = [loss(stylise(p)[None], loss.content_features(p[None])) for p in photos]
        found.append([(float(terms.content), float(terms.style)) for terms in rows])
    return np.array(found)


def report(exact, rounded, photos, losses):
    """Prints the errors of the features, and of the loss where asked for."""
    errors_found = feature_errors(exact, rounded, photos)
    print(f"\n‖F8 − F‖² / ‖F‖² over {len(photos)} photos at {_SIZE} px")
    print(f"{'layer':10}{'mean':>10}{'largest':>10}")
    for layer, column in zip(LAYERS, errors_found.T, strict=True):
        print(f"{layer:10}{column.mean():10.1e}{column.max():10.1e}")
    if losses:
        one, other = loss_terms(exact, photos), loss_terms(rounded, photos)
        change = np.abs(other / one - 1).reshape(-1, 2)
        print(f"\nchange of the loss of these photos stylised in {', '.join(STYLES)}")
        for term, column in zip(("content", "style"), change.T, strict=True):
            print(f"{term:10}{column.mean():10.3%}{column.max():10.3%}")


def read_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", help="VGG19's weights without top, as Keras stores them")
    parser.add_argument("--output", type=Path, default=vgg19.EMBEDDED_PATH, help="file to write")
    parser.add_argument("--photos", nargs="*", default=[], help="photos to measure on")
    parser.add_argument("--measure", action="store_true", help="measure the file that is there")
    return parser.parse_args()


def main():
    arguments = read_arguments()
    shown = [photo.astype(np.float32) for photo in samples.load(_SIZE).values()]
    if not arguments.measure:
        ours = sorted((ROOT / "data" / "styles").glob("*.jpg"))
        made = make(arguments.weights, shown + [images.load_rgb(path, _SIZE) for path in ours])
        with files.atomic_path(arguments.output) as path, path.open("wb") as file:
            vgg19.write_quantised(file, made, ABOUT)
        print(f"{arguments.output}: {arguments.output.stat().st_size:,} bytes")
    exact, rounded = Vgg19Features(arguments.weights), Vgg19Features(str(arguments.output))
    photos = [images.load_rgb(name, _SIZE) for name in arguments.photos] or shown
    report(exact, rounded, photos, losses=arguments.measure)
    return 0


if __name__ == "__main__":
    errors.run(main)
