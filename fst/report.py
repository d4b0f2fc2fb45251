"""A run's progress for people: a bar on a terminal, plain lines in a log file."""

import math
import sys
import time

from tqdm import tqdm

_LINE_SECONDS = 30.0  # between two lines of a log file


class Reporter:
    """Shows `fst.training.Progress` records; a context manager.

    Args:
        stream: where to write; a bar is drawn if it is a terminal.
    """

    def __init__(self, stream=None):
        self._stream = stream or sys.stderr
        self._bar = None
        self._last_line = -math.inf

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._bar is not None:
            self._bar.close()

    def event(self, text):
        """Tells of something that happens once."""
        tqdm.write(text, file=self._stream)
        self._stream.flush()

    def progress(self, progress):
        """Shows how far the run is."""
        if self._stream.isatty():
            self._draw(progress)
        elif progress.step == progress.steps or time.monotonic() - self._last_line > _LINE_SECONDS:
            self._last_line = time.monotonic()
            eta = tqdm.format_interval(progress.eta_seconds)
            self.event(f"step {progress.step}/{progress.steps}  {_losses(progress)}  eta {eta}")

    def _draw(self, progress):
        if self._bar is None:
            self._bar = tqdm(
                total=progress.steps,
                initial=progress.step,
                file=self._stream,
                dynamic_ncols=True,
                bar_format="{percentage:3.0f}%|{bar}| step {n_fmt}/{total_fmt} {postfix}",
            )
        eta = tqdm.format_interval(progress.eta_seconds)
        self._bar.n = progress.step
        self._bar.set_postfix_str(f"{_losses(progress)} eta {eta}")


def _losses(progress):
    losses = "  ".join(f"{name} {value:.4g}" for name, value in progress.losses.items())
    return f"{losses}  {progress.images_per_second:.3g} images/s"
