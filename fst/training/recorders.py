"""What a run leaves behind as it goes, and the checks on what it learns."""

import dataclasses
import time

import numpy as np
import tensorflow as tf

from fst import packages
from fst.errors import UserError
from fst.models.perceptual import LossTerms
from fst.training.history import History, StylesHistory

_FLUSH_SECONDS = 1.0  # Losses stay on the device in between, so that a GPU never waits for Python.


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


class Recorders:
    """What a run leaves behind as it goes: history, previews and the state to resume from."""

    def __init__(self, target, config, photos, state, previews, names, on_progress=None):
        self._config, self._photos, self._state = config, photos, state
        self._history = History(target.history_path, keep=state.step)
        self._by_style = (
            StylesHistory(target.styles_history_path, names, keep=state.step)
            if len(names) > 1
            else None
        )
        self._previews = previews
        self._previews.draw_originals()
        self._on_progress = on_progress or (lambda progress: None)
        self._tensorboard = open_tensorboard(target) if config.tensorboard else None
        self._pending = []  # Results of the latest steps, still on the device.
        self._clock = time.monotonic()

    def after_step(self, step, result):
        """Does whatever is due after the step that gave `result`, a `StepResult`."""
        self._pending.append(result)
        number, config = self._state.step, self._config
        last = number == config.steps
        if last or number == 1 or time.monotonic() - self._clock > _FLUSH_SECONDS:
            self._flush()
        # The preview first: a run killed between the two draws it again.
        if last or number % config.preview_every == 0:
            self._check(step)
            self._previews.draw(step.network, number)
        if last or number % config.save_every == 0:
            self.save(step)

    def save(self, step):
        """Saves the state, if it is a good one: a run can always resume from what is on disk."""
        self._check(step)
        if self._by_style:
            self._by_style.write(self._state.step)
        self._state.skipped.update(self._photos.skipped)
        self._state.save(step.network, step.optimizer)

    def _flush(self):
        """Fetches the pending losses, checks them, writes them down and reports."""
        if not self._pending:
            return
        losses = np.array([[float(term) for term in result.terms] for result in self._pending])
        if self._by_style:
            self._by_style.add(sum(result.by_style.numpy() for result in self._pending))
        first = self._state.step - len(losses) + 1
        seconds = max(time.monotonic() - self._clock, 1e-9)
        self._pending, self._clock = [], time.monotonic()
        self._check_finite(losses, first)
        if first == 1:
            check_balance(self._config, losses[0])
        speed = len(losses) * self._config.batch_size / seconds
        self._history.append(first, losses, speed)
        if self._tensorboard:
            self._tensorboard(self._state.step, losses[-1])
        left = (self._config.steps - self._state.step) * self._config.batch_size / speed
        mean = dict(zip(LossTerms._fields, losses.mean(axis=0).tolist(), strict=True))
        self._on_progress(Progress(self._state.step, self._config.steps, mean, speed, left))

    def _check(self, step):
        """Raises unless the losses and all that was learnt from them are finite."""
        self._flush()
        # Adam's averages too: once infinite they stop the training, and no loss shows it.
        variables = step.network.weights + step.optimizer.variables
        if not all(np.isfinite(variable.numpy()).all() for variable in variables):
            raise UserError(self._diverged(self._state.step))

    def _check_finite(self, losses, first):
        bad = np.flatnonzero(~np.isfinite(losses).all(axis=1))
        if bad.size:
            raise UserError(self._diverged(first + int(bad[0])))

    def _diverged(self, step):
        c = self._config
        return (
            f"the loss is not finite at step {step}: lower --learning-rate (now "
            f"{c.learning_rate:g}) or --style-weight (now {_number(c.style_weight)}), under "
            f"another --name or with --overwrite; the state after step {self._state.saved_step} is "
            "kept"
        )


def check_balance(config, losses):
    """Raises when one term outweighs another so far that float32 would drop its gradient.

    Args:
        losses: total, content, style and tv of the first step.
    """
    _, content, style, _ = losses
    weighed = {
        "--content-weight": config.content_weight * content,
        "--style-weight": max(config.style_weight) * style,
    }
    (low, weak), (high, strong) = sorted(weighed.items(), key=lambda item: item[1])
    if weak > 0 and strong / weak > 1e6:
        raise UserError(
            f"{high} {_number(getattr(config, high[2:].replace('-', '_')))} makes its term "
            f"{strong / weak:.0e} times the other one, which would be lost: lower {high} or raise "
            f"{low} (with the relative loss 1 and 2 to 20 are usual)"
        )


def _number(value):
    """A number in words; of several the largest."""
    return f"{max(value) if isinstance(value, tuple) else value:g}"


def open_tensorboard(target):
    """A function that writes one step's losses as TensorBoard scalars.

    Raises:
        UserError: the tensorboard package is not installed.
    """
    # TensorFlow would find it missing only when the first number is written.
    packages.need("tensorboard", "--tensorboard")
    writer = tf.summary.create_file_writer(str(target.training_path / "tensorboard"))

    def write(step, losses):
        with writer.as_default():
            for name, value in zip(LossTerms._fields, losses, strict=True):
                tf.summary.scalar(name, value, step=step)
        writer.flush()

    return write
