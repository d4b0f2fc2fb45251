"""The networks behind the page: each loaded once, and one picture at a time."""

import dataclasses
import threading

import matplotlib.cbook
import numpy as np
import streamlit as st

import fst
from fst import checkpoint, images, look
from fst.errors import UserError
from fst.page import settings, uploads

# One network call at a time, for all visitors: a second would not be faster, and would take its
# memory beside the first. Full pictures are decoded under it too.
_one_at_a_time = threading.Lock()


@dataclasses.dataclass(frozen=True)
class Look:
    """What the controls say; see `fst.look`."""

    strength: float = 1.0
    preserve_color: bool = False
    scale: float = 1.0
    saturation: float = 1.0
    contrast: float = 1.0
    sharpen: float = 1.0


def names():
    """The names of the styles that can be applied, sorted."""
    root = settings.styles_folder()
    return [n for n in checkpoint.names(root) if _file(n).is_file()]


def thumbnail(name):
    """A sample photo in a style, uint8 `[192, 192, 3]`; made once, and again when trained anew."""
    return _thumbnail(name, _file(name).stat().st_mtime_ns)


def stylise(name, rgb, scale=1.0):
    """A picture in a style, before the rest of the look; waits for its turn.

    Args:
        name: of the style.
        rgb: uint8 `[H, W, 3]`.
        scale: as for `fst.look.at_scale`.

    Raises:
        UserError: the style is gone or damaged, or the enlarged picture is too large.
    """
    height, width, _ = rgb.shape
    if height * width * scale**2 > uploads.MAX_PIXELS:
        raise UserError(
            f"{width} x {height} px at stroke size {scale:g} is too large for this page; choose "
            "coarser strokes"
        )
    model = _model(name, _file(name).stat().st_mtime_ns)
    with _one_at_a_time:
        return look.at_scale(model, rgb, scale)


def dress(photo, stylised, settings_of_look):
    """The stylised picture with strength, colours and finish, uint8 `[H, W, 3]`."""
    wanted = settings_of_look
    mixed = look.blend(photo, stylised, wanted.strength, wanted.preserve_color)
    return look.finish(mixed, wanted.sharpen, wanted.contrast, wanted.saturation)


_one_full = threading.Lock()


def full_size(upload, name, wanted, kind):
    """The whole photo in a style, as a file's bytes; one visitor's at a time.

    Args:
        upload: the `fst.page.uploads.Upload`.
        name: of the style.
        wanted: the `Look`.
        kind: `"JPEG"` or `"PNG"`.
    """
    with _one_full:
        picture = images.load_picture(upload.name, upload.data)
        photo = images.over_white(picture.rgb, picture.alpha)
        result = dress(photo, stylise(name, photo, wanted.scale), wanted)
        return images.encode(result, kind, picture.alpha, exif=picture.exif)


def _file(name):
    return checkpoint.Checkpoint(settings.styles_folder() / name).weights_path


@st.cache_resource(max_entries=8, show_spinner=False)
def _model(name, trained_at):
    return fst.load(name, settings.styles_folder(), engine="auto")


@st.cache_data(max_entries=64, show_spinner=False)
def _thumbnail(name, trained_at):
    model = _model(name, trained_at)
    with _one_at_a_time:
        return model(_sample())


def _sample():
    with matplotlib.cbook.get_sample_data("grace_hopper.jpg") as file:
        photo = images.load_picture("sample", file.read()).rgb
    side = min(photo.shape[:2])
    return np.ascontiguousarray(images.resize(photo[:side, :side], 192, 192))
