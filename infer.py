#!/usr/bin/env python3
"""Stylises photos and videos with a trained style."""

import collections
import signal
import sys

from tqdm import tqdm

from fst import cli, errors, inference
from fst.config import InferenceConfig

NOTES_IN_FULL = 3
"""The photos that are named for each kind of note; the others are counted."""


def main():
    config = cli.parse(InferenceConfig, "infer.py")
    jobs = inference.plan(config)
    todo = [job for job in jobs if not (config.skip_existing and job.target.exists())]
    failed = show(config, todo) if todo else 0
    print(summary(config, jobs, todo, failed))
    return 1 if failed else 0


def show(config, jobs):
    """Stylises, with a bar on a terminal and a line for each failure; returns their number.

    A note on a photo, such as on its colour profile, is shown for the first photos that have it.
    """
    cli.quiet_tensorflow()
    # A stop by the system leaves whole files only, just as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    quiet = len(jobs) < 2 or not sys.stderr.isatty()
    for job in jobs:
        if job.renamed:
            print(f"note: {job.name} becomes {job.target}", file=sys.stderr)
    failed, notes = 0, collections.Counter()
    with tqdm(total=len(jobs), unit="photo", dynamic_ncols=True, disable=quiet) as bar:
        for outcome in inference.stylise(config, jobs, frames_bar):
            if outcome.failure:
                failed += 1
                tqdm.write(f"failed: {outcome.failure}", file=sys.stderr)
            for note in outcome.notes:
                notes[note] += 1
                if notes[note] <= NOTES_IN_FULL:
                    line = " ".join(f"{outcome.job.name}: {note}".split())
                    tqdm.write(f"note: {line}", file=sys.stderr)
            bar.update()
    for note, count in notes.items():
        if count > NOTES_IN_FULL:
            print(f"note: {count - NOTES_IN_FULL} more: {note}", file=sys.stderr)
    return failed


def frames_bar(frames, total):
    """The frames of a video, with a bar on a terminal that tells how long the rest will take."""
    quiet = not sys.stderr.isatty()
    return tqdm(frames, total=total, unit="frame", dynamic_ncols=True, leave=False, disable=quiet)


def summary(config, jobs, todo, failed):
    """The line that ends a run."""
    done = len(todo) - failed
    place = jobs[0].target if len(jobs) == 1 else config.output
    parts = [f"{done} of {len(jobs)} stylised into {place}"]
    if len(todo) < len(jobs):
        parts.append(f"{len(jobs) - len(todo)} skipped, there already")
    if failed:
        parts.append(f"{failed} failed")
    return "; ".join(parts)


if __name__ == "__main__":
    errors.run(main)
