"""infer.py as a user meets it: inputs, names, formats, mistakes and interruptions."""

import dataclasses
import functools
import http.server
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import forks
import numpy as np
import pillow_heif
import pytest
from conftest import ROOT, draw_photo, files, pixels, run, run_here, wait_for, without_progress
from PIL import Image, ImageCms

import fst
from fst import collection
from fst.batch import command as infer
from fst.batch import inference, plan
from fst.config import InferenceConfig
from fst.errors import UserError, flag_of
from fst.media import images
from fst.stylize import look
from fst.stylize.stylizer import SharedNetwork, Stylizer, load_all

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def load_once():
    """`fst.load`, which builds each style only once for all tests."""
    return functools.cache(fst.load)


@pytest.fixture(scope="session")
def load_all_once():
    """`load_all`, which makes the networks of the same styles ready only once for all tests."""
    kept = {}

    def load(trained, engine, precision="float32"):
        key = (engine, precision, *(f"{name} {style.folder}" for name, style in trained.items()))
        if key not in kept:
            kept[key] = load_all(trained, engine, precision)
        return kept[key]

    return load


@pytest.fixture(scope="session")
def waves(load_once, styles):
    return load_once("waves", str(styles))


@pytest.fixture
def stylise(styles, load_once, loading, monkeypatch, capsys):
    """Runs `infer.py waves ARGUMENTS...` in this process, which has TensorFlow already."""

    def load_all(trained, engine, precision):
        return {n: load_once(style.folder, "", engine, precision) for n, style in trained.items()}

    loading.by = load_all
    before = signal.getsignal(signal.SIGTERM)

    def call(*arguments):
        # The engine that the tests' own pictures are made with: they are compared to the bit.
        engine = () if "--engine" in arguments else ("--engine", "tensorflow")
        command = ["infer.py", "waves", "--checkpoints", styles, *engine, *arguments]
        return run_here(infer.main, command, monkeypatch, capsys)

    yield call
    signal.signal(signal.SIGTERM, before)


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path_factory):
    """The address of a server of the photos `sea.png` and, without a suffix, `sea`."""
    folder = tmp_path_factory.mktemp("served")
    write(folder / "sea.png", 5)
    (folder / "sea").write_bytes((folder / "sea.png").read_bytes())
    handler = functools.partial(QuietHandler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{found.server_address[1]}"
        found.shutdown()


def write(path, seed=0, height=40, width=56, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(draw_photo(seed, height, width)).save(path, **options)
    return path


# --- One photo -----------------------------------------------------------------------------------


def test_one_photo_to_a_file_in_a_new_folder(stylise, waves, tmp_path):
    photo, output = write(tmp_path / "a.png"), tmp_path / "deep" / "er" / "b.png"
    done = stylise(photo, "-o", output)
    assert (done.code, done.err) == (0, "")
    assert done.out == f"1 of 1 stylised into {output}\n"
    np.testing.assert_array_equal(pixels(output), waves(pixels(photo)))
    assert np.abs(pixels(output).astype(int) - pixels(photo)).mean() > 5
    assert files(tmp_path) == ["a.png", "deep/er/b.png"]


@pytest.mark.parametrize("output", ["folder", "folder/", "there.jpg"])
def test_one_photo_to_a_folder(stylise, tmp_path, output):
    photo = write(tmp_path / "in" / "a.png")
    (tmp_path / "there.jpg").mkdir()
    assert stylise(photo, "--output", f"{tmp_path}/{output}").code == 0
    assert files(tmp_path / output) == ["a.png"]


@pytest.mark.parametrize(
    ("suffix", "file_format"),
    [(".jpg", "JPEG"), (".JPEG", "JPEG"), (".tiff", "TIFF")]
    + [(f".{name.lower()}", name) for name in ("PNG", "WEBP", "AVIF", "BMP", "GIF")],
)
def test_suffix_of_the_output_file_decides_the_format(stylise, tmp_path, suffix, file_format):
    output = tmp_path / f"b{suffix}"
    assert stylise(write(tmp_path / "a.png"), "-o", output).code == 0
    with Image.open(output) as image:
        assert image.format == file_format
        assert image.size == (56, 40)


SIZES = [(1, 1), (1, 40), (15, 2), (15, 15), (16, 17), (33, 47), (64, 61)]


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_every_size_keeps_it(stylise, waves, tmp_path, height, width):
    photo = write(tmp_path / "a.png", 3, height, width)
    assert stylise(photo, "-o", tmp_path / "b.png").code == 0
    assert pixels(tmp_path / "b.png").shape == (height, width, 3)
    np.testing.assert_array_equal(pixels(tmp_path / "b.png"), waves(pixels(photo)))


def test_max_size_scales_down_but_never_up(stylise, tmp_path):
    photo = write(tmp_path / "a.png", 1, 30, 90)
    for limit, size in ((45, (45, 15)), (90, (90, 30)), (500, (90, 30)), (0, (90, 30))):
        assert stylise(photo, "-o", tmp_path / "b.png", "--max-size", limit).code == 0
        with Image.open(tmp_path / "b.png") as image:
            assert image.size == size


def test_quality_changes_the_size_of_the_file(stylise, tmp_path):
    photo, sizes = write(tmp_path / "a.png", 1, 120, 120), []
    for suffix in ("jpg", "webp", "avif"):
        for quality in (10, 95):
            output = tmp_path / f"b{quality}.{suffix}"
            assert stylise(photo, "-o", output, "--quality", quality).code == 0
            sizes.append(output.stat().st_size)
    assert sizes[0] < sizes[1] / 2
    assert sizes[2] < sizes[3] / 2
    assert sizes[4] < sizes[5] / 2


# --- What photos hold ----------------------------------------------------------------------------


def test_transparency_is_kept_where_the_format_can(stylise, waves, tmp_path):
    rgba = np.dstack([draw_photo(2, 40, 40), np.full((40, 40), 255, np.uint8)])
    rgba[:, :10] = (0, 0, 0, 0)
    Image.fromarray(rgba).save(tmp_path / "a.png")
    seen = rgba[..., :3].copy()
    seen[:, :10] = 255
    for name in ("b.png", "b.jpg"):
        assert stylise(tmp_path / "a.png", "-o", tmp_path / name, "--quality", 100).code == 0
    with Image.open(tmp_path / "b.png") as image:
        assert image.mode == "RGBA"
        result = np.asarray(image)
    np.testing.assert_array_equal(result[..., 3], rgba[..., 3])
    np.testing.assert_array_equal(result[..., :3], waves(seen))
    with Image.open(tmp_path / "b.jpg") as image:
        assert image.mode == "RGB"
        assert np.asarray(image)[:, :8].min() > 245

    assert stylise(tmp_path / "a.png", "-o", tmp_path / "c.png", "--max-size", 20).code == 0
    with Image.open(tmp_path / "c.png") as image:
        alpha = np.asarray(image.getchannel("A"))
    assert alpha.shape == (20, 20)
    assert alpha[:, :3].max() < 4
    assert alpha[:, 8:].min() > 251


def test_turned_photo_comes_out_upright_with_its_exif(stylise, waves, tmp_path):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Maker"
    write(tmp_path / "a.jpg", 4, 40, 64, exif=exif)
    assert stylise(tmp_path / "a.jpg", "-o", tmp_path / "b.png").code == 0
    with Image.open(tmp_path / "b.png") as image:
        assert image.size == (40, 64)
        assert image.getexif()[0x010F] == "Maker"
        assert image.getexif().get(0x0112, 1) == 1
    upright = np.rot90(pixels(tmp_path / "a.jpg"), -1)
    np.testing.assert_array_equal(pixels(tmp_path / "b.png"), waves(upright))


def test_grey_palette_cmyk_and_16_bit(stylise, tmp_path):
    photo = Image.fromarray(draw_photo(6, 32, 48))
    inputs = tmp_path / "in"
    inputs.mkdir()
    photo.convert("L").save(inputs / "grey.png")
    photo.convert("P").save(inputs / "palette.gif")
    photo.convert("CMYK").save(inputs / "cmyk.jpg")
    photo.convert("1").save(inputs / "bits.tif")
    photo.save(inputs / "plain.bmp")
    deep = np.asarray(photo.convert("L")).astype(np.uint16) * 257
    Image.fromarray(deep).save(inputs / "deep.png")
    done = stylise(inputs, "-o", tmp_path / "out")
    assert done.code == 0
    expected = ["bits.tif", "cmyk.jpg", "deep.png", "grey.png", "palette.png", "plain.bmp"]
    assert files(tmp_path / "out") == expected
    for name in expected:
        assert pixels(tmp_path / "out" / name).shape == (32, 48, 3)
    np.testing.assert_array_equal(
        *(pixels(tmp_path / "out" / f"{n}.png") for n in ("grey", "deep"))
    )


def place_of(path):
    with Image.open(path) as image:
        return image.getexif().get_ifd(0x8825).get(1), image.getexif().get(0x8298)


def test_place_is_kept_on_request_only(stylise, tmp_path):
    exif = Image.Exif()
    exif[0x8298], exif.get_ifd(0x8825)[1] = "(c) Ann", "N"
    write(tmp_path / "a.jpg", 4, exif=exif)
    for suffix in ("jpg", "png", "webp", "tif"):
        output = tmp_path / f"b.{suffix}"
        assert stylise(tmp_path / "a.jpg", "-o", output).code == 0
        assert place_of(output) == (None, "(c) Ann")
        assert stylise(tmp_path / "a.jpg", "-o", output, "--keep-metadata").code == 0
        assert place_of(output) == ("N", "(c) Ann")


PROFILE = "colour profile 'Wide built-in' converted to sRGB"


def wide_profile():
    """The bytes of a colour profile that is called otherwise than sRGB."""
    plain = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return plain.replace("sRGB".encode("utf-16-be"), "Wide".encode("utf-16-be"))


def test_conversion_of_a_colour_profile_is_said(stylise, tmp_path):
    photo = write(tmp_path / "a.png", icc_profile=wide_profile())
    done = stylise(photo, "-o", tmp_path / "b.png")
    assert (done.code, done.err) == (0, f"note: {photo}: {PROFILE}\n")
    with Image.open(tmp_path / "b.png") as image:
        assert "icc_profile" not in image.info


def test_notes_of_many_photos_are_counted(stylise, tmp_path):
    for index in range(5):
        write(tmp_path / "in" / f"{index}.png", index, 16, 16, icc_profile=wide_profile())
    frames = [Image.fromarray(draw_photo(seed, 16, 16)) for seed in range(2)]
    frames[0].save(tmp_path / "in" / "z.gif", save_all=True, append_images=frames[1:])
    done = stylise(tmp_path / "in", "-o", tmp_path / "out")
    assert done.err.splitlines() == [
        *(f"note: {tmp_path}/in/{index}.png: {PROFILE}" for index in range(3)),
        f"note: {tmp_path}/in/z.gif: animated, only its first picture is taken",
        f"note: 2 more: {PROFILE}",
    ]


# --- The look ------------------------------------------------------------------------------------


def look_at(stylise, photo, *options):
    """The picture that `infer.py` makes of a file with options."""
    output = photo.parent / "looked.png"
    assert stylise(photo, "-o", output, *options).code == 0
    return pixels(output)


def test_strength_from_the_photo_to_the_style(stylise, waves, tmp_path):
    photo = write(tmp_path / "a.png", 1, 33, 47)
    before, style = pixels(photo), waves(pixels(photo))
    np.testing.assert_array_equal(look_at(stylise, photo, "--strength", 0), before)
    np.testing.assert_array_equal(look_at(stylise, photo, "--strength", 1), style)
    half = look_at(stylise, photo, "--strength", 0.5)
    np.testing.assert_allclose(half, (before.astype(float) + style) / 2, atol=0.5)
    np.testing.assert_array_equal(half, waves(before, strength=0.5))


def test_preserve_color(stylise, waves, tmp_path):
    photo = write(tmp_path / "a.png", 1, 33, 47)
    result, style = look_at(stylise, photo, "--preserve-color"), waves(pixels(photo))
    luma = np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(result @ luma, style @ luma, atol=0.51)
    np.testing.assert_array_equal(result, look.with_colors_of(pixels(photo), style))
    np.testing.assert_array_equal(result, waves(pixels(photo), preserve_color=True))
    assert np.abs(result.astype(int) - style).max() > 10
    grey = tmp_path / "grey.png"
    Image.open(photo).convert("L").save(grey)
    np.testing.assert_array_equal(np.ptp(look_at(stylise, grey, "--preserve-color"), axis=-1), 0)


def test_scale(stylise, waves, tmp_path):
    photo = write(tmp_path / "a.png", 1, 33, 47)
    np.testing.assert_array_equal(look_at(stylise, photo, "--scale", 1), waves(pixels(photo)))
    for scale, size in ((2, (66, 94)), (0.5, (16, 24))):
        scaled = waves(images.resize(pixels(photo), *size))
        expected = images.resize(scaled, 33, 47)
        np.testing.assert_array_equal(look_at(stylise, photo, "--scale", scale), expected)
    assert look_at(stylise, photo, "--scale", 2, "--max-size", 20).shape == (14, 20, 3)


@pytest.mark.parametrize("option", ["sharpen", "contrast", "saturation"])
def test_finish(stylise, waves, tmp_path, option):
    photo = write(tmp_path / "a.png", 1, 33, 47)
    style = waves(pixels(photo))
    np.testing.assert_array_equal(look_at(stylise, photo, f"--{option}", 1), style)
    result = look_at(stylise, photo, f"--{option}", 1.8)
    np.testing.assert_array_equal(result, look.finish(style, **{option: 1.8}))
    assert not np.array_equal(result, style)


ALL_OF_IT = "--scale 1.5 --preserve-color --strength .6 --saturation 1.2 --contrast 1.1 --sharpen 2"


def test_order_of_the_look_and_alpha_under_all_of_it(stylise, waves, tmp_path):
    # From 1, since the colour of what is wholly transparent is taken for white.
    rgb, alpha = draw_photo(2, 33, 47), np.maximum(draw_photo(3, 33, 47)[..., 0], 1)
    photo = tmp_path / "a.png"
    Image.fromarray(np.dstack([rgb, alpha])).save(photo)
    result = look_at(stylise, photo, *ALL_OF_IT.split())
    scaled = look.at_scale(waves, rgb, 1.5)
    mixed = look.blend(rgb, look.with_colors_of(rgb, scaled), 0.6)
    np.testing.assert_array_equal(result, look.finish(mixed, 2, 1.1, 1.2))
    with Image.open(tmp_path / "looked.png") as image:
        np.testing.assert_array_equal(np.asarray(image.getchannel("A")), alpha)


@pytest.mark.parametrize("height", [16, 17, 31, 50, 63])
def test_every_size_is_kept_under_all_of_it(load_once, styles, tmp_path, height):
    style = {"waves": load_once("waves", str(styles))}
    options = {"scale": 0.7, "preserve_color": True, "strength": 0.5, "sharpen": 2.0}
    for width in range(16, 65, 7):
        photo = write(tmp_path / "a.png", 0, height, width)
        config = InferenceConfig("waves", (str(photo),), str(tmp_path / "b.png"), **options)
        inference.stylise_file(style, plan.Job(photo, tmp_path / "b.png"), config)
        assert pixels(tmp_path / "b.png").shape == (height, width, 3)


@pytest.mark.parametrize("option", ["scale", "strength", "saturation", "contrast", "sharpen"])
@pytest.mark.parametrize("value", [-0.1, 10.5, float("nan"), float("inf")])
def test_ranges_of_the_look(option, value):
    with pytest.raises(UserError, match=f"^{option} must be from .* to .*, not {value}"):
        InferenceConfig("waves", ("a.jpg",), "b.jpg", **{option: value})


def test_every_number_has_a_range():
    fields = dataclasses.fields(InferenceConfig)
    numbers = {field.name: field.type for field in fields if field.type in (int, float)}
    assert len(numbers) > 5
    for name, kind in numbers.items():
        for value in (-(10**9), *((float("nan"), float("inf")) if kind is float else ())):
            with pytest.raises(UserError, match=f"^{name} must be from "):
                InferenceConfig("waves", ("a.jpg",), "b.jpg", **{name: kind(value)})


@pytest.mark.parametrize("strength", [-1, 1.1, float("nan")])
def test_python_refuses_a_strength_out_of_range(waves, strength):
    with pytest.raises(ValueError, match="strength is from 0 to 1"):
        waves(draw_photo(0, 20, 20), strength=strength)


def test_python_looks_at_floats_unrounded(waves):
    photo = draw_photo(1, 21, 35).astype(np.float32) + 0.25
    np.testing.assert_array_equal(waves(photo, strength=0), photo)
    half = waves(photo, strength=0.5, preserve_color=True)
    assert half.dtype == np.float32
    assert not np.array_equal(half, np.rint(half))


# --- Styles of a gallery -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "in_python"),
    [
        ("dusk", "dusk"),
        ("gallery/moss", "gallery/moss"),
        ("dusk=0.7,reef=0.3", {"dusk": 0.7, "reef": 0.3}),
        ("sand", "sand"),
    ],
)
def test_a_style_of_a_gallery_is_used_as_any_other(
    gallery, monkeypatch, capsys, tmp_path, wanted, in_python
):
    photo = write(tmp_path / "a.png", 3)
    command = (wanted, photo, "-o", tmp_path / "b.png", "--checkpoints", gallery)
    done = run_infer(monkeypatch, capsys, *command)
    assert done == (0, f"1 of 1 stylised into {tmp_path / 'b.png'}\n", "")
    wanted = fst.load(in_python, gallery)(pixels(photo))
    np.testing.assert_array_equal(pixels(tmp_path / "b.png"), wanted)
    assert np.abs(wanted.astype(int) - pixels(photo)).mean() > 5


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["tensorflow", "openvino", "onnxruntime"])
def test_styles_that_share_a_network_paint_as_each_alone(gallery, load_once, load_all_once, engine):
    trained = collection.find_all(gallery)
    blend = collection.find("dusk=1,reef=2", gallery)
    # The blend is one of the styles of its gallery here, and not the last one that is loaded.
    together = load_all_once({"blend": blend, **trained}, engine)
    assert together.keys() == {"blend", *trained}
    photo = draw_photo(6, 45, 38)
    for name, style in {"blend": blend, "dusk": trained["dusk"], "sand": trained["sand"]}.items():
        wanted = "dusk=1,reef=2" if style is blend else name
        alone = load_once(wanted, str(gallery), engine)
        # In strips it is not the engine that computes.
        for options in ({}, {"tile": 16}):
            found = together[name](photo, **options).astype(int)
            assert np.abs(found - alone(photo, **options)).max() <= 1, (name, options)
    pictures = [style(photo) for style in together.values()]
    for index, picture in enumerate(pictures):
        others = pictures[:index]
        assert all(np.abs(picture.astype(int) - other).mean() > 1 for other in others)


