"""The SavedModel, used as by someone who has TensorFlow and nothing else."""

import contextlib
import functools
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, Result, draw_photo, files, random_network, weights_of, write_gallery

import fst
from fst import errors
from fst import export as command
from fst.checkpoint import Checkpoint

pytestmark = pytest.mark.slow

# What a user's own program would do. It reads arrays from a file and writes its results to another.
CLIENT = """
import json, sys
import numpy as np
import tensorflow as tf

model = tf.saved_model.load(sys.argv[1])
described = {}
for name, signature in model.signatures.items():
    _, inputs = signature.structured_input_signature
    described[name] = [
        {key: [spec.dtype.name, spec.shape.as_list()] for key, spec in specs.items()}
        for specs in (inputs, signature.structured_outputs)
    ]
results = {}
with np.load(sys.argv[2]) as arrays:
    for key, array in arrays.items():
        name = "serving_default" if array.dtype == np.uint8 else "float"
        results[key] = model.signatures[name](image=tf.constant(array))["stylized"].numpy()
np.savez(sys.argv[3], **results)
print(json.dumps({"signatures": described, "fst": "fst" in sys.modules}))
"""


# Runs one client after the other: what they need is imported once.
CLIENTS = """
import json, sys

for line in sys.stdin:
    client, sys.argv[1:] = json.loads(line)
    exec(client, {"__name__": "__main__"})
    sys.stdout.flush()
"""


@pytest.fixture(scope="module")
def serve(tmp_path_factory):
    """A function that runs a client, far from this repository.

    It takes the folder of a SavedModel and arrays, and gives what the client printed and its
    results.
    """
    folder = tmp_path_factory.mktemp("client")
    with open(folder / "errors.txt", "w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-c", CLIENTS],
            cwd=folder,
            env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )

    def call(saved_model, arrays, client=CLIENT):
        np.savez(folder / "in.npz", **arrays)
        places = (saved_model.absolute(), folder / "in.npz", folder / "out.npz")
        print(json.dumps([client, [*map(str, places)]]), file=process.stdin, flush=True)
        printed = process.stdout.readline()
        assert printed, (folder / "errors.txt").read_text()
        with np.load(folder / "out.npz") as results:
            return json.loads(printed), dict(results)

    yield call
    process.stdin.close()
    process.wait(60)
    process.stdout.close()


@pytest.fixture(scope="module")
def network():
    return random_network(8, seed=7)


@pytest.fixture(scope="module")
def trained(network, tmp_path_factory):
    """That network as a finished style."""
    from fst.export import export_saved_model

    style = Checkpoint(tmp_path_factory.mktemp("styles") / "clouds")
    style.write_weights(network)
    style.write_card({"name": "clouds", "config": {"width": 8}})
    export_saved_model(style.read_weights(), style.saved_model_path)
    return style


PICTURES = {
    "smallest": draw_photo(1, 16, 16)[None],
    "odd": draw_photo(2, 97, 131)[None],
    "square": draw_photo(3, 128, 128)[None],
    "batch": np.stack([draw_photo(seed, 33, 50) for seed in (4, 5, 6)]),
    "alone": draw_photo(5, 33, 50)[None],
    "tiny": draw_photo(7, 1, 9)[None],
    "empty": np.zeros((0, 40, 60, 3), np.uint8),
    "floats": draw_photo(8, 45, 38)[None].astype(np.float32),
}


EMPTY = {kind: np.zeros((0, 33, 47, 3), kind) for kind in ("uint8", "float32")}


@pytest.fixture(scope="module")
def served(trained, serve):
    return serve(trained.saved_model_path, {**PICTURES, **EMPTY})


@pytest.fixture(scope="module")
def load_once():
    """`fst.load`, which builds each style only once."""
    return functools.cache(fst.load)


@pytest.fixture(scope="module")
def stylise(trained, load_once):
    """What fst makes of a picture by that style."""
    return load_once(trained.folder)


def test_signatures_are_those_of_the_contract(served):
    described, _ = served
    assert described["signatures"] == {
        "serving_default": [
            {"image": ["uint8", [None, None, None, 3]]},
            {"stylized": ["uint8", [None, None, None, 3]]},
        ],
        "float": [
            {"image": ["float32", [None, None, None, 3]]},
            {"stylized": ["float32", [None, None, None, 3]]},
        ],
    }


def test_it_needs_no_code_of_ours(served):
    assert served[0]["fst"] is False


