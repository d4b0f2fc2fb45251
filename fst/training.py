"""Training a network on one style image (Johnson et al. 2016, section 3).

    photos ──► network ──► stylised photos ──► perceptual loss ◄── style image
                  ▲                                  │
                  └─────────── Adam ◄── gradient ────┘

`train` is the whole of it, `run_steps` the loop, `TrainingStep` its inside: one `tf.function`.
"""

import contextlib
import hashlib
import signal
import threading
import time
from pathlib import Path

import keras
import tensorflow as tf

from fst import checkpoint, files, images, packages, perceptual, workers
from fst.card import make_card
from fst.data import open_photos
from fst.errors import UserError, first_line
from fst.export import export_saved_model
from fst.history import draw_curves
from fst.network import build_network
from fst.previews import Previews
from fst.recorders import Recorders
from fst.state import State, clean

WARMUP_STEPS = 100


class TrainingStep:
    """One training step: the network sees photos, the loss judges, Adam corrects.

    Args:
        config: a `TrainingConfig`.
        style: the style image, float32 `[H, W, 3]`, 0-255.
        strategy: the `tf.distribute.Strategy` that holds the variables.
    """

    def __init__(self, config, style, strategy):
        self.strategy = strategy
        with strategy.scope():
            keras.utils.set_random_seed(config.seed)
            self.network = build_network(config.width, dtype=config.precision)
            self.loss = build_loss(config, style, config.precision)
            self.optimizer = build_optimizer(config)
            self.optimizer.build(self.network.trainable_variables)
        self._replicas = strategy.num_replicas_in_sync
        # Without AutoGraph, which would read the source anew: it may be edited while a run goes on.
        self._function = tf.function(
            self._run, jit_compile=_use_xla(config, strategy), autograph=False
        )

    def __call__(self, photos):
        """Trains on `photos`, `[B, H, W, 3]`, and returns their `LossTerms` before the update."""
        with self.strategy.scope():
            return self._function(photos)

    def start_from(self, trained):
        """Takes over the weights of a trained style, a `Checkpoint`.

        Raises:
            UserError: it has another width.
        """
        width = trained.read_width()
        if width != self.network.get_layer("down1_conv").filters:
            raise UserError(
                f"--start-from {trained.folder.name}: has width {width}; give --width {width}"
            )
        self.network.set_weights(trained.read_network().get_weights())

    def _run(self, photos):
        if not tf.distribute.has_strategy():
            return self._on_replica(photos)
        terms = self.strategy.run(self._on_replica, (photos,))
        return perceptual.LossTerms(
            *(self.strategy.reduce(tf.distribute.ReduceOp.MEAN, term, axis=None) for term in terms)
        )

    def _on_replica(self, photos):
        content = self.loss.content_features(photos)
        with tf.GradientTape() as tape:
            stylised = self.network(photos, training=True)
            terms = self.loss(stylised, content)
            # The network's own losses keep its output off the ends of the pixel range.
            objective = terms.total + sum(self.network.losses)
            # Each replica has its share of the batch, and the optimizer adds their gradients up.
            objective = self.optimizer.scale_loss(objective / self._replicas)
        variables = self.network.trainable_variables
        self.optimizer.apply_gradients(
            zip(tape.gradient(objective, variables), variables, strict=True)
        )
        return terms


def train(config, on_progress=None, on_event=print):
    """Trains a style, or goes on with its training, and writes `<output>/<name>/`.

    Args:
        config: a `fst.config.TrainingConfig`.
        on_progress: called about once a second with a `Progress`.
        on_event: called with a line of text for what happens once, such as resuming.

    Returns:
        The finished `fst.checkpoint.Checkpoint`.

    Raises:
        UserError: whatever the user can put right; the state on disk is then the last good one.
    """
    if config.tensorboard:
        packages.need("tensorboard", "--tensorboard")
    target = checkpoint.Checkpoint(Path(config.output) / config.name)
    files.check_utf8(target.folder, "--output")
    style_hash, style = open_style(config)
    state = State.open(target, config, style_hash)
    if state.finished:
        on_event(f"{target.folder} is already trained ({config.steps} steps): nothing to do")
        return _wrap_up(target, config)
    with contextlib.closing(state):
        with workers.naming_lost_workers(config):
            strategy, chief = workers.make_strategy(config, on_event)
            # What may fail comes before `claim`, which removes the style that --overwrite replaces.
            photos = open_photos(config.content, holdout=config.holdout, seed=config.seed)
            for note in photos.notes:
                on_event(f"note: {note}")
            previews = Previews(target.previews_path, photos, config) if chief else None
            step = TrainingStep(config, style, strategy)
            if config.start_from and not state.step:
                step.start_from(checkpoint.find(config.start_from, config.output))

            state = workers.claim(state, strategy, chief)
            state.restore(step.network, step.optimizer)
            if state.step:
                on_event(f"{target.folder}: going on after step {state.step} of {config.steps}")
            recorders = (
                Recorders(target, config, photos, state, previews, on_progress) if chief else None
            )
            run_steps(config, step, photos, state, recorders)
        if chief:
            _finish(target, config, step.network, photos, style, state, on_event)
            _wrap_up(target, config)
        with workers.naming_lost_workers(config):
            # One that is gone before the chief is done would be taken for a crash.
            workers.meet(strategy)
    return target


