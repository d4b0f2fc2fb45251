"""The look of a stylised picture: how fine, in whose colours, how strong, and the finish.

Pictures in, pictures out, in NumPy and Pillow alone. `infer.py` applies the four in this order:
`at_scale`, then `blend` (colours, then strength), then `finish`; `dress` is all but the first. With
neutral values none of them changes a picture at all.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageEnhance

from fst.config import Look
from fst.media import images

# Luma of ITU-R BT.601, the grey that JPEG and Pillow see in an RGB picture.
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


_PIXELS_AT_A_TIME = 2**22  # What is mixed in float32 takes several times the picture's memory.


def at_scale(
    stylise: Callable[[np.ndarray], np.ndarray], photo: np.ndarray, scale: float = 1.0
) -> np.ndarray:
    """Stylises a photo at another size, and brings the result back to the photo's own.

    Strokes have a size in px, which the network has learnt. On an enlarged photo they are smaller
    beside what it shows, hence finer; on a reduced one coarser, and softer by the enlargement.

    Args:
        stylise: a function from such a picture to its stylised one, such as a `Stylizer`.
        photo: `[H, W, 3]` in 0-255, uint8 or float.
        scale: the factor for height and width, above 0; memory and time grow with its square.

    Returns:
        What `stylise` returns, at `[H, W, 3]`.
    """
    if scale == 1:
        return stylise(photo)
    height, width, _ = photo.shape
    size = max(1, round(height * scale)), max(1, round(width * scale))
    return images.resize(stylise(images.resize(photo, *size)), height, width)


def dress(photo: np.ndarray, stylised: np.ndarray, wanted: Look) -> np.ndarray:
    """Gives a stylised picture all of its look but the scale, which needs no network any more.

    Args:
        photo: `[H, W, 3]` in 0-255, uint8 or float.
        stylised: the same shape and range.
        wanted: the look: an `fst.config.Look`, or an `InferenceConfig`, which is one.

    Returns:
        The picture in the photo's shape, as `finish` returns it.

    Raises:
        ValueError: as `blend`.
    """
    mixed = blend(photo, stylised, wanted.strength, wanted.preserve_color)
    return finish(mixed, wanted.sharpen, wanted.contrast, wanted.saturation)


def blend(
    photo: np.ndarray, stylised: np.ndarray, strength: float = 1.0, preserve_color: bool = False
) -> np.ndarray:
    """Mixes a photo with its stylised picture.

    Args:
        photo: `[H, W, 3]` in 0-255, uint8 or float.
        stylised: the same shape and range.
        strength: the share of the stylised picture, 0-1: at 0 the result is the photo, at 1 the
            stylised picture, each exactly.
        preserve_color: give the stylised picture the photo's colours first, as `with_colors_of`.

    Returns:
        The mixture, in the photo's shape; uint8 if both are, else float32.

    Raises:
        ValueError: `strength` is not from 0 to 1, or the shapes differ.
    """
    check_strength(strength)
    if photo.shape != stylised.shape:
        raise ValueError(f"photo {photo.shape} and stylised picture {stylised.shape} differ")
    kind = _kind_of(photo, stylised)
    if strength == 0:
        return photo.astype(kind)
    rows = max(1, _PIXELS_AT_A_TIME // photo.shape[1])
    if len(photo) > rows and (preserve_color or strength < 1):
        mixed = np.empty(photo.shape, kind)
        for top in range(0, len(photo), rows):
            part = slice(top, top + rows)
            mixed[part] = blend(photo[part], stylised[part], strength, preserve_color)
        return mixed
    if preserve_color:
        stylised = with_colors_of(photo, stylised)
    if strength == 1:
        return stylised.astype(kind)
    # In sRGB values, which are spaced about as the eye sees: half strength looks like half way to
    # it. Mixed as light, shadows look hazy (a black helmet is grey at a quarter already), because
    # a little light is much to the eye there. OKLab looks the same, at many times the work.
    mixed = stylised.astype(np.float32)
    mixed -= photo
    mixed *= np.float32(strength)
    mixed += photo
    return _as_kind(mixed, kind)


def with_colors_of(photo: np.ndarray, stylised: np.ndarray) -> np.ndarray:
    """The stylised picture's brightness in the photo's colours.

    The luma is the stylised picture's, the chroma the photo's (Cb and Cr of BT.601). Where no
    colour of that luma is so vivid, it is paler: of the same hue, with the luma kept.

    Args:
        photo: `[H, W, 3]` in 0-255, uint8 or float.
        stylised: the same shape and range.

    Returns:
        The picture in the photo's shape; uint8 if both are, else float32. A grey photo's is grey.
    """
    # Beside OKLab, on nine pictures, the eye finds no difference (hues lie under 2 degrees
    # apart on average), and here the way back into range is a division, there a search.
    luma = np.clip(stylised.astype(np.float32) @ _LUMA, 0, 255)[..., None]
    chroma = photo.astype(np.float32)
    chroma -= (chroma @ _LUMA)[..., None]
    # How far each channel may go before it meets 0 or 255, as a share of how far it wants to go.
    room = np.where(chroma > 0, 255 - luma, luma)
    room /= np.maximum(np.abs(chroma), 1e-3)
    chroma *= np.minimum(1, room.min(axis=-1, keepdims=True))
    chroma += luma
    return _as_kind(chroma, _kind_of(photo, stylised))


def finish(
    picture: np.ndarray, sharpen: float = 1.0, contrast: float = 1.0, saturation: float = 1.0
) -> np.ndarray:
    """Changes saturation, contrast and sharpness, in this order, as Pillow's `ImageEnhance`.

    Sharpening comes last: contrast would make its edges harsher.

    Args:
        picture: `[H, W, 3]` in 0-255, uint8 or float, which is rounded if anything is changed.
        sharpen: 0 blurs, 1 changes nothing, 2 sharpens.
        contrast: 0 is even grey, 1 changes nothing, more is harder.
        saturation: 0 is grey, 1 changes nothing, more is more vivid.

    Returns:
        `picture` itself if all three are 1, else uint8 `[H, W, 3]`.
    """
    steps: list[tuple[Callable, float]] = [
        (ImageEnhance.Color, saturation),
        (ImageEnhance.Contrast, contrast),
        (ImageEnhance.Sharpness, sharpen),
    ]
    steps = [(kind, amount) for kind, amount in steps if amount != 1]
    if not steps:
        return picture
    image = Image.fromarray(_as_kind(picture, np.uint8))
    for kind, amount in steps:
        image = kind(image).enhance(amount)
    return np.array(image)


def check_strength(strength: float) -> None:
    """Raises a ValueError unless `strength` is a share from 0 to 1."""
    if not 0 <= strength <= 1:
        raise ValueError(f"strength is from 0 to 1, not {strength}")


def _kind_of(*pictures):
    return np.uint8 if all(picture.dtype == np.uint8 for picture in pictures) else np.float32


def _as_kind(picture, kind):
    if kind == np.uint8 and picture.dtype != np.uint8:
        return images.to_levels(picture)
    return picture.astype(kind, copy=False)
