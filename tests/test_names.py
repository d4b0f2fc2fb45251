"""Names of files that are no text, or more than text: done like others, and shown in full."""

import contextlib
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import unicodedata
from pathlib import Path

import forks
import numpy as np
import pytest
from conftest import ROOT, draw_photo, without_progress
from hypothesis import example, given
from hypothesis import strategies as some
from PIL import Image
from tiny import command_of, tiny_options

from fst import collection, errors, export
from fst.checkpoint import Checkpoint
from fst.comparison.measure import list_photos
from fst.config import TrainingConfig
from fst.errors import UserError
from fst.files import shown
from fst.gatys import command as gatys_command
from fst.gatys.options import GatysConfig
from fst.media import folders, grid
from fst.training import data, loop, state
from fst.training.style_images import open_styles

LATIN = os.fsdecode(b"caf\xe9.jpg")  # As an archive from an older system leaves it.
STEERING = "\x1b[2Jred\n.jpg"

# Such as a terminal of en_US.UTF-8, where Python refuses what is no text.
STRICT = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}


def write(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(draw_photo(seed, 40, 56)).save(path, "JPEG", quality=95)
    return path


def run(*command, **environment):
    """Runs a command of this repository; its output is bytes that need not be text."""
    done = subprocess.run(
        [os.fsencode(word) for word in (sys.executable, *command)],
        cwd=ROOT,
        capture_output=True,
        timeout=600,
        check=False,
        env={**STRICT, **environment},
    )
    # Strictly, since all that is printed is to be text.
    return done.returncode, done.stdout.decode(), without_progress(done.stderr.decode())


# --- Too long ------------------------------------------------------------------------------------

LONG = "x" * 300  # The longest name that a file can have is of 255 bytes.


def claim(output):
    config = TrainingConfig("a.png", output=output)
    state.State.open(Checkpoint(Path(output) / "a"), config, [""]).claim()


def gatys(**output):
    gatys_command.check(GatysConfig(content="a.png", style=("b.png",), **output))


WHERE = {
    "photos to compare": lambda: list_photos([f"{LONG}.jpg"]),
    "photos to train on": lambda: data.open_photos(LONG),
    "folder": lambda: folders.look_through(LONG),
    "style": lambda: open_styles(TrainingConfig(f"{LONG}.jpg", name="a")),
    "output of a training": lambda: claim(LONG),
    "output of gatys": lambda: gatys(output=f"{LONG}.png"),
    "trace": lambda: gatys(output="a.png", trace=LONG),
    "styles": lambda: collection.find("dusk", LONG),
}


@pytest.mark.parametrize("where", WHERE)
def test_what_is_too_long_to_be_a_name_is_one_line(where, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as error:
        WHERE[where]()
    line = error.value.for_command_line()
    assert LONG[:50] in line
    assert len(line.splitlines()) == 1


def test_an_export_to_a_name_that_is_too_long_is_one_line(gallery, tmp_path):
    config = export.ExportConfig("dusk", output=str(tmp_path / LONG), checkpoints=str(gallery))
    with pytest.raises(UserError, match=r"output .*: cannot be written: File name too long"):
        export.export(config)


# --- In one line of text --------------------------------------------------------------------------


@given(some.binary(min_size=1, max_size=40).filter(lambda name: b"\0" not in name))
@example(b"caf\xe9.jpg")
def test_every_name_is_shown_as_text(name):
    text = shown(os.fsdecode(name))
    text.encode("utf-8")
    assert not {unicodedata.category(c) for c in text} & {"Cc", "Cs"}
    assert shown(text) == text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (b"caf\xe9.jpg", r"caf\xe9.jpg"),
        (b"a\nb\x1b.jpg", r"a\nb\x1b.jpg"),
        ("café – 写真 🌅.jpg".encode(), "café – 写真 🌅.jpg"),
        (b"a  b\\c.jpg", r"a  b\c.jpg"),
    ],
)
def test_what_is_shown(name, text):
    assert shown(os.fsdecode(name)) == text


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8:strict"])
def test_commands_print_whatever_the_terminal_knows(encoding):
    encoding, _, handler = encoding.partition(":")
    streams = [io.TextIOWrapper(io.BytesIO(), encoding, handler or "strict") for _ in range(2)]

    def main():
        print(f"wrote {LATIN} → 写")
        raise UserError(f"{LATIN}: →")

    with (
        contextlib.redirect_stdout(streams[0]),
        contextlib.redirect_stderr(streams[1]),
        pytest.raises(SystemExit) as stop,
    ):
        errors.run(main)
    assert stop.value.code == 2
    for stream, text in zip(streams, (r"wrote caf\xe9.jpg", r"error: caf\xe9.jpg:"), strict=True):
        stream.flush()
        assert stream.buffer.getvalue().decode(encoding).startswith(text)
    arrow = "→" if encoding == "utf-8" else r"\u2192"
    assert arrow in streams[0].buffer.getvalue().decode(encoding)


