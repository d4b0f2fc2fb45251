#!/usr/bin/env python3
"""What it gains to compute parts of a training step otherwise than as they are written.

    python benchmarks/parts.py --precision float32 --size 192

The network's convolutions (`fst.models.convolution`, in float32 alone) and normalisations, and the
loss's Gram matrices, as for a photo of so many px, with their gradients: as they are written and as
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
from fst.models.architecture import layers
from fst.models.normalization import GroupNormalization
from fst.models.perceptual import gram_matrix
from fst.models.precision import dtype_policy, resolve

VGG19 = ((64, 1), (128, 2), (256, 4), (512, 8))
"""Channels of the style layers, and how many times smaller than the photo they are."""


def of_convolutions(photo, precision):
    """The three that are rearranged: pairs of ways, what both take, and its gradients."""
    if precision != "float32":
        return
    for side, layer in list(maps(photo))[-3:]:
        size = side // 2 if layer.enlarge else side + layer.kernel - 1
        inputs = [random(size, layer.inputs), tf.random.normal(layer.shape)]
        ways = (ops.conv, convolution.by_rows)
        if layer.enlarge:
            ways = (convolution.enlarged_plainly, convolution.enlarged)
        yield *ways, inputs, inputs


def maps(side):
    """The sides of the maps that the layers give, one after the other, and the layers."""
    for layer in layers():
        side = side * 2 if layer.enlarge else side // layer.stride
        yield side, layer


def of_normalisations(photo, precision):
    for side, layer in maps(photo):
        if not layer.normalise:
            continue
        with dtype_policy(precision):
            norm = GroupNormalization()
        x = random(side, layer.outputs, norm.compute_dtype)
        norm.build(x.shape)
        sources = [x, *(variable.value for variable in norm.trainable_variables)]
        yield norm, lambda x, norm=norm: norm(x, training=True), [x], sources


def of_gram_matrices(photo, precision):
    for channels, smaller in VGG19:
        x = random(photo // smaller, channels, precision.removeprefix("mixed_"))
        yield plain_gram_matrix, gram_matrix, [x], [x]


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


def with_gradients(compute, inputs, sources):
    """A function that computes this and its gradients to the sources once."""

    def once():
        with tf.GradientTape() as tape:
            tape.watch(sources)
            value = tf.nn.l2_loss(compute(*inputs))
        return tape.gradient(value, sources)

    return tf.function(once, autograph=False)


def seconds(function):
    begun = time.perf_counter()
    for gradient in function():
        gradient.numpy()
    return time.perf_counter() - begun


def medians(of_part, photo, precision, repeats):
    """The milliseconds of a part as it is written and as training computes it."""
    sums = np.zeros(2)
    for *ways, inputs, sources in of_part(photo, precision):
        compiled = [with_gradients(way, inputs, sources) for way in ways]
        rows = [[seconds(way) for way in compiled] for _ in range(repeats + 1)][1:]
        sums += [1000 * statistics.median(column) for column in zip(*rows, strict=True)]
    return sums


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=224, help="side of the photo in px")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--precision", default="auto", help="as for train.py")
    arguments = parser.parse_args()
    precision = resolve(arguments.precision)
    keras.utils.set_random_seed(1)
    heap.keep_freed()
    print(f"{precision}, {arguments.size} px, {os.cpu_count()} cores")
    for name, of_part in PARTS.items():
        plain, ours = medians(of_part, arguments.size, precision, arguments.repeats)
        if ours:
            print(f"{name:14} {plain:6.1f} ms  ours {ours:6.1f} ms  ratio {plain / ours:.2f}")


if __name__ == "__main__":
    main()
