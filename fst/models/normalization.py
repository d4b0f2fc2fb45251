"""Instance normalisation: every channel of every picture to one mean and one deviation.

Ulyanov, Vedaldi and Lempitsky, "Instance Normalization: The Missing Ingredient for Fast
Stylization" (2016). A network of one style has a scale and a shift for each channel, one of several
has those of every style (`ConditionalNormalization`).

Written with single operations, it reads and writes the whole map some twenty times for a step of
training. Of a single picture it is batch normalisation, of a batch of one, for which TensorFlow has
one kernel for the result and one for the gradient: training on a CPU takes these, picture by
picture. `benchmarks/parts.py` measures what that gains. On other backends, on GPUs, in float16 and
wherever the number of pictures is open, as in `fit` on arrays, it stays as it is written.
"""

import keras
from keras import layers, ops

from fst.models.architecture import EPSILON


@keras.saving.register_keras_serializable("fst")
class GroupNormalization(layers.GroupNormalization):
    """Keras's own with a group for each channel, which is instance normalisation.

    It is called what Keras's is because a weights file tells layers by the name of their class: so
    a file written with either fits the other.

    Input and output `[B, H, W, C]`.
    """

    def __init__(self, groups=-1, epsilon=EPSILON, **kwargs):
        super().__init__(groups, epsilon=epsilon, **kwargs)
        if (self.axis, self.center, self.scale) != (-1, True, True):
            raise ValueError("axis, center and scale are not for this normalisation")

    def build(self, input_shape):
        super().build(input_shape)
        if self.groups != input_shape[-1]:
            raise ValueError(f"groups: each channel is one here, so there are not {self.groups}")

    def call(self, inputs, training=False):
        if not (training and _has_kernels(inputs)):
            return super().call(inputs)
        count = inputs.shape[0]
        found = _by_kernels(inputs, [self.gamma] * count, [self.beta] * count, self.epsilon)
        return ops.cast(found, self.compute_dtype)


@keras.saving.register_keras_serializable("fst")
class ConditionalNormalization(layers.Layer):
    """Instance normalisation whose scale and shift depend on the style.

    Dumoulin, Shlens and Kudlur, "A Learned Representation for Artistic Style" (2017), section 2.2:
    all styles share the convolutions, and each has a scale and a shift of its own per channel. A
    blend of styles has the same blend of their scales and shifts (section 3.3).

    Args:
        styles: how many styles there are.
        epsilon: added to the variance.

    Inputs: features `[B, H, W, C]`, and how much of every style each picture takes, `[B, styles]`.
    Output: `[B, H, W, C]`, in the dtype policy's compute dtype.
    """

    def __init__(self, styles, epsilon=EPSILON, **kwargs):
        super().__init__(**kwargs)
        self.styles, self.epsilon = styles, epsilon

    def build(self, input_shape):
        shape = (self.styles, input_shape[0][-1])
        self.gamma = self.add_weight(shape=shape, initializer="ones", name="gamma")
        self.beta = self.add_weight(shape=shape, initializer="zeros", name="beta")

    def call(self, inputs, training=False):
        x, shares = inputs
        shares = ops.cast(shares, "float32")
        tables = (ops.cast(table, "float32") for table in (self.gamma, self.beta))
        gamma, beta = (ops.matmul(shares, table) for table in tables)
        if training and _has_kernels(x):
            each = (x.shape[0], x.shape[-1])
            tables = (ops.unstack(ops.broadcast_to(table, each)) for table in (gamma, beta))
            return ops.cast(_by_kernels(x, *tables, self.epsilon), self.compute_dtype)
        # In float32 throughout: the mean is subtracted from numbers that may be close to it.
        x = ops.cast(x, "float32")
        mean, variance = ops.moments(x, axes=(1, 2), keepdims=True)
        scale = gamma[:, None, None] * ops.rsqrt(variance + self.epsilon)
        return ops.cast(x * scale + (beta[:, None, None] - mean * scale), self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return input_shape[0]

    def get_config(self):
        return {**super().get_config(), "styles": self.styles, "epsilon": self.epsilon}


def _has_kernels(x):
    """Whether TensorFlow's kernels for a CPU take these pictures."""
    if keras.backend.backend() != "tensorflow" or not x.shape[0]:
        return False
    import tensorflow as tf

    known = keras.backend.standardize_dtype(x.dtype) in ("float32", "bfloat16")
    return known and not tf.config.get_visible_devices("GPU")


def _by_kernels(x, scales, shifts, epsilon):
    """Normalises each picture of `x` with its own of `scales` and `shifts`, float32 `[C]`."""
    import tensorflow as tf

    pictures = [
        tf.raw_ops.FusedBatchNormV3(
            x=picture,
            scale=ops.cast(scale, "float32"),
            offset=ops.cast(shift, "float32"),
            mean=[],
            variance=[],
            epsilon=epsilon,
        ).y
        for picture, scale, shift in zip(tf.split(x, x.shape[0]), scales, shifts, strict=True)
    ]
    return tf.concat(pictures, axis=0)
