"""The network's layers, described once, without Keras, whose import takes seconds.

`layers` is the table, and `walk` goes through it. All code that builds, computes, checks or counts
the network uses these two: `fst.models.network` in Keras, `fst.stylize.forward` in every engine.
"""

from typing import NamedTuple

STRIDE = 4
"""The network works at a quarter of the input's resolution."""

MIN_SIZE = 16
"""The smallest height or width, in px: at a quarter of it reflection still has rows to mirror."""

RESIDUAL_BLOCKS = 5

EPSILON = 1e-5
"""Added to the variance by every normalisation. Keras defaults to 1e-3, which would grey out flat
regions such as skies."""


class Layer(NamedTuple):
    """A convolution and what belongs to it: enlarging before it, normalisation after it.

    Attributes:
        name: such as `down1`; the Keras layers' are made of it.
        kernel: side of the convolution's kernel.
        inputs, outputs: channels.
        stride: of the convolution.
        enlarge: whether height and width are doubled first, each value repeated.
        normalise: whether instance normalisation follows.
        activate: whether the rectifier follows.
        opens, closes: the first and the last layer of a residual block: what the first one takes
            is added to what the last one gives.
    """

    name: str
    kernel: int
    inputs: int
    outputs: int
    stride: int = 1
    enlarge: bool = False
    normalise: bool = True
    activate: bool = True
    opens: bool = False
    closes: bool = False

    @property
    def shape(self):
        """The kernel's shape, `(height, width, in, out)`."""
        return self.kernel, self.kernel, self.inputs, self.outputs

    @property
    def conv(self):
        """What Keras calls the convolution; its weights are kernel and bias."""
        return f"{self.name}_conv"

    @property
    def norm(self):
        """What Keras calls the normalisation; its weights are scale and shift."""
        return f"{self.name}_norm"


def layers(width=32):
    """The layers of a network of this width, in order: a tuple of `Layer`s."""
    half, deep = 2 * width, 4 * width
    return (
        Layer("down1", 9, 3, width),
        Layer("down2", 3, width, half, stride=2),
        Layer("down3", 3, half, deep, stride=2),
        *(layer for block in range(RESIDUAL_BLOCKS) for layer in _residual(block + 1, deep)),
        Layer("up1", 3, deep, half, enlarge=True),
        Layer("up2", 3, half, width, enlarge=True),
        Layer("rgb", 9, width, 3, normalise=False, activate=False),
    )


def _residual(block, channels):
    name = f"residual{block}"
    yield Layer(f"{name}_a", 3, channels, channels, opens=True)
    yield Layer(f"{name}_b", 3, channels, channels, activate=False, closes=True)


FIRST, *_, LAST = layers()
"""The first layer, by which a network's width is told, and the last, which gives pixels."""


def walk(table, steps, x):
    """Computes the network layer by layer, with the operations in `steps`.

    Args:
        table: what `layers` returned.
        steps: has three methods. `normalised(x, layer)` is all that a `Layer` stands for, `add(x,
            y, layer)` the sum at the end of the residual block that `layer` closes, and `pixels(x,
            layer)` the last layer with what makes pixel values of its result.
        x: what the first layer takes.

    Returns:
        What `pixels` returned.
    """
    kept = None
    *hidden, last = table
    for layer in hidden:
        kept = x if layer.opens else kept
        x = steps.normalised(x, layer)
        if layer.closes:
            x = steps.add(kept, x, layer)
            kept = None  # Large pictures need the memory.
    return steps.pixels(x, last)
