"""VGG19 itself (Simonyan and Zisserman 2014): its network, and the weights that it is given.

The package contains the layers down to conv4_2, the deepest that the default loss uses, with
kernels of 8 bits: `data/make_vgg19.py` makes that file, NOTICE says whose weights they are. Keras's
own file has all layers.

Beside it lies a light network of nearly the same features, of `data/make_light_vgg19.py`: most
convolutions are two there, one of 3x3 to fewer channels and one of 1x1 back to VGG19's (Zhang et
al., "Accelerating Very Deep Convolutional Networks for Classification and Detection", 2015).

Pure Keras, as `fst.models.perceptual`.
"""

import re
import zipfile
import zlib
from pathlib import Path

import keras
import numpy as np

from fst.loss_options import EMBEDDED, IMAGENET, LIGHT
from fst.models.keras_names import as_keras_names_it

EMBEDDED_PATH = Path(__file__).parent / "weights" / "vgg19_relu4_2.npz"
LIGHT_PATH = EMBEDDED_PATH.with_name("vgg19_light.npz")

URL = (
    "https://storage.googleapis.com/tensorflow/keras-applications/vgg19/"
    "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5"
)
_MD5 = "253f8cb515780f3b799900260a226db6"

# The convolutions of each block, and their channels.
_BLOCKS = {1: (2, 64), 2: (2, 128), 3: (4, 256), 4: (4, 512), 5: (4, 512)}
NAMES = tuple(f"block{b}_conv{n}" for b, (count, _) in _BLOCKS.items() for n in range(1, count + 1))
"""Its convolutions, first to last, as Keras calls them."""

NARROW = "{}_narrow"
"""What the first of the two convolutions is called that stand for one, given that one's name."""

TOP = 127  # The largest level of a kernel; -128 is left out, so that the levels are symmetric.


def keras_layer_name(name):
    """Translates `relu4_2`, the papers' name of a layer, to Keras's `block4_conv2`.

    Keras's own name passes through. Both mean the output after the rectifier.

    Raises:
        ValueError: VGG19 has no such layer.
    """
    match = re.fullmatch(r"(?:relu|block)(\d)(?:_|_conv)(\d)", name)
    found = f"block{match[1]}_conv{match[2]}" if match else ""
    if found not in NAMES:
        raise ValueError(f"VGG19 has no layer '{name}': use relu1_1 to relu5_4, such as relu4_2")
    return found


def load_network(weights, pooling="max"):
    """VGG19 without top, as a Keras model, its layers named as in `keras.applications`.

    Args:
        weights: `"embedded"`, `"light"`, `"imagenet"`, or the path of a file: Keras's (`.h5`), or
            of 8 bits (`.npz`), and then the network ends with the file's last layer. None leaves
            the weights random.
        pooling: `"max"` or `"average"`.

    Raises:
        ValueError: the file's layout is not VGG19's.
        OSError: the file cannot be read.
        Exception: whatever Keras raises when the download of `"imagenet"` fails.
    """
    if weights is None:
        return _build(NAMES, pooling, "glorot_uniform")
    if weights == IMAGENET:
        name = URL.rpartition("/")[2]
        weights = keras.utils.get_file(name, URL, cache_subdir="models", file_hash=_MD5)
    weights = path_in_package(weights) or weights
    if str(weights).endswith(".npz"):
        layers = read_quantised(weights)
        narrow = {name: kernel.shape[-1] for name, (kernel, *rest) in layers.items() if rest[1:]}
        network = _build(tuple(layers), pooling, narrow=narrow)
        _set_weights(network, layers)
    else:
        network = _build(NAMES, pooling)
        with as_keras_names_it(weights) as path:
            network.load_weights(path)
    return network


def path_in_package(weights):
    """The file of the package that `weights` means, or None."""
    return {EMBEDDED: EMBEDDED_PATH, LIGHT: LIGHT_PATH}.get(weights)


def _set_weights(network, layers):
    """Gives a network weights such as `read_quantised` returns."""
    for name, (*kernels, bias) in layers.items():
        if kernels[1:]:
            network.get_layer(NARROW.format(name)).set_weights(kernels[:1])
        network.get_layer(name).set_weights([kernels[-1], bias])


def _build(names, pooling, initializer="zeros", narrow=None):
    """The network down to the last of `names`; zeros take no time, and are overwritten.

    `narrow` has the channels between the two convolutions that stand for one, by its name.
    """
    narrow = narrow or {}
    pool = {"max": keras.layers.MaxPooling2D, "average": keras.layers.AveragePooling2D}[pooling]
    x = image = keras.Input((None, None, 3))
    for block, (count, channels) in _BLOCKS.items():
        for number in range(1, count + 1):
            name = f"block{block}_conv{number}"
            if name in narrow:
                x = keras.layers.Conv2D(
                    narrow[name],
                    3,
                    padding="same",
                    use_bias=False,
                    kernel_initializer=initializer,
                    name=NARROW.format(name),
                )(x)
            x = keras.layers.Conv2D(
                channels,
                1 if name in narrow else 3,
                padding="same",
                activation="relu",
                kernel_initializer=initializer,
                name=name,
            )(x)
            if name == names[-1] != NAMES[-1]:
                return keras.Model(image, x, name="vgg19")
        x = pool(2, 2, name=f"block{block}_pool")(x)
    return keras.Model(image, x, name="vgg19")


# --- Weights of 8 bits ---------------------------------------------------------------------------


def dequantise(levels, scale):
    """The kernel that its levels stand for.

    Args:
        levels: int8 `[3, 3, in, out]`, or of 1x1, -127 to 127.
        scale: float32 `[out]`, the worth of one level in each output channel.

    Returns:
        float32, of the same shape.
    """
    return levels.astype(np.float32) * scale


def write_quantised(path, layers, about):
    """Writes a file of 8-bit weights.

    Args:
        path: of the file, `.npz`.
        layers: a dictionary from Keras's names of the first layers, in order, to `(levels, scale,
            bias)`, as `dequantise`; the bias float32 `[out]`. Where two convolutions stand for one,
            the levels and scale of both, and the bias: five arrays.
        about: a text on where they come from, which is kept in the file.
    """
    arrays = {"about": np.array(about)}
    for name, (*narrow, levels, scale, bias) in layers.items():
        arrays |= {f"{name}/levels": levels, f"{name}/scale": scale, f"{name}/bias": bias}
        if narrow:
            first = NARROW.format(name)
            arrays |= {f"{first}/levels": narrow[0], f"{first}/scale": narrow[1]}
    np.savez_compressed(path, **arrays)


def read_quantised(path):
    """The kernels and biases, float32, of a file of 8-bit weights, by Keras's names of the layers.

    Returns:
        A dictionary to `(kernel, bias)`, or to two kernels and the bias.

    Raises:
        ValueError: the file is damaged, or is not of VGG19's first layers.
        OSError: it cannot be read.
    """
    try:
        with np.load(path) as file:
            count = sum(name.endswith("/bias") for name in file.files)
            layers = {}
            for name in NAMES[:count]:
                both = [
                    n for n in (NARROW.format(name), name) if f"{n}/levels" in file or n == name
                ]
                kernels = [dequantise(file[f"{n}/levels"], file[f"{n}/scale"]) for n in both]
                layers[name] = *kernels, file[f"{name}/bias"]
    except (KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"it is damaged: {error}") from error
    if not layers:
        raise ValueError("it holds no layers of VGG19")
    return layers
