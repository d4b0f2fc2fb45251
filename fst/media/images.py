"""Pictures at the edge of the program: files, URLs and bytes to arrays, and back.

Inside the program a picture is RGB in sRGB, upright, 0–255, whatever the file was: a rotated phone
photo, grey, a palette, CMYK, 16 bits, a wide-gamut profile. What cannot be read or written raises
an `ImageError`, and no incomplete file ever gets its final name.
"""

import contextlib
import functools
import io
import os
import re
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

from fst import files
from fst.files import ImageError
from fst.media import tiff

_FORMAT_OF = {
    **dict.fromkeys((".jpg", ".jpeg"), "JPEG"),
    **dict.fromkeys((".tif", ".tiff"), "TIFF"),
    **{f".{name.lower()}": name for name in ("PNG", "WEBP", "AVIF", "BMP", "GIF")},
}
OUTPUTS = frozenset(_FORMAT_OF)
"""The suffixes of pictures that can be written, lower case."""

_OTHER_NAMES = {
    ".jpg": (".jfif", ".jif", ".jpe", ".jfi", ".pjpeg", ".pjp", ".mpo"),
    ".png": (".apng",),
    ".bmp": (".dib",),
}
KEPT_AS = {other: suffix for suffix, others in _OTHER_NAMES.items() for other in others}
"""Suffixes of formats that are written under a more usual one, lower case, and that one."""

EXTENSIONS = OUTPUTS | KEPT_AS.keys() | {".heic", ".heif", ".hif"}
"""The suffixes of files that are taken for pictures, lower case."""

MAX_PIXELS = 250_000_000
"""The largest picture that is decoded: 750 MB as uint8 RGB. Beyond lie mostly crafted files."""

_AS_SRGB = 8  # levels: by less, profiles of sRGB may differ among each other

# The longest side, px, of the formats that have a limit; AVIF's is that of its readers.
MAX_SIDES = {"JPEG": 65_500, "WEBP": 16_383, "AVIF": 32_768, "GIF": 65_535}

MIN_SIDE = 16
"""The shortest side a training photo may have, in px: below, a crop would be all blur."""

