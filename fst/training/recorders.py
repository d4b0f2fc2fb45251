"""The callbacks of a run by `train`: what it leaves behind, and the checks on what it learns."""

import tensorflow as tf

from fst import packages
from fst.errors import UserError
from fst.models.perceptual import LossTerms
from fst.training.callbacks import LossHistory, Previews, SavedState


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
        A list of Keras callbacks; the last one is the `SavedState`.
    """
    history = _RunHistory(target, config, state, names, on_progress)

    def save(_):
        history.write_styles()
        state.skipped.update(photos.skipped)
        state.save(step.network, step.optimizer)

    run = {"start": state.step, "check": history.check}
    # The preview first: a run killed between the two draws it again.
    return [
        history,
        Previews(target.previews_path, previews, every=config.preview_every, **run),
        SavedState(target.training_path / "state.npz", every=config.save_every, save=save, **run),
    ]


class _RunHistory(LossHistory):
    """The losses of a run, with its checks and its TensorBoard."""

    def __init__(self, target, config, state, names, on_progress):
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
        self._config = config
        self._tensorboard = open_tensorboard(target) if config.tensorboard else None

    def flushed(self, first, losses):
        if first == 1:
            check_balance(self._config, losses[0])
        if self._tensorboard:
            self._tensorboard(self.step, losses[-1])


def _diverged(config, step, saved_step):
    return (
        f"the loss is not finite at step {step}: lower --learning-rate (now "
        f"{config.learning_rate:g}) or --style-weight (now {_number(config.style_weight)}), under "
        f"another --name or with --overwrite; the state after step {saved_step} is kept"
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
