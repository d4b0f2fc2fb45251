"""Several styles in one network, a style from a gallery, a style for a gallery."""

import csv
import json
import os
import shutil
import time

import forks
import keras
import numpy as np
import pytest
from conftest import draw_photo, weights_of, write_gallery
from PIL import Image
from tiny import AtEnd, AtStep, command_of, contents, litter, read_losses, read_state, tiny_options

from fst import checkpoint
from fst.config import TrainingConfig
from fst.errors import UserError
from fst.training.data import open_photos
from fst.training.loop import train
from fst.training.style_images import open_styles

pytestmark = pytest.mark.slow

NAMES = ["ash", "birch", "cedar"]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder with three style pictures."""
    folder = tmp_path_factory.mktemp("pictures")
    for seed, name in enumerate(NAMES):
        Image.fromarray(draw_photo(40 + seed, 70 + 8 * seed, 90)).save(folder / f"{name}.png")
    return folder


@pytest.fixture(scope="module")
def many(pictures, photos, vgg_file, tmp_path_factory):
    """The options of a run that trains all three."""
    output = tmp_path_factory.mktemp("many")
    several = {"name": "trees", "style_weight": (4.0, 8.0, 2.0), "steps": 14, "save_every": 5}
    return tiny_options(photos, pictures, vgg_file, output, holdout=2, **several)


def run(options, *callbacks, on_progress=None, **changes):
    """Trains; returns the `Checkpoint` and what was told of on the way."""
    events, config = [], TrainingConfig(**{**options, **changes})
    return train(config, on_progress, events.append, callbacks=callbacks), events


def refused(options, *callbacks, **changes):
    """The line with which a run does not begin, or ends."""
    with pytest.raises(UserError) as error:
        run(options, *callbacks, **changes)
    assert "\n" not in str(error.value)
    return error.value.for_command_line()


@pytest.fixture(scope="module")
def trained(many):
    """The finished run."""
    return run(many)[0]


@pytest.fixture
def garden(many, tmp_path):
    """The options of a run that starts from a gallery, `garden`, of three untrained styles."""
    write_gallery(tmp_path / "garden", ["moss", "reef", "birch"])
    options = {key: value for key, value in many.items() if key not in ("name", "style_weight")}
    options.update(output=str(tmp_path), start_from="garden", steps=3)
    return {**options, "style": f"{many['style']}/cedar.png", "name": "cedar"}


# --- Several at once -----------------------------------------------------------------------------


def test_card_and_weights_hold_every_style(trained, pictures):
    card = trained.read_card()
    assert card["format"] == 2
    assert [style["name"] for style in card["styles"]] == NAMES
    assert [style["source"] for style in card["styles"]] == [f"{name}.png" for name in NAMES]
    assert len({style["sha256"] for style in card["styles"]}) == 3
    assert all(style["held_out_losses"]["style"] > 0 for style in card["styles"])
    assert trained.read_all_weights()["residual3_a_norm"][0].shape == (3, 16)
    for name in NAMES:
        assert checkpoint.find(name, trained.folder.parent).name == name
    assert not litter(trained.folder)


def test_every_style_gets_its_share_of_the_photos_and_is_learnt(trained, many):
    with open(trained.styles_history_path, newline="") as file:
        rows = list(csv.DictReader(file))
    steps = {row["step"] for row in rows}
    assert steps == {"5", "10", "14"}
    seen = {name: sum(int(r["images"]) for r in rows if r["name"] == name) for name in NAMES}
    assert sum(seen.values()) == many["steps"] * many["batch_size"]
    assert max(seen.values()) - min(seen.values()) <= 1
    scales = trained.read_all_weights()["down1_norm"][0]
    assert len({row.tobytes() for row in scales}) == 3


def test_means_of_the_styles_are_those_of_the_steps(trained):
    with open(trained.styles_history_path, newline="") as file:
        rows = [r for r in csv.DictReader(file) if r["step"] == "5"]
    images = np.array([int(row["images"]) for row in rows])
    losses = read_losses(trained.folder)[:5].mean(axis=0)
    for column, name in ((2, "content"), (3, "style")):
        found = np.dot([float(row[name]) for row in rows], images) / images.sum()
        assert found == pytest.approx(losses[column], rel=1e-4)


def test_previews_have_a_row_for_each_style(trained):
    heights = [
        Image.open(trained.previews_path / n).height for n in ("photos.jpg", "step_000014.jpg")
    ]
    assert heights[1] == 3 * heights[0]


def test_which_style_a_photo_gets_depends_on_seed_and_step_alone(photos):
    config = TrainingConfig("s.png", batch_size=4, crop_size=32, photo_size=40, steps=12)

    def styles(seed=1, **share):
        stream = open_photos(str(photos), seed=seed).batches(config, 5, **share)
        return np.stack([numbers for _, numbers in stream.as_numpy_iterator()])

    whole = styles()
    assert whole.shape == (12, 4)
    turns = whole.ravel()[:45].reshape(9, 5)
    assert (np.sort(turns) == np.arange(5)).all()  # Each has its turn before any has another.
    assert len({tuple(turn) for turn in turns}) > 3
    np.testing.assert_array_equal(styles(start_step=7), whole[7:])
    halves = [styles(worker=worker, workers=2) for worker in (0, 1)]
    np.testing.assert_array_equal(np.concatenate(halves, axis=1), whole)
    assert (styles(seed=2) != whole).any()


def test_stopped_and_gone_on_with_is_as_uninterrupted(many, trained, tmp_path):
    def stop(model):
        raise KeyboardInterrupt

    options = {**many, "output": str(tmp_path)}
    with pytest.raises(KeyboardInterrupt):
        run(options, AtStep(7, stop))
    again, events = run(options)
    assert any("going on after step 5 of 14" in event for event in events)
    np.testing.assert_allclose(
        read_losses(again.folder), read_losses(trained.folder), rtol=1e-4, atol=1e-6
    )
    one, other = read_state(again.folder), read_state(trained.folder)
    np.testing.assert_allclose(
        one["network/down1_conv/bias"], other["network/down1_conv/bias"], atol=1e-4
    )
    with open(again.styles_history_path) as file, open(trained.styles_history_path) as first:
        assert [r[:2] for r in csv.reader(file)] == [r[:2] for r in csv.reader(first)]


def test_killed_at_any_moment_it_goes_on(many, tmp_path):
    options = {**many, "output": str(tmp_path), "steps": 400, "save_every": 2, "holdout": 0}
    process = forks.start(*command_of({**options, "style": str(options["style"])}))
    end = time.monotonic() + 300
    while not (tmp_path / "trees/training/state.npz").exists() and time.monotonic() < end:
        time.sleep(0.05)
    time.sleep(0.3)
    process.kill()
    process.wait()
    saved = State(tmp_path / "trees").step
    assert 0 < saved < 400
    with pytest.raises(UserError, match="steps 400 → 401"):
        run(options, steps=401)


class State:
    """How far a run on disk has come."""

    def __init__(self, folder):
        with np.load(folder / "training/state.npz") as file:
            self.step = json.loads(str(file["about"]))["step"]


def test_finished_it_has_nothing_to_do_but_for_the_same_pictures(many, trained, pictures):
    before = contents(trained.folder)
    assert "nothing to do" in run(many)[1][0]
    assert contents(trained.folder) == before
    two = tuple(str(pictures / f"{name}.png") for name in NAMES[:2])
    text = refused(many, style=two, style_weight=4.0)
    assert "other style images" in text


def test_a_hundred_styles(many, tmp_path, pictures):
    folder = tmp_path / "hundred"
    folder.mkdir()
    for index in range(100):
        Image.fromarray(draw_photo(index, 34, 32)).save(folder / f"s{index:03}.png")
    changes = {"style": str(folder), "style_weight": 8.0, "output": str(tmp_path), "steps": 2}
    done, _ = run(many, **changes, holdout=0, preview_every=50)
    assert len(done.styles()) == 100
    one = checkpoint.find("s057", tmp_path).read_weights()
    assert one["down1_norm"][0].shape == (4,)


# --- Pictures ------------------------------------------------------------------------------------


def test_pictures_of_a_folder_are_named_as_their_files(many):
    styles = open_styles(TrainingConfig(**many))
    assert [style.name for style in styles] == NAMES
    assert all(style.image.dtype == np.float32 for style in styles)


def test_a_size_for_each_style(many):
    config = TrainingConfig(**{**many, "style_size": (64, 80, 96)})
    assert [max(style.image.shape) for style in open_styles(config)] == [64, 80, 96]


def test_a_bad_picture_among_many_is_named(many, pictures, tmp_path):
    folder = tmp_path / "pictures"
    shutil.copytree(pictures, folder)
    (folder / "dune.jpg").write_text("no picture")
    assert "dune.jpg" in refused(many, style=str(folder), style_weight=8.0)
    assert not (tmp_path / "out").exists()


def test_two_pictures_of_one_name(many, pictures, tmp_path):
    shutil.copy(pictures / "ash.png", tmp_path / "Ash.PNG")
    text = refused(many, style=(str(pictures / "ash.png"), str(tmp_path / "Ash.PNG")))
    assert "would both be the style 'ash'" in text
    assert "rename" in text


def test_several_pictures_need_a_name():
    with pytest.raises(UserError, match="name is missing"):
        TrainingConfig(("a.png", "b.png"))


@pytest.mark.parametrize("option", ["style_weight", "style_size"])
def test_as_many_values_as_styles(many, option):
    text = refused(many, **{option: (40.0, 50.0)})
    flag = "--" + option.replace("_", "-")
    assert f"{flag} has 2 values for 3 styles" in text


def test_an_empty_folder(many, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "holds no pictures" in refused(many, style=str(tmp_path / "empty"))


# --- From a gallery ------------------------------------------------------------------------------


class Begun(Exception):
    """A run is about to take its first step."""


class AtBeginning(keras.callbacks.Callback):
    """Ends a run before its first step; `weights` are those that it begins with."""

    def on_train_begin(self, logs=None):
        self.weights = weights_of(self.model.network)
        raise Begun


def test_starts_from_the_style_that_paints_nearest(garden):
    """The gallery's style is found that the new picture was painted by."""
    base = checkpoint.find_folder("garden", garden["output"])
    photo = open_photos(garden["content"]).pictures(open_photos(garden["content"]), 96)
    _, photo = next(iter(photo))
    for name in ("moss", "reef", "birch"):
        network = checkpoint.find(f"garden/{name}", garden["output"]).read_network()
        painted = np.asarray(network(photo[None]))[0].round().astype(np.uint8)
        path = f"{garden['output']}/{name}.png"
        Image.fromarray(painted).save(path)
        changes = {"style": path, "name": f"new_{name}", "content_weight": 0.0, "tv_weight": 0.0}
        events, beginning = [], AtBeginning()
        config = TrainingConfig(**{**garden, **changes})
        with pytest.raises(Begun):
            train(config, None, events.append, callbacks=[beginning])
        assert any(f"starts from {name}, the nearest" in event for event in events), events
        wanted = weights_of(network)
        for layer, arrays in beginning.weights.items():
            for one, other in zip(arrays, wanted[layer], strict=True):
                np.testing.assert_array_equal(one, other)
    assert base.styles()[0]["name"] == "moss"


