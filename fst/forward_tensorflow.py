"""The forward pass in TensorFlow."""

import tensorflow as tf

from fst.architecture import EPSILON, MIN_SIZE, STRIDE
from fst.forward import BLOCK, CENTRE, CROP, Arranged, forward, stored


def stylise(arranged, image, fused=True):
    """Stylises one image.

    Args:
        arranged: `fst.forward.Arranged` of arrays or float32 tensors.
        image: float32 `[1, H, W, 3]` RGB in 0-255; below 16 px on a side it is mirrored up to 16 px
            and the result cropped back.
        fused: see `Steps`.

    Returns:
        float32 of the same shape and range.
    """
    _, height, width, _ = tf.unstack(tf.shape(image))
    image = tf.gather(tf.gather(image, _positions(height), axis=1), _positions(width), axis=2)
    grow = [[0, 0], [0, -tf.shape(image)[1] % STRIDE], [0, -tf.shape(image)[2] % STRIDE], [0, 0]]
    centred = tf.pad(image, grow, "REFLECT") - CENTRE
    return forward(Steps(arranged, fused), centred)[:, :height, :width]


def as_constants(arranged):
    """The same weights as tensors, so that they are not copied with every call."""
    return tf.nest.map_structure(tf.constant, arranged)


class Steps:
    """The steps of `fst.forward.forward` on tensors `[1, H, W, C]`.

    Args:
        arranged: the weights.
        fused: normalise by the operation meant for batches, which for a batch of one picture is
            instance normalisation, in a fifth of the time; else by plain arithmetic.
    """

    def __init__(self, arranged: Arranged, fused=True):
        self._arranged, self._normalise = arranged, _fused if fused else _plain

    def normalised(self, x, name, stride=1, enlarge=False, activate=True):
        kernel = self._arranged.kernels[name]
        x = enlarged(bordered(x), kernel) if enlarge else _convolved(x, kernel, stride)
        x = self._normalise(x, *self._arranged.norms[name])
        return tf.nn.relu(x) if activate else x

    def add(self, x, y):
        return x + y

    def pixels(self, x):
        return as_pixels(_convolved(x, self._arranged.kernels["rgb"], BLOCK), self._arranged.bias)


def mirrored(x, rows, axes=(1, 2)):
    """`x` with this many more rows (and columns) on each side, mirrored about the outermost ones.

    By joining parts, which takes half the time of `tf.pad`.
    """
    for axis in axes:
        first, last = [[slice(None)] * 4 for _ in range(2)]
        first[axis], last[axis] = slice(1, rows + 1), slice(-rows - 1, -1)
        ends = tf.reverse(x[tuple(first)], [axis]), tf.reverse(x[tuple(last)], [axis])
        x = tf.concat([ends[0], x, ends[1]], axis)
    return x


def bordered(x, axes=(1, 2)):
    """`x` with its outermost rows (and columns) repeated once more."""
    for axis in axes:
        first, last = [[slice(None)] * 4 for _ in range(2)]
        first[axis], last[axis] = slice(0, 1), slice(-1, None)
        x = tf.concat([x[tuple(first)], x, x[tuple(last)]], axis)
    return x


def enlarged(x, kernel):
    """The transposed convolution of `[1, H + 2, W + 2, in]` to `[1, 2 * H, 2 * W, out]`."""
    _, height, width, _ = tf.unstack(tf.shape(x))
    whole = [1, 2 * height + 2, 2 * width + 2, kernel.shape[2]]
    # Cropped afterwards: told to leave the borders out itself, the operation takes longer.
    return tf.nn.conv2d_transpose(x, kernel, whole, 2, "VALID")[:, CROP:-CROP, CROP:-CROP]


def as_pixels(x, bias):
    """Pixel values 0-255 `[1, 2 * H, 2 * W, 3]` of the last convolution's `[1, H, W, 12]`."""
    x = tf.nn.depth_to_space(tf.nn.bias_add(x, bias), BLOCK)
    return 127.5 * (1.0 + x * tf.math.rsqrt(1.0 + tf.square(x)))


def _convolved(x, kernel, stride):
    return tf.nn.conv2d(mirrored(x, (kernel.shape[0] - 1) // 2), kernel, stride, "VALID")


def batch_norm(x, scale, shift):
    """Batch normalisation as in training, with the result's `y`, `batch_mean`, `batch_variance`."""
    none = tf.zeros([0])
    return tf.raw_ops.FusedBatchNormV3(
        x=x, scale=scale, offset=shift, mean=none, variance=none, epsilon=EPSILON, is_training=True
    )


def _fused(x, scale, shift):
    return batch_norm(x, scale, shift).y


def _plain(x, scale, shift):
    mean, variance = tf.nn.moments(x, [1, 2], keepdims=True)
    return (x - mean) * (scale * tf.math.rsqrt(variance + EPSILON)) + shift


def _positions(size):
    """Indices 0 to size - 1, and as many mirrored ones after them as the network needs."""
    positions = tf.range(tf.maximum(size, MIN_SIZE)) % (2 * size)
    return tf.minimum(positions, 2 * size - 1 - positions)


def servable(arranged):
    """A module that holds the weights, and its signatures for a SavedModel.

    Most are in half precision (`fst.forward.stored`), and float32 before anything is computed.

    Returns:
        A `tf.Module`, and its signatures by name.
    """
    module = tf.Module()
    module.stored = tf.nest.map_structure(lambda w: tf.Variable(stored(w)), arranged)

    def of_batch(images):
        weights = tf.nest.map_structure(lambda value: tf.cast(value, tf.float32), module.stored)

        # One by one: for a batch there is no such normalisation, and a CPU gains nothing by one.
        def one_by_one():
            return tf.map_fn(lambda image: stylise(weights, image[None])[0], images)

        # Of no picture the loop would not know the size that it has to give.
        return tf.cond(tf.shape(images)[0] > 0, one_by_one, lambda: tf.identity(images))

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, "image")])
    def from_bytes(image):
        stylised = of_batch(tf.cast(image, tf.float32))
        return {"stylized": tf.cast(tf.round(stylised), tf.uint8)}

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.float32, "image")])
    def from_floats(image):
        return {"stylized": of_batch(image)}

    return module, {"serving_default": from_bytes, "float": from_floats}


def fixed_size(arranged, height, width):
    """A function of uint8 `[1, height, width, 3]`, `image`, without operations for batches."""

    @tf.function(input_signature=[tf.TensorSpec([1, height, width, 3], tf.uint8, "image")])
    def from_bytes(image):
        stylised = stylise(arranged, tf.cast(image, tf.float32), fused=False)
        return {"stylized": tf.cast(tf.round(stylised), tf.uint8)}

    return from_bytes
