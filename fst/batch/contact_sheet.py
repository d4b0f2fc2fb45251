"""A contact sheet: some photos in every trained style, in one picture.

python -m fst.batch.contact_sheet OUTPUT [--photos PHOTO ...] [--checkpoints FOLDER]
    [--also STYLE ...] [--size PX] [--cell PX] [--more-samples]
"""

import dataclasses
import math
from pathlib import Path
from typing import Annotated

import numpy as np

from fst import collection, errors, files
from fst.batch.process import prepare_for
from fst.console import cli
from fst.media import images, samples
from fst.media.grid import draw_grid
from fst.models.architecture import MIN_SIZE
from fst.options import REQUIRED, check_ranges, shown_as
from fst.stylize import engines, stylizer
from fst.words import plural


@dataclasses.dataclass(frozen=True)
class ContactSheetConfig:
    """Draws photos in every trained style into one picture."""

    output: Annotated[str, shown_as("OUTPUT", REQUIRED)]
    """The picture to write."""

    photos: Annotated[tuple[str, ...], shown_as("PHOTO")] = ()
    """Photos, files or URLs (default: samples that come with scikit-image and Matplotlib)."""

    more_samples: bool = False
    """Draw ten sample photos instead of five, also dark and pale ones, text, grass and walls."""

    checkpoints: Annotated[str, shown_as("FOLDER")] = collection.ROOT
    """Folder that holds the trained styles."""

    also: Annotated[tuple[str, ...], shown_as("STYLE")] = ()
    """Further styles: folders elsewhere, or blends such as great_wave=0.5,udnie=0.5."""

    size: int = 512
    """Long side that the photos are stylised at, in px."""

    cell: int = 0
    """Long side of each picture in the sheet, in px (0: as --size, or 256 for more than 8
    styles)."""

    def __post_init__(self):
        check_ranges(self, (("size", MIN_SIZE, 8192), ("cell", 0, 8192)))


_ABREAST = 8  # styles in a band: more could not be told apart on a screen
_SMALL = 256  # px


def contact_sheet(photos, styles, cell=0):
    """Draws a table: a row for each photo, which stands first in it, and a column for each style.

    More than 8 styles are told apart in bands below each other, each with the photos again.

    Args:
        photos: pictures, uint8 `[H, W, 3]`, of any sizes.
        styles: a dictionary from names to functions from such a picture to a stylised one.
        cell: long side that the pictures are scaled down to, px; 0: not.

    Returns:
        uint8 `[H, W, 3]`.
    """
    first = "photo", [images.at_most(photo, cell) for photo in photos]
    others = [
        (label, [images.at_most(stylise(photo), cell) for photo in photos])
        for label, stylise in zip(_labels(styles), styles.values(), strict=True)
    ]
    bands = max(1, -(-len(others) // _ABREAST))
    wide = -(-len(others) // bands)  # So that the last band is not much shorter.
    tables = []
    for band in range(bands):
        labels, columns = zip(first, *others[band * wide : (band + 1) * wide], strict=True)
        rows = list(zip(*columns, strict=True))
        tables.append(draw_grid(rows, [""] * len(rows), labels))
    return _below_each_other(tables)


def style_sheet(photo, stylised):
    """Draws one photo and its stylised pictures, a label above each, in rows of about a square.

    Args:
        photo: uint8 `[H, W, 3]`.
        stylised: a dictionary from names of styles to pictures of the same size.

    Returns:
        uint8 `[H, W, 3]`.
    """
    pictures = [("photo", photo), *zip(_labels(stylised), stylised.values(), strict=True)]
    columns = math.ceil(math.sqrt(len(pictures)))
    # White in the places that stay empty keeps the last row in line with the others.
    pictures += [("", np.full_like(photo, 255))] * (-len(pictures) % columns)
    strips = []
    for start in range(0, len(pictures), columns):
        labels, row = zip(*pictures[start : start + columns], strict=True)
        strips.append(draw_grid([row], [""], labels))
    return strips[0] if len(strips) == 1 else draw_grid([[s] for s in strips], [""] * len(strips))


def _labels(names):
    """What stands above each style; with a blend's weights, where others have the same parts."""
    parts = [" + ".join(part.partition("=")[0] for part in name.split(",")) for name in names]
    return [
        (name.replace(",", " + ") if parts.count(short) > 1 else short).replace("_", " ")
        for name, short in zip(names, parts, strict=True)
    ]


def _below_each_other(pictures):
    width = max(picture.shape[1] for picture in pictures)
    grow = [[(0, 0), (0, width - picture.shape[1]), (0, 0)] for picture in pictures]
    return np.vstack(
        [np.pad(p, g, constant_values=255) for p, g in zip(pictures, grow, strict=True)]
    )


def main():
    config = cli.parse(ContactSheetConfig, "python -m fst.batch.contact_sheet")
    output = Path(config.output)  # Judged first: the sheet takes long to draw.
    images.check_output(output, "‹OUTPUT›")
    files.check_writable(output, "‹OUTPUT›")
    trained = collection.find_all(config.checkpoints)
    for wanted in config.also:
        style = collection.find(wanted, config.checkpoints)
        there = trained.setdefault(style.name, style)
        if there != style:  # Of another place.
            trained[str(wanted)] = style
    if config.photos:
        photos = [images.load_rgb(source, config.size) for source in config.photos]
    else:
        photos = list(samples.load(config.size, config.more_samples).values())
    engine = engines.choose()
    prepare_for(engine)
    styles = stylizer.load_all(trained, engine)
    cell = config.cell or (_SMALL if len(styles) > _ABREAST else 0)
    sheet = contact_sheet([photo.round().astype(np.uint8) for photo in photos], styles, cell)
    images.save_or_rescue(config.output, sheet)
    shown = f"{plural(len(photos), 'photo')} in {plural(len(styles), 'style')}"
    print(f"{shown}: {Path(config.output).resolve()}")
    return 0


if __name__ == "__main__":
    errors.run(main)
