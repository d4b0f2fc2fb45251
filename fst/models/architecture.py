"""The network's dimensions, for those who need them without Keras, whose import takes seconds."""

STRIDE = 4
"""The network works at a quarter of the input's resolution."""

MIN_SIZE = 16
"""The smallest height or width, in px: at a quarter of it reflection still has rows to mirror."""

RESIDUAL_BLOCKS = 5

EPSILON = 1e-5
"""Added to the variance by every normalisation. Keras defaults to 1e-3, which would grey out flat
regions such as skies."""


def shapes(width):
    """The shape of each convolution's kernel in a network of this width, by layer, in order."""
    deep = 4 * width
    blocks = range(1, RESIDUAL_BLOCKS + 1)
    return {
        "down1": (9, 9, 3, width),
        "down2": (3, 3, width, 2 * width),
        "down3": (3, 3, 2 * width, deep),
        **{f"residual{block}_{part}": (3, 3, deep, deep) for block in blocks for part in "ab"},
        "up1": (3, 3, deep, 2 * width),
        "up2": (3, 3, 2 * width, width),
        "rgb": (9, 9, width, 3),
    }