_EXIF_FOLDER = 0x8769
_GPS_FOLDER = 0x8825
_ORIENTATION = 0x0112
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation to the turn that sets the picture upright."""

# The tags that describe a photo and not how its file is laid out: a TIFF keeps both in one list.
# In order: description, make, model, resolution and its unit, software, date, artist, copyright.
_KEPT_TAGS = (270, 271, 272, 282, 283, 296, 305, 306, 315, 33432)
# What they may say besides, kept on request only: the computer, Windows' title, comment, author,
# keywords and subject, the camera's serial number.
_PRIVATE_TAGS = (316, *range(0x9C9B, 0x9CA0), 0xC62F)
# Of the Exif folder, what tells how and when the photo was taken. Named one by one, so that none
# of the many tags that tell by whom, with which copy of a camera, or where, slips through:
# exposure, sensitivity, version, dates, lens and light, sub-second dates, scene, lens model.
_KEPT_EXIF_TAGS = {
    *(0x829A, 0x829D, 0x8822, 0x8827, *range(0x8830, 0x8836), 0x9000, 0x9003, 0x9004),
    *(*range(0x9010, 0x9013), *range(0x9201, 0x920B), *range(0x9290, 0x9293), 0xA215, 0xA217),
    *(0xA300, 0xA301, *range(0xA401, 0xA40B), 0xA40C, *range(0xA432, 0xA435)),
}
# Untrue once the picture is converted, scaled or rewritten: how a JPEG was packed, colour space,
# size, pixel positions, maker notes, the gamma. The interoperability folder is for camera files.
_STALE_EXIF_TAGS = {
    *(0x9101, 0x9102, 0x9214, 0x927C, 0xA001, 0xA002, 0xA003, 0xA005),
    *(0xA20E, 0xA20F, 0xA210, 0xA214, 0xA500),
}


# --- Reading -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Picture:
    """A picture as its file held it, upright and in sRGB.

    Attributes:
        rgb: uint8 `[H, W, 3]`; transparent pixels keep their colour.
        alpha: uint8 `[H, W]`, 255 is opaque; None where the file has no transparency.
        format: Pillow's name of the file's format, such as `"JPEG"`.
        exif: EXIF bytes to save the picture with, without orientation and, unless they were asked
            for, without place and owner; None where there are none.
        notes: what a user may want to know of the conversion, a phrase each.
    """

    rgb: np.ndarray
    alpha: np.ndarray | None
    format: str
    exif: bytes | None
    notes: tuple[str, ...]


def load_picture(source, data=None, *, keep_private=False):
    """Reads a picture with all that is worth keeping.

    Of an animation or a document of several pages it takes the first.

    Args:
        source: path or http(s) URL.
        data: its bytes, where they have been read already; `source` is then its name in errors.
        keep_private: keep what EXIF tells of the place (GPS), the owner and the serial numbers.

    Returns:
        A `Picture`.

    Raises:
        ImageError: `source` cannot be read, is no picture, is damaged, or has over `MAX_PIXELS`.
    """
    name = files.printable(source)
    data = files.read_bytes(source) if data is None else data
    with _decoding(name, data):
        stored = _open(data, name)
        image = _upright(stored)
        exif, exif_note = _portable_exif(image, keep_private)
        colour, alpha = _split_alpha(image)
        # Pillow converts from LAB by itself, and a profile with it would speak of LAB.
        profile = None if image.mode == "LAB" else image.info.get("icc_profile")
        rgb, profile_note = _to_srgb(colour, profile)
        profile_note = profile_note or _coded_colours_note(image)
        return Picture(
            rgb=np.array(rgb),
            alpha=None if alpha is None else np.array(alpha),
            format="JPEG" if stored.format == "MPO" else stored.format,
            exif=exif,
            notes=tuple(note for note in (_frames_note(stored), profile_note, exif_note) if note),
        )


def count_pixels(source, data):
    """How many pixels a picture has, of which no more than its head is read.

    Args:
        source: what an error calls the picture.
        data: the bytes of its file.

    Raises:
        ImageError: it is no picture, its head is damaged, or it has over `MAX_PIXELS`.
    """
    name = files.printable(source)
    with _decoding(name, data):
        width, height = _open_head(data, name).size
    return width * height


def load_rgb(source, max_side=None, data=None):
    """Reads a picture as the networks want it: float32 `[H, W, 3]`, 0–255, over white.

    Args:
        source: path or http(s) URL.
        data: as for `load_picture`.
        max_side: scales the picture, down or up, so that its long side has this many px.

    Raises:
        ImageError: as `load_picture`.
    """
    picture = load_picture(source, data)
    rgb = over_white(picture.rgb, picture.alpha)
    height, width = rgb.shape[:2]
    if max_side and max(height, width) != max_side:
        scale = max_side / max(height, width)
        rgb = resize(rgb, max(1, round(height * scale)), max(1, round(width * scale)))
    return rgb.astype(np.float32)


def decode_crop(data, size, resize_to, position, flip, name="photo"):
    """Cuts a training crop out of an encoded photo; made to be fast.

    A JPEG is decoded at the eighth, quarter or half of its size that still suffices, and only the
    crop's pixels are resampled. Colour profiles are ignored: training does not see the difference.

    Args:
        data: bytes of the file.
        size: height and width of the crop, px.
        resize_to: what the photo's short side is scaled to, px; at least `size`.
        position: where the crop lies, `(vertical, horizontal)`, each a fraction in [0, 1) of the
            way that it can travel within the photo.
        flip: mirrors the crop left to right.
        name: how an error calls the photo.

    Returns:
        uint8 `[size, size, 3]`; transparency lies over white.

    Raises:
        ImageError: no picture, damaged, over `MAX_PIXELS`, or a side shorter than `MIN_SIDE`.
        ValueError: `resize_to` is smaller than `size`.
    """
    if resize_to < size:
        raise ValueError(f"a crop of {size} px does not fit in a photo scaled to {resize_to} px")
    with _decoding(name, data):
        image = _upright(_open(data, name, enough=resize_to))
        colour, alpha = _split_alpha(image)
        rgb = colour.convert("RGB")
        if alpha is not None:
            rgb = Image.fromarray(over_white(np.asarray(rgb), np.asarray(alpha)))
        return _crop(rgb, size, resize_to, position, flip)


def crop(picture, size, resize_to, position, flip):
    """Cuts a training crop, uint8 `[size, size, 3]`, out of a picture, uint8 `[H, W, 3]`.

    The other arguments are those of `decode_crop`.
    """
    return _crop(Image.fromarray(picture), size, resize_to, position, flip)


def _crop(rgb, size, resize_to, position, flip):
    side = size * min(rgb.size) / resize_to
    top, left = ((full - side) * p for full, p in zip(rgb.size[::-1], position, strict=True))
    # Pillow refuses a box that rounding has put outside, by however little.
    box = (left, top, min(left + side, rgb.width), min(top + side, rgb.height))
    found = rgb.resize((size, size), Image.Resampling.LANCZOS, box, reducing_gap=2.0)
    return np.array(found.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip else found)


_limit_lock = threading.Lock()
_limit_users = 0
_limit_before = None


@contextlib.contextmanager
def own_pixel_limit():
    """Puts `MAX_PIXELS` for Pillow's own limit while any thread decodes here, then puts it back.

    Pillow warns from 89 million pixels on, which a panorama has, and the limit is one for the
    whole process.
    """
    global _limit_users, _limit_before
    with _limit_lock:
        if not _limit_users:
            _limit_before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, MAX_PIXELS
        _limit_users += 1
    try:
        yield
    finally:
        with _limit_lock:
            _limit_users -= 1
            if not _limit_users:
                Image.MAX_IMAGE_PIXELS = _limit_before


_PACKAGES = {"pi_heif": "pi-heif"}  # What pip calls those that it calls otherwise.
_KINDS = "JPEG, PNG, WebP, HEIC, AVIF, BMP, TIFF or GIF"


@contextlib.contextmanager
def _decoding(name, data):
    """Turns whatever Pillow raises on a bad file, which is nearly anything, into an ImageError."""
    try:
        with own_pixel_limit():
            yield
    except ImageError:
        raise
    except ImportError as error:
        package = _PACKAGES.get(error.name, error.name)
        raise ImageError(
            f"{name}: needs a package that is missing: pip install {package}"
        ) from error
    except UnidentifiedImageError:
        page = re.match(rb"\s*<(!doctype html|html)", data[:512], re.IGNORECASE)
        wanted = "the picture's own address" if page else f"a {_KINDS}"
        what = "a web page and not" if page else "not"
        raise ImageError(f"{name}: is {what} an image that can be read; give {wanted}") from None
    except Image.DecompressionBombError:
        raise _too_many_pixels(name) from None
    except MemoryError:
        raise ImageError(f"{name}: does not fit in memory; scale it down first") from None
    except Exception as error:
        raise ImageError(f"{name}: is damaged or incomplete ({files.reason_of(error)})") from error


def _too_many_pixels(name):
    return ImageError(
        f"{name}: has more than {MAX_PIXELS // 10**6} million pixels; scale it down first"
    )


def _open(data, name, enough=None):
    """Decodes `data` as it is stored; any Pillow mode.

    With `enough`, a short side in px, a JPEG may come smaller than it is but not below that, and a
    photo under `MIN_SIDE` is refused.
    """
    image = _open_head(data, name)
    if enough:
        width, height = image.size
        if min(width, height) < MIN_SIDE:
            raise ImageError(
                f"{name}: {width} x {height} px is too small; a side needs {MIN_SIDE} px"
            )
        image.draft(None, (enough, enough))
    _widen_clear_grey(image)
    image.load()
    return image


def _open_head(data, name):
    """An image whose pixels are not decoded yet."""
    # Pillow would also try formats that start other programs (EPS) or that nobody has tested here.
    formats = set(_FORMAT_OF.values())
    if data[4:8] == b"ftyp":  # HEIC, or AVIF; phones name such files .jpg too.
        _learn_heic()
        formats.add("HEIF")
    image = tiff.open_tiff(data, name) or Image.open(io.BytesIO(data), formats=sorted(formats))
    if image.width * image.height > MAX_PIXELS:
        raise _too_many_pixels(name)
    return image


def _widen_clear_grey(image):
    """Makes the transparent grey of a PNG of 2 or 4 bits one of the 8 that it is decoded to.

    Pillow widens the pixels alone, so that no pixel would match. Of one bit it widens both.
    """
    clear = image.info.get("transparency")
    if image.format != "PNG" or image.mode != "L" or not isinstance(clear, int):
        return
    widths = {"L;2": 255 // 3, "L;4": 255 // 15}
    image.info["transparency"] = clear * widths.get(image.tile[0].args, 1)


@functools.cache
def _learn_heic():
    """Adds HEIC to Pillow; only when such a file comes, since the import is slow."""
    import pi_heif

    pi_heif.register_heif_opener()


def _upright(image):
    """Turns a decoded image as its EXIF says; Pillow itself has turned a TIFF while loading it."""
    turn = TURNS.get(_orientation(image))
    return image if turn is None else image.transpose(turn)


def _frames_note(image):
    """A note for a file with several pictures, of which one is taken; or None."""
    # A phone's JPEG also has a preview or a depth map, which need no note.
    if image.format not in ("GIF", "PNG", "TIFF", "WEBP", "AVIF"):
        return None
    try:
        several = image.is_animated
    except Exception:  # A GIF looks for its second picture only now, and that may be damaged.
        return None
    if not several:
        return None
    kind = "a document of several pages" if image.format == "TIFF" else "animated"
    return f"{kind}, only its first picture is taken"


def _orientation(image):
    try:
        return image.getexif().get(_ORIENTATION, 1)
    except Exception:  # Broken EXIF is common, and no reason to lose the photo.
        return 1


def _portable_exif(image, keep_private):
    """The EXIF bytes that stay true in another file, or None; and a note where they are lost."""
    try:
        # Pillow raises for broken EXIF the first time alone, which was that for the orientation.
        Image.Exif().load(image.info.get("exif", b""))
        exif = image.getexif()
        # A new list, not the old one cut down: Pillow writes folders that it has read once even
        # when their entry is deleted, and a camera's thumbnail shows the photo as it was.
        kept = Image.Exif()
        wanted = _KEPT_TAGS + (_PRIVATE_TAGS if keep_private else ())
        kept.update({tag: _as_stored(exif[tag]) for tag in wanted if tag in exif})
        folder = dict(exif.get_ifd(_EXIF_FOLDER))
        wanted = set(folder) - _STALE_EXIF_TAGS if keep_private else _KEPT_EXIF_TAGS
        if folder := {tag: value for tag, value in folder.items() if tag in wanted}:
            kept[_EXIF_FOLDER] = folder
        if keep_private and (place := dict(exif.get_ifd(_GPS_FOLDER))):
            kept[_GPS_FOLDER] = place
        data = kept.tobytes() if len(kept) else None
    except Exception:
        return None, "EXIF cannot be read, left out"
    if data and len(data) > 65_000:  # A JPEG has room for 65533 bytes.
        return None, "EXIF too long, left out"
    return data, None


def _as_stored(value):
    """A value of EXIF as Pillow writes it unchanged: of a text that it has read, the very bytes.

    Pillow reads every byte as Latin-1 and writes all that is no ASCII as question marks, such as
    the letters of most names, which are in UTF-8.
    """
    return value.encode("latin-1") if isinstance(value, str) else value


def _split_alpha(image):
    """Splits an image of any mode in 8-bit colour (mode L, RGB or CMYK) and alpha (L or None)."""
    if image.mode == "F" or image.mode.startswith("I"):
        return _deep_grey_to_8_bit(image)
    if image.has_transparency_data:
        image = image.convert("LA" if image.mode in ("1", "L", "LA", "La") else "RGBA")
        return image.convert("L" if image.mode == "LA" else "RGB"), image.getchannel("A")
    return (image if image.mode in ("L", "RGB", "CMYK") else image.convert("RGB")), None


def _deep_grey_to_8_bit(image):
    """Scales 16-bit, 32-bit and float grey to 8 bits, where Pillow's own conversion would clip."""
    # Pillow's mode I, of 32 bits, holds PNGs of 16.
    whites = tiff.FLOAT_WHITES if image.mode == "F" else (65535,)
    grey = Image.fromarray(tiff.scaled(np.asarray(image), whites))
    clear = image.info.get("transparency")
    if clear is None:
        return grey, None
    return grey, Image.fromarray(np.where(np.asarray(image) == clear, 0, 255).astype(np.uint8))