@pytest.mark.parametrize("name", PICTURES)
def test_it_makes_the_pictures_that_fst_makes(stylise, served, name):
    found = served[1][name]
    if name == "empty":
        assert (found.dtype, found.shape) == (np.uint8, (0, 40, 60, 3))
        return
    wanted = np.stack([stylise(picture) for picture in PICTURES[name]])
    assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape)
    if found.dtype == np.uint8:
        assert np.abs(found.astype(int) - wanted).max() <= 1
        assert np.mean(found != wanted) < 0.01
    else:
        np.testing.assert_allclose(found, wanted, atol=0.05)
    assert np.abs(wanted - PICTURES[name].astype(np.float32)).mean() > 5


def test_a_batch_of_no_picture_gives_one(served, onnx_session):
    for kind in EMPTY:
        found = served[1][kind]
        assert (found.shape, found.dtype) == ((0, 33, 47, 3), kind)
    (found,) = onnx_session.run(["stylized"], {"image": EMPTY["uint8"]})
    assert (found.shape, found.dtype) == ((0, 33, 47, 3), np.uint8)


def test_pictures_of_a_batch_do_not_mix(served):
    _, results = served
    assert np.abs(results["alone"][0].astype(int) - results["batch"][1]).max() <= 1


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_a_keras_layer_within_a_model_of_mixed_precision(trained, stylise, policy):
    """As docs/serving.md says: with a dtype of its own, and not without."""
    import keras

    before, place = keras.config.dtype_policy(), trained.saved_model_path
    try:
        keras.config.set_dtype_policy(policy)
        options = {"call_endpoint": "float", "trainable": False}
        style = keras.layers.TFSMLayer(place, **options, dtype="float32")
        image = keras.Input((33, 50, 3))
        stylised = style(keras.layers.Rescaling(255.0)(image))["stylized"]
        model = keras.Model(image, keras.layers.Conv2D(2, 3)(stylised))
        assert model.compute_dtype == keras.config.dtype_policy().compute_dtype != "float32"
        photo = PICTURES["alone"].astype(np.float32)
        assert np.isfinite(model.predict(photo / 255.0, verbose=0).astype(np.float32)).all()
        found = np.asarray(style(photo)["stylized"])
        wanted = stylise(photo[0])
        np.testing.assert_allclose(found[0], wanted, atol=0.05)
        with pytest.raises(Exception, match="float"):
            keras.layers.TFSMLayer(place, **options)(photo)
    finally:
        keras.config.set_dtype_policy(before)


def test_half_precision_halves_the_files_and_hardly_moves_the_picture(
    network, trained, stylise, tmp_path
):
    whole = tmp_path / "whole.weights.h5"
    network.save_weights(whole)
    parameters = network.count_params()
    assert whole.stat().st_size - trained.weights_path.stat().st_size > 1.5 * parameters
    variables = trained.saved_model_path / "variables" / "variables.data-00000-of-00001"
    assert variables.stat().st_size < 2.6 * parameters
    photo = draw_photo(9, 60, 60).astype(np.float32)
    exact = np.asarray(network(photo[None]))[0]
    assert np.abs(stylise(photo) - exact).mean() < 0.25


def test_an_export_replaces_the_old_one_whole_or_not_at_all(network, tmp_path, fill_disk_at):
    import tensorflow as tf

    from fst.export import export_saved_model

    folder = tmp_path / "saved_model"
    folder.mkdir()
    (folder / "old.txt").write_text("old")

    fill_disk_at(lambda path: path == folder)
    with pytest.raises(OSError, match="No space"):
        export_saved_model(weights_of(network), folder)
    fill_disk_at(lambda path: False)
    assert [path.name for path in tmp_path.rglob("*")] == ["saved_model", "old.txt"]

    export_saved_model(weights_of(network), folder)
    assert [path.name for path in tmp_path.iterdir()] == ["saved_model"]
    assert not (folder / "old.txt").exists()
    assert tf.saved_model.contains_saved_model(str(folder))


# --- A gallery -----------------------------------------------------------------------------------

# A client of a gallery. What it is to ask for is in the names of the arrays.
GALLERY_CLIENT = """
import json, sys
import numpy as np
import tensorflow as tf

model = tf.saved_model.load(sys.argv[1])
described = {}
for name, signature in model.signatures.items():
    _, inputs = signature.structured_input_signature
    described[name] = [
        {key: [spec.dtype.name, spec.shape.as_list()] for key, spec in specs.items()}
        for specs in (inputs, signature.structured_outputs)
    ]
results, failures = {}, {}
with np.load(sys.argv[2]) as arrays:
    for key in arrays:
        name, part, case = key.split("/")
        if part == "style":
            continue
        style = arrays[f"{name}/style/{case}"]
        style = [str(s) for s in style] if name == "names" else style
        style = tf.constant(style, tf.string if name == "names" else tf.float32)
        try:
            found = model.signatures[name](image=tf.constant(arrays[key]), style=style)
            results[f"{name}/{case}"] = found["stylized"].numpy()
        except tf.errors.InvalidArgumentError as error:
            failures[f"{name}/{case}"] = str(error)
np.savez(sys.argv[3], **results)
names = model.signatures["styles"]()["names"].numpy().tolist()
print(json.dumps({
    "signatures": described, "names": [name.decode() for name in names],
    "failures": failures, "fst": "fst" in sys.modules,
}))
"""

