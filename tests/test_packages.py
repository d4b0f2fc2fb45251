"""Each package that may be missing, really hidden: one line that names it, before anything slow."""

import os
import re
import sys

import numpy as np
import pillow_heif
import pytest
from conftest import draw_photo, pixels, run, run_here
from PIL import Image
from tiffs import GREY, write_tiff

import fst
from fst import packages
from fst.errors import UserError
from fst.training import command

pytestmark = pytest.mark.slow

# Python runs this before all else. A package that is hidden cannot even be looked for; one that is
# slow must not have been imported by the time that the command ends.
HIDE = """
import os, sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        package = name.partition(".")[0]
        if package in os.environ["HIDDEN"].split():
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)
        if package in os.environ["TOO_SLOW"].split():
            sys.exit(f"{name} was imported too early")

sys.meta_path.insert(0, Hidden())
"""


@pytest.fixture
def run_without(tmp_path):
    """A function that runs a command without some packages: exit code, output, errors' lines."""

    def call(hidden, *command, too_slow="tensorflow keras", **places):
        folder = tmp_path / "hide"
        folder.mkdir(exist_ok=True)
        (folder / "sitecustomize.py").write_text(HIDE)
        words = [str(word).format(**places) for word in command]
        settings = {"HIDDEN": hidden, "TOO_SLOW": too_slow, "PYTHONPATH": str(folder)}
        done = run(*words, env={**os.environ, **settings})
        assert "Traceback" not in done.stderr
        return done.returncode, done.stdout, done.stderr.splitlines()

    return call


@pytest.fixture
def places(styles, style, tmp_path):
    """What the commands below are about."""
    Image.fromarray(draw_photo(1, 40, 56)).save(tmp_path / "photo.png")
    heic = Image.fromarray(draw_photo(2, 40, 56))
    pillow_heif.from_pillow(heic).save(tmp_path / "photo.heic")
    deep = np.arange(4096).reshape(64, 64, 1)
    (tmp_path / "deep.tif").write_bytes(write_tiff(deep, 12, GREY))
    (tmp_path / "clip.mp4").write_bytes(b"a film")
    return {"tmp": tmp_path, "waves": styles / "waves", "style": style, "styles": styles}


INFER = "infer.py {waves} {tmp}/photo.png -o {tmp}/out.png"
REFUSED = {
    ("tensorboard", "train.py {style} --content {tmp} --tensorboard --output {tmp}/out"): (
        "--tensorboard needs the package tensorboard: pip install tensorboard"
    ),
    ("openvino", f"{INFER} --engine openvino"): (
        "--engine openvino needs openvino: pip install openvino, or use --engine tensorflow"
    ),
    ("openvino onnx", f"{INFER} --precision bfloat16"): (
        "--engine openvino needs openvino and onnx: pip install openvino onnx, or use --engine "
        "tensorflow"
    ),
    ("onnx", f"{INFER} --engine onnxruntime"): (
        "--engine onnxruntime needs onnx: pip install onnx, or use --engine tensorflow"
    ),
    ("onnxruntime", f"{INFER} --engine onnxruntime"): (
        "--engine onnxruntime needs onnxruntime: pip install onnxruntime, or use --engine "
        "tensorflow"
    ),
    ("onnx", "-m fst.export {waves} --format onnx -o {tmp}/out.onnx"): (
        "--format onnx needs the package onnx: pip install onnx"
    ),
    ("streamlit", "app.py"): "the page needs the package streamlit: pip install streamlit",
    ("skimage", "-m fst.batch.contact_sheet {tmp}/out.jpg --checkpoints {styles}"): (
        "using the sample photos needs the package scikit-image: pip install scikit-image"
    ),
    ("av", "infer.py {waves} {tmp}/clip.mp4 -o {tmp}/out.mp4"): (
        "videos need the package PyAV, which is missing: pip install av"
    ),
    ("sagemaker boto3", "cloud/sagemaker_fetch.py some-job"): (
        "the SageMaker SDK is not installed (No module named 'boto3'); pip install -r "
        "requirements-cloud.txt"
    ),
}


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: f"{case[0]} {case[1].split()[0]}")
def test_a_missing_package_is_one_line(run_without, places, case):
    hidden, command = case
    code, out, errors = run_without(hidden, *command.split(), **places)
    assert (code, out, errors) == (2, "", [f"error: {REFUSED[case]}"])
    assert not list(places["tmp"].glob("out*"))


def test_a_missing_data_set_library_is_one_line(style, tmp_path, monkeypatch, capsys):
    # In this process, which has TensorFlow already: here the command needs it first.
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    words = ["train.py", style, "--content", "tfds:mnist", "--output", tmp_path / "out"]
    code, out, errors = run_here(command.main, words, monkeypatch, capsys)
    assert (code, out) == (2, "")
    assert errors == (
        "error: --content tfds:mnist needs the package tensorflow-datasets: pip install "
        "tensorflow-datasets\n"
    )


def test_photos_do_without_any_other_engine_and_without_pyav(run_without, places):
    """By TensorFlow then, which has remarks of its own; the command says only what it has done."""
    command = INFER.split()
    assert run_without("openvino onnx onnxruntime av", *command, too_slow="", **places) == (
        0,
        f"1 of 1 stylised into {places['tmp']}/out.png\n",
        [],
    )
    waves = fst.load(places["waves"], engine="tensorflow")
    wanted = waves(pixels(places["tmp"] / "photo.png"))
    np.testing.assert_array_equal(pixels(places["tmp"] / "out.png"), wanted)


@pytest.mark.parametrize(
    ("hidden", "photo", "package"),
    [("pi_heif", "photo.heic", "pi-heif"), ("tifffile", "deep.tif", "tifffile")],
)
def test_a_photo_whose_reader_is_missing_is_not_called_damaged(
    run_without, places, hidden, photo, package
):
    command = f"infer.py {{waves}} {{tmp}}/{photo} -o {{tmp}}/out.png --engine onnxruntime"
    code, out, errors = run_without(hidden, *command.split(), **places)
    path = places["tmp"] / photo
    assert code == 1
    assert errors == [f"failed: {path}: needs a package that is missing: pip install {package}"]
    assert out.endswith("1 failed\n")


@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
def test_an_engine_that_is_there_and_broken_is_one_line(run_without, places, name):
    broken = places["tmp"] / "hide" / name
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise ImportError('libfoo.so.1: cannot open it')")
    code, out, errors = run_without("", *INFER.split(), "--engine", name, **places)
    assert (code, out) == (2, "")
    assert errors == [
        f"error: --engine {name} cannot be loaded (libfoo.so.1: cannot open it); use --engine "
        "tensorflow"
    ]


def test_what_is_missing():
    assert packages.missing("numpy", "no_such_package", "PIL") == ["no_such_package"]
    packages.need("numpy", "--flag")
    told = re.escape("--flag needs the package no_such_package: pip install no_such_package")
    with pytest.raises(UserError, match=told):
        packages.need("no_such_package", "--flag")
