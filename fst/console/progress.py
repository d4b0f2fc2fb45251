"""How far a long run is: a bar on a terminal, and a line from time to time elsewhere."""

import math
import sys
import time

from tqdm import tqdm

_EVERY = 30.0  # seconds between two lines


class _Shown:
    """What the two kinds have in common; a context manager.

    Args:
        stream: where to write; stderr when None. A bar is drawn if it is a terminal.
        leave: whether a bar stays when all is done.
    """

    def __init__(self, stream=None, leave=True):
        self._stream, self._leave = stream or sys.stderr, leave
        self._bar, self._told = None, -math.inf

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._end()

    def event(self, text):
        """Writes a line for something that happens once, above the bar."""
        tqdm.write(text, file=self._stream)
        self._stream.flush()

    def _end(self):
        if self._bar is not None:
            self._bar.close()
        self._bar = None

    def _draw(self, done, total, words="", **options):
        if self._bar is None:
            options = {"file": self._stream, "leave": self._leave, "dynamic_ncols": True, **options}
            self._bar = tqdm(total=total, initial=done, **options)
        self._bar.set_postfix_str(words, refresh=False)
        self._bar.update(done - self._bar.n)

    def _due(self):
        """Whether the last line is long enough ago; the next one counts from now, then."""
        now = time.monotonic()
        if now - self._told < _EVERY:
            return False
        self._told = now
        return True


class Progress(_Shown):
    """Counts what is done of `total`; a context manager.

    The time left is estimated from the average of the whole run: photos of all sizes are mixed in a
    folder, so the last few would mislead. A run of a single piece shows nothing, and one that takes
    less than half a minute writes no line.

    Args:
        total: how many there are.
        unit: what they are called, in the singular.
        stream, leave: as above.
    """

    def __init__(self, total, unit, stream=None, leave=True):
        super().__init__(stream, leave)
        self._total, self._unit, self._done = total, unit, 0
        self._begun = self._told = time.monotonic()
        self._show()

    def update(self):
        """One more is done."""
        self._done += 1
        self._show()

    def _show(self):
        if self._total < 2:
            return
        if self._stream.isatty():
            self._draw(self._done, self._total, unit=self._unit, smoothing=0)
        elif self._done < self._total and self._due():
            seconds = (time.monotonic() - self._begun) / self._done * (self._total - self._done)
            done = f"{self._done} of {self._total} {self._unit}s done"
            self.event(f"{done}, about {span(seconds)} left")


class Reporter(_Shown):
    """Shows the losses of a training, or of runs of `fst.gatys`, one after the other.

    Elsewhere than on a terminal, each run has a line at its first and its last step too.
    """

    _title = ""

    def begin(self, title):
        """Ends the current run; the next one gets `title`."""
        self._end()
        self._title, self._told = f"{title}: " if title else "", -math.inf

    def progress(self, progress):
        """Shows how far a training is: a `fst.training.callbacks.Progress`."""
        self._show(
            progress.step, progress.steps, progress.losses, progress.speed, progress.eta_seconds
        )

    def step(self, step, steps, title=""):
        """Shows an evaluation of the loss.

        Args:
            step: a `fst.gatys.optimizer.Step`.
            steps: how many there will be at most.
            title: what they are steps of.
        """
        if step.step == 1:
            self.begin(title)
        pace = step.seconds / step.step
        speed, left = f"{1 / pace:.3g} steps/s", (steps - step.step) * pace
        self._show(step.step, steps, step.losses._asdict(), speed, left)

    def _show(self, step, steps, losses, speed, seconds):
        losses = "  ".join(f"{name} {value:.4g}" for name, value in losses.items())
        words, eta = f"{losses}  {speed}", tqdm.format_interval(seconds)
        if self._stream.isatty():
            bar = self._title + "{percentage:3.0f}%|{bar}| step {n_fmt}/{total_fmt} {postfix}"
            self._draw(step, steps, f"{words} eta {eta}", bar_format=bar)
        elif self._due() or step == steps:
            self.event(f"{self._title}step {step}/{steps}  {words}  eta {eta}")


def span(seconds):
    """A time in words, rounded as an estimate should be."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
