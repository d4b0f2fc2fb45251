#!/usr/bin/env python3
"""What it gains that commands keep the memory that TensorFlow frees (`fst.console.heap`).

    python benchmarks/heap.py

Steps of training, one photo and one style of 192 px, and forward passes of a photo, each in
processes of their own, with and without, in turn. Prints seconds, seconds of the CPU within the
system, and pages that were cleared, each for one step or pass.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"

COUNT = 12  # steps or passes in a process


def training():
    """A function that does one step."""
    import tensorflow as tf

    from fst.config import TrainingConfig
    from fst.training.loop import TrainingStep
    from fst.training.style_images import open_styles

    picture = str(ROOT / "data" / "styles" / "woodcut.jpg")
    config = TrainingConfig(picture, start_from="none", name="none", output="none")
    images = [style.image for style in open_styles(config)]
    step = TrainingStep(config, images, tf.distribute.get_strategy())
    size = config.crop_size
    photo = tf.random.uniform([1, size, size, 3], 0, 255, seed=1)
    return lambda: step((photo, tf.zeros([1], tf.int32))).terms.total.numpy()


def inference():
    """A function that stylises one photo of 512 px."""
    import numpy as np

    import fst

    stylise = fst.load("udnie")
    photo = np.random.default_rng(0).integers(0, 256, (512, 512, 3), dtype=np.uint8)
    return lambda: stylise(photo)


def measure(kind, keep):
    """Prints what a step or pass took in this process."""
    from fst.console import heap

    if keep:
        heap.keep_freed()
    once = {"training": training, "inference": inference}[kind]()
    once()
    before, begun = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    for _ in range(COUNT):
        once()
    seconds, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_SELF)
    pages = after.ru_minflt - before.ru_minflt
    print(seconds / COUNT, (after.ru_stime - before.ru_stime) / COUNT, pages / COUNT)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3, help="processes of each kind")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        measure(arguments.child[0], arguments.child[1] == "keep")
        return
    for kind in ("training", "inference"):
        found = {"keep": [], "give back": []}
        for _ in range(arguments.repeats):
            for how, rows in found.items():
                command = [sys.executable, __file__, "--child", kind, how]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                rows.append([float(word) for word in done.stdout.split()])
        medians = {
            how: [statistics.median(column) for column in zip(*rows, strict=True)]
            for how, rows in found.items()
        }
        for how, (seconds, system, pages) in medians.items():
            print(f"{kind:10} {how:10} {seconds:6.3f} s {system:6.3f} s system {pages:9.0f} pages")
        print(f"{kind:10} ratio {medians['give back'][0] / medians['keep'][0]:.2f}")


if __name__ == "__main__":
    main()
