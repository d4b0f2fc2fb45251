"""Training a network on one style image (Johnson et al. 2016, section 3), or on several at once.

    photos ──► network ──► stylised photos ──► perceptual loss ◄── style image
                  ▲                                  │
                  └─────────── Adam ◄── gradient ────┘

`train` is the whole of it, `run_steps` the loop, `TrainingStep` its inside: one `tf.function`
around a step of `fst.models.style_transfer.StyleTransfer`, by which Keras's `fit` learns too. Of
several styles every photo of a batch gets its own (Dumoulin et al. 2017, section 2.2).
"""

import contextlib
import random
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from fst import checkpoint, collection, files, packages
from fst.config import NOTHING, TrainingConfig
from fst.errors import UserError
from fst.export import export_styles
from fst.models import perceptual
from fst.models.network import build_network
from fst.models.precision import resolve
from fst.models.style_transfer import StepResult, StyleTransfer
from fst.training import gallery, handed_in, workers
from fst.training.callbacks import Progress
from fst.training.card import make_card, measure
from fst.training.data import open_photos, take_photos
from fst.training.guard import Jumped
from fst.training.handed_in import OUR_OWN, HandedIn
from fst.training.history import draw_curves
from fst.training.own_network import write_own_network
from fst.training.previews import choose_previews
from fst.training.recorders import make_recorders
from fst.training.start import check_kept, freeze_convolutions, start_from
from fst.training.state import State, clean, writing
from fst.training.style_images import open_styles
from fst.words import plural

WARMUP_STEPS = 100

GOINGS_BACK = 3
"""How often a run goes back where its loss jumps, before it ends."""


class TrainingStep:
    """One training step: the network sees photos, the loss judges, the optimizer corrects.

    Attributes:
        model: the `StyleTransfer`, compiled; `network`, `loss` and `optimizer` are its parts.

    Args:
        config: a `TrainingConfig`.
        styles: the style images, each float32 `[H, W, 3]`, 0-255.
        strategy: the `tf.distribute.Strategy` that holds the variables.
        given: what of the parts was handed in.
    """

    def __init__(self, config, styles, strategy, given=OUR_OWN):
        self.strategy, self.given = strategy, given
        self.precision = precision = resolve(config.precision)
        with strategy.scope():
            self.network = given.network
            if given.network is None:
                count = len(styles)
                self.network = build_network(config.width, precision, count, config.seed)
            if config.learn == "style":
                freeze_convolutions(self.network)
            self.loss = given.loss or build_loss(config, styles, precision, light=True)
            self.model = StyleTransfer(
                self.network,
                self.loss,
                lattice_weight=config.lattice_weight,
                clip_norm=config.clip_norm,
            )
            self._rate = build_rate(config)
            self.model.compile(given.optimizer or build_optimizer(config, self._rate))
            self.optimizer = self.model.optimizer
            handed_in.check_optimizer(self.optimizer, self.network)
            self.optimizer.build(self.network.trainable_variables)
        # Without AutoGraph, which would read the source anew: it may be edited while a run goes on.
        self._function = tf.function(
            self._run, jit_compile=_use_xla(config, strategy), autograph=False
        )

    def __call__(self, batch):
        """Trains on `batch`, a pair as `data` gives them, and returns a `StepResult`."""
        with self.strategy.scope():
            return self._function(*batch)

    def lower_rate(self, jumps, restored=False):
        """Lowers the learning rate to half for each of so many jumps.

        Args:
            jumps: all until now; the optimizer's rate has been lowered for all but the last.
            restored: it has been for that one too, where it is among the optimizer's variables.

        Raises:
            UserError: it follows a schedule that was handed in.
        """
        if self.given.optimizer is None:
            self._rate.factor.assign(0.5**jumps)
            return
        if restored:
            return
        try:
            self.optimizer.learning_rate = 0.5 * float(self.optimizer.learning_rate)
        except TypeError as error:  # From Keras, where there is a schedule.
            raise UserError(
                "the loss has jumped, and the optimizer that was handed in has a schedule of its "
                "own: lower its learning rate"
            ) from error

    def _run(self, photos, styles):
        if not tf.distribute.has_strategy():
            return self.model.learn(photos, styles)
        result = self.strategy.run(self.model.learn, (photos, styles))
        reduce, how = self.strategy.reduce, tf.distribute.ReduceOp
        means = [reduce(how.MEAN, value, axis=None) for value in (result.objective, *result.terms)]
        by_style = reduce(how.SUM, result.by_style, axis=None)
        return StepResult(means[0], perceptual.LossTerms(*means[1:]), by_style)


