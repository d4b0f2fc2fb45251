"""Several styles in one network, a style from a gallery, a style for a gallery."""

import csv
import functools
import os
import shutil
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf
from conftest import draw_photo, ending_after_the_steps, weights_of, write_gallery
from PIL import Image
from tiny import (
    AtBeginning,
    AtStep,
    Begun,
    PlainLoss,
    contents,
    litter,
    plain_network,
    read_losses,
    read_state,
    tiny_options,
)

from fst import collection, files
from fst.config import TrainingConfig
from fst.errors import UserError
from fst.training import gallery, loop
from fst.training.data import open_photos
from fst.training.loop import train
from fst.training.style_images import open_styles

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_block")]

NAMES = ["ash", "birch", "cedar"]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder with three style pictures."""
    folder = tmp_path_factory.mktemp("pictures")
    for seed, name in enumerate(NAMES):
        Image.fromarray(draw_photo(40 + seed, 70 + 8 * seed, 90)).save(folder / f"{name}.png")
    return folder


@pytest.fixture(scope="module")
def many(pictures, photos, first_layers, one_block, tmp_path_factory):
    """The options of a run that trains all three."""
    output = tmp_path_factory.mktemp("many")
    several = {"name": "trees", "style_weight": (4.0, 8.0, 2.0), "steps": 14, "save_every": 5}
    shown = {"preview": (str(photos / "photo00.jpg"),)}  # As small as it is.
    return tiny_options(photos, pictures, first_layers, output, holdout=2, **several, **shown)


def run(options, *callbacks, given=None, **changes):
    """Trains with what is `given` handed in; returns the `Checkpoint` and what was told of."""
    events, config = [], TrainingConfig(**{**options, **changes})
    return train(config, None, events.append, callbacks=callbacks, **(given or {})), events


def refused(options, **changes):
    """The line with which a run does not begin, or ends."""
    with pytest.raises(UserError) as error:
        run(options, **changes)
    assert "\n" not in str(error.value)
    return error.value.for_command_line()


@pytest.fixture(scope="module")
def trained(many):
    """The finished run."""
    return run(many)[0]


def from_garden(many, root):
    """The options of a run that starts from a gallery, `garden`, of three untrained styles."""
    write_gallery(root / "garden", ["moss", "reef", "birch"], noise=0.3)
    options = {key: value for key, value in many.items() if key not in ("name", "style_weight")}
    options.update(output=str(root), start_from="garden", steps=3, holdout=0)
    return {**options, "style": f"{many['style']}/cedar.png", "name": "cedar"}


@pytest.fixture
def garden(many, tmp_path):
    return from_garden(many, tmp_path)


# --- Several at once -----------------------------------------------------------------------------


def test_card_and_weights_hold_every_style(trained, pictures):
    card = trained.read_card()
    assert card["format"] == 2
    assert [style["name"] for style in card["styles"]] == NAMES
    assert [style["source"] for style in card["styles"]] == [f"{name}.png" for name in NAMES]
    assert len({style["sha256"] for style in card["styles"]}) == 3
    assert all(style["held_out_losses"]["style"] > 0 for style in card["styles"])
    assert trained.read_all_weights()["residual1_a_norm"][0].shape == (3, 16)
    for name in NAMES:
        assert collection.find(name, trained.folder.parent).name == name
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


def draw_styles(photos, count, *, seed=1, start_step=0, worker=0, workers=1, **options):
    """The number of the style that each photo of twelve steps gets, `[steps, photos of a step]`."""
    config = TrainingConfig("s.png", crop_size=32, photo_size=40, steps=12, **options)
    stream = open_photos(str(photos), seed=seed).batches(
        config, count, start_step=start_step, worker=worker, workers=workers
    )
    return np.stack([numbers for _, numbers in stream.as_numpy_iterator()])


def test_which_style_a_photo_gets_depends_on_seed_and_step_alone(photos):
    styles = functools.partial(draw_styles, photos, 5, batch_size=4)
    whole = styles()
    assert whole.shape == (12, 4)
    turns = whole.ravel()[:45].reshape(9, 5)
    assert (np.sort(turns) == np.arange(5)).all()  # Each has its turn before any has another.
    assert len({tuple(turn) for turn in turns}) > 3
    np.testing.assert_array_equal(styles(start_step=7), whole[7:])
    halves = [styles(worker=worker, workers=2) for worker in (0, 1)]
    np.testing.assert_array_equal(np.concatenate(halves, axis=1), whole)
    assert (styles(seed=2) != whole).any()


def test_a_style_has_its_turn_as_often_as_is_said(photos):
    styles = functools.partial(draw_styles, photos, 3, batch_size=3, style_turns=(1, 3, 2))
    whole = styles()
    laps = whole.reshape(6, 6)
    assert (np.sort(laps) == [0, 1, 1, 1, 2, 2]).all()
    assert len({tuple(lap) for lap in laps}) > 3
    np.testing.assert_array_equal(styles(start_step=7), whole[7:])


def test_stopped_and_gone_on_with_is_as_uninterrupted(many, tmp_path):
    def stop(model):
        raise KeyboardInterrupt

    def run_plain(*callbacks, **changes):
        given = {"network": plain_network(3), "loss": PlainLoss(3)}
        with ending_after_the_steps():
            return run(many, *callbacks, given=given, output=str(tmp_path), holdout=0, **changes)

    whole, _ = run_plain(name="whole")
    with pytest.raises(KeyboardInterrupt):
        run_plain(AtStep(7, stop))
    again, events = run_plain()
    assert any("going on after step 5 of 14" in event for event in events)
    np.testing.assert_allclose(
        read_losses(again.folder), read_losses(whole.folder), rtol=1e-4, atol=1e-6
    )
    one, other = read_state(again.folder), read_state(whole.folder)
    assert one.keys() == other.keys()
    for name, array in one.items():
        np.testing.assert_allclose(array, other[name], atol=1e-4, err_msg=name)
    with open(again.styles_history_path) as file, open(whole.styles_history_path) as first:
        assert [r[:2] for r in csv.reader(file)] == [r[:2] for r in csv.reader(first)]


def test_finished_it_has_nothing_to_do_but_for_the_same_pictures(many, trained, pictures):
    before = contents(trained.folder)
    assert "nothing to do" in run(many)[1][0]
    assert contents(trained.folder) == before
    two = tuple(str(pictures / f"{name}.png") for name in NAMES[:2])
    text = refused(many, style=two, style_weight=4.0)
    assert "other style images" in text


def test_a_hundred_styles(many, tmp_path):
    folder, shown, count = tmp_path / "pictures", tmp_path / "shown.png", 100
    folder.mkdir()
    Image.fromarray(draw_photo(7, 288, 16)).save(shown)  # As high as all are drawn.
    for index in range(count):
        Image.fromarray(draw_photo(index, 34, 32)).save(folder / f"s{index:03}.png")
    changes = {"style": str(folder), "style_weight": 8.0, "output": str(tmp_path), "steps": 2}
    changes.update(holdout=0, preview=(str(shown),), given={"loss": PlainLoss(count)})
    done, _ = run(many, **changes)
    assert len(done.styles()) == count
    one = collection.find("s057", tmp_path).read_weights()
    assert one["down1_norm"][0].shape == (4,)
    shown = [Image.open(done.previews_path / f"{n}.jpg").height for n in ("photos", "step_000002")]
    assert shown[1] == count * shown[0]


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


def test_a_password_in_an_address_is_not_told(many):
    addresses = ("https://ada:secret@a.org/ash.png", "https://ada:secret@b.org/ash.png")
    text = refused(many, style=addresses)
    assert "https://a.org/ash.png and https://b.org/ash.png would both be" in text


def test_several_pictures_need_a_name():
    with pytest.raises(UserError, match="name is missing"):
        TrainingConfig(("a.png", "b.png"))


@pytest.mark.parametrize("option", ["style_weight", "style_size", "style_turns"])
def test_as_many_values_as_styles(many, option):
    text = refused(many, **{option: (40.0, 50.0)})
    flag = "--" + option.replace("_", "-")
    assert f"{flag} has 2 values for 3 styles" in text


def test_as_many_weights_of_layers_as_styles(many):
    layers = len(many["style_layers"])
    text = refused(many, style_layer_weights=(1.0,) * layers * 2)
    assert f"--style-layer-weights has {layers * 2} values for 3 styles" in text


def test_an_empty_folder(many, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "holds no pictures" in refused(many, style=str(tmp_path / "empty"))


# --- From a gallery ------------------------------------------------------------------------------


def begun(options, **changes):
    """The weights that a run begins with, and what was told of until then."""
    events, beginning = [], AtBeginning()
    config = TrainingConfig(**{**options, **changes})
    with pytest.raises(Begun):
        train(config, None, events.append, callbacks=[beginning])
    return beginning.weights, events


def check_same(found, wanted):
    """The arrays of every layer are the same."""
    assert found.keys() == wanted.keys()
    for layer, arrays in found.items():
        for one, other in zip(arrays, wanted[layer], strict=True):
            np.testing.assert_array_equal(one, other, err_msg=layer)


def test_starts_from_the_style_that_paints_nearest(garden):
    """The gallery's style is found that the new picture was painted by."""
    photo = open_photos(garden["content"]).pictures(open_photos(garden["content"]), 96)
    _, photo = next(iter(photo))
    changes = {"content_weight": 0.0, "tv_weight": 0.0}
    made, wanted = {}, {}
    for name in ("birch", "moss", "reef"):
        network = collection.find(f"garden/{name}", garden["output"]).read_network()
        painted = np.asarray(network(photo[None]))[0].round().astype(np.uint8)
        made[name], wanted[name] = f"{garden['output']}/new_{name}.png", weights_of(network)
        Image.fromarray(painted).save(made[name])
    together = tuple(made.values())
    found, events = begun(garden, style=together, name="together", **changes)
    told = [event for event in events if "the nearest" in event]
    assert [line.split()[:4] for line in told] == [
        [f"new_{name}", "starts", "from", f"{name},"] for name in made
    ]
    for row, name in enumerate(made):
        of_one = {
            layer: [array[row] for array in arrays] if layer.endswith("_norm") else arrays
            for layer, arrays in found.items()
        }
        check_same(of_one, wanted[name])
    found, events = begun(garden, style=made["birch"], name="alone", **changes)
    assert any("alone starts from birch, the nearest" in event for event in events), events
    check_same(found, wanted["birch"])


