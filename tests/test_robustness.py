"""Every size, mode and format that comes in goes out; what is broken is named and stops nobody."""

import functools
import io
import os
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, draw_photo, without_progress
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as some
from PIL import Image

import fst
from fst.batch import inference
from fst.batch.plan import Job
from fst.config import InferenceConfig
from fst.media import images

pytestmark = pytest.mark.slow

# --- Every size, mode and format -----------------------------------------------------------------

# The modes that Pillow writes into each format.
MODES = {
    ".jpg": ("L", "RGB", "CMYK"),
    ".png": ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "I;16"),
    ".webp": ("L", "RGB", "RGBA"),
    ".tif": ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "F"),
    ".bmp": ("1", "L", "P", "RGB"),
    ".gif": ("1", "L", "P", "PA"),
}
KINDS = [(suffix, mode) for suffix, modes in MODES.items() for mode in modes]
TURNED = (".jpg", ".png", ".webp", ".tif")  # The formats that have EXIF.
TARGETS = (".jpg", ".png", ".webp", ".tif", ".bmp", ".gif")
SHOWS_ALPHA = (".png", ".webp", ".tif", ".gif")


def draw(mode, height, width):
    """An image in a mode; where the mode has alpha, half is clear."""
    rgb = draw_photo(height * 211 + width, height, width)
    if mode in ("I;16", "F"):
        grey = rgb[..., 0]
        return Image.fromarray(grey.astype(np.uint16) * 257 if mode == "I;16" else grey / 255.0)
    if "A" not in mode:
        return Image.fromarray(rgb).convert(mode)
    alpha = np.full((height, width), 255, np.uint8)
    alpha[: (height + 1) // 2] = 0
    image = Image.fromarray(np.dstack([rgb, alpha]))
    return image.convert("LA") if mode == "LA" else image


def save(image, path, mode, orientation):
    options = {}
    if mode == "PA":  # A palette of which one colour is clear.
        clear = np.asarray(image.getchannel("A")) == 0
        image = image.convert("RGB").quantize(255)
        image.putpalette((image.getpalette() + [0] * 768)[:768])
        image.paste(255, mask=Image.fromarray(clear))
        options["transparency"] = 255
    if orientation != 1:
        exif = Image.Exif()
        exif[0x0112] = orientation
        options["exif"] = exif
    image.save(path, **options)


@pytest.fixture(scope="session")
def waves(styles):
    return fst.load("waves", str(styles))


SIDES = some.one_of(some.integers(16, 110), some.integers(1, 15))


@settings(
    max_examples=70,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    kind=some.sampled_from(KINDS),
    height=SIDES,
    width=SIDES,
    orientation=some.integers(1, 8),
    target=some.sampled_from(TARGETS),
    scale=some.sampled_from((1.0, 1.0, 0.5, 1.3)),
)
@example(kind=(".jpg", "CMYK"), height=1, width=1, orientation=6, target=".jpg", scale=0.1)
@example(kind=(".tif", "I;16"), height=15, width=200, orientation=7, target=".gif", scale=1.0)
@example(kind=(".tif", "LA"), height=200, width=16, orientation=5, target=".png", scale=1.0)
@example(kind=(".gif", "PA"), height=17, width=31, orientation=1, target=".webp", scale=1.0)
def test_size_in_is_size_out(waves, tmp_path, kind, height, width, orientation, target, scale):
    suffix, mode = kind
    orientation = orientation if suffix in TURNED else 1
    photo, output = tmp_path / f"in{suffix}", tmp_path / f"out{target}"
    drawn = draw(mode, height, width)
    save(drawn, photo, mode, orientation)
    config = InferenceConfig("waves", (str(photo),), str(output), scale=scale)
    inference.stylise_file({"waves": waves}, Job(photo, output), config)

    upright = (height, width) if orientation >= 5 else (width, height)
    with Image.open(output) as image:
        image.load()
        assert image.size == upright
        assert image.getexif().get(0x0112, 1) == 1
        clear = np.asarray(image.convert("RGBA"))[..., 3] == 0
    if "A" in mode and target in SHOWS_ALPHA:
        hidden = Image.fromarray(np.asarray(drawn.getchannel("A")) == 0)
        turn = images.TURNS.get(orientation)
        np.testing.assert_array_equal(clear, hidden if turn is None else hidden.transpose(turn))
    else:
        assert not clear.any()


@pytest.mark.parametrize("kind", KINDS, ids="".join)
def test_every_kind_survives_from_one_pixel_up(waves, tmp_path, kind):
    suffix, mode = kind
    for height, width in ((1, 1), (1, 9), (2, 15), (15, 3), (16, 16), (19, 33)):
        photo, output = tmp_path / f"in{suffix}", tmp_path / "out.png"
        save(draw(mode, height, width), photo, mode, 1)
        config = InferenceConfig("waves", (str(photo),), str(output))
        inference.stylise_file({"waves": waves}, Job(photo, output), config)
        with Image.open(output) as image:
            assert image.size == (width, height)


# --- Damaged files among good ones ---------------------------------------------------------------

GOOD, BAD = 100, 500
FORMATS = {".jpg": "JPEG", ".png": "PNG", ".webp": "WEBP", ".tif": "TIFF", ".gif": "GIF"}


def encoded(seed, suffix):
    buffer = io.BytesIO()
    Image.fromarray(draw_photo(seed, 64, 64)).save(buffer, FORMATS[suffix])
    return buffer.getvalue()


def chunk(kind, data):
    check = zlib.crc32(kind + data).to_bytes(4, "big")
    return len(data).to_bytes(4, "big") + kind + data + check


def png(width, height, data, extra=b""):
    """A PNG in RGB of any declared size."""
    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 2, 0, 0, 0])
    parts = chunk(b"IHDR", head) + extra + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def zeros(size):
    """So many zero bytes, a thousandth of them when compressed."""
    deflate, piece = zlib.compressobj(9), bytes(2**20)
    data = b"".join(deflate.compress(piece) for _ in range(size >> 20))
    return data + deflate.compress(bytes(size % 2**20)) + deflate.flush()