def _to_srgb(image, profile):
    """Converts an image of mode L, RGB or CMYK to RGB through its ICC profile's bytes, if any.

    Returns:
        The RGB image, and a note or None.
    """
    if not profile:
        return image.convert("RGB"), None
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        title = _title_of(source)
        if image.mode == "RGB" and title.startswith("sRGB") and _is_srgb(profile):
            return image, None
        if image.mode == "L" and source.profile.xcolor_space.strip() == "RGB":
            image = image.convert("RGB")  # Grey saved with the profile of its editor.
        converted = _converted(image, source)
    except Exception:  # PyCMSError and OSError, and more from broken text in the profile.
        return image.convert("RGB"), "colour profile cannot be used, colours taken as sRGB"
    return converted, f"colour profile '{title}' converted to sRGB"


def _converted(image, source):
    return ImageCms.profileToProfile(
        image,
        source,
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        outputMode="RGB",
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )


@functools.lru_cache(maxsize=16)  # A folder of photos has few profiles.
def _is_srgb(profile):
    """Whether a profile's bytes mean sRGB; some are called so and are linear, for example."""
    ramp = np.arange(0, 256, 5, dtype=np.uint8)[:, None]
    colours = np.stack([ramp * np.array(on, np.uint8) for on in ((1, 1, 1), *np.eye(3))])
    colours = colours.astype(np.uint8)
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    found = np.asarray(_converted(Image.fromarray(colours), source))
    return np.abs(found.astype(int) - colours).max() <= _AS_SRGB