BATCH = np.stack([draw_photo(seed, 33, 50) for seed in (4, 5, 6)])
ASKED = {
    "serving_default": {
        "one": (BATCH[:1], [[0, 0, 1]]),
        "blend": (draw_photo(2, 97, 131)[None], [[0.7, 0, 0.3]]),
        "of any sum": (BATCH[:1], [[7, 0, 3]]),
        "different": (BATCH, [[1, 0, 0], [0.5, 0.5, 0], [0, 0, 1]]),
        "empty": (BATCH[:0], np.zeros((0, 3))),
        "tiny": (draw_photo(7, 1, 9)[None], [[0, 1, 0]]),
        "no style": (BATCH[:1], [[0, 0, 0]]),
        "too few": (BATCH, [[1, 0, 0]]),
    },
    "float": {"blend": (BATCH[:2].astype(np.float32), [[0.7, 0, 0.3], [0, 1, 0]])},
    "names": {
        "different": (BATCH, ["reef", "dusk", "moss"]),
        "empty": (BATCH[:0], []),
        "unknown": (BATCH, ["reef", "rief", "moss"]),
    },
}


@pytest.fixture(scope="module")
def gallery_model(gallery, tmp_path_factory):
    """The SavedModel of the gallery, as its command writes it."""
    folder = tmp_path_factory.mktemp("gallery") / "model"
    done = export("gallery", "--checkpoints", gallery, "-o", folder)
    assert (done.code, done.out) == (0, f"wrote {folder}\n"), done.err
    return folder


@pytest.fixture(scope="module")
def gallery_served(gallery_model, serve):
    arrays = {}
    for name, cases in ASKED.items():
        for case, (image, style) in cases.items():
            arrays[f"{name}/image/{case}"] = image
            kind = str if name == "names" else np.float32
            arrays[f"{name}/style/{case}"] = np.array(style, kind)
    return serve(gallery_model, arrays, GALLERY_CLIENT)


def test_signatures_of_a_gallery(gallery_served):
    told, _ = gallery_served
    images = {kind: {"image": [kind, [None, None, None, 3]]} for kind in ("uint8", "float32")}
    stylized = {kind: {"stylized": [kind, [None, None, None, 3]]} for kind in images}
    mixture = {"style": ["float32", [None, 3]]}
    assert told["signatures"] == {
        "serving_default": [{**images["uint8"], **mixture}, stylized["uint8"]],
        "float": [{**images["float32"], **mixture}, stylized["float32"]],
        "names": [{**images["uint8"], "style": ["string", [None]]}, stylized["uint8"]],
        "styles": [{}, {"names": ["string", [3]]}],
    }
    assert told["names"] == ["dusk", "moss", "reef"]
    assert told["fst"] is False


@pytest.mark.parametrize(
    ("name", "case"),
    [
        (name, case)
        for name, cases in ASKED.items()
        for case in cases
        if case not in ("unknown", "no style", "too few")
    ],
)
def test_a_gallery_makes_the_pictures_that_fst_makes(
    gallery, load_once, gallery_served, name, case
):
    image, style = ASKED[name][case]
    found = gallery_served[1][f"{name}/{case}"]
    assert (found.dtype, found.shape) == (image.dtype, image.shape)
    for picture, made, wanted in zip(image, found, style, strict=True):
        if name == "names":
            wanted = f"gallery/{wanted}"
        else:
            weights = zip(("dusk", "moss", "reef"), wanted, strict=True)
            wanted = ",".join(f"gallery/{name}={weight}" for name, weight in weights if weight)
        expected = load_once(wanted, gallery)(picture).astype(np.float32)
        assert np.abs(made - expected).max() <= (1 if image.dtype == np.uint8 else 0.05)
        assert np.abs(made - picture.astype(np.float32)).mean() > 5


