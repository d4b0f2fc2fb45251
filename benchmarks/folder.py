#!/usr/bin/env python3
"""How busy `infer.py` keeps the cores on a folder of mixed photos, and what the overlap gains.

    python benchmarks/folder.py udnie --count 200
    python benchmarks/folder.py udnie --count 40 --sizes 1500 3000 --accelerator 0.05

Makes a folder of crops of sample photos, JPEG, PNG and WebP of 160-640 px, stylises it twice, with
reading and writing beside the network and one after the other, and prints for each the photos per
second and the share of all cores' time that the process used, from the first picture that appears
to the last. Start-up is left out of both. On a machine that has other work the shares are too low.

With --accelerator the network's place is taken by a wait of so many seconds a megapixel, as of a
GPU that computes and leaves the cores to reading and writing: those are real.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import psutil
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent

# The command as users have it, but for the number of threads.
_COMMAND = """
import functools, sys, time
from fst import errors
from fst.batch import command, inference
from fst.stylize import stylizer
threads, accelerator = sys.argv[1], float(sys.argv[2])
del sys.argv[1:3]

def wait(stylizer, image, **options):
    time.sleep(accelerator * image.shape[0] * image.shape[1] / 1e6)
    return image

if threads != "default":
    inference.stylise = functools.partial(inference.stylise, threads=int(threads))
if accelerator:
    stylizer.Stylizer.__call__ = wait
errors.run(command.main)
"""


class Speed(NamedTuple):
    """`seconds` for `photos` after the first, in which the process used `cpu` seconds of cores."""

    photos: int
    seconds: float
    cpu: float

    @property
    def rate(self):
        return self.photos / self.seconds

    @property
    def busy(self):
        return self.cpu / self.seconds / psutil.cpu_count()


def samples():
    from skimage import data

    names = ("astronaut", "chelsea", "coffee", "rocket")
    return [Image.fromarray(getattr(data, name)()) for name in names]


def write_photos(folder, count, smallest, largest):
    """Writes `count` photos: crops of the samples, enlarged or reduced."""
    random, pictures = np.random.default_rng(0), samples()
    for index in range(count):
        picture = pictures[index % len(pictures)]
        width, height = (int(random.integers(smallest, largest + 1)) for _ in range(2))
        share = random.uniform(0.5, 1) * min(picture.width / width, picture.height / height)
        left = int(random.uniform(0, picture.width - share * width))
        top = int(random.uniform(0, picture.height - share * height))
        box = (left, top, left + share * width, top + share * height)
        photo = picture.resize((width, height), Image.Resampling.BICUBIC, box)
        photo.save(folder / f"{index:04d}{('.jpg', '.png', '.webp')[index % 3]}", quality=92)


def measure(style, photos, output, threads, accelerator=0, options=()):
    """Runs `infer.py` on a folder, and watches it from the first picture to the last."""
    count = sum(1 for _ in photos.iterdir())
    command = [sys.executable, "-c", _COMMAND, threads, accelerator]
    command += [style, photos, "-o", output, *options]
    child = subprocess.Popen(list(map(str, command)), cwd=ROOT, stdout=subprocess.DEVNULL)
    process, first = psutil.Process(child.pid), None
    while child.poll() is None:
        done = len(list(output.glob("[0-9]*"))) if output.is_dir() else 0
        times = process.cpu_times()
        now = time.perf_counter(), times.user + times.system, done
        if done and not first:
            first = now
        if done == count:
            break
        time.sleep(0.02)
    if child.wait():
        raise SystemExit("infer.py failed")
    return Speed(now[2] - first[2], now[0] - first[0], now[1] - first[1])


def read_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("style", nargs="?", default="udnie", help="as for infer.py")
    parser.add_argument("--count", type=int, default=200, help="photos")
    parser.add_argument("--sizes", type=int, nargs=2, default=(160, 640), help="sides, px")
    parser.add_argument(
        "--accelerator", type=float, default=0, help="a stand-in's seconds a megapixel; 0: none"
    )
    parser.add_argument("--options", default="", help="more options for infer.py, in one word")
    return parser.parse_args()


def main():
    arguments = read_arguments()
    with tempfile.TemporaryDirectory() as folder:
        photos = Path(folder) / "photos"
        photos.mkdir()
        write_photos(photos, arguments.count, *arguments.sizes)
        for name, threads in (("overlapping", "default"), ("one after the other", 0)):
            output = Path(folder) / f"out-{threads}"
            options = arguments.accelerator, arguments.options.split()
            found = measure(arguments.style, photos, output, threads, *options)
            print(f"{name:22}{found.rate:7.2f} photos/s {100 * found.busy:6.1f} % of the cores")


if __name__ == "__main__":
    main()
