"""A network applied to a picture of any size in bounded memory, strip by strip and layer by layer.

Instance normalisation looks at the whole picture: a tile that is normalised by itself gets other
colours than its neighbour, and every border shows. So here no tile goes through the network on its
own. Each layer is worked through for the whole picture, a strip of rows at a time, before the next
one begins; what lies between two layers is kept in half precision, in memory if it is small, else
in a temporary file. The statistics are those of the whole picture, the rows beyond a strip are the
neighbouring strip's own, and the result is the one of the whole picture up to rounding: there is no
overlap to choose and no seam to hide.

The layers at full resolution are the widest and the cheapest: they are computed twice, once for
their statistics and once for what follows, instead of being kept.
"""

import errno
import os
import tempfile

import numpy as np
import tensorflow as tf

from fst.errors import UserError
from fst.network import MIN_SIZE, RESIDUAL_BLOCKS, STRIDE

_IN_MEMORY = 256 * 2**20  # bytes: larger planes go to a file
_HALF_MAX = 65504.0


def stylise_in_strips(network, image, rows):
    """Stylises a picture with little more memory than the picture itself takes.

    Args:
        network: a trained float32 network (`fst.network.build_network`).
        image: uint8 `[H, W, 3]` RGB, both sides at least 16 px.
        rows: how many rows of the picture are worked on at a time; more are faster, and take more
            memory, about 1 kB for each of their pixels.

    Returns:
        uint8 `[H, W, 3]`.

    Raises:
        UserError: the temporary file does not fit on its disk.
    """
    height, width, _ = image.shape
    if min(height, width) < MIN_SIZE:
        raise ValueError(f"a side needs {MIN_SIZE} px, not {width}x{height}")
    padding = [(0, -height % STRIDE), (0, -width % STRIDE), (0, 0)]
    padded = np.pad(image, padding, mode="reflect") if height % STRIDE or width % STRIDE else image
    try:
        return _Strips(network, max(STRIDE, rows - rows % STRIDE)).run(padded)[:height, :width]
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise UserError(
            f"a picture of {width}x{height} px needs about {40 * height * width >> 20} MiB in "
            f"{tempfile.gettempdir()}, which is full: set TMPDIR to a folder with more room, or "
            "make the picture smaller with --max-size"
        ) from error


