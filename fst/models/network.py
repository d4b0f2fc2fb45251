"""The image transformation network: a small residual autoencoder with instance normalisation.

The architecture is that of Johnson, Alahi and Fei-Fei, "Perceptual Losses for Real-Time Style
Transfer and Super-Resolution" (2016, supplementary material, table 1), with four changes that the
field has since agreed on:

* instance normalisation for batch normalisation (Ulyanov, Vedaldi and Lempitsky, 2016);
* nearest-neighbour resize and a convolution for transposed convolution, which leaves a
  checkerboard (Odena, Dumoulin and Olah, 2016);
* reflection padding before every convolution, since zeros draw a frame around the picture;
* the input is padded to a multiple of the stride and the output cropped back, so that every size
  from 16 px keeps its exact height and width.

`fst.models.architecture` lists the layers; this module defines what they compute, with
`fst.models.convolution` and `fst.models.normalization`.

Pure Keras: nothing here names a backend.
"""

import random

import keras
import numpy as np
from keras import layers, ops

from fst.models import architecture
from fst.models.architecture import STRIDE
from fst.models.convolution import Conv2D
from fst.models.normalization import ConditionalNormalization, GroupNormalization
from fst.models.precision import dtype_policy


@keras.saving.register_keras_serializable("fst")
class ReflectionPadding2D(layers.Layer):
    """Pads height and width on both sides by mirroring the picture about its outermost pixels.

    Args:
        padding: rows and columns to add on each side; the input must be larger than that.

    Input `[B, H, W, C]`, output `[B, H + 2 * padding, W + 2 * padding, C]`.
    """

    def __init__(self, padding, **kwargs):
        super().__init__(**kwargs)
        self.padding = padding

    def call(self, x):
        p = self.padding
        return ops.pad(x, [[0, 0], [p, p], [p, p], [0, 0]], mode="reflect")

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        grow = 2 * self.padding
        return batch, height and height + grow, width and width + grow, channels

    def get_config(self):
        return {**super().get_config(), "padding": self.padding}


@keras.saving.register_keras_serializable("fst")
class PadToStride(layers.Layer):
    """Mirrors rows at the bottom and columns at the right up to the next multiple of `stride`.

    Input `[B, H, W, C]`, output `[B, ceil(H / stride) * stride, ceil(W / stride) * stride, C]`.
    """

    def __init__(self, stride=STRIDE, **kwargs):
        super().__init__(**kwargs)
        self.stride = stride

    def call(self, x):
        _, height, width, _ = ops.shape(x)
        pad = [[0, 0], [0, -height % self.stride], [0, -width % self.stride], [0, 0]]
        return ops.pad(x, pad, mode="reflect")

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape

        def up(size):
            return size and size + -size % self.stride

        return batch, up(height), up(width), channels

    def get_config(self):
        return {**super().get_config(), "stride": self.stride}


@keras.saving.register_keras_serializable("fst")
class CropLike(layers.Layer):
    """Crops the first input at the bottom and the right to the second one's height and width.

    Always float32, as its input is: it holds pixels, not features.
    """

    def __init__(self, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})

    def call(self, inputs):
        x, like = inputs
        _, height, width, _ = ops.shape(like)
        return x[:, :height, :width, :]

    def compute_output_shape(self, input_shape):
        x, like = input_shape
        return x[0], like[1], like[2], x[3]


@keras.saving.register_keras_serializable("fst")
class ToUnit(layers.Layer):
    """Maps pixel values 0-255 to -1..1, which is where the initial weights expect their input."""

    def call(self, x):
        return x / 127.5 - 1.0


