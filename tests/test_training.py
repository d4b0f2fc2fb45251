"""Tests of a training run within one process: what it leaves behind, and how it fails."""

import contextlib
import dataclasses
import io
import json
import math
import os
import shutil
import signal
import subprocess
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import ending_after_the_steps
from PIL import Image
from tiny import (
    AtEnd,
    AtStep,
    PlainLoss,
    contents,
    litter,
    plain_network,
    read_losses,
    read_state,
    read_weights,
    tiny_options,
)

import fst
from fst import checkpoint
from fst.config import TrainingConfig
from fst.console.progress import Reporter
from fst.errors import UserError
from fst.models.network import build_network
from fst.training import loop, state
from fst.training.callbacks import Previews, Progress
from fst.training.loop import train
from fst.training.previews import choose_previews
from fst.training.recorders import check_balance, open_tensorboard
from fst.training.state import State, read
from fst.training.style_images import open_styles

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_block")]


@pytest.fixture
def options(photos, style, first_layers, tmp_path):
    return tiny_options(photos, style, first_layers, tmp_path)


def run(options, *callbacks, on_progress=None, given=None, **changes):
    """Trains and returns the finished style's folder and what was told of on the way."""
    events, config = [], TrainingConfig(**{**options, **changes})
    given = {"callbacks": callbacks, **(given or {})}
    return train(config, on_progress, events.append, **given).folder, events


def run_plain(options, *callbacks, loss=None, **more):
    """As `run`, of one convolution and without VGG19: for what happens to a run, not what learns.

    It begins at once, and ends after its steps.
    """
    given = {"network": plain_network(), "loss": loss or PlainLoss()}
    with ending_after_the_steps():
        return run(options, *callbacks, given=given, **more)


def one_line(error):
    """What the command line says."""
    text = error.value.for_command_line()
    assert "\n" not in text
    return text


@pytest.fixture(scope="module")
def finished(photos, style, first_layers, one_block, tmp_path_factory):
    """One whole run of 40 steps, and what was seen of it."""
    output = tmp_path_factory.mktemp("finished")
    options = tiny_options(photos, style, first_layers, output, steps=40, holdout=1)
    options.update(learning_rate=0.01, save_every=10, preview_every=15)
    progress, watching = [], keras.callbacks.Callback()
    folder, events = run(options, watching, on_progress=progress.append)
    network = watching.model.network
    return SimpleNamespace(
        folder=folder, options=options, network=network, progress=progress, events=events
    )


@pytest.fixture(scope="module")
def plain_options(finished, tmp_path_factory):
    return {**finished.options, "output": str(tmp_path_factory.mktemp("plain")), "xla": "off"}


@pytest.fixture(scope="module")
def plain(plain_options):
    """The folder of a plain run that nothing happened to."""
    return run_plain(plain_options)[0]