class _Strips:
    """One picture's way through the network.

    Args:
        network: the network.
        rows: rows of the picture in a strip, a multiple of the stride.
    """

    def __init__(self, network, rows):
        self._network, self._rows = network, rows

    def run(self, image):
        height = len(image)
        pixels = _Rows(height, lambda top, bottom: image[top:bottom].astype(np.float32) / 127.5 - 1)
        x = self._normalised(pixels, "down1", keep=False)
        x = self._normalised(x, "down2", stride=2)
        x = self._normalised(x, "down3", stride=2)
        # The sum of every block replaces the one before it, in its place.
        trunk = self._copy(x)
        for block in range(1, RESIDUAL_BLOCKS + 1):
            x = self._normalised(trunk.rows(), f"residual{block}_a")
            x = self._normalised(x, f"residual{block}_b", activate=False)
            self._add(trunk, x)
        x = self._normalised(trunk.rows(), "up1", enlarge=True)
        x = self._normalised(x, "up2", enlarge=True, keep=False)
        stylised = np.empty_like(image)
        bounded = self._network.get_layer("pixels")
        for top, bottom in self._strips(height):
            found = bounded(self._convolve(x, "rgb", top, bottom))
            stylised[top:bottom] = tf.cast(tf.round(found[0]), tf.uint8)
        return stylised

    def _normalised(self, source, name, stride=1, enlarge=False, activate=True, keep=True):
        """A convolution of `source`, normalised by its statistics over the whole picture.

        Args:
            source: `_Rows`.
            name: of the layers, as in `fst.network`.
            stride: of the convolution.
            enlarge: doubles rows and columns of the source first.
            activate: whether the rectifier follows.
            keep: whether the convolution's result is kept, or computed anew when it is read.

        Returns:
            `_Rows`.
        """
        if enlarge:
            source = source.doubled()
        height = -(-source.height // stride)

        def convolve(top, bottom):
            return self._convolve(source, name, top, bottom, stride)

        sums, plane = 0.0, None
        for top, bottom in self._strips(height):
            found = convolve(top, bottom)
            sums = sums + _sums(found)
            if keep:
                plane = plane or _Plane(height, *found.shape[2:])
                plane.write(top, found[0].numpy())
        raw = plane.rows() if keep else _Rows(height, lambda t, b: convolve(t, b)[0])
        scale, shift = self._affine(name, sums, height * int(found.shape[2]))

        def read(top, bottom):
            x = tf.cast(raw.read(top, bottom), tf.float32) * scale + shift
            return tf.nn.relu(x) if activate else x

        return _Rows(height, read)

    def _affine(self, name, sums, count):
        """What a norm layer multiplies and adds, once the statistics are known."""
        layer = self._network.get_layer(f"{name}_norm")
        mean, square = sums / count
        variance = np.maximum(square - mean**2, 0.0)
        scale = layer.gamma.numpy() / np.sqrt(variance + layer.epsilon)
        shift = layer.beta.numpy() - mean * scale
        return tf.constant(scale, tf.float32), tf.constant(shift, tf.float32)

    def _convolve(self, source, name, top, bottom, stride=1):
        """Rows `top` to `bottom` of a convolution, `[1, rows, W, C]`."""
        layer = self._network.get_layer(f"{name}_conv")
        reach = layer.kernel.shape[0] // 2
        x = source.mirrored(top * stride - reach, (bottom - 1) * stride + reach + 1)
        x = tf.pad(x[None], [[0, 0], [0, 0], [reach, reach], [0, 0]], mode="REFLECT")
        return tf.nn.conv2d(x, layer.kernel.value, stride, "VALID") + layer.bias.value

    def _copy(self, source):
        plane = None
        for top, bottom in self._strips(source.height):
            found = source.read(top, bottom)
            plane = plane or _Plane(source.height, *found.shape[1:])
            plane.write(top, found.numpy())
        return plane

    def _add(self, plane, source):
        for top, bottom in self._strips(source.height):
            plane.write(top, plane.read(top, bottom) + source.read(top, bottom).numpy())

    def _strips(self, height):
        return [(top, min(top + self._rows, height)) for top in range(0, height, self._rows)]


class _Rows:
    """A plane of features that is read by rows: `read(top, bottom)` gives `[rows, W, C]`."""

    def __init__(self, height, read):
        self.height, self.read = height, read

    def mirrored(self, top, bottom):
        """Rows that may lie beyond the plane's ends, where it is reflected, as float32 tensor."""
        first, last = max(top, 0), min(bottom, self.height)
        # What is mirrored lies within reach of the end, and may be outside of what else is asked.
        if top < 0:
            last = max(last, 1 - top)
        if bottom > self.height:
            first = min(first, 2 * (self.height - 1) - (bottom - 1))
        found = tf.convert_to_tensor(self.read(first, last))
        if (first, last) == (top, bottom):
            return found
        index = np.abs(np.arange(top, bottom))
        index = np.where(index < self.height, index, 2 * (self.height - 1) - index)
        return tf.gather(found, index - first)

    def doubled(self):
        """The same with each row and each column twice."""

        def read(top, bottom):
            found = tf.convert_to_tensor(self.read(top // 2, (bottom + 1) // 2))
            found = tf.repeat(tf.repeat(found, 2, axis=0), 2, axis=1)
            return found[top % 2 : top % 2 + bottom - top]

        return _Rows(2 * self.height, read)


class _Plane:
    """Features `[height, width, channels]` in half precision, in memory or in a temporary file."""

    def __init__(self, height, width, channels):
        self._shape = int(height), int(width), int(channels)
        size = 2 * int(np.prod(self._shape))
        self._array = self._file = None
        if size <= _IN_MEMORY:
            self._array = np.empty(self._shape, np.float16)
        else:
            # It has no name, and so is gone with the process, however that ends.
            self._file = tempfile.TemporaryFile()  # noqa: SIM115
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(self._file.fileno(), 0, size)

    def write(self, top, values):
        half = np.clip(values, -_HALF_MAX, _HALF_MAX).astype(np.float16)
        if self._file is None:
            self._array[top : top + len(half)] = half
        else:
            self._file.seek(top * self._row_bytes)
            self._file.write(half.data)

    def read(self, top, bottom):
        """float32 `[bottom - top, width, channels]`."""
        if self._file is None:
            return self._array[top:bottom].astype(np.float32)
        half = np.empty((bottom - top, *self._shape[1:]), np.float16)
        self._file.seek(top * self._row_bytes)
        self._file.readinto(half.data.cast("B"))
        return half.astype(np.float32)

    def rows(self):
        return _Rows(self._shape[0], self.read)

    @property
    def _row_bytes(self):
        return 2 * self._shape[1] * self._shape[2]


def _sums(found):
    """The sums of the values and of their squares, `[2, C]`, in float64: there are millions."""
    found = tf.cast(found, tf.float64)
    sums = tf.stack([tf.reduce_sum(found, (0, 1, 2)), tf.reduce_sum(found**2, (0, 1, 2))])
    return sums.numpy()
