#!/usr/bin/env python3
"""How fast a training step is, beside how fast this machine multiplies matrices.

    python benchmarks/training.py --content photos/ --steps 20 --json speed.json

Prints the conditions, the machine's own rate for one large matrix product, the speed of whole
training steps with their input, and the share of the machine's rate that they reach. The arithmetic
is counted from the layers' shapes, and only what the method needs: work that an implementation does
beyond it does not count in its favour.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"

import keras
import numpy as np
import tensorflow as tf
from machine import convolutions, cpu_model, matrix_rate
from PIL import Image

from fst.config import TrainingConfig
from fst.console import heap
from fst.loss_options import LIGHT, default_vgg_weights
from fst.models.vgg19 import keras_layer_name, load_network
from fst.training.card import device_name
from fst.training.data import open_photos
from fst.training.loop import TrainingStep

_WARM_UP = 3  # steps before the clock starts: the first one traces the graph


def flop_per_image(config, network):
    """Floating-point operations of a training step for one picture, by part."""
    vgg = load_network(LIGHT if config.step_weights == LIGHT else None)
    vgg_layers = convolutions(vgg, config.crop_size)

    def depth(names):  # As deep as the deepest of them.
        order, wanted = list(vgg_layers), {keras_layer_name(name) for name in names}
        last = max(order.index(name) for name in wanted)
        return sum(vgg_layers[name] for name in order[: last + 1])

    def gram(name):  # C·C products along H·W; a convolution's output is H·W·C of kh·kw·C products.
        kernel = vgg.get_layer(keras_layer_name(name)).kernel.shape
        positions = vgg_layers[keras_layer_name(name)] / (2 * np.prod(kernel))
        return 2 * positions * kernel[-1] ** 2

    net = convolutions(network, config.crop_size)
    loss = depth(config.content_layers + config.style_layers)
    return {
        "content photo through VGG19": depth(config.content_layers),
        "stylised photo through VGG19, forward": loss,
        "stylised photo through VGG19, gradient": loss,  # Of the input: its weights are frozen.
        "Gram matrices, forward and gradient": 2 * sum(gram(name) for name in config.style_layers),
        "network, forward": sum(net.values()),
        "network, gradient of the weights": sum(net.values()),
        "network, gradient of the inputs": sum(net.values()) - next(iter(net.values())),
    }


def time_steps(step, batches, count):
    """Seconds of `count` steps, and how many of them were spent waiting for photos."""
    iterator = iter(batches)
    for _ in range(_WARM_UP):
        float(step(next(iterator)).terms.total)
    started, waited = time.perf_counter(), 0.0
    for _ in range(count):
        before = time.perf_counter()
        batch = next(iterator)
        waited += time.perf_counter() - before
        result = step(batch)
    float(result.terms.total)  # A GPU may still be at work when the call returns.
    return time.perf_counter() - started, waited


def draw_photos(folder, count=24):
    """Writes JPEGs of a usual size, for when there are no photos at hand."""
    random = np.random.default_rng(0)
    for index in range(count):
        small = Image.fromarray(random.integers(0, 256, (24, 32, 3), dtype=np.uint8))
        photo = np.asarray(small.resize((640, 480), Image.Resampling.BICUBIC), np.int16)
        photo = photo + random.normal(0, 8, photo.shape)
        Image.fromarray(np.clip(photo, 0, 255).astype(np.uint8)).save(folder / f"{index}.jpg")


def read_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--content", help="folder of photos or tfds:NAME; drawn when not given")
    parser.add_argument("--vgg-weights", default=default_vgg_weights(), help="as for train.py")
    parser.add_argument(
        "--loss-network",
        default="full",
        choices=("light", "full"),
        help="light: with --vgg-weights embedded",
    )
    parser.add_argument("--precision", default="float32", help="as for train.py")
    parser.add_argument("--xla", default="auto", choices=("auto", "on", "off"))
    parser.add_argument("--steps", type=int, default=20, help="steps to measure")
    parser.add_argument("--crop-size", type=int, default=256)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--json", type=Path, help="file to write the numbers to as well")
    return parser.parse_args()


def measure(arguments, folder):
    """The numbers of one run, by name."""
    if not arguments.content:
        draw_photos(folder)
    config = TrainingConfig(
        "style.jpg",
        content=arguments.content or str(folder),
        vgg_weights=arguments.vgg_weights,
        loss_network=arguments.loss_network,
        precision=arguments.precision,
        xla=arguments.xla,
        steps=1_000_000,  # Photos are read on to the end, as in a long run.
        crop_size=arguments.crop_size,
        photo_size=max(arguments.crop_size, TrainingConfig.photo_size),
        batch_size=arguments.batch_size,
    )
    rates = {dtype: matrix_rate(dtype) for dtype in ("float32", "bfloat16")}
    style = np.random.default_rng(0).uniform(0, 255, (384, 512, 3)).astype(np.float32)
    step = TrainingStep(config, [style], tf.distribute.get_strategy())
    parts = flop_per_image(config, step.network)
    batches = open_photos(config.content, seed=config.seed).batches(config)
    seconds, waited = time_steps(step, batches, arguments.steps)
    speed = arguments.steps * config.batch_size / seconds
    gflop = sum(parts.values()) / 1e9
    return {
        "cpu": cpu_model(),
        "device": device_name(),
        "versions": f"TensorFlow {tf.__version__}, Keras {keras.__version__}",
        "loss_network": "light" if config.step_weights == LIGHT else "full",
        "precision": config.precision,
        "xla": config.xla,
        **{name: getattr(arguments, name) for name in ("crop_size", "batch_size", "steps")},
        **{f"matrix_{dtype}_gflop_per_s": rate for dtype, rate in rates.items()},
        "gflop_per_image": gflop,
        "images_per_s": speed,
        "gflop_per_s": speed * gflop,
        **{f"percent_of_{d}": 100 * speed * gflop / rate for d, rate in rates.items()},
        "percent_waiting_for_photos": 100 * waited / seconds,
        "gflop_per_image_parts": {name: flop / 1e9 for name, flop in parts.items()},
    }


def main():
    heap.keep_freed()  # As the commands do.
    arguments = read_arguments()
    with tempfile.TemporaryDirectory() as folder:
        numbers = measure(arguments, Path(folder))
    parts = {f"  {name}": value for name, value in numbers["gflop_per_image_parts"].items()}
    for name, value in {**numbers, "gflop_per_image_parts": "", **parts}.items():
        print(f"{name:44}{value:.4g}" if isinstance(value, float) else f"{name:44}{value}")
    if arguments.json:
        arguments.json.write_text(json.dumps(numbers, indent=2) + "\n")


if __name__ == "__main__":
    main()