class TestFinished:
    def test_folder_holds_all_of_the_contract_and_no_more(self, finished):
        assert sorted(path.name for path in finished.folder.iterdir()) == [
            "history.csv",
            "history.png",
            "network.weights.h5",
            "previews",
            "saved_model",
            "style.json",
            "training",
        ]
        assert [path.name for path in (finished.folder / "training").iterdir()] == ["state.npz"]
        assert not litter(finished.folder)

    def test_card(self, finished):
        card = json.loads((finished.folder / "style.json").read_text())
        assert {
            "format",
            "name",
            "created",
            "config",
            "styles",
            "photos",
            "skipped_photos",
            "steps",
            "images_seen",
            "seconds",
            "device",
            "parameters",
            "training_losses",
            "versions",
        } <= card.keys()
        assert card["steps"] == 40
        assert card["images_seen"] == 80
        assert card["photos"] == 11
        (entry,) = card["styles"]
        assert entry["name"] == card["name"]
        assert entry["held_out_losses"]["photos"] == 1
        assert card["versions"].keys() >= {"fst", "tensorflow", "keras"}
        assert len(entry["sha256"]) == 64
        # It is shipped: no folder of this machine may be in it.
        assert str(finished.options["output"]) not in json.dumps(card)
        assert str(finished.options["content"]) not in json.dumps(card)

    def test_history_has_a_row_for_every_step(self, finished):
        lines = (finished.folder / "history.csv").read_text().splitlines()
        assert lines[0] == "step,total,content,style,tv,images/s"
        assert [int(line.split(",")[0]) for line in lines[1:]] == list(range(1, 41))

    def test_total_is_the_weighted_sum(self, finished):
        config = TrainingConfig(**finished.options)
        _, total, content, style, tv = read_losses(finished.folder).T
        weights = config.content_weight, config.style_weight, config.tv_weight
        expected = weights[0] * content + weights[1] * style + weights[2] * tv
        np.testing.assert_allclose(total, expected, rtol=1e-5)

    def test_loss_falls(self, finished):
        total = read_losses(finished.folder)[:, 1]
        assert total[-5:].mean() < 0.8 * total[:5].mean()

    def test_previews(self, finished):
        found = sorted((finished.folder / "previews").iterdir())
        names = ["photos.jpg", *(f"step_{step:06d}.jpg" for step in (15, 30, 40))]
        assert [path.name for path in found] == names
        assert len({Image.open(path).size for path in found}) == 1

    def test_curves_are_a_picture(self, finished):
        with Image.open(finished.folder / "history.png") as picture:
            picture.verify()

    def test_export_and_weights_make_the_same_picture(self, finished):
        photo = np.random.default_rng(1).integers(0, 256, (37, 50, 3), dtype=np.uint8)
        model = tf.saved_model.load(str(finished.folder / "saved_model"))
        exported = model.signatures["serving_default"](image=photo[None])["stylized"][0].numpy()
        loaded = fst.load(str(finished.folder))(photo)
        assert exported.shape == photo.shape
        assert np.abs(exported.astype(int) - loaded.astype(int)).max() <= 1

    def test_weights_are_those_of_the_last_step(self, finished):
        network = checkpoint.Checkpoint(finished.folder).read_network()
        for stored, trained in zip(
            network.get_weights(), finished.network.get_weights(), strict=True
        ):
            np.testing.assert_allclose(stored, trained, rtol=1e-3, atol=1e-6)

    def test_progress_records_lead_from_the_first_step_to_the_last(self, finished):
        steps = [record.step for record in finished.progress]
        assert steps[0] == 1
        assert steps[-1] == 40
        assert steps == sorted(set(steps))
        assert all(record.steps == 40 for record in finished.progress)
        assert finished.progress[-1].eta_seconds == 0
        assert finished.progress[0].losses.keys() == {"total", "content", "style", "tv"}

    def test_again_changes_no_file(self, finished):
        before = contents(finished.folder)
        _, events = run(finished.options)
        assert "already trained" in events[0]
        assert contents(finished.folder) == before

    def test_options_that_do_not_shape_the_result_may_change(self, finished):
        _, events = run(finished.options, save_every=3, preview_every=4)
        assert "already trained" in events[0]

    def test_photos_other_than_it_was_trained_on_are_told_of(self, finished):
        (told,), (_, note) = (
            run(finished.options, **changes)[1] for changes in ({}, {"content": "shots/mine"})
        )
        assert "already trained" in told
        trained_on = os.path.basename(finished.options["content"])
        assert note.startswith(f"note: it was trained on {trained_on}, not on mine;")

    @pytest.mark.parametrize(
        ("changes", "named"),
        [
            ({"steps": 41}, "--steps 40 → 41"),
            ({"style_weight": 7.0}, "--style-weight"),
            ({"style_layers": ("relu1_1",)}, "--style-layers relu1_1,relu2_1 → relu1_1"),
            ({"style_layer_weights": (1.0, 3.0)}, "--style-layer-weights none → 1.0,3.0"),
        ],
    )
    def test_other_options_are_refused(self, finished, changes, named):
        with pytest.raises(UserError) as error:
            run(finished.options, **changes)
        assert named in one_line(error)
        assert "--overwrite" in one_line(error)

    def test_another_style_image_is_refused(self, finished, photos):
        with pytest.raises(UserError, match="other style images"):
            run(finished.options, style=str(photos / "photo03.jpg"))

    def test_finish_removes_the_state(self, finished, tmp_path):
        shutil.copytree(finished.folder, tmp_path / "tiny")
        folder, _ = run(finished.options, output=str(tmp_path), finish=True)
        assert not (folder / "training").exists()
        assert (folder / "style.json").exists()
        _, events = run(finished.options, output=str(tmp_path))
        assert "already trained" in events[0]


