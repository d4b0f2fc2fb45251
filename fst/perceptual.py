"""The perceptual loss: content and style as a trained VGG19 sees them.

One loss for the trainer, for the companion optimiser and for their comparison. It follows Gatys,
Ecker and Bethge, "Image Style Transfer Using Convolutional Neural Networks" (CVPR 2016), section 2:
content is the feature maps of a deep layer, style the Gram matrices of several layers, and a small
total-variation term keeps neighbouring pixels together (Johnson et al. 2016, section 3.2).

The *relative* form, the default, divides every term by the energy of its own target, so that a
weight means the same for every style, layer and picture size. The *absolute* form is the one of
Gatys et al., the *mean* form the one of the PyTorch and TensorFlow tutorials; they are there for
setting results beside published weights.

Pure Keras: nothing here names a backend.
"""

import os
import re
from typing import NamedTuple

import keras
from keras import ops

from fst.errors import UserError, first_line
from fst.keras_names import as_keras_names_it
from fst.precision import dtype_policy

STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
CONTENT_LAYERS = ("relu4_2",)
FORMS = ("relative", "absolute", "mean")
POOLINGS = ("max", "average")

_CONVOLUTIONS = {1: 2, 2: 2, 3: 4, 4: 4, 5: 4}  # VGG19: how many convolutions each block has


def keras_layer_name(name):
    """Translates `relu4_2`, the papers' name of a layer, to Keras's `block4_conv2`.

    Keras's own name passes through. Both mean the output after the rectifier.

    Raises:
        ValueError: VGG19 has no such layer.
    """
    match = re.fullmatch(r"(?:relu|block)(\d)(?:_|_conv)(\d)", name)
    if not match or not 1 <= int(match[2]) <= _CONVOLUTIONS.get(int(match[1]), 0):
        raise ValueError(f"VGG19 has no layer '{name}': use relu1_1 to relu5_4, such as relu4_2")
    return f"block{match[1]}_conv{match[2]}"


WEIGHTS_VARIABLE = "FST_VGG19_WEIGHTS"
_WEIGHTS_URL = (
    "https://storage.googleapis.com/tensorflow/keras-applications/vgg19/"
    "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5"
)


def load_vgg19(weights="imagenet", precision="float32", pooling="max"):
    """`Vgg19Features` with trained weights, found as the user said.

    Args:
        weights: a file, or `"imagenet"`: the file named by the variable FST_VGG19_WEIGHTS if it is
            set, else Keras's own copy, downloaded once.
        precision, pooling: see `Vgg19Features`.

    Raises:
        UserError: there is no such file, it is not VGG19's, or the download failed.
        ValueError: there is no such pooling.
    """
    _check_pooling(pooling)
    if weights == "imagenet":
        weights = os.environ.get(WEIGHTS_VARIABLE) or weights
    if weights != "imagenet" and not os.path.isfile(weights):
        raise UserError(
            f"--vgg-weights: there is no file '{weights}'; give VGG19's weights without top as "
            f"Keras stores them ({_WEIGHTS_URL})"
        )
    try:
        return Vgg19Features(weights, precision, pooling)
    except Exception as error:  # Keras and h5py raise many kinds, from URLError to ValueError.
        reason = first_line(error)
        if weights != "imagenet":
            raise UserError(f"--vgg-weights: '{weights}' is not VGG19's ({reason})") from error
        cache = os.path.join(os.environ.get("KERAS_HOME", "~/.keras"), "models")
        raise UserError(
            f"VGG19's weights could not be downloaded ({reason}): get {_WEIGHTS_URL} on another "
            f"way, then put it into {cache} or name it with --vgg-weights or {WEIGHTS_VARIABLE}"
        ) from error


