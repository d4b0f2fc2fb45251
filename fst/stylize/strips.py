"""A network applied to a picture of any size in bounded memory, strip by strip and layer by layer.

Instance normalisation uses statistics of the whole picture: a tile that is normalised by itself
gets other colours than its neighbour, and every border shows. So no tile goes through the network
alone. Each layer is computed for the whole picture, a strip of rows at a time, before the next
layer starts. The values between two layers are kept in half precision, in memory if they are few,
otherwise in a temporary file. The statistics are those of the whole picture, and the rows beyond a
strip come from the neighbouring strips. So the result is that of the whole picture, up to rounding:
there is no overlap to choose and no seam.

The layers at full resolution are the widest and the cheapest: they are computed twice, once for
their statistics and once for what follows, instead of being kept.
"""

import errno
import os
import tempfile

import numpy as np
import tensorflow as tf

from fst.errors import UserError, first_line
from fst.models.architecture import EPSILON, MIN_SIZE, STRIDE, layers
from fst.stylize.forward import BLOCK, CENTRE, forward
from fst.stylize.forward_tensorflow import as_pixels, batch_norm, bordered, enlarged, mirrored

_IN_MEMORY = 256 * 2**20  # bytes: larger planes go to a file
_HALF_MAX = 65504.0
# Over the whole picture, one for each step of `forward`.
_PASSES = sum(1 + layer.closes for layer in layers())


def stylise_in_strips(arranged, image, rows, progress=None):
    """Stylises a picture with little more memory than the picture itself takes.

    Args:
        arranged: the trained weights (`fst.stylize.forward.arrange`).
        image: uint8 `[H, W, 3]` RGB, both sides at least 16 px.
        rows: how many rows of the picture are worked on at a time; more are faster, and take more
            memory, about 1 kB for each of their pixels.
        progress: a function that is told before each strip of each layer how much is done, 0-1; if
            it raises, the work ends there.

    Returns:
        uint8 `[H, W, 3]`.

    Raises:
        UserError: the temporary file does not fit on its disk, or cannot be made.
    """
    height, width, _ = image.shape
    if min(height, width) < MIN_SIZE:
        raise ValueError(f"a side needs {MIN_SIZE} px, not {width}x{height}")
    padding = [(0, -height % STRIDE), (0, -width % STRIDE), (0, 0)]
    padded = np.pad(image, padding, mode="reflect") if height % STRIDE or width % STRIDE else image
    steps = _Steps(arranged, len(padded), max(STRIDE, rows - rows % STRIDE), progress)
    try:
        return forward(steps, _Rows(len(padded), _centred(padded)))[:height, :width]
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise UserError(
            f"a picture of {width}x{height} px needs about {40 * height * width >> 20} MiB in "
            f"{tempfile.gettempdir()}, which is full: set TMPDIR to a folder with more room, or "
            "make the picture smaller first"
        ) from None  # Not the disk that results go to: the other pictures may well be written.


def _centred(image):
    return lambda top, bottom: tf.cast(image[top:bottom], tf.float32)[None] - CENTRE


