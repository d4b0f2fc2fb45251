"""What several test files share: small photos, a style, VGG19 weights, and how to run a command."""

import contextlib
import errno
import functools
import gc
import os
import re
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

from fst.models import architecture

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

# What all tests share has them, whichever file asks for it first.
BLOCKS = architecture.RESIDUAL_BLOCKS

# The longest: begun last, one would be waited for alone at the end.
FIRST = (
    *("test_app", "test_cloud", "test_resume", "test_workers", "test_training", "test_gatys"),
    *("test_handed_in", "test_export", "test_many_styles", "test_gatys_command", "test_video"),
    *("test_shipped_gallery", "test_infer", "test_notebook", "test_style_transfer"),
)


# What takes long to come about, by the fixture that makes it.
MARKS = {
    "browser": "browser",
    "server": "browser",
    "jobs": "slow",
    "jumping": "slow",
    "real_vgg": "slow",
}


def pytest_collection_modifyitems(items):
    for item in items:
        for fixture in MARKS.keys() & set(item.fixturenames):
            item.add_marker(MARKS[fixture])
    rank = {name: number for number, name in enumerate(FIRST)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(rank)))


@pytest.fixture(scope="module", autouse=True)
def _graphs_go():
    """Lets go of the graphs of a file's trainings: they would fill the memory, 30 MB each.

    Keras's optimizers sum gradients over replicas by a `tf.custom_gradient`, which TensorFlow
    registers for the life of the process, and with it the whole graph.
    """
    # What is there by now stays, millions of objects: Python need not look through them again and
    # again while a graph is built, nor when the file's own are let go.
    gc.freeze()
    yield
    if "tensorflow" in sys.modules:
        from tensorflow.python.framework import ops

        registered = ops.gradient_registry._registry
        for name in [name for name in registered if name.startswith("CustomGradient-")]:
            del registered[name]
        gc.collect()


def draw_photo(seed, height=80, width=96):
    """A colourful picture with shapes at several scales, uint8 `[height, width, 3]`."""
    random = np.random.default_rng(seed)
    small = Image.fromarray(random.integers(0, 256, (6, 7, 3), dtype=np.uint8))
    smooth = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC), np.float32)
    noise = random.normal(0, 12, (height, width, 1))
    return np.clip(smooth + noise, 0, 255).astype(np.uint8)


def random_network(width, seed, styles=1, noise=0.1):
    """A network in which every weight is random, so that none can get lost or left out unseen."""
    import keras

    from fst.models.network import build_network

    keras.utils.set_random_seed(seed)
    random = np.random.default_rng(seed)
    network = build_network(width, styles=styles)
    network.set_weights([w + random.normal(0, noise, w.shape) for w in network.get_weights()])
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

    return _ended(lambda: errors.run(main), command, monkeypatch, capture)


def run_script_here(script, words, monkeypatch, capture):
    """As `run_here`, a file that is run as a command, by its path and the words after it."""
    command = [Path(script).name, *words]
    whole = functools.partial(runpy.run_path, str(script), run_name="__main__")
    return _ended(whole, command, monkeypatch, capture)


def _ended(call, command, monkeypatch, capture):
    monkeypatch.setattr(sys, "argv", [str(word) for word in command])
    with pytest.raises(SystemExit) as stop:
        call()
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
        with with_blocks(BLOCKS):
            style.write_weights(build_network(4))
        style.write_card({"format": 1, "name": name, "config": {"width": 4}})
    return root


def write_gallery(folder, names, width=4, seed=5, noise=0.1, **card):
    """Writes a gallery of untrained styles, which all paint differently; gives its `Checkpoint`.

    Args:
        folder: of the gallery; its parent is the root.
        names: of the styles; the entries of some, `{"name": ..., "source": ...}`.
        noise: how far the styles lie apart.
        card: what else the card holds.
    """
    from fst.checkpoint import Checkpoint

    trained = Checkpoint(Path(folder))
    trained.write_weights(random_network(width, seed, len(names), noise))
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
    with with_blocks(BLOCKS):
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
def first_layers(tmp_path_factory):
    """A file of VGG19's first two blocks, with random numbers: a moment's work to load.

    It is of 8 bits, as the weights of the package are; `vgg_file` is of Keras's layout.
    """
    from fst.models import vgg19

    path, random = tmp_path_factory.mktemp("vgg") / "first_layers.npz", np.random.default_rng(3)
    layers, inputs = {}, 3
    for name, outputs in zip(vgg19.NAMES, (64, 64, 128, 128), strict=False):
        levels = random.integers(-vgg19.TOP, vgg19.TOP + 1, (3, 3, inputs, outputs), dtype=np.int8)
        # Values as large in one layer as in the next: half of them are lost to the rectifier.
        scale = np.full(outputs, (2 / (9 * inputs)) ** 0.5 / levels.std(), np.float32)
        layers[name] = levels, scale, random.normal(0, 0.1, outputs).astype(np.float32)
        inputs = outputs
    vgg19.write_quantised(path, layers, "random numbers")
    return path