@pytest.mark.parametrize(
    ("case", "told"),
    [
        ("names/unknown", "there is no style rief; there are dusk, moss, reef"),
        ("serving_default/no style", "and the weights in it a sum above 0"),
        ("serving_default/too few", "style has a row for each picture"),
    ],
)
def test_what_a_gallery_refuses(gallery_served, case, told):
    assert told in gallery_served[0]["failures"][case]
    assert case not in gallery_served[1]


def test_a_style_of_a_gallery_is_exported_alone(gallery, serve, tmp_path):
    shutil.copytree(gallery / "gallery", tmp_path / "gallery")
    before = files(tmp_path)
    for wanted, name in (("gallery/moss", "moss"), ("dusk=1,reef=1", "dusk=0.5,reef=0.5")):
        done = export(wanted, "--checkpoints", tmp_path)
        place = tmp_path / "gallery" / "exports" / name / "saved_model"
        assert (done.code, done.out) == (0, f"wrote {place}\n"), done.err
        _, found = serve(place, {"odd": PICTURES["odd"]})
        wanted = fst.load(wanted, tmp_path)(PICTURES["odd"][0])
        assert np.abs(found["odd"][0].astype(int) - wanted).max() <= 1
    assert set(before) < set(files(tmp_path))


def test_another_format_holds_one_style(gallery):
    done = export("gallery", "--checkpoints", gallery, "--format", "onnx")
    assert done.code == 2
    assert "holds 3 styles: name one, such as gallery/dusk" in done.err
    assert len(done.err.splitlines()) == 1


def test_a_gallery_of_one_style_and_of_wrong_names(gallery, tmp_path):
    import tensorflow as tf

    from fst.export import export_gallery

    weights = Checkpoint(gallery / "sand").read_all_weights()
    with pytest.raises(ValueError, match="hold 1 styles, and there are 2 names"):
        export_gallery(weights, ["sand", "dune"], tmp_path / "model")
    assert not (tmp_path / "model").exists()
    export_gallery(weights, ["sand"], tmp_path / "model")
    model = tf.saved_model.load(tmp_path / "model")
    photo = draw_photo(1, 30, 40)
    found = model.signatures["names"](image=tf.constant(photo[None]), style=tf.constant(["sand"]))
    wanted = fst.load("sand", gallery)(photo).astype(int)
    assert np.abs(found["stylized"][0].numpy() - wanted).max() <= 1


def test_a_hundred_styles_add_little_to_the_export(trained, tmp_path):
    from fst.export import export_gallery

    many = write_gallery(tmp_path / "many", [f"style_{index}" for index in range(100)], width=8)
    weights = many.read_all_weights()
    export_gallery(weights, [style["name"] for style in many.styles()], tmp_path / "all")
    sizes = [
        sum(path.stat().st_size for path in (folder / "variables").iterdir())
        for folder in (tmp_path / "all", trained.saved_model_path)
    ]
    assert sizes[0] - sizes[1] < 100 * 800 * 2 * 1.1  # 800 numbers each, in half precision.


# --- What is shipped -----------------------------------------------------------------------------

SHIPPED = [Checkpoint(path.parent) for path in sorted(ROOT.glob("checkpoints/*/style.json"))]


@pytest.mark.parametrize(
    "trained",
    [trained for trained in SHIPPED if not trained.is_gallery()],
    ids=lambda trained: trained.folder.name,
)
def test_shipped_styles(trained, serve):
    _, found = serve(trained.saved_model_path, {"odd": PICTURES["odd"]})
    wanted = fst.load(trained.folder)(PICTURES["odd"][0])
    assert np.abs(found["odd"][0].astype(int) - wanted).max() <= 1


@pytest.mark.parametrize(
    "trained",
    [trained for trained in SHIPPED if trained.is_gallery()],
    ids=lambda trained: trained.folder.name,
)
def test_shipped_galleries(trained, serve):
    names = [style["name"] for style in trained.styles()]
    asked = {
        "names/image/all": np.repeat(PICTURES["alone"], len(names), axis=0),
        "names/style/all": np.array(names),
    }
    told, found = serve(trained.saved_model_path, asked, GALLERY_CLIENT)
    assert told["names"] == names
    network, photo = fst.load_model(trained.folder), PICTURES["alone"].astype(np.float32)
    for name, made, share in zip(names, found["names/all"], np.eye(len(names)), strict=True):
        wanted = np.rint(network([photo, share[None]])[0])
        assert np.abs(made - wanted).max() <= 1, name


# --- ONNX and LiteRT -----------------------------------------------------------------------------


