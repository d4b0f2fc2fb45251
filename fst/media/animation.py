"""An animated picture read as a film: GIF, WebP, PNG or AVIF."""

import contextlib
import dataclasses
from fractions import Fraction

import numpy as np
from PIL import Image

from fst import files
from fst.files import ImageError
from fst.media import clip, images
from fst.words import plural

_KINDS = ("GIF", "WEBP", "PNG", "AVIF")
_MAX_HASTE = 10  # ms: frames that are to be shown no longer, all browsers show for
_SLOWER = 100  # ms


@dataclasses.dataclass
class Frame:
    """One picture of an animation, RGBA, and from when, how long it is shown, ms.

    A GIF being written lets one last for those that it leaves out after it.
    """

    pts: int
    duration: int
    image: Image.Image


def is_animation(path):
    """Whether a file is a picture that moves, whatever it is called; only its head is read."""
    if not clip.is_regular(path):  # A pipe would be waited for.
        return False
    try:
        with Image.open(path, formats=_KINDS) as image:
            return bool(image.is_animated)
    except Exception:  # Pillow raises nearly anything on a bad file.
        return False


class Animation:
    """An animation that is open for reading, with the face of `fst.media.clip.Clip`.

    Args:
        source: its path.

    Raises:
        ImageError: it cannot be read.
    """

    time_base = Fraction(1, 1000)
    aspect = Fraction(1)
    sounds = chapters = ()

    def __init__(self, source):
        self.name = files.printable(source)
        self.tags, self.notes = {}, []
        with self._reading():
            self._image = Image.open(source, formats=_KINDS)
        if self._image.width * self._image.height > images.MAX_PIXELS:
            raise ImageError(f"{self.name}: has too many pixels; scale it down first")
        # In a PNG the first picture may be only for programs that know no animation.
        self._first = int(getattr(self._image, "default_image", False))
        self.total = self._count() - self._first

    def _count(self):
        """How many pictures there are, of a damaged file those up to the damage."""
        try:
            with self._reading():
                return self._image.n_frames
        except ImageError:  # From a GIF, which is read to its end for that.
            count = self._image.tell() + 2  # With the damaged one, of which `frames` will tell.
            with self._reading():
                self._image.seek(0)
            return count

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._image.close()

    @property
    def rate(self):
        """None: each picture has a time of its own."""
        return None

    def frames(self, on_sound):
        """Yields its `Frame`s; what comes behind a damaged one is left out and told in `notes`."""
        time = 0
        for index in range(self._first, self._first + self.total):
            try:
                with self._reading():
                    self._image.seek(index)
                    picture = self._image.convert("RGBA")
            except ImageError:
                if not time:
                    raise
                read = plural(index - self._first, "picture")
                self.notes.append(f"damaged, {read} could be read")
                return
            duration = round(self._image.info.get("duration") or 0)
            duration = duration if duration > _MAX_HASTE else _SLOWER
            yield Frame(time, duration, picture)
            time += duration

    def picture(self, frame):
        """A frame as uint8 `[H, W, 3]` RGB, on white where it is transparent."""
        pixels = np.asarray(frame.image)
        if pixels[..., 3].min() < 255 and "what is transparent becomes white" not in self.notes:
            self.notes.append("what is transparent becomes white")
        return images.over_white(pixels[..., :3], pixels[..., 3])

    @contextlib.contextmanager
    def _reading(self):
        try:
            yield
        except MemoryError:
            raise
        except Exception as error:  # Pillow raises nearly anything on a bad file.
            reason = files.reason_of(error)
            raise ImageError(f"{self.name}: is damaged or incomplete ({reason})") from error
