"""Pictures that visitors give: their headers are checked before anything is decoded."""

import dataclasses
import hashlib
import threading

import numpy as np

from fst import files
from fst.media import images

MAX_PIXELS = 50_000_000
"""The largest picture that is taken."""

TYPES = sorted(suffix[1:] for suffix in images.EXTENSIONS)
"""What a picture's file may be called, without the dot."""

PREVIEW = 704
"""Long side of the preview, px."""


# Ten large photos decoded at once would take gigabytes.
_one_at_a_time = threading.Lock()


@dataclasses.dataclass(frozen=True)
class Upload:
    """A picture that was given: its bytes, and what is shown while one chooses.

    Attributes:
        name: the file's name.
        data: its bytes.
        digest: their SHA-256.
        size: width and height, upright, px.
        preview: uint8 `[H, W, 3]`, upright, over white, the long side at most `PREVIEW` px.
    """

    name: str
    data: bytes
    digest: str
    size: tuple[int, int]
    preview: np.ndarray


def open_upload(name, data):
    """Checks a file and makes its preview.

    Args:
        name: the file's name, for errors.
        data: its bytes.

    Returns:
        An `Upload`.

    Raises:
        ImageError: it is empty, no picture, damaged, or over `MAX_PIXELS`.
    """
    check(name, data)
    with _one_at_a_time:
        picture = images.load_picture(name, data)
        rgb = images.over_white(picture.rgb, picture.alpha)
        height, width = rgb.shape[:2]
        small = images.at_most(rgb, PREVIEW)
    return Upload(name, data, hashlib.sha256(data).hexdigest(), (width, height), small)


def check(name, data):
    """Raises an ImageError unless the file's head is that of a picture within `MAX_PIXELS`."""
    if not data:
        raise files.ImageError(f"{name}: is empty; give a picture")
    count = images.count_pixels(name, data)
    if count > MAX_PIXELS:
        raise files.ImageError(
            f"{name}: has {count / 1e6:.0f} million pixels, more than the "
            f"{MAX_PIXELS // 10**6} that this page takes; scale it down first"
        )
