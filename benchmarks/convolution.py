#!/usr/bin/env python3
"""What it gains to rearrange three of the network's convolutions (`fst.models.convolution`).

    python benchmarks/convolution.py

Each layer that is rearranged, as for a photo of 192 px, with the gradients of its input and its
kernel: computed as it is written and as the network does it, in turn. Prints the milliseconds,
medians, and their ratio.
"""

import argparse
import os
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"

import tensorflow as tf
from keras import ops

from fst.console import heap
from fst.models import convolution
from fst.models.architecture import layers


def plain(x, kernel, enlarge):
    """The layer as it is written."""
    return convolution.enlarged_plainly(x, kernel) if enlarge else ops.conv(x, kernel)


def rearranged(x, kernel, enlarge):
    """The layer as the network computes it."""
    return convolution.enlarged(x, kernel) if enlarge else convolution.by_rows(x, kernel)


def with_gradients(compute, x, kernel, enlarge):
    """A function that computes the layer and its two gradients once."""

    def once():
        with tf.GradientTape() as tape:
            tape.watch([x, kernel])
            value = tf.nn.l2_loss(compute(x, kernel, enlarge))
        return tape.gradient(value, [x, kernel])

    return tf.function(once, autograph=False)


def seconds(function):
    begun = time.perf_counter()
    for gradient in function():
        gradient.numpy()
    return time.perf_counter() - begun


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=15)
    arguments = parser.parse_args()
    heap.keep_freed()
    sums = [0.0, 0.0]
    for layer, size in zip(layers()[-3:], (48, 96, 200), strict=True):
        x = tf.random.normal([1, size, size, layer.inputs])
        kernel = tf.random.normal(layer.shape)
        ways = [with_gradients(way, x, kernel, layer.enlarge) for way in (plain, rearranged)]
        rows = [[seconds(way) for way in ways] for _ in range(arguments.repeats + 1)][1:]
        medians = [1000 * statistics.median(column) for column in zip(*rows, strict=True)]
        sums = [total + median for total, median in zip(sums, medians, strict=True)]
        print(f"{layer.name:4} plain {medians[0]:6.1f} ms  rearranged {medians[1]:6.1f} ms")
    print(f"all  ratio {sums[0] / sums[1]:.2f}")


if __name__ == "__main__":
    main()