class TestOverwrite:
    def test_trains_the_same_anew(self, finished, plain, plain_options, tmp_path):
        shutil.copytree(finished.folder, tmp_path / "tiny")
        before = (tmp_path / "tiny" / "history.csv").stat().st_mtime_ns
        folder, events = run_plain(plain_options, output=str(tmp_path), overwrite=True)
        assert not events
        assert (folder / "history.csv").stat().st_mtime_ns > before
        np.testing.assert_allclose(read_losses(folder), read_losses(plain), rtol=1e-3)
        assert sorted(path.name for path in folder.iterdir()) == [
            "history.csv",
            "previews",
            "training",
        ]

    @pytest.mark.parametrize(
        "changes",
        [
            {"content": "no/such/folder"},
            {"preview": ("no_such_photo.jpg",)},
            {"vgg_weights": "no_such_file.h5"},
            {"start_from": "no_such_style"},
        ],
        ids=lambda changes: next(iter(changes)),
    )
    def test_keeps_the_old_style_where_the_new_run_cannot_start(self, finished, tmp_path, changes):
        shutil.copytree(finished.folder, tmp_path / "tiny")
        before = contents(tmp_path)
        with pytest.raises(UserError):
            run(finished.options, output=str(tmp_path), overwrite=True, **changes)
        assert contents(tmp_path) == before

    @pytest.mark.parametrize("overwrite", [False, True])
    def test_never_clears_a_folder_that_is_not_a_style(self, options, tmp_path, overwrite):
        (tmp_path / "tiny" / "previews").mkdir(parents=True)
        mine = tmp_path / "tiny" / "previews" / "mine.txt"
        mine.write_text("not to be lost")
        with pytest.raises(UserError) as error:
            run(options, overwrite=overwrite)
        assert "--name" in one_line(error)
        assert mine.read_text() == "not to be lost"


class Interrupting(PlainLoss):
    """The loss of a run; amid step `at`, once, Ctrl-C comes.

    Attributes:
        traced: how often TensorFlow has looked at what it does.
    """

    def __init__(self, at):
        super().__init__()
        self._left, self.traced = at, 0

    def of_each(self, *arguments):
        self.traced += 1
        tf.py_function(self._count, [], [])
        return super().of_each(*arguments)

    def _count(self):
        self._left -= 1
        if not self._left:
            signal.raise_signal(signal.SIGINT)


class TestInterrupt:
    def test_amid_a_step_saves_after_it(self, plain, plain_options, tmp_path):
        options = {**plain_options, "output": str(tmp_path)}
        loss = Interrupting(at=3)
        with pytest.raises(KeyboardInterrupt):
            run_plain(options, loss=loss)
        assert loss.traced == 1
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        folder, events = run_plain(options)
        assert "going on after step 3 of 40" in events[0]
        np.testing.assert_allclose(read_losses(folder), read_losses(plain), rtol=1e-4)
        expected = read_state(plain)
        for name, array in read_state(folder).items():
            np.testing.assert_allclose(array, expected[name], rtol=1e-3, atol=1e-6)

    def test_one_more_does_not_wait_unless_it_may_come_of_itself(self, options):
        told = []

        def stop(model):
            for _ in range(3):
                signal.raise_signal(signal.SIGTERM)
            told.append("patient")
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            told.append("unreachable")

        signal.signal(signal.SIGTERM, signal.default_int_handler)  # as the commands do
        try:
            with pytest.raises(KeyboardInterrupt):
                run_plain(options, AtStep(1, stop))
            assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        assert told == ["patient"]
        assert not os.listdir(f"{options['output']}/tiny/training")


