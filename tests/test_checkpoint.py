"""What a style is found by, and one network read out of a gallery's."""

import json
import math
import shutil
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from conftest import ROOT, draw_photo, random_network, weights_of, write_gallery

import fst
from fst import collection
from fst.checkpoint import Checkpoint
from fst.errors import UserError

NAMES = ["dusk", "moss", "reef"]


def find(wanted, root):
    """The folder's name and the weights of what is found."""
    found = collection.find(wanted, root)
    return found.folder.name, found.style_weights


# --- Names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("sand", ("sand", None)),
        ("moss", ("moss", None)),  # The folder, though the gallery has one too.
        ("dusk", ("gallery", (1, 0, 0))),
        ("gallery/dusk", ("gallery", (1, 0, 0))),
        ("gallery/moss", ("gallery", (0, 1, 0))),
        ("dusk=0.75,reef=0.25", ("gallery", (0.75, 0, 0.25))),
        ("reef = 1, gallery/moss=3", ("gallery", (0, 0.75, 0.25))),
        ("moss=2,reef=2", ("gallery", (0, 0.5, 0.5))),  # Only a gallery's styles blend.
        ("reef=1,dusk=0", ("gallery", (0, 0, 1))),
        ("reef=2", ("gallery", (0, 0, 1))),
        ("sand=1", ("sand", None)),
        ({"dusk": 0.5, "reef": 1.5}, ("gallery", (0.25, 0, 0.75))),
        ({"dusk": 1e308, "moss": 1e308}, ("gallery", (0.5, 0.5, 0))),
        ({"moss": np.float32(1)}, ("moss", None)),
    ],
)
def test_what_is_found(gallery, wanted, found):
    folder, weights = find(wanted, gallery)
    assert folder == found[0]
    assert weights == (found[1] and pytest.approx(found[1]))


def test_paths_are_found_from_anywhere(gallery, tmp_path):
    assert find(gallery / "sand", tmp_path) == ("sand", None)
    assert find(gallery / "gallery" / "reef", tmp_path) == ("gallery", (0, 0, 1))
    assert find(gallery / "reef", tmp_path) == ("gallery", (0, 0, 1))
    assert find(f"{gallery}/gallery/reef=1,{gallery}/gallery/dusk=1", tmp_path)[1] == (0.5, 0, 0.5)
    # A folder may be called as a blend is written.
    odd = shutil.copytree(gallery / "sand", tmp_path / "dusk=1,reef=1")
    assert collection.find("dusk=1,reef=1", tmp_path) == Checkpoint(odd)


