"""Every style on the visitor's own photo, small: each painted once and kept as a JPEG."""

import collections
import threading

import numpy as np

from fst.media import images
from fst.page import studio

SIDE = 160
"""Height and width of a thumbnail, px."""

_MOST = 2000  # of some 6 kB each

_kept: collections.OrderedDict = collections.OrderedDict()
_one_at_a_time = threading.Lock()


def kept(upload, style):
    """The thumbnail, a JPEG's bytes, if it has been painted; else None.

    Args:
        upload: the `fst.page.uploads.Upload`.
        style: a `fst.checkpoint.Checkpoint`.

    Raises:
        UserError: the style is gone.
    """
    return _kept.get(_key(upload, style))


def paint(upload, style):
    """As `kept`, but painted if it has not been.

    Raises:
        UserError: the style is gone or damaged.
    """
    key = _key(upload, style)
    data = _kept.get(key)
    if data is None:
        data = images.encode(studio.stylise(style, square(upload)), "JPEG")
        with _one_at_a_time:
            _kept[key] = data
            while len(_kept) > _MOST:
                _kept.popitem(last=False)
    return data


def pale(upload):
    """What is shown until a thumbnail has been painted: the photo, half faded."""
    return 255 - (255 - square(upload)) // 2


def square(upload):
    """The middle of the photo, uint8 `[160, 160, 3]`."""
    photo = upload.preview
    height, width, _ = photo.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    middle = photo[top : top + side, left : left + side]
    return np.ascontiguousarray(images.resize(middle, SIDE, SIDE))


def _key(upload, style):
    return upload.digest, style, studio.trained_at(style)
