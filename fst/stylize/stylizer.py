"""A trained style, applied to a picture of any size."""

from __future__ import annotations

import collections
import math
import os
from collections.abc import Callable

import numpy as np

from fst import collection
from fst.checkpoint import Checkpoint
from fst.collection import StyleName
from fst.media import images
from fst.models import weights_file
from fst.models.architecture import FIRST, MIN_SIZE
from fst.stylize import engines, look, memory
from fst.stylize.forward import arrange

_STRIP_BYTES = 2**29  # of memory that a strip may take
_STRIP_BYTES_PER_PIXEL = 900  # at width 32


def before_strips() -> None:
    """Called before strips load TensorFlow, which whole pictures may do without.

    A command puts in its place what keeps TensorFlow's remarks off the terminal.
    """


class SharedNetwork:
    """The network of a gallery, read and made ready once for all its styles.

    Args:
        trained: the gallery's `fst.checkpoint.Checkpoint`, or that of any style or blend of it.
        engine: what computes, see `fst.stylize.engines.choose`.
        precision: in which the engine computes, see there.

    Attributes:
        weights: of all styles, as `Checkpoint.read_all_weights` gives them.
        engine: what computes.
        run: what `fst.stylize.engines.load_for_all` gave.

    Raises:
        UserError: its files are missing or damaged, or the engine is not installed.
    """

    def __init__(
        self, trained: Checkpoint, engine: str = "tensorflow", precision: str = "float32"
    ) -> None:
        self.weights = trained.read_all_weights()
        self.engine = engines.choose(engine, precision)
        self.run = engines.load_for_all(self.engine, weights_file.first(self.weights), precision)


