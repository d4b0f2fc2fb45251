"""The look: exact where nothing is asked for, and doing what it says where something is."""

import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT, draw_photo
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image, ImageEnhance

from fst.config import InferenceConfig, Look
from fst.stylize import look

LUMA = np.array([0.299, 0.587, 0.114])


def pictures(kind):
    shape = st.tuples(st.integers(1, 12), st.integers(1, 12), st.just(3))
    if kind == np.uint8:
        return arrays.arrays(np.uint8, shape)
    return arrays.arrays(np.float32, shape, elements=st.floats(0, 255, width=32))


@st.composite
def pairs(draw):
    """A photo and a stylised picture of the same size and type."""
    photo = draw(pictures(draw(st.sampled_from([np.uint8, np.float32]))))
    elements = {} if photo.dtype == np.uint8 else {"elements": st.floats(0, 255, width=32)}
    return photo, draw(arrays.arrays(photo.dtype, photo.shape, **elements))


def wide(picture):
    return picture.astype(np.float64)


def chroma(picture):
    return wide(picture) - (wide(picture) @ LUMA)[..., None]


# --- Strength ------------------------------------------------------------------------------------


@given(pairs(), st.booleans())
def test_strength_0_is_the_photo_exactly(pair, preserve_color):
    photo, stylised = pair
    result = look.blend(photo, stylised, 0, preserve_color)
    np.testing.assert_array_equal(result, photo)
    assert result.dtype == photo.dtype


@given(pairs())
def test_strength_1_is_the_stylised_picture_exactly(pair):
    photo, stylised = pair
    result = look.blend(photo, stylised, 1.0)
    np.testing.assert_array_equal(result, stylised)
    np.testing.assert_array_equal(look.blend(photo, stylised), stylised)
    assert result.dtype == photo.dtype


@given(pairs(), st.floats(0, 1))
def test_strength_goes_straight_from_one_to_the_other(pair, strength):
    photo, stylised = pair
    before = photo.copy(), stylised.copy()
    result = look.blend(photo, stylised, strength)
    assert (result.dtype, result.shape) == (photo.dtype, photo.shape)
    expected = wide(photo) + strength * (wide(stylised) - wide(photo))
    tolerance = 0.501 if photo.dtype == np.uint8 else 1e-3
    np.testing.assert_allclose(wide(result), expected, atol=tolerance)
    np.testing.assert_array_equal(photo, before[0])
    np.testing.assert_array_equal(stylised, before[1])


def test_result_is_not_the_photo_itself():
    photo = draw_photo(0, 20, 20)
    look.blend(photo, photo, 0)[:] = 0
    assert photo.any()


@pytest.mark.parametrize("strength", [-0.01, 1.01, float("nan"), float("inf")])
def test_strength_is_a_share(strength):
    photo = draw_photo(0, 20, 20)
    with pytest.raises(ValueError, match="strength is from 0 to 1"):
        look.blend(photo, photo, strength)


def test_pictures_of_two_sizes_are_refused():
    with pytest.raises(ValueError, match="differ"):
        look.blend(draw_photo(0, 20, 20), draw_photo(0, 20, 21), 0.5)


# --- The photo's colours -------------------------------------------------------------------------


@given(pairs())
def test_colours_of_the_photo_with_the_luma_of_the_style(pair):
    photo, stylised = pair
    result = look.with_colors_of(photo, stylised)
    assert (result.dtype, result.shape) == (photo.dtype, photo.shape)
    rounding = 0.501 if photo.dtype == np.uint8 else 1e-3
    assert result.min() >= -rounding
    assert result.max() <= 255 + rounding
    np.testing.assert_allclose(wide(result) @ LUMA, wide(stylised) @ LUMA, atol=rounding + 1e-3)
    # The photo's chroma, or a part of it: no other hue, nowhere more vivid.
    got, wanted = chroma(result), chroma(photo)
    share = (got * wanted).sum(-1) / np.maximum((wanted**2).sum(-1), 1e-9)
    assert (share * np.abs(wanted).max(-1) <= np.abs(wanted).max(-1) + 2 * rounding).all()
    np.testing.assert_allclose(got, share[..., None] * wanted, atol=4 * rounding)


@given(pictures(np.uint8))
def test_a_picture_has_its_own_colours(photo):
    np.testing.assert_array_equal(look.with_colors_of(photo, photo), photo)
    np.testing.assert_array_equal(look.blend(photo, photo, 1, True), photo)


@given(pictures(np.uint8), st.integers(0, 255))
def test_grey_photo_stays_grey(stylised, grey):
    result = look.with_colors_of(np.full_like(stylised, grey), stylised)
    np.testing.assert_array_equal(np.ptp(result, axis=-1), 0)


