"""TIFFs that Pillow does not know, or takes for others: deep samples, planes, rare layouts.

Pillow knows a list of layouts and knows them well while a sample has 8 bits. Beyond, it may take 12
bits for 16, black for white, or the planes of three colours for one picture in stripes. What is not
on the list here is decoded by tifffile and interpreted below, or refused in words.
"""

import io
import logging
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFile, TiffImagePlugin

from fst.files import ImageError

_BIG = (b"II+\0", b"MM\0+")  # BigTIFF, in either order of bytes
MAGICS = (b"II*\0", b"MM\0*", *_BIG)
"""What a TIFF begins with."""

_WHITE_IS_ZERO, _GREY, _RGB, _PALETTE, _CMYK, _YCBCR, _LAB = 0, 1, 2, 3, 5, 6, 8
_COLOURS = {_WHITE_IS_ZERO: 1, _GREY: 1, _RGB: 3, _PALETTE: 1, _CMYK: 4, _LAB: 3}
_NAMES = {
    4: "a mask",
    _YCBCR: "YCbCr colours",
    9: "Lab colours",
    10: "Lab colours",
    32844: "LogLuv colours",
    32845: "LogLuv colours",
}
# Kinds and numbers of samples of 8 bits that Pillow knows; of the latter it mistakes the planes.
_PILLOWS = ((_RGB, 3), (_RGB, 4), (_CMYK, 4))
_PILLOWS_CHUNKY = ((_GREY, 2), (_LAB, 3))
_PLANAR = 2
_UNSIGNED, _SIGNED, _FLOAT, _UNTOLD = 1, 2, 3, 4
_JPEGS = (6, 7)  # Their subsampling is the decoder's affair.
_PREMULTIPLIED, _ALPHA = 1, 2
_MOST_EXTRA = 4  # samples beyond the colours: more are no photo's

# Tags, by their numbers in TIFF 6.0 and in the DNG specification.
_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 254, 256, 257, 258, 259, 262
_FILL_ORDER, _ORIENTATION, _SAMPLES, _PLANES, _SUBFILES = 266, 274, 277, 284, 330
_EXTRA, _FORMAT, _SUBSAMPLING, _PROFILE, _DNG = 338, 339, 530, 34675, 50706
_RAW_PHOTOMETRICS = (32803, 34892)  # the sensor's own samples


class _Layout(NamedTuple):
    """How a TIFF holds its samples; the names are the tags'."""

    bits: int
    photometric: int
    samples: int
    planar: bool
    format: int
    compression: int
    subsampled: bool
    reversed_bits: bool
    extra: int | None

    @property
    def colours(self):
        return _COLOURS.get(self.photometric, self.samples)


def read_tags(file):
    """The tags of a TIFF's first picture by their numbers, or None where they cannot be read.

    Args:
        file: open for reading in bytes, at its beginning.
    """
    try:
        head = file.read(16)
        tags = TiffImagePlugin.ImageFileDirectory_v2(head if head[:4] in _BIG else head[:8])
        file.seek(tags.next)
        tags.load(file)
        return tags
    except Exception:  # Whatever a damaged file makes Pillow raise.
        return None


def is_raw(tags):
    """Whether these are a camera's raw photo's, of which the first picture is but a small copy."""
    reduced = isinstance(tags.get(_SUBFILE), int) and tags[_SUBFILE] & 1
    raw = tags.get(_PHOTOMETRIC) in _RAW_PHOTOMETRICS
    return bool(raw or _DNG in tags or (reduced and _SUBFILES in tags))


def open_tiff(data, name):
    """Opens a TIFF that is not Pillow's to read; its pixels are not decoded yet.

    Args:
        data: the bytes of the file.
        name: how an error calls it.

    Returns:
        A Pillow image which, once loaded, has 8 bits a sample; None where Pillow itself reads it
        right, or where it is no TIFF or damaged, which Pillow is then to tell.

    Raises:
        ImageError: nobody here reads it.
    """
    if data[:4] not in MAGICS:
        return None
    if data[:4] == b"MM\0+":  # Of which Pillow reads no tags.
        raise _refusal(name, "64-bit places in big-endian order (BigTIFF)")
    tags = read_tags(io.BytesIO(data))
    if not tags:
        return None
    if is_raw(tags) or data[8:10] == b"CR":
        raise ImageError(f"{name}: is a camera's raw photo; develop it to a JPEG or TIFF first")
    layout = _layout(tags, name)
    if _pillow_reads(layout):
        return None
    _check(layout, name)
    return _Deep(io.BytesIO(data), name)