def test_a_style_of_the_gallery_can_be_named(garden):
    done, events = run(garden, start_from="garden/reef", steps=1, learning_rate=1e-8)
    assert not any("nearest" in event for event in events)
    wanted = checkpoint.find("garden/reef", garden["output"]).read_weights()
    found = done.read_weights()
    np.testing.assert_allclose(found["down3_norm"][0], wanted["down3_norm"][0], atol=2e-3)
    assert done.read_card()["started_from"]["name"] == "reef"


def test_several_start_from_their_namesakes_and_the_rest_from_the_nearest(garden, many):
    changes = {"style": many["style"], "name": "trees", "steps": 1, "learning_rate": 1e-8}
    _, events = run(garden, **changes)
    told = [event.split()[0] for event in events if "the nearest style" in event]
    assert told == ["ash", "cedar"]
    wanted = checkpoint.find("garden/birch", garden["output"]).read_weights()
    found = checkpoint.find("trees/birch", garden["output"]).read_weights()
    np.testing.assert_allclose(found["down3_norm"][0], wanted["down3_norm"][0], atol=2e-3)


def test_learn_style_leaves_the_convolutions(garden):
    done, _ = run(garden, learn="style", learning_rate=0.05)
    found = done.read_weights()
    wanted = checkpoint.find("garden/reef", garden["output"]).read_weights()
    moved = 0.0
    for layer in found:
        if layer.endswith("_conv"):
            for one, other in zip(found[layer], wanted[layer], strict=True):
                np.testing.assert_array_equal(one, other)
        else:
            moved = max(moved, np.abs(found[layer][0] - wanted[layer][0]).max())
    assert moved > 1e-3


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"start_from": "garden", "width": 6}, "has width 4; give --width 4, or --start-from none"),
        ({"start_from": "meadow"}, "no trained style 'meadow'"),
        ({"start_from": "none", "learn": "style"}, "name what to --start-from"),
        ({"start_from": "garden/reef", "add_to": "garden"}, "leave --start-from"),
        ({"start_from": "gallery", "add_to": "meadow"}, "no trained style 'meadow'"),
    ],
)
def test_what_cannot_be_started_from(garden, changes, words):
    assert words in refused(garden, **changes)


