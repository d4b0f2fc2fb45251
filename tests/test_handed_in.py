"""What `train` lets be handed in: the examples, run as their users do, and what cannot work."""

import json
import multiprocessing
import os
import runpy
import threading
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT, draw_photo, run, run_script_here
from tiny import PlainLoss, command_of, plain_network, read_losses, read_state, tiny_options

import fst
from fst.config import TrainingConfig
from fst.errors import UserError
from fst.models.network import build_network
from fst.models.style_transfer import StyleTransfer
from fst.training import loop
from fst.training.data import take_photos
from fst.training.loop import train

pytestmark = pytest.mark.slow

EXAMPLES = ROOT / "examples" / "handing_in"


@pytest.fixture
def options(photos, style, first_layers, tmp_path):
    return tiny_options(photos, style, first_layers, tmp_path, steps=3)


@pytest.fixture
def run_example(options, monkeypatch, capsys):
    """A function that runs an example as a command; gives what it says and the style's folder."""

    def run(name, **changes):
        _, *words = command_of({**options, **changes})
        done = run_script_here(EXAMPLES / name, words, monkeypatch, capsys)
        assert done.code == 0
        return done.out, Path(options["output"]) / "tiny"

    return run


def card_of(folder):
    return json.loads((folder / "style.json").read_text())


def train_with(options, **given):
    return train(TrainingConfig(**options), on_event=lambda line: None, **given)


def plain(**others):
    """A network and a loss by which a run begins and ends at once, and `others`, to hand in."""
    return {"network": plain_network(), "loss": PlainLoss(), **others}


# --- The examples --------------------------------------------------------------------------------


@pytest.mark.usefixtures("plain_parts")
def test_own_photos(run_example):
    _, folder = run_example("own_photos.py")
    assert len(read_losses(folder)) == 3
    assert card_of(folder)["photos"] > 0


@pytest.mark.usefixtures("plain_parts")
def test_own_network_stylises_photos_of_any_size(run_example):
    out, folder = run_example("own_network.py", start_from="gallery")
    assert "parameters" in out
    assert card_of(folder)["handed_in"] == ["network"]
    assert card_of(folder)["started_from"] is None
    photo = draw_photo(1, 37, 50)[None]
    network = keras.saving.load_model(folder / "network.keras")
    wanted = np.asarray(network(photo.astype(np.float32))).round()
    served = tf.saved_model.load(str(folder / "saved_model")).signatures["serving_default"]
    found = served(image=tf.constant(photo))["stylized"].numpy()
    assert found.dtype == np.uint8
    assert np.abs(found.astype(int) - wanted).max() <= 1
    assert (folder / "previews" / "step_000003.jpg").exists()


@pytest.mark.usefixtures("plain_networks")
def test_own_loss(run_example):
    _, folder = run_example("own_loss.py", content_weight=1000.0)
    _, total, content, style, tv = read_losses(folder).T
    config = TrainingConfig("s.png")
    perceptual = 1000.0 * content + config.style_weight[0] * style + config.tv_weight * tv
    assert (total > perceptual + 0.1).all()  # By the term for the colours.
    assert card_of(folder)["handed_in"] == ["loss"]


@pytest.mark.usefixtures("plain_parts")
def test_own_optimizer(run_example):
    _, folder = run_example("own_optimizer.py")
    assert int(read_state(folder)["optimizer/convolution_muon/iteration"]) == 3
    assert card_of(folder)["handed_in"] == ["optimizer"]


@pytest.mark.usefixtures("plain_parts")
def test_own_callback(run_example):
    example = runpy.run_path(str(EXAMPLES / "own_callback.py"))
    callback = example["StopWhenStill"](window=2)
    callback.set_model(keras.Model())
    callback.model.stop_training = False
    for batch, loss in enumerate((5.0, 4.0, 3.0, 3.0, 3.0, 3.0)):
        callback.on_train_batch_end(batch, {"loss": loss})
        assert callback.model.stop_training == (batch == 5)
    _, folder = run_example("own_callback.py")
    assert len(read_losses(folder)) == 3


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("own_callback.py", "no_such_folder"),
        ("own_loss.py", "no_such_folder"),
        ("own_network.py", "no_such_folder"),
        ("own_optimizer.py", "no_such_folder"),
        ("own_photos.py", ""),
        ("own_photos.py", "no_such_folder"),
    ],
)
def test_a_mistake_is_one_line(options, name, content, monkeypatch, capsys):
    _, *words = command_of({**options, "content": content})
    done = run_script_here(EXAMPLES / name, words, monkeypatch, capsys)
    assert done.code == 2
    (line,) = done.err.splitlines()
    assert line.startswith("error: ")
    assert content in line


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processes keep to cores on Linux")
def test_mean_of_processes(options):
    _, *words = command_of(options)
    cores = sorted(os.sched_getaffinity(0))[:2]
    done = run(
        "-m",
        "examples.handing_in.mean_of_processes",
        *words,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )
    assert done.returncode == 0, done.stderr
    assert len(read_losses(Path(options["output"]) / "tiny")) == 3
    assert {path.name for path in Path(options["output"]).glob("tiny*")} == {"tiny"}