def _layout(tags, name):
    bits, formats = _values(tags, _BITS, 1), _values(tags, _FORMAT, _UNSIGNED)
    if len({*bits}) != 1 or len({*formats}) != 1:
        raise _refusal(name, "samples of several kinds")
    photometric = tags.get(_PHOTOMETRIC, _GREY)
    compression = tags.get(_COMPRESSION, 1)
    # A JPEG within a TIFF tells its number of colours itself.
    in_colour = compression in _JPEGS and photometric in (_RGB, _YCBCR)
    samples = tags.get(_SAMPLES, 3 if in_colour else len(bits))
    extra = _values(tags, _EXTRA, None)[0]
    if extra is None and samples == _COLOURS.get(photometric, samples) + 1:
        extra = _ALPHA  # Not told: that is what a fourth sample beside RGB mostly is.
    return _Layout(
        bits=bits[0],
        photometric=photometric,
        samples=samples,
        planar=tags.get(_PLANES) == _PLANAR,
        format=_UNSIGNED if formats[0] == _UNTOLD else formats[0],
        compression=compression,
        subsampled=_values(tags, _SUBSAMPLING, 2) != (1, 1),
        reversed_bits=tags.get(_FILL_ORDER) == 2 and compression not in _JPEGS,
        extra=extra,
    )


def _values(tags, number, default):
    values = tags.get(number, default)
    return values if isinstance(values, tuple) and values else (values,)


def _pillow_reads(layout):
    known = layout.compression in TiffImagePlugin.COMPRESSION_INFO
    if not known or layout.format != _UNSIGNED or layout.bits not in (1, 2, 4, 8):
        return False
    if layout.reversed_bits and layout.bits > 1:
        return False
    if layout.samples == 1:
        grey = layout.photometric in (_WHITE_IS_ZERO, _GREY, _PALETTE)
        return grey and not layout.planar
    if layout.bits != 8:
        return False
    if layout.photometric == _YCBCR:
        return layout.compression in _JPEGS or not (layout.subsampled or layout.planar)
    kind = layout.photometric, layout.samples
    return kind in _PILLOWS or (kind in _PILLOWS_CHUNKY and not layout.planar)


def _check(layout, name):
    """Raises an ImageError for what is not interpreted here either."""
    if layout.photometric not in _COLOURS:
        named = _NAMES.get(layout.photometric, f"colours of the kind {layout.photometric}")
        raise _refusal(name, f"{named} of {layout.bits} bits")
    whole = layout.format in (_UNSIGNED, _SIGNED)
    depths = (*range(1, 17), 32, 64) if whole else (16, 32, 64)
    signed = layout.format == _SIGNED and layout.bits not in (8, 16, 32, 64)
    if layout.format not in (_UNSIGNED, _SIGNED, _FLOAT) or layout.bits not in depths or signed:
        kind = {_UNSIGNED: "", _SIGNED: "signed ", _FLOAT: "float "}.get(layout.format, "complex ")
        raise _refusal(name, f"{kind}samples of {layout.bits} bits")
    most = {_PALETTE: range(1, 17), _LAB: (8, 16)}.get(layout.photometric, depths)
    if layout.bits not in most or (most is not depths and layout.format != _UNSIGNED):
        named = "a palette" if layout.photometric == _PALETTE else "Lab colours"
        raise _refusal(name, f"{named} of {layout.bits} bits")
    if not 0 <= layout.samples - layout.colours <= _MOST_EXTRA:
        raise _refusal(name, f"{layout.samples} samples a pixel")


def _refusal(name, what):
    return ImageError(
        f"{name}: is a TIFF with {what}, which cannot be read; save it with 8 or 16 bits, in RGB "
        "or grey"
    )


class _Deep(ImageFile.ImageFile):
    """A TIFF as Pillow's image, decoded by tifffile when it is loaded."""

    format = "TIFF"

    def _open(self):
        tags = read_tags(self.fp)
        self._layout = _layout(tags, self.filename)
        self._size = tags[_WIDTH], tags[_HEIGHT]
        self._mode = _mode(self._layout)
        self.is_animated = bool(tags.next)
        if _PROFILE in tags:
            self.info["icc_profile"] = tags[_PROFILE]
        self.info["exif"] = _exif(tags, self.fp.getvalue())
        self._loaded = False

    def load(self):
        if not self._loaded:
            self._loaded = True
            bands = _decode(self.fp, self._layout)
            self.im = Image.merge(self._mode, [Image.fromarray(band) for band in bands]).im
        return super().load()


