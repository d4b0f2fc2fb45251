"""TIFF: whatever the layout, what went in comes out, or a line says what cannot be read."""

import io
import struct

import numpy as np
import pytest
import tifffile
from hypothesis import assume, example, given, settings
from hypothesis import strategies as some
from PIL import Image
from tiffs import (
    CHUNKY,
    CMYK,
    COMPRESSIONS,
    GREY,
    GREY_WHITE_IS_ZERO,
    LAB,
    PALETTE,
    PLANAR,
    RGB,
    YCBCR,
    write_tiff,
)

from fst.media import images
from fst.media.images import ImageError

ALPHA, PREMULTIPLIED, UNNAMED = 2, 1, 0
EXTRA = 338


def load(data):
    return images.load_picture("photo.tif", data)


def drawn(bits, count, seed=0, height=9, width=13):
    """Samples of all values, the darkest and the brightest among them."""
    samples = np.random.default_rng(seed).integers(0, 2**bits, (height, width, count))
    samples[0, 0], samples[0, 1] = 0, 2**bits - 1
    return samples


def expected(samples, bits, photometric, palette=None):
    """The picture's colours in 0-255, by the words of the TIFF specification."""
    levels = samples * 255 / (2**bits - 1)
    if photometric == PALETTE:
        return palette[samples[..., 0]] / 257
    if photometric == CMYK:
        return (255 - levels[..., :3]) * (255 - levels[..., 3:4]) / 255
    if photometric == RGB:
        return levels[..., :3]
    grey = levels[..., [0, 0, 0]]
    return 255 - grey if photometric == GREY_WHITE_IS_ZERO else grey


@pytest.mark.slow
@settings(max_examples=600)
@given(
    bits=some.sampled_from((1, 2, 3, 4, 6, 8, 10, 12, 14, 16, 32)),
    kind=some.sampled_from(
        (
            (GREY, 1),
            (GREY, 2),
            (GREY_WHITE_IS_ZERO, 1),
            (GREY_WHITE_IS_ZERO, 2),
            (RGB, 3),
            (RGB, 4),
            (RGB, 5),
            (CMYK, 4),
            (CMYK, 5),
            (PALETTE, 1),
        )
    ),
    planar=some.sampled_from((CHUNKY, PLANAR)),
    order=some.sampled_from("<>"),
    compression=some.sampled_from(list(COMPRESSIONS)),
    predictor=some.sampled_from((1, 2)),
    rows=some.sampled_from((1, 4, 9)),
    big=some.booleans(),
)
@example(16, (GREY_WHITE_IS_ZERO, 1), CHUNKY, "<", "none", 1, 9, False)
@example(12, (GREY, 1), CHUNKY, "<", "none", 1, 9, False)
@example(16, (RGB, 3), PLANAR, "<", "none", 1, 9, False)
@example(32, (GREY, 1), CHUNKY, "<", "lzw", 2, 4, False)
@example(2, (GREY, 1), PLANAR, "<", "none", 1, 9, False)
@example(8, (GREY, 2), PLANAR, ">", "lzw", 1, 9, False)
def test_what_went_in_comes_out(bits, kind, planar, order, compression, predictor, rows, big):
    photometric, count = kind
    big = big and order == "<"
    palette, tags = None, []
    if photometric == PALETTE:
        assume(bits <= 12)
        palette = np.random.default_rng(1).integers(0, 65536, (2**bits, 3))
        tags.append((320, "H", palette.T.ravel().tolist()))
    colours = {RGB: 3, CMYK: 4}.get(photometric, 1)
    if count > colours:
        tags.append((EXTRA, "H", [ALPHA] + [UNNAMED] * (count - colours - 1)))
    # Differences are for whole bytes, and for what a compression then makes shorter.
    if bits not in (8, 16, 32) or photometric == PALETTE or compression in ("none", "packbits"):
        predictor = 1
    samples = drawn(bits, count)
    data = write_tiff(
        samples,
        bits,
        photometric,
        planar=planar,
        order=order,
        compression=compression,
        predictor=predictor,
        rows_per_strip=rows,
        tags=tags,
        big=big,
    )
    picture = load(data)
    wanted = expected(samples, bits, photometric, palette)
    # A level for 16 bits of which Pillow takes 8, and for the product of CMYK.
    np.testing.assert_allclose(picture.rgb, wanted, atol=1.6 if photometric == CMYK else 1.0)
    if count > colours and photometric != CMYK:
        np.testing.assert_allclose(
            picture.alpha, samples[..., colours] * 255 / (2**bits - 1), atol=1
        )
    else:
        assert picture.alpha is None
    assert picture.format == "TIFF"
    assert images.count_pixels("photo.tif", data) == 9 * 13


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 12])
@pytest.mark.parametrize("photometric", [GREY, GREY_WHITE_IS_ZERO])
def test_bytes_whose_lowest_bit_comes_first(bits, photometric):
    samples = drawn(bits, 1)
    picture = load(write_tiff(samples, bits, photometric, reversed_bits=True))
    np.testing.assert_allclose(picture.rgb, expected(samples, bits, photometric), atol=1)