class Stylizer:
    """Stylises pictures with one trained style, or a blend of some; call it with a picture.

    Args:
        trained: the `fst.checkpoint.Checkpoint`.
        engine: what computes, see `fst.stylize.engines.choose`.
        precision: in which the engine computes, see there.
        network: the `SharedNetwork` of its gallery, whose engine then counts; without one the
            network is read and made ready for this style alone.

    Attributes:
        card: the card (`style.json`) of the style or its gallery, a dictionary.

    Raises:
        UserError: its files are missing or damaged, or the engine is not installed.

    Example:
        >>> stylise = Stylizer(fst.collection.find("starry_night"))
        >>> stylise(np.zeros((480, 640, 3), np.uint8)).shape
        (480, 640, 3)
    """

    def __init__(
        self,
        trained: Checkpoint,
        engine: str = "tensorflow",
        precision: str = "float32",
        network: SharedNetwork | None = None,
    ) -> None:
        self.card = trained.read_card()
        if network is None:
            self._weights = trained.read_weights()
            self._engine = engines.choose(engine, precision)
            self._run = engines.load(self._engine, self._weights, precision)
        else:
            self._weights = trained.fold(network.weights)
            self._engine = network.engine
            norms = arrange(self._weights).norms
            self._run = lambda image: network.run(image, norms)

    def __call__(
        self,
        image: np.ndarray,
        *,
        strength: float = 1.0,
        preserve_color: bool = False,
        tile: str | int = "auto",
        progress: Callable[[float], object] | None = None,
    ) -> np.ndarray:
        """Stylises one picture.

        Args:
            image: `[H, W, 3]` RGB in 0-255, uint8 or float, of any size. Below 16 px on a side it
                is mirrored up to 16 px and the result cropped back.
            strength: share of the style, 0-1: at 0 the result is `image`, at 1 the whole style.
            preserve_color: keep the colours of `image` (see `fst.stylize.look.with_colors_of`).
            tile: `"off"` takes the picture as a whole, with memory for every pixel of it (see
                `tile_within`); a number works strip by strip, of that many rows,
                in TensorFlow whatever the engine, with next to no more memory than the picture (see
                `strips`), to the same result up to a grey level; `"auto"` does so when the
                memory that is free calls for it.
            progress: where it works strip by strip, a function that is told how much is done, 0-1.

        Returns:
            The stylised picture in the same shape; uint8 for uint8, else float32.

        Raises:
            ValueError: the shape is not `[H, W, 3]`, the type neither uint8 nor float, a value is
                not finite, which would spread over the whole picture, or `strength` not in 0-1.
            MemoryError: the picture is too large for the device.
        """
        image = np.asarray(image)
        _check(image)
        look.check_strength(strength)
        height, width, _ = image.shape
        if tile == "auto":
            tile = self.tile_within(height, width)
        rows = _rows(tile)
        if _is_flat(image):
            # Normalisation makes a pattern of rounding errors where there is nothing else; the half
            # precision between strips leaves none.
            rows = rows or height
        stylised = self._in_strips(image, rows, progress) if rows else self._whole(image)
        stylised = stylised[:height, :width]
        if image.dtype == np.uint8:
            stylised = np.rint(stylised).astype(np.uint8)
        return look.blend(image, stylised, strength, preserve_color)

    def tile_within(self, height: int, width: int, limit: float = math.inf) -> str | int:
        """The `tile` for a picture that is to take at most half of the memory that is free.

        The whole picture takes about 400 bytes of memory for each of its pixels with OpenVINO, 450
        with TensorFlow and 1,200 with ONNX Runtime, or more in the measure that the network is
        wider than 32; its strips take about half a gigabyte.

        Args:
            height: of the picture, px.
            width: of the picture, px.
            limit: bytes that the whole picture may take, if that is less.

        Returns:
            `"off"`, or a number of rows if the whole picture would take more.
        """
        wider = max(1, len(self._weights[FIRST.conv][1]) / 32)
        limit = min(limit, memory.available() / 2)
        if height * width * wider * engines.BYTES_PER_PIXEL[self._engine] <= limit:
            return "off"
        return int(np.clip(_STRIP_BYTES // (_STRIP_BYTES_PER_PIXEL * wider * width), 16, 512))

    def _whole(self, image):
        try:
            return self._run(image.astype(np.float32))
        except MemoryError:
            height, width, _ = image.shape
            raise MemoryError(f"a picture of {width}x{height} px does not fit in memory") from None

    def _in_strips(self, image, rows, progress):
        before_strips()
        from fst.stylize.strips import stylise_in_strips

        levels = images.to_levels(image)
        levels = _at_least(levels, MIN_SIZE)
        stylised = stylise_in_strips(arrange(self._weights), levels, rows, progress)
        return stylised if image.dtype == np.uint8 else stylised.astype(np.float32)


def load(
    style: StyleName,
    root: str | os.PathLike = collection.ROOT,
    engine: str = "tensorflow",
    precision: str = "float32",
) -> Stylizer:
    """Loads a trained style, or a blend of some.

    Args:
        style: a name, as those of `infer.py --list`, the path of a style's folder, or a blend of
            styles, `{"great_wave": 0.7, "udnie": 0.3}`; or what `fst.train` returned. See
            `fst.collection.find`.
        root: folder that holds the trained styles; after the usual one, `checkpoints`, comes that
            of the styles that are shipped.
        engine: `"tensorflow"`, `"openvino"`, `"onnxruntime"`, or `"auto"`: the fastest that is
            installed (see `fst.stylize.engines.choose`).
        precision: `"float32"`, or with OpenVINO `"bfloat16"`.

    Returns:
        A `Stylizer`.

    Raises:
        UserError: there is no such style, with the names that there are, or no such engine.

    Example:
        >>> fst.load("starry_night")(photo).shape == photo.shape
        True
    """
    return Stylizer(collection.find(style, root), engine, precision)


def load_all(
    trained: dict[str, Checkpoint], engine: str = "tensorflow", precision: str = "float32"
) -> dict[str, Stylizer]:
    """Loads several trained styles; those of one gallery share its network, and its memory.

    Args:
        trained: a dictionary from names to `fst.checkpoint.Checkpoint`s.
        engine: as for `load`.
        precision: as for `load`.

    Returns:
        A dictionary from the same names to `Stylizer`s.

    Raises:
        UserError: as `Stylizer`.
    """
    by_folder = collections.defaultdict(list)
    for style in trained.values():
        by_folder[style.folder].append(style)
    networks = {
        folder: SharedNetwork(styles[0], engine, precision)
        for folder, styles in by_folder.items()
        if len(styles) > 1
    }
    return {
        name: Stylizer(style, engine, precision, networks.get(style.folder))
        for name, style in trained.items()
    }


def _rows(tile):
    """How many rows of a picture to work on at a time; 0 for the whole picture at once.

    Raises:
        ValueError: `tile` is neither a number nor `"off"`.
    """
    if tile == "off":
        return 0
    if not str(tile).isdecimal() or int(tile) < 1:
        raise ValueError(f"tile is a number of rows, 'auto' or 'off', not '{tile}'")
    return int(tile)


def _check(image):
    if image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(f"a picture has the shape [height, width, 3], not {list(image.shape)}")
    if image.dtype != np.uint8:
        if not np.issubdtype(image.dtype, np.floating):
            raise ValueError(f"a picture is uint8 or float, 0-255, not {image.dtype}")
        if not np.isfinite(image).all():
            raise ValueError("the picture holds values that are not finite")


def _is_flat(image):
    color = image[0, 0]
    return (image[0] == color).all() and (image == color).all()


def _at_least(image, size):
    height, width, _ = image.shape
    grow = [(0, max(0, size - height)), (0, max(0, size - width)), (0, 0)]
    return np.pad(image, grow, mode="symmetric") if height < size or width < size else image
