"""What several benchmarks share: the machine's own rate, and the arithmetic of a network."""

import platform
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf


def matrix_rate(dtype, repeats=6):
    """The best rate of a large square matrix product, in GFLOP/s."""
    side = 8192 if tf.config.list_physical_devices("GPU") else 3072
    matrix = tf.cast(tf.random.normal((side, side)), dtype)
    # The sum makes the call return only when the product is there.
    product = tf.function(lambda a: tf.reduce_sum(tf.cast(tf.matmul(a, a), "float32")))
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        float(product(matrix))
        seconds.append(time.perf_counter() - started)
    return 2 * side**3 / min(seconds) / 1e9


def convolutions(model, size):
    """Multiply-adds, times two, of every convolution of `model` for one picture, first to last."""
    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    probe = keras.Model(model.input, [layer.output for layer in layers])
    outputs = probe.compute_output_spec(keras.KerasTensor((1, size, size, 3)))
    return {
        layer.name: 2 * int(np.prod(output.shape)) * int(np.prod(layer.kernel.shape[:3]))
        for layer, output in zip(layers, outputs, strict=True)
    }


def cpu_model():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
