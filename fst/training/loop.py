"""Training a network on one style image (Johnson et al. 2016, section 3), or on several at once.

    photos ──► network ──► stylised photos ──► perceptual loss ◄── style image
                  ▲                                  │
                  └─────────── Adam ◄── gradient ────┘

`train` is the whole of it, `run_steps` the loop, `TrainingStep` its inside: one `tf.function`. Of
several styles every photo of a batch gets its own (Dumoulin et al. 2017, section 2.2).
"""

import contextlib
import signal
import threading
import time
from pathlib import Path
from typing import NamedTuple

import keras
import tensorflow as tf

from fst import checkpoint, files, packages
from fst.config import NOTHING
from fst.errors import UserError, first_line
from fst.export import export_styles
from fst.models import perceptual
from fst.models.lattice import lattice_term
from fst.models.network import build_network, paint
from fst.models.precision import resolve
from fst.training import gallery, workers
from fst.training.card import make_card, measure
from fst.training.data import open_photos
from fst.training.history import draw_curves
from fst.training.previews import Previews
from fst.training.recorders import Recorders
from fst.training.start import freeze_convolutions, start_from
from fst.training.state import State, clean
from fst.training.style_images import open_styles

WARMUP_STEPS = 100


class StepResult(NamedTuple):
    """What a step found, before it corrected anything.

    `terms` are the batch's `LossTerms`, `by_style` float32 `[styles, 3]`: for every style the sums
    of its photos' content and style terms, and how many photos there were.
    """

    terms: perceptual.LossTerms
    by_style: object


class TrainingStep:
    """One training step: the network sees photos, the loss judges, Adam corrects.

    Args:
        config: a `TrainingConfig`.
        styles: the style images, each float32 `[H, W, 3]`, 0-255.
        strategy: the `tf.distribute.Strategy` that holds the variables.
    """

    def __init__(self, config, styles, strategy):
        self.strategy = strategy
        self.precision = precision = resolve(config.precision)
        with strategy.scope():
            keras.utils.set_random_seed(config.seed)
            self.network = build_network(config.width, precision, len(styles))
            if config.learn == "style":
                freeze_convolutions(self.network)
            self.loss = build_loss(config, styles, precision)
            self.optimizer = build_optimizer(config)
            self.optimizer.build(self.network.trainable_variables)
        self._replicas, self._clip_norm = strategy.num_replicas_in_sync, config.clip_norm
        self._lattice_weight = config.lattice_weight
        # Without AutoGraph, which would read the source anew: it may be edited while a run goes on.
        self._function = tf.function(
            self._run, jit_compile=_use_xla(config, strategy), autograph=False
        )

    def __call__(self, batch):
        """Trains on `batch`, a pair as `data` gives them, and returns a `StepResult`."""
        with self.strategy.scope():
            return self._function(*batch)

    def _run(self, photos, styles):
        if not tf.distribute.has_strategy():
            return self._on_replica(photos, styles)
        terms, by_style = self.strategy.run(self._on_replica, (photos, styles))
        reduce, how = self.strategy.reduce, tf.distribute.ReduceOp
        mean = (reduce(how.MEAN, term, axis=None) for term in terms)
        return StepResult(perceptual.LossTerms(*mean), reduce(how.SUM, by_style, axis=None))

    def _on_replica(self, photos, styles):
        shares = tf.one_hot(styles, self.loss.styles)
        content = self.loss.content_features(photos)
        with tf.GradientTape() as tape:
            stylised = paint(self.network, photos, shares, training=True)
            each = self.loss.of_each(stylised, content, shares)
            terms = perceptual.LossTerms(*map(tf.reduce_mean, each))
            # The network's own losses keep its output off the ends of the pixel range.
            objective = terms.total + sum(self.network.losses)
            if self._lattice_weight:
                objective += self._lattice_weight * tf.reduce_mean(lattice_term(stylised))
            # Each replica has its share of the batch, and the optimizer adds their gradients up.
            objective = self.optimizer.scale_loss(objective / self._replicas)
        variables = self.network.trainable_variables
        gradients = self._clipped(tape.gradient(objective, variables))
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        counted = tf.stack([each.content, each.style, tf.ones_like(each.style)], axis=1)
        return StepResult(terms, tf.matmul(shares, counted, transpose_a=True))

    def _clipped(self, gradients):
        """The gradients, shortened together where they are longer than `--clip-norm`.

        Not by the optimizer's own option, which measures each replica's gradients alone.
        """
        if self._replicas > 1:
            context, how = tf.distribute.get_replica_context(), tf.distribute.ReduceOp.SUM
            gradients = context.all_reduce(how, gradients)
        limit = self.optimizer.scale_loss(tf.constant(self._clip_norm))
        gradients, _ = tf.clip_by_global_norm(gradients, limit)
        # The optimizer will add up what all replicas have, which is the same by now.
        return [gradient / self._replicas for gradient in gradients]


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
    styles = open_styles(config)
    if config.add_to and gallery.check_room(config, styles):
        on_event(f"{config.add_to} has {config.name} already: nothing to do")
        return checkpoint.find_folder(config.add_to, config.output)
    state = State.open(target, config, [style.sha256 for style in styles])
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
            previews = (
                Previews(target.previews_path, photos, config, len(styles)) if chief else None
            )
            step = TrainingStep(config, [style.image for style in styles], strategy)
            if config.start_from != NOTHING and not state.step:
                start_from(config, step, photos, styles, on_event)

            state = workers.claim(state, strategy, chief)
            state.restore(step.network, step.optimizer)
            if state.step:
                on_event(f"{target.folder}: going on after step {state.step} of {config.steps}")
            names = [style.name for style in styles]
            recorders = (
                Recorders(target, config, photos, state, previews, names, on_progress)
                if chief
                else None
            )
            run_steps(config, step, photos, state, recorders)
        if chief:
            _finish(target, config, step.network, photos, styles, state, on_event)
            target = _wrap_up(target, config)
        with workers.naming_lost_workers(config):
            # One that is gone before the chief is done would be taken for a crash.
            workers.meet(strategy)
    return target


