"""Pictures in and out: any file ends as upright sRGB, or in one line that says why not."""

import contextlib
import errno
import http.server
import io
import os
import socket
import struct
import sys
import threading
import warnings
import zlib
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo
from tiffs import RGB, write_tiff

from fst import files
from fst.errors import UserError
from fst.media import folders, images
from fst.media.images import ImageError

# No two pixels and no two turns of it are alike: red grows downwards, green rightwards.
GRADIENT = np.stack(
    [
        np.repeat(np.arange(0, 240, 10, dtype=np.uint8)[:, None], 36, axis=1),
        np.repeat(np.arange(0, 252, 7, dtype=np.uint8)[None], 24, axis=0),
        np.full((24, 36), 90, np.uint8),
    ],
    axis=-1,
)


def encode(picture, file_format="PNG", **options):
    """Bytes of an array or of a Pillow image."""
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    buffer = io.BytesIO()
    if file_format == "HEIF":  # Not by Pillow, which is to know no more of it than `images` tells.
        lossless = {"quality": -1, "chroma": 444}
        pillow_heif.from_pillow(image).save(buffer, **lossless, **options)
    else:
        image.save(buffer, file_format, **options)
    return buffer.getvalue()


def load(data):
    """What `load_picture` makes of bytes."""
    return images.load_picture("memory", data)


def png(width, height, bits, colour, pixels, *chunks):
    """A PNG made by hand, for what Pillow does not write; `chunks` are (type, data)."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    rows = b"".join(b"\0" + row for row in pixels)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )


def swapped_profile():
    """An ICC profile whose red is sRGB's green and the other way round."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = profile.replace(b"rXYZ", b"tmp!").replace(b"gXYZ", b"rXYZ").replace(b"tmp!", b"gXYZ")
    return swapped.replace("sRGB".encode("utf-16-be"), "Swap".encode("utf-16-be"))


def one_line(error):
    text = str(error.value)
    assert "\n" not in text
    return text


# --- Sources -------------------------------------------------------------------------------------

