"""The forward pass in TensorFlow."""

import tensorflow as tf

from fst.models.architecture import EPSILON, MIN_SIZE, STRIDE
from fst.stylize.forward import BLOCK, CENTRE, CROP, Arranged, forward, stored


def stylise(arranged, image, fused=True):
    """Stylises one image.

    Args:
        arranged: `fst.stylize.forward.Arranged` of arrays or float32 tensors.
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
    """The steps of `fst.stylize.forward.forward` on tensors `[1, H, W, C]`.

    Args:
        arranged: the weights.
        fused: normalise by the operation meant for batches, which for a batch of one picture is
            instance normalisation, in a fifth of the time; else by plain arithmetic.
    """

    def __init__(self, arranged: Arranged, fused=True):
        self._arranged, self._normalise = arranged, _fused if fused else _plain

    def normalised(self, x, layer):
        kernel = self._arranged.kernels[layer.name]
        x = enlarged(bordered(x), kernel) if layer.enlarge else _convolved(x, kernel, layer.stride)
        x = self._normalise(x, *self._arranged.norms[layer.name])
        return tf.nn.relu(x) if layer.activate else x

    def add(self, x, y, layer):
        return x + y

    def pixels(self, x, layer):
        kernel = self._arranged.kernels[layer.name]
        return as_pixels(_convolved(x, kernel, BLOCK), self._arranged.bias)


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
    """A module that holds the weights of one style, and its signatures for a SavedModel.

    Most are in half precision (`forward.stored`), and float32 before anything is computed.

    Returns:
        A `tf.Module`, and its signatures by name.
    """
    module = _holding(arranged)

    def of_batch(images):
        weights = _whole(module.stored)
        return _one_by_one(lambda image: stylise(weights, image[None])[0], images)

    @tf.function(autograph=False, input_signature=[_FLOATS])
    def from_floats(image):
        return {"stylized": of_batch(image)}

    # By the other signature, so that the network is traced once and stands in the file once.
    @tf.function(autograph=False, input_signature=[_PICTURES])
    def from_bytes(image):
        return _as_bytes(from_floats(tf.cast(image, tf.float32))["stylized"])

    return module, {"serving_default": from_bytes, "float": from_floats}


def servable_gallery(arranged, names):
    """A module that holds a gallery's weights, and its signatures for a SavedModel.

    Args:
        arranged: `fst.stylize.forward.Arranged` whose scales and shifts are `[styles, out]`.
        names: of the styles, in their order.

    Returns:
        A `tf.Module`, and its signatures by name: `serving_default` and `float` take how much of
        each style every picture takes, `names` its style's name, and `styles` gives the names.
    """
    module = _holding(arranged)
    module.names = tf.Variable(names, trainable=False)

    def of_batch(images, mixtures):
        weights = _whole(module.stored)
        shares = _shares(mixtures, images)

        def one(image, share):
            norms = tf.nest.map_structure(
                lambda table: tf.matmul(share[None], table)[0], weights.norms
            )
            return stylise(weights._replace(norms=norms), image[None])[0]

        return _one_by_one(one, images, shares)

    mixture = tf.TensorSpec([None, len(names)], tf.float32, "style")

    @tf.function(autograph=False, input_signature=[_FLOATS, mixture])
    def from_floats(image, style):
        return {"stylized": of_batch(image, style)}

    # By the signature above, so that the network is traced once and stands in the file once.
    @tf.function(autograph=False, input_signature=[_PICTURES, mixture])
    def from_bytes(image, style):
        return _as_bytes(from_floats(tf.cast(image, tf.float32), style)["stylized"])

    @tf.function(
        autograph=False, input_signature=[_PICTURES, tf.TensorSpec([None], tf.string, "style")]
    )
    def from_names(image, style):
        return from_bytes(image, _one_hot(style, module.names))

    @tf.function(autograph=False, input_signature=[])
    def styles():
        return {"names": tf.identity(module.names)}

    return module, {
        "serving_default": from_bytes,
        "float": from_floats,
        "names": from_names,
        "styles": styles,
    }


_PICTURES = tf.TensorSpec([None, None, None, 3], tf.uint8, "image")
_FLOATS = tf.TensorSpec([None, None, None, 3], tf.float32, "image")


def _holding(arranged):
    module = tf.Module()
    module.stored = tf.nest.map_structure(lambda array: tf.Variable(stored(array)), arranged)
    return module


def _whole(variables):
    return tf.nest.map_structure(lambda value: tf.cast(value, tf.float32), variables)


def _one_by_one(stylise_one, images, *others):
    """Stylises a batch picture by picture, each with its row of the others.

    For a batch there is no such normalisation, and a CPU gains nothing by one.
    """

    def all_of_them():
        pictures = (images, *others)
        return tf.map_fn(lambda row: stylise_one(*row), pictures, fn_output_signature=tf.float32)

    # `map_fn` cannot tell how large the pictures of an empty batch would be.
    return tf.cond(tf.shape(images)[0] > 0, all_of_them, lambda: images)


def _as_bytes(stylised):
    return {"stylized": tf.cast(tf.round(stylised), tf.uint8)}


def _shares(mixtures, images):
    """How much of each style every picture takes, with the sum 1."""
    counts = tf.shape(images)[0], tf.shape(mixtures)[0]
    total = tf.reduce_sum(mixtures, 1, keepdims=True)
    told = "style has a row for each picture"
    with tf.control_dependencies(
        [
            tf.debugging.assert_equal(*counts, f"{told}, and not so many pictures as rows"),
            tf.debugging.assert_positive(total, f"{told}, and the weights in it a sum above 0"),
        ]
    ):
        return mixtures / total


def _one_hot(wanted, names):
    """1 for the style of each name, and 0 for the others, `[B, styles]`."""
    found = wanted[:, None] == names[None]
    unknown = tf.boolean_mask(wanted, ~tf.reduce_any(found, 1))
    words = ["there is no style ", tf.strings.reduce_join(unknown, separator=", ")]
    words += ["; there are ", tf.strings.reduce_join(names, separator=", ")]
    with tf.control_dependencies(
        [tf.debugging.Assert(tf.equal(tf.size(unknown), 0), [tf.strings.join(words)])]
    ):
        return tf.cast(found, tf.float32)


def fixed_size(arranged, height, width):
    """A function of uint8 `[1, height, width, 3]`, `image`, without operations for batches."""

    @tf.function(
        autograph=False, input_signature=[tf.TensorSpec([1, height, width, 3], tf.uint8, "image")]
    )
    def from_bytes(image):
        return _as_bytes(stylise(arranged, tf.cast(image, tf.float32), fused=False))

    return from_bytes