def test_a_style_of_the_gallery_can_be_named(garden):
    found, events = begun(garden, start_from="garden/reef")
    assert not any("nearest" in event for event in events)
    check_same(found, collection.find("garden/reef", garden["output"]).read_weights())


def test_several_start_from_their_namesakes_and_the_rest_from_the_nearest(garden, many):
    found, events = begun(garden, style=many["style"], name="trees")
    told = [event.split()[0] for event in events if "the nearest style" in event]
    assert told == ["ash", "cedar"]
    wanted = collection.find("garden/birch", garden["output"]).read_weights()
    for one, other in zip(found["down3_norm"], wanted["down3_norm"], strict=True):
        np.testing.assert_array_equal(one[1], other)


class Waiting(NamedTuple):
    """A folder with `garden` and a style `cedar`, which was learnt from it and is not added yet."""

    options: dict
    nearest: str


@pytest.fixture(scope="module")
def learnt(many, tmp_path_factory):
    root = tmp_path_factory.mktemp("learnt")
    options = from_garden(many, root)
    changes = {"learn": "style", "learning_rate": 0.05}
    _, events = run(options, given={"loss": PlainLoss()}, **changes)
    (nearest,) = [event.split()[3].rstrip(",") for event in events if "the nearest" in event]
    return Waiting({**options, **changes}, nearest)


