"""A contact sheet: some photos in every trained style, in one picture.

python -m fst.contact_sheet OUTPUT [--photos PHOTO ...] [--checkpoints FOLDER] [--size PX]
"""

import dataclasses
import math
from pathlib import Path

import numpy as np

from fst import checkpoint, cli, engines, errors, images, packages, quiet, stylizer
from fst.errors import UserError
from fst.grid import draw_grid


@dataclasses.dataclass(frozen=True)
class ContactSheetConfig:
    """Draws photos in every trained style into one picture."""

    output: str
    """The picture to write."""

    photos: tuple[str, ...] = ()
    """Photos, files or URLs (default: samples that come with scikit-image and Matplotlib)."""

    checkpoints: str = checkpoint.ROOT
    """Folder that holds the trained styles."""

    size: int = 512
    """Long side that the photos are stylised at, in px."""


def contact_sheet(photos, styles):
    """Draws a grid: the photos in the first row, then one row for each style.

    Args:
        photos: pictures, uint8 `[H, W, 3]`, of any sizes; rows are as high as the highest.
        styles: a dictionary from names to functions from such a picture to a stylised one.

    Returns:
        uint8 `[H, W, 3]`.
    """
    rows = {"photo": photos}
    for name, stylise in styles.items():
        rows[name] = [stylise(photo) for photo in photos]
    return draw_grid(list(rows.values()), [name.replace("_", " ") for name in rows])


def style_sheet(photo, stylised):
    """Draws one photo and its stylised pictures, a label above each, in rows of about a square.

    Args:
        photo: uint8 `[H, W, 3]`.
        stylised: a dictionary from names of styles to pictures of the same size.

    Returns:
        uint8 `[H, W, 3]`.
    """
    pictures = [("photo", photo), *((n.replace("_", " "), p) for n, p in stylised.items())]
    columns = math.ceil(math.sqrt(len(pictures)))
    # White in the places that stay empty keeps the last row in line with the others.
    pictures += [("", np.full_like(photo, 255))] * (-len(pictures) % columns)
    strips = []
    for start in range(0, len(pictures), columns):
        labels, row = zip(*pictures[start : start + columns], strict=True)
        strips.append(draw_grid([row], [""], labels))
    return strips[0] if len(strips) == 1 else draw_grid([[s] for s in strips], [""] * len(strips))


def sample_photos(size):
    """Free photos that come with installed packages, at `size` px on their long side.

    Returns:
        A dictionary from names to float32 `[H, W, 3]`, 0-255.

    Raises:
        UserError: scikit-image is not installed.
    """
    packages.need("skimage", "without --photos it")
    import skimage
    from matplotlib import cbook

    folder = Path(skimage.__file__).parent / "data"
    files = [folder / name for name in ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")]
    files.append(Path(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)))
    return {file.stem: images.load_rgb(file, size) for file in files}


def main():
    config = cli.parse(ContactSheetConfig, "fst.contact_sheet")
    names = checkpoint.names(config.checkpoints)
    if not names:
        raise UserError(f"there are no trained styles under {config.checkpoints}/")
    if config.photos:
        photos = [images.load_rgb(source, config.size) for source in config.photos]
    else:
        photos = list(sample_photos(config.size).values())
    engine = engines.choose()
    if engine == "tensorflow":
        quiet.quiet_tensorflow()
    styles = {name: stylizer.load(name, config.checkpoints, engine) for name in names}
    sheet = contact_sheet([photo.round().astype(np.uint8) for photo in photos], styles)
    images.save_picture(config.output, sheet)
    print(f"{len(photos)} photos in {len(styles)} styles: {Path(config.output).resolve()}")
    return 0


if __name__ == "__main__":
    errors.run(main)