class Vgg19Features:
    """The feature maps of a frozen VGG19, only as deep as each call needs.

    Args:
        weights: `"imagenet"`, or the path of a weights file in Keras's VGG19 layout without top;
            None leaves the weights random, which serves tests of shapes alone.
        precision: Keras dtype policy of the convolutions.
        pooling: `"max"`, as VGG19 was trained, or `"average"`, with which Gatys et al. (section 2)
            found the pictures slightly more appealing.

    Raises:
        ValueError: the file's layout is not VGG19's, or there is no such pooling.
        OSError: the file cannot be read.
        Exception: whatever Keras raises when the download of `"imagenet"` fails.
    """

    def __init__(self, weights="imagenet", precision="float32", pooling="max"):
        _check_pooling(pooling)
        with dtype_policy(precision):
            self._vgg = _load(weights)
            if pooling == "average":
                self._vgg = _with_average_pooling(self._vgg)
        self._vgg.trainable = False
        self._models = {}

    def __call__(self, image, layer_names):
        """Feature maps of `image`.

        Args:
            image: float32 `[B, H, W, 3]`, RGB, 0-255.
            layer_names: layers such as `relu4_2`.

        Returns:
            A list with one float32 `[B, h, w, C]` tensor per layer.
        """
        # A tensor, since Keras would work on an array in place.
        pixels = keras.applications.vgg19.preprocess_input(
            ops.convert_to_tensor(image, "float32"), data_format="channels_last"
        )
        features = self._model(tuple(layer_names))(pixels, training=False)
        return [ops.cast(features[name], "float32") for name in layer_names]

    def _model(self, layer_names):
        if layer_names not in self._models:
            outputs = {n: self._vgg.get_layer(keras_layer_name(n)).output for n in layer_names}
            self._models[layer_names] = keras.Model(self._vgg.input, outputs)
        return self._models[layer_names]


def _check_pooling(pooling):
    if pooling not in POOLINGS:
        raise ValueError(f"pooling is one of {', '.join(POOLINGS)}, not '{pooling}'")


def _load(weights):
    if weights in (None, "imagenet"):
        return keras.applications.VGG19(include_top=False, weights=weights)
    with as_keras_names_it(weights) as path:
        return keras.applications.VGG19(include_top=False, weights=path)


def _with_average_pooling(vgg):
    def swap(layer):
        if not isinstance(layer, keras.layers.MaxPooling2D):
            return layer.__class__.from_config(layer.get_config())
        return keras.layers.AveragePooling2D(layer.pool_size, layer.strides, name=layer.name)

    average = keras.models.clone_model(vgg, clone_function=swap)
    average.set_weights(vgg.get_weights())
    return average


def gram_matrix(features):
    """Which channels fire together, and how strongly, wherever in the picture (Gatys, eq. 3).

    Args:
        features: `[B, H, W, C]`.

    Returns:
        float32 `[B, C, C]`: `FᵀF / (H·W)`, so that the picture's size cancels.
    """
    _, height, width, channels = ops.shape(features)
    # float32 always: sums of thousands of squares overflow half precision.
    flat = ops.reshape(ops.cast(features, "float32"), (-1, height * width, channels))
    positions = ops.cast(height * width, "float32")
    return ops.matmul(ops.transpose(flat, (0, 2, 1)), flat) / positions


def total_variation(image):
    """Mean squared step between neighbouring pixels, in units of half the pixel range.

    Args:
        image: `[B, H, W, 3]`, 0-255.

    Returns:
        float32 `[B]`.
    """
    image = ops.cast(image, "float32") / 127.5
    down = ops.mean(ops.square(image[:, 1:] - image[:, :-1]), axis=(1, 2, 3))
    right = ops.mean(ops.square(image[:, :, 1:] - image[:, :, :-1]), axis=(1, 2, 3))
    return down + right


class LossTerms(NamedTuple):
    """The loss of a batch, each a float32 scalar: the mean over its images.

    `total` is the weighted sum; the others are unweighted, so that runs can be compared.
    """

    total: object
    content: object
    style: object
    tv: object