def test_learn_style_leaves_the_convolutions(learnt):
    root = learnt.options["output"]
    done = collection.find_folder("cedar", root)
    assert done.read_card()["started_from"]["name"] == "garden"
    found = done.read_weights()
    wanted = collection.find(f"garden/{learnt.nearest}", root).read_weights()
    moved = 0.0
    for layer in found:
        if layer.endswith("_conv"):
            for one, other in zip(found[layer], wanted[layer], strict=True):
                np.testing.assert_array_equal(one, other)
        else:
            moved = max(moved, np.abs(found[layer][0] - wanted[layer][0]).max())
    assert 1e-3 < moved < 0.2  # Three steps of 0.05 at most.


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


def test_what_a_run_starts_from_is_not_removed_by_it(garden):
    folder = collection.find_folder("garden", garden["output"]).folder
    before = contents(folder)
    assert "choose another --name" in refused(garden, name="garden", overwrite=True)
    assert contents(folder) == before


def test_a_damaged_gallery(garden):
    path = collection.find_folder("garden", garden["output"]).weights_path
    path.write_bytes(path.read_bytes()[:2000])
    assert str(path) in refused(garden)


# --- For a gallery -------------------------------------------------------------------------------


@pytest.fixture
def adding(learnt, tmp_path):
    """The options by which the style that is learnt, and waits, is added."""
    shutil.copytree(learnt.options["output"], tmp_path, dirs_exist_ok=True)
    options = {key: value for key, value in learnt.options.items() if key != "learn"}
    return {**options, "output": str(tmp_path), "start_from": "gallery", "add_to": "garden"}


def test_added_style_is_there_and_the_others_are_as_before(adding):
    root = adding["output"]
    before = collection.find_folder("garden", root).read_all_weights()
    learnt = collection.find_folder("cedar", root).read_all_weights()
    done, events = run(adding)
    assert "already trained" in events[0]
    assert done.folder.name == "garden"
    assert [style["name"] for style in done.styles()] == ["moss", "reef", "birch", "cedar"]
    after = done.read_all_weights()
    for layer, arrays in before.items():
        for old, new in zip(arrays, after[layer], strict=True):
            np.testing.assert_array_equal(new[: len(old)], old)
        if layer.endswith("_norm"):
            for new, one in zip(after[layer], learnt[layer], strict=True):
                np.testing.assert_array_equal(new[3], one)
    entry = done.styles()[-1]
    assert entry["training"]["steps"] == 3
    assert entry["place"] == 0
    assert len(entry["sha256"]) == 64
    assert not os.path.exists(f"{root}/cedar")
    assert not litter(done.folder.parent)