PAGE = b"\n<!DOCTYPE html><html><body>not here</body></html>"


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers by path; what it sends is said by `answers`."""

    def do_GET(self):
        status, headers, body = {
            "/photo.png": (200, {}, encode(GRADIENT)),
            "/moved": (302, {"Location": "/photo.png"}, b""),
            "/circle": (302, {"Location": "/circle"}, b""),
            "/page": (200, {"Content-Type": "text/html"}, PAGE),
            "/empty": (200, {}, b""),
            "/announced": (200, {"Content-Length": str(files.MAX_BYTES + 1)}, b""),
            "/endless": (200, {}, bytes(files.MAX_BYTES)),
            "/longer": (200, {}, bytes(files.MAX_BYTES + 1)),
            "/short": (200, {"Content-Length": "999999"}, b"x" * 100),
        }.get(self.path, (404, {}, b"gone"))
        self.send_response(status)
        if self.path not in ("/endless", "/longer"):
            headers = {"Content-Length": str(len(body)), **headers}
        for header in headers.items():
            self.send_header(*header)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.mark.parametrize("path", ["/photo.png", "/moved"])
def test_downloads_and_follows_redirects(server, path):
    np.testing.assert_array_equal(images.load_picture(server + path).rgb, GRADIENT)


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/nowhere.jpg", "404 Not Found; check the address"),
        ("/page", "is a web page and not an image"),
        ("/empty", "is empty"),
        ("/announced", "larger than 64 MiB"),
        ("/short", "the connection broke"),
        ("/circle", "redirects in a circle"),
    ],
)
def test_bad_answers_end_in_one_line(server, path, says):
    with pytest.raises(ImageError) as error:
        images.load_picture(server + path)
    assert one_line(error).startswith(server + path)
    assert says in one_line(error)


def test_download_without_a_length_is_capped_while_it_comes(server):
    with pytest.raises(ImageError, match="is larger than"):
        files.read_bytes(server + "/longer")
    assert len(files.read_bytes(server + "/endless")) == files.MAX_BYTES


def test_slow_download_is_given_up(server, monkeypatch):
    monkeypatch.setattr(files, "_DEADLINE", -1)
    with pytest.raises(ImageError, match="to download; try again"):
        files.read_bytes(server + "/photo.png")


def test_silent_server_is_given_up(monkeypatch):
    monkeypatch.setattr(files, "_TIMEOUT", (0.2, 0.2))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/photo.png"
        with pytest.raises(ImageError, match="does not answer"):
            files.read_bytes(url)


def test_refused_connection():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ImageError, match="cannot be reached") as error:
        files.read_bytes(f"http://me:secret@127.0.0.1:{port}/photo.png")
    assert "secret" not in one_line(error)


@pytest.mark.parametrize("url", ["http://", "http://[", "https://..", "http://\u2024.a:99999/"])
def test_malformed_address(url):
    with pytest.raises(ImageError, match=r"no valid address|cannot be reached"):
        files.read_bytes(url)


def test_is_url():
    assert files.is_url("HTTPS://example.org/a.jpg")
    assert files.is_url("http://a")
    assert not files.is_url("httpd/photo.jpg")
    assert not files.is_url("ftp://a")
    assert not files.is_url(Path("http://a"))


def test_reads_a_path_of_either_kind(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"abc")
    assert files.read_bytes(tmp_path / "a.bin") == files.read_bytes(str(tmp_path / "a.bin"))


def test_bad_paths_end_in_one_line(tmp_path, monkeypatch):
    (tmp_path / "empty.jpg").touch()
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "device.jpg").symlink_to("/dev/zero")
    (tmp_path / "dangling.jpg").symlink_to(tmp_path / "nowhere.jpg")
    listener = socket.socket(socket.AF_UNIX)
    monkeypatch.chdir(tmp_path)  # The paths of sockets must be short.
    listener.bind("socket.jpg")
    for path, says in [
        (tmp_path / "missing.jpg", "no such file"),
        (tmp_path, "is a folder"),
        (tmp_path / "empty.jpg", "is empty"),
        (tmp_path / "pipe.jpg", "is not a regular file"),
        (tmp_path / "device.jpg", "is not a regular file"),
        (tmp_path / "socket.jpg", "is not a regular file"),
        (tmp_path / "dangling.jpg", "is a link to a file that is not there"),
        (tmp_path / "empty.jpg" / "a.jpg", "cannot be read: Not a directory"),
        ("zero\0byte.jpg", "cannot be read"),
    ]:
        with pytest.raises(ImageError, match=says) as error:
            files.read_bytes(path)
        assert one_line(error).startswith(files.shown(path))


@pytest.mark.skipif(not os.path.isfile("/proc/self/mem"), reason="needs a file nobody can read")
def test_unreadable_file(tmp_path):
    # Root may read everything that others may not; of this one nobody can read the beginning.
    (tmp_path / "a.jpg").symlink_to("/proc/self/mem")
    with pytest.raises(ImageError, match=r"a\.jpg: cannot be read: Input/output error"):
        files.read_bytes(tmp_path / "a.jpg")


def test_huge_file_is_not_read(tmp_path):
    with open(tmp_path / "film.gif", "wb") as file:
        file.truncate(2 * 10**9 + 1)  # A hole, which takes no room.
    with pytest.raises(ImageError, match="too large"):
        files.read_bytes(tmp_path / "film.gif")


# --- Modes and formats ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file_format", "options", "tolerance"),
    [
        ("PNG", {}, 0),
        ("BMP", {}, 0),
        ("TIFF", {}, 0),
        ("TIFF", {"compression": "tiff_lzw"}, 0),
        ("WEBP", {"lossless": True}, 0),
        ("JPEG", {"quality": 98, "subsampling": 0}, 6),
        ("AVIF", {"quality": 98, "subsampling": "4:4:4"}, 6),
        ("HEIF", {}, 2),
        ("GIF", {}, 40),
    ],
)
def test_every_format_is_read_from_its_content(tmp_path, file_format, options, tolerance):
    path = tmp_path / "photo.dat"
    path.write_bytes(encode(GRADIENT, file_format, **options))
    picture = images.load_picture(path)
    assert (picture.format, picture.alpha, picture.exif, picture.notes) == (
        file_format,
        None,
        None,
        (),
    )
    assert picture.rgb.dtype == np.uint8
    np.testing.assert_allclose(picture.rgb.astype(int), GRADIENT, atol=tolerance)
    picture.rgb[0, 0] = 0  # The caller owns the array.


@pytest.mark.parametrize("file_format", ["GIF", "PNG", "WEBP", "TIFF", "AVIF"])
def test_first_frame_of_an_animation(file_format):
    first, second = (Image.new("RGB", (32, 20), colour) for colour in ("red", "blue"))
    options = {"lossless": True} if file_format == "WEBP" else {}
    data = encode(first, file_format, save_all=True, append_images=[second], **options)
    picture = load(data)
    np.testing.assert_allclose(picture.rgb.astype(int), first, atol=3 * (file_format == "AVIF"))
    kind = "a document of several pages" if file_format == "TIFF" else "animated"
    assert picture.notes == (f"{kind}, only its first picture is taken",)
    turned = load(encode(first, "TIFF", save_all=True, append_images=[second], exif=exif_with(6)))
    assert (turned.format, turned.rgb.shape, len(turned.notes)) == ("TIFF", (32, 20, 3), 1)


def test_second_picture_inside_a_phones_jpeg_is_not_noted():
    first, second = (Image.new("RGB", (32, 20), colour) for colour in ("red", "blue"))
    data = encode(first, "MPO", save_all=True, append_images=[second])
    assert Image.open(io.BytesIO(data)).format == "MPO"
    assert (load(data).format, load(data).notes) == ("JPEG", ())


def test_damaged_second_picture_does_not_lose_the_first():
    first, second = (Image.new("RGB", (32, 20), colour) for colour in ("red", "blue"))
    data = encode(first, "GIF", save_all=True, append_images=[second])
    for end in range(data.rindex(b"\x2c") - 8, len(data)):
        assert (load(data[:end]).rgb == (255, 0, 0)).all()


@pytest.mark.parametrize(
    ("primaries", "curve", "notes"),
    [
        (1, 13, ()),
        (12, 13, ("colours of Display P3 taken as sRGB",)),
        (9, 16, ("colours of Rec. 2020 PQ taken as sRGB",)),
    ],
)
def test_colours_that_a_heic_names_by_number_are_noted(primaries, curve, notes):
    heic = pillow_heif.from_pillow(Image.fromarray(GRADIENT))
    heic.info["nclx_profile"] = {
        "color_primaries": primaries,
        "transfer_characteristics": curve,
        "matrix_coefficients": 6,
        "full_range_flag": 1,
    }
    buffer = io.BytesIO()
    heic.save(buffer, quality=-1, chroma=444, save_nclx_profile=True)
    assert load(buffer.getvalue()).notes == notes


def test_grey():
    picture = load(encode(GRADIENT[..., 0]))
    np.testing.assert_array_equal(picture.rgb, GRADIENT[..., [0, 0, 0]])


def test_one_bit():
    picture = load(encode(Image.fromarray(GRADIENT[..., 0] > 100)))
    assert Image.open(io.BytesIO(encode(Image.fromarray(GRADIENT[..., 0] > 100)))).mode == "1"
    np.testing.assert_array_equal(picture.rgb[..., 1], np.where(GRADIENT[..., 0] > 100, 255, 0))


def test_one_bit_with_transparency():
    picture = load(png(8, 1, 1, 0, [b"\xa5"], (b"tRNS", b"\0\0")))
    np.testing.assert_array_equal(picture.alpha[0], [255, 0, 255, 0, 0, 255, 0, 255])


@pytest.mark.parametrize(("bits", "clear", "row"), [(2, 1, b"\x1b"), (4, 3, b"\x03\x4f")])
def test_grey_of_few_bits_with_transparency(bits, clear, row):
    picture = load(png(4, 1, bits, 0, [row], (b"tRNS", bytes([0, clear]))))
    np.testing.assert_array_equal(picture.alpha[0], [255, 0, 255, 255])


def test_palette_with_graded_transparency():
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putdata([0, 1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture = load(encode(image, transparency=bytes([0, 128])))
    np.testing.assert_array_equal(picture.rgb[0], [[10, 20, 30], [40, 50, 60]])
    np.testing.assert_array_equal(picture.alpha[0], [0, 128])


def test_transparent_pixels_keep_their_colour():
    rgba = np.dstack([GRADIENT, np.where(GRADIENT[..., 0] > 100, 0, 200).astype(np.uint8)])
    picture = load(encode(rgba))
    np.testing.assert_array_equal(picture.rgb, GRADIENT)
    np.testing.assert_array_equal(picture.alpha, rgba[..., 3])


def test_grey_with_alpha():
    picture = load(encode(Image.fromarray(GRADIENT[..., :2], "LA")))
    np.testing.assert_array_equal(picture.rgb, GRADIENT[..., [0, 0, 0]])
    np.testing.assert_array_equal(picture.alpha, GRADIENT[..., 1])


def test_single_transparent_colour():
    picture = load(png(2, 1, 8, 2, [bytes([1, 2, 3, 4, 5, 6])], (b"tRNS", b"\0\1\0\2\0\3")))
    np.testing.assert_array_equal(picture.rgb[0], [[1, 2, 3], [4, 5, 6]])
    np.testing.assert_array_equal(picture.alpha[0], [0, 255])


@pytest.mark.parametrize("file_format", ["JPEG", "TIFF"])
def test_cmyk_is_not_inverted(file_format):
    colours = np.zeros((32, 32, 3), np.uint8)
    colours[:16] = (250, 240, 20)
    data = encode(Image.fromarray(colours).convert("CMYK"), file_format)
    assert Image.open(io.BytesIO(data)).mode == "CMYK"
    picture = load(data).rgb.astype(int)
    np.testing.assert_allclose(picture[4, 4], (250, 240, 20), atol=8)
    np.testing.assert_allclose(picture[28, 28], (0, 0, 0), atol=8)


def test_lab():
    picture = load(encode(Image.new("RGB", (20, 20), (200, 40, 60)).convert("LAB"), "TIFF"))
    np.testing.assert_allclose(picture.rgb[5, 5].astype(int), (200, 40, 60), atol=3)
    assert picture.notes == ()


@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_sixteen_bit_grey_is_scaled_and_not_clipped(file_format):
    values = np.array([[0, 257, 300, 32768, 65535]], np.uint16)
    picture = load(encode(values, file_format))
    np.testing.assert_array_equal(picture.rgb[0, :, 0], [0, 1, 1, 128, 255])


def test_sixteen_bit_grey_does_not_depend_on_its_brightest_pixel():
    picture = load(encode(np.array([[0, 257]], np.uint16)))
    np.testing.assert_array_equal(picture.rgb[0, :, 0], [0, 1])


def test_sixteen_bit_grey_big_endian():
    image = Image.frombytes("I;16B", (2, 1), np.array([257, 65535], ">u2").tobytes())
    np.testing.assert_array_equal(load(encode(image, "TIFF")).rgb[0, :, 0], [1, 255])


def test_sixteen_bit_grey_with_transparency():
    picture = load(png(2, 1, 16, 0, [struct.pack(">HH", 40000, 300)], (b"tRNS", b"\x01\x2c")))
    np.testing.assert_array_equal(picture.rgb[0, :, 0], [156, 1])
    np.testing.assert_array_equal(picture.alpha[0], [255, 0])


@pytest.mark.parametrize(("colour", "channels"), [(2, 3), (4, 2), (6, 4)])
def test_sixteen_bit_colour(colour, channels):
    values = [65535, 32768, 0, 65535][:channels]
    picture = load(png(1, 1, 16, colour, [struct.pack(f">{channels}H", *values)]))
    expected = (255, 255, 255) if colour == 4 else (255, 128, 0)
    np.testing.assert_array_equal(picture.rgb[0, 0], expected)
    assert (picture.alpha is not None) == (colour in (4, 6))


def test_signed_32_bit_grey_is_stretched():
    picture = load(encode(np.array([[-100, 0, 100_000]], np.int32), "TIFF"))
    np.testing.assert_array_equal(picture.rgb[0, :, 0], [0, 0, 255])


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 0.5, 1], [0, 128, 255]),
        ([0, 128, 255], [0, 128, 255]),
        ([0, 257, 65535], [0, 1, 255]),
        ([-1, 0, 1], [0, 128, 255]),
        ([0, 1e6, 2e6], [0, 128, 255]),
        ([np.nan, np.inf, 1], [0, 0, 255]),
        ([0, 0, 0], [0, 0, 0]),
    ],
)
def test_float_grey(values, expected):
    picture = load(encode(np.array([values], np.float32), "TIFF"))
    np.testing.assert_array_equal(picture.rgb[0, :, 0], expected)


# --- Colour profiles and EXIF --------------------------------------------------------------------


def test_colour_profile_is_converted_to_srgb():
    red = Image.new("RGB", (20, 20), (255, 0, 0))
    picture = load(encode(red, icc_profile=swapped_profile()))
    np.testing.assert_allclose(picture.rgb[3, 3].astype(int), (0, 255, 0), atol=2)
    assert picture.notes == ("colour profile 'Swap built-in' converted to sRGB",)


def test_colour_profile_leaves_alpha_alone():
    image = Image.new("RGBA", (20, 20), (255, 0, 0, 77))
    picture = load(encode(image, icc_profile=swapped_profile()))
    np.testing.assert_allclose(picture.rgb[3, 3].astype(int), (0, 255, 0), atol=2)
    assert (picture.alpha == 77).all()


@pytest.mark.parametrize(
    ("title", "shown"),
    [("\x1b[2J\x07Wide\n\tgo", "[2JWide go"), ("", "unnamed"), (None, "unnamed")],
)
def test_names_of_profiles_cannot_steer_the_terminal(title, shown):
    data = swapped_profile()
    if title is None:
        data = data.replace(b"desc", b"tmp!")
    else:
        whole = "Swap built-in"
        data = data.replace(whole.encode("utf-16-be"), title.ljust(len(whole)).encode("utf-16-be"))
    picture = load(encode(GRADIENT, icc_profile=data))
    assert picture.notes == (f"colour profile '{shown}' converted to sRGB",)


def test_srgb_profile_changes_nothing():
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = load(encode(GRADIENT, icc_profile=srgb))
    np.testing.assert_array_equal(picture.rgb, GRADIENT)
    assert picture.notes == ()


def test_a_profile_that_is_only_called_srgb_is_converted():
    wrong = swapped_profile().replace("Swap".encode("utf-16-be"), "sRGB".encode("utf-16-be"))
    red = np.full((8, 8, 3), (200, 30, 30), np.uint8)
    picture = load(encode(red, icc_profile=wrong))
    assert picture.notes == ("colour profile 'sRGB built-in' converted to sRGB",)
    assert picture.rgb[0, 0, 1] > 150 > picture.rgb[0, 0, 0]


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_unusable_profile_is_ignored_and_noted(mode):
    image = Image.fromarray(GRADIENT).convert(mode)
    picture = load(encode(image, "TIFF", icc_profile=b"not a profile"))
    np.testing.assert_array_equal(picture.rgb, np.asarray(image.convert("RGB")))
    assert picture.notes == ("colour profile cannot be used, colours taken as sRGB",)


def test_profile_of_another_colour_space_is_ignored_and_noted():
    image = Image.new("CMYK", (20, 20), (0, 0, 0, 0))
    picture = load(encode(image, "JPEG", icc_profile=swapped_profile()))
    assert (picture.rgb == 255).all()
    assert "cannot be used" in picture.notes[0]


def test_grey_picture_with_a_colour_profile():
    picture = load(encode(GRADIENT[..., 0], icc_profile=swapped_profile()))
    np.testing.assert_allclose(picture.rgb[..., 1].astype(int), GRADIENT[..., 0], atol=2)
    assert picture.notes == ("colour profile 'Swap built-in' converted to sRGB",)


# The turn that EXIF says will set the stored picture upright.
TURNS = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}


def exif_with(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "Maker"
    return exif


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "WEBP"])
def test_exif_turns_the_picture_upright(orientation, file_format):
    options = {"lossless": True} if file_format == "WEBP" else {}
    data = encode(GRADIENT, file_format, exif=exif_with(orientation), **options)
    picture = load(data)
    np.testing.assert_array_equal(picture.rgb, TURNS[orientation](GRADIENT))
    assert picture.format == file_format
    exif = Image.Exif()
    exif.load(picture.exif)
    assert dict(exif) == {0x010F: "Maker"}


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("file_format", ["HEIF", "AVIF"])
def test_what_the_container_turns_is_turned_once(orientation, file_format):
    options = {} if file_format == "HEIF" else {"quality": 98, "subsampling": "4:4:4"}
    data = encode(GRADIENT, file_format, exif=exif_with(orientation).tobytes(), **options)
    upright = TURNS[orientation](GRADIENT)
    np.testing.assert_allclose(load(data).rgb.astype(int), upright, atol=6)
    crop = images.decode_crop(data, 24, 24, (0.0, 0.0), False)
    np.testing.assert_allclose(crop.astype(int), upright[:24, :24], atol=6)


@pytest.mark.parametrize("orientation", TURNS)
def test_exif_turns_jpegs_and_training_crops(orientation):
    stored = np.kron(GRADIENT, np.ones((8, 8, 1), np.uint8))  # 192 x 288, so that draft mode acts.
    data = encode(stored, "JPEG", quality=98, subsampling=0, exif=exif_with(orientation))
    upright = TURNS[orientation](stored)
    np.testing.assert_allclose(load(data).rgb.astype(int), upright, atol=8)
    crop = images.decode_crop(data, 48, 48, (0.0, 0.0), False)
    expected = np.asarray(Image.fromarray(upright[:192, :192]).resize((48, 48), 4))
    np.testing.assert_allclose(crop.astype(int)[2:-2, 2:-2], expected[2:-2, 2:-2], atol=10)


def test_exif_turns_alpha_and_16_bit_grey_too():
    rgba = np.dstack([GRADIENT, GRADIENT[..., 0]])
    picture = load(encode(rgba, exif=exif_with(6)))
    np.testing.assert_array_equal(picture.alpha, np.rot90(rgba[..., 3], -1))
    deep = load(encode(GRADIENT[..., 0].astype(np.uint16) * 257, exif=exif_with(6)))
    np.testing.assert_array_equal(deep.rgb[..., 0], np.rot90(GRADIENT[..., 0], -1))


def test_exif_keeps_the_date_and_drops_what_is_no_longer_true():
    exif = exif_with(1)
    exif.get_ifd(0x8769).update({0x9003: "2020:01:02 03:04:05", 40962: 4000, 40963: 3000, 40961: 2})
    picture = load(encode(GRADIENT, "JPEG", exif=exif))
    kept = Image.Exif()
    kept.load(picture.exif)
    assert dict(kept.get_ifd(0x8769)) == {0x9003: "2020:01:02 03:04:05"}


def private_exif():
    """What a phone writes, and what some editors add: things to keep, and nine secrets."""
    exif = exif_with(6)
    exif[0x0110], exif[0x8298], exif[0x0131] = "Model 5", "(c) Ann", "Editor"
    exif[316], exif[0xC62F] = "SECRET computer", "SECRET camera"
    exif.get_ifd(0x8769).update(
        {
            0x9003: "2020:01:02 03:04:05",
            0x829A: 0.01,
            0x8827: 400,
            0xA434: "50mm",
            0xA430: "SECRET owner",
            0xA431: "SECRET body",
            0xA435: "SECRET lens",
            0xA420: "SECRET id",
            0x927C: b"SECRET maker note",
            0x9286: b"ASCII\0\0\0SECRET comment",
        }
    )
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 8.0, 30.5), 29: "2020:SECRET"})
    return exif


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_place_and_owner_are_dropped_unless_asked_for(file_format):
    data = encode(GRADIENT, file_format, exif=private_exif().tobytes())
    assert data.count(b"SECRET") == 9
    plain, full = load(data), images.load_picture("memory", data, keep_private=True)
    assert b"SECRET" not in plain.exif
    exif = Image.Exif()
    exif.load(plain.exif)
    assert dict(exif.get_ifd(0x8825)) == {}
    assert set(exif) - {0x0103} == {0x010F, 0x0110, 0x0131, 0x8298, 0x8769}
    assert dict(exif.get_ifd(0x8769)) == {
        0x9003: "2020:01:02 03:04:05",
        0x829A: 0.01,
        0x8827: 400,
        0xA434: "50mm",
    }
    assert full.exif.count(b"SECRET") == 8
    assert b"maker note" not in full.exif
    exif = Image.Exif()
    exif.load(full.exif)
    assert exif.get_ifd(0x8825)[2] == (48.0, 8.0, 30.5)
    assert exif.get_ifd(0x8769)[0xA430] == "SECRET owner"
    assert 0x0112 not in exif


def test_nothing_but_exif_is_written_of_what_a_file_tells(tmp_path):
    """No XMP, text, comment, IPTC or thumbnail: they may show or name what nobody thought of."""
    text = PngInfo()
    text.add_text("Author", "SECRET")
    text.add_itxt("XML:com.adobe.xmp", "<x:xmpmeta>SECRET</x:xmpmeta>")
    files_of = {
        "PNG": {"pnginfo": text},
        "JPEG": {"comment": "SECRET", "xmp": b"<x:xmpmeta>SECRET</x:xmpmeta>"},
        "WEBP": {"xmp": b"<x:xmpmeta>SECRET</x:xmpmeta>"},
        "TIFF": {"tiffinfo": {700: b"SECRET", 33723: b"SECRET", 34377: b"SECRET"}},
        "GIF": {"comment": "SECRET"},
    }
    for file_format, options in files_of.items():
        data = encode(GRADIENT, file_format, **options)
        assert b"SECRET" in data
        picture = images.load_picture("memory", data, keep_private=True)
        for suffix in images.OUTPUTS:
            path = tmp_path / f"{file_format}{suffix}"
            images.save_picture(path, picture.rgb, picture.alpha, exif=picture.exif)
            assert b"SECRET" not in path.read_bytes()


def test_thumbnail_of_the_photo_is_not_kept():
    thumbnail = encode(GRADIENT, "JPEG")
    # One entry and a pointer to a second list, whose entries say where the thumbnail lies.
    first = struct.pack("<HHHI4sI", 1, 0x010F, 2, 4, b"Abc\0", 26)
    second = struct.pack("<HHHIIHHIII", 2, 0x0201, 4, 1, 56, 0x0202, 4, 1, len(thumbnail), 0)
    exif = b"Exif\0\0II*\0\x08\0\0\0" + first + second + thumbnail
    picture = load(encode(GRADIENT, "JPEG", exif=exif))
    kept = Image.Exif()
    kept.load(picture.exif)
    assert dict(kept) == {0x010F: "Abc"}
    assert b"\xff\xd8" not in picture.exif


@pytest.mark.parametrize(
    "broken", [b"Exif\0\0junk", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM"]
)
@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_broken_exif_does_not_lose_the_photo(broken):
    data = encode(GRADIENT, "JPEG", exif=broken)
    assert load(data).rgb.shape == GRADIENT.shape
    assert images.decode_crop(data, 16, 16, (0, 0), False).shape == (16, 16, 3)


@pytest.mark.parametrize("broken", [b"Exif\0\0II*\0", b"junk"])
def test_exif_that_cannot_be_read_at_all(broken):
    """In a PNG Pillow raises for it, where in a JPEG it warns."""
    picture = load(encode(GRADIENT, exif=broken))
    np.testing.assert_array_equal(picture.rgb, GRADIENT)
    assert (picture.exif, picture.notes) == (None, ("EXIF cannot be read, left out",))


def test_too_long_exif_is_left_out_and_noted():
    exif = exif_with(1)
    exif[0x010E] = "x" * 65_100
    picture = load(encode(GRADIENT, "PNG", exif=exif))
    assert picture.exif is None
    assert picture.notes == ("EXIF too long, left out",)


# --- Bad files -----------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.02, 0.5, 0.97])
@pytest.mark.parametrize(
    ("file_format", "options"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("PNG", {}),
        ("GIF", {}),
        ("WEBP", {}),
        ("BMP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("AVIF", {}),
        ("HEIF", {}),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_truncated_file(file_format, options, share):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = encode(noise, file_format, **options)
    for read in (load, lambda data: images.decode_crop(data, 16, 20, (0, 0), False)):
        with pytest.raises(ImageError, match=r"damaged or incomplete|not an image") as error:
            read(data[: int(len(data) * share)])
        one_line(error)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    "file_format", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF", "HEIF"]
)
def test_flipped_bytes_are_read_or_end_in_an_image_error(file_format):
    rng = np.random.default_rng(1)
    data = np.frombuffer(encode(GRADIENT, file_format), np.uint8)
    for _ in range(60):
        spoiled = data.copy()
        spoiled[rng.integers(0, min(len(data), 400), 3)] = rng.integers(0, 256, 3)
        # What it makes of them is open; anything but an ImageError fails the test.
        with contextlib.suppress(ImageError):
            assert load(spoiled.tobytes()).rgb.ndim == 3


@pytest.mark.parametrize(
    "data",
    [
        b"hello\n",
        b"\0" * 1000,
        b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        b"%!PS-Adobe-3.0 EPSF-3.0",
    ],
)
def test_not_an_image(tmp_path, data):
    (tmp_path / "a.jpg").write_bytes(data)
    with pytest.raises(ImageError, match=r"a\.jpg: is not an image that can be read") as error:
        images.load_picture(tmp_path / "a.jpg")
    one_line(error)


@pytest.mark.parametrize(
    "raised", [MemoryError(), struct.error("x"), EOFError(), SyntaxError("a\nb")]
)
def test_whatever_the_decoder_raises_becomes_an_image_error(monkeypatch, raised):
    def fail(*args, **kwargs):
        raise raised

    monkeypatch.setattr(Image, "open", fail)
    with pytest.raises(ImageError, match="memory: ") as error:
        load(b"x")
    one_line(error)


@pytest.mark.parametrize("side", [17_000, 30_000])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_bomb_is_refused_before_it_is_decoded(side):
    # It has no pixels at all: decoded, it would be called damaged.
    with pytest.raises(ImageError, match="more than 250 million pixels"):
        load(png(side, side, 8, 2, []))


def test_large_picture_below_the_limit_does_not_warn_and_the_limit_is_put_back():
    before = Image.MAX_IMAGE_PIXELS
    for side in (10_000, 15_000):  # Pillow would warn of the one and refuse the other.
        assert side**2 > before * (1 if side == 10_000 else 2)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert images.count_pixels("memory", png(side, side, 8, 2, [])) == side**2
    assert before == Image.MAX_IMAGE_PIXELS


def test_the_limit_is_put_back_when_threads_overlap():
    before = Image.MAX_IMAGE_PIXELS
    inside, leave = threading.Event(), threading.Event()

    def hold():
        with images.own_pixel_limit():
            inside.set()
            leave.wait(5)

    thread = threading.Thread(target=hold)
    thread.start()
    assert inside.wait(5)
    with images.own_pixel_limit():
        leave.set()
        thread.join()
        assert Image.MAX_IMAGE_PIXELS == images.MAX_PIXELS
    assert before == Image.MAX_IMAGE_PIXELS != images.MAX_PIXELS


# --- Arrays --------------------------------------------------------------------------------------


def test_load_rgb_is_float_over_white():
    rgba = np.dstack([GRADIENT, np.full(GRADIENT.shape[:2], 51, np.uint8)])
    rgb = images.load_rgb("memory", data=encode(rgba))
    assert rgb.dtype == np.float32
    np.testing.assert_allclose(rgb, GRADIENT * 0.2 + 255 * 0.8, atol=0.501)


@pytest.mark.parametrize(("max_side", "shape"), [(18, (12, 18)), (72, (48, 72)), (36, (24, 36))])
def test_load_rgb_scales_the_long_side(max_side, shape):
    assert images.load_rgb("memory", max_side, encode(GRADIENT)).shape == (*shape, 3)


def test_load_rgb_of_a_ribbon_keeps_a_pixel():
    ribbon = np.zeros((1, 400, 3), np.uint8)
    assert images.load_rgb("memory", 40, encode(ribbon)).shape == (1, 40, 3)


def test_over_white():
    rgb = np.array([[[0, 100, 255]] * 3], np.uint8)
    result = images.over_white(rgb, np.array([[0, 128, 255]], np.uint8))
    np.testing.assert_array_equal(result[0], [[255, 255, 255], [127, 177, 255], [0, 100, 255]])
    assert images.over_white(rgb, None) is rgb


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_resize_averages_when_it_scales_down(dtype):
    stripes = np.zeros((64, 64, 3), dtype)
    stripes[:, ::2] = 200
    small = images.resize(stripes, 16, 20)
    assert small.shape == (16, 20, 3)
    assert small.dtype == dtype
    np.testing.assert_allclose(small[4:-4, 4:-4].astype(float), 100, atol=15)


def test_resize_of_floats_is_exact_and_does_not_overshoot():
    step = np.full((10, 10, 3), -3.25, np.float32)
    step[:, 5:] = 300.5
    large = images.resize(step, 40, 50)
    assert (large.min(), large.max()) == (np.float32(-3.25), np.float32(300.5))
    assert images.resize(step[..., 0], 5, 7).shape == (5, 7)


def smooth(height, width):
    """A picture that tells where a pixel of it lies: red is its row, green its column, 0 to 255."""
    rows, columns = np.mgrid[:height, :width]
    picture = np.zeros((height, width, 3))
    picture[..., 0] = rows * 255 / (height - 1)
    picture[..., 1] = columns * 255 / (width - 1)
    return np.rint(picture).astype(np.uint8)


@pytest.mark.parametrize(("height", "width"), [(120, 200), (200, 120), (50, 50), (900, 1500)])
@pytest.mark.parametrize("file_format", ["PNG", "JPEG"])
def test_decode_crop_geometry(file_format, height, width):
    options = {"quality": 95, "subsampling": 0} if file_format == "JPEG" else {}
    data = encode(smooth(height, width), file_format, **options)
    size, resize_to = 48, 60
    side = size * min(height, width) / resize_to
    for position in [(0, 0), (0.9999, 0.9999), (0, 0.5)]:
        crop = images.decode_crop(data, size, resize_to, position, False).astype(float)
        assert crop.shape == (size, size, 3)
        for axis, (full, at) in enumerate(zip((height, width), position, strict=True)):
            line = crop[24, :, 1] if axis else crop[:, 24, 0]
            start = (full - side) * at
            centres = start + (np.arange(size) + 0.5) * side / size - 0.5
            np.testing.assert_allclose(line, centres * 255 / (full - 1), atol=5)


def test_decode_crop_flips_the_same_window():
    data = encode(smooth(80, 130))
    plain = images.decode_crop(data, 32, 40, (0.3, 0.7), False)
    flipped = images.decode_crop(data, 32, 40, (0.3, 0.7), True)
    np.testing.assert_array_equal(flipped, plain[:, ::-1])
    assert not np.array_equal(flipped, plain)


def test_decode_crop_of_the_whole_square_keeps_every_pixel():
    picture = smooth(40, 40)
    crop = images.decode_crop(encode(picture), 40, 40, (0.9, 0.9), False)
    np.testing.assert_array_equal(crop, picture)


@pytest.mark.parametrize(("resize_to", "size"), [(120, (160, 120)), (121, (320, 240))])
def test_decode_crop_decodes_large_jpegs_at_reduced_scale(resize_to, size):
    noise = np.random.default_rng(0).integers(0, 256, (960, 1280, 3), dtype=np.uint8)
    data = encode(noise, "JPEG")
    found = images.decode_crop(data, 100, resize_to, (0, 0), False)
    # Noise looks different at every scale at which it is decoded.
    for scale in ((160, 120), (320, 240), (640, 480), (1280, 960)):
        with Image.open(io.BytesIO(data)) as image:
            image.draft(None, scale)
            assert image.size == scale
            wanted = images.crop(np.asarray(image), 100, resize_to, (0, 0), False)
        assert np.array_equal(found, wanted) == (scale == size)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "1", "I;16", "F"])
def test_decode_crop_takes_every_mode(mode):
    image = Image.new("F", (40, 30), 0.5) if mode == "F" else Image.new("L", (40, 30), 255)
    image = image if mode == "F" else image.convert(mode)
    crop = images.decode_crop(encode(image, "TIFF"), 16, 20, (0.5, 0.5), False)
    assert crop.shape == (16, 16, 3)
    assert crop.dtype == np.uint8
    assert crop.flags.writeable


def test_decode_crop_lays_transparency_over_white():
    crop = images.decode_crop(encode(Image.new("RGBA", (40, 30), (9, 9, 9, 0))), 16, 16, (0, 0), 0)
    assert (crop == 255).all()


def test_decode_crop_refuses_what_it_cannot_use():
    with pytest.raises(ImageError, match=r"b\.png: 40 x 15 px is too small"):
        images.decode_crop(encode(GRADIENT[:15, :1].repeat(40, 1)), 16, 16, (0, 0), False, "b.png")
    assert images.decode_crop(encode(smooth(16, 40)), 32, 32, (0, 0), False).shape == (32, 32, 3)
    with pytest.raises(ValueError, match="does not fit"):
        images.decode_crop(encode(GRADIENT), 32, 31, (0, 0), False)


# --- Writing -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suffix", "tolerance"),
    [
        (".png", 0),
        (".bmp", 0),
        (".tif", 0),
        (".TIFF", 0),
        (".jpg", 12),
        (".JPEG", 12),
        (".webp", 20),
        (".avif", 20),
    ],
)
def test_save_and_load_again(tmp_path, suffix, tolerance):
    path = tmp_path / "new" / "folder" / f"a{suffix}"
    images.save_picture(path, GRADIENT)
    np.testing.assert_allclose(images.load_picture(path).rgb.astype(int), GRADIENT, atol=tolerance)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_save_gif(tmp_path):
    images.save_picture(tmp_path / "a.gif", GRADIENT)
    assert images.load_picture(tmp_path / "a.gif").rgb.shape == GRADIENT.shape


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp", ".avif"])
def test_alpha_and_the_colours_under_it_survive(tmp_path, suffix):
    alpha = np.where(GRADIENT[..., 0] > 100, 255, 0).astype(np.uint8)
    images.save_picture(tmp_path / f"a{suffix}", GRADIENT, alpha, quality=95)
    picture = images.load_picture(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(picture.alpha, alpha)
    tolerance = 20 if suffix in (".webp", ".avif") else 0
    np.testing.assert_allclose(picture.rgb.astype(int), GRADIENT, atol=tolerance)


@pytest.mark.parametrize("suffix", [".jpg", ".bmp"])
def test_formats_without_alpha_get_white(tmp_path, suffix):
    images.save_picture(tmp_path / f"a{suffix}", GRADIENT, np.zeros(GRADIENT.shape[:2], np.uint8))
    assert (images.load_picture(tmp_path / f"a{suffix}").rgb >= 254).all()


def test_floats_are_rounded_and_clipped(tmp_path):
    rgb = np.array([[[-20, 0.4, 0.6]], [[254.6, 300, 99.5]]], np.float32)
    images.save_picture(tmp_path / "a.png", rgb)
    saved = images.load_picture(tmp_path / "a.png").rgb
    np.testing.assert_array_equal(saved[:, 0], [[0, 0, 1], [255, 255, 100]])
    with pytest.raises(ValueError, match="NaN"):
        images.save_picture(tmp_path / "b.png", rgb * np.nan)


def test_jpeg_keeps_colour_at_full_resolution(tmp_path):
    images.save_picture(tmp_path / "a.jpg", GRADIENT, quality=70)
    with Image.open(tmp_path / "a.jpg") as image:
        assert all(layer[1:3] == (1, 1) for layer in image.layer)
    images.save_picture(tmp_path / "b.jpg", GRADIENT, quality=98)
    assert (tmp_path / "b.jpg").stat().st_size > (tmp_path / "a.jpg").stat().st_size


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".avif", ".tif"])
def test_exif_survives_saving_and_is_turned_once_only(tmp_path, suffix):
    exif = exif_with(6)
    exif.get_ifd(0x8769)[0x9003] = "2020:01:02 03:04:05"
    exif.get_ifd(0x8825)[2] = (48.0, 8.0, 30.5)
    data = encode(GRADIENT, "JPEG", exif=exif)
    source = images.load_picture("memory", data, keep_private=True)
    images.save_picture(tmp_path / f"a{suffix}", source.rgb, exif=source.exif)
    again = images.load_picture(tmp_path / f"a{suffix}", keep_private=True)
    assert again.rgb.shape == source.rgb.shape == (36, 24, 3)
    exif = Image.Exif()
    exif.load(again.exif)
    assert exif[0x010F] == "Maker"
    assert exif.get_ifd(0x8769)[0x9003] == "2020:01:02 03:04:05"
    assert exif.get_ifd(0x8825)[2] == (48.0, 8.0, 30.5)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".avif", ".tif"])
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_names_in_exif_keep_their_letters(tmp_path, suffix, encoding):
    exif = Image.Exif()
    exif[0x013B] = exif[0x8298] = "© Jörg".encode(encoding)
    source = images.load_picture("memory", encode(GRADIENT, "JPEG", exif=exif))
    images.save_picture(tmp_path / f"a{suffix}", source.rgb, exif=source.exif)
    with Image.open(tmp_path / f"a{suffix}") as saved:
        found = saved.getexif()
    for tag in (0x013B, 0x8298):  # Pillow reads all as Latin-1.
        assert found[tag].encode("latin-1").decode(encoding) == "© Jörg"


@pytest.mark.parametrize("suffix", [".bmp", ".gif"])
def test_formats_without_exif_ignore_it(tmp_path, suffix):
    images.save_picture(tmp_path / f"a{suffix}", GRADIENT, exif=exif_with(1).tobytes())
    assert images.load_picture(tmp_path / f"a{suffix}").exif is None


def test_unknown_suffix_names_the_known(tmp_path):
    for name in ("a.xyz", "a"):
        with pytest.raises(ImageError, match=r"use one of .*\.jpg .*\.webp") as error:
            images.save_picture(tmp_path / name, GRADIENT)
        one_line(error)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("suffix", "longest"), [("jpg", 65_500), ("webp", 16_383), ("avif", 32_768), ("gif", 65_535)]
)
def test_what_a_format_cannot_hold(tmp_path, suffix, longest):
    path = tmp_path / f"wide.{suffix}"
    images.save_picture(path, np.zeros((1, longest, 3), np.uint8))
    assert images.load_picture(path).rgb.shape == (1, longest, 3)
    path.unlink()
    with pytest.raises(ImageError, match=r"wide\.\w+: cannot be written: .* a side") as error:
        images.save_picture(path, np.zeros((longest + 1, 1, 3), np.uint8))
    one_line(error)
    assert list(tmp_path.iterdir()) == []


def test_full_disk_leaves_the_old_picture_and_no_litter(tmp_path, fill_disk_at):
    path = tmp_path / "a.png"
    images.save_picture(path, GRADIENT)
    before = path.read_bytes()

    fill_disk_at(lambda full: full == path)
    with pytest.raises(ImageError, match=r"a\.png: cannot be written: No space left") as error:
        images.save_picture(path, 255 - GRADIENT)
    one_line(error)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs a read-only folder")
def test_read_only_and_misplaced_targets(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "folder.jpg").mkdir()
    for path, says in [
        ("/proc/self/a.png", "cannot be written"),
        (tmp_path / "file" / "a.png", "cannot be written"),
        (tmp_path / "folder.jpg", "is a folder"),
    ]:
        with pytest.raises(ImageError, match=says) as error:
            images.save_picture(path, GRADIENT)
        one_line(error)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "folder.jpg"]


@pytest.mark.parametrize("raised", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_atomic_file_stays_old_when_the_block_fails(tmp_path, raised):
    path = tmp_path / "a.weights.h5"
    path.write_text("old")

    def fail():
        with files.atomic_path(path) as temporary:
            temporary.write_text("half")
            assert (temporary.parent, temporary.name[0]) == (tmp_path, ".")
            assert temporary.name.endswith(".weights.h5")
            raise raised

    with pytest.raises(raised):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_atomic_file_replaces_the_old_one(tmp_path):
    path = tmp_path / "new" / "a.txt"
    for text in ("one", "two"):
        with files.atomic_path(path) as temporary:
            temporary.write_text(text)
            assert not path.exists() or path.read_text() == "one"
        assert path.read_text() == text
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("name", ["x" * 240 + ".jpg", "v1." + "2." * 120 + "jpg"])
def test_atomic_path_takes_the_longest_names(tmp_path, name):
    images.save_picture(tmp_path / name, GRADIENT)
    assert (tmp_path / name).exists()


def test_atomic_path_of_which_nothing_was_written(tmp_path):
    with pytest.raises(FileNotFoundError), files.atomic_path(tmp_path / "a"):
        pass
    assert list(tmp_path.iterdir()) == []


def fill(folder, text):
    (folder / "variables").mkdir(parents=True)
    (folder / "variables" / "data").write_text(text)


def test_atomic_folder_replaces_the_old_one_whole(tmp_path):
    path = tmp_path / "saved_model"
    for text in ("one", "two"):
        with files.atomic_path(path) as temporary:
            fill(temporary, text)
        assert (path / "variables" / "data").read_text() == text
        (path / "of the old one").touch()
    with files.atomic_path(path) as temporary:
        temporary.mkdir()
    assert list(path.iterdir()) == []
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("stopped_after", "text"), [(1, "old"), (2, "new")])
def test_a_folder_is_there_when_its_replacement_is_interrupted(
    tmp_path, monkeypatch, stopped_after, text
):
    fill(tmp_path / "a", "old")
    rename, done = os.rename, []

    def interrupted(source, target):
        rename(source, target)
        done.append(target)
        if len(done) == stopped_after:
            raise KeyboardInterrupt

    monkeypatch.setattr(os, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt), files.atomic_path(tmp_path / "a") as temporary:
        fill(temporary, "new")
    assert (tmp_path / "a" / "variables" / "data").read_text() == text


def test_atomic_folder_stays_old_when_the_block_or_the_swap_fails(tmp_path, monkeypatch):
    path = tmp_path / "saved_model"
    fill(path, "old")

    def fail():
        with files.atomic_path(path) as temporary:
            fill(temporary, "half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    rename = os.rename

    def fail_on_the_second(source, target):
        if Path(target) == path and not Path(source).name.endswith(".old"):
            raise OSError(errno.EIO, "broken")
        rename(source, target)

    monkeypatch.setattr(os, "rename", fail_on_the_second)
    with pytest.raises(OSError, match="broken"), files.atomic_path(path) as temporary:
        fill(temporary, "new")
    assert (path / "variables" / "data").read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_atomic_folder_takes_the_place_of_a_file_and_of_a_link(tmp_path):
    kept = tmp_path / "kept"
    fill(kept, "kept")
    (tmp_path / "link").symlink_to(kept)
    (tmp_path / "file").touch()
    for name in ("link", "file"):
        with files.atomic_path(tmp_path / name) as temporary:
            fill(temporary, "new")
        assert (tmp_path / name / "variables" / "data").read_text() == "new"
    assert (kept / "variables" / "data").read_text() == "kept"


def test_remove_litter_takes_only_what_was_never_finished(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.jpg").touch()
    (tmp_path / "deep" / ".hidden").touch()
    for name in (".fst-0123456789ab.jpg", ".fst-ba9876543210"):
        fill(tmp_path / name, "half")
        (tmp_path / "deep" / name).touch()
    files.remove_litter(tmp_path)
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*"))
    assert left == ["deep", "deep/.hidden", "deep/a.jpg"]


# --- Folders -------------------------------------------------------------------------------------


def test_find_images(tmp_path):
    for name in ["b.JPG", "a.png", "sub/c.WebP", "sub/d.txt", ".hid.jpg", ".hidden/e.jpg", "no"]:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (tmp_path / "folder.jpg").mkdir()

    def names(**options):
        return [
            str(path.relative_to(tmp_path)) for path in folders.find_images(tmp_path, **options)
        ]

    assert names() == ["a.png", "b.JPG", "sub/c.WebP"]
    assert names(recursive=False) == ["a.png", "b.JPG"]
    assert folders.find_images(str(tmp_path / "folder.jpg")) == []
    assert folders.find_images(tmp_path / ".hidden") == [tmp_path / ".hidden" / "e.jpg"]


def test_find_images_survives_link_loops_and_follows_links(tmp_path):
    (tmp_path / "photos" / "sub").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "photos" / "sub" / "a.jpg").touch()
    (tmp_path / "elsewhere" / "b.jpg").touch()
    (tmp_path / "photos" / "sub" / "loop").symlink_to(tmp_path / "photos")
    (tmp_path / "photos" / "linked").symlink_to(tmp_path / "elsewhere")
    found = folders.find_images(tmp_path / "photos")
    assert [path.name for path in found] == ["b.jpg", "a.jpg"]


def begun_as(file_format, **options):
    """The bytes of a small picture in a format, to be called by a name that does not tell it."""
    if file_format == "HEIF":
        return encode(GRADIENT, "HEIF")
    return encode(GRADIENT, file_format, **options)


@pytest.mark.parametrize(
    "file_format", ["JPEG", "MPO", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF", "HEIF"]
)
@pytest.mark.parametrize("name", ["photo", "photo.dat", "photo.jpg~", "IMG_1.JPG_original"])
def test_a_picture_is_found_by_what_it_is(tmp_path, file_format, name):
    path = tmp_path / name
    path.write_bytes(begun_as(file_format))
    assert folders.look_through(tmp_path) == ([path], [])
    assert images.load_picture(path).rgb.shape == GRADIENT.shape


@pytest.mark.parametrize("name", ["a.jfif", "a.JPE", "a.mpo", "a.pjpeg", "a.apng", "a.dib"])
def test_unusual_suffixes_are_pictures_unopened(tmp_path, name):
    (tmp_path / name).touch()
    assert folders.look_through(tmp_path) == ([tmp_path / name], [])


def test_the_page_takes_the_same_names():
    from fst.page import uploads

    assert {f".{kind}" for kind in uploads.TYPES} == images.EXTENSIONS
    assert {"jpg", "jfif", "jpe", "mpo", "heic"} <= set(uploads.TYPES)


def test_what_is_no_picture_is_left_out_and_told(tmp_path):
    others = {
        "a.txt": b"BMW and Mercedes",
        "b.mp4": b"\0\0\0\x20ftypisom",
        "c.wav": b"RIFF\0\0\0\0WAVEfmt ",
        "d.dng": write_tiff(np.zeros((9, 9, 3)), 8, RGB, tags=[(50706, "I", [1])]),
        "e.nef": write_tiff(np.zeros((9, 9, 3)), 8, RGB, tags=[(254, "I", [1]), (330, "I", [8])]),
        "f.tfw": b"II*\0",
        "g": b"",
    }
    for name, data in others.items():
        (tmp_path / name).write_bytes(data)
    os.mkfifo(tmp_path / "h")  # Opened, it would keep the reader for ever.
    (tmp_path / "i").symlink_to("/dev/zero")
    (tmp_path / "j").symlink_to(tmp_path / "nowhere")
    (tmp_path / ".hidden").touch()
    found, left_out = folders.look_through(tmp_path)
    assert found == []
    assert [path.name for path in left_out] == [*others, "h", "i", "j"]
    told = f"{tmp_path}: 10 files are no pictures, left out: a.txt, b.mp4, c.wav, ..."
    assert folders.left_out_words(left_out, tmp_path) == told
    assert folders.left_out_words(left_out[:1], tmp_path).endswith(
        "1 file is no picture, left out: a.txt"
    )


def test_only_files_of_unknown_names_are_opened(tmp_path, monkeypatch):
    opened, open_regular = [], files.open_regular
    monkeypatch.setattr(files, "open_regular", lambda p: opened.append(p.name) or open_regular(p))
    for name in ("a.jpg", "b.tif", "c.heic", "d.txt", "e.jpg"):
        (tmp_path / name).touch()
    folders.look_through(tmp_path)
    assert opened == ["d.txt"]


def test_find_images_in_no_folder(tmp_path):
    (tmp_path / "a.jpg").touch()
    with pytest.raises(UserError, match="no such folder"):
        folders.find_images(tmp_path / "missing")
    with pytest.raises(UserError, match="is not a folder"):
        folders.find_images(tmp_path / "a.jpg")


def test_import_is_light():
    heavy = "('requests', 'keras')"
    code = f"import sys, fst.media.images; sys.exit(any(m in sys.modules for m in {heavy}))"
    assert os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", code]) == 0
