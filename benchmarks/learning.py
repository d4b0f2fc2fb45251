#!/usr/bin/env python3
"""How good a new style gets, and how soon: from a gallery, from one style, from random weights.

    python benchmarks/learning.py picture.jpg --content photos/ --runs gallery:100 none:5000 -o out/

Each run is a training of its own, with its own cosine: START:STEPS, such as gallery:300, or
gallery:100:samples to train on the sample photos that come with installed packages, as somebody
does who gives no --content. The presets draft and standard have --crop-size 192 --photo-size 224.
Measured on photos of --content that no run trains on: 16 whole photos of 512 px, in float32.
Stopped and started again it goes on where it was; `results.csv` and `learning.png` in the output
folder hold what is done. Pictures may be learnt side by side, each by a process on a core of its
own, into the same folder.
"""

import argparse
import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"

import numpy as np

from fst import errors, files
from fst.config import TrainingConfig
from fst.console import heap
from fst.console.progress import Reporter
from fst.training import card, loop
from fst.training.data import open_photos
from fst.training.history import read_rows
from fst.training.style_images import open_styles

PHOTOS = 16
MINUTES = (0.5, 1, 2, 5, 10, 20, 60, 180)
COLUMNS = ("picture", "start", "steps", "photos", "seconds", "content", "style", "tv", "total")


def measure(config, trained, photos):
    """Losses of a trained style on the photos that were kept out: content, style, tv, total."""
    styles = [style.image for style in open_styles(config)]
    found = card.measure(trained.read_network(), loop.build_loss(config, styles), photos)
    return [found[name] for name in ("content", "style", "tv", "total")]


def run(picture, spec, arguments, photos):
    """Trains one of the runs, unless it is done, and returns its row of `results.csv`."""
    start, steps, *samples = spec.split(":")
    name = f"{Path(picture).stem}_{'_'.join([start.replace('/', '_'), steps, *samples])}"
    config = TrainingConfig(
        picture,
        content="" if samples else arguments.content,
        name=name,
        output=str(Path(arguments.output) / "styles"),
        steps=int(steps),
        start_from=start,
        crop_size=arguments.crop_size,
        photo_size=arguments.photo_size,
        holdout=PHOTOS,
        learning_rate=arguments.rate_from_random if start == "none" else arguments.rate,
        finish=True,
        preview_every=1000,
    )
    with Reporter() as reporter:
        reporter.begin(name)
        trained = loop.train(config, reporter.progress, reporter.event)
    seconds = trained.read_card()["seconds"]
    losses = measure(config, trained, photos)
    kind = "samples" if samples else "folder"
    return [Path(picture).stem, start, int(steps), kind, seconds, *(f"{x:.5g}" for x in losses)]


def draw(rows, path, seconds_per_step):
    """Draws the total against the time: a panel for each picture, a line for each start and kind
    of photos."""
    from matplotlib.figure import Figure

    pictures = list(dict.fromkeys(row[0] for row in rows))
    figure = Figure(figsize=(6 * len(pictures), 4), layout="constrained")
    axes = figure.subplots(1, len(pictures), squeeze=False)[0]
    for axis, picture in zip(axes, pictures, strict=True):
        for start, kind in dict.fromkeys((row[1], row[3]) for row in rows):
            points = sorted(
                (int(row[2]) * seconds_per_step / 60, float(row[-1]))
                for row in rows
                if (row[0], row[1], row[3]) == (picture, start, kind)
            )
            origin = "random weights" if start == "none" else start
            label = f"from {origin}" + (", sample photos" if kind == "samples" else "")
            if points:
                axis.plot(*zip(*points, strict=True), "o-", label=label)
        unseen = f"total on {PHOTOS} photos never trained on"
        axis.set(title=picture, xlabel="minutes of training", ylabel=unseen, xscale="log")
        axis.minorticks_off()
        shown = axis.get_xlim()
        axis.set_xticks(MINUTES, labels=map(str, MINUTES))
        axis.set_xlim(*shown)
        axis.grid(alpha=0.3)
        axis.legend()
    with files.atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures", nargs="+", help="style images, none of them in the gallery")
    parser.add_argument("--content", required=True, help="folder of photos")
    parser.add_argument("--runs", nargs="+", required=True, help="START:STEPS[:samples]")
    parser.add_argument("--crop-size", type=int, default=TrainingConfig.crop_size)
    parser.add_argument("--photo-size", type=int, default=TrainingConfig.photo_size)
    parser.add_argument("--rate", type=float, default=TrainingConfig.learning_rate)
    parser.add_argument("--rate-from-random", type=float, default=1e-3)
    parser.add_argument(
        "--seconds-per-step", type=float, default=0, help="for the figure; 0: as measured here"
    )
    parser.add_argument("-o", "--output", required=True, help="folder")
    arguments = parser.parse_args()
    heap.keep_freed()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # By which a run saves its state.
    photos = open_photos(arguments.content, holdout=PHOTOS)
    table = Path(arguments.output) / "results.csv"
    for picture in arguments.pictures:
        for spec in arguments.runs:
            row = [str(value) for value in run(picture, spec, arguments, photos)]
            # Read anew: another process may have added to it.
            rows = [*(r for r in read_rows(table, COLUMNS) if r[:4] != row[:4]), row]
            files.write_table(table, COLUMNS, rows)
            print(" ".join(f"{k}={v}" for k, v in zip(COLUMNS, row, strict=True)), flush=True)
    step = arguments.seconds_per_step or np.median([float(r[4]) / int(r[2]) for r in rows])
    draw(rows, Path(arguments.output) / "learning.png", step)
    return 0


if __name__ == "__main__":
    errors.run(main)
