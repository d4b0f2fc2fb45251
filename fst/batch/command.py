"""The command `infer.py`, also `fst infer`: stylises photos and videos, and `fst styles`."""

import collections
import contextlib
import signal
import sys

from fst import catalogue, files
from fst.batch import inference, plan
from fst.batch.process import prepare_for
from fst.batch.unused import in_inference
from fst.config import InferenceConfig, StylesConfig
from fst.console import cli, quiet, unused
from fst.console.progress import Progress
from fst.stylize import engines

NOTES_IN_FULL = 3
"""The photos that are named for each kind of note; the others are counted."""


def main(program="infer.py"):
    """Runs the command, called `program` in its help; returns its exit code."""
    config = cli.parse(InferenceConfig, program)
    if config.list:
        return list_styles(config.checkpoints)
    jobs = plan.plan(config, lambda note: print(f"note: {note}", file=sys.stderr))
    unused.tell(in_inference(config, jobs))
    todo = [job for job in jobs if not (config.skip_existing and job.is_done())]
    failed = show(config, todo) if todo else 0
    print(summary(config, jobs, todo, failed))
    return 1 if failed else 0


def styles(program="fst styles"):
    """Runs the command that lists the trained styles; returns its exit code."""
    return list_styles(cli.parse(StylesConfig, program).checkpoints)


def list_styles(folder):
    """Prints a line for each trained style in a folder; returns the exit code."""
    print("\n".join(catalogue.describe(folder)))
    return 0


def show(config, jobs):
    """Stylises, with the progress and a line for each failure; returns their number.

    A note on a photo, such as on its colour profile, is shown for the first photos that have it.
    """
    prepare_for(engines.choose(config.engine, config.precision))
    quiet.quiet_pillow()
    # A stop by the system leaves whole files only, just as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    for job in jobs:
        if job.renamed:
            print(f"note: {job.name} becomes {files.shown(job.target)}", file=sys.stderr)
    failed, notes = 0, collections.Counter()
    with (
        Progress(len(jobs), "photo") as progress,
        contextlib.closing(inference.stylise(config, jobs, frames=follow)) as outcomes,
    ):
        for outcome in outcomes:
            if outcome.failure:
                failed += 1
                progress.event(f"failed: {outcome.failure}")
            for note in outcome.notes:
                notes[note] += 1
                if notes[note] <= NOTES_IN_FULL:
                    line = " ".join(f"{outcome.job.name}: {note}".split())
                    progress.event(f"note: {line}")
            progress.update()
    for note, count in notes.items():
        if count > NOTES_IN_FULL:
            print(f"note: {count - NOTES_IN_FULL} more: {note}", file=sys.stderr)
    return failed


def follow(frames, total):
    """The frames of a video, with a progress of its own; none where the file tells no number."""
    with Progress(total or 0, "frame", leave=False) as progress:
        for frame in frames:
            yield frame
            progress.update()


def summary(config, jobs, todo, failed):
    """The line that ends a run."""
    done = len(todo) - failed
    place = jobs[0].target if len(jobs) == 1 else config.output
    parts = [f"{done} of {len(jobs)} stylised into {files.shown(place)}"]
    if len(todo) < len(jobs):
        parts.append(f"{len(jobs) - len(todo)} skipped, there already")
    if failed:
        parts.append(f"{failed} failed")
    return "; ".join(parts)
