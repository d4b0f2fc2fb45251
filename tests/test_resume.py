"""Tests of runs that are stopped, by a kill at any moment or by a signal, and gone on with."""

import contextlib
import io
import random
import signal
import time
import zipfile
from pathlib import Path

import forks
import numpy as np
import pytest
from conftest import ending_after_the_steps
from PIL import Image
from tiny import command_of, litter, read_losses, read_state, read_weights, tiny_options

from fst.config import TrainingConfig

pytestmark = pytest.mark.slow

STEPS = 48

# `train.py`, with a network of one layer and a loss that take no time to compile but what they are
# told to, and with steps that are slow enough to be caught.
SCRIPT = """
import functools, sys, time
import keras, tensorflow as tf
from fst import errors
from fst.training import command, loop
from tests.tiny import PlainLoss, plain_network

compiling = float(sys.argv.pop(1))

class Slow(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        time.sleep(0.02)

class SlowToCompile(PlainLoss):
    def of_each(self, *arguments):
        if not tf.executing_eagerly():
            time.sleep(compiling)
        return super().of_each(*arguments)

parts = {"network": plain_network(), "loss": SlowToCompile(), "callbacks": [Slow()]}
loop.train = functools.partial(loop.train, **parts)
errors.run(command.main)
"""


# `train.py`, with the project's network, of one residual block.
OWN = """
from fst import errors
from fst.models import architecture
from fst.training import command

architecture.RESIDUAL_BLOCKS = 1
errors.run(command.main)
"""


def start(options, compiling=0.0):
    return forks.start("-c", SCRIPT, compiling, *command_of(options)[1:])


def finish(process):
    """Waits for the end of a run; returns what it said."""
    try:
        _, errors = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    return errors


@pytest.fixture(scope="module")
def options(photos, style, first_layers, tmp_path_factory):
    output = tmp_path_factory.mktemp("resume")
    return tiny_options(
        photos, style, first_layers, output, steps=STEPS, save_every=5, preview_every=12, holdout=1
    )


@pytest.fixture(scope="module")
def whole(options):
    """The folder of a run that was never stopped."""
    options = {**options, "name": "whole"}
    finish(start(options))
    return folder_of(options)


def folder_of(options):
    return Path(options["output"]) / options["name"]


def wait_for(moment, folder, process, seconds=300):
    """Returns when `moment(folder, now)` is true; fails if the process ends before.

    What a run before it has left behind is older than `now`, and does not make the moment.
    """
    end, now = time.monotonic() + seconds, time.time()
    while not moment(folder, now):
        assert process.poll() is None, f"the run ended before the moment '{moment.__name__}'"
        assert time.monotonic() < end, f"the moment '{moment.__name__}' did not come"
        time.sleep(0.001)


def rows(folder):
    try:  # A run that begins anew may remove it at any moment.
        return (folder / "history.csv").read_text().count("\n") - 1
    except FileNotFoundError:
        return 0


def being_written(path, since):
    """Whether a file below `path` is half-written."""
    for half in path.glob(".fst-*"):
        with contextlib.suppress(FileNotFoundError):
            if half.stat().st_mtime >= since:
                return True
    return False


def setting_up(folder, since):
    return (folder / "training").exists()


def stepping(folder, since):
    return rows(folder) >= 3


def stepped(folder, since):
    return rows(folder) >= 1


def compiling(folder, since):
    """The first step is under way."""
    drawn = folder / "previews" / "photos.jpg"
    return drawn.exists() and time.time() - drawn.stat().st_mtime > 0.5


def saving(folder, since):
    """A state is being written, and it is not the first."""
    caught = rows(folder) >= 8 and being_written(folder / "training", since)
    return caught or rows(folder) >= 20


def previewing(folder, since):
    path = folder / "previews"
    return (path / "step_000024.jpg").exists() or (
        rows(folder) >= 20 and being_written(path, since)
    )


def exporting(folder, since):
    return (folder / "network.keras").exists()