def test_list_tells_of_every_style_in_a_line(gallery, no_tensorflow, tmp_path):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "style.json").write_text("{")
    for name in ("gallery", "sand", "moss"):
        shutil.copytree(gallery / name, tmp_path / name)
    done = run("infer.py", "--list", "--checkpoints", tmp_path, env=no_tensorflow)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [re.split(r" {2,}", line) for line in done.stdout.splitlines()]
    assert [line[0] for line in lines] == ["broken", "dusk", "gallery/moss", "moss", "reef", "sand"]
    broken, dusk, _, moss, *_ = lines
    whole = sum(path.stat().st_size for path in (tmp_path / "gallery").iterdir())
    share = f"0.8 kB of {whole / 1e6:.1f} MB"  # 400 numbers in half precision.
    assert dusk == ["dusk", str(tmp_path / "gallery"), share, "Nobody, Dusk, 1889"]
    assert moss[1] == str(tmp_path / "moss")
    assert moss[2] == f"{(gallery / 'moss' / 'network.weights.h5').stat().st_size / 1e6:.1f} MB"
    assert broken[2] == "0.0 kB"
    assert "style.json: is damaged" in broken[3]


def test_a_reader_of_the_list_may_leave_early(gallery):
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "infer.py", "--list", "--checkpoints", gallery]
    done = subprocess.run(command, cwd=ROOT, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


# --- Contact sheets ------------------------------------------------------------------------------


def run_infer(monkeypatch, capsys, *arguments):
    """Runs `infer.py ARGUMENTS...`, whatever the style, in this process."""
    command = ["infer.py", *arguments, "--engine", "tensorflow"]
    before = signal.getsignal(signal.SIGTERM)
    done = run_here(infer.main, command, monkeypatch, capsys)
    signal.signal(signal.SIGTERM, before)
    return done


def shows(sheet, picture, levels=0):
    """Whether `picture` stands somewhere in `sheet`, up to so many grey levels."""
    sheet, picture = sheet.astype(np.int16), picture.astype(np.int16)
    views = np.lib.stride_tricks.sliding_window_view(sheet[..., 0], picture.shape[1], axis=1)
    for row, column in np.argwhere((np.abs(views - picture[0, :, 0]) <= levels).all(-1)):
        found = sheet[row : row + len(picture), column : column + picture.shape[1]]
        if found.shape == picture.shape and np.abs(found - picture).max() <= levels:
            return True
    return False


def test_contact_sheet_shows_each_photo_in_all_styles(
    styles, load_once, monkeypatch, capsys, trip, tmp_path
):
    command = ("all", trip, "-o", tmp_path / "out", "--checkpoints", styles, "--contact-sheet")
    done = run_infer(monkeypatch, capsys, *command, "--recursive", "--format", "png")
    assert done == (0, f"3 of 3 stylised into {tmp_path / 'out'}\n", "")
    assert files(tmp_path / "out") == ["day1/noon/sun.png", "day1/sea.png", "start.png"]
    sheet, photo = pixels(tmp_path / "out/day1/sea.png"), pixels(trip / "day1/sea.png")
    for name in ("waves", "sand"):
        assert shows(sheet, load_once(name, str(styles))(photo))
    assert shows(sheet, photo)
    assert not shows(sheet, photo[::-1])


def test_contact_sheet_of_one_style_and_under_the_look(stylise, waves, tmp_path):
    photo = write(tmp_path / "a.png", 1, 40, 64)
    options = ("--contact-sheet", "--max-size", 32, "--strength", 0.5)
    sheet, small = look_at(stylise, photo, *options), images.resize(pixels(photo), 20, 32)
    assert shows(sheet, small)
    assert shows(sheet, waves(small, strength=0.5))


def test_contact_sheet_lies_over_white(stylise, tmp_path):
    rgba = np.dstack([draw_photo(2, 40, 40), np.full((40, 40), 0, np.uint8)])
    Image.fromarray(rgba).save(tmp_path / "a.png")
    assert (look_at(stylise, tmp_path / "a.png", "--contact-sheet")[-46:] == 255).all()
    with Image.open(tmp_path / "looked.png") as image:
        assert image.mode == "RGB"


@pytest.mark.slow
def test_contact_sheet_of_a_gallery(
    gallery, load_once, load_all_once, loading, monkeypatch, capsys, tmp_path
):
    loading.by = load_all_once
    photo = write(tmp_path / "a.png", 4, 32, 44)
    command = ("all", photo, "-o", tmp_path / "b.png", "--contact-sheet")
    done = run_infer(monkeypatch, capsys, *command, "--checkpoints", gallery)
    assert done.code == 0, done.err
    sheet = pixels(tmp_path / "b.png")
    for name in ("dusk", "gallery/moss", "moss", "reef", "sand"):
        picture = load_once(name, str(gallery), "tensorflow")(pixels(photo))
        # To a grey level, as the styles of a gallery are computed by one function.
        assert shows(sheet, picture, levels=1), name


@pytest.mark.slow
def test_contact_sheet_of_all_styles_is_no_larger_than_it_needs(
    gallery, load_all_once, loading, monkeypatch, capsys, tmp_path
):
    loading.by = load_all_once
    photo = write(tmp_path / "a.png", 4, 16, 1300)
    command = ("all", photo, "-o", tmp_path / "b.png", "--contact-sheet")
    for options, width in (((), 1024), (("--max-size", 1200), 1200)):
        done = run_infer(monkeypatch, capsys, *command, "--checkpoints", gallery, *options)
        assert done.code == 0, done.err
        assert 3 * width < pixels(tmp_path / "b.png").shape[1] < 3 * width + 60


def test_contact_sheet_without_styles_is_one_line(monkeypatch, capsys, tmp_path):
    photo = write(tmp_path / "a.png")
    command = ("all", photo, "-o", tmp_path / "b.png", "--contact-sheet")
    done = run_infer(monkeypatch, capsys, *command, "--checkpoints", tmp_path / "none")
    assert done == (2, "", f"error: there are no trained styles under {tmp_path}/none/\n")


# --- Several photos ------------------------------------------------------------------------------


@pytest.fixture
def trip(tmp_path):
    """A folder with photos of several sizes on two levels, a hidden photo and a hidden text."""
    folder = tmp_path / "trip"
    write(folder / "start.JPG", 1, 33, 47)
    write(folder / "day1" / "sea.png", 2, 16, 64)
    write(folder / "day1" / "noon" / "sun.webp", 3, 50, 21)
    write(folder / ".hidden.png", 4)
    (folder / ".notes.txt").write_text("sunny")
    return folder


def test_folder_without_recursive(stylise, trip, tmp_path):
    done = stylise(trip, "-o", tmp_path / "out")
    assert (done.code, done.err) == (0, "")
    assert done.out == f"1 of 1 stylised into {tmp_path / 'out' / 'start.JPG'}\n"
    assert files(tmp_path / "out") == ["start.JPG"]


def test_recursive_mirrors_the_tree(stylise, trip, tmp_path):
    done = stylise(f"{trip}/", "--recursive", "-o", tmp_path / "out")
    assert (done.code, done.err) == (0, "")
    assert done.out == f"3 of 3 stylised into {tmp_path / 'out'}\n"
    assert files(tmp_path / "out") == ["day1/noon/sun.webp", "day1/sea.png", "start.JPG"]
    for name in files(tmp_path / "out"):
        with Image.open(tmp_path / "out" / name) as new, Image.open(trip / name) as old:
            assert (new.size, new.format) == (old.size, old.format)


KINDS = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP", "avif": "AVIF"}


@pytest.mark.parametrize(("wanted", "kind"), KINDS.items())
def test_format_of_a_folder(stylise, trip, tmp_path, wanted, kind):
    assert stylise(trip, "-o", tmp_path / "out", "--recursive", "--format", wanted).code == 0
    names = files(tmp_path / "out")
    assert len(names) == 3
    for name in names:
        assert Path(name).suffix.lower() == f".{wanted}"
        with Image.open(tmp_path / "out" / name) as image:
            assert image.format == kind


def test_photos_of_an_iphone_become_jpegs_beside_those_of_the_same_name(stylise, tmp_path):
    tall = Image.fromarray(draw_photo(1, 40, 56))
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "in").mkdir()
    for name in ("IMG_1.HEIC", "IMG_2.heif"):
        pillow_heif.from_pillow(tall).save(tmp_path / "in" / name, exif=exif.tobytes())
    write(tmp_path / "in" / "IMG_1.jpg", 2)
    done = stylise(tmp_path / "in", "-o", tmp_path / "out")
    assert (done.code, done.out) == (0, f"3 of 3 stylised into {tmp_path / 'out'}\n")
    assert done.err == f"note: {tmp_path}/in/IMG_1.HEIC becomes {tmp_path}/out/IMG_1-2.jpg\n"
    names = files(tmp_path / "out")
    sizes = {}
    for name in names:
        with Image.open(tmp_path / "out" / name) as image:
            sizes[name], kind = image.size, image.format
        assert kind == "JPEG"
    # The JPEG keeps the name that it would have without the other beside it.
    assert sizes == {"IMG_1.jpg": (56, 40), "IMG_1-2.jpg": (40, 56), "IMG_2.jpg": (40, 56)}
    refused = stylise(tmp_path / "in" / "IMG_1.HEIC", "-o", tmp_path / "a.heic")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "names no known format; use one of .avif" in refused.err