# --- infer.py -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_infer_does_and_names_them(styles, tmp_path):
    folder, output = tmp_path / "in", tmp_path / "out"
    for seed, name in enumerate((LATIN, STEERING, "plain.jpg")):
        write(folder / name, seed)
    (folder / os.fsdecode(b"bad\xff.jpg")).write_bytes(b"no photo")
    (folder / os.fsdecode(b"not\xe9s.txt")).write_text("no photo either")
    code, out, err = run("infer.py", styles / "waves", folder, "-o", output)
    assert code == 1
    assert out == f"3 of 4 stylised into {output}; 1 failed\n"
    assert err.splitlines() == [
        f"note: {folder}: 1 file is no picture, left out: not\\xe9s.txt",
        f"failed: {folder}/bad\\xff.jpg: is not an image that can be read; give a JPEG, PNG, "
        "WebP, HEIC, AVIF, BMP, TIFF or GIF",
    ]
    assert sorted(os.listdir(os.fsencode(output))) == [
        b"\x1b[2Jred\n.jpg",
        b"caf\xe9.jpg",
        b"plain.jpg",
    ]


@pytest.mark.slow
def test_infer_ends_well_after_a_single_one(styles, tmp_path):
    photo, output = write(tmp_path / LATIN), tmp_path / os.fsdecode(b"out\xe9.png")
    code, out, err = run("infer.py", styles / "waves", photo, "-o", output)
    assert (code, out, err) == (0, f"1 of 1 stylised into {tmp_path}/out\\xe9.png\n", "")
    with Image.open(os.fsencode(output)) as image:
        assert image.size == (56, 40)


@pytest.mark.slow
def test_a_note_on_one_that_was_renamed(styles, tmp_path):
    folder = tmp_path / "in"
    write(folder / LATIN)
    Image.fromarray(draw_photo(1, 40, 56)).save(folder / os.fsdecode(b"caf\xe9.png"))
    code, _, err = run(
        "infer.py", styles / "waves", folder, "-o", tmp_path / "o", "--format", "jpg"
    )
    assert code == 0
    assert err == f"note: {folder}/caf\\xe9.png becomes {tmp_path}/o/caf\\xe9-2.jpg\n"


# --- Training -------------------------------------------------------------------------------------


@pytest.fixture
def odd_photos(photos, tmp_path):
    """A folder of good photos and of bad ones of every kind, with odd names."""
    folder = tmp_path / "private" / "album"
    shutil.copytree(photos, folder)
    write(folder / LATIN, 30)
    (folder / os.fsdecode(b"empty\xe9.jpg")).touch()
    (folder / "dangling.jpg").symlink_to(tmp_path / "private" / "nowhere.jpg")
    (folder / "circle.jpg").symlink_to(folder / "circle.jpg")
    os.mkfifo(folder / "pipe.jpg")
    (folder / "text.jpg").write_text("no photo")
    (folder / "device.jpg").symlink_to("/dev/zero")
    return folder


BAD = {r"empty\xe9.jpg", "dangling.jpg", "circle.jpg", "pipe.jpg", "text.jpg", "device.jpg"}


# `train.py` on such a terminal, with a network and a loss that take no time to compile.
SCRIPT = """
import functools, sys
from fst import errors
from fst.training import command, loop
from tests.tiny import PlainLoss, plain_network

for stream in (sys.stdout, sys.stderr):
    stream.reconfigure(encoding="utf-8", errors="strict")
loop.train = functools.partial(loop.train, network=plain_network(), loss=PlainLoss())
errors.run(command.main)
"""


