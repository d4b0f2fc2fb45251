"""How far a long run is: a bar on a terminal, and a line from time to time elsewhere."""

import sys
import time

from tqdm import tqdm

_EVERY = 30.0  # seconds between two lines


class Progress:
    """Counts what is done of `total`; a context manager.

    The time left is estimated from the average of the whole run: photos of all sizes are mixed in a
    folder, so the last few would mislead. A run of a single piece shows
    nothing.

    Args:
        total: how many there are.
        unit: what they are called, in the singular.
        file: where to write; stderr when None. If it is no terminal, a log most likely, a line is
            written every half a minute, so that a short run writes none.
        leave: whether the bar stays when all is done.
    """

    def __init__(self, total, unit, file=None, leave=True):
        self._total, self._unit, self._file = total, unit, file or sys.stderr
        self._done, terminal = 0, self._file.isatty()
        self._bar = tqdm(
            total=total,
            unit=unit,
            file=self._file,
            smoothing=0,
            leave=leave,
            dynamic_ncols=True,
            disable=total < 2 or not terminal,
        )
        self._lines = total > 1 and not terminal
        self._begun = self._told = time.monotonic()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._bar.close()

    def update(self):
        """One more is done."""
        self._done += 1
        self._bar.update()
        now = time.monotonic()
        if self._lines and self._done < self._total and now - self._told >= _EVERY:
            self._told = now
            left = (now - self._begun) / self._done * (self._total - self._done)
            self.write(f"{self._done} of {self._total} {self._unit}s done, about {span(left)} left")

    def write(self, line):
        """Writes a line above the bar."""
        tqdm.write(line, file=self._file)
        self._file.flush()


def span(seconds):
    """A time in words, rounded as an estimate should be."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