def _exif(tags, data):
    if data[:4] not in _BIG:
        return data  # EXIF is a small TIFF, so that a TIFF's own tags are read as EXIF.
    exif = Image.Exif()  # Pillow reads no large ones: which way is up must do.
    exif[_ORIENTATION] = tags.get(_ORIENTATION, 1)
    return exif.tobytes()


def _mode(layout):
    """Pillow's mode of the picture once it has 8 bits a sample."""
    modes = {_RGB: "RGB", _PALETTE: "RGB", _CMYK: "CMYK", _LAB: "LAB"}
    mode = modes.get(layout.photometric, "L")
    has_alpha = layout.samples > layout.colours and mode in ("L", "RGB")
    return mode + {_ALPHA: "A", _PREMULTIPLIED: "a"}.get(layout.extra, "") * has_alpha


def _decode(file, layout):
    """The bands of the layout's mode, each uint8 `[H, W]`."""
    import tifffile  # Only when such a file comes.

    # It would report a damaged file besides the error that names it.
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    file.seek(0)
    with tifffile.TiffFile(file) as tiff:
        page = tiff.pages[0]
        _check_whole(page, file)
        # One sample's plane after the other, then what has but one plane.
        planes = page.asarray(squeeze=False)[:, 0]
        planes = planes[..., 0] if len(planes) > 1 else np.moveaxis(planes[0], -1, 0)
        planes = planes.astype(np.uint8) if planes.dtype == bool else planes
        if layout.photometric == _LAB:
            return _levels(planes[:1], layout) + [_chroma(p, layout.bits) for p in planes[1:3]]
        if layout.photometric == _PALETTE:
            palette = np.rint(page.colormap / 257).astype(np.uint8)
            bands = [channel[planes[0]] for channel in palette]
        else:
            bands = _levels(planes[: layout.colours], layout)
        if layout.photometric == _WHITE_IS_ZERO:
            bands = [255 - band for band in bands]
        if _mode(layout) in ("LA", "La", "RGBA", "RGBa"):
            bands += _levels(planes[layout.colours :][:1], layout)
        return bands


def _check_whole(page, file):
    """Raises an OSError where parts are missing, which tifffile would make black."""
    size = file.seek(0, io.SEEK_END)
    parts = zip(page.dataoffsets, page.databytecounts, strict=True)
    if page.imagedepth != 1 or not all(0 < count <= size - at for at, count in parts):
        raise OSError("parts of it are missing")


def _levels(bands, layout):
    if layout.format == _UNSIGNED:
        white = 2**layout.bits - 1
        if layout.bits > 16:
            return [np.rint(band * (255 / white)).astype(np.uint8) for band in bands]
        table = np.rint(np.arange(white + 1) * (255 / white)).astype(np.uint8)
        return [table[band] for band in bands]
    if layout.format == _FLOAT:
        return list(scaled(bands, FLOAT_WHITES))
    return list(scaled(bands, (2 ** min(layout.bits - 1, 16) - 1,)))


def _chroma(band, bits):
    """Lab's a or b, of either sign, as Pillow holds it: 128 more."""
    above = band.astype(np.int32) ^ (1 << (bits - 1))
    return np.minimum((above + (1 << (bits - 8)) // 2) >> (bits - 8), 255).astype(np.uint8)


FLOAT_WHITES = (1, 255, 65535)
"""What white may be where samples are floats."""


def scaled(values, whites):
    """Brings samples whose white is not told to 8 bits.

    Args:
        values: numbers of any type and shape; what is not finite counts as 0.
        whites: what white may be, rising. It is the first of them that is not below the brightest
            sample. Where there is none, or a sample is negative, all are stretched from the darkest
            to the brightest.

    Returns:
        uint8 of the same shape.
    """
    values = np.nan_to_num(np.asarray(values, np.float64), posinf=0.0, neginf=0.0)
    low, high = values.min(), values.max()
    white = next((white for white in whites if high <= white), None)
    if low < 0 or white is None:
        values, white = values - low, high - low or 1
    return np.rint(values * (255 / white)).astype(np.uint8)