def test_unusual_names_of_photos_are_done_and_other_files_told(stylise, tmp_path):
    folder = tmp_path / "in"
    for seed, name in enumerate(("a.jpg", "b.jfif", "c.JPE", "d.mpo", "e.jpg_large", "f.dib")):
        picture = Image.fromarray(draw_photo(seed, 40, 56))
        folder.mkdir(exist_ok=True)
        picture.save(folder / name, "BMP" if name == "f.dib" else "JPEG")
    for name in ("notes.txt", "clip.mp4"):
        (folder / name).write_text("no photo")
    done = stylise(folder, "-o", tmp_path / "out")
    assert (done.code, done.out) == (0, f"6 of 6 stylised into {tmp_path / 'out'}\n")
    assert done.err == (f"note: {folder}: 2 files are no pictures, left out: clip.mp4, notes.txt\n")
    names = ["a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg_large.jpg", "f.bmp"]
    assert files(tmp_path / "out") == names
    for name in names:
        with Image.open(tmp_path / "out" / name) as image:
            assert image.format == ("BMP" if name == "f.bmp" else "JPEG")


@pytest.mark.parametrize("name", ["a.jfif", "a.jpe", "a.mpo", "a"])
def test_a_folder_of_one_photo_of_an_unusual_name(stylise, tmp_path, name):
    (tmp_path / "in").mkdir()
    Image.fromarray(draw_photo(1, 40, 56)).save(tmp_path / "in" / name, "JPEG")
    assert stylise(tmp_path / "in", "-o", tmp_path / "out").code == 0
    assert files(tmp_path / "out") == ["a.jpg"]