def test_every_name_leads_to_its_own_style(gallery):
    found = collection.names(gallery)
    assert found == ["dusk", "gallery/moss", "moss", "reef", "sand"]
    assert len({find(name, gallery) for name in found}) == 5


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ("gallery", "holds 3 styles: name one, such as gallery/dusk; there are dusk, moss, reef"),
        ("reaf", "no trained style 'reaf'; did you mean reef? there are dusk, gallery/moss, moss,"),
        ("gallery/sand", "GALLERY/gallery; there are dusk, moss, reef"),
        ("sand/dusk", "there is no trained style 'dusk' in GALLERY/sand; there are sand"),
        ("nowhere/dusk", "no trained style 'nowhere/dusk'"),
        ("reef=1,dust=2", "no trained style 'dust'; did you mean dusk"),
        ("reef=1,dusk=-1", "the weight of dusk is '-1': give a number from 0"),
        ("reef=1,dusk=nan", "the weight of dusk is 'nan'"),
        ("reef=1,dusk=inf", "the weight of dusk is 'inf'"),
        ("reef=1,dusk=half", "the weight of dusk is 'half'"),
        ("reef=1,dusk=", "the weight of dusk is ''"),
        ("reef=1,dusk", "is no blend: write it as great_wave=0.7,udnie=0.3"),
        ("reef=1,", "is no blend"),
        ("reef=0,dusk=0", "a style with a weight above 0"),
        ("reef=1,reef=1", "names reef twice"),
        ("reef=1,gallery/reef=1", "names reef twice"),
        ("reef=1,sand=1", "'sand' is a folder of its own"),
        ({}, "a style with a weight above 0"),
        ({"dusk": None}, "the weight of dusk is 'None'"),
        ({"dusk": math.nan, "reef": 1}, "the weight of dusk is 'nan'"),
        ("x" * 5000, "there is no trained style 'xxx"),
    ],
)
def test_what_is_not_found_is_one_line(gallery, wanted, told):
    with pytest.raises(UserError) as error:
        collection.find(wanted, gallery)
    line = str(error.value)
    assert told.replace("GALLERY", str(gallery)) in line
    assert "\n" not in line
    assert len(line) < 500


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ({"dusk": -1}, "the weight of dusk is '-1'"),
        ("dusk=x,moss=1", "the weight of dusk is 'x'"),
        ("dusk=1,dusk=1", "names dusk twice"),
        ("dusk=1,nosuch=1", "no trained style 'nosuch'"),
        ("nosuch", "no trained style 'nosuch'; there are"),
    ],
)
def test_what_is_wrong_with_what_to_start_from_is_told(gallery, wanted, told):
    with pytest.raises(UserError, match=told):
        collection.find_start(wanted, gallery)


def test_two_galleries_with_the_same_style(gallery, tmp_path):
    for name in ("gallery", "other"):
        shutil.copytree(gallery / "gallery", tmp_path / name)
    assert collection.names(tmp_path) == [f"{g}/{s}" for g in ("gallery", "other") for s in NAMES]
    with pytest.raises(UserError, match="2 galleries: name it gallery/dusk or other/dusk"):
        collection.find("dusk", tmp_path)
    assert find("other/dusk", tmp_path) == ("other", (1, 0, 0))
    with pytest.raises(UserError, match="name it gallery/dusk or other/dusk"):
        collection.find("dusk=1,reef=1", tmp_path)
    assert find("dusk=1,other/reef=1", tmp_path) == ("other", (0.5, 0, 0.5))
    with pytest.raises(UserError, match="are not all in one gallery"):
        collection.find("gallery/dusk=1,other/reef=1", tmp_path)


def test_a_gallery_that_is_being_written_is_not_another_one(gallery, tmp_path):
    shutil.copytree(gallery, tmp_path, dirs_exist_ok=True)
    known = collection.names(tmp_path)
    shutil.copytree(tmp_path / "gallery", tmp_path / ".fst-0123456789ab")
    assert collection.names(tmp_path) == known
    assert find("dusk", tmp_path) == ("gallery", (1, 0, 0))


def test_a_gallery_called_as_one_of_its_styles(gallery, tmp_path):
    shutil.copytree(gallery / "gallery", tmp_path / "dusk")
    assert collection.names(tmp_path) == ["dusk/dusk", "moss", "reef"]
    assert find("dusk/dusk", tmp_path) == ("dusk", (1, 0, 0))
    with pytest.raises(UserError, match="name one, such as dusk/dusk"):
        collection.find("dusk", tmp_path)


def test_a_folder_as_such(gallery):
    assert collection.find_folder("gallery", gallery) == Checkpoint(gallery / "gallery")
    assert collection.find_folder("sand", gallery) == Checkpoint(gallery / "sand")
    with pytest.raises(UserError, match="there is no trained style 'reef'"):
        collection.find_folder("reef", gallery)


@pytest.mark.parametrize(
    ("wanted", "name"),
    [("sand", "sand"), ("dusk", "dusk"), ("gallery/moss", "moss"), ("dusk=3,reef=1", None)],
)
def test_what_is_found_has_a_name(gallery, wanted, name):
    assert collection.find(wanted, gallery).name == (name or "dusk=0.75,reef=0.25")