def test_colours_out_of_range_are_paled_and_not_turned():
    red, light = np.full((1, 1, 3), (250, 20, 20), np.uint8), np.full((1, 1, 3), 200, np.uint8)
    result = look.with_colors_of(red, light)[0, 0].astype(int)
    assert result[0] == 255  # Clipped, it would be (255, 133, 133): darker than 200 by half of it.
    assert result[1] == result[2]
    assert abs(result @ LUMA - 200) <= 0.5
    for end in (0, 255):
        np.testing.assert_array_equal(look.with_colors_of(red, np.full_like(red, end)), end)


def test_colours_come_before_strength():
    photo, stylised = draw_photo(1, 20, 31), draw_photo(2, 20, 31)
    expected = look.blend(photo, look.with_colors_of(photo, stylised), 0.4)
    np.testing.assert_array_equal(look.blend(photo, stylised, 0.4, True), expected)


# --- Scale ---------------------------------------------------------------------------------------


def test_scale_is_what_the_network_sees_and_never_what_comes_out():
    seen = []

    def negative(picture):
        seen.append(picture.shape)
        return 255 - picture

    photo = draw_photo(3, 33, 48)
    for scale, size in ((0.5, (16, 24)), (1, (33, 48)), (2, (66, 96)), (1.5, (50, 72))):
        result = look.at_scale(negative, photo, scale)
        assert seen.pop() == (*size, 3)
        assert (result.shape, result.dtype) == (photo.shape, photo.dtype)
    np.testing.assert_array_equal(look.at_scale(negative, photo), 255 - photo)
    assert look.at_scale(negative, draw_photo(3, 1, 3), 0.1).shape == (1, 3, 3)


# --- Finish --------------------------------------------------------------------------------------


@given(st.one_of(pictures(np.uint8), pictures(np.float32)))
def test_neutral_finish_changes_nothing(picture):
    before = picture.copy()
    result = look.finish(picture, sharpen=1.0, contrast=1, saturation=1.0)
    np.testing.assert_array_equal(result, before)
    assert result.dtype == before.dtype


@pytest.mark.parametrize(
    ("option", "pillow"),
    [
        ("sharpen", ImageEnhance.Sharpness),
        ("contrast", ImageEnhance.Contrast),
        ("saturation", ImageEnhance.Color),
    ],
)
@pytest.mark.parametrize("amount", [0, 0.5, 1.7, 10])
def test_finish_is_pillows(option, pillow, amount):
    photo = draw_photo(4, 21, 34)
    result = look.finish(photo, **{option: amount})
    expected = pillow(Image.fromarray(photo)).enhance(amount)
    np.testing.assert_array_equal(result, np.asarray(expected))
    np.testing.assert_array_equal(look.finish(photo + np.float32(0.3), **{option: amount}), result)


def test_finish_goes_from_saturation_over_contrast_to_sharpening():
    photo = draw_photo(5, 21, 34)
    expected = look.finish(look.finish(look.finish(photo, saturation=1.5), contrast=1.4), 2)
    np.testing.assert_array_equal(look.finish(photo, 2, 1.4, 1.5), expected)


# --- All of it -----------------------------------------------------------------------------------


@pytest.mark.parametrize("height", range(16, 65, 3))
def test_every_size_is_kept(height):
    for width in range(16, 65):
        photo = np.full((height, width, 3), 77, np.uint8)
        scaled = look.at_scale(lambda picture: picture, photo, 0.37)
        result = look.finish(look.blend(photo, scaled, 0.5, True), 1.2, 1.1, 0.9)
        assert result.shape == photo.shape


def test_import_is_light():
    heavy = "('tensorflow', 'keras')"
    code = f"import sys, fst.stylize.look; sys.exit(any(m in sys.modules for m in {heavy}))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_a_large_picture_is_mixed_part_by_part_to_the_same(monkeypatch, kind):
    photo, stylised = (draw_photo(seed, 37, 21).astype(kind) for seed in (1, 2))
    whole = look.blend(photo, stylised, 0.4, preserve_color=True)
    monkeypatch.setattr(look, "_PIXELS_AT_A_TIME", 100)
    found = look.blend(photo, stylised, 0.4, preserve_color=True)
    assert found.dtype == whole.dtype
    np.testing.assert_allclose(found, whole, atol=1e-4 if kind == np.float32 else 0)


# --- All of it -----------------------------------------------------------------------------------


def test_all_but_the_scale_at_once():
    photo, stylised = draw_photo(1, 12, 20), draw_photo(2, 12, 20)
    np.testing.assert_array_equal(look.dress(photo, stylised, Look()), stylised)
    options = {"strength": 0.6, "preserve_color": True}
    finish = {"saturation": 0.5, "contrast": 1.5, "sharpen": 2.0}
    expected = look.finish(look.blend(photo, stylised, **options), **finish)
    for wanted in (Look(**options, **finish), InferenceConfig("a", "b", "c", **options, **finish)):
        np.testing.assert_array_equal(look.dress(photo, stylised, wanted), expected)
