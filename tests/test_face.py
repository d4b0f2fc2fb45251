"""What `import fst` shows, and that its documentation and its examples are true."""

import ast
import contextlib
import doctest
import importlib.util
import re
import sys
from importlib import import_module

import numpy as np
import pytest
from conftest import ROOT, draw_photo, run
from eager import eagerly
from films import write
from PIL import Image
from tiny import PlainLoss, plain_network, tiny_options

import fst
from fst.errors import UserError

NAMES = {
    "GatysOptions",
    "PerceptualLoss",
    "StyleTransfer",
    "Stylizer",
    "TrainingConfig",
    "UserError",
    "build_network",
    "callbacks",
    "gatys",
    "load",
    "load_model",
    "look",
    "metrics",
    "stylise_video",
    "train",
}


# --- Names ---------------------------------------------------------------------------------------


def test_the_names_are_shown_without_tensorflow():
    program = "import fst, sys; print(*dir(fst)); print('tensorflow' in sys.modules, 'keras' in "
    done = run("-c", f"{program}sys.modules, 'numpy' in sys.modules)")
    shown, heavy = done.stdout.splitlines()
    assert {*shown.split()} >= NAMES
    assert heavy == "False False False"


def test_the_settings_and_errors_come_without_tensorflow():
    done = run(
        "-c",
        "import fst, sys; fst.TrainingConfig('a.jpg'); fst.GatysOptions(); fst.UserError; fst.look;"
        "fst.metrics; fst.gatys; print('tensorflow' in sys.modules)",
    )
    assert done.stdout == "False\n", done.stderr


@pytest.mark.slow
def test_every_name_is_there():
    assert set(fst.__all__) == NAMES
    for name in NAMES:
        thing = getattr(fst, name)
        assert thing.__doc__
        assert thing.__name__.rpartition(".")[2] == name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = fst.nothing


@pytest.mark.slow
def test_type_checkers_are_told_the_same():
    tree = ast.parse((ROOT / "fst" / "__init__.pyi").read_text())
    told = {
        alias.asname: node.module or "fst"
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert set(told) == NAMES
    for name, module in told.items():
        home = import_module(module)
        assert getattr(home, name, None) is getattr(fst, name) or hasattr(fst, name)
    assert (ROOT / "fst" / "py.typed").is_file()


# --- Calls ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_what_training_returns_can_be_loaded(photos, style, vgg_file, tmp_path):
    config = fst.TrainingConfig(**tiny_options(photos, style, vgg_file, tmp_path, steps=1))
    with eagerly():
        trained = fst.train(config, on_event=lambda line: None, loss=PlainLoss())
    photo = draw_photo(2, 40, 56)
    by_path = fst.load(trained.folder)(photo)
    np.testing.assert_array_equal(fst.load(trained)(photo), by_path)
    network = fst.load_model(trained)
    painted = np.asarray(network(np.float32(photo)[None]))[0]
    np.testing.assert_allclose(painted, by_path, atol=1)


@pytest.mark.slow
def test_the_model_of_a_style_and_of_a_gallery(gallery):
    photo = np.float32(draw_photo(3, 40, 56))[None]
    single, whole = fst.load_model("reef", gallery), fst.load_model("gallery", gallery)
    assert [tuple(part.shape) for part in whole.inputs] == [(None, None, None, 3), (None, 3)]
    reef = np.float32([[0, 0, 1]])
    np.testing.assert_allclose(single(photo), whole([photo, reef]), atol=0.1)
    with pytest.raises(UserError, match="no trained style 'rief'"):
        fst.load_model("rief", gallery)


@pytest.mark.slow
def test_a_video_in_one_call(styles, tmp_path):
    source = write(tmp_path / "clip.mp4", (0, 25, 50), 75)
    target = tmp_path / "out.mp4"
    seen = []

    def frames(all_frames, total):
        for frame in all_frames:
            seen.append(total)
            yield frame

    notes = fst.stylise_video(styles / "waves", source, target, strength=0.5, progress=frames)
    assert target.is_file()
    assert len(seen) == 3
    assert isinstance(notes, tuple)
    fst.stylise_video(lambda image, tile: 255 - image, source, tmp_path / "b.gif", steady=False)
    assert (tmp_path / "b.gif").is_file()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"target": "out.png"}, "target out.png: the suffix"),
        ({"strength": 2}, "strength must be from 0 to 1"),
        ({"source": "none.mp4"}, "none.mp4"),
        ({"style": "nobody"}, "no trained style 'nobody'"),
    ],
)
def test_what_a_video_cannot_be(styles, tmp_path, monkeypatch, options, told):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "clip.mp4", (0, 25), 50)
    given = {"style": styles / "waves", "source": "clip.mp4", "target": "out.mp4", **options}
    with pytest.raises(UserError, match=told) as caught:
        fst.stylise_video(**given)
    assert "--" not in str(caught.value)