def test_files_of_an_output_inside_the_input_are_not_told_of(stylise, trip):
    (trip / "stylised").mkdir()
    (trip / "stylised" / "log.txt").write_text("no photo")
    assert stylise(trip, "-o", trip / "stylised", "--recursive").err == ""


def test_output_inside_the_input_is_not_read(stylise, trip):
    for _ in range(2):
        done = stylise(trip, "-o", trip / "stylised", "--recursive")
        assert (done.code, done.out.split(" ")[:3]) == (0, ["3", "of", "3"])
    assert len(files(trip / "stylised")) == 3


def test_output_around_the_input(stylise, trip, tmp_path):
    assert stylise(trip / "day1", "-o", tmp_path, "--recursive").code == 0
    assert (tmp_path / "sea.png").exists()
    assert (tmp_path / "noon" / "sun.webp").exists()


def test_skip_existing(stylise, loading, trip, tmp_path):
    arguments = (trip, "-o", tmp_path / "out", "--recursive", "--skip-existing")
    assert stylise(*arguments).code == 0
    kept = tmp_path / "out" / "start.JPG"
    kept.write_bytes(b"kept")
    (tmp_path / "out" / "day1" / "sea.png").unlink()
    done = stylise(*arguments)
    assert done.code == 0
    assert done.out == f"1 of 3 stylised into {tmp_path / 'out'}; 2 skipped, there already\n"
    assert kept.read_bytes() == b"kept"
    assert (tmp_path / "out" / "day1" / "sea.png").exists()
    loading.by = None  # With nothing to do no style is loaded.
    done = stylise(*arguments)
    assert (done.code, done.out.split(";")[1]) == (0, " 3 skipped, there already\n")