def _coded_colours_note(image):
    """What to say where a HEIC names its colours by the numbers of ITU-T H.273, or None."""
    coded = image.info.get("nclx_profile")
    if not coded or image.info.get("icc_profile"):
        return None
    primaries = {9: "Rec. 2020", 11: "DCI-P3", 12: "Display P3"}.get(coded["color_primaries"])
    curve = {16: "PQ", 18: "HLG"}.get(coded["transfer_characteristics"])
    names = " ".join(name for name in (primaries, curve) if name)
    return f"colours of {names} taken as sRGB" if names else None


def _title_of(profile):
    """A profile's own name, without what could steer the terminal that it is shown on."""
    words = (profile.profile.profile_description or "").split()
    return "".join(c for c in " ".join(words) if c.isprintable())[:60] or "unnamed"


# --- Arrays --------------------------------------------------------------------------------------


def over_white(rgb, alpha):
    """Lays uint8 `[H, W, 3]` with alpha uint8 `[H, W]` over white; without alpha it stays as is."""
    if alpha is None:
        return rgb
    weight = alpha[..., None].astype(np.uint16)
    # 127 rounds to nearest; 255 * 255 + 127 still fits in 16 bits.
    return ((rgb * weight + 255 * (255 - weight) + 127) // 255).astype(np.uint8)


def for_network(picture, max_side):
    """A `Picture`'s colours and its alpha or None, both scaled as by `at_most`.

    What alpha hides altogether becomes white: nobody has seen those colours, and the network would
    spread them over the whole picture.
    """
    rgb, alpha = picture.rgb, picture.alpha
    if alpha is None:
        return at_most(rgb, max_side), None
    rgb = np.where(alpha[..., None] == 0, np.uint8(255), rgb)
    return at_most(rgb, max_side), at_most(alpha, max_side)


def resize(rgb, height, width):
    """Resamples with Lanczos's filter, which averages when it scales down.

    Args:
        rgb: uint8 or float `[H, W, C]` or `[H, W]`, any range.
        height: the new height, px.
        width: the new width, px.

    Returns:
        The same dtype. What the filter overshoots is clipped: of floats beyond the input's own
        range, of uint8 beyond 0-255.
    """
    if rgb.dtype == np.uint8:
        return np.array(Image.fromarray(rgb).resize((width, height), Image.Resampling.LANCZOS))
    planes = rgb.astype(np.float32).reshape(*rgb.shape[:2], -1)
    scaled = [
        np.asarray(Image.fromarray(plane).resize((width, height), Image.Resampling.LANCZOS))
        for plane in np.moveaxis(planes, -1, 0)
    ]
    clipped = np.clip(np.stack(scaled, axis=-1), planes.min(), planes.max())
    return clipped.reshape(height, width, *rgb.shape[2:]).astype(rgb.dtype)


def to_levels(picture):
    """A picture in 0-255, as the nearest uint8; what lies outside is cut off."""
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def at_most(picture, max_side):
    """A picture scaled down so that its long side has `max_side` px; a smaller one as it is.

    Args:
        picture: as for `resize`.
        max_side: px; 0 for any.
    """
    height, width = picture.shape[:2]
    scale = max_side / max(height, width)
    if not 0 < scale < 1:
        return picture
    return resize(picture, max(1, round(height * scale)), max(1, round(width * scale)))


# --- Writing -------------------------------------------------------------------------------------


def save_picture(path, rgb, alpha=None, *, quality=92, exif=None):
    """Writes a picture in the format of `path`'s suffix, whole or not at all; makes its folders.

    Args:
        path: a suffix in `OUTPUTS`, in either case.
        rgb: `[H, W, 3]`, uint8, or float 0–255, which is rounded and clipped.
        alpha: uint8 `[H, W]` or None; JPEG and BMP have none and get the picture over white.
        quality: 1–100, for JPEG, WebP and AVIF.
        exif: EXIF bytes such as `Picture.exif`; BMP and GIF have none.

    Raises:
        ImageError: the suffix is unknown, the format cannot hold the size, or writing fails.
        ValueError: a float picture holds NaN.
    """
    path = Path(path)
    check_output(path)
    if rgb.dtype != np.uint8:
        if np.isnan(rgb).any():
            raise ValueError(f"{path}: the picture to write holds NaN")
        rgb = to_levels(rgb)
    with files.writing(path, also=[ValueError], kind=ImageError):
        # Encoded in memory, since Pillow's encoders report a full disk as "encoder error -2".
        kind = _FORMAT_OF[path.suffix.lower()]
        data = encode(rgb, kind, alpha, quality=quality, exif=exif)
        with files.atomic_path(path) as temporary:
            temporary.write_bytes(data)


def check_output(path, flag=""):
    """Raises an ImageError where a picture's path, a `Path`, has an unknown suffix or is a folder.

    Args:
        path: where the picture is to be written.
        flag: the option that named it, for the error, such as `‹output›`.
    """
    name = f"{flag} {path}".lstrip()
    if path.suffix.lower() not in OUTPUTS:
        known = " ".join(sorted(OUTPUTS))
        raise ImageError(f"{name}: the suffix names no known format; use one of {known}")
    if os.path.isdir(path):
        raise ImageError(f"{name}: is a folder; give a file name")


def save_or_rescue(path, picture):
    """Writes a picture that took long to make; if `path` fails, to a temporary file.

    Raises:
        ImageError: `path` cannot be written; it tells where the picture is.
    """
    try:
        save_picture(path, picture)
    except ImageError as error:
        try:
            rescue = Path(tempfile.mkdtemp(prefix="fst-")) / f"{Path(path).stem}.png"
            save_picture(rescue, picture)
        except (OSError, ImageError):
            raise error from None
        raise ImageError(f"{error}; the picture is in {rescue}") from error


def check_fits(file_format, height, width):
    """Raises a ValueError where a format, by Pillow's name, cannot hold a picture of that size."""
    longest = MAX_SIDES.get(file_format)
    if longest and max(height, width) > longest:
        raise ValueError(f"{file_format} holds {longest} px a side at most")


def encode(rgb, file_format, alpha=None, *, quality=92, exif=None):
    """The bytes of a picture file.

    Args:
        rgb: uint8 `[H, W, 3]`.
        file_format: Pillow's name, such as `"JPEG"` or `"PNG"`.
        alpha, quality, exif: as for `save_picture`.

    Raises:
        OSError, ValueError: the format cannot hold the picture's size.
    """
    check_fits(file_format, *rgb.shape[:2])
    if file_format in ("JPEG", "BMP"):
        rgb, alpha = over_white(rgb, alpha), None
    image = Image.fromarray(rgb)
    if alpha is not None:
        image.putalpha(Image.fromarray(alpha))
    options = {
        # 4:4:4 keeps colour at full resolution: stylised pictures have sharp coloured edges.
        "JPEG": {"quality": quality, "subsampling": "4:4:4"},
        "AVIF": {"quality": quality, "subsampling": "4:4:4"},
        # exact keeps the colour of transparent pixels.
        "WEBP": {"quality": quality, "exact": True},
    }.get(file_format, {})
    if exif and file_format not in ("BMP", "GIF"):
        options["exif"] = _for_tiff(exif) if file_format == "TIFF" else exif
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def _for_tiff(data):
    """EXIF's bytes as Pillow takes them for a TIFF, where it reads and writes them once more."""
    exif = Image.Exif()
    exif.load(data)
    exif.update({tag: _as_stored(value) for tag, value in exif.items()})
    return exif