def run_steps(config, step, photos, state, recorders):
    """The loop: every step, and what is done every so many of them.

    Args:
        config: the `TrainingConfig`.
        step: the `TrainingStep`.
        photos: where the batches come from (`fst.training.data`).
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
            for batch in workers.share_batches(config, photos, step, state.step):
                result = step(batch)
                state.step += 1
                state.seconds = time.monotonic() - started
                if recorders:
                    recorders.after_step(step, result)
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


def build_loss(config, styles, precision="float32"):
    """The `PerceptualLoss` that `config` describes, for style images `[H, W, 3]`."""
    return perceptual.PerceptualLoss(
        perceptual.load_vgg19(config.vgg_weights, precision),
        styles,
        separate=True,
        content_weight=config.content_weight,
        style_weight=config.for_each_style("style_weight", len(styles)),
        tv_weight=config.tv_weight,
        content_layers=config.content_layers,
        style_layers=config.style_layers,
        style_layer_weights=config.style_layer_weights or None,
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
    if resolve(config.precision) == "mixed_float16":
        # Gradients this small would be zero in float16, bfloat16 has float32's range.
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer


def _use_xla(config, strategy):
    if config.xla != "auto":
        return config.xla == "on"
    # On a CPU oneDNN's convolutions are faster than XLA's (benchmarks/training.py shows both).
    return strategy.num_replicas_in_sync == 1 and bool(tf.config.list_physical_devices("GPU"))


def _finish(target, config, network, photos, styles, state, on_event):
    """Writes what a finished style consists of; the card, which vouches for it, comes last."""
    with _writing(target):
        target.write_weights(network)
        draw_curves(target.history_path, target.curves_path)
    names = [style.name for style in styles]
    with _writing(target):
        export_styles(target.read_all_weights(config.width), names, target.saved_model_path)
    losses = [None] * len(styles)
    if photos.held_out:
        on_event(f"measuring the losses on {len(photos.held_out)} photos kept out of training")
        trained = target.read_conditional(config.width)
        loss = build_loss(config, [style.image for style in styles])
        losses = [measure(trained, loss, photos, index) for index in range(len(styles))]
    card = make_card(config, network, losses, photos, styles, state, target)
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
    if config.add_to:
        card = target.read_card()
        added = gallery.add(config, target.read_all_weights(), card)
        clean(target.folder)
        return added
    if config.finish:
        clean(target.training_path)
    return target