# --- Documentation -------------------------------------------------------------------------------


def examples():
    """The modules that have examples in their docstrings."""
    for path in sorted((ROOT / "fst").rglob("*.py")):
        if ">>>" in path.read_text(encoding="utf-8"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.fixture
def names(tmp_path, monkeypatch):
    """What the examples take for given, in a folder of their own."""
    import keras

    from fst.models.perceptual import load_vgg19

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FST_VGG19_WEIGHTS", raising=False)
    photo = draw_photo(5, 48, 64)
    first, second = (Image.fromarray(draw_photo(seed, 48, 64)) for seed in (7, 8))
    first.save("clip.gif", save_all=True, append_images=[second], duration=100)
    photos, style = np.float32(photo)[None], np.float32(draw_photo(6, 48, 64))
    # A model that is compiled at once: how one is made is an example of its own.
    model = fst.StyleTransfer(plain_network(), PlainLoss())
    model.compile(keras.optimizers.Adam(1e-3))
    given = {"photo": photo, "photos": photos, "style": style, "model": model}
    return {"fst": fst, "np": np, "keras": keras, "load_vgg19": load_vgg19, **given}


@pytest.mark.slow
@pytest.mark.parametrize("module", examples())
def test_the_examples_in_docstrings(module, names):
    found = doctest.DocTestFinder().find(import_module(module), extraglobs=names)
    # The optimiser asks for a graph as such.
    without_graphs = eagerly() if module != "fst.gatys.optimizer" else contextlib.nullcontext()
    with without_graphs:
        outcome = [doctest.DocTestRunner().run(test) for test in found if test.examples]
    assert sum(done.attempted for done in outcome)
    assert not sum(done.failed for done in outcome)


@pytest.mark.slow
def test_the_python_in_the_readme(monkeypatch):
    from skimage import data

    small = data.astronaut()[::4, ::4]
    monkeypatch.setattr(data, "astronaut", lambda: small)
    monkeypatch.chdir(ROOT)  # Where the second snippet finds the gallery.
    snippets = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert len(snippets) >= 2
    for snippet in snippets:
        space = {}
        exec(compile(snippet, "README.md", "exec"), space)
        photo = space["photo"] if "photo" in space else space["photos"][0]
        painted = [space[name] for name in ("picture", "both", "stylised") if name in space]
        assert painted
        for picture in painted:
            assert tuple(picture.shape)[-3:] == tuple(photo.shape)
            assert np.abs(np.float32(picture) - np.float32(photo)).mean() > 5


@pytest.mark.slow
def test_the_page_of_the_interface_is_up_to_date():
    spec = importlib.util.spec_from_file_location("make_api", ROOT / "docs" / "make_api.py")
    make_api = importlib.util.module_from_spec(spec)
    before = list(sys.path)
    spec.loader.exec_module(make_api)
    sys.path[:] = before
    written = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert written == make_api.page(), "run python docs/make_api.py"