class _Steps:
    """The steps of `fst.stylize.forward.forward` on `_Rows`, each for the whole picture.

    Args:
        arranged: the trained weights.
        height: of the picture, px, a multiple of the stride.
        rows: of a layer in a strip, a multiple of the stride.
        progress: as for `stylise_in_strips`.
    """

    def __init__(self, arranged, height, rows, progress=None):
        self._arranged = arranged
        self._kernels = {name: tf.constant(value) for name, value in arranged.kernels.items()}
        self._height, self._rows = height, rows
        self._progress, self._passes = progress, 0

    def normalised(self, x, layer):
        height = 2 * x.height if layer.enlarge else -(-x.height // layer.stride)
        convolve = (
            self._enlargement(x, layer.name)
            if layer.enlarge
            else self._convolution(x, layer.name, layer.stride)
        )
        statistics, plane = _Statistics(), None
        for top, bottom in self._strips(height):
            found = convolve(top, bottom)
            statistics.add(found)
            if height < self._height:
                plane = plane or _Plane(height, *found.shape[2:])
                plane.write(top, found)
        raw = _Rows(height, plane.read if plane else convolve)
        scale, shift = self._arranged.norms[layer.name]
        return raw.mapped(_normalisation(scale, shift, *statistics.result(), layer.activate))

    def add(self, x, y, layer):
        plane = None
        for top, bottom in self._strips(x.height):
            found = x.read(top, bottom) + y.read(top, bottom)
            # The sum of every block replaces the one before it, in its place.
            plane = plane or x.plane or _Plane(x.height, *found.shape[2:])
            plane.write(top, found)
        return _Rows(x.height, plane.read, plane)

    def pixels(self, x, layer):
        convolve = self._convolution(x, layer.name, BLOCK)
        stylised = None
        for top, bottom in self._strips(x.height):
            found = as_pixels(convolve(top // BLOCK, bottom // BLOCK), self._arranged.bias)[0]
            if stylised is None:
                stylised = np.empty((x.height, *found.shape[1:]), np.uint8)
            stylised[top:bottom] = tf.cast(tf.round(found), tf.uint8)
        return stylised

    def _convolution(self, x, name, stride):
        """A function that gives rows of a convolution of `x`, `[1, rows, W, C]`."""
        kernel = self._kernels[name]
        size = kernel.shape[0]
        reach = (size - 1) // 2

        def convolve(top, bottom):
            first = top * stride - reach
            rows = x.mirrored(first, first + (bottom - 1 - top) * stride + size)
            return tf.nn.conv2d(mirrored(rows, reach, axes=[2]), kernel, stride, "VALID")

        return convolve

    def _enlargement(self, x, name):
        """A function that gives rows of `x` enlarged, by layer `name`, `[1, rows, W, C]`."""
        kernel = self._kernels[name]

        def convolve(top, bottom):
            first, last = top // 2, (bottom + 1) // 2
            found = enlarged(bordered(x.bordered(first - 1, last + 1), axes=[2]), kernel)
            return found[:, top - 2 * first : bottom - 2 * first]

        return convolve

    def _strips(self, height):
        for top in range(0, height, self._rows):
            if self._progress:
                self._progress((self._passes + top / height) / _PASSES)
            yield top, min(top + self._rows, height)
        self._passes += 1


class _Statistics:
    """Mean and variance by channel of features that come in parts."""

    def __init__(self):
        self._count, self._sums = 0, 0.0

    def add(self, x):
        count = int(np.prod(x.shape[:3]))
        ones = tf.ones([x.shape[3]])
        # The fastest way to both; of its variance, over count - 1, it is told that of a sample.
        found = batch_norm(x, ones, ones)
        mean = found.batch_mean.numpy().astype(np.float64)
        variance = found.batch_variance.numpy().astype(np.float64) * (count - 1) / count
        self._count += count
        self._sums = self._sums + count * np.stack([mean, variance + mean**2])

    def result(self):
        """float32 `[C]` each."""
        mean, square = self._sums / self._count
        return mean.astype(np.float32), np.maximum(square - mean**2, 0.0).astype(np.float32)


def _normalisation(scale, shift, mean, variance, activate):
    def normalise(x):
        x = tf.raw_ops.FusedBatchNormV3(
            x=x,
            scale=scale,
            offset=shift,
            mean=mean,
            variance=variance,
            epsilon=EPSILON,
            is_training=False,
        ).y
        return tf.nn.relu(x) if activate else x

    return normalise


class _Rows:
    """A plane of features that is read by rows: `read(top, bottom)` gives `[1, rows, W, C]`.

    `plane` is the `_Plane` that holds just these numbers, if there is one.
    """

    def __init__(self, height, read, plane=None):
        self.height, self.read, self.plane = height, read, plane

    def mapped(self, function):
        """The same with `function` applied to whatever is read."""
        return _Rows(self.height, lambda top, bottom: function(self.read(top, bottom)))

    def mirrored(self, top, bottom):
        """Rows that may lie beyond the plane's ends, where it is reflected."""
        index = np.abs(np.arange(top, bottom))
        return self._gathered(np.where(index < self.height, index, 2 * (self.height - 1) - index))

    def bordered(self, top, bottom):
        """Rows that may lie beyond the plane's ends, where its outermost row is repeated."""
        return self._gathered(np.clip(np.arange(top, bottom), 0, self.height - 1))

    def _gathered(self, index):
        first, last = index.min(), index.max() + 1
        found = self.read(first, last)
        whole = len(index) == last - first and index[0] == first
        return found if whole else tf.gather(found, index - first, axis=1)


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
            try:
                self._file = tempfile.TemporaryFile()  # noqa: SIM115
            except OSError as error:
                raise UserError(
                    "a picture of this size needs a temporary file: set TMPDIR to a folder that "
                    f"can be written, or make the picture smaller first ({first_line(error)})"
                ) from None
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(self._file.fileno(), 0, size)

    def write(self, top, values):
        half = tf.cast(tf.clip_by_value(values, -_HALF_MAX, _HALF_MAX), tf.float16)[0].numpy()
        if self._file is None:
            self._array[top : top + len(half)] = half
        else:
            self._file.seek(top * self._row_bytes)
            self._file.write(half.data)

    def read(self, top, bottom):
        """float32 `[1, bottom - top, width, channels]`."""
        if self._file is None:
            half = self._array[top:bottom]
        else:
            half = np.empty((bottom - top, *self._shape[1:]), np.float16)
            self._file.seek(top * self._row_bytes)
            self._file.readinto(half.data.cast("B"))
        return tf.cast(half[None], tf.float32)

    @property
    def _row_bytes(self):
        return 2 * self._shape[1] * self._shape[2]