def test_adding_removes_what_a_killed_one_left_of_this_gallery_alone(adding):
    root = collection.find_folder("garden", adding["output"]).folder.parent
    shutil.copytree(root / "garden", root / "meadow")
    for name in ("garden", "meadow"):
        with files.atomic_path(root / name) as begun:
            shutil.copytree(root / name, begun)
            shutil.copytree(begun, kept := root / f"{begun.name}x")
    run(adding)
    assert litter(root) == [kept]


def test_adding_keeps_what_was_exported_below_the_gallery(adding):
    folder = collection.find_folder("garden", adding["output"]).folder
    exported = folder / "exports" / "moss" / "saved_model" / "saved_model.pb"
    exported.parent.mkdir(parents=True)
    exported.write_text("exported")
    run(adding)
    assert exported.read_text() == "exported"


def test_adding_again(adding, pictures):
    run(adding)
    trained = collection.find_folder("garden", adding["output"])
    before, first = contents(trained.folder), trained.styles()[-1]
    assert "nothing to do" in run(adding)[1][0]
    assert contents(trained.folder) == before
    other = str(pictures / "ash.png")
    assert "has a style 'cedar' already" in refused(adding, style=other)
    done, _ = run(adding, style=other, overwrite=True, given={"loss": PlainLoss()})
    assert [style["name"] for style in done.styles()] == ["moss", "reef", "birch", "cedar"]
    assert done.styles()[-1]["sha256"] != first["sha256"]
    assert contents(trained.folder) != before
    assert not os.path.exists(f"{adding['output']}/cedar")


def test_a_style_is_not_trained_in_the_place_of_its_gallery(adding):
    folder = collection.find_folder("garden", adding["output"]).folder
    before = contents(folder)
    for overwrite in (False, True):
        assert "choose another --name" in refused(adding, name="garden", overwrite=overwrite)
    assert contents(folder) == before


def test_a_gallery_behind_a_link_gets_the_style_where_it_lies(adding, tmp_path_factory):
    link, far = tmp_path_factory.mktemp("links") / "garden", f"{adding['output']}/garden"
    link.symlink_to(far)
    run(adding, add_to=str(link))
    assert link.is_symlink()
    assert len(collection.find_folder("garden", adding["output"]).styles()) == 4


def test_a_gallery_that_changed_meanwhile_is_left_alone(adding):
    root = adding["output"]
    write_gallery(f"{root}/garden", ["moss", "reef", "birch"], seed=77)
    assert "has changed since" in refused(adding)
    assert len(collection.find_folder("garden", root).styles()) == 3
    assert not litter(collection.find_folder("garden", root).folder.parent)


def test_two_that_add_at_once(adding):
    folder = collection.find_folder("garden", adding["output"]).folder
    with files.locked(folder, "taken"):
        assert "run the same command again, no training is lost" in refused(adding)
    assert run(adding)[0].styles()[-1]["name"] == "cedar"


def test_stopped_once_it_is_added_the_style_is_the_gallerys(adding, monkeypatch):
    def stop(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "clean", stop)
    with pytest.raises(KeyboardInterrupt):
        run(adding)
    assert collection.find("cedar", adding["output"]).folder.name == "garden"


@pytest.mark.parametrize("same", [True, False])
def test_a_network_of_ones_own_is_added_where_it_has_the_gallerys_convolutions(adding, same):
    network = collection.find("garden/reef", adding["output"]).read_network()
    if not same:
        kernel = network.get_layer("down2_conv").kernel
        kernel.assign(kernel + 0.1)
    given = {"network": network, "loss": PlainLoss()}
    if same:
        done, _ = run(adding, name="oak", given=given)
        assert done.styles()[-1]["name"] == "oak"
    else:
        with pytest.raises(ValueError, match="network: its convolutions are not those of"):
            run(adding, name="oak", given=given)


def test_a_full_disk_leaves_the_gallery_whole_and_the_style_is_added_next_time(
    adding, fill_disk_at, monkeypatch
):
    folder = collection.find_folder("garden", adding["output"]).folder
    before = contents(folder)
    # Those of the gallery's new copy, not those of the style.
    fill_disk_at(lambda path: (path.parent.name[:5], path.suffix) == (".fst-", ".h5"))
    assert "make room" in refused(adding)
    assert contents(folder) == before
    assert not litter(folder.parent)
    fill_disk_at(lambda path: False)

    def full(*_):
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(gallery, "export_styles", full)
        assert "make room" in refused(adding)
    assert contents(folder) == before
    done, events = run(adding)
    assert "already trained" in events[0]
    assert done.styles()[-1]["name"] == "cedar"
    assert not os.path.exists(f"{adding['output']}/cedar")