def test_a_damaged_gallery(garden):
    path = checkpoint.find_folder("garden", garden["output"]).weights_path
    path.write_bytes(path.read_bytes()[:2000])
    assert str(path) in refused(garden)


# --- For a gallery -------------------------------------------------------------------------------


@pytest.fixture
def adding(garden):
    return {**garden, "start_from": "gallery", "add_to": "garden"}


def test_added_style_is_there_and_the_others_are_as_before(adding):
    root = adding["output"]
    before = checkpoint.find_folder("garden", root).read_all_weights()
    done, _ = run(adding)
    assert done.folder.name == "garden"
    assert [style["name"] for style in done.styles()] == ["moss", "reef", "birch", "cedar"]
    after = done.read_all_weights()
    for layer, arrays in before.items():
        for old, new in zip(arrays, after[layer], strict=True):
            np.testing.assert_array_equal(new[: len(old)], old)
    entry = done.styles()[-1]
    assert entry["training"]["steps"] == 3
    assert len(entry["sha256"]) == 64
    assert not os.path.exists(f"{root}/cedar")
    assert not litter(done.folder.parent)


def test_adding_again(adding, pictures):
    run(adding)
    folder = checkpoint.find_folder("garden", adding["output"]).folder
    before = contents(folder)
    assert "nothing to do" in run(adding)[1][0]
    assert contents(folder) == before
    other = str(pictures / "ash.png")
    assert "has a style 'cedar' already" in refused(adding, style=other)
    done, _ = run(adding, style=other, overwrite=True)
    assert [style["name"] for style in done.styles()] == ["moss", "reef", "birch", "cedar"]
    assert contents(folder) != before


def test_a_gallery_that_changed_meanwhile_is_left_alone(adding):
    root = adding["output"]
    change = AtEnd(lambda: write_gallery(f"{root}/garden", ["moss", "reef", "birch"], seed=77))
    assert "has changed since" in refused(adding, change)
    assert len(checkpoint.find_folder("garden", root).styles()) == 3
    assert not litter(checkpoint.find_folder("garden", root).folder.parent)


def test_a_full_disk_leaves_the_gallery_whole_and_the_style_is_added_next_time(
    adding, fill_disk_at
):
    folder = checkpoint.find_folder("garden", adding["output"]).folder
    before = contents(folder)
    # Those of the gallery's new copy, not those of the style.
    fill_disk_at(lambda path: (path.parent.name[:5], path.suffix) == (".fst-", ".h5"))
    assert "make room" in refused(adding)
    assert contents(folder) == before
    assert not litter(folder.parent)
    fill_disk_at(lambda path: False)
    done, events = run(adding)
    assert "already trained" in events[0]
    assert done.styles()[-1]["name"] == "cedar"
    assert not os.path.exists(f"{adding['output']}/cedar")
