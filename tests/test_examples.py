"""The examples, run as their users do, with a small style and a small gallery.

TensorFlow Serving is not to be had from PyPI. In its place a few lines here answer
the part of its REST API that the example uses, as its documentation and its source describe it,
by calling the very signature that TensorFlow Serving would call.
"""

import json
import os
import runpy
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from conftest import ROOT, draw_photo, run, run_script_here
from PIL import Image

import fst
from fst import collection
from fst.checkpoint import Checkpoint

pytestmark = pytest.mark.slow

EXAMPLES = ROOT / "examples"


@pytest.fixture(scope="module")
def style(styles, tmp_path_factory):
    """A folder with the style `waves` as `saved_model` and `model.onnx`."""
    from fst.export import export_onnx, export_saved_model

    folder = tmp_path_factory.mktemp("examples")
    weights = collection.find("waves", styles).read_weights()
    export_saved_model(weights, folder / "saved_model")
    export_onnx(weights, folder / "model.onnx")
    return folder


@pytest.fixture(scope="module")
def waves(styles):
    """What the examples' pictures are held against."""
    return fst.load("waves", styles)


@pytest.fixture(scope="module")
def gallery_model(gallery, tmp_path_factory):
    """The SavedModel of the small gallery."""
    from fst.export import export_gallery

    trained = Checkpoint(gallery / "gallery")
    names = [style["name"] for style in trained.styles()]
    folder = tmp_path_factory.mktemp("gallery") / "saved_model"
    export_gallery(trained.read_all_weights(), names, folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three photos of one size, one of another, one too large, one too small, and a broken one."""
    folder = tmp_path_factory.mktemp("folder")
    sizes = {"a.png": (40, 52), "b.jpg": (40, 52), "c.png": (40, 52), "d.png": (52, 40)}
    sizes |= {"large.png": (120, 156), "small.bmp": (8, 30)}
    for index, (name, size) in enumerate(sizes.items()):
        Image.fromarray(draw_photo(index, *size)).save(folder / name)
    (folder / "broken.jpg").write_bytes(b"no picture at all")
    return folder


@pytest.fixture
def run_example(monkeypatch, capsys):
    """A function that runs an example with arguments: exit code, output and errors' lines."""

    def run(name, *args):
        code, out, err = run_script_here(EXAMPLES / name, args, monkeypatch, capsys)
        return code, out, err.splitlines()

    return run


def read(path):
    with Image.open(path) as file:
        return np.asarray(file.convert("RGB"))


def apart(one, other):
    """How far two pictures are apart, in grey levels on average."""
    return np.abs(one.astype(float) - other.astype(float)).mean()


def check_folder(stylise, folder, output, suffixed):
    """Each photo of `folder` has become its own stylised picture in `output`."""
    wanted = {name: stylise(read(folder / name)) for name in ("a.png", "b.jpg", "c.png", "d.png")}
    for name, picture in wanted.items():
        found = read(output / (f"{name}.jpg" if suffixed and name != "b.jpg" else name))
        assert found.shape == picture.shape
        assert apart(found, picture) < 8  # What JPEG loses of a picture so rough.
        others = [other for key, other in wanted.items() if key not in (name, "d.png")]
        assert all(apart(found, o) > 15 for o in others if o.shape == found.shape)


def test_tfdata_pipeline(style, waves, folder, tmp_path, run_example):
    args = (style / "saved_model", folder, tmp_path, "--size", 52, "--batch-size", 2)
    code, out, errors = run_example("tfdata_pipeline.py", *args)
    assert code == 1
    assert "6 of 7 stylised" in out
    assert [line for line in errors if "broken.jpg" in line] == errors[-1:]
    check_folder(waves, folder, tmp_path, suffixed=True)
    assert read(tmp_path / "large.png.jpg").shape == (40, 52, 3)
    assert read(tmp_path / "small.bmp.jpg").shape == (16, 30, 3)


def test_a_gallery_is_refused_where_one_style_is_taken(
    gallery_model, folder, tmp_path, run_example
):
    for example, *args in (
        ("tfdata_pipeline.py", folder, tmp_path / "out"),
        ("keras_layer.py", "-o", tmp_path / "out.keras"),
    ):
        code, _, errors = run_example(example, gallery_model, *args)
        assert (code, len(errors)) == (2, 1)
        assert "holds several styles: export one" in errors[0]


def test_tfdata_batches_hold_one_size_and_no_more_than_asked(folder):
    import tensorflow as tf

    class Model:
        """Gives pictures that are filled with the size of their batch, times 50."""

        @staticmethod
        def _fill(image):
            grey = tf.cast(50 * tf.shape(image)[0], tf.uint8)
            return {"stylized": tf.fill(tf.shape(image), grey)}

        signatures = {"serving_default": _fill}  # noqa: RUF012

    example = runpy.run_path(str(EXAMPLES / "tfdata_pipeline.py"))
    paths = [str(folder / name) for name in ("a.png", "b.jpg", "c.png", "d.png")]
    found = {
        path.numpy().decode()[-5:]: round(tf.io.decode_jpeg(jpeg).numpy().mean() / 50)
        for path, jpeg in example["pipeline"](Model, paths, size=64, batch_size=2)
    }
    assert found == {"a.png": 2, "b.jpg": 2, "c.png": 1, "d.png": 1}


def test_onnx_folder(style, waves, folder, tmp_path, run_example):
    pytest.importorskip("onnxruntime")
    args = (style / "model.onnx", folder, tmp_path, "--size", 52)
    code, out, errors = run_example("onnx_folder.py", *args)
    assert code == 1
    assert "6 of 7 stylised" in out
    assert len(errors) == 1
    assert "broken.jpg" in errors[0]
    check_folder(waves, folder, tmp_path, suffixed=False)
    assert read(tmp_path / "large.png").shape == (40, 52, 3)
    assert read(tmp_path / "small.bmp").shape == (16, 30, 3)


@pytest.mark.parametrize(
    ("example", "kind"), [("tfdata_pipeline.py", "saved_model"), ("onnx_folder.py", "model.onnx")]
)
def test_odd_names_are_done_and_pipes_named(example, kind, style, tmp_path, run_example):
    name = os.fsdecode(b"caf\xe9.jpg")
    (tmp_path / "in").mkdir()
    Image.fromarray(draw_photo(1, 40, 52)).save(os.fsencode(tmp_path / "in" / name))
    os.mkfifo(tmp_path / "in" / "pipe.jpg")  # Opened, it would keep the example for ever.
    code, out, errors = run_example(example, style / kind, tmp_path / "in", tmp_path / "out")
    assert code == 1
    assert "1 of 2 stylised" in out
    assert [line for line in errors if "pipe.jpg" in line] == errors[-1:]
    assert os.listdir(tmp_path / "out") == [name]


@pytest.mark.parametrize(
    ("example", "kind"), [("tfdata_pipeline.py", "saved_model"), ("onnx_folder.py", "model.onnx")]
)
def test_folders_that_cannot_work(example, kind, style, folder, tmp_path, run_example):
    code, _, errors = run_example(example, tmp_path / "nothing", folder, tmp_path / "out")
    assert (code, len(errors)) == (2, 1)
    assert "nothing" in errors[0]
    code, _, errors = run_example(example, style / kind, tmp_path, tmp_path / "out")
    assert (code, len(errors)) == (2, 1)
    assert "holds no photos" in errors[0]
    before = {path: path.read_bytes() for path in folder.iterdir()}
    code, _, errors = run_example(example, style / kind, folder, folder / ".")
    assert (code, len(errors)) == (2, 1)
    assert "is the folder of the photos" in errors[0]
    code, _, errors = run_example(example, style / kind, folder, folder / "a.png")
    assert (code, len(errors)) == (2, 1)
    assert "a.png cannot be the folder of the stylised ones: File exists" in errors[0]
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_ray_stylises_a_tree_of_photos_and_goes_on(style, waves, folder, tmp_path):
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'ray[data]==2.60.*'")
    photos, output = tmp_path / "in", tmp_path / "out"
    shutil.copytree(folder, photos / "sub")
    command = ("examples/ray_folder.py", style / "saved_model", photos, output, "--cpus", 1)
    first = run(*command)
    assert first.returncode == 1, first.stderr
    assert first.stdout.strip() == "1 failed, 6 stylised"
    assert "broken.jpg: failed: cannot identify" in first.stderr
    check_folder(waves, folder, output / "sub", suffixed=True)
    (output / "sub" / "d.png.jpg").unlink()
    second = run(*command)
    assert second.stdout.strip() == "1 failed, 1 stylised, 5 there already"
    assert len([path for path in output.rglob("*") if path.is_file()]) == 6


def test_keras_layer(style, tmp_path, run_example):
    output = tmp_path / "classifier.keras"
    args = (style / "saved_model", "-o", output, "--epochs", 1)
    code, out, _ = run_example("keras_layer.py", *args)
    assert code == 0
    assert output.is_file()
    assert "differs by 0" in out
    code, _, errors = run_example("keras_layer.py", tmp_path)
    assert code == 2
    assert errors[-1].startswith("error: ")
    nowhere = tmp_path / "nowhere" / "classifier.keras"
    code, _, errors = run_example("keras_layer.py", style / "saved_model", "-o", nowhere)
    assert code == 2
    assert "there is no folder" in errors[-1]


def test_keras_layer_sees_stylised_pictures_and_trains_its_own_part_alone(style, waves):
    import keras

    example = runpy.run_path(str(EXAMPLES / "keras_layer.py"))
    model = example["build_classifier"](style / "saved_model", classes=3)
    assert len(model.trainable_variables) == 6  # Two convolutions and a dense layer.
    seen = keras.Model(model.input, model.get_layer("style").output)
    photo = draw_photo(3, 40, 52)
    found = seen.predict(photo[None].astype(np.float32), verbose=0)[0]
    assert np.abs(found - waves(photo)).max() <= 1
    pictures, labels = example["draw_shapes"](8, seed=0)
    assert pictures.shape == (8, 32, 32, 3)
    assert sorted(set(labels)) == [0, 1]


# --- TensorFlow Serving --------------------------------------------------------------------------


class StandIn(BaseHTTPRequestHandler):
    """TensorFlow Serving's REST API, as far as the example uses it.

    The models are `small`, of one style, and `gallery`.
    """

    models = {}  # noqa: RUF012
    requests = []  # noqa: RUF012  The bodies that came.

    def do_POST(self):
        length = int(self.headers["Content-Length"])
        body = self.rfile.read(length)
        if self.path == "/v1/models/page:predict":
            return self._answer(200, b"<html>some other server</html>")
        name = self.path.removeprefix("/v1/models/").removesuffix(":predict")
        if name not in self.models:
            return self._error(404, f"Servable not found for request: Latest({name})")
        request = json.loads(body)
        self.requests.append(request)
        model = self.models[name]
        signature = model.signatures.get(request.get("signature_name", "serving_default"))
        rows = "instances" in request
        given = request["instances" if rows else "inputs"]
        # A signature's only input goes without its name.
        given = given if isinstance(given, dict) else {"image": given}
        if given.keys() != signature.structured_input_signature[1].keys():
            return self._error(400, "inputs do not match the signature's")
        values = np.asarray(given["image"])
        # It takes whole numbers alone for a tensor of bytes.
        if values.dtype.kind != "i" or values.ndim != 4:
            return self._error(400, "JSON Value is not of expected type: uint8")
        import tensorflow as tf

        others = {key: tf.constant(value) for key, value in given.items() if key != "image"}
        try:
            (result,) = signature(image=tf.constant(values, tf.uint8), **others).values()
        except tf.errors.InvalidArgumentError as error:
            return self._error(400, error.message)
        # Of a single output the name is left out.
        answer = {"predictions" if rows else "outputs": result.numpy().tolist()}
        return self._answer(200, json.dumps(answer).encode())

    def _error(self, status, text):
        self._answer(status, json.dumps({"error": text}).encode())

    def _answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def server(style, gallery_model):
    """The stand-in, serving `style` and the gallery; its address."""
    import tensorflow as tf

    places = {"small": style / "saved_model", "gallery": gallery_model}
    StandIn.models = {name: tf.saved_model.load(place) for name, place in places.items()}
    with ThreadingHTTPServer(("127.0.0.1", 0), StandIn) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_serving_request(waves, server, tmp_path, run_example):
    photo = draw_photo(8, 40, 60)
    Image.fromarray(photo).save(tmp_path / "photo.png")
    output = tmp_path / "out.png"
    StandIn.requests.clear()
    args = (tmp_path / "photo.png", "-o", output, "--url", server, "--model", "small")
    code, out, errors = run_example("serving_request.py", *args)
    assert (code, errors) == (0, [])
    assert "60x40 px" in out
    (request,) = StandIn.requests
    assert set(request) == {"signature_name", "inputs"}
    assert np.shape(request["inputs"]) == (1, 40, 60, 3)
    assert (np.asarray(request["inputs"])[0] == photo).all()
    stylised = read(output)
    assert stylised.shape == photo.shape
    assert np.abs(stylised.astype(int) - waves(photo).astype(int)).max() <= 1

    code, out, _ = run_example("serving_request.py", *args, "--size", 30)
    assert (code, read(output).shape) == (0, (20, 30, 3))


def test_serving_a_style_of_a_gallery(gallery, server, tmp_path, run_example):
    photo = draw_photo(8, 40, 60)
    Image.fromarray(photo).save(tmp_path / "photo.png")
    args = (tmp_path / "photo.png", "-o", tmp_path / "out.png", "--url", server)
    code, _, errors = run_example("serving_request.py", *args, "--style", "reef")
    assert (code, errors) == (0, [])
    wanted = fst.load("reef", gallery)(photo).astype(int)
    assert np.abs(read(tmp_path / "out.png") - wanted).max() <= 1
    code, _, errors = run_example("serving_request.py", *args, "--style", "rief")
    assert (code, len(errors)) == (2, 1)
    assert "there is no style rief; there are dusk, moss, reef" in errors[0]


@pytest.mark.parametrize(
    ("model", "said"),
    [("other", "Servable not found for request: Latest(other)"), ("page", "200 OK")],
)
def test_serving_refuses(model, said, server, tmp_path, run_example):
    Image.fromarray(draw_photo(1, 20, 20)).save(tmp_path / "photo.png")
    args = (tmp_path / "photo.png", "-o", tmp_path / "out.png", "--url", server, "--model", model)
    code, _, errors = run_example("serving_request.py", *args)
    assert (code, len(errors)) == (2, 1)
    assert said in errors[0]
    assert not (tmp_path / "out.png").exists()


def test_serving_is_not_there(tmp_path, run_example):
    Image.fromarray(draw_photo(1, 20, 20)).save(tmp_path / "photo.png")
    for address in ("http://127.0.0.1:9", "nonsense"):
        code, _, errors = run_example(
            "serving_request.py", tmp_path / "photo.png", "--url", address
        )
        assert (code, len(errors)) == (2, 1)
        assert "is the server running?" in errors[0]
    code, _, errors = run_example("serving_request.py", tmp_path / "missing.png")
    assert (code, len(errors)) == (2, 1)
    assert "missing.png" in errors[0]