def test_processes_take_the_mean_of_their_networks_until_one_ends():
    example = runpy.run_path(str(EXAMPLES / "mean_of_processes.py"))
    pipes = [multiprocessing.Pipe() for _ in range(2)]
    means = threading.Thread(target=example["give_means"], args=([here for here, _ in pipes],))
    means.start()
    callbacks = [example["TakeTheMean"](there, steps=25) for _, there in pipes]
    for number, callback in enumerate(callbacks):
        callback.set_model(StyleTransfer(plain_network(), PlainLoss()))
        network = callback.model.network
        network.set_weights([weights + number for weights in network.get_weights()])
    begun = [callback.model.network.get_weights() for callback in callbacks]

    def at_step(step):
        steps = [
            threading.Thread(target=callback.on_train_batch_end, args=(step - 1,))
            for callback in callbacks
        ]
        for thread in steps:
            thread.start()
        for thread in steps:
            thread.join(timeout=60)
        return [callback.model.network.get_weights() for callback in callbacks]

    assert_same(at_step(19), begun)
    mean = [(one + other) / 2 for one, other in zip(*begun, strict=True)]
    assert_same(at_step(20), [mean, mean])
    callbacks[0].model.network.set_weights(begun[0])
    mean = [(one + other) / 2 for one, other in zip(begun[0], mean, strict=True)]
    assert_same(at_step(25), [mean, mean])
    callbacks[1].model.network.set_weights(begun[1])
    callbacks[0].end.close()
    means.join(timeout=60)
    callbacks[1].on_train_batch_end(39)
    assert_same([callbacks[1].model.network.get_weights()], [begun[1]])


def assert_same(found, wanted):
    for one, other in zip(found, wanted, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-6)


# --- What is done with it ------------------------------------------------------------------------


