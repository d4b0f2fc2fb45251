#!/usr/bin/env python3
"""What the companion optimiser's L-BFGS costs beyond the loss and its gradient.

    python benchmarks/gatys.py --size 512 --evaluations 20 --json gatys.json

Prints the conditions; the seconds of one bare call of the loss and its gradient, the function that
`fst.gatys` compiles, with nothing around it; the seconds of one evaluation within `fst.gatys`, with
L-BFGS, its transfers and its book-keeping; their ratio; and the share of this machine's
matrix-product rate. Bare calls are timed before and after the optimiser, and medians are taken.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"

import keras
import numpy as np
import scipy
import tensorflow as tf
from machine import convolutions, cpu_model, matrix_rate

from fst.console import heap
from fst.gatys.optimizer import build_loss, optimize
from fst.gatys.options import GatysOptions
from fst.models.perceptual import keras_layer_name, load_vgg19
from fst.training.card import device_name

_WARM_UP = 3  # evaluations before the clock starts


def gflop(options, height, width):
    """Floating-point operations of the loss and its gradient for one picture, in units of 1e9."""
    vgg = keras.applications.VGG19(include_top=False, weights=None)
    layers = convolutions(vgg, max(height, width))
    order = list(layers)
    names = [keras_layer_name(n) for n in options.content_layers + options.style_layers]
    deepest = max(order.index(name) for name in names)
    area = height * width / max(height, width) ** 2
    passes = 2 * sum(layers[name] for name in order[: deepest + 1]) * area
    grams = 0
    for name in map(keras_layer_name, options.style_layers):
        kernel = vgg.get_layer(name).kernel.shape
        grams += 4 * layers[name] * area / (2 * np.prod(kernel)) * kernel[-1] ** 2
    return (passes + grams) / 1e9


def bare_call(options, features, photo, style):
    """The loss and its gradient as one compiled function; it returns when the result is there."""
    loss = build_loss(options, features, [style])
    wanted = loss.content_features(photo[None])

    @tf.function(autograph=False, input_signature=[tf.TensorSpec(photo.shape, tf.float32)])
    def evaluate(picture):
        with tf.GradientTape() as tape:
            tape.watch(picture)
            total = loss(picture[None], wanted).total
        return total, tape.gradient(total, picture)

    picture = tf.constant(photo)
    return lambda: evaluate(picture)[1].numpy()


def seconds_of(call, count):
    """Seconds of each of `count` calls."""
    seconds = []
    for _ in range(count):
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return seconds


def seconds_of_steps(options, features, photo, style, count):
    """Seconds of each evaluation of an optimisation."""
    options = GatysOptions(
        size=options.size, style_size=options.style_size, steps=count + _WARM_UP, scales=1
    )
    trace = optimize(photo, style, options, features=features).trace
    return np.diff([step.seconds for step in trace])[_WARM_UP - 1 :]


def read_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=512, help="long side of the picture, px")
    parser.add_argument("--evaluations", type=int, default=20, help="evaluations to measure")
    parser.add_argument("--vgg-weights", help="as for python -m fst.gatys")
    parser.add_argument("--json", type=Path, help="file to write the numbers to as well")
    return parser.parse_args()


def measure(arguments):
    """The numbers of one run, by name."""
    options = GatysOptions(size=arguments.size, style_size=arguments.size)
    random = np.random.default_rng(0)
    shape = (arguments.size * 3 // 4, arguments.size, 3)
    photo, style = (random.uniform(0, 255, shape).astype(np.float32) for _ in range(2))
    features = load_vgg19(arguments.vgg_weights)
    rate = matrix_rate("float32")
    call = bare_call(options, features, photo, style)
    seconds_of(call, _WARM_UP)
    bare = seconds_of(call, arguments.evaluations)
    steps = seconds_of_steps(options, features, photo, style, arguments.evaluations)
    bare += seconds_of(call, arguments.evaluations)
    work = gflop(options, *shape[:2])
    bare, step = float(np.median(bare)), float(np.median(steps))
    return {
        "cpu": cpu_model(),
        "device": device_name(),
        "versions": f"TensorFlow {tf.__version__}, SciPy {scipy.__version__}",
        "picture": f"{shape[1]}x{shape[0]} px, float32",
        "evaluations": arguments.evaluations,
        "bare_seconds": bare,
        "lbfgs_seconds": step,
        "lbfgs_over_bare": step / bare,
        "gflop": work,
        "matrix_gflop_per_s": rate,
        "bare_percent_of_matrix_rate": 100 * work / bare / rate,
        "lbfgs_percent_of_matrix_rate": 100 * work / step / rate,
    }


def main():
    heap.keep_freed()  # As the commands do.
    arguments = read_arguments()
    numbers = measure(arguments)
    for name, value in numbers.items():
        print(f"{name:32}{value:.4g}" if isinstance(value, float) else f"{name:32}{value}")
    if arguments.json:
        arguments.json.write_text(json.dumps(numbers, indent=2) + "\n")


if __name__ == "__main__":
    main()
