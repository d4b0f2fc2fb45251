"""The guard against jumps: what it takes for one, and what a run does then."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import draw_photo, ending_after_the_steps
from tiny import PlainLoss, plain_network, read_losses, read_state, tiny_options

from fst.config import TrainingConfig
from fst.errors import UserError
from fst.training import loop
from fst.training.guard import JumpGuard
from fst.training.loop import train

STEPS, EVERY = 140, 20
LEVELS = np.array([1.0, 5.0])  # of two styles


def window(guard, factor=1.0, seed=0, steps=60, share=0.5, noise=0.2):
    """Adds a window of steps of one photo each, of the first style with the chance `share`."""
    random = np.random.default_rng(seed)
    for _ in range(steps):
        row = np.zeros((2, 4))
        style = int(random.random() >= share)
        total = factor * LEVELS[style] * (1 + noise * random.normal())
        row[style] = 0, 0, 1, total
        guard.add(row)


def test_two_high_windows_are_a_jump_and_one_is_none():
    guard = JumpGuard(2)
    told = []
    for seed, factor in enumerate((1, 1, 1.5, 1, 1.5, 1.5)):
        window(guard, factor, seed)
        told.append((guard.suspect, guard.judge()))
    assert [jumped for _, jumped in told] == [False] * 5 + [True]
    assert [suspect for suspect, _ in told] == [False, False, False, True, False, True]


def test_noise_falling_losses_and_a_dearer_style_are_none():
    guard = JumpGuard(2)
    for seed in range(200):  # Of which more and more is of the style with the higher losses.
        window(guard, 0.99**seed, seed, share=1 - seed / 200, noise=0.4)
        assert not guard.judge()
        assert not guard.suspect


def test_a_rise_within_the_noise_is_none():
    guard = JumpGuard(1)

    def add(total):
        guard.add(np.array([[0.0, 0.0, 1.0, total]]))

    for _ in range(3):
        for step in range(20):
            add(0.1 if step % 2 else 1.9)
        assert not guard.judge()
    for step in range(20):  # A third more, and the standard error is a fifth.
        add(0.3 if step % 2 else 2.36)
    assert not guard.judge()
    assert not guard.suspect


def test_the_last_window_need_not_wait_and_a_short_one_tells_nothing():
    guard = JumpGuard(2)
    window(guard)
    assert not guard.judge()
    window(guard, 9.0, steps=5)
    assert not guard.judge(last=True)
    window(guard, 9.0)
    assert guard.judge(last=True)


def test_is_settled_where_all_that_it_was_told_is_judged():
    guard = JumpGuard(2)
    assert guard.settled
    for steps, settled in ((15, False), (15, True), (30, True)):
        window(guard, steps=steps)
        guard.judge()
        assert guard.settled == settled


def test_goes_on_from_what_it_saved():
    whole, halves = JumpGuard(2), JumpGuard(2)
    for guard in (whole, halves):
        window(guard)
        guard.judge()
        window(guard, 1.3, seed=1, steps=30)
    halves = JumpGuard(2, halves.to_json())
    for guard in (whole, halves):
        window(guard, 1.3, seed=2, steps=30)
        guard.judge()
    assert whole.to_json() == halves.to_json()
    assert whole.suspect == halves.suspect


# --- In a run ------------------------------------------------------------------------------------


class Jumping(PlainLoss):
    """The loss of a run; it says to be `factor` times as high, and teaches the same."""

    def __init__(self):
        self.factor = tf.Variable(1.0, trainable=False)

    def of_each(self, *arguments):
        terms = super().of_each(*arguments)
        return type(terms)(*(t + tf.stop_gradient((self.factor - 1.0) * t) for t in terms))


class Jump(keras.callbacks.Callback):
    """Makes the loss twenty times as high from step 62 on, unless the rate was halved so often.

    Args:
        loss: the `Jumping`.
        whole_rate: a function from the steps done to the learning rate that was not halved.
        calm_after: so often.
        stop_at: a step that is the last, as if the run were killed.
    """

    def __init__(self, loss, whole_rate, calm_after=1, stop_at=None):
        super().__init__()
        self._loss, self._whole_rate = loss, whole_rate
        self._calm_after, self._stop_at = calm_after, stop_at

    def on_train_begin(self, logs=None):
        self._set()

    def on_train_batch_end(self, batch, logs=None):
        self._set()
        if batch + 1 == self._stop_at:
            raise KeyboardInterrupt

    def _set(self):
        """Sets the factor for the next step."""
        optimizer = self.model.optimizer
        done, high = int(optimizer.iterations.numpy()), False
        if done >= 61:  # Before, nobody asks for the rates, which take longer than a step.
            halved = float(optimizer.learning_rate) / self._whole_rate(done)
            high = halved > 1.1 * 0.5**self._calm_after
        self._loss.factor.assign(20.0 if high else 1.0)


@pytest.fixture(scope="module")
def jumping(style, tmp_path_factory):
    """A function that trains where the loss jumps; gives the folder and what was told."""
    sizes = {"steps": STEPS, "save_every": EVERY, "preview_every": 1000}
    options = tiny_options("", style, "", tmp_path_factory.mktemp("jumping"), **sizes)
    # Handed in, and small, so that the many steps read no files.
    loss, photos = Jumping(), [draw_photo(seed, 40, 40) for seed in range(6)]
    rate = loop.build_rate(TrainingConfig(**options))
    ours = functools.cache(lambda done: float(rate(done)))

    def run(name, on_event=None, optimizer=None, whole_rate=None, save_every=EVERY, **jump):
        changes = {"name": name, "save_every": save_every}
        events, config = [], TrainingConfig(**{**options, **changes})
        jumps = Jump(loss, whole_rate or ours, **jump)
        given = {"network": plain_network(), "loss": loss, "optimizer": optimizer}
        given["photos"] = photos
        with ending_after_the_steps():
            done = train(config, None, on_event or events.append, callbacks=[jumps], **given)
        return done.folder, events

    return run


@pytest.fixture(scope="module")
def whole(jumping):
    """A run that goes back once: its folder and what was told."""
    return jumping("whole")


def test_a_run_goes_back_by_itself_and_on_at_half_the_rate(whole):
    folder, events = whole
    (told,) = [line for line in events if "jumped" in line]
    # Steps 61 to 80 are suspect, 81 to 100 too; the last good state is that of step 60.
    assert told.startswith("the loss has jumped before step 100 and does not come back")
    assert "going back to step 60" in told
    assert "half the learning rate (1 of 3 times)" in told
    losses = read_losses(folder)
    assert losses[:, 0].tolist() == list(range(1, STEPS + 1))
    assert losses[60:, 1].max() < 2 * losses[40:60, 1].mean()
    assert int(read_state(folder)["optimizer/adam/iteration"]) == STEPS


def test_a_run_that_saves_amid_windows_goes_back_to_before_the_jump(jumping):
    _, events = jumping("often", save_every=5)
    assert sum("going back to step 60" in line for line in events) == 1


@pytest.mark.parametrize("stop_at", [75, 95, 65])
def test_stopped_and_gone_on_with_it_goes_back_alike(jumping, whole, stop_at):
    name = f"stopped_{stop_at}"
    with pytest.raises(KeyboardInterrupt):
        jumping(name, stop_at=stop_at)
    folder, events = jumping(name)
    assert sum("going back to step 60" in line for line in events) == 1
    np.testing.assert_allclose(read_losses(folder), read_losses(whole[0]), rtol=1e-4)


def test_stopped_after_going_back_it_keeps_the_lower_rate(jumping, whole):
    class Stop(Exception):
        pass

    def stop(line):
        if "jumped" in line:
            raise Stop

    with pytest.raises(Stop):
        jumping("halved", on_event=stop)
    folder, events = jumping("halved")
    assert any("going on after step 60" in line for line in events)
    assert not any("jumped" in line for line in events)
    np.testing.assert_allclose(read_losses(folder), read_losses(whole[0]), rtol=1e-4)


def test_after_three_times_it_ends_and_keeps_the_good_state(jumping):
    told = []
    with pytest.raises(UserError, match="3 times halved already") as error:
        jumping("never_calm", on_event=told.append, calm_after=9)
    assert "\n" not in str(error.value)
    assert "the state after step 60 is kept" in str(error.value)
    assert [line.partition("rate (")[2] for line in told] == [
        f"{count} of 3 times)" for count in (1, 2, 3)
    ]


def test_the_rate_of_an_optimizer_handed_in_is_halved_too(jumping):
    optimizer = keras.optimizers.SGD(0.01)
    _, events = jumping("own", optimizer=optimizer, whole_rate=lambda done: 0.01)
    assert sum("going back to step 60" in line for line in events) == 1
    assert float(optimizer.learning_rate) == pytest.approx(0.005)


def test_the_schedule_of_an_optimizer_handed_in_cannot_be_halved(jumping):
    schedule = keras.optimizers.schedules.CosineDecay(0.01, STEPS)
    with pytest.raises(UserError, match="a schedule of its own: lower its learning rate"):
        jumping(
            "scheduled",
            optimizer=keras.optimizers.SGD(schedule),
            whole_rate=lambda done: float(schedule(done)),
        )