@pytest.mark.parametrize(
    "options",
    [
        {"tile": (16, 32)},
        {"tile": (16, 32), "compression": "zlib", "predictor": True},
        {"compression": "zstd"},
        {"compression": "lzma"},
        {"compression": "jpeg2000", "compressionargs": {"reversible": True, "level": 0}},
        {"compression": "lzw", "predictor": True, "planarconfig": "separate"},
        {"compression": "packbits", "bigtiff": True},
        {"extrasamples": [], "byteorder": ">"},
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_files_of_other_programs(options, dtype):
    """Tiles and compressions that are not made by hand here."""
    options = {"photometric": "rgb", **options}
    most = np.iinfo(dtype).max
    samples = np.random.default_rng(2).integers(0, most, (50, 70, 3), dtype, endpoint=True)
    stored = np.moveaxis(samples, -1, 0) if "planarconfig" in options else samples
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, stored, **options)
    np.testing.assert_allclose(load(buffer.getvalue()).rgb, samples * (255 / most), atol=1)


def test_a_jpeg_within():
    buffer = io.BytesIO()
    colours = np.full((32, 32, 3), (200, 40, 60), np.uint8)
    Image.fromarray(colours).save(buffer, "TIFF", compression="jpeg")
    np.testing.assert_allclose(load(buffer.getvalue()).rgb.astype(int), colours, atol=4)


@pytest.mark.parametrize("bits", [8, 10, 12, 16, 32])
@pytest.mark.parametrize("photometric", [GREY, GREY_WHITE_IS_ZERO])
def test_a_ramp_of_grey_to_the_level(bits, photometric):
    levels = np.arange(256)
    samples = np.rint(levels[None, :, None] * ((2**bits - 1) / 255)).astype(np.int64)
    grey = load(write_tiff(samples, bits, photometric)).rgb[0, :, 0]
    np.testing.assert_array_equal(grey, levels if photometric == GREY else 255 - levels)


def test_a_training_crop_is_of_the_same_picture():
    samples = np.full((40, 40, 3), (4095, 2048, 0))
    data = write_tiff(samples, 12, RGB, planar=PLANAR)
    crop = images.decode_crop(data, 32, 32, (0, 0), False)
    np.testing.assert_array_equal(crop, np.broadcast_to((255, 128, 0), (32, 32, 3)))


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_float_colours(dtype, order):
    values = np.array([[[0, 0.5, 1], [1, 0.25, 0]]], dtype)
    data = write_tiff(values, int(dtype[1]) * 8, RGB, order=order, sample_format=3)
    np.testing.assert_array_equal(load(data).rgb[0], [[0, 128, 255], [255, 64, 0]])


@pytest.mark.parametrize(
    ("bits", "values", "wanted"),
    [
        (8, [0, 64, 127], [0, 129, 255]),
        (16, [0, 16384, 32767], [0, 128, 255]),
        (16, [-100, 0, 300], [0, 64, 255]),
        (32, [-100, 0, 100_000], [0, 0, 255]),
        (32, [0, 257, 65535], [0, 1, 255]),
    ],
)
def test_signed_grey(bits, values, wanted):
    samples = np.array(values)[None, :, None] % 2**bits
    data = write_tiff(samples, bits, GREY, sample_format=2)
    np.testing.assert_array_equal(load(data).rgb[0, :, 0], wanted)


def test_premultiplied_alpha():
    samples = np.array([[[8192, 0, 0, 16384]]])
    picture = load(write_tiff(samples, 16, RGB, tags=[(EXTRA, "H", [PREMULTIPLIED])]))
    np.testing.assert_allclose(picture.rgb[0, 0], (128, 0, 0), atol=3)
    assert picture.alpha[0, 0] == 64


def test_a_fourth_sample_without_a_name_is_alpha_and_one_named_otherwise_is_not():
    samples = drawn(16, 4)
    assert load(write_tiff(samples, 16, RGB)).alpha is not None
    assert load(write_tiff(samples, 16, RGB, tags=[(EXTRA, "H", [UNNAMED])])).alpha is None


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("planar", [CHUNKY, PLANAR])
def test_lab(bits, planar):
    colours = np.array([[[200, 40, 60], [20, 160, 90], [255, 255, 255], [0, 0, 0]]], np.uint8)
    lab = np.asarray(Image.fromarray(colours).convert("LAB")).astype(int)
    if bits == 16:
        lab = np.stack([lab[..., 0] * 257, lab[..., 1] * 256, lab[..., 2] * 256], axis=-1)
    picture = load(write_tiff(lab, bits, LAB, planar=planar))
    np.testing.assert_allclose(picture.rgb.astype(int), colours, atol=3)


def test_ycbcr_of_whole_pixels():
    colours = np.array([[[200, 40, 60], [20, 160, 90]]], np.uint8)
    samples = np.asarray(Image.fromarray(colours).convert("YCbCr")).astype(int)
    picture = load(write_tiff(samples, 8, YCBCR, tags=[(530, "H", [1, 1])]))
    np.testing.assert_allclose(picture.rgb.astype(int), colours, atol=3)


def refused(data):
    with pytest.raises(ImageError) as error:
        load(data)
    text = str(error.value)
    assert text.startswith("photo.tif: ")
    assert "\n" not in text
    return text


@pytest.mark.parametrize(
    ("bits", "photometric", "count", "options", "told"),
    [
        (24, GREY, 1, {}, "is a TIFF with samples of 24 bits"),
        (4, GREY, 1, {"sample_format": 2}, "is a TIFF with signed samples of 4 bits"),
        (16, GREY, 1, {"sample_format": 5}, "is a TIFF with complex samples of 16 bits"),
        (8, YCBCR, 3, {}, "is a TIFF with YCbCr colours of 8 bits"),  # Subsampled, unless told.
        (8, YCBCR, 3, {"planar": PLANAR}, "is a TIFF with YCbCr colours of 8 bits"),
        (12, LAB, 3, {}, "is a TIFF with Lab colours of 12 bits"),
        (16, 9, 3, {}, "is a TIFF with Lab colours of 16 bits"),
        (16, 32844, 1, {}, "is a TIFF with LogLuv colours of 16 bits"),
        (16, 77, 3, {}, "is a TIFF with colours of the kind 77 of 16 bits"),
        (16, RGB, 9, {}, "is a TIFF with 9 samples a pixel"),
        (16, RGB, 2, {}, "is a TIFF with 2 samples a pixel"),
        (14, 32803, 1, {}, "is a camera's raw photo"),
        (8, RGB, 3, {"tags": [(254, "I", [1]), (330, "I", [8])]}, "is a camera's raw photo"),
        (8, RGB, 3, {"tags": [(50706, "I", [1])]}, "is a camera's raw photo"),
    ],
)
def test_what_cannot_be_read_is_refused_in_words(bits, photometric, count, options, told):
    data = write_tiff(drawn(min(bits, 24), count), bits, photometric, **options)
    text = refused(data)
    assert told in text
    assert "not an image" not in text


def test_big_endian_bigtiff_is_refused_in_words():
    assert "BigTIFF" in refused(write_tiff(drawn(8, 3), 8, RGB, order=">", big=True))


def test_samples_of_several_kinds_are_refused():
    data = bytearray(write_tiff(drawn(16, 3), 16, RGB))
    at = data.index(struct.pack("<HHH", 16, 16, 16))
    data[at : at + 6] = struct.pack("<HHH", 16, 12, 16)
    assert "samples of several kinds" in refused(bytes(data))


@pytest.mark.parametrize("compression", ["none", "lzw", "deflate"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_deep_files_cut_short_are_damaged_and_not_black(compression, share):
    """As a stopped copy leaves them: the tags are there, some of the picture is not."""
    whole = io.BytesIO()
    samples = drawn(16, 3, height=64, width=64).astype(np.uint16)
    kind = {"none": None, "lzw": "lzw", "deflate": "zlib"}[compression]
    tifffile.imwrite(whole, samples, photometric="rgb", compression=kind, rowsperstrip=4)
    data = whole.getvalue()
    assert "is damaged or incomplete" in refused(data[: int(len(data) * share)])


def test_deep_files_with_flipped_bits_are_read_or_named():
    random, data = np.random.default_rng(5), write_tiff(drawn(12, 3), 12, RGB, compression="lzw")
    for _ in range(300):
        broken = bytearray(data)
        for place in random.integers(0, len(data), 3):
            broken[place] ^= 1 << int(random.integers(8))
        try:
            load(bytes(broken))
        except ImageError as error:
            assert "\n" not in str(error)  # noqa: PT017


def test_size_is_checked_before_decoding():
    """A few pixels in a file that says to have 400 million: decoded, it would be called damaged."""
    data = write_tiff(drawn(12, 1), 12, GREY)
    for tag, side in ((256, 13), (257, 9)):
        entry = struct.pack("<HHI", tag, 4, 1)
        assert data.count(entry + struct.pack("<I", side)) == 1
        data = data.replace(entry + struct.pack("<I", side), entry + struct.pack("<I", 20_000))
    assert "million pixels" in refused(data)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_deep_files_are_turned_upright_and_keep_their_exif(orientation, big):
    samples = drawn(12, 3)
    author = b"Ada\0"
    data = write_tiff(
        samples, 12, RGB, tags=[(274, "H", [orientation]), (315, "s", author)], big=big
    )
    picture = load(data)
    level = Image.fromarray(np.rint(samples * 255 / 4095).astype(np.uint8))
    turn = images.TURNS.get(orientation)
    wanted = level if turn is None else level.transpose(turn)
    np.testing.assert_array_equal(picture.rgb, np.asarray(wanted))
    if big:
        return
    kept = Image.Exif()
    kept.load(picture.exif)
    assert kept[315] == "Ada"
    assert 274 not in kept


def test_several_pages_of_deep_samples_are_noted():
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.zeros((2, 9, 9), np.uint16), photometric="miniswhite")
    picture = load(buffer.getvalue())
    assert picture.notes == ("a document of several pages, only its first picture is taken",)
    assert (picture.rgb == 255).all()


def test_the_colour_profile_of_a_deep_file_is_used():
    from test_images import swapped_profile

    samples = np.full((8, 8, 3), (4095, 0, 0))
    profile = swapped_profile()
    picture = load(write_tiff(samples, 12, RGB, tags=[(34675, "B", profile)]))
    np.testing.assert_allclose(picture.rgb[3, 3].astype(int), (0, 255, 0), atol=2)