def test_skip_existing_does_not_take_another_photos_picture_for_that_of_a_new_one(
    stylise, waves, tmp_path
):
    write(tmp_path / "in" / "a.bmp", 1)
    arguments = (tmp_path / "in", "-o", tmp_path / "out", "--format", "png", "--skip-existing")
    assert stylise(*arguments).code == 0
    first = (tmp_path / "out" / "a.png").read_bytes()
    write(tmp_path / "in" / "a.png", 2)
    assert stylise(*arguments).code == 0
    assert (tmp_path / "out" / "a-2.png").read_bytes() == first
    assert (tmp_path / "out" / "a.png").read_bytes() != first
    assert stylise(*arguments).out.split(";")[1] == " 2 skipped, there already\n"


def test_same_names_never_overwrite_each_other(stylise, waves, tmp_path):
    for seed, name in enumerate(("x/a.png", "y/a.png", "z/A.PNG", "w/a-2.png")):
        write(tmp_path / name, seed)
    inputs = [tmp_path / name for name in ("x", "y/a.png", "z/A.PNG", "w/a-2.png", "y/a.png")]
    done = stylise(*inputs, "-o", tmp_path / "out")
    assert done.code == 0
    assert files(tmp_path / "out") == ["A-4.PNG", "a-2.png", "a-3.png", "a.png"]
    assert f"note: {tmp_path / 'y/a.png'} becomes {tmp_path / 'out/a-3.png'}\n" in done.err
    for source, target in (("x/a.png", "a.png"), ("y/a.png", "a-3.png"), ("w/a-2.png", "a-2.png")):
        np.testing.assert_array_equal(
            pixels(tmp_path / "out" / target), waves(pixels(tmp_path / source))
        )


