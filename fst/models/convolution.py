"""The convolutions of the network, rearranged so that training is not held up by three of them.

Computed as they are written, they took over a quarter of the time of training: the last layer, 9x9
with only three channels to give, and the two before it, which enlarge. A matrix product of three
columns fills no vector unit, and enlarging a map only to convolve it computes on four copies of
each value. `benchmarks/parts.py` measures what the two forms here gain.

`fst.stylize.forward` arranges trained weights of the same layers for the engines, once; here the
weights change with every step, and gradients go through the arranging.

Pure Keras: nothing here names a backend.
"""

import keras
import numpy as np
from keras import layers, ops

FEW = 8
"""Up to so many channels, a convolution over a large kernel is taken apart into rows."""

_TAPS = np.zeros((2, 2, 3), np.float32)
"""Which taps of a 3-wide kernel fall on which of two neighbouring values once each is repeated.

By the phase, the value, the tap: the left copy of a value (phase 0) sees the value before it once
and its own twice, the right copy its own twice and the one behind it once.
"""
_TAPS[0, 0, 0] = _TAPS[0, 1, 1] = _TAPS[0, 1, 2] = 1
_TAPS[1, 0, 0] = _TAPS[1, 0, 1] = _TAPS[1, 1, 2] = 1


@keras.saving.register_keras_serializable("fst")
class Conv2D(layers.Conv2D):
    """A convolution without padding, of the same weights and result as Keras's.

    It is called what Keras's is because a weights file tells layers by the name of their class: so
    a file written with either fits the other.

    Args:
        enlarge: whether height and width are doubled first, each value repeated, and padded by
            mirroring; for kernels of 3x3. In float32 computed at the smaller size as one
            convolution of 2x2 for each of the four phases: 4/9 of the operations, and no larger
            map is made (as Shi et al. 2016, "Is the deconvolution layer the same as a
            convolutional layer?").

    Input `[B, H, W, C]`. Output `[B, H - k + 1, W - k + 1, filters]`, with `enlarge` `[B, 2 * H,
    2 * W, filters]`.
    """

    def __init__(self, filters, kernel_size, enlarge=False, **kwargs):
        super().__init__(filters, kernel_size, **kwargs)
        self.enlarge = enlarge
        if (self.padding, self.dilation_rate, self.groups) != ("valid", (1, 1), 1):
            raise ValueError("padding, dilation and groups are not for this convolution")
        if enlarge and (self.kernel_size, self.strides) != ((3, 3), (1, 1)):
            raise ValueError("what enlarges has a kernel of 3x3 and no steps")

    def convolution_op(self, inputs, kernel):
        # Half precision stays as it is written: its kernels for it gain nothing by the phases (a
        # step of training took a tenth longer), and the sum of the rows would be rounded nine
        # times.
        arranged = self.compute_dtype == "float32"
        if self.enlarge:
            return (enlarged if arranged else enlarged_plainly)(inputs, kernel)
        if arranged and self.filters <= FEW and self.strides == (1, 1):
            return by_rows(inputs, kernel)
        return super().convolution_op(inputs, kernel)

    def compute_output_shape(self, input_shape):
        if not self.enlarge:
            return super().compute_output_shape(input_shape)
        batch, height, width, _ = input_shape
        return batch, height and 2 * height, width and 2 * width, self.filters

    def get_config(self):
        return {**super().get_config(), "enlarge": self.enlarge}


def by_rows(x, kernel):
    """A convolution without padding, one for all rows of the kernel and then the rows' sum.

    Args:
        x: `[B, H, W, C]`.
        kernel: `[k, l, C, D]`, D small.

    Returns:
        `[B, H - k + 1, W - l + 1, D]`.
    """
    rows, columns, inputs, outputs = kernel.shape
    flat = ops.reshape(ops.transpose(kernel, (1, 2, 0, 3)), (1, columns, inputs, rows * outputs))
    found = ops.conv(x, flat, padding="valid")
    height = ops.shape(x)[1] - rows + 1
    parts = ops.split(found, rows, axis=-1)
    return sum(part[:, row : row + height] for row, part in enumerate(parts))


def enlarged_plainly(x, kernel):
    """What `enlarged` computes, as it is written: the larger map is made, and convolved."""
    x = ops.repeat(ops.repeat(x, 2, axis=1), 2, axis=2)
    x = ops.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], mode="reflect")
    return ops.conv(x, kernel, padding="valid")


def enlarged(x, kernel):
    """Doubles a map, each value repeated, mirrors its border, convolves: without the larger map.

    Args:
        x: `[B, H, W, C]`.
        kernel: `[3, 3, C, D]`.

    Returns:
        `[B, 2 * H, 2 * W, D]`.
    """
    _, _, inputs, outputs = kernel.shape
    _, height, width, _ = ops.shape(x)
    taps = ops.cast(_TAPS, kernel.dtype)
    phases = ops.einsum("pau,qbv,uvio->abipqo", taps, taps, kernel)
    phases = ops.reshape(phases, (2, 2, inputs, 4 * outputs))
    # The mirrored row of the larger map is the other copy of the outermost value.
    x = ops.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], mode="symmetric")
    found = ops.conv(x, phases, padding="valid")
    parts = [
        part[:, phase // 2 : phase // 2 + height, phase % 2 : phase % 2 + width]
        for phase, part in enumerate(ops.split(found, 4, axis=-1))
    ]
    return ops.depth_to_space(ops.concatenate(parts, axis=-1), 2, data_format="channels_last")
