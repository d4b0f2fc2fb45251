"""The package as a wheel brings it: in an environment of its own, used from another folder."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT, draw_photo, pixels
from PIL import Image

pytestmark = pytest.mark.slow

SOURCE = ("fst", "checkpoints", "pyproject.toml", "README.md", "LICENSE")


def call(*command, **options):
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, timeout=600, **options
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy, which leaves nothing behind in the project's folder."""
    copy, made = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in (*SOURCE, *(path.name for path in ROOT.glob("requirements*.txt"))):
        if (ROOT / name).is_dir():
            skip = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, copy / name, ignore=skip)
        else:
            shutil.copy(ROOT / name, copy)
    # A style of one's own lies there too, which is not to be handed on.
    shutil.copytree(copy / "checkpoints" / "gallery", copy / "checkpoints" / "mine")
    (copy / "checkpoints" / "gallery" / "stylizer.onnx").touch()
    call(
        *(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"),
        *("--wheel-dir", made, copy),
    )
    (file,) = made.glob("fst-*.whl")
    return file


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The `bin` of a fresh environment that has the wheel, and borrows what it depends on."""
    folder = tmp_path_factory.mktemp("environment")
    call(sys.executable, "-m", "venv", "--without-pip", folder)
    call(
        *(sys.executable, "-m", "pip", "--python", folder / "bin" / "python", "install", "-q"),
        *("--no-deps", "--no-index", wheel),
    )
    site = sysconfig.get_path("purelib", vars={"base": str(folder)})
    # Only what is installed: a project that this environment works on is not to be found.
    (Path(site) / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin"


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A folder with a photo and nothing of the project."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    Image.fromarray(draw_photo(1, 48, 64)).save("photo.png")
    return tmp_path


def test_the_wheel_has_the_photos_and_the_shipped_styles_and_no_others(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    shipped = {name.removeprefix("fst/styles/") for name in names if "fst/styles/" in name}
    assert {"gallery/style.json", "gallery/network.weights.h5"} <= shipped
    assert "gallery/saved_model/saved_model.pb" in shipped
    assert {name.split("/")[0] for name in shipped} == {"gallery"}
    assert "gallery/stylizer.onnx" not in shipped
    assert {"fst/py.typed", "fst/__init__.pyi", "fst/page/app.py"} <= set(names)
    photos = {path.relative_to(ROOT).as_posix() for path in (ROOT / "fst/media/photos").iterdir()}
    assert len(photos) == 10
    assert photos <= set(names)
    assert wheel.stat().st_size < 25e6


def test_every_package_is_in_the_wheel(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "fst").rglob("*.py")}
    assert modules <= names


def test_the_command_lists_the_shipped_styles(installed, elsewhere):
    listed = call(installed / "fst", "styles")
    assert "udnie" in listed
    assert str(installed.parent) in listed
    assert "usage: fst COMMAND" in call(installed / "fst")
    assert "usage: fst train" in call(installed / "fst", "train", "--help")


def test_the_command_stylises(installed, elsewhere):
    out = call(installed / "fst", "infer", "starry_night", "photo.png", "-o", "out.png")
    assert out == "1 of 1 stylised into out.png\n"
    assert pixels("out.png").shape == (48, 64, 3)


def test_python_loads_a_shipped_style(installed, elsewhere):
    # By the engine that starts at once.
    program = "import fst; fst.load('udnie', engine='auto'); print(fst.__file__)"
    place = call(installed / "python", "-c", program).strip()
    assert Path(place).is_relative_to(installed.parent)
    assert not os.path.exists("checkpoints")


def test_ones_own_styles_come_first(installed, elsewhere):
    own = Path("checkpoints/udnie")
    own.mkdir(parents=True)
    (own / "style.json").write_text('{"format": 1, "name": "udnie", "config": {"width": 4}}')
    listed = call(installed / "fst", "styles")
    (own,) = [line for line in listed.splitlines() if line.startswith("udnie ")]
    assert "checkpoints/udnie" in own
    assert str(installed.parent) not in own
    assert "starry_night" in listed


def test_an_export_of_a_shipped_style_lies_in_the_folder_one_works_in(installed, elsewhere):
    out = call(installed / "fst", "export", "udnie", "--format", "onnx")
    assert out == "wrote checkpoints/gallery/exports/udnie/stylizer.onnx\n"
    assert "udnie" in call(installed / "fst", "styles")