@contextlib.contextmanager
def with_blocks(count):
    """Gives the project's network so many residual blocks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(architecture, "RESIDUAL_BLOCKS", count)
        yield


@pytest.fixture(scope="module")
def one_block():
    """For a file whose every style is made there: networks have one residual block.

    They still have a layer of every kind, and all that is built, traced and exported of them takes
    half the time.
    """
    with with_blocks(1):
        yield


@pytest.fixture
def one_block_here():
    """As `one_block`, for one test."""
    with with_blocks(1):
        yield


@pytest.fixture
def kept_vgg(load_vgg_once, vgg_file, monkeypatch):
    """Has commands take `load_vgg_once`, and of all weights those of `vgg_file` by default.

    Gives an object whose `before_use()`, which a test may set, is called before each use.
    """
    from fst.models import perceptual

    kept = SimpleNamespace(before_use=lambda: None)

    def load(*arguments, **options):
        features = load_vgg_once(*arguments, **options)

        def look(image, layer_names):
            kept.before_use()
            return features(image, layer_names)

        return look

    monkeypatch.setattr(perceptual, "load_vgg19", load)
    monkeypatch.setenv("FST_VGG19_WEIGHTS", str(vgg_file))
    return kept


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


# --- What happens to a run -----------------------------------------------------------------------
# The few places at which tests reach into the program. A test asks for what is to happen; how it
# is brought about is said here, once.


@contextlib.contextmanager
def ending_after_the_steps():
    """Lets trainings end after their last step: what is written then takes longer than that."""
    from fst.training import loop

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "_finish", lambda *_: None)
        yield


@pytest.fixture
def steps_only():
    with ending_after_the_steps():
        yield


@pytest.fixture
def plain_loss(monkeypatch):
    """Has trainings take `PlainLoss` where nobody hands in a loss."""
    from tiny import PlainLoss

    from fst.training import loop

    monkeypatch.setattr(loop, "build_loss", lambda config, styles, *_, **__: PlainLoss(len(styles)))


@pytest.fixture
def plain_networks(monkeypatch):
    """Has trainings take `plain_network` where nobody hands in a network."""
    from tiny import plain_network

    from fst.training import loop

    def network(width, precision, styles, seed):
        return plain_network(styles)

    monkeypatch.setattr(loop, "build_network", network)


@pytest.fixture
def plain_parts(plain_loss, plain_networks):
    """Has trainings take `plain_network` and `PlainLoss` for the parts that nobody hands in."""


@pytest.fixture
def fill_disk_at(monkeypatch):
    """A function that fills the disk for the files of which `full(path)` says so.

    What was written of such a file is there when the disk is found full. The latest call counts.
    """
    from fst import files as places

    atomic_path = places.atomic_path

    def fill(full):
        @contextlib.contextmanager
        def until_full(path):
            with atomic_path(path) as temporary:
                yield temporary
                if full(Path(path)):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(places, "atomic_path", until_full)

    return fill


@pytest.fixture
def spare(tmp_path_factory, monkeypatch):
    """An empty folder, in which temporary files are made."""
    folder = tmp_path_factory.mktemp("spare")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def free_memory(monkeypatch):
    """A function that sets how many bytes of memory are free."""
    from fst.stylize import memory

    return lambda count: monkeypatch.setattr(memory, "available", lambda: count)


@pytest.fixture
def clock(monkeypatch):
    """The clock of the progress, which a test sets: `clock[0]`, in seconds."""
    from fst.console import progress

    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def on_a_terminal(monkeypatch):
    """A function after whose call the errors' stream says that it is a terminal."""
    return lambda: monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)


@pytest.fixture
def cores(monkeypatch):
    """A function that sets how many cores the machine says to have."""
    return lambda count: monkeypatch.setattr(os, "cpu_count", lambda: count)


@pytest.fixture
def loading(monkeypatch):
    """Has `loading.by(trained, engine, precision)` load the styles of a command."""
    from fst.stylize import stylizer

    found = SimpleNamespace(by=stylizer.load_all)
    monkeypatch.setattr(stylizer, "load_all", lambda *arguments: found.by(*arguments))
    return found


@pytest.fixture
def at_step(monkeypatch):
    """A function that has `action()` called when a step of `fst.gatys` is told of.

    Of several pictures it is that whose title begins with `title`.
    """
    from fst.console.progress import Reporter

    tell, asked = Reporter.step, []

    def step(reporter, one, steps, title=""):
        tell(reporter, one, steps, title)
        for number, action, beginning in asked:
            if one.step == number and title.startswith(beginning):
                action()

    monkeypatch.setattr(Reporter, "step", step)
    return lambda number, action, title="": asked.append((number, action, title))
