"""The style images of a run: found, named, read at the size they are trained with."""

import collections
import hashlib
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fst import files
from fst.config import last_part, name_from
from fst.errors import UserError
from fst.media import folders, images

_SMALLEST = 32  # px: with fewer, the deeper layers of VGG19 see almost nothing.


class Style(NamedTuple):
    """One style image.

    `name` is what the style is called, `source` its file's name, `sha256` its file's hash, `image`
    the picture as it is trained with, float32 `[H, W, 3]`, 0-255.
    """

    name: str
    source: str
    sha256: str
    image: np.ndarray


def open_styles(config):
    """Reads the style images that a `TrainingConfig` names.

    Returns:
        A list of `Style`s: of one picture alone called `config.name`, else as its file; those of a
        folder in the order of their names.

    Raises:
        UserError: a picture cannot be read or is too small, two would have the same name, or there
            are not as many values of an option as styles.
    """
    sources = list_pictures(config)
    names = names_of(config, sources)
    _check_names(names, sources)
    for option in ("style_weight", "style_turns"):  # Raises before anything slow is done.
        config.for_each_style(option, len(sources))
    config.layer_weights_of_each(len(sources))
    sizes = config.for_each_style("style_size", len(sources))
    return [_read(*style) for style in zip(names, sources, sizes, strict=True)]


def list_pictures(config):
    """The files and URLs of the style images that a `TrainingConfig` names, its folders opened.

    Raises:
        UserError: a folder holds no pictures.
    """
    return [source for given in config.style for source in _pictures(given)]


def names_of(config, sources):
    """What the styles of these pictures are called, as `open_styles` says."""
    return [config.name] if len(sources) == 1 else [name_from(source) for source in sources]


def _pictures(given):
    if files.is_url(given) or not os.path.isdir(given):
        return [given]
    found = [str(path) for path in folders.find_images(Path(given), recursive=False)]
    if not found:
        raise UserError(f"{given}: the folder holds no pictures to take styles from")
    return found


def _check_names(names, sources):
    for name, count in collections.Counter(names).items():
        if count > 1:
            twins = [source for source, n in zip(sources, names, strict=True) if n == name]
            both = " and ".join(map(files.printable, twins[:2]))
            raise UserError(f"{both} would both be the style '{name}': rename one of them")


def _read(name, source, size):
    data = files.read_bytes(source)
    original = images.load_picture(source, data).rgb
    image = images.load_rgb(source, size, data)
    for picture, at in ((original, ""), (image, f" at ‹style_size› {size}")):
        height, width, _ = picture.shape
        if min(height, width) < _SMALLEST:
            raise UserError(
                f"{files.printable(source)}: is {width}x{height} px{at}; a style image needs at "
                f"least {_SMALLEST} px on its short side"
            )
    return Style(name, last_part(source), hashlib.sha256(data).hexdigest(), image)
