#!/usr/bin/env python3
"""What it gains to compute parts of a training step otherwise than as they are written.

    python benchmarks/parts.py

The network's convolutions (`fst.models.convolution`, in float32 alone) and normalisations, and the
loss's Gram matrices, as for a photo of 224 px, with their gradients: as they are written and as
training computes them, in turn. Prints the milliseconds, medians, and their ratio.
"""

import argparse
import os
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from fst.console import heap
from fst.models import convolution
from fst.models.architecture import STRIDE, layers
from fst.models.normalization import GroupNormalization
from fst.models.perceptual import gram_matrix
from fst.models.precision import dtype_policy, resolve

SIDE = 224  # px of the photo
VGG19 = ((64, 1), (128, 2), (256, 4), (512, 8))
"""Channels of the style layers, and how many times smaller than the photo they are."""


def of_convolutions(precision):
    """The three that are rearranged: pairs of ways, and what both take."""
    if precision != "float32":
        return
    for layer in layers()[-3:]:
        size = SIDE + layer.kernel - 1 if not layer.enlarge else SIDE // _shrink(layer)
        inputs = [random(size, layer.inputs), tf.random.normal(layer.shape)]
        if layer.enlarge:
            yield convolution.enlarged_plainly, convolution.enlarged, inputs
        else:
            yield ops.conv, convolution.by_rows, inputs


def _shrink(layer):
    return STRIDE if layer.name == "up1" else STRIDE // 2


def maps():
    """Height and channels of the maps that are normalised, one after the other."""
    side = SIDE
    for layer in layers()[:-1]:
        side = side * 2 if layer.enlarge else side // layer.stride
        yield side, layer


def of_normalisations(precision):
    for side, layer in maps():
        with dtype_policy(precision):
            norm = GroupNormalization()
        x = random(side, layer.outputs, norm.compute_dtype)
        norm.build(x.shape)
        yield norm, lambda x, norm=norm: norm(x, training=True), [x]


def of_gram_matrices(precision):
    for channels, smaller in VGG19:
        x = random(SIDE // smaller, channels, precision.removeprefix("mixed_"))
        yield plain_gram_matrix, gram_matrix, [x]


def plain_gram_matrix(features):
    """As Gatys et al. write it, in float32."""
    _, height, width, channels = features.shape
    flat = ops.reshape(ops.cast(features, "float32"), (-1, height * width, channels))
    return ops.matmul(ops.transpose(flat, (0, 2, 1)), flat) / float(height * width)


PARTS = {
    "convolutions": of_convolutions,
    "normalisations": of_normalisations,
    "Gram matrices": of_gram_matrices,
}


def random(side, channels, dtype="float32"):
    return tf.cast(tf.random.normal([1, side, side, channels]), dtype)


def with_gradients(compute, inputs):
    """A function that computes this and the gradients to all that it takes once."""

    def once():
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            value = tf.nn.l2_loss(compute(*inputs))
        return tape.gradient(value, inputs)

    return tf.function(once, autograph=False)


def seconds(function):
    begun = time.perf_counter()
    for gradient in function():
        gradient.numpy()
    return time.perf_counter() - begun


def medians(of_part, precision, repeats):
    """The milliseconds of a part as it is written and as training computes it."""
    sums = np.zeros(2)
    for *ways, inputs in of_part(precision):
        compiled = [with_gradients(way, inputs) for way in ways]
        rows = [[seconds(way) for way in compiled] for _ in range(repeats + 1)][1:]
        sums += [1000 * statistics.median(column) for column in zip(*rows, strict=True)]
    return sums


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--precision", default="auto", help="as for train.py")
    arguments = parser.parse_args()
    precision = resolve(arguments.precision)
    keras.utils.set_random_seed(1)
    heap.keep_freed()
    print(f"{precision}, {os.cpu_count()} cores")
    for name, of_part in PARTS.items():
        plain, ours = medians(of_part, precision, arguments.repeats)
        if ours:
            print(f"{name:14} {plain:6.1f} ms  ours {ours:6.1f} ms  ratio {plain / ours:.2f}")


if __name__ == "__main__":
    main()
