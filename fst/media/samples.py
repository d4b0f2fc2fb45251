"""Free sample photos: five that come with scikit-image and Matplotlib, and nine that come with fst.

To look at, in the contact sheet and in benchmarks, serve those of the packages; a style
is learnt on these and on the nine, of landscapes, animals and things (`photos/CREDITS.txt`).
"""

from pathlib import Path

from fst import packages
from fst.media import images

_OF_SKIMAGE = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")
_OF_MATPLOTLIB = "grace_hopper.jpg"
_OF_FST = Path(__file__).parent / "photos"
_MORE = ("camera.png", "hubble_deep_field.jpg", "page.png", "grass.png", "brick.png")


def photo_files(more=False):
    """Where the sample photos lie.

    The first five are two portraits, a cat, a cup and a rocket among lights at dusk. `more` adds
    buildings under a pale sky, dark space, a printed page, grass and a brick wall: further cases
    that a style must handle. Four of these are grey.

    Args:
        more: give ten photos, to judge styles by, instead of five.

    Returns:
        A dictionary from names to paths.

    Raises:
        UserError: scikit-image is not installed.
    """
    packages.need("skimage", "using the sample photos")
    import skimage
    from matplotlib import cbook

    folder = Path(skimage.__file__).parent / "data"
    paths = [folder / name for name in _OF_SKIMAGE]
    paths.append(Path(cbook.get_sample_data(_OF_MATPLOTLIB, asfileobj=False)))
    if more:
        paths += [folder / name for name in _MORE]
    return {path.stem: path for path in paths}


def files_to_learn_from():
    """Where the photos lie that a style is learnt on where no others are given.

    Returns:
        A dictionary from names to paths: the five of `photo_files` and the nine of fst.

    Raises:
        UserError: scikit-image is not installed.
    """
    return photo_files() | {path.stem: path for path in sorted(_OF_FST.glob("*.jpg"))}


def load(size, more=False):
    """The sample photos at `size` px on their long side, five or ten (see `photo_files`).

    Returns:
        A dictionary from names to float32 `[H, W, 3]`, 0-255.

    Raises:
        UserError: scikit-image is not installed.
    """
    return {name: images.load_rgb(path, size) for name, path in photo_files(more).items()}
