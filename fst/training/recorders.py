"""The callbacks of a run by `train`: what it leaves behind, and the checks on what it learns."""

import tensorflow as tf

from fst.errors import UserError
from fst.models.perceptual import LossTerms
from fst.training.callbacks import LossHistory, Previews, Writing
from fst.training.guard import Jumped, JumpGuard


def make_recorders(target, config, photos, state, step, previews, names, on_progress=None):
    """The callbacks with which a run writes its folder, in the order in which they are called.

    Args:
        target: the `Checkpoint`.
        config: the `TrainingConfig`.
        photos: the content photos, which know what they skipped.
        state: the `State`, whose step is where the run begins.
        step: the `TrainingStep`.
        previews: the pictures to stylise again and again.
        names: of the styles.
        on_progress: see `LossHistory`.

    Returns:
        A list of Keras callbacks; the last one saves the state.

    Raises:
        Jumped: within the run, where the loss has jumped.
    """
    guard = JumpGuard(len(names), state.guard)
    own_loss = step.given.loss is not None
    history = _RunHistory(target, config, state, names, guard, own_loss, on_progress)

    def save(judged):
        history.write_styles()
        state.skipped.update(photos.skipped)
        state.guard = guard.to_json()
        state.save(step.network, step.optimizer, judged)

    run = {"start": state.step, "check": history.check}
    # The preview first: a run killed between the two draws it again.
    return [
        history,
        Previews(target.previews_path, previews, every=config.preview_every, **run),
        _RunState(guard, config, save, **run),
    ]


class _RunHistory(LossHistory):
    """The losses of a run, with its checks and its TensorBoard."""

    def __init__(self, target, config, state, names, guard, own_loss, on_progress):
        several = (target.styles_history_path, names) if len(names) > 1 else None
        super().__init__(
            target.history_path,
            batch_size=config.batch_size,
            steps=config.steps,
            start=state.step,
            by_style=several,
            on_progress=on_progress,
            advice=lambda step: _diverged(config, step, state.saved_step),
        )
        self._config, self._guard, self._own_loss = config, guard, own_loss
        self._tensorboard = open_tensorboard(target) if config.tensorboard else None

    def flushed(self, first, losses, by_style):
        for found in by_style:
            self._guard.add(found)
        if first == 1 and not self._own_loss:  # Which may weigh its terms otherwise.
            check_balance(self._config, losses[0])
        if self._tensorboard:
            self._tensorboard(self.step, losses[-1])


class _RunState(Writing):
    """Saves the state of a run, where its loss has not jumped."""

    def __init__(self, guard, config, save, **run):
        super().__init__(config.save_every, **run)
        self._guard, self._save, self._steps = guard, save, config.steps

    def write(self):
        """Saves, unless the latest window is suspect; as judged where none is open."""
        if self._guard.judge(last=self.step == self._steps):
            raise Jumped
        if not self._guard.suspect:
            self._save(judged=self._guard.settled or self.step == self._steps)

    def save_now(self):
        """Saves amid a window, without judging it."""
        self.check()
        if not self._guard.suspect:
            self._save(judged=False)


def _diverged(config, step, saved_step):
    return (
        f"the loss is not finite at step {step}: lower ‹learning_rate› (now "
        f"{config.learning_rate:g}) or ‹style_weight› (now {_number(config.style_weight)}), under "
        f"another ‹name› or with ‹overwrite›; the state after step {saved_step} is kept"
    )


def check_balance(config, losses):
    """Raises when one term outweighs another so far that float32 would drop its gradient.

    Args:
        losses: total, content, style and tv of the first step.
    """
    _, content, style, _ = losses
    weighed = {
        "content_weight": config.content_weight * content,
        "style_weight": max(config.style_weight) * style,
    }
    (low, weak), (high, strong) = sorted(weighed.items(), key=lambda item: item[1])
    if weak > 0 and strong / weak > 1e6:
        raise UserError(
            f"‹{high}› {_number(getattr(config, high))} makes its term {strong / weak:.0e} times "
            f"the other one, which would be lost: lower ‹{high}› or raise ‹{low}› (with the "
            "relative loss 1 and 2 to 20 are usual)"
        )


def _number(value):
    """A number in words; of several the largest."""
    return f"{max(value) if isinstance(value, tuple) else value:g}"


def open_tensorboard(target):
    """A function that writes one step's losses as TensorBoard scalars; it needs that package."""
    writer = tf.summary.create_file_writer(str(target.training_path / "tensorboard"))

    def write(step, losses):
        with writer.as_default():
            for name, value in zip(LossTerms._fields, losses, strict=True):
                tf.summary.scalar(name, value, step=step)
        writer.flush()

    return write