@keras.saving.register_keras_serializable("fst")
class BoundedPixels(layers.Layer):
    """Maps any real number smoothly into pixel values 0-255: `127.5 * (1 + x / sqrt(1 + x²))`.

    Its slope falls off far more slowly than that of the usual hyperbolic tangent, under which a
    region that turns white early in training stays white: no gradient reaches it any more.

    Still it is nearly flat beyond `x = ±3` (pixel values 6 and 249), and instance normalisation
    can drive a network far beyond: a few very bright spots then dominate a channel's statistics.
    So training adds the mean square of what exceeds 3, times `restraint`, to the layer's losses.

    Always float32: in half precision the steps between bright values would be a grey level wide.

    Args:
        restraint: weight of that loss; 0.1 prevents the spots and does not affect real whites.
    """

    def __init__(self, restraint=0.1, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.restraint = restraint

    def call(self, x):
        excess = ops.relu(ops.abs(x) - 3.0)
        self.add_loss(self.restraint * ops.mean(ops.square(excess)))
        return 127.5 * (1.0 + x * ops.rsqrt(1.0 + ops.square(x)))

    def get_config(self):
        return {**super().get_config(), "restraint": self.restraint}


class _Builder:
    """The steps of `fst.models.architecture.walk` in Keras layers.

    Args:
        shares: the input that tells the style weights; None where there is one style only.
        seeds: for the initial kernels, one after the other.
    """

    def __init__(self, shares, seeds):
        self._shares, self._seeds = shares, seeds

    def normalised(self, x, layer):
        x = self._convolved(x, layer, keras.initializers.GlorotUniform(next(self._seeds)))
        x = self._norm(layer.norm)(x)
        return layers.Activation("relu", name=f"{layer.name}_relu")(x) if layer.activate else x

    def add(self, x, y, layer):
        return layers.Add(name=f"{layer.name.removesuffix('_b')}_add")([x, y])

    def pixels(self, x, layer):
        # Small at first, so that training starts from a grey picture and not from black and white.
        small = keras.initializers.VarianceScaling(
            0.05, "fan_avg", "uniform", seed=next(self._seeds)
        )
        return BoundedPixels(name="pixels")(self._convolved(x, layer, small))

    def _convolved(self, x, layer, initializer):
        if not layer.enlarge:
            x = ReflectionPadding2D(layer.kernel // 2, name=f"{layer.name}_pad")(x)
        return Conv2D(
            layer.outputs,
            layer.kernel,
            enlarge=layer.enlarge,
            strides=layer.stride,
            kernel_initializer=initializer,
            name=layer.conv,
        )(x)

    def _norm(self, name):
        if self._shares is None:
            return GroupNormalization(name=name)
        norm = ConditionalNormalization(self._shares.shape[-1], name=name)
        return lambda x: norm([x, self._shares])


def build_network(
    width: int = 32, dtype: str | None = None, styles: int = 1, seed: int | None = None
) -> keras.Model:
    """Builds the untrained network.

    Args:
        width: channels of the first convolution; the deeper ones have twice and four times as
            many. 32 is the paper's, with 1,679,235 parameters; 16 has about a quarter of
            them.
        dtype: Keras dtype policy of the layers; the global one when None. The last layer computes
            in float32 whatever the policy.
        styles: how many styles the network holds. Each beyond the first adds a scale and a shift
            per normalised channel: 3,200 numbers at width 32.
        seed: of the initial weights, which are then those after `keras.utils.set_random_seed`
            with it, without touching any random state; when None they follow Keras's own.

    Returns:
        A `keras.Model` from `image`, float32 `[B, H, W, 3]` RGB in 0-255 with `H, W >= 16`, to
        the stylised image of the same shape and range. With several styles it takes the list of
        `image` and `style`, float32 `[B, styles]`: how much of each style every picture takes,
        one 1 and zeros for a single style.

    Raises:
        ValueError: `width` or `styles` is smaller than 1.

    Example:
        >>> build_network(width=8)(np.zeros((1, 30, 40, 3), np.float32)).shape
        TensorShape([1, 30, 40, 3])
    """
    for name, value in (("width", width), ("styles", styles)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, not {value}")
    with dtype_policy(dtype):
        return _build(width, styles, _seeds(seed))


def _build(width, styles, seeds):
    image = keras.Input((None, None, 3), name="image")
    style = keras.Input((styles,), name="style") if styles > 1 else None
    x = ToUnit(name="to_unit")(PadToStride(name="pad")(image))
    x = architecture.walk(architecture.layers(width), _Builder(style, seeds), x)
    inputs = image if style is None else [image, style]
    return keras.Model(inputs, CropLike(name="stylized")([x, image]), name="stylizer")


def _seeds(seed):
    """Seeds for one initializer after the other; each None where Keras shall choose."""
    chosen = random.Random(seed)
    while True:
        # As Keras itself draws them, from Python's generator.
        yield None if seed is None else chosen.randint(1, int(1e9))


def width_of(network):
    """The width of a network from `build_network`."""
    return network.get_layer(architecture.FIRST.conv).filters


def styles_of(network):
    """How many styles a network from `build_network` holds."""
    return network.inputs[1].shape[-1] if len(network.inputs) > 1 else 1


def paint(network, photos, shares, training=False):
    """Stylises `photos` with a network of one style or of several.

    Args:
        network: from `build_network`.
        photos: float32 `[B, H, W, 3]`, RGB, 0-255.
        shares: how much of each style every photo gets, float32 `[B, styles]`; a network of one
            style needs none.
        training: whether the layers' losses are wanted as well.
    """
    inputs = [photos, shares] if len(network.inputs) > 1 else photos
    return network(inputs, training=training)


def fold(network, style):
    """The ordinary network of one style, or of one blend, out of a network that holds several.

    The two paint the same picture. The scales and shifts of the styles are mixed once instead of
    for every picture, and all that works on a network of one style works on the result.

    Args:
        network: from `build_network` with `styles` > 1.
        style: how much of each style, `[styles]`.

    Returns:
        A float32 network as from `build_network` with `styles=1`.

    Raises:
        ValueError: `style` has another length.
    """
    style = np.asarray(style, np.float32)
    styles = styles_of(network)
    if style.shape != (styles,):
        raise ValueError(f"the network holds {styles} styles, not {list(style.shape)}")
    single = build_network(width_of(network), dtype="float32")
    for layer in network.layers:
        weights = layer.get_weights()
        if isinstance(layer, ConditionalNormalization):
            weights = [style @ table for table in weights]
        if weights:
            single.get_layer(layer.name).set_weights(weights)
    return single