# --- The card ------------------------------------------------------------------------------------


def test_styles_of_the_card(gallery, styles):
    dusk, *others = collection.find_folder("gallery", gallery).styles()
    assert (dusk["source"], dusk["held_out_losses"]) == ("Nobody, Dusk, 1889", {"total": 1.5})
    assert others == [{"name": "moss"}, {"name": "reef"}]
    assert Checkpoint(styles / "sand").styles() == [{"name": "sand", "held_out_losses": None}]
    chosen = collection.find("reef=1,moss=3", gallery).chosen()
    assert chosen == [({"name": "moss"}, 0.75), ({"name": "reef"}, 0.25)]


def test_a_card_of_format_1_has_one_style(styles, tmp_path):
    trained = Checkpoint(shutil.copytree(styles / "waves", tmp_path / "renamed"))
    card = {"format": 1, "config": {"width": 4}, "style": {"sha256": "ab", "height": 9}}
    trained.write_card({**card, "held_out_losses": {"total": 2.0}})
    wanted = {"name": "renamed", "sha256": "ab", "height": 9, "held_out_losses": {"total": 2.0}}
    assert trained.styles() == [wanted]
    assert find("renamed", tmp_path) == ("renamed", None)


@pytest.mark.parametrize(
    "styles",
    [[], {}, None, "abc", [{"sha256": "x"}], ["dusk"], [{"name": "a/b"}], [{"name": "x"}] * 2],
    ids=str,
)
def test_a_card_without_proper_names(gallery, tmp_path, styles):
    trained = Checkpoint(shutil.copytree(gallery / "gallery", tmp_path / "gallery"))
    trained.write_card({"format": 2, "config": {"width": 4}, "styles": styles})
    with pytest.raises(UserError, match=r"style.json: is damaged, (it does not tell|two styles)"):
        trained.styles()
    # It keeps nobody from the other styles, and who wants it is told of its damage.
    shutil.copytree(gallery / "sand", tmp_path / "sand")
    assert collection.names(tmp_path) == ["gallery", "sand"]
    with pytest.raises(UserError, match=r"style.json: is damaged"):
        collection.find("gallery", tmp_path).read_weights()


# --- The weights ---------------------------------------------------------------------------------


def equal(found, wanted):
    assert found.keys() == wanted.keys()
    for layer, arrays in wanted.items():
        for one, other in zip(found[layer], arrays, strict=True):
            assert one.dtype == np.float32
            np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6, err_msg=layer)


@pytest.fixture(scope="module")
def conditional(gallery):
    """The network of all styles of the gallery."""
    return collection.find_folder("gallery", gallery).read_conditional()


@pytest.mark.parametrize("wanted", ["dusk", "gallery/moss", "reef", "dusk=0.7,reef=0.3"])
def test_a_style_is_folded_out_of_the_gallery(gallery, conditional, wanted):
    from fst.models.network import fold

    trained = collection.find(wanted, gallery)
    single = weights_of(fold(conditional, trained.style_weights))
    equal(trained.read_weights(), single)
    equal(weights_of(trained.read_network()), single)


def test_a_style_of_a_gallery_is_as_small_as_one_alone(gallery):
    one, alone = (collection.find(name, gallery).read_network() for name in ("reef", "sand"))
    assert one.count_params() == alone.count_params() == random_network(4, 0).count_params()


def test_styles_of_a_gallery_differ(gallery):
    photo = draw_photo(1)
    pictures = [
        fst.load(wanted, gallery)(photo).astype(int)
        for wanted in ("dusk", "gallery/moss", "moss", {"dusk": 0.5, "reef": 0.5})
    ]
    for index, one in enumerate(pictures):
        assert all(np.abs(one - other).mean() > 3 for other in pictures[:index])


