"""The lattice: a fine canvas in step with the network's own grid of 4 px, as a measure and a loss.

The network doubles its resolution by repeating every value before a convolution. At even positions
the convolution has other neighbours than at odd ones, so noise, as in a sky, comes out stronger at
some positions than at others. The rectifier turns this difference in strength into a difference in
brightness: a pattern of 4 px that neither the photo nor the painting has. A style loss does not
prevent it, and even favours it in flat areas that have no other grain.

It is measured by averaging all cells of 4 x 4 px in a window. The picture's own texture averages
out, and what is in step with the grid remains.
"""

from keras import ops

from fst.models.architecture import STRIDE

WINDOW = 15
"""Cells along a window's side, 60 px in all: enough for texture to average out, and few enough to
find a lattice that only a part of the picture has."""


def lattice_energy(image, period=STRIDE):
    """How much of an image is in step with a grid, window by window.

    Args:
        image: float32 `[B, H, W, C]`, each side at least `period * (WINDOW + 1)` px.
        period: the grid's, px. The network's is 4; at 3 and 5 px, where it has none, one reads off
            what texture and edges leave by chance.

    Returns:
        float32 `[B, rows, columns]`: the mean square of what stays after folding, in the square of
        the image's unit. A slope of brightness counts nothing.
    """
    fine = _fine(ops.cast(image, "float32"), period)
    side = period * WINDOW
    _, height, width, channels = ops.shape(fine)
    rows, columns = height // side, width // side
    # One axis after the other, of three: the gradient of a mean over two of eight is slow.
    down = ops.reshape(
        fine[:, : rows * side, : columns * side], (-1, WINDOW, period * columns * side * channels)
    )
    across = ops.reshape(ops.mean(down, axis=1), (-1, WINDOW, period * channels))
    mean = ops.reshape(ops.mean(across, axis=1), (-1, rows, period, columns, period, channels))
    mean = mean - ops.mean(mean, axis=(2, 4), keepdims=True)
    return ops.mean(ops.square(mean), axis=(2, 4, 5))


def lattice_term(image):
    """The lattice of each picture, as a loss: its mean strength in grey levels, softened below 1.

    The root keeps the few windows with a long edge in them from ruling the rest.

    Args:
        image: float32 `[B, H, W, 3]`, 0-255.

    Returns:
        float32 `[B]`: 0 for a picture without, and for one too small to tell.
    """
    smallest = STRIDE * (WINDOW + 1)
    if None in image.shape[1:3]:  # The size is known when the picture is there.
        _, height, width, _ = ops.shape(image)
        large = ops.minimum(height, width) >= smallest
        return ops.cond(large, lambda: _strength(image), lambda: _none(image))
    return _strength(image) if min(image.shape[1:3]) >= smallest else _none(image)


def _strength(image):
    return ops.mean(ops.sqrt(lattice_energy(image) + 1.0) - 1.0, axis=(1, 2))


def _none(image):
    return ops.zeros_like(image[:, 0, 0, 0])


def _fine(image, period):
    """The image less its mean over `period` x `period` px: what is left of a slope is constant."""
    mean = ops.average_pool(image, period, strides=1, padding="valid")
    _, height, width, _ = ops.shape(mean)
    middle = (period - 1) // 2
    return image[:, middle : middle + height, middle : middle + width] - mean
