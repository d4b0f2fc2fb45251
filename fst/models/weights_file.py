"""The file `network.weights.h5`, read and checked without Keras, whose import takes seconds.

A network of several styles has one row per style in each scale and shift; all the rest is shared.
"""

import io

import h5py
import numpy as np

from fst.models.architecture import FIRST, layers


def read(path, width, styles=None):
    """The arrays of a Keras weights file.

    Args:
        path: the file.
        width: the width of the network that it must be of.
        styles: how many styles it must hold; any number when None.

    Returns:
        A dictionary from the names of layers, such as `down1_conv` and `down1_norm`, to their
        float32 arrays: kernel and bias, or scale and shift, `[C]`, or `[styles, C]` where the file
        holds several styles.

    Raises:
        Exception: many kinds, h5py's among them, for a file that is damaged or of another network.
    """
    with h5py.File(path) as file:
        found = _by_layer(file)
    rows = _rows(found)
    held = rows[0] if rows else 1
    if styles is not None and held != styles:
        raise ValueError(f"it holds {held} of the {styles} styles that the card names")
    return _of_width(found, width, rows)


def is_gallery(weights):
    """Whether scale and shift have a row for each style, as where there are several."""
    return np.ndim(weights[FIRST.norm][0]) == 2


def count_styles(weights):
    """How many styles there are in what `read` returned."""
    return len(weights[FIRST.norm][0]) if is_gallery(weights) else 1


def fold(weights, mixture):
    """The weights of one style, or of one blend, out of those of several.

    Args:
        weights: what `read` returned.
        mixture: how much of each style, `[styles]`.

    Returns:
        As `read`, with scales and shifts `[C]`.
    """
    if not is_gallery(weights):
        return weights
    chosen = np.flatnonzero(mixture)
    shares = np.float32(mixture)[chosen]
    return {
        layer: [shares @ table[chosen] for table in arrays] if layer.endswith("_norm") else arrays
        for layer, arrays in weights.items()
    }


def first(weights):
    """The weights of the first style of what `read` returned."""
    return fold(weights, np.eye(count_styles(weights))[0])


def halve(path):
    """Rewrites a Keras weights file in half precision."""
    # Not saved from a float16 network: building one computes in half precision, of which oneDNN
    # complains on most CPUs.
    whole = io.BytesIO(path.read_bytes())
    with h5py.File(whole, "r") as source, h5py.File(path, "w") as half:

        def copy(name, item):
            if isinstance(item, h5py.Dataset):
                half.create_dataset(name, data=item[()].astype("float16"))
            else:
                half.require_group(name).attrs.update(item.attrs)

        source.visititems(copy)


def _by_layer(file):
    """The arrays of a Keras weights file by the names that the network gives its layers."""
    found = {}

    def note(_, item):
        if isinstance(item, h5py.Group) and "name" in item.attrs and len(item):
            arrays = [item[key][()] for key in sorted(item)]
            found[item.attrs["name"]] = [array.astype(np.float32) for array in arrays]

    file.visititems(note)
    return found


def _rows(found):
    """`(styles,)` where there are several, else `()`: how the shapes of scale and shift begin."""
    first = found.get(FIRST.norm)
    return first[0].shape[:1] if first and first[0].ndim == 2 else ()


def _of_width(found, width, rows):
    """`found`, if it holds what a network of this width needs.

    Raises:
        ValueError: it does not.
    """
    for layer in layers(width):
        channels = layer.shape[3:]
        wanted = {layer.conv: [layer.shape, channels]}
        if layer.normalise:
            wanted[layer.norm] = [rows + channels] * 2
        for name, expected in wanted.items():
            given = [array.shape for array in found.get(name, ())]
            if given != expected:
                raise ValueError(f"layer {name} has the arrays {given}, not {expected}")
            if not all(np.isfinite(array).all() for array in found[name]):
                raise ValueError(f"layer {name} holds values that are not finite")
    return found