def test_the_whole_network_is_read_as_it_was_written(tmp_path):
    network = random_network(4, 3, styles=5)
    trained = write_gallery(tmp_path / "five", list("abcde"), seed=3)
    found = trained.read_conditional()
    assert [layer.name for layer in found.layers] == [layer.name for layer in network.layers]
    for one, other in zip(found.get_weights(), network.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3)  # Half precision.
    tables = trained.read_all_weights()
    assert tables["down3_norm"][0].shape == (5, 16)
    # Before the card is written, as at the end of a training.
    trained.card_path.unlink()
    equal(trained.read_all_weights(width=4), tables)


def test_the_whole_network_of_a_single_style(gallery):
    trained = collection.find("sand", gallery)
    single = trained.read_conditional()
    assert len(single.inputs) == 1
    equal(weights_of(single), trained.read_weights())


def test_a_gallery_has_no_weights_of_one_style(gallery):
    whole = collection.find_folder("gallery", gallery)
    for read in (whole.read_weights, whole.read_network, whole.chosen):
        with pytest.raises(UserError, match="holds 3 styles: name one, such as gallery/dusk"):
            read()


def break_shape(file):
    vars_ = next(iter(find_layer(file, "up1_norm")))
    table = vars_["0"][()]
    del vars_["0"]
    vars_["0"] = table[:2]


def break_value(file):
    next(iter(find_layer(file, "up1_norm")))["1"][2, 0] = math.nan


def remove_layer(file):
    vars_ = next(iter(find_layer(file, "residual2_a_norm")))
    del vars_["0"], vars_["1"]


def find_layer(file, name):
    found = []
    file.visititems(
        lambda _, item: (
            found.append(item)
            if isinstance(item, h5py.Group) and item.attrs.get("name") == name and len(item)
            else None
        )
    )
    return found


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (break_shape, r"layer up1_norm has the arrays \[\(2, 8\), \(3, 8\)\]"),
        (break_value, "layer up1_norm holds values that are not finite"),
        (remove_layer, r"layer residual2_a_norm has the arrays \[\]"),
    ],
)
def test_damaged_weights_are_one_line(gallery, tmp_path, damage, told):
    shutil.copytree(gallery / "gallery", tmp_path / "gallery")
    with h5py.File(tmp_path / "gallery" / "network.weights.h5", "a") as file:
        damage(file)
    trained = collection.find("dusk", tmp_path)
    for read in (trained.read_weights, trained.read_network, trained.read_conditional):
        with pytest.raises(UserError, match=rf"weights.h5: cannot be loaded \({told}") as error:
            read()
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"styles": [{"name": n} for n in "abcd"]}, "it holds 3 of the 4 styles that the card"),
        ({"styles": [{"name": "a"}]}, "it holds 3 of the 1 styles"),
        ({"config": {"width": 8}}, "layer down1_conv has the arrays"),
    ],
)
def test_weights_of_another_card(gallery, tmp_path, changes, told):
    trained = Checkpoint(shutil.copytree(gallery / "gallery", tmp_path / "gallery"))
    trained.write_card({**trained.read_card(), **changes})
    with pytest.raises(UserError, match=told):
        collection.find(collection.names(tmp_path)[0], tmp_path).read_weights()


def test_a_gallery_that_has_changed_since(gallery, tmp_path):
    trained = Checkpoint(shutil.copytree(gallery / "gallery", tmp_path / "gallery"))
    dusk = collection.find("dusk", tmp_path)
    write_gallery(trained.folder, ["dusk", "reef"])
    with pytest.raises(UserError, match="names 2 styles now, not 3; find the style by its name"):
        dusk.read_weights()