def test_two_formats_of_one_name_become_two_pictures(stylise, tmp_path):
    write(tmp_path / "in" / "a.jpg")
    write(tmp_path / "in" / "a.png")
    assert stylise(tmp_path / "in", "-o", tmp_path / "out", "--format", "webp").code == 0
    assert files(tmp_path / "out") == ["a-2.webp", "a.webp"]


def test_a_bar_on_a_terminal_only(stylise, trip, tmp_path, on_a_terminal):
    assert stylise(trip, "-o", tmp_path / "out", "--recursive").err == ""
    on_a_terminal()
    assert "3/3" in stylise(trip, "-o", tmp_path / "out", "--recursive").err
    assert stylise(trip / "start.JPG", "-o", tmp_path / "one.png").err == ""


# --- Addresses -----------------------------------------------------------------------------------


def test_address_to_a_file_and_to_a_folder(stylise, server, tmp_path):
    photo = write(tmp_path / "mine.png")
    assert stylise(f"{server}/sea.png?size=1", "-o", tmp_path / "b.png").code == 0
    assert pixels(tmp_path / "b.png").shape == (40, 56, 3)
    done = stylise(f"{server}/sea.png", f"{server}/sea", photo, "-o", tmp_path / "out")
    assert done.code == 0
    assert files(tmp_path / "out") == ["mine.png", "sea.jpg", "sea.png"]


def test_missing_address_is_a_failure(stylise, server, tmp_path):
    done = stylise(f"{server}/sea.png", f"{server}/none.png", "-o", tmp_path / "out")
    assert done.code == 1
    assert done.err.startswith(f"failed: {server}/none.png: the server answered 404")
    assert files(tmp_path / "out") == ["sea.png"]


def test_password_of_an_address_is_never_shown(stylise, server, tmp_path):
    address = server.replace("://", "://me:secret@") + "/none.png"
    done = stylise(address, write(tmp_path / "none.png"), "-o", tmp_path / "out")
    assert done.code == 1
    assert f"failed: {server}/none.png: the server answered 404" in done.err
    assert "secret" not in done.out + done.err


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://a.org/x/sea%20side.png?w=3#top", "sea side.png"),
        ("http://a.org/..%2f..%2fetc%2fpasswd", "passwd"),
        ("http://a.org/a%00b%5cc.png", "a_b_c.png"),
        ("http://a.org/.png", "png"),
        ("http://a.org/", "picture"),
        ("http://[", "picture"),
        (f"http://a.org/{'x' * 400}.jpg", "x" * 100 + ".jpg"),
        (f"http://a.org/{'%E6%B5%B7' * 95}.jpg", "海" * 33 + ".jpg"),
    ],
)
def test_names_of_addresses_are_safe_file_names(url, name):
    assert str(plan.name_of_url(url)) == name


# --- Failures ------------------------------------------------------------------------------------


