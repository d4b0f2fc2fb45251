"""benchmarks/quality.py: the same table for our pictures and for others', and a blind sheet."""

import numpy as np
import pytest
from conftest import ROOT, draw_photo, run_script_here
from PIL import Image

pytestmark = pytest.mark.slow

STYLE = ROOT / "data" / "styles" / "woodcut.jpg"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two photos, and other pictures of them: one with a lattice, one of another size."""
    folder = tmp_path_factory.mktemp("quality")
    for name in ("photos", "theirs"):
        (folder / name).mkdir()
    for seed, name in enumerate(("one", "two")):
        photo = draw_photo(seed, 96, 128)
        Image.fromarray(photo).save(folder / "photos" / f"{name}.png")
        picture = photo.copy()
        picture[::4, ::4] = np.minimum(picture[::4, ::4].astype(int) + 60, 255)
        picture = Image.fromarray(picture)
        picture = picture if name == "one" else picture.resize((64, 48))
        picture.save(folder / "theirs" / f"{name}.png")
    return folder


@pytest.fixture
def run(folder, monkeypatch, capsys):
    """A function that runs the benchmark in this process, with options."""

    def call(*options):
        words = [f"gallery/udnie={STYLE}", "--photos", folder / "photos", "--size", 128]
        words += ["--style-size", 96, "--style-layers", "relu1_1", "relu2_1", *options]
        script = ROOT / "benchmarks" / "quality.py"
        monkeypatch.syspath_prepend(script.parent)
        monkeypatch.chdir(ROOT)
        return run_script_here(script, words, monkeypatch, capsys)

    return call


def test_one_table_for_both_and_a_blind_sheet(run, folder, tmp_path):
    sheet = tmp_path / "blind.png"
    peers = ("--peers", f"gallery/udnie={folder / 'theirs'}", "--sheet", sheet, "--seed", 3)
    done = run(*peers)
    assert not done.code, done.err
    head, *lines = done.out.splitlines()
    assert head.split() == ["style", "content", "ssim", "style", "lattice", "relu1_1", "relu2_1"]
    assert any("two.png is scaled to 128x96 px" in line for line in lines)
    ours = next(line for line in lines if line.startswith("gallery/udnie  "))
    theirs = next(line for line in lines if line.startswith("gallery/udnie, theirs"))
    content, ssim, _, lattice, *_ = map(float, ours.split()[1:])
    content2, ssim2, _, lattice2, *_ = map(float, theirs.split()[2:])
    assert content2 < content  # Theirs are the photos but for a lattice.
    assert ssim2 > ssim
    assert lattice2 > lattice + 5
    check_sheet(tmp_path, folder)


def check_sheet(tmp_path, folder):
    """The key tells the sides that the sheet shows."""
    key = (tmp_path / "blind_gallery_udnie.key.txt").read_text().splitlines()
    assert [line.split(":")[0] for line in key] == ["one", "two"]
    sheet = np.asarray(Image.open(tmp_path / "blind_gallery_udnie.png").convert("RGB"))
    peer = np.asarray(Image.open(folder / "theirs" / "one.png").convert("RGB"))
    windows = np.lib.stride_tricks.sliding_window_view(sheet, (1, 8, 3))[:, :, 0, 0]
    found = np.argwhere((windows == peer[0, :8]).all(axis=(2, 3)))
    assert len(found)
    right = found[0][1] > sheet.shape[1] * 0.6
    assert (
        key[0]
        == f"one: left {'ours' if right else 'theirs'}, right {'theirs' if right else 'ours'}"
    )


def test_a_missing_picture_is_one_line(run, folder, tmp_path):
    (tmp_path / "one.png").write_bytes((folder / "theirs" / "one.png").read_bytes())
    done = run("--peers", f"gallery/udnie={tmp_path}")
    assert done.code == 2
    assert done.err.splitlines()[-1] == f"error: --peers: {tmp_path} has no picture of two"


def test_a_folder_without_photos_is_one_line(run, tmp_path):
    done = run("--photos", str(tmp_path))
    assert done.code == 2
    assert done.err.splitlines()[-1] == f"error: --photos: there are no files in {tmp_path}"