@pytest.mark.usefixtures("steps_only")
def test_a_callback_is_told_of_every_step_and_may_end_the_run(options):
    told = []

    class Watching(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            told.append(type(self.model))

        def on_train_batch_end(self, batch, logs=None):
            told.append((batch, logs["loss"], logs["style"]))
            self.model.stop_training = batch == 1

        def on_train_end(self, logs=None):
            told.append("end")

    done = train_with(options, **plain(callbacks=[Watching()]))
    losses = read_losses(done.folder)
    assert told[0] is loop.StyleTransfer
    assert told[-1] == "end"
    assert [entry[0] for entry in told[1:-1]] == [0, 1] == list(losses[:, 0] - 1)
    assert [entry[2] for entry in told[1:-1]] == pytest.approx(list(losses[:, 3]), rel=1e-6)
    assert int(read_state(done.folder)["optimizer/adam/iteration"]) == 2


@pytest.mark.usefixtures("steps_only")
def test_a_callback_may_change_the_network_before_its_state_is_saved(options):
    begun = []

    class Filling(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            begun.append(batch)

        def on_train_batch_end(self, batch, logs=None):
            network = self.model.network
            network.set_weights([np.full_like(w, batch + 1) for w in network.get_weights()])

    done = train_with(options, **plain(callbacks=[Filling()]))
    assert begun == [0, 1, 2]
    state = read_state(done.folder)
    saved = [array for name, array in state.items() if name.startswith("network/")]
    assert len(saved) == 2
    assert all((array == 3).all() for array in saved)


@pytest.mark.usefixtures("steps_only")
def test_a_run_with_things_handed_in_goes_on_where_it_stopped(options, tmp_path):
    pictures = [draw_photo(seed, 48, 60) for seed in range(5)]

    def given(limit=None):
        class Stop(keras.callbacks.Callback):
            def on_train_batch_end(self, batch, logs=None):
                if batch + 1 == limit:
                    raise KeyboardInterrupt

        optimizer = keras.optimizers.SGD(0.01, momentum=0.9)
        return plain(photos=pictures, optimizer=optimizer, callbacks=[Stop()])

    options = {**options, "steps": 6, "save_every": 2}
    whole = train_with({**options, "name": "whole"}, **given())
    with pytest.raises(KeyboardInterrupt):
        train_with(options, **given(limit=3))
    again = train_with(options, **given())
    np.testing.assert_allclose(read_losses(again.folder), read_losses(whole.folder), rtol=1e-5)


def test_photos_of_every_kind_give_the_crops_asked_for():
    config = TrainingConfig("s.png", batch_size=2, crop_size=32, photo_size=32, steps=4)
    pictures = np.stack([np.full((40, 40, 3), 30 * n, np.uint8) for n in range(5)])
    stream = tf.data.Dataset.from_tensor_slices(pictures.astype(np.float32))
    kinds = [pictures, list(pictures), stream, iter(np.concatenate([pictures] * 2))]

    def greys(given, **where):
        batches = take_photos(given).batches(config, **where)
        return np.concatenate([crops.numpy()[:, 0, 0, 0] for crops, _ in batches])

    array, listed, streamed, once = (greys(kind) for kind in kinds)
    np.testing.assert_array_equal(array, listed)
    assert sorted(array[:5]) == [0, 30, 60, 90, 120]  # An epoch: each once.
    in_order = [0, 30, 60, 90, 120, 0, 30, 60]
    assert streamed.tolist() == once.tolist() == in_order
    assert greys(stream, start_step=2).tolist() == in_order[4:]
    assert greys(pictures, start_step=2).tolist() == array[4:].tolist()


# --- What cannot work ----------------------------------------------------------------------------


def short_stream():
    return iter([draw_photo(1, 48, 60)] * 3)


class UsedUp:
    """What gives its pictures once, however often it is asked."""

    def __init__(self):
        self._left = short_stream()

    def __iter__(self):
        yield from self._left


def padded_network():
    photo = keras.Input((None, None, 3))
    return keras.Model(photo, keras.layers.ZeroPadding2D(1)(photo))


def grey_network():
    photo = keras.Input((None, None, 1))
    return keras.Model(photo, keras.layers.Conv2D(3, 1)(photo))


def used_optimizer():
    optimizer = keras.optimizers.Adam()
    optimizer.build(plain_network().trainable_variables)
    return optimizer


@pytest.mark.parametrize(
    ("name", "make", "said"),
    [
        ("photos", lambda: [], "holds none"),
        ("photos", lambda: "a/folder", "config's content"),
        ("photos", lambda: 7, "neither a sequence nor an iterable"),
        ("photos", lambda: [np.zeros((20, 20))], r"\[20, 20\], not \[H, W, 3\]"),
        ("photos", lambda: np.zeros((2, 1, 20, 20, 3)), "unbatch"),
        ("photos", lambda: [np.full((20, 20, 3), np.nan)], "finite"),
        ("photos", short_stream, "came to an end"),
        ("photos", UsedUp, "came to an end"),
        ("network", lambda: build_network(4, styles=3), "holds 3 styles, and 1"),
        ("network", padded_network, "keep the height and width"),
        ("network", grey_network, r"not photos \[B, H, W, 3\]"),
        ("network", lambda: keras.layers.Dense(3), "no keras.Model"),
        ("loss", lambda: keras.losses.MeanSquaredError(), "has no of_each"),
        ("optimizer", lambda: "adam", "no keras.optimizers.Optimizer"),
        ("optimizer", used_optimizer, "used with another network"),
        ("callbacks", lambda: [print], "no keras.callbacks.Callback"),
    ],
)
def test_the_argument_that_cannot_work_is_named(options, name, make, said):
    # All but the run of photos that end is refused before anything is built.
    given = plain() if make in (short_stream, UsedUp) else {}
    with pytest.raises(ValueError, match=f"^{name}: .*{said}") as error:
        train_with(options, **given, **{name: make()})
    assert "\n" not in str(error.value)


def test_an_optimizer_of_another_network_is_named_beside_one(options):
    with pytest.raises(ValueError, match=r"^optimizer: was used with another network"):
        train_with(options, **plain(optimizer=used_optimizer()))


def test_a_loss_of_another_number_of_styles_is_named(options):
    class Loss:
        styles = 2
        of_each = content_features = None

    with pytest.raises(ValueError, match=r"^loss: is of 2 styles, and 1"):
        train_with(options, loss=Loss())


def test_parts_of_one_device_are_refused_for_several(options):
    with pytest.raises(ValueError, match=r"^network: .*distribute='mirrored'"):
        train_with({**options, "distribute": "mirrored"}, network=plain_network())


def test_too_large_for_the_memory_is_one_line(options):
    class NoRoom(PlainLoss):
        def of_each(self, *arguments):
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    with pytest.raises(UserError, match=r"not fit in memory: lower batch_size, crop_size or sty"):
        train_with(options, **plain(loss=NoRoom()))


def test_the_door_hands_in_too(options):
    with pytest.raises(ValueError, match=r"^photos: holds none"):
        fst.train(TrainingConfig(**options), photos=[])