def train(
    config: TrainingConfig,
    on_progress: Callable[[Progress], object] | None = None,
    on_event: Callable[[str], object] = print,
    *,
    photos: Any = None,
    network: keras.Model | None = None,
    loss: Any = None,
    optimizer: keras.optimizers.Optimizer | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> checkpoint.Checkpoint:
    """Trains a style, or goes on with its training, and writes `<output>/<name>/`.

    What is handed in replaces what `config` describes. To continue a run, hand in the same
    again.

    Args:
        config: a `fst.config.TrainingConfig`.
        on_progress: called about once a second with a `Progress`.
        on_event: called with a line of text for what happens once, such as resuming.
        photos: the content photos, each `[H, W, 3]`, RGB, 0-255: see
            `fst.training.data.take_photos`.
        network: a `keras.Model` from photos `[B, H, W, 3]`, 0-255, of any size to pictures of the
            same; of several styles it takes the list of them and the shares `[B, styles]`. It is
            trained as it is, from its own weights. Name its layers: the saved state goes by their
            names, and those that Keras makes up are numbered anew. If it is not from
            `build_network` of `config.width`, it is written as `network.keras` and as a SavedModel,
            and `fst.load` does not take it.
        loss: a `PerceptualLoss` of these styles, or what has its `content_features`, `of_each` and
            `styles`.
        optimizer: of Keras, new.
        callbacks: of Keras. Their `model` is the `StyleTransfer`, the whole run one epoch, and the
            logs are each batch's own `loss` and terms; `stop_training` ends the run early.

    Returns:
        The finished `fst.checkpoint.Checkpoint`.

    Raises:
        UserError: whatever the user can put right; the state on disk is then the last good one.
        ValueError: what was handed in cannot work; it names the argument.
    """
    given, callbacks = HandedIn(network, loss, optimizer), list(callbacks)
    handed_in.check(config, given, callbacks)
    with _own_random_state():
        try:
            return _train(config, on_progress, on_event, photos, given, callbacks)
        except tf.errors.ResourceExhaustedError as error:
            raise UserError(
                "training does not fit in memory: lower ‹batch_size›, ‹crop_size› or ‹style_size›"
            ) from error


@contextlib.contextmanager
def _own_random_state():
    """Gives Python's and NumPy's random state back as they were.

    The initial weights have a seed of their own; but whatever else Keras builds draws from these.
    """
    python, numpy = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def _train(config, on_progress, on_event, photos, given, callbacks):
    if config.tensorboard:  # TensorFlow would find it missing only when it writes the first number.
        packages.need("tensorboard", "‹tensorboard›")
    target = checkpoint.Checkpoint(Path(config.output) / config.name)
    files.check_utf8(target.folder, "‹output›")
    styles = open_styles(config)
    handed_in.check_styles(given, len(styles))
    if config.add_to and gallery.check_room(config, styles):
        on_event(f"{config.add_to} has {config.name} already: nothing to do")
        return collection.find_folder(config.add_to, config.output)
    if config.add_to and given.network is not None:
        gallery.check_network(config, given.network)
    state = State.open(target, config, [style.sha256 for style in styles])
    if state.finished:
        on_event(f"{target.folder} is already trained ({config.steps} steps): nothing to do")
        _tell_of_other_photos(target, config, on_event)
        return _wrap_up(target, config)
    with contextlib.closing(state):
        with workers.naming_lost_workers(config):
            strategy, chief = workers.make_strategy(config, on_event)
            # What may fail comes before `claim`, which removes the style that --overwrite replaces.
            photos = _open_photos(config, photos)
            for note in photos.notes:
                on_event(f"note: {note}")
            previews = choose_previews(photos, config, len(styles)) if chief else None
            step = TrainingStep(config, [style.image for style in styles], strategy, given)
            if config.start_from != NOTHING and not state.step and given.network is None:
                if config.overwrite:
                    check_kept(config, target)
                start_from(config, step, photos, styles, on_event)

            state = workers.claim(state, strategy, chief)
            state.restore(step.network, step.optimizer)
            if state.step:
                on_event(f"{target.folder}: going on after step {state.step} of {config.steps}")
            names = [style.name for style in styles]
            step.lower_rate(state.jumps, restored=True)

            def recorders():
                if not chief:
                    return []
                parts = (target, config, photos, state, step, previews, names)
                return make_recorders(*parts, on_progress)

            run_steps(config, step, photos, state, recorders, callbacks, on_event)
        if chief:
            _finish(target, config, step, photos, styles, state, on_event)
            target = _wrap_up(target, config)
        with workers.naming_lost_workers(config):
            # One that is gone before the chief is done would be taken for a crash.
            workers.meet(strategy)
    return target


def _tell_of_other_photos(target, config, on_event):
    """A note where the style was trained on other photos than those that are named now."""
    before, now = target.read_card()["config"].get("content", ""), config.to_json()["content"]
    if before != now:
        before, now = (name or "the sample photos" for name in (before, now))
        on_event(f"note: it was trained on {before}, not on {now}; to train it anew, overwrite it")


def _open_photos(config, given):
    if given is None:
        # Previews of this and of other styles would become photos of a run that goes on.
        ours = (config.output, Path(config.output) / config.name)
        return open_photos(config.content, holdout=config.holdout, seed=config.seed, without=ours)
    return take_photos(given, holdout=config.holdout, seed=config.seed)


def run_steps(config, step, photos, state, recorders, callbacks=(), on_event=print):
    """The loop, and what is done where the loss jumps: it goes back, and on at half the rate.

    Args:
        config: the `TrainingConfig`.
        step: the `TrainingStep`.
        photos: where the batches come from (`fst.training.data`).
        state: how far the run has come; moved on with every step.
        recorders: a function that gives the callbacks of `make_recorders` from the state's step
            on; none in a worker that leaves this to the chief.
        callbacks: of Keras, those that were handed in.
        on_event: called with a line when it goes back.

    Raises:
        UserError: the loss has jumped once more after `GOINGS_BACK` times.
        KeyboardInterrupt: as `_run_steps`.
    """
    while True:
        try:
            return _run_steps(config, step, photos, state, recorders(), callbacks)
        except Jumped:
            on_event(_go_back(config, step, state))


def _go_back(config, step, state):
    """Goes back to the last good state and halves the learning rate; returns what is told."""
    jumped_at = state.step
    if config.distribute == "multiworker" or state.jumps == GOINGS_BACK:
        times = f", {state.jumps} times halved already" if state.jumps else ""
        raise UserError(
            f"the loss has jumped before step {jumped_at} and does not come back: lower "
            f"‹learning_rate› (now {config.learning_rate:g}{times}), under another ‹name› or with "
            f"‹overwrite›; the state after step {state.saved_step} is kept"
        )
    state.jumps += 1
    state.go_back(step.network, step.optimizer)
    step.lower_rate(state.jumps)
    state.save(step.network, step.optimizer)  # So that a run that is stopped now goes on alike.
    return (
        f"the loss has jumped before step {jumped_at} and does not come back: going back to step "
        f"{state.step}, and on with half the learning rate ({state.jumps} of {GOINGS_BACK} times)"
    )


def _run_steps(config, step, photos, state, recorders, callbacks):
    """Every step, and what is called after each.

    Raises:
        Jumped: the loss has jumped.
        KeyboardInterrupt: Ctrl-C was pressed, here or at another worker; the state after the step
            that was under way, or with several workers the one after, is saved.
    """
    stopping = workers.agreement(config, step.strategy)
    told = _Told(config, step.model, recorders, callbacks)
    started = time.monotonic() - state.seconds
    try:
        with _held_interrupts() as interrupted:
            told.begin()
            for batch in workers.share_batches(config, photos, step, state.step):
                told.before_step(state.step + 1)
                result = step(batch)
                state.step += 1
                state.seconds = time.monotonic() - started
                told.after_step(state.step, result)
                if stopping(interrupted()) or step.model.stop_training:
                    break
    except tf.errors.OpError:
        photos.raise_failure()  # In words for the user, if the photos were the cause.
        raise
    if stopping(interrupted()):
        if recorders:
            recorders[-1].save_now()
        workers.meet(step.strategy)  # Until the chief has saved.
        raise KeyboardInterrupt
    told.end()


class _Told:
    """The callbacks of a run: the recorders, and those that were handed in.

    The recorders get the numbers as they are, still on the device; Keras, which makes them Python's
    for its callbacks, would wait for every step.
    """

    def __init__(self, config, model, recorders, callbacks):
        model.stop_training = False
        self._recorders, self._logs = recorders, {}
        params = {"epochs": 1, "steps": config.steps, "verbose": 0}
        self._others = (
            keras.callbacks.CallbackList(callbacks, model=model, **params) if callbacks else None
        )
        for recorder in recorders:
            recorder.set_model(model)
            recorder.set_params(params)

    def begin(self):
        for recorder in self._recorders:
            recorder.on_train_begin()
        if self._others:
            self._others.on_train_begin()
            self._others.on_epoch_begin(0)

    def before_step(self, number):
        if self._others:
            self._others.on_train_batch_begin(number - 1)

    def after_step(self, number, result):
        self._logs = result.logs()
        # First those that were handed in: what they do to the network belongs to the saved state.
        if self._others:
            self._others.on_train_batch_end(number - 1, self._logs)
        for recorder in self._recorders:
            recorder.on_train_batch_end(number - 1, {**self._logs, "by_style": result.by_style})

    def end(self):
        for recorder in self._recorders:
            recorder.on_train_end()
        if self._others:
            self._others.on_epoch_end(0, self._logs)
            self._others.on_train_end(self._logs)


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


def build_loss(config, styles, precision="float32", kind=perceptual.PerceptualLoss, light=False):
    """The `PerceptualLoss` that `config` describes, for style images `[H, W, 3]`.

    `kind` is the class, a subclass for a loss of one's own; `light` says that it is for the steps,
    for which `config` may want the light network.
    """
    return kind(
        perceptual.load_vgg19(config.step_weights if light else config.vgg_weights, precision),
        styles,
        separate=True,
        content_weight=config.content_weight,
        style_weight=config.for_each_style("style_weight", len(styles)),
        tv_weight=config.tv_weight,
        content_layers=config.content_layers,
        style_layers=config.style_layers,
        style_layer_weights=config.layer_weights_of_each(len(styles)),
        form=config.loss_form,
    )


@keras.saving.register_keras_serializable("fst")
class Halvable(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule times a factor, a variable, that may be changed as training goes on."""

    def __init__(self, schedule, factor=1.0):
        super().__init__()
        self.schedule = schedule
        self.factor = keras.Variable(factor, trainable=False, dtype="float32", name="factor")

    def __call__(self, step):
        return self.schedule(step) * self.factor

    def get_config(self):
        schedule = keras.saving.serialize_keras_object(self.schedule)
        return {"schedule": schedule, "factor": float(self.factor)}

    @classmethod
    def from_config(cls, config):
        schedule = keras.saving.deserialize_keras_object(config["schedule"])
        return cls(schedule, config["factor"])


def build_rate(config):
    """The learning rate: warming up, then decaying along a cosine to 1 %."""
    warmup = min(WARMUP_STEPS, config.steps // 10)
    return Halvable(
        keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=config.learning_rate * (0.01 if warmup else 1.0),
            decay_steps=config.steps - warmup,
            alpha=0.01,
            warmup_target=config.learning_rate if warmup else None,
            warmup_steps=warmup,
        )
    )


def build_optimizer(config, rate=None):
    """Adam (Johnson et al., section 4.1) with this learning rate, or that of `build_rate`."""
    optimizer = keras.optimizers.Adam(build_rate(config) if rate is None else rate)
    if resolve(config.precision) == "mixed_float16":
        # Gradients this small would be zero in float16, bfloat16 has float32's range.
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer


def _use_xla(config, strategy):
    if config.xla != "auto":
        return config.xla == "on"
    # On a CPU oneDNN's convolutions are faster than XLA's (benchmarks/training.py shows both).
    return strategy.num_replicas_in_sync == 1 and bool(tf.config.list_physical_devices("GPU"))


def _finish(target, config, step, photos, styles, state, on_event):
    """Writes what a finished style consists of; the card, which vouches for it, comes last."""
    network, names = step.network, [style.name for style in styles]
    of_table = handed_in.is_of_table(network, config.width, len(styles))
    with writing(target.folder):
        draw_curves(target.history_path, target.curves_path)
        if of_table:
            target.write_weights(network)
            export_styles(target.read_all_weights(config.width), names, target.saved_model_path)
        else:
            write_own_network(target.folder, target.saved_model_path, network)
    losses = [None] * len(styles)
    if photos.held_out:
        held_out = plural(len(photos.held_out), "photo")
        on_event(f"measuring the losses on {held_out} kept out of training")
        trained = target.read_conditional(config.width) if of_table else network
        loss = step.given.loss or build_loss(config, [style.image for style in styles])
        losses = [measure(trained, loss, photos, index) for index in range(len(styles))]
    card = make_card(config, network, losses, photos, styles, state, target)
    if step.given.network is not None:
        card["started_from"] = None  # It came with weights of its own.
    if named := [name for name, value in step.given._asdict().items() if value is not None]:
        card["handed_in"] = named
    with writing(target.folder):
        target.write_card(card)


def _wrap_up(target, config):
    if config.add_to:
        card = target.read_card()
        added = gallery.add(config, target.read_all_weights(), card)
        # First, so that a kill amid the rest leaves no style that hides the gallery's.
        target.card_path.unlink(missing_ok=True)
        clean(target.folder)
        return added
    if config.finish:
        clean(target.training_path)
    return target
