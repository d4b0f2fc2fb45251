"""The network's forward pass, arranged for speed and written down once for every engine.

`fst.models.architecture` tells the layers, `fst.models.network` what each computes; `forward`
computes the same from trained weights, in steps that an engine offers (`forward_tensorflow`,
`forward_onnx`, `strips`). What is not arithmetic that the result needs is taken away before
anything runs:

* Pixels are centred and scaled by the first convolution's weights, and no convolution before a
  normalisation adds its bias: the normalisation would take away any constant again.
* Enlarging by nearest neighbour and then a 3×3 convolution is one transposed convolution, 4×4 with
  stride 2: every second product of the former multiplies a value by a sum of weights that can be
  summed beforehand. It has 4/9 of the multiplications, and nothing is enlarged in memory. There is
  no checkerboard, since its weights are those of the convolution.
* The last convolution, 9×9 to three channels, leaves most of a vector unit idle. Computing the
  twelve values of 2×2 pixels at once, 10×10 with stride 2, costs more products and a third of
  the time.

This module needs neither TensorFlow nor Keras, so that engines without them start quickly.
"""

from typing import NamedTuple

import numpy as np

from fst.models.architecture import FIRST, LAST, layers, walk

CENTRE = 128.0
"""Taken from pixel values first: differences to it are exact even in bfloat16."""

BLOCK = 2
"""The side of the square of pixels that the last convolution gives as channels."""

CROP = 3
"""Rows and columns that a transposed convolution gives too many on each side."""


class Arranged(NamedTuple):
    """Trained weights, arranged for `forward`; all arrays are float32.

    `kernels` holds by layer `[height, width, in, out]`, for one that enlarges that of a transposed
    convolution, `[4, 4, out, in]`; `norms` holds by layer scale and shift, `[out]` each; `bias` is
    the last convolution's, `[12]`.
    """

    kernels: dict[str, np.ndarray]
    norms: dict[str, tuple[np.ndarray, np.ndarray]]
    bias: np.ndarray


def forward(steps, image):
    """The stylised image, by the steps of an engine.

    Args:
        steps: as for `fst.models.architecture.walk`. `normalised(x, layer)` is the convolution of
            `x` mirrored at its borders (where the layer enlarges, the transposed one, of `x` with
            its borders repeated), then instance normalisation, then the rectifier if it activates.
        image: what `normalised` takes for the image: pixel values less `CENTRE`.

    Returns:
        What `pixels` returned.
    """
    return walk(layers(), steps, image)  # An engine goes by its weights: any width will do.


def arrange(weights):
    """Arranges trained weights for `forward`.

    Args:
        weights: by the name of the Keras layer (`down1_conv`, `down1_norm` ...), its arrays: kernel
            and bias, or scale and shift; see `fst.checkpoint.Checkpoint.read_weights`.

    Returns:
        `Arranged`.
    """
    kernels = {layer.name: _kernel(layer, weights[layer.conv][0]) for layer in layers()}
    norms = {layer.name: tuple(weights[layer.norm]) for layer in layers() if layer.normalise}
    return Arranged(kernels, norms, np.tile(weights[LAST.conv][1], BLOCK * BLOCK))


def _kernel(layer, kernel):
    if layer.name == FIRST.name:
        return kernel / np.float32(127.5)
    if layer.name == LAST.name:
        return _of_blocks(kernel)
    return _enlarging(kernel) if layer.enlarge else kernel


def stored(array):
    """`array` in half precision where that loses nothing, as with the weights as they are shipped.

    Sums of weights, in the kernels that are arranged, need float32: so that an export makes the
    same picture to the last bit or so.
    """
    half = array.astype(np.float16)
    return half if np.array_equal(half, array) else array


def _enlarging(kernel):
    """The transposed convolution of stride 2 that is doubling rows and columns and `kernel`.

    A row of the source stands in two rows of the doubled one. So the first of the four weights that
    carry it on is `kernel`'s last, the second the sum of its last two, and so on.
    """
    for axis in (0, 1):
        first, middle, last = np.split(kernel, 3, axis)
        kernel = np.concatenate([last, middle + last, first + middle, first], axis)
    return np.swapaxes(kernel, 2, 3).copy()


def _of_blocks(kernel):
    """The kernel that gives `BLOCK` × `BLOCK` pixels as channels, which `depth_to_space` sorts."""
    size, _, channels, colors = kernel.shape
    side = size + BLOCK - 1
    blocks = np.zeros((side, side, channels, BLOCK, BLOCK, colors), np.float32)
    for y in range(BLOCK):
        for x in range(BLOCK):
            blocks[y : y + size, x : x + size, :, y, x] = kernel
    return blocks.reshape(side, side, channels, -1)
