"""The gallery as it ships, judged by the VGG19 of the package: nothing else is needed."""

import numpy as np
import pytest
from conftest import ROOT

import fst
from fst import collection
from fst.config import TrainingConfig
from fst.media import images, samples
from fst.models.network import fold, paint
from fst.models.perceptual import PerceptualLoss
from fst.training import start
from fst.training.loop import train

pytestmark = pytest.mark.slow

CHECKPOINTS = ROOT / "checkpoints"


@pytest.fixture(scope="module")
def gallery():
    return collection.find_folder("gallery", CHECKPOINTS)


@pytest.fixture(scope="module")
def network(gallery):
    return gallery.read_conditional()


@pytest.fixture(scope="module")
def photo():
    return samples.load(160)["astronaut"].round().astype(np.float32)


def shares_of(gallery, **weights):
    names = [style["name"] for style in gallery.styles()]
    return np.float32([[weights.get(name, 0.0) for name in names]])


def test_there_is_a_choice_and_each_names_its_picture(gallery):
    styles = gallery.styles()
    assert len(styles) >= 20
    assert all(style["source"] and len(style["sha256"]) == 64 for style in styles)
    assert "woodcut" not in {style["name"] for style in styles}  # `make demo` learns it anew.


def test_it_is_small(gallery):
    sizes = [path.stat().st_size for path in gallery.folder.rglob("*") if path.is_file()]
    assert sum(sizes) < 20e6


def test_a_folded_style_paints_what_the_network_of_all_paints(gallery, network, photo):
    shares = shares_of(gallery, great_wave=1.0)
    whole = np.asarray(paint(network, photo[None], shares))[0]
    folded = np.asarray(fold(network, shares[0])(photo[None]))[0]
    used = fst.load("great_wave", CHECKPOINTS)(photo)
    assert np.abs(whole - folded).max() < 1
    assert np.abs(whole - used).max() < 1


def test_half_of_each_is_neither(gallery, network, photo):
    one, other, half = (
        np.asarray(paint(network, photo[None], shares_of(gallery, **weights)))
        for weights in ({"great_wave": 1}, {"udnie": 1}, {"great_wave": 0.5, "udnie": 0.5})
    )
    assert min(np.abs(half - one).mean(), np.abs(half - other).mean()) > 5


def test_the_style_moves_steadily_along_a_blend(load_vgg_once):
    """From one of our own pictures to another, the Gram matrices leave the one for the other."""
    pictures = [ROOT / f"data/styles/{name}.jpg" for name in ("flow_strokes", "stained_glass")]
    photo = samples.load(128)["chelsea"]
    features = load_vgg_once("embedded")
    losses = [PerceptualLoss(features, [images.load_rgb(p, 256)]) for p in pictures]
    content = losses[0].content_features(photo[None])
    terms = []
    for share in np.linspace(0, 1, 5):
        blend = {"flow_strokes": 1 - share, "stained_glass": share}
        painted = fst.load(blend, CHECKPOINTS)(photo)[None]
        terms.append([float(loss(painted, content).style) for loss in losses])
    away, towards = np.array(terms).T
    assert (np.diff(away) > 0).all(), away
    assert (np.diff(towards) < 0).all(), towards


def test_a_new_style_is_learnt_from_it_in_a_few_steps(load_vgg_once, tmp_path, monkeypatch):
    """Without photos, without a network, without weights that are not in the package."""
    monkeypatch.setattr(start, "_JUDGED_ON", 1)
    events, shown = [], tmp_path / "shown.png"
    photo = samples.load(128)["coffee"]
    images.save_picture(shown, photo)
    config = TrainingConfig(
        str(ROOT / "data/styles/woodcut.jpg"),
        output=str(tmp_path),
        vgg_weights="embedded",
        steps=12,
        batch_size=2,
        crop_size=64,
        photo_size=80,
        style_size=256,
        preview=(str(shown),),
        holdout=0,
    )
    trained = train(config, None, events.append)
    (nearest,) = (line.split()[3].rstrip(",") for line in events if "the nearest style" in line)
    loss = PerceptualLoss(load_vgg_once("embedded"), [images.load_rgb(config.style[0], 256)])
    content = loss.content_features(photo[None])
    before, after = (
        loss(stylise(photo)[None], content)
        for stylise in (fst.load(nearest, CHECKPOINTS), fst.load(trained.folder))
    )
    assert float(after.style) < 0.7 * float(before.style)
    assert float(after.total) < float(before.total)