@pytest.mark.slow
def test_a_style_of_a_hundred_is_read_at_once_and_without_keras(tmp_path):
    names = [f"style_{index:03}" for index in range(100)]
    write_gallery(tmp_path / "gallery", names, width=8)
    write_gallery(tmp_path / "single", ["single"], width=8)
    assert collection.names(tmp_path) == ["single", *names]
    weights = collection.find("style_099", tmp_path).read_weights()

    def seconds(name):
        start = time.perf_counter()
        collection.find(name, tmp_path).read_weights()
        return time.perf_counter() - start

    least = {name: min(seconds(name) for _ in range(5)) for name in ("style_099", "single")}
    assert least["style_099"] < 5 * least["single"]
    last = collection.find_folder("gallery", tmp_path).read_all_weights()["up2_norm"][1][99]
    np.testing.assert_array_equal(weights["up2_norm"][1], last)
    program = f"""
import sys
from fst import collection
collection.find("style_007=1,style_013=2", {str(tmp_path)!r}).read_weights()
assert not {{"keras", "tensorflow"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, timeout=60)


def test_cards_are_written_as_they_are_read(tmp_path):
    trained = write_gallery(tmp_path / "one", ["one"], images_seen=7)
    assert json.loads(trained.card_path.read_text())["images_seen"] == 7
    assert find("one", tmp_path) == ("one", None)
    assert trained.read_weights()["up1_norm"][0].shape == (8,)


# --- Shipped styles ------------------------------------------------------------------------------


def copy_gallery(folder, names, target):
    """Copies a gallery, whose styles get other names."""
    copied = Checkpoint(shutil.copytree(folder, target))
    styles = [{"name": name} for name in names]
    copied.write_card({**copied.read_card(), "name": target.name, "styles": styles})


@pytest.fixture
def elsewhere(gallery, tmp_path, monkeypatch):
    """A folder to work in; those of `gallery` are the shipped styles."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(collection, "shipped", lambda: gallery)
    return tmp_path


def test_shipped_styles_are_found_from_any_folder(elsewhere, gallery):
    assert collection.find("reef").folder == gallery / "gallery"
    assert collection.find_folder("gallery").folder == gallery / "gallery"
    assert collection.find_start("gallery").is_gallery()
    assert collection.names() == collection.names(gallery)
    assert set(collection.find_all()) == set(collection.names(gallery))
    assert collection.find("dusk=1,reef=1").name == "dusk=0.5,reef=0.5"
    assert collection.is_shipped(collection.find("reef"))


def test_ones_own_styles_hide_shipped_ones(elsewhere, gallery):
    copy_gallery(gallery / "sand", ["reef"], elsewhere / "checkpoints" / "reef")
    own = collection.find("reef")
    assert own.folder == Path("checkpoints/reef")
    assert not collection.is_shipped(own)
    assert collection.names().count("reef") == 1
    assert "dusk" in collection.names()


def test_another_folder_brings_no_shipped_styles(elsewhere):
    (elsewhere / "mine").mkdir()
    assert collection.names("mine") == []
    with pytest.raises(UserError, match="there are none under mine/"):
        collection.find("reef", "mine")


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ("reev", "no trained style 'reev'; did you mean reef"),
        ("reef=1,nothing=1", "no trained style 'nothing'"),
        ("own=1,reef=1", "are not in one gallery"),
        ("gallery", "holds 3 styles: name one"),
    ],
)
def test_what_is_in_neither_place_is_told_once_and_rightly(elsewhere, gallery, wanted, told):
    names = ["own", "other", "third"]
    copy_gallery(gallery / "gallery", names, elsewhere / "checkpoints" / "three")
    with pytest.raises(UserError, match=told):
        collection.find(wanted)


def test_a_shipped_gallery_is_not_added_to(elsewhere, gallery):
    with pytest.raises(UserError, match=r"came with fst .* copy it into checkpoints/ first"):
        collection.find_own_folder("gallery")
    copy_gallery(gallery / "gallery", "abc", elsewhere / "checkpoints" / "gallery")
    assert collection.find_own_folder("gallery").folder == Path("checkpoints/gallery")


def test_a_checkpoint_names_itself(gallery):
    reef = collection.find("reef", gallery)
    assert collection.find(reef) is reef
    assert collection.find_folder(reef).is_gallery()