@pytest.mark.slow
def test_training_sees_them_and_its_card_tells_no_folder(odd_photos, style, tmp_path):
    output = tmp_path / "out"
    options = tiny_options(odd_photos, style, "", output, steps=30, holdout=2)
    done = forks.run("-c", SCRIPT, *command_of(options)[1:])
    err = done.stderr
    assert done.returncode == 0, err
    assert "Traceback" not in err
    card = (output / "tiny" / "style.json").read_bytes().decode("utf-8")
    assert "private" not in card
    skipped = json.loads(card)["skipped_photos"]
    assert set(skipped["named"]) == BAD
    assert skipped["count"] == len(BAD)
    for name, reason in skipped["named"].items():
        reason.encode("utf-8")
        assert reason.startswith(f"{name}: ")
        assert "/" not in reason.replace("photos/", "")
    assert skipped["named"]["dangling.jpg"].endswith("is a link to a file that is not there")
    assert skipped["named"]["pipe.jpg"].startswith("pipe.jpg: is not a regular file")
    assert r"  empty\xe9.jpg: is empty" in err


def test_every_photo_of_any_name_is_trained_on(tmp_path):
    folder = tmp_path / "greys"
    folder.mkdir()
    names = [os.fsdecode(name) for name in (b"caf\xe9.png", b"\xff\xfe.png", b"a\n.png", b"b.png")]
    for index, name in enumerate(names):
        Image.new("RGB", (50, 44), (index * 8,) * 3).save(os.fsencode(folder / name))
    photos = data.open_photos(str(folder), holdout=1)
    config = TrainingConfig("a.jpg", steps=4, batch_size=4, crop_size=32, photo_size=40)
    crops = np.stack([crops for crops, _ in photos.batches(config).as_numpy_iterator()])
    assert set(np.rint(crops.mean(axis=(2, 3, 4)) / 8).astype(int).ravel()) == {0, 1, 2, 3}
    assert not photos.skipped


def test_the_choice_of_held_out_photos_is_by_the_hash_of_the_name(tmp_path):
    """As ever for names that are text: a style's losses stay comparable."""
    names = [f"é{index}.jpg" for index in range(19)] + [LATIN]
    for name in names:
        write(tmp_path / "sub" / name)
    (held_out,) = data.open_photos(str(tmp_path), holdout=1).held_out
    first = min(names, key=lambda name: hashlib.sha256(os.fsencode(f"sub/{name}")).digest())
    assert held_out.name == shown(f"sub/{first}")


def test_a_folder_of_bad_photos_whose_own_name_is_no_text(style, first_layers, tmp_path):
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    (folder / "a.jpg").write_text("no photo")
    config = TrainingConfig(**tiny_options(folder, style, first_layers, tmp_path / "out"))
    with pytest.raises(UserError, match=r"^content"):
        loop.train(config)


def test_the_card_of_a_style_picture_whose_name_is_no_text(tmp_path):
    config = TrainingConfig(str(tmp_path / LATIN), content=str(tmp_path / LATIN))
    values = json.loads(json.dumps(config.to_json(), ensure_ascii=False).encode("utf-8"))
    assert values["style"] == [values["content"]] == ["caf\ufffd.jpg"]
    assert TrainingConfig.from_json(values).to_json() == config.to_json()
    assert config.name == "caf"


def test_where_tensorflow_cannot_write_is_said_before_anything_slow(photos, style, tmp_path):
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    told = r"^output .*caf\\xe9.*not UTF-8; name another"
    trained = TrainingConfig(**tiny_options(photos, style, "no_such_file.h5", folder))
    with pytest.raises(UserError, match=told):
        loop.train(trained)
    exported = export.ExportConfig(str(ROOT / "checkpoints" / "gallery"), output=str(folder))
    with pytest.raises(UserError, match=told):
        export.export(exported)
    assert not folder.exists()


# --- Pictures and pages ---------------------------------------------------------------------------


def test_a_label_in_a_picture():
    picture = np.zeros((40, 300, 3), np.uint8)
    odd, plain = (
        grid.draw_grid([[picture]], [""], [label])
        for label in (os.fsdecode(b"caf\xe9"), r"caf\xe9")
    )
    np.testing.assert_array_equal(odd, plain)


def test_a_message_on_the_page():
    pytest.importorskip("streamlit")
    from fst.page.words import plain

    assert plain(f"{LATIN}:\n  is  gone") == r"caf\\xe9\.jpg\: is gone"


def test_the_result_of_a_comparison(tmp_path):
    from fst.comparison import measure

    assert measure.printed_name(str(tmp_path / LATIN)) == "caf\ufffd.jpg"
    assert measure.printed_name("https://ada:secret@example.org/caf%e9.jpg?size=1") == "caf%e9.jpg"
    assert measure.printed_name("https://ada:secret@example.org") == "example.org"