def weights_in(folder):
    """The weights in the file of a network that is not one of the project's."""
    with zipfile.ZipFile(folder / "network.keras") as file:
        return read_weights(io.BytesIO(file.read("model.weights.h5")))


def check_whole_files(folder):
    """What stands under a final name is whole, at whatever moment the run was killed."""
    if (folder / "training" / "state.npz").exists():
        assert read_state(folder)
    for path in folder.glob("previews/step_*.jpg"):
        with Image.open(path) as picture:
            picture.load()
    if (folder / "network.keras").exists():
        assert weights_in(folder)


def check_same(folder, whole):
    """The run in `folder` came to the same end as the one that was never stopped."""
    losses, expected = read_losses(folder), read_losses(whole)
    assert list(losses[:, 0]) == list(range(1, STEPS + 1))
    np.testing.assert_allclose(losses, expected, rtol=1e-4)
    weights = weights_in(folder)
    for name, array in weights_in(whole).items():
        np.testing.assert_allclose(weights[name], array, rtol=2e-3, atol=1e-4)
    names = {path.relative_to(whole) for path in whole.rglob("*")}
    assert {path.relative_to(folder) for path in folder.rglob("*")} == names
    assert not litter(folder)


def kill_at(moment, folder, process):
    try:
        wait_for(moment, folder, process)
        time.sleep(random.uniform(0, 0.05))
        assert process.poll() is None, f"the run ended at '{moment.__name__}'"
    finally:
        process.kill()
        process.wait()
    check_whole_files(folder)
    assert not (folder / "style.json").exists()


def test_killed_five_times(options, whole):
    options = {**options, "name": "killed"}
    folder = folder_of(options)
    for moment in (setting_up, stepping, saving, previewing, exporting):
        kill_at(moment, folder, start(options))
    finish(start(options))
    check_same(folder, whole)


@pytest.mark.usefixtures("one_block_here")
def test_killed_with_the_projects_own_network(options):
    from fst.training.loop import train

    layers = {"content_layers": ("relu1_1",), "style_layers": ("relu1_1",)}
    options = {**options, **layers, "preview_every": 1000, "holdout": 0}
    command = "-c", OWN, *command_of({**options, "name": "own"})[1:]
    folder = folder_of({**options, "name": "own"})
    kill_at(saving, folder, forks.start(*command))
    finish(forks.start(*command))
    with ending_after_the_steps():
        expected = train(TrainingConfig(**{**options, "name": "own_whole"}), on_event=str)
    np.testing.assert_allclose(read_losses(folder), read_losses(expected.folder), rtol=1e-4)
    assert read_weights(folder / "network.weights.h5")
    assert not litter(folder)


def test_signals_save_at_once(options, whole):
    # Only the signals save here: what is gone on with is what they have saved.
    options = {**options, "name": "signalled", "save_every": 1000, "preview_every": 1000}
    folder = folder_of(options)
    done_before = 0
    for number, moment in ((signal.SIGINT, stepped), (signal.SIGTERM, compiling)):
        (folder / "previews" / "photos.jpg").unlink(missing_ok=True)
        process = start(options, compiling=2.0 if moment is compiling else 0.0)
        try:
            wait_for(moment, folder, process)
            process.send_signal(number)
            _, errors = process.communicate(timeout=300)
        finally:
            process.kill()
        assert process.returncode == 130, errors
        assert errors.splitlines()[-1] == "stopped"
        assert "Traceback" not in errors
        saved = int(read_state(folder)["optimizer/adam/iteration"])
        assert list(read_losses(folder)[:, 0]) == list(range(1, saved + 1))
        assert done_before < saved < STEPS
        done_before = saved
        assert not litter(folder)
    errors = finish(start({**options, "preview_every": 12}))
    assert f"going on after step {done_before} of {STEPS}" in errors
    np.testing.assert_allclose(read_losses(folder), read_losses(whole), rtol=1e-4)