def run_steps(config, step, photos, state, recorders):
    """The loop: every step, and what is done every so many of them.

    Args:
        config: the `TrainingConfig`.
        step: the `TrainingStep`.
        photos: where the batches come from (`fst.data`).
        state: how far the run has come; moved on with every step.
        recorders: what is written down; None in a worker that leaves this to the chief.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed, here or at another worker; the state after the step
            that was under way, or with several workers the one after, is saved.
    """
    stopping = workers.agreement(config, step.strategy)
    started = time.monotonic() - state.seconds
    try:
        with _held_interrupts() as interrupted:
            for batch in workers.share_batches(config, photos, step.strategy, state.step):
                losses = step(batch)
                state.step += 1
                state.seconds = time.monotonic() - started
                if recorders:
                    recorders.after_step(step, losses)
                if stopping(interrupted()):
                    break
    except tf.errors.OpError:
        photos.raise_failure()  # In the user's terms, where the photos were the cause.
        raise
    if stopping(interrupted()):
        if recorders:
            recorders.save(step)
        workers.meet(step.strategy)  # Until the chief has saved.
        raise KeyboardInterrupt


@contextlib.contextmanager
def _held_interrupts():
    """Holds Ctrl-C back until the step is done: amid it the weights are moved on, the count is not.

    A second Ctrl-C does not wait; a second SIGTERM does, for it may come of itself.

    Yields:
        A function that tells whether Ctrl-C was pressed.
    """
    came = []

    def hold(number, frame):
        if came and number == signal.SIGINT:
            raise KeyboardInterrupt
        came.append(number)

    held = []
    if threading.current_thread() is threading.main_thread():  # Only there signals arrive.
        numbers = (signal.SIGINT, signal.SIGTERM)
        held = [n for n in numbers if signal.getsignal(n) is signal.default_int_handler]
    for number in held:
        signal.signal(number, hold)
    try:
        yield lambda: bool(came)
    finally:
        for number in held:
            signal.signal(number, signal.default_int_handler)


def open_style(config):
    """The style image at `--style-size` and the SHA-256 of its file."""
    data = files.read_bytes(config.style)
    original = images.load_picture(config.style, data).rgb
    style = images.load_rgb(config.style, config.style_size, data)
    for picture, at in ((original, ""), (style, f" at --style-size {config.style_size}")):
        height, width, _ = picture.shape
        if min(height, width) < 32:
            raise UserError(
                f"{config.style}: is {width}x{height} px{at}; a style image needs at least 32 px "
                "on its short side"
            )
    return hashlib.sha256(data).hexdigest(), style


def build_loss(config, style, precision="float32"):
    """The `PerceptualLoss` that `config` describes, for a style image `[H, W, 3]`."""
    return perceptual.PerceptualLoss(
        perceptual.load_vgg19(config.vgg_weights, precision),
        [style],
        content_weight=config.content_weight,
        style_weight=config.style_weight,
        tv_weight=config.tv_weight,
        content_layers=config.content_layers,
        style_layers=config.style_layers,
        form=config.loss_form,
    )


def build_optimizer(config):
    """Adam (Johnson et al., section 4.1), warming up and decaying along a cosine to 1 %."""
    warmup = min(WARMUP_STEPS, config.steps // 10)
    rate = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=config.learning_rate * (0.01 if warmup else 1.0),
        decay_steps=config.steps - warmup,
        alpha=0.01,
        warmup_target=config.learning_rate if warmup else None,
        warmup_steps=warmup,
    )
    optimizer = keras.optimizers.Adam(rate)
    if config.precision == "mixed_float16":
        # Gradients this small would be zero in float16, bfloat16 has float32's range.
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer


def _use_xla(config, strategy):
    if config.xla != "auto":
        return config.xla == "on"
    # On a CPU oneDNN's convolutions are faster than XLA's (benchmarks/training.py shows both).
    return strategy.num_replicas_in_sync == 1 and bool(tf.config.list_physical_devices("GPU"))


def _finish(target, config, network, photos, style, state, on_event):
    """Writes what a finished style consists of; the card, which vouches for it, comes last."""
    with _writing(target):
        target.write_weights(network)
        network = target.read_network(config.width)
        export_saved_model(target.read_weights(config.width), target.saved_model_path)
        draw_curves(target.history_path, target.curves_path)
    if photos.held_out:
        on_event(f"measuring the losses on {len(photos.held_out)} photos kept out of training")
    loss = build_loss(config, style)
    card = make_card(config, network, loss, photos, style, state, target)
    with _writing(target):
        target.write_card(card)


@contextlib.contextmanager
def _writing(target):
    try:
        yield
    except (OSError, tf.errors.OpError) as error:  # The latter from TensorFlow's own writer.
        reason = first_line(error)
        raise UserError(
            f"{target.folder}: the trained style cannot be written ({reason}); make room and run "
            "the same command again, no training is lost"
        ) from error


def _wrap_up(target, config):
    if config.finish:
        clean(target.training_path)
    return target
