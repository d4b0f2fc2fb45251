"""A run's progress for people: a bar on a terminal, plain lines in a log file.

What it shows are records with the attributes `step`, `steps`, `losses` (a dictionary), `speed` (in
words) and `eta_seconds`, such as `fst.training.callbacks.Progress`.
"""

import math
import sys
import time
from typing import NamedTuple

from tqdm import tqdm

_LINE_SECONDS = 30.0  # between two lines of a log file


class Reporter:
    """Shows progress records; a context manager.

    Args:
        stream: where to write; a bar is drawn if it is a terminal.
    """

    def __init__(self, stream=None):
        self._stream = stream or sys.stderr
        self._bar = None
        self._title = ""
        self._last_line = -math.inf

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.begin("")

    def begin(self, title):
        """Ends the current bar; the next one gets `title`."""
        if self._bar is not None:
            self._bar.close()
        self._bar, self._title = None, f"{title}: " if title else ""
        self._last_line = -math.inf

    def event(self, text):
        """Shows a line for something that happens once."""
        tqdm.write(text, file=self._stream)
        self._stream.flush()

    def progress(self, progress):
        """Shows how far the run is."""
        if self._stream.isatty():
            self._draw(progress)
        elif progress.step == progress.steps or time.monotonic() - self._last_line > _LINE_SECONDS:
            self._last_line = time.monotonic()
            eta = tqdm.format_interval(progress.eta_seconds)
            step = f"{self._title}step {progress.step}/{progress.steps}"
            self.event(f"{step}  {_losses(progress)}  eta {eta}")

    def _draw(self, progress):
        if self._bar is None:
            self._bar = tqdm(
                total=progress.steps,
                initial=progress.step,
                file=self._stream,
                dynamic_ncols=True,
                bar_format=self._title
                + "{percentage:3.0f}%|{bar}| step {n_fmt}/{total_fmt} {postfix}",
            )
        eta = tqdm.format_interval(progress.eta_seconds)
        self._bar.n = progress.step
        self._bar.set_postfix_str(f"{_losses(progress)} eta {eta}")


def _losses(progress):
    losses = "  ".join(f"{name} {value:.4g}" for name, value in progress.losses.items())
    return f"{losses}  {progress.speed}"


class StepReporter(Reporter):
    """Shows the evaluations of `fst.gatys.optimize`."""

    def step(self, step, steps, title=""):
        """Shows one.

        Args:
            step: a `fst.gatys.optimizer.Step`.
            steps: how many there will be at most.
            title: what they are steps of.
        """
        if step.step == 1:
            self.begin(title)
        pace = step.seconds / step.step
        eta = (steps - step.step) * pace
        losses = step.losses._asdict()
        self.progress(_StepProgress(step.step, steps, losses, f"{1 / pace:.3g} steps/s", eta))


class _StepProgress(NamedTuple):
    step: int
    steps: int
    losses: dict
    speed: str
    eta_seconds: float
