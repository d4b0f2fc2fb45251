"""Keras callbacks that record a run, for `StyleTransfer.fit` and `train`.

>>> kept = [LossHistory("history.csv"), Previews("previews", photos)]
>>> history = model.fit(photos, callbacks=kept, verbose=0)

They count steps themselves, over all epochs, and so need `steps_per_execution` as it is, 1.
"""

import dataclasses
import time
from pathlib import Path

import keras
import numpy as np

from fst import files
from fst.errors import UserError
from fst.media import images
from fst.models.network import paint, styles_of
from fst.models.perceptual import LossTerms
from fst.training import state
from fst.training.history import History, StylesHistory

_FLUSH_SECONDS = 1.0  # Losses stay on the device in between, so that a GPU never waits for Python.

_HEIGHT = 288  # px of each picture in the strip
_WIDEST = 4  # heights; of a wider photo the left part is shown


@dataclasses.dataclass(frozen=True)
class Progress:
    """Where a run stands, as handed to its callback about once a second.

    `losses` has the keys total, content, style and tv: means since the last call.
    """

    step: int
    steps: int
    losses: dict
    images_per_second: float
    eta_seconds: float

    @property
    def speed(self):
        """The speed in words."""
        return f"{self.images_per_second:.3g} images/s"


class EveryStep(keras.callbacks.Callback):
    """Counts steps, and calls `after_step` after each.

    Attributes:
        step: steps done, from `start` on.
    """

    def __init__(self, start=0):
        super().__init__()
        self.step = start

    def on_train_batch_end(self, batch, logs=None):
        self.step += 1
        self.after_step(logs or {})

    def after_step(self, logs):
        """Does whatever is due after step `self.step`; `logs` are the batch's own values."""

    def due(self, every):
        """Whether a multiple of so many steps is done, or the last step of all."""
        return self.step % every == 0 or self.step == self.last_step()

    def last_step(self):
        """The number of the last step, 0 where it is not known."""
        params = self.params or {}
        return (params.get("steps") or 0) * params.get("epochs", 1)


class LossHistory(EveryStep):
    """Writes the losses of every step into a CSV file, and ends a run whose loss is not finite.

    Args:
        path: of the file; its columns are `fst.training.history.COLUMNS`.
        batch_size: pictures in a step, for the speed in the table.
        steps: of the whole run, as far as it is known.
        start: steps done before; rows after that one are dropped, those up to it kept.
        by_style: a path and the names of the styles, for a table of the losses of each; needs
            `by_style` in the logs, as `train` gives it.
        on_progress: called about once a second with a `Progress`.
        advice: a function from a step's number to what is said where the loss is not finite there.

    Raises:
        UserError: the file cannot be written; in a run also: the loss is not finite.
    """

    def __init__(
        self,
        path,
        *,
        batch_size=1,
        steps=None,
        start=0,
        by_style=None,
        on_progress=None,
        advice=None,
    ):
        super().__init__(start)
        self._batch_size, self._steps = batch_size, steps
        self._file = History(Path(path), keep=start)
        self._by_style = StylesHistory(*by_style, keep=start) if by_style else None
        self._on_progress = on_progress or (lambda progress: None)
        self._advice = advice or _lower_something
        self._pending = []  # Values of the latest steps, still on the device.
        self._clock = time.monotonic()

    def on_train_begin(self, logs=None):
        self._clock = time.monotonic()
        if self._steps is None:
            self._steps = self.last_step()

    def after_step(self, logs):
        missing = [name for name in LossTerms._fields if name not in logs]
        if missing:
            raise ValueError(
                f"the logs have no {missing[0]}: is it a StyleTransfer that is fitted?"
            )
        self._pending.append(logs)
        first = self.step == len(self._pending)
        due = time.monotonic() - self._clock > _FLUSH_SECONDS
        if first or due or self.step == self._steps:
            self.flush()

    def on_train_end(self, logs=None):
        self.flush()

    def check(self):
        """Writes what is pending; raises unless all losses and all that was learnt are finite.

        Raises:
            UserError: they are not.
        """
        self.flush()
        # Adam's averages too: once infinite they stop the training, and no loss shows it.
        variables = self.model.network.weights + self.model.optimizer.variables
        if not all(np.isfinite(variable.numpy()).all() for variable in variables):
            raise UserError(self._advice(self.step))

    def write_styles(self):
        """Writes a row for every style that was trained since the last time."""
        if self._by_style:
            self._by_style.write(self.step)

    def flush(self):
        """Fetches the pending losses, checks them, writes them down and reports.

        Raises:
            UserError: they are not finite, or the file cannot be written.
        """
        if not self._pending:
            return
        losses = np.array([[float(row[n]) for n in LossTerms._fields] for row in self._pending])
        by_style = [np.asarray(row["by_style"]) for row in self._pending if "by_style" in row]
        if self._by_style:
            self._by_style.add(sum(by_style))
        first = self.step - len(losses) + 1
        seconds = max(time.monotonic() - self._clock, 1e-9)
        self._pending, self._clock = [], time.monotonic()
        bad = np.flatnonzero(~np.isfinite(losses).all(axis=1))
        if bad.size:
            raise UserError(self._advice(first + int(bad[0])))
        self.flushed(first, losses, by_style)
        speed = len(losses) * self._batch_size / seconds
        self._file.append(first, losses, speed)
        left = max(0, self._steps - self.step) * self._batch_size / speed
        mean = dict(zip(LossTerms._fields, losses.mean(axis=0).tolist(), strict=True))
        self._on_progress(Progress(self.step, self._steps, mean, speed, left))

    def flushed(self, first, losses, by_style):
        """Called with the number of the first of some steps, their terms, `[N, 4]`, and a list of
        what each found by style, `[styles, 4]`, where the logs tell."""