def test_broken_files_are_named_and_the_others_done(stylise, trip, tmp_path):
    (trip / "empty.jpg").write_bytes(b"")
    (trip / "text.png").write_text("not a picture")
    whole = write(tmp_path / "whole.jpg", 1, 200, 200).read_bytes()
    (trip / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    done = stylise(trip, "-o", tmp_path / "out", "--recursive")
    assert done.code == 1
    lines = done.err.splitlines()
    assert len(lines) == 3
    for name, line in zip(("cut.jpg", "empty.jpg", "text.png"), lines, strict=True):
        assert line.startswith(f"failed: {trip / name}: ")
    assert done.out == f"3 of 6 stylised into {tmp_path / 'out'}; 3 failed\n"
    assert len(files(tmp_path / "out")) == 3


@pytest.mark.parametrize("place", ["input", "folder", "file"])
def test_a_path_that_is_too_long_is_one_line(stylise, tmp_path, place):
    photo, long = write(tmp_path / "a.png"), tmp_path / ("x" * 300)
    arguments = {
        "input": (long, "-o", tmp_path / "out"),
        "folder": (photo, "-o", long),
        "file": (photo, "-o", f"{long}.png"),
    }
    done = stylise(*arguments[place])
    assert done.code in (1, 2)
    assert len(done.err.splitlines()) == 1


def test_too_little_memory_names_the_size_and_the_flag(stylise, loading, trip, tmp_path):
    load_all = loading.by

    def limited(*arguments):
        ((name, style),) = load_all(*arguments).items()

        def call(image, **options):
            if image.shape[1] == 64:
                raise MemoryError
            return style(image, **options)

        return {name: call}

    loading.by = limited
    done = stylise(trip, "-o", tmp_path / "out", "--recursive")
    assert done.code == 1
    assert len(done.err.splitlines()) == 1
    assert "sea.png: 64x16 px do not fit in memory; give --tile 256, or --max-size" in done.err
    assert files(tmp_path / "out") == ["day1/noon/sun.webp", "start.JPG"]


def test_too_little_memory_at_a_scale_names_it(stylise, loading, tmp_path):
    def exhausted(image, **_):
        raise MemoryError

    loading.by = lambda *_: {"waves": exhausted}
    done = stylise(write(tmp_path / "a.png"), "-o", tmp_path / "b.png", "--scale", 2)
    assert done.code == 1
    assert "a.png: 56x40 px at --scale 2 do not fit in memory; lower it, or give" in done.err


def test_a_picture_too_large_for_the_engine_is_named_by_its_size(styles):
    def exhausted(*_):
        raise MemoryError

    waves = collection.find("waves", styles)
    network = SharedNetwork(waves)
    network.run = exhausted
    style = Stylizer(waves, network=network)
    with pytest.raises(MemoryError, match="20x30 px"):
        style(draw_photo(1, 30, 20))


FULL_DISK = (
    "cannot be written: No space left on device",
    "not tried (No space left on device)",
)


def test_full_disk_is_reported_once_found_and_leaves_no_pieces(
    stylise, trip, tmp_path, fill_disk_at, cores
):
    old, tries = write(tmp_path / "out" / "start.JPG").read_bytes(), []
    fill_disk_at(lambda path: tries.append(path) or True)
    cores(2)  # Two write at once.
    done = stylise(trip, "-o", tmp_path / "out", "--recursive")
    assert done.code == 1
    lines = done.err.splitlines()
    assert len(lines) == 3
    told = [sum(text in line for line in lines) for text in FULL_DISK]
    # While one finds the disk full another may be about to write.
    assert told in ([1, 2], [2, 1])
    assert len(tries) == told[0]
    assert files(tmp_path / "out") == ["start.JPG"]
    assert (tmp_path / "out" / "start.JPG").read_bytes() == old


@pytest.mark.slow
def test_ctrl_c_leaves_whole_files_only(styles, tmp_path):
    for index in range(60):
        write(tmp_path / "in" / f"{index:02d}.png", index, 300, 300)
    output = tmp_path / "out"
    process = forks.start("infer.py", styles / "waves", tmp_path / "in", "-o", output)
    wait_for(lambda: len(list(output.glob("*.png"))) >= 2)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=300)
    assert (process.returncode, out, without_progress(err)) == (130, "", "stopped\n")
    assert 2 <= len(files(output)) < 60
    for name in files(output):
        assert re.fullmatch(r"\d\d\.png", name)
        assert pixels(output / name).shape == (300, 300, 3)


# --- Wrong use -----------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def no_tensorflow(tmp_path_factory):
    """An environment in which importing TensorFlow or Keras fails."""
    folder = tmp_path_factory.mktemp("poison")
    for name in ("tensorflow", "keras"):
        (folder / f"{name}.py").write_text("raise SystemExit('imported too early')")
    return {**os.environ, "PYTHONPATH": str(folder)}


WRONG = {
    "unknown style": ("ocean {in}/a.png -o {tmp}/b.png", "'ocean'; there are sand, waves"),
    "no style": ("-o {tmp}/b.png", "there is no CHECKPOINT: name a style; --list shows them"),
    "gallery without a style": ("GALLERY {in}/a.png -o {tmp}/b.png", "3 styles: name one, such as"),
    "bad blend": ("sand=1,waves=2 {in}/a.png -o {tmp}/b.png", "'sand' is a folder of its own"),
    "no input": ("waves -o {tmp}/b.png", "no INPUT"),
    "no output": ("waves {in}/a.png", "--output is missing"),
    "missing photo": ("waves {in}/none.png -o {tmp}/b.png", "{in}/none.png: no such file"),
    "one of two missing": ("waves {in}/a.png {in}/no -o {tmp}/b", "{in}/no: no such file"),
    "no photos": ("waves {tmp}/empty -o {tmp}/b", "{tmp}/empty: the folder holds no photos"),
    "no photos but others": ("waves {tmp}/texts -o {tmp}/b", "no photos (left out: a.txt); give"),
    "dangling link": ("waves {tmp}/link.jpg -o {tmp}/b.jpg", "link to a file that is not there"),
    "photos further down": ("waves {tmp}/deep -o {tmp}/b", "--recursive"),
    "unknown suffix": ("waves {in}/a.png -o {tmp}/b.pdf", "b.pdf: the suffix names no known"),
    "several into a file": ("waves {in}/a.png {in}/c.png -o {tmp}/b.jpg", "name a folder"),
    "folder into a file": ("waves {in} -o {tmp}/b.jpg", "name a folder"),
    "folder is a file": ("waves {in} -o {tmp}/text", "name a folder"),
    "below a file": ("waves {in} -o {tmp}/text/out", "cannot be written"),
    "not writable": ("waves {in} -o /proc/none", "--output /proc/none: cannot be written"),
    "onto itself": ("waves {in}/a.png -o {in}/../in/a.png", "would be overwritten"),
    "onto another input": ("waves {tmp}/else/c.png {in}/c.png -o {in}", "would be overwritten"),
    "into its own folder": ("waves {in} -o {in}/", "is the folder of the photos"),
    "contradiction": ("waves {in}/a.png -o {tmp}/b.png --format webp", "--format webp contradicts"),
    "quality": ("waves {in}/a.png -o {tmp}/b.jpg --quality 0", "--quality must be from 1 to 100"),
    "size": ("waves {in}/a.png -o {tmp}/b.jpg --max-size -1", "--max-size"),
    "tile": ("waves {in}/a.png -o {tmp}/b.jpg --tile 0", "--tile is auto, off or a number"),
    "strength": ("waves {in}/a.png -o {tmp}/b.jpg --strength 2", "--strength must be from 0 to 1"),
    "scale": ("waves {in}/a.png -o {tmp}/b.jpg --scale 0", "--scale must be from 0.1 to 4"),
    "sharpen": ("waves {in}/a.png -o {tmp}/b.jpg --sharpen=-1", "--sharpen must be from 0 to 10"),
    "all in one": ("all {in}/a.png -o {tmp}/b.jpg", "add --contact-sheet, or name one style"),
    "format": ("waves {in}/a.png -o {tmp}/b --format gif", "invalid choice 'gif'"),
    "unknown flag": ("waves {in}/a.png -o {tmp}/b.jpg --colour", "--colour"),
    "nothing to list": ("--list --checkpoints {tmp}/no", "there are no trained styles under {tmp}"),
}