def export(*arguments):
    """Runs `python -m fst.export ARGUMENTS...` in this process, which has TensorFlow already."""
    out, err = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        patch.setattr(sys, "argv", ["export", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            errors.run(command.main)
    return Result(stop.value.code or 0, out.getvalue(), err.getvalue())


def agree(found, stylise, pictures):
    """Whether `found` is what `stylise` makes of `pictures`, to two grey levels."""
    wanted = np.stack([stylise(picture) for picture in pictures])
    assert (found.dtype, found.shape) == (np.uint8, wanted.shape)
    assert np.abs(found.astype(int) - wanted).max() <= 2


@pytest.fixture(scope="module")
def onnx_session(trained, tmp_path_factory):
    import onnxruntime

    path = tmp_path_factory.mktemp("onnx") / "clouds.onnx"
    done = export(trained.folder, "--format", "onnx", "-o", path)
    assert (done.code, done.out) == (0, f"wrote {path}\n"), done.err
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("name", [name for name in PICTURES if name not in ("floats", "empty")])
def test_onnx_of_any_size_and_batch(stylise, onnx_session, name):
    (found,) = onnx_session.run(["stylized"], {"image": PICTURES[name]})
    agree(found, stylise, PICTURES[name])


def test_onnx_tells_what_it_takes(onnx_session):
    (image,), (stylized,) = onnx_session.get_inputs(), onnx_session.get_outputs()
    assert (image.name, image.type) == ("image", "tensor(uint8)")
    assert (stylized.name, stylized.type) == ("stylized", "tensor(uint8)")
    assert image.shape == stylized.shape == ["batch", "height", "width", 3]


# One that is padded on both sides, and the smallest, which needs no padding.
@pytest.mark.parametrize("size", [(97, 131), (16, 64)])
def test_litert_at_its_size(trained, stylise, tmp_path, size):
    from ai_edge_litert.interpreter import Interpreter

    path = tmp_path / "clouds.tflite"
    done = export(trained.folder, "--format", "litert", "--size", *size, "-o", path)
    assert (done.code, done.out) == (0, f"wrote {path}\n"), done.err
    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    picture = draw_photo(2, *size)[None]
    found = interpreter.get_signature_runner("serving_default")(image=picture)["stylized"]
    agree(found, stylise, picture)


def test_each_format_has_its_place_in_the_styles_folder(network, tmp_path):
    style = Checkpoint(tmp_path / "styles" / "clouds")
    style.write_weights(network)
    style.write_card({"name": "clouds", "config": {"width": 8}})
    for kind, name in (("onnx", "stylizer.onnx"), ("saved_model", "saved_model")):
        done = export("clouds", "--checkpoints", tmp_path / "styles", "--format", kind)
        assert (done.code, done.out) == (0, f"wrote {style.folder / name}\n")
    assert (style.saved_model_path / "saved_model.pb").is_file()
    assert not list(tmp_path.rglob(".fst-*"))


@pytest.mark.parametrize("kind", ["onnx", "saved_model"])
def test_a_full_disk_is_one_line(trained, tmp_path, fill_disk_at, kind):
    fill_disk_at(lambda path: path.name == "out")
    done = export(trained.folder, "--format", kind, "-o", tmp_path / "out")
    assert done.code == 2
    assert f"--output {tmp_path / 'out'}: cannot be written: No space" in done.err
    assert len(done.err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("none",), "there is no trained style 'none'"),
        (("STYLE", "--format", "onnx", "-o", "FOLDER"), "is a folder; name a file"),
        (("STYLE", "-o", "FOLDER"), "is there and is no SavedModel; name a new folder"),
        (("STYLE", "--format", "litert", "--size", "8", "64"), "--size 8 64: height and width"),
    ],
)
def test_wrong_use_is_one_line(trained, tmp_path, arguments, told):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "diary.txt").write_text("dear diary")
    names = {"STYLE": trained.folder, "FOLDER": tmp_path / "full"}
    done = export(*(names.get(word, word) for word in arguments))
    assert done.code == 2
    assert told in done.err
    assert len(done.err.splitlines()) == 1
    assert (tmp_path / "full" / "diary.txt").read_text() == "dear diary"


def test_an_export_does_not_take_the_place_of_the_folder_one_is_in(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = export(trained.folder, "-o", ".")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "--output .: is the folder you are in; name a new folder" in done.err


def test_a_folder_that_may_not_be_looked_into_is_told(trained, tmp_path, monkeypatch):
    def denied(path):
        raise PermissionError(13, "Permission denied")

    (tmp_path / "closed").mkdir()
    monkeypatch.setattr(Path, "iterdir", denied)
    done = export(trained.folder, "-o", tmp_path / "closed")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "closed: cannot be written: Permission denied; name another" in done.err
