"""What the pictures share: the sheet they are drawn on, noise, colours, light and edges."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageFilter

SUPERSAMPLING = 2
REFERENCE_SIZE = 768  # line widths below are given in pixels of a picture of this size
TAU = 2 * np.pi

Array = np.ndarray
Ramp = Sequence[str]


class Sheet:
    """The drawing area: its coordinates, its scale and its random numbers."""

    def __init__(self, size: int, seed: int):
        self.n = size * SUPERSAMPLING
        self.rng = np.random.default_rng(seed)
        axis = ((np.arange(self.n) + 0.5) / self.n).astype(np.float32)
        self.x, self.y = np.meshgrid(axis, axis)
        # Array pixels per pixel of the reference size.
        self.px = self.n / REFERENCE_SIZE

    def noise(self, cell: float, cell_y: float | None = None) -> Array:
        """Smooth noise, about -1 to 1, with features ``cell`` (of the unit square) in size."""
        columns = max(2, round(1 / cell)) + 3
        rows = max(2, round(1 / (cell_y or cell))) + 3
        grid = self.rng.uniform(-1.6, 1.6, (rows, columns)).astype(np.float32)
        # The box leaves out the outermost knots, where the interpolation has nothing to lean on.
        return np.asarray(
            Image.fromarray(grid).resize(
                (self.n, self.n), Image.Resampling.BICUBIC, (1.5, 1.5, columns - 1.5, rows - 1.5)
            )
        )

    def fbm(self, cell: float, octaves: int = 4) -> Array:
        """Noise of several sizes, each half as large and half as strong as the last."""
        total = sum(0.5**k * self.noise(cell / 2**k) for k in range(octaves))
        return total / (2 - 0.5 ** (octaves - 1))


def smoothstep(low: float, high: float, value: Array) -> Array:
    """Rise softly from 0 at ``low`` to 1 at ``high``."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def palette(colours: Ramp) -> Array:
    """Hex colours as an array of floats, one row each, from 0 to 1."""
    return np.array([[int(c[k : k + 2], 16) for k in (0, 2, 4)] for c in colours], np.float32) / 255


def blur(image: Array, radius: float) -> Array:
    """Gaussian blur of an RGB picture of floats from 0 to 1."""
    picture = Image.fromarray((np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8))
    return np.asarray(picture.filter(ImageFilter.GaussianBlur(radius)), np.float32) / 255


def sample(texture: Array, u: Array, v: Array) -> Array:
    """Read a small texture at real positions, in between its knots and without an end."""
    rows, columns = texture.shape
    u0, v0 = np.floor(u).astype(np.int32), np.floor(v).astype(np.int32)
    fu, fv = smoothstep(0, 1, u - u0), smoothstep(0, 1, v - v0)
    left, right, top, bottom = u0 % columns, (u0 + 1) % columns, v0 % rows, (v0 + 1) % rows
    upper = texture[top, left] * (1 - fu) + texture[top, right] * fu
    lower = texture[bottom, left] * (1 - fu) + texture[bottom, right] * fu
    return upper * (1 - fv) + lower * fv


def relief(height: Array, strength: float, angle: float = -2.2) -> Array:
    """Light on a surface of the given height: about 0 on the flat, brighter towards the lamp."""
    down, right = np.gradient(height)
    slope = right * np.cos(angle) + down * np.sin(angle)
    return np.tanh(-strength * slope)


def edge_distance(labels: Array, reach: int) -> Array:
    """
    Distance to the nearest change of label, in array pixels, right up to ``reach``.

    The exact Euclidean transform in its two passes: along the rows first, then the smallest sum of
    squares down each column. Distances above ``reach`` are never needed, which keeps it quick.
    """
    edge = np.zeros(labels.shape, bool)
    edge[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    edge[1:] |= labels[1:] != labels[:-1]
    position = np.arange(labels.shape[1])
    before = np.maximum.accumulate(np.where(edge, position, -10_000), axis=1)
    after = np.minimum.accumulate(np.where(edge, position, 20_000)[:, ::-1], axis=1)[:, ::-1]
    across = np.minimum(position - before, after - position).clip(max=reach).astype(np.float32) ** 2
    nearest = across.copy()
    for step in range(1, reach):
        np.minimum(nearest[step:], across[:-step] + step * step, out=nearest[step:])
        np.minimum(nearest[:-step], across[step:] + step * step, out=nearest[:-step])
    return np.sqrt(nearest)