def _lower_something(step):
    return (
        f"the loss is not finite at step {step}: lower the learning rate, or the weight of the "
        "style term"
    )


class Writing(EveryStep):
    """Calls `write` every so many steps, and once more when the run ends.

    Args:
        every: steps between two calls.
        start: steps done before.
        check: called before each; what it raises ends the run.
    """

    def __init__(self, every, start=0, check=None):
        super().__init__(start)
        self._every, self.check = every, check or (lambda: None)
        self._written = None

    def after_step(self, logs):
        if self.due(self._every):
            self._write_checked()

    def on_train_end(self, logs=None):
        if self._written != self.step:
            self._write_checked()

    def _write_checked(self):
        self.check()
        self.write()
        self._written = self.step

    def write(self):
        """Writes what there is to write after step `self.step`."""
        raise NotImplementedError


class Previews(Writing):
    """Draws the same few photos, stylised, every so many steps: a row for each style.

    Args:
        folder: for `photos.jpg`, the originals, and `step_000250.jpg` and so on.
        photos: a list of pictures, each `[H, W, 3]`, RGB, 0-255.
        every: steps between two drawings; one more is made when the run ends.
        start: steps done before.
        check: called before a drawing; what it raises ends the run.
    """

    def __init__(self, folder, photos, *, every=250, start=0, check=None):
        super().__init__(every, start, check)
        self._folder = Path(folder)
        self._pictures = [_scaled(np.asarray(photo, np.float32)) for photo in photos]

    def on_train_begin(self, logs=None):
        self.draw_originals()

    def write(self):
        self.draw(self.model.network, self.step)

    def draw_originals(self):
        """Writes the photos as they are, to look at beside the others."""
        self._write_strip("photos.jpg", [self._pictures])

    def draw(self, network, step):
        """Stylises the photos with `network` as it is after `step` steps.

        Of several styles each has a row, the first ones only where a JPEG cannot hold them all.
        """
        every = np.eye(styles_of(network), dtype=np.float32)[:, None]
        rows = [
            [np.asarray(paint(network, p[None], shares))[0] for p in self._pictures]
            for shares in every[: images.MAX_SIDES["JPEG"] // _HEIGHT]
        ]
        self._write_strip(f"step_{step:06d}.jpg", rows)

    def _write_strip(self, name, rows):
        strips = [np.concatenate(row, axis=1) for row in rows]
        images.save_picture(self._folder / name, np.concatenate(strips, axis=0))


class SavedState(Writing):
    """Saves what a run needs to go on, network and optimizer, and begins where the file ends.

    It does not know the data of `fit`: to resume a run, give `fit` the batches that are left.

    Args:
        path: of the file, `.npz`; it is replaced whole.
        every: steps between two saves; one more is made when the run ends.
        check: called before a save; what it raises ends the run, and the file stays.

    Raises:
        UserError: in a run: the file is damaged, of another network, or cannot be written.
    """

    def __init__(self, path, *, every=100, check=None):
        super().__init__(every, check=check)
        self._path = Path(path)

    def on_train_begin(self, logs=None):
        if self._path.exists():
            arrays, about = state.read(self._path)
            state.check_format(self._path, about)
            model = self.model
            state.restore(self._path, arrays, about["versions"], model.network, model.optimizer)
            self.step = self._written = about["step"]

    def write(self):
        with files.writing(self._path):
            state.write(self._path, self.model.network, self.model.optimizer, {"step": self.step})


def _scaled(picture):
    height = picture.shape[0]
    picture = picture[:, : _WIDEST * height]
    return images.resize(picture, _HEIGHT, max(16, round(picture.shape[1] * _HEIGHT / height)))