class TestNotFinite:
    def test_keeps_the_last_good_state(self, options, tmp_path):
        def ruin(model):
            first = model.network.trainable_variables[0]
            first.assign(np.full(first.shape, np.nan, np.float32))

        with pytest.raises(UserError) as error:
            run_plain(options, AtStep(5, ruin), save_every=2, preview_every=1)
        text = one_line(error)
        assert "not finite at step 5" in text
        assert "--learning-rate" in text
        assert "--style-weight" in text
        assert "after step 4" in text
        state = read_state(tmp_path / "tiny")
        assert all(np.isfinite(array).all() for array in state.values())
        assert list(read_losses(tmp_path / "tiny")[:, 0]) == [1, 2, 3, 4, 5]

    def test_averages_that_no_loss_shows_are_not_saved(self, options, tmp_path):
        watching = keras.callbacks.Callback()

        def ruin(progress):  # Told of just before the save; a step later the weights would show it.
            if progress.step == 4:
                moment = watching.model.optimizer.variables[-1]
                moment.assign(np.full(moment.shape, np.inf, np.float32))

        with pytest.raises(UserError, match="after step 2 is kept"):
            run_plain(options, watching, on_progress=ruin, save_every=2)
        assert all(np.isfinite(array).all() for array in read_state(tmp_path / "tiny").values())

    @pytest.mark.usefixtures("plain_parts")
    def test_weight_that_drowns_the_other_term(self, options):
        with (
            ending_after_the_steps(),
            pytest.raises(UserError, match="lower style_weight") as error,
        ):
            run(options, style_weight=1e12)
        one_line(error)
        run_plain(options, style_weight=1e12)  # Which the loss of one's own does not know.

    def test_balance_lets_a_weight_of_zero_pass(self, options):
        for weights in ({"style_weight": 0.0}, {"content_weight": 0.0}):
            check_balance(TrainingConfig(**{**options, **weights}), (1.0, 1.0, 1.0, 0.0))


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(options, precision):
    layers = {"content_layers": ("relu1_1",), "style_layers": ("relu1_1",)}
    folder, _ = run(options, precision=precision, **layers)
    losses = read_losses(folder)
    assert losses.shape == (6, 5)
    assert np.isfinite(losses).all()
    weights = read_weights(folder / "network.weights.h5")
    assert all(np.isfinite(array).all() for array in weights.values())


class TestStartFrom:
    def test_takes_over_the_weights(self, finished, options, tmp_path):
        shutil.copytree(finished.folder, tmp_path / "before")
        card_path = tmp_path / "before" / "style.json"
        card = json.loads(card_path.read_text())
        card["started_from"] = {"name": "the first", "images_seen": 1000}
        card_path.write_text(json.dumps(card))
        folder, _ = run(options, start_from="before", steps=1, given={"loss": PlainLoss()})
        # One step of warm-up-free Adam moves each weight by at most the learning rate.
        before = checkpoint.Checkpoint(tmp_path / "before").read_network().get_weights()
        after = checkpoint.Checkpoint(folder).read_network().get_weights()
        for old, new in zip(before, after, strict=True):
            np.testing.assert_allclose(new, old, atol=3e-3, rtol=2e-3)
        started_from = json.loads((folder / "style.json").read_text())["started_from"]
        assert started_from == {"name": "before", "images_seen": card["images_seen"] + 1000}

    def test_other_width_is_refused(self, finished, options):
        with pytest.raises(UserError) as error:
            run(options, start_from=str(finished.folder), width=6)
        assert "--width 4" in one_line(error)


