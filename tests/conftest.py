"""What several test files share: small photos, a style, VGG19 weights, and how to run a command."""

import functools
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# Two tests run at a time on two cores: with a thread for each core they would wait on each other.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A run that a shell started in the background ignores Ctrl-C, and so would all that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples every time, however long a busy machine takes for one.
settings.register_profile("steady", deadline=None, derandomize=True, database=None)
settings.load_profile("steady")

ROOT = Path(__file__).resolve().parent.parent


# These wait for processes most of all. Begun last, one would be waited for alone at the end.
FIRST = ("test_workers", "test_cloud", "test_resume", "test_app")


# What takes long to come about, by the fixture that makes it.
MARKS = {"browser": "browser", "server": "browser", "job": "slow", "real_vgg": "slow"}


def pytest_collection_modifyitems(items):
    for item in items:
        for fixture in MARKS.keys() & set(item.fixturenames):
            item.add_marker(MARKS[fixture])
    items.sort(key=lambda item: item.path.stem not in FIRST)


def draw_photo(seed, height=80, width=96):
    """A colourful picture with shapes at several scales, uint8 `[height, width, 3]`."""
    random = np.random.default_rng(seed)
    small = Image.fromarray(random.integers(0, 256, (6, 7, 3), dtype=np.uint8))
    smooth = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC), np.float32)
    noise = random.normal(0, 12, (height, width, 1))
    return np.clip(smooth + noise, 0, 255).astype(np.uint8)


def random_network(width, seed, styles=1):
    """A network in which every weight is random, so that none can get lost or left out unseen."""
    import keras

    from fst.models.network import build_network

    keras.utils.set_random_seed(seed)
    random = np.random.default_rng(seed)
    network = build_network(width, styles=styles)
    network.set_weights([w + random.normal(0, 0.1, w.shape) for w in network.get_weights()])
    return network


class Result(NamedTuple):
    """How a command ended that was run in this process."""

    code: int
    out: str
    err: str


def run_here(main, command, monkeypatch, capture):
    """Runs a command's `main` in this process, which has TensorFlow already; gives a `Result`.

    Args:
        command: its words, the program's name first.
        capture: pytest's `capsys` or `capfd`.
    """
    from fst import errors

    monkeypatch.setattr(sys, "argv", [str(word) for word in command])
    with pytest.raises(SystemExit) as stop:
        errors.run(main)
    return Result(stop.value.code, *capture.readouterr())


def files(folder):
    """Every file below, hidden ones too, so that litter is found."""
    folder = Path(folder)
    return sorted(str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file())


def pixels(path):
    """A picture file's pixels, uint8 `[H, W, 3]`."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def weights_of(network):
    """A network's weights as `Checkpoint.read_weights` gives those of a file."""
    return {layer.name: layer.get_weights() for layer in network.layers if layer.weights}


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """A folder with twelve photos of several sizes."""
    folder = tmp_path_factory.mktemp("photos")
    for index in range(12):
        picture = draw_photo(index, 72 + 4 * index, 100 - 3 * index)
        Image.fromarray(picture).save(folder / f"photo{index:02d}.jpg", quality=95)
    return folder


@pytest.fixture(scope="session")
def load_vgg_once():
    """`load_vgg19`, which loads each kind only once for all tests."""
    from fst.models import perceptual

    return functools.cache(perceptual.load_vgg19)


@pytest.fixture(scope="session")
def style(tmp_path_factory):
    """A style image, 96 x 80 px."""
    path = tmp_path_factory.mktemp("style") / "stripes.png"
    Image.fromarray(draw_photo(99)).save(path)
    return path


@pytest.fixture(scope="session")
def styles(tmp_path_factory):
    """A folder with two small untrained styles, `sand` and `waves`."""
    import keras

    from fst.checkpoint import Checkpoint
    from fst.models.network import build_network

    root = tmp_path_factory.mktemp("styles")
    for seed, name in enumerate(("sand", "waves")):
        keras.utils.set_random_seed(seed)
        style = Checkpoint(root / name)
        style.write_weights(build_network(4))
        style.write_card({"format": 1, "name": name, "config": {"width": 4}})
    return root


def write_gallery(folder, names, width=4, seed=5, **card):
    """Writes a gallery of untrained styles, which all paint differently; gives its `Checkpoint`.

    Args:
        folder: of the gallery; its parent is the root.
        names: of the styles; the entries of some, `{"name": ..., "source": ...}`.
        card: what else the card holds.
    """
    from fst.checkpoint import Checkpoint

    trained = Checkpoint(Path(folder))
    trained.write_weights(random_network(width, seed, styles=len(names)))
    styles = [name if isinstance(name, dict) else {"name": name} for name in names]
    card = {"format": 2, "name": trained.folder.name, "config": {"width": width}, **card}
    trained.write_card({**card, "styles": styles})
    return trained


@pytest.fixture(scope="session")
def gallery(tmp_path_factory):
    """A folder with a gallery, `gallery`, of three styles `dusk`, `moss` and `reef`.

    And with two folders of one style each: `sand`, and `moss` once more.
    """
    root = tmp_path_factory.mktemp("galleries")
    dusk = {"name": "dusk", "source": "Nobody, Dusk, 1889", "held_out_losses": {"total": 1.5}}
    write_gallery(root / "gallery", [dusk, "moss", "reef"])
    for seed, name in enumerate(("sand", "moss")):
        write_gallery(root / name, [name], seed=seed)
    return root


@pytest.fixture(scope="session")
def vgg_file(tmp_path_factory):
    """A file in the layout of VGG19's weights, with random numbers, for tests of the machinery."""
    import keras

    keras.utils.set_random_seed(3)
    path = tmp_path_factory.mktemp("vgg") / "random.weights.h5"
    keras.applications.VGG19(include_top=False, weights=None).save_weights(path)
    return path


@pytest.fixture(scope="session")
def real_vgg():
    """The real VGG19's weights; tests that judge what is learnt need them."""
    path = os.environ.get("FST_VGG19_WEIGHTS")
    if not path:
        pytest.skip("FST_VGG19_WEIGHTS is not set: this test needs the real VGG19 weights")
    return path


def without_progress(stderr):
    """What a command said but how far it is, which only a run of half a minute tells."""
    lines = stderr.splitlines(keepends=True)
    return "".join(line for line in lines if not re.match(r"\d+ of \d+ photos done, ", line))


def wait_for(condition, seconds=300):
    """Waits until `condition()` holds; fails if it does not in time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)


def run(*command, timeout=600, **options):
    """Runs `python command...` in the repository and returns the finished process."""
    return subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        **options,
    )