@functools.cache
def bombs():
    """Small files that would take gigabytes, by their names."""
    tiny, large = zlib.compress(bytes(100)), zeros(400 * 2**20)
    bmp = bytearray(encoded_bmp())
    bmp[18:26] = (60_000).to_bytes(4, "little") * 2
    gif = bytearray(encoded(1, ".gif"))
    gif[6:10] = b"\xff\xff\xff\xff"
    return {
        "declared.png": png(50_000, 50_000, tiny),
        "largest.png": png(2**31 - 1, 2**31 - 1, tiny),
        "empty_sea.png": png(16_000, 15_000, tiny),  # Within the limit, but nothing in it.
        "real.png": png(20_000, 20_000, large),
        "text.png": png(64, 64, tiny, chunk(b"zTXt", b"Comment\0\0" + large)),
        "profile.png": png(64, 64, tiny, chunk(b"iCCP", b"icc\0\0" + large)),
        "declared.bmp": bytes(bmp),
        "declared.gif": bytes(gif),
    }


def encoded_bmp():
    buffer = io.BytesIO()
    Image.fromarray(draw_photo(1, 64, 64)).save(buffer, "BMP")
    return buffer.getvalue()


def cut(data, random):
    return data[: int(random.integers(1, max(2, len(data) * 9 // 10)))]


def flipped(data, random):
    data = bytearray(data)
    for index in random.integers(0, len(data), 30):
        data[index] ^= 1 << int(random.integers(8))
    return bytes(data)


def noise(data, random):
    return random.bytes(len(data))


def headed_noise(data, random):
    return data[:40] + random.bytes(len(data))


def text(data, random):
    return b"<html>no photo here</html>" * int(random.integers(1, 50))


def nothing(data, random):
    return b""


DAMAGES = (cut, flipped, noise, headed_noise, text, nothing)


def opens(data):
    """Whether Pillow makes a picture of it, strictly."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
    except Exception:
        return False
    return True


def damage_until_broken(index, random):
    """A file of a damaged picture which cannot be read."""
    suffix = list(FORMATS)[index % len(FORMATS)]
    damage = DAMAGES[index // len(FORMATS) % len(DAMAGES)]
    for seed in range(40):
        data = damage(encoded(seed, suffix), random)
        if not opens(data):
            return data, suffix
    return cut(encoded(0, suffix)[:200], random), suffix


def write_good(folder):
    folder.mkdir()
    suffixes = (".jpg", ".png", ".webp", ".tif")
    names = [f"good{index:03d}{suffixes[index % 4]}" for index in range(GOOD)]
    for seed, name in enumerate(names):
        (folder / name).write_bytes(encoded(seed, Path(name).suffix))
    return names


def write_bad(folder):
    """Fills a folder with `BAD` files of which no picture can be made; returns their names."""
    for name, data in bombs().items():
        (folder / name).write_bytes(data)
    os.mkfifo(folder / "pipe.jpg")
    (folder / "dangling.jpg").symlink_to(folder / "nowhere.jpg")
    (folder / "circle.png").symlink_to(folder / "circle.png")
    (folder / "device.jpg").symlink_to("/dev/zero")
    names = [*bombs(), "pipe.jpg", "dangling.jpg", "circle.png", "device.jpg"]
    random = np.random.default_rng(0)
    for index in range(BAD - len(names)):
        data, suffix = damage_until_broken(index, random)
        names.append(f"bad{index:03d}{suffix}")
        (folder / names[-1]).write_bytes(data)
    return names


_MEASURED = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:])
print("PEAK", resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(done.returncode)
"""


def run_measured(styles, photos, output, *options):
    """Runs infer.py on a folder; returns exit code, stdout, stderr and its peak memory, MB."""
    command = [sys.executable, "infer.py", styles / "waves", photos, "-o", output, *options]
    done = subprocess.run(
        [sys.executable, "-c", _MEASURED, *map(str, command)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    *lines, peak = done.stdout.splitlines()
    return done.returncode, lines, without_progress(done.stderr), int(peak.split()[1]) / 1000


def test_500_damaged_files_among_100_good_ones(styles, tmp_path):
    folder = tmp_path / "in"
    good = write_good(folder)
    code, lines, err, usual = run_measured(styles, folder, tmp_path / "usual")
    assert (code, err, len(lines)) == (0, "", 1)

    bad = write_bad(folder)
    (folder / "folder.jpg").mkdir()
    assert len(bad) == BAD
    output = tmp_path / "out"
    code, lines, err, peak = run_measured(styles, folder, output)
    assert code == 1
    assert "Traceback" not in err
    assert "Warning" not in err
    if sys.platform == "linux":  # libtiff's own remarks, in pieces amid the lines
        assert [
            line for line in err.splitlines() if not line.startswith(("failed: ", "note: "))
        ] == []

    done = {path.name for path in output.iterdir()}
    named = [line for line in err.splitlines() if line.startswith("failed: ")]
    failed = {name for name in bad if any(f"{folder / name}: " in line for line in named)}
    assert set(good) <= done
    assert failed | {name for name in bad if name in done} == set(bad)
    assert not failed & done
    assert len(named) == len(failed)
    assert lines == [f"{600 - len(failed)} of 600 stylised into {output}; {len(failed)} failed"]
    assert len(failed) >= BAD - 5  # All that is no picture by Pillow's own judgement, and bombs.
    for name in good:
        with Image.open(output / name) as image:
            image.load()
            assert image.size == (64, 64)
    assert peak < usual + 400