class TestPhotos:
    def test_all_broken(self, options, tmp_path):
        folder = tmp_path / "broken"
        folder.mkdir()
        for index in range(3):
            (folder / f"{index}.jpg").write_text("no photo")
        with pytest.raises(UserError) as error:
            run(options, content=str(folder))
        assert "--content" in one_line(error)

    def test_all_broken_but_those_of_the_preview(self, options, photos, tmp_path):
        folder = tmp_path / "broken"
        folder.mkdir()
        (folder / "0.jpg").write_text("no photo")
        with pytest.raises(UserError) as error:
            run(options, content=str(folder), preview=(str(photos / "photo00.jpg"),))
        assert "--content" in one_line(error)

    def test_files_that_are_no_photos_are_told(self, options, photos, tmp_path):
        folder = tmp_path / "photos"
        folder.mkdir()
        shutil.copy(photos / "photo03.jpg", folder / "a.jfif")
        (folder / "notes.txt").write_text("no photo")
        _, events = run_plain(options, content=str(folder))
        told = f"note: --content: {folder}: 1 file is no picture, left out: notes.txt"
        assert told in events

    def test_pictures_of_styles_among_the_photos_are_not_trained_on(
        self, options, photos, tmp_path
    ):
        shutil.copy(photos / "photo03.jpg", tmp_path / "a.jpg")
        strip = tmp_path / "styles" / "other" / "previews" / "photos.jpg"
        strip.parent.mkdir(parents=True)
        strip.write_text("no photo: it would be skipped")
        done, _ = run_plain(options, content=str(tmp_path), output=str(tmp_path / "styles"))
        _, about = read(done / "training" / "state.npz")
        assert about["skipped"] == {}

    def test_preview_of_a_strip_stays_small(self, options, tmp_path):
        Image.new("RGB", (600, 3), "red").save(tmp_path / "strip.png")
        config = TrainingConfig(**{**options, "preview": (str(tmp_path / "strip.png"),)})
        Previews(tmp_path / "previews", choose_previews(None, config)).draw_originals()
        with Image.open(tmp_path / "previews" / "photos.jpg") as picture:
            assert picture.width <= 5 * picture.height


