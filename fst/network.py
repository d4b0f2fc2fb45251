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

Pure Keras: nothing here names a backend.
"""

import keras
from keras import layers, ops

from fst.architecture import EPSILON, RESIDUAL_BLOCKS, STRIDE
from fst.precision import dtype_policy


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

    Even so it is next to flat beyond `x = ±3` (pixel values 6 and 249), and instance normalisation
    tempts a network to go far beyond: a few blinding spots rule the statistics of a whole channel.
    So training adds the mean square of what exceeds 3, times `restraint`, to the layer's losses.

    Always float32: in half precision the steps between bright values would be a grey level wide.

    Args:
        restraint: weight of that loss; 0.1 keeps the spots away and costs honest whites nothing.
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


def _convolution(x, filters, kernel, name, strides=1, initializer="glorot_uniform"):
    x = ReflectionPadding2D(kernel // 2, name=f"{name}_pad")(x)
    return layers.Conv2D(
        filters, kernel, strides=strides, kernel_initializer=initializer, name=f"{name}_conv"
    )(x)


def _normalised(x, filters, kernel, name, strides=1, activate=True):
    x = _convolution(x, filters, kernel, name, strides)
    x = layers.GroupNormalization(groups=-1, epsilon=EPSILON, name=f"{name}_norm")(x)
    return layers.Activation("relu", name=f"{name}_relu")(x) if activate else x


def _residual(x, filters, name):
    y = _normalised(x, filters, 3, f"{name}_a")
    y = _normalised(y, filters, 3, f"{name}_b", activate=False)
    return layers.Add(name=f"{name}_add")([x, y])


def _upsampled(x, filters, name):
    x = layers.UpSampling2D(2, interpolation="nearest", name=f"{name}_resize")(x)
    return _normalised(x, filters, 3, name)


def build_network(width=32, dtype=None):
    """Builds the untrained network.

    Args:
        width: channels of the first convolution; the deeper ones have twice and four times as
            many. 32 is the paper's, with 1,679,235 parameters; 16 has about a quarter of
            them.
        dtype: Keras dtype policy of the layers; the global one when None. The last layer computes
            in float32 whatever the policy.

    Returns:
        A `keras.Model` from `image`, float32 `[B, H, W, 3]` RGB in 0-255 with `H, W >= 16`, to
        the stylised image of the same shape and range.

    Raises:
        ValueError: `width` is smaller than 1.
    """
    if width < 1:
        raise ValueError(f"width must be at least 1, not {width}")
    with dtype_policy(dtype):
        return _build(width)


def _build(width):
    image = keras.Input((None, None, 3), name="image")
    x = ToUnit(name="to_unit")(PadToStride(name="pad")(image))
    x = _normalised(x, width, 9, "down1")
    x = _normalised(x, 2 * width, 3, "down2", strides=2)
    x = _normalised(x, 4 * width, 3, "down3", strides=2)
    for block in range(RESIDUAL_BLOCKS):
        x = _residual(x, 4 * width, f"residual{block + 1}")
    x = _upsampled(x, 2 * width, "up1")
    x = _upsampled(x, width, "up2")
    # Small at first, so that training starts from a grey picture and not from black and white.
    small = keras.initializers.VarianceScaling(0.05, "fan_avg", "uniform")
    x = BoundedPixels(name="pixels")(_convolution(x, 3, 9, "rgb", initializer=small))
    return keras.Model(image, CropLike(name="stylized")([x, image]), name="stylizer")