class PerceptualLoss:
    """How far stylised images are from their contents and from the style image.

    Args:
        features: a `Vgg19Features`.
        style_images: a list of style images, each float32 `[H, W, 3]`, RGB, 0-255, any size.
        style_image_weights: how much each counts; equal when None.
        content_weight, style_weight, tv_weight: factors of the three terms in the total.
        content_layers, style_layers: names such as `relu4_2`.
        style_layer_weights: how much each style layer counts; equal when None.
        form: `"relative"`; `"absolute"` for equations 1, 4 and 5 of Gatys et al., sums over a
            picture; or `"mean"` for the tutorials' means over features and over Gram matrices, and
            with it total variation as `tf.image.total_variation` of a picture in 0-1.

    Raises:
        ValueError: an unknown layer or form, or weights that do not match what they weigh.

    Example:
        >>> loss = PerceptualLoss(Vgg19Features(), [style])
        >>> terms = loss(stylised, loss.content_features(photos))
    """

    def __init__(
        self,
        features,
        style_images,
        *,
        style_image_weights=None,
        content_weight=1.0,
        style_weight=3.0,
        tv_weight=1.0,
        content_layers=CONTENT_LAYERS,
        style_layers=STYLE_LAYERS,
        style_layer_weights=None,
        form="relative",
    ):
        if form not in FORMS:
            raise ValueError(f"the loss's form is one of {', '.join(FORMS)}, not '{form}'")
        self._features = features
        self._weights = (content_weight, style_weight, tv_weight)
        self._content_layers = tuple(content_layers)
        self._style_layers = tuple(style_layers)
        if not self._content_layers:
            raise ValueError("the loss needs at least one of its content layers")
        for name in self._content_layers + self._style_layers:
            keras_layer_name(name)
        self._layer_shares = _shares(style_layer_weights, self._style_layers, "style layers")
        self._form = form
        image_shares = _shares(style_image_weights, style_images, "style images")
        self._targets = self._style_targets(style_images, image_shares)

    def content_features(self, content_images):
        """Features of the content images `[B, H, W, 3]`: compute them once, use them often."""
        return self._features(content_images, self._content_layers)

    def __call__(self, stylised, content_features):
        """The loss of `stylised`, float32 `[B, H, W, 3]`, against features of its contents."""
        found = self._features(stylised, self._content_layers + self._style_layers)
        split = len(self._content_layers)
        content = ops.mean(self._content_term(found[:split], content_features))
        style = ops.mean(self._style_term(found[split:]))
        tv = ops.mean(self._tv_term(stylised))
        content_weight, style_weight, tv_weight = self._weights
        total = content_weight * content + style_weight * style + tv_weight * tv
        return LossTerms(total, content, style, tv)

    def _style_targets(self, images, shares):
        targets = [0.0] * len(self._style_layers)
        for image, share in zip(images, shares, strict=True):
            found = self._features(ops.expand_dims(image, 0), self._style_layers)
            targets = [t + share * gram_matrix(f) for t, f in zip(targets, found, strict=True)]
        return [ops.stop_gradient(target) for target in targets]

    def _content_term(self, found, wanted):
        terms = []
        for f, w in zip(found, wanted, strict=True):
            squares = ops.square(f - w)
            if self._form == "mean":
                terms.append(ops.mean(squares, axis=(1, 2, 3)))
                continue
            error = ops.sum(squares, axis=(1, 2, 3))
            energy = ops.sum(ops.square(w), axis=(1, 2, 3))
            terms.append(_ratio(error, energy) if self._form == "relative" else error / 2)
        return sum(terms) / len(terms)

    def _style_term(self, found):
        terms = []
        for features, target, share in zip(found, self._targets, self._layer_shares, strict=True):
            error = ops.sum(ops.square(gram_matrix(features) - target), axis=(1, 2))
            channels = features.shape[-1]
            if self._form == "relative":
                term = _ratio(error, ops.sum(ops.square(target)))
            elif self._form == "mean":
                term = error / channels**2
            else:
                # Gatys's Gram matrix is not divided by the number of positions, but his equation 4
                # divides by its square: the same number with ours.
                term = error / (4.0 * channels**2)
            terms.append(share * term)
        return sum(terms)

    def _tv_term(self, stylised):
        if self._form == "mean":
            down = ops.abs(stylised[:, 1:] - stylised[:, :-1])
            right = ops.abs(stylised[:, :, 1:] - stylised[:, :, :-1])
            return (ops.sum(down, axis=(1, 2, 3)) + ops.sum(right, axis=(1, 2, 3))) / 255.0
        tv = total_variation(stylised)
        if self._form == "relative":
            return tv
        _, height, width, channels = ops.shape(stylised)
        return tv * 127.5**2 * ops.cast(height * width * channels, "float32")


def _ratio(error, energy):
    # A flat black photo has no energy at all; its error is then not a number, but zero over zero.
    return error / ops.maximum(energy, 1e-6)


def _shares(weights, items, what):
    if not items:
        raise ValueError(f"the loss needs at least one of its {what}")
    weights = [1.0] * len(items) if weights is None else list(weights)
    if len(weights) != len(items):
        raise ValueError(f"{len(weights)} weights were given for {len(items)} {what}")
    if min(weights) < 0 or sum(weights) <= 0:
        raise ValueError(f"the weights of the {what} must be positive, not {weights}")
    return [weight / sum(weights) for weight in weights]
