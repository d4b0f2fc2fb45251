"""Free sample photos: those that come with scikit-image and Matplotlib."""

from pathlib import Path

from fst import packages
from fst.media import images

_OF_SKIMAGE = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")


def photo_files():
    """Where the sample photos lie.

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
    paths.append(Path(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)))
    return {path.stem: path for path in paths}


def load(size):
    """The sample photos at `size` px on their long side.

    Returns:
        A dictionary from names to float32 `[H, W, 3]`, 0-255.

    Raises:
        UserError: scikit-image is not installed.
    """
    return {name: images.load_rgb(path, size) for name, path in photo_files().items()}