class TestDiskFull:
    def test_while_saving(self, options, tmp_path, fill_disk_at):
        target, config = checkpoint.Checkpoint(tmp_path / "tiny"), TrainingConfig(**options)
        network, optimizer = build_network(4), loop.build_optimizer(config)
        optimizer.build(network.trainable_variables)
        state = State.open(target, config, ["hash"])
        state.claim()
        with contextlib.closing(state):
            state.step = 2
            state.save(network, optimizer)
            fill_disk_at(lambda path: path.name == "state.npz")
            state.step = 4
            with pytest.raises(UserError, match=r"No space left.*after step 2") as error:
                state.save(network, optimizer)
        one_line(error)
        assert not litter(tmp_path)
        assert State.open(target, config, ["hash"]).step == 2

    @pytest.fixture
    def small_disk(self, tmp_path):
        """A folder on a file system of 4 MB and 200 files."""
        folder = tmp_path / "disk"
        folder.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=4m,nr_inodes=200", "tmpfs", str(folder)]
        try:
            done = subprocess.run(mount, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            pytest.skip("there is no mount command here")
        if done.returncode:
            pytest.skip(f"a small file system cannot be mounted here: {done.stderr.strip()}")
        yield folder
        subprocess.run(["umount", str(folder)], check=True)

    def test_on_a_disk_that_is_full(self, options, small_disk):
        """Fills a real disk wherever a run writes; each time the same command goes on later."""
        options = {**options, "output": str(small_disk), "save_every": 2}
        folder, ballast = small_disk / "tiny", small_disk / "ballast"
        ballast.mkdir()

        def given():  # What begins sooner than ours; the files are as ours, but the state is small.
            return {"loss": PlainLoss(), "optimizer": keras.optimizers.SGD(0.01)}

        def leave(size):
            free = shutil.disk_usage(small_disk).free
            (ballast / "large").write_bytes(bytes(max(0, free - size)))

        def leave_files(count):
            for number in range(os.statvfs(small_disk).f_favail - count):
                (ballast / str(number)).touch()

        def refused(*callbacks):
            with pytest.raises(UserError) as error:
                run(options, *callbacks, given=given())
            for path in ballast.iterdir():
                path.unlink()
            assert "No space left" in one_line(error) or "make room" in one_line(error)
            assert not litter(small_disk)
            assert not (folder / "style.json").exists()
            return one_line(error)

        leave(10_000)
        assert "photos.jpg" in refused()

        told = refused(AtStep(3, lambda model: leave(20_000)))
        assert "state.npz" in told
        assert "after step 2" in told
        assert int(read_state(folder)["optimizer/sgd/iteration"]) == 2

        assert "no training is lost" in refused(AtEnd(lambda: leave(200_000)))
        assert (folder / "history.png").exists()
        assert not (folder / "network.weights.h5").exists()

        # Enough for the curves and the weights; a SavedModel is a folder with several files.
        assert "no training is lost" in refused(AtEnd(lambda: leave_files(2)))
        assert (folder / "network.weights.h5").exists()
        assert not (folder / "saved_model").exists()

        run(options, given=given())
        assert (folder / "style.json").exists()
        assert list(read_losses(folder)[:, 0]) == [1, 2, 3, 4, 5, 6]


class TestReporter:
    record = Progress(
        step=10,
        steps=20,
        losses={"total": 3.0, "content": 1.0, "style": 0.3, "tv": 0.01},
        images_per_second=2.5,
        eta_seconds=75.0,
    )

    def test_plain_lines_in_a_file(self):
        stream = io.StringIO()
        with Reporter(stream) as reporter:
            reporter.event("going on after step 9")
            for step in (10, 11, 12, 20):
                reporter.progress(dataclasses.replace(self.record, step=step))
        # The first and the last; those between come too soon after one another.
        lines = stream.getvalue().splitlines()
        assert lines[0] == "going on after step 9"
        assert [line.split()[1] for line in lines[1:]] == ["10/20", "20/20"]
        assert "total 3" in lines[1]
        assert "2.5 images/s" in lines[1]
        assert "eta 01:15" in lines[1]
        assert "\r" not in stream.getvalue()

    def test_bar_on_a_terminal(self):
        class Terminal(io.StringIO):
            def isatty(self):
                return True

        stream = Terminal()
        with Reporter(stream) as reporter:
            reporter.progress(self.record)
            reporter.event("something happened")
            reporter.progress(dataclasses.replace(self.record, step=20))
        text = stream.getvalue()
        assert "\r" in text
        assert "50%" in text
        assert "100%" in text
        assert "step 10/20" in text
        assert "something happened\n" in text
        assert text.endswith("\n")


def test_learning_rate_warms_up_and_decays(options):
    config = TrainingConfig(**{**options, "steps": 1000, "learning_rate": 1e-3})
    optimizer = loop.build_optimizer(config)

    def rate(step):
        optimizer.iterations.assign(step)
        return float(optimizer.learning_rate)

    assert math.isclose(rate(100), 1e-3, rel_tol=1e-3)
    assert rate(0) < 1e-4
    assert rate(1000) < 2e-5


def test_weights_of_style_layers_reach_the_loss(options):
    (painting,) = open_styles(TrainingConfig(**options))
    photo = np.random.default_rng(1).uniform(0, 255, (1, 32, 32, 3)).astype(np.float32)

    def style_term(**changes):
        loss = loop.build_loss(TrainingConfig(**{**options, **changes}), [painting.image])
        return float(loss(photo, loss.content_features(photo)).style)

    first, second = (style_term(style_layers=(name,)) for name in options["style_layers"])
    assert style_term() == pytest.approx((first + second) / 2, rel=1e-5)
    weighed = style_term(style_layer_weights=(1.0, 3.0))
    assert weighed == pytest.approx(first / 4 + second * 3 / 4, rel=1e-5)
    assert abs(first - second) > 0.01 * first


def test_float16_scales_its_loss(options):
    config = TrainingConfig(**{**options, "precision": "mixed_float16"})
    optimizer = loop.build_optimizer(config)
    assert isinstance(optimizer, keras.optimizers.LossScaleOptimizer)


def test_tensorboard_gets_every_term(tmp_path, monkeypatch):
    written = []
    # It needs the package tensorboard.
    monkeypatch.setattr(tf.summary, "scalar", lambda *item, step: written.append((*item, step)))
    open_tensorboard(checkpoint.Checkpoint(tmp_path))(7, (1.0, 2.0, 3.0, 4.0))
    assert written == [("total", 1.0, 7), ("content", 2.0, 7), ("style", 3.0, 7), ("tv", 4.0, 7)]


@pytest.fixture
def states(options, tmp_path):
    """A function that opens the state of a run, with options changed."""

    def opened(**changes):
        config = TrainingConfig(**{**options, **changes})
        return State.open(checkpoint.Checkpoint(tmp_path / "taken"), config, ["hash"])

    return opened


@pytest.fixture
def saved(options):
    """A function that claims a state, saves a network as its step 2, and lets it go."""

    def save(state):
        network, optimizer = build_network(4), loop.build_optimizer(TrainingConfig(**options))
        optimizer.build(network.trainable_variables)
        with contextlib.closing(state):
            state.claim()
            state.step = 2
            state.save(network, optimizer)

    return save


def test_what_another_process_has_trained_since_is_not_removed(states, saved):
    first, second = states(), states()
    saved(second)
    with pytest.raises(UserError, match="trained this style meanwhile") as error:
        first.claim()
    one_line(error)
    first.close()
    assert states().step == 2


def test_killed_while_it_clears_a_style_without_its_state(states, saved, tmp_path, monkeypatch):
    saved(states())
    (tmp_path / "taken" / "style.json").write_text("{}")
    shutil.rmtree(tmp_path / "taken" / "training")
    with monkeypatch.context() as patch:
        done, clean = [], state.clean

        def stop(path):
            if len(done) == 3:
                raise KeyboardInterrupt
            done.append(clean(path))

        patch.setattr(state, "clean", stop)
        (tmp_path / "taken" / "history.csv").write_text("")
        with pytest.raises(KeyboardInterrupt):
            saved(states(overwrite=True))
    assert not (tmp_path / "taken" / "style.json").exists()
    saved(states(overwrite=True))
    assert states().step == 2


def test_overwrite_replaces_a_damaged_state(states, saved, tmp_path):
    saved(states())
    path = tmp_path / "taken" / "training" / "state.npz"
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(UserError, match=r"state.npz: is damaged .*remove it") as error:
        states()
    one_line(error)
    state = states(overwrite=True)
    assert state.step == 0
    saved(state)
    assert states().step == 2


def test_two_runs_at_once_are_kept_apart(options, tmp_path):
    config = TrainingConfig(**options)
    target = checkpoint.Checkpoint(tmp_path / "taken")
    first = State.open(target, config, "hash")
    first.claim()
    with pytest.raises(UserError, match="another process is training this style"):
        State.open(target, config, "hash").claim()
    first.close()
    second = State.open(target, config, "hash")
    second.claim()
    second.close()