# Runs each of the command lines on standard input as `infer.py` would, all in one process.
SCRIPT = """
import contextlib, io, json, sys
from fst import errors
from fst.batch.command import main

results = []
for words in json.load(sys.stdin):
    sys.argv, out, err = ["infer.py", *words], io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            errors.run(main)
        except SystemExit as stop:
            code = stop.code
    results.append([code, out.getvalue(), err.getvalue()])
print(json.dumps(results))
"""


@pytest.fixture(scope="module")
def refused(styles, gallery, no_tensorflow, tmp_path_factory):
    """What each case of `WRONG` ends with, and what it is to say; and that it writes nothing."""
    folder = tmp_path_factory.mktemp("wrong")
    for name in ("in/a.png", "in/c.png", "deep/er/a.png", "else/c.png"):
        write(folder / name)
    (folder / "empty").mkdir()
    (folder / "texts").mkdir()
    (folder / "texts" / "a.txt").write_text("")
    (folder / "link.jpg").symlink_to(folder / "nowhere.jpg")
    (folder / "text").write_text("")
    before = {path: path.lstat().st_mtime_ns for path in folder.rglob("*")}
    places = {"in": str(folder / "in"), "tmp": str(folder)}
    commands, messages = [], []
    for command, message in WRONG.values():
        words = command.format(**places).replace("GALLERY", str(gallery / "gallery")).split()
        if "--checkpoints" not in words:
            words += ["--checkpoints", str(styles)]
        commands.append(words)
        messages.append(message.format(**places))
    done = run("-c", SCRIPT, env=no_tensorflow, input=json.dumps(commands))
    assert done.returncode == 0, done.stderr
    assert {path: path.lstat().st_mtime_ns for path in folder.rglob("*")} == before
    return dict(zip(WRONG, zip(json.loads(done.stdout), messages, strict=True), strict=True))


@pytest.mark.parametrize("case", WRONG)
def test_wrong_use_is_one_line_before_tensorflow(refused, case):
    (code, out, err), message = refused[case]
    assert (code, out) == (2, "")
    assert re.fullmatch(r"error: .*\n", err)
    assert message in err


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("style.json", b"{", "style.json: is damaged, it is not JSON"),
        ("style.json", b"[]", "it does not tell the network's width"),
        ("style.json", b'{"config": {"width": "4"}}', "it does not tell the network's width"),
        ("style.json", b'{"config": {"width": 8}}', "network.weights.h5: cannot be loaded"),
        ("network.weights.h5", b"", "network.weights.h5: cannot be loaded"),
        ("network.weights.h5", None, "network.weights.h5: is missing"),
        ("network.weights.h5", "half", "network.weights.h5: cannot be loaded"),
    ],
)
def test_damaged_style(styles, tmp_path, recwarn, file, content, message):
    style, photo = tmp_path / "broken", write(tmp_path / "a.png")
    shutil.copytree(styles / "waves", style)
    if content is None:
        (style / file).unlink()
    else:
        data = (style / file).read_bytes()
        (style / file).write_bytes(data[: len(data) // 2] if content == "half" else content)
    config = InferenceConfig(str(style), (str(photo),), str(tmp_path / "b.png"))
    with pytest.raises(UserError, match=message):
        list(inference.stylise(config, plan.plan(config)))
    assert not (tmp_path / "b.png").exists()
    assert not [w for w in recwarn if not issubclass(w.category, DeprecationWarning)]


def test_style_with_missing_weights_is_not_filled_with_random_ones(styles, tmp_path):
    import h5py

    shutil.copytree(styles / "waves", tmp_path / "waves")
    with h5py.File(tmp_path / "waves" / "network.weights.h5", "a") as weights:
        del weights["layers/conv2d_3"]
    with pytest.raises(UserError, match="cannot be loaded"):
        fst.load(tmp_path / "waves")


# --- The command and the Python door --------------------------------------------------------------


def test_help_names_every_option(monkeypatch, capsys):
    done = run_here(infer.main, ["infer.py", "--help"], monkeypatch, capsys)
    assert (done.code, done.err) == (0, "")
    for field in dataclasses.fields(InferenceConfig)[2:]:
        assert flag_of(field.name) in done.out


def test_the_manual_tells_every_option_and_its_default():
    rows = re.findall(r"^\| (`-.*?) \| (.*?) \|", (ROOT / "docs/inference.md").read_text(), re.M)
    told = {re.findall(r"--[\w-]+", flags)[0]: default.strip("`") for flags, default in rows}
    for field in dataclasses.fields(InferenceConfig)[2:]:
        default = told.pop(flag_of(field.name))
        if field.name == "output":
            assert default == "required"
        elif isinstance(field.default, bool):
            assert default == ("on" if field.default else "off")
        else:
            assert type(field.default)(default) == field.default
    assert not told


def test_python_gives_back_the_type_it_gets(waves):
    photo = draw_photo(1, 21, 35)
    from_bytes, from_floats = waves(photo), waves(photo.astype(np.float64))
    assert (from_bytes.dtype, from_bytes.shape) == (np.uint8, photo.shape)
    assert (from_floats.dtype, from_floats.shape) == (np.float32, photo.shape)
    np.testing.assert_array_equal(from_bytes, np.rint(from_floats))
    assert not np.array_equal(from_floats, np.rint(from_floats))


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((20, 20), np.uint8),
        np.zeros((20, 20, 4), np.uint8),
        np.zeros((0, 20, 3), np.uint8),
        np.zeros((1, 20, 20, 3), np.uint8),
        np.zeros((20, 20, 3), np.int32),
        np.full((20, 20, 3), np.nan, np.float32),
    ],
)
def test_python_refuses_what_is_no_picture(waves, image):
    with pytest.raises(ValueError, match="picture"):
        waves(image)


def test_no_size_is_traced_anew(styles, monkeypatch):
    from fst.stylize import forward_tensorflow

    traced, stylise = [], forward_tensorflow.stylise
    monkeypatch.setattr(
        forward_tensorflow, "stylise", lambda *args: traced.append(args) or stylise(*args)
    )
    style = fst.load("sand", styles)
    for height, width in SIZES:
        style(draw_photo(0, height, width))
    assert len(traced) == 1
