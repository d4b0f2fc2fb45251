"""The networks behind the page: each loaded once, and one picture at a time."""

import contextlib
import threading

import matplotlib.cbook
import streamlit as st

from fst import checkpoint, collection
from fst.errors import UserError
from fst.media import images
from fst.page import settings, uploads
from fst.stylize import look
from fst.stylize.stylizer import SharedNetwork, Stylizer

# Previews and full pictures have a lock each: behind a large photo a preview would wait for
# minutes. Two at a time of the same kind would not be faster, and would take their memory at once.
_one_preview = threading.Lock()
_one_full = threading.Lock()

_WHOLE_BYTES = 2 * 2**30  # of memory: a picture that needs more is worked on strip by strip


def styles():
    """The styles that can be applied: a dictionary from names, sorted, to `Checkpoint`s."""
    root = settings.styles_folder()
    found = {name: collection.find(name, root) for name in collection.names(root)}
    return {name: style for name, style in found.items() if style.weights_path.is_file()}


def partners(name, found):
    """The names of the styles that a style can be blended with: the others of its gallery.

    Args:
        name: of the style.
        found: what `styles` returned.
    """
    style = found[name]
    if style.style_weights is None:
        return []
    return [n for n, s in found.items() if s.folder == style.folder and n != name]


def blend(style, other, share):
    """The blend of two styles of one gallery, a `Checkpoint`.

    Args:
        style: the `Checkpoint` of the one.
        other: the `Checkpoint` of the other.
        share: of the other, 0-1.
    """
    pairs = zip(style.style_weights, other.style_weights, strict=True)
    weights = tuple((1 - share) * one + share * two for one, two in pairs)
    return checkpoint.Checkpoint(style.folder, weights)


@st.cache_resource(show_spinner=False)
def sample():
    """A photo for visitors who have none at hand, an `Upload`: Grace Hopper, public domain."""
    with matplotlib.cbook.get_sample_data("grace_hopper.jpg") as file:
        return uploads.open_upload("grace_hopper.jpg", file.read())


def preview(upload, style, scale=1.0):
    """A photo's preview in a style, before the rest of the look; the last few are kept.

    Args:
        upload: the `fst.page.uploads.Upload`.
        style: the `Checkpoint` of a style or blend.
        scale: as for `fst.stylize.look.at_scale`.

    Raises:
        UserError: as `stylise`.
    """
    return _preview(upload.digest, style, trained_at(style), scale, upload.preview)


def stylise(style, rgb, scale=1.0):
    """A small picture in a style, before the rest of the look; waits for its turn.

    Args:
        style: the `Checkpoint` of a style or blend.
        rgb: uint8 `[H, W, 3]`.
        scale: as for `fst.stylize.look.at_scale`.

    Raises:
        UserError: the style is gone or damaged, or the enlarged picture is too large.
    """
    _check_size(rgb, scale)
    model = _model(style, trained_at(style))
    with _one_preview:
        return look.at_scale(model, rgb, scale)


def full_size(upload, style, wanted, kind, max_side=0, tell=lambda words, share=0.0: None):
    """The whole photo in a style, as a file's bytes; one visitor's at a time.

    Args:
        upload: the `fst.page.uploads.Upload`.
        style: the `Checkpoint` of a style or blend.
        wanted: the `fst.config.Look`.
        kind: `"JPEG"` or `"PNG"`.
        max_side: what a longer side is scaled down to first, px; 0: nothing.
        tell: a function that is told, again and again, what goes on and which share of it is done,
            0-1; if it raises, as Streamlit does where the visitor has gone, the work ends.

    Returns:
        The bytes, and the picture as a preview, uint8 `[H, W, 3]`.

    Raises:
        UserError: the style is gone or damaged, or the enlarged picture is too large.
    """
    with _turn(tell):
        tell("reading the photo …")
        picture = images.load_picture(upload.name, upload.data)
        photo, alpha = images.for_network(picture, max_side)
        _check_size(photo, wanted.scale)
        try:  # Before the painting, which takes its time.
            images.check_fits(kind, *photo.shape[:2])
        except ValueError as error:
            raise UserError(f"{error}: choose PNG or a smaller size") from None
        stylised = _paint(style, photo, wanted.scale, tell)
        tell("writing the file …", 1.0)
        result = look.dress(photo, stylised, wanted)
        small = images.at_most(images.over_white(result, alpha), uploads.PREVIEW)
        return images.encode(result, kind, alpha, exif=picture.exif), small


@contextlib.contextmanager
def _turn(tell):
    while not _one_full.acquire(timeout=1):
        tell("waiting: another visitor's picture is being made …")
    try:
        yield
    finally:
        _one_full.release()


def _paint(style, photo, scale, tell):
    # Loaded for this picture alone: an engine keeps the memory of the largest it has seen, and
    # OpenVINO's takes no second picture while it works on one.
    model = Stylizer(style, engine="auto")

    def paint(image):
        height, width, _ = image.shape
        words = f"painting {width} × {height} px …"
        tell(words)
        tile = model.tile_within(height, width, _WHOLE_BYTES)
        return model(image, tile=tile, progress=lambda share: tell(words, share))

    return look.at_scale(paint, photo, scale)


def _check_size(rgb, scale):
    height, width, _ = rgb.shape
    if height * width * scale**2 > uploads.MAX_PIXELS:
        raise UserError(
            f"{width} x {height} px at stroke size {scale:g} is too large for this page; choose "
            "coarser strokes or a smaller size"
        )


def trained_at(style):
    """When a style's weights were written, in ns; it tells that they are others than before.

    Raises:
        UserError: they are gone.
    """
    try:
        return style.weights_path.stat().st_mtime_ns
    except OSError:
        raise UserError(f"style {style.folder.name} no longer exists; choose another") from None


def _model(style, written):
    """The style at work, on the network that it shares with the others of its gallery."""
    with _loading:
        network = _network(style.folder, written)
    return Stylizer(style, network=network)


_loading = threading.Lock()  # Two visitors would load the same network twice.


@st.cache_resource(max_entries=8, show_spinner=False)
def _network(folder, written):
    return SharedNetwork(checkpoint.Checkpoint(folder), engine="auto")


@st.cache_data(max_entries=32, show_spinner=False)
def _preview(digest, style, written, scale, _rgb):
    return stylise(style, _rgb, scale)
