"""The perceptual loss: content and style as a trained VGG19 sees them.

One loss for the trainer, for the companion optimiser and for their comparison. It follows Gatys,
Ecker and Bethge, "Image Style Transfer Using Convolutional Neural Networks" (CVPR 2016), section 2:
content is the feature maps of a deep layer, style the Gram matrices of several layers, and a small
total-variation term keeps neighbouring pixels together (Johnson et al. 2016, section 3.2).

The *relative* form, the default, divides every term by the energy of its own target, so that a
weight means the same for every style, layer and picture size. The *absolute* form is the one of
Gatys et al., the *mean* form the one of the PyTorch and TensorFlow tutorials; they are there
to compare with published weights.

Pure Keras: nothing here names a backend.
"""

import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, get_args

import keras
import numpy as np
from keras import ops

from fst.errors import UserError, first_line
from fst.loss_options import (
    EMBEDDED,
    IMAGENET,
    LIGHT,
    WEIGHTS_VARIABLE,
    LossDefaults,
    LossForm,
    default_vgg_weights,
)
from fst.models import vgg19
from fst.models.precision import dtype_policy, resolve
from fst.models.vgg19 import keras_layer_name

STYLE_LAYERS = LossDefaults.style_layers
CONTENT_LAYERS = LossDefaults.content_layers
FORMS = get_args(LossForm)
POOLINGS = ("max", "average")


def load_vgg19(weights=None, precision="float32", pooling="max"):
    """`Vgg19Features` with trained weights, found as the user said.

    Args:
        weights: `"embedded"`, those of the package, down to relu4_2; `"light"`, a network of nearly
            the same features that takes 2/5 of the arithmetic; `"imagenet"`, all layers, Keras's
            own copy, downloaded once; or a file. Where None are named: the file that the
            variable FST_VGG19_WEIGHTS names if it is set, else the embedded ones.
        precision, pooling: see `Vgg19Features`.

    Raises:
        UserError: there is no such file, it is not VGG19's, or the download failed.
        ValueError: there is no such pooling.
    """
    _check_pooling(pooling)
    weights = weights or default_vgg_weights()
    if weights not in (EMBEDDED, LIGHT, IMAGENET) and not os.path.isfile(weights):
        raise UserError(
            f"{_who_named(weights)}: there is no file '{weights}'; give {EMBEDDED}, {IMAGENET}, or "
            f"VGG19's weights without top as Keras stores them ({vgg19.URL})"
        )
    try:
        return Vgg19Features(weights, precision, pooling)
    except Exception as error:  # Keras and h5py raise many kinds, from URLError to ValueError.
        raise UserError(_why_not_loaded(weights, first_line(error))) from error


def _who_named(weights):
    by_variable = weights == os.environ.get(WEIGHTS_VARIABLE)
    return WEIGHTS_VARIABLE if by_variable else "‹vgg_weights›"


def _why_not_loaded(weights, reason):
    if path := vgg19.path_in_package(weights):
        return (
            f"‹vgg_weights› {weights}: {path} cannot be read ({reason}); install "
            f"fst again, or use ‹vgg_weights› {IMAGENET} or a file"
        )
    if weights != IMAGENET:
        return f"{_who_named(weights)}: '{weights}' is not VGG19's ({reason})"
    cache = os.path.join(os.environ.get("KERAS_HOME", "~/.keras"), "models")
    return (
        f"VGG19's weights could not be downloaded ({reason}): download {vgg19.URL} in another "
        f"way, then put it into {cache} or name it with ‹vgg_weights› or {WEIGHTS_VARIABLE}"
    )


class Vgg19Features:
    """The feature maps of a frozen VGG19, only as deep as each call needs.

    Args:
        weights: `"embedded"`, `"light"`, `"imagenet"`, or the path of a weights file in Keras's
            VGG19 layout without top or of `data/make_vgg19.py`; None leaves the weights random,
            which serves tests of shapes alone.
        precision: Keras dtype policy of the convolutions; `"auto"` as `--precision`.
        pooling: `"max"`, as VGG19 was trained, or `"average"`, with which Gatys et al. (section 2)
            found the pictures slightly more appealing.

    Attributes:
        network: VGG19 as a frozen `keras.Model`, as deep as its weights go.

    Raises:
        ValueError: the file's layout is not VGG19's, or there is no such pooling.
        OSError: the file cannot be read.
        Exception: whatever Keras raises when the download of `"imagenet"` fails.
    """

    def __init__(self, weights=EMBEDDED, precision="float32", pooling="max"):
        _check_pooling(pooling)
        with dtype_policy(resolve(precision)):
            self.network = vgg19.load_network(weights, pooling)
        self.network.trainable = False
        self._models = {}

    def __call__(self, image, layer_names):
        """Feature maps of `image`.

        Args:
            image: float32 `[B, H, W, 3]`, RGB, 0-255.
            layer_names: layers such as `relu4_2`.

        Returns:
            A list with one `[B, h, w, C]` tensor per layer, in the compute dtype of `precision`.

        Raises:
            UserError: a layer lies deeper than the weights go.
            ValueError: VGG19 has no such layer.
        """
        # A tensor, since Keras would work on an array in place.
        pixels = keras.applications.vgg19.preprocess_input(
            ops.convert_to_tensor(image, "float32"), data_format="channels_last"
        )
        features = self.down_to(layer_names)(pixels, training=False)
        return [features[name] for name in layer_names]

    def down_to(self, layer_names):
        """The part of `network` that these layers need, a `keras.Model`; made once for each set.

        Its input are pixels as `keras.applications.vgg19.preprocess_input` gives them, its output
        is a dictionary from the layers' names.

        Raises:
            UserError, ValueError: as a call.
        """
        names = tuple(layer_names)
        if names not in self._models:
            outputs = {name: self._output(name) for name in names}
            self._models[names] = keras.Model(self.network.input, outputs)
        return self._models[names]

    def _output(self, name):
        wanted = keras_layer_name(name)
        if wanted not in [layer.name for layer in self.network.layers]:
            raise UserError(
                f"{name} lies deeper than these weights of VGG19, which end at "
                f"{self.network.layers[-1].name}: use ‹vgg_weights› {IMAGENET} or Keras's file"
            )
        return self.network.get_layer(wanted).output


def _check_pooling(pooling):
    if pooling not in POOLINGS:
        raise ValueError(f"pooling is one of {', '.join(POOLINGS)}, not '{pooling}'")


def gram_matrix(features):
    """Which channels fire together, and how strongly, wherever in the picture (Gatys, eq. 3).

    Args:
        features: `[B, H, W, C]`.

    Returns:
        float32 `[B, C, C]`: `FᵀF / (H·W)`, so that the picture's size cancels. Of bfloat16 features
        each number is rounded to bfloat16 once, when it has been summed up.
    """
    _, height, width, channels = ops.shape(features)
    if keras.backend.standardize_dtype(features.dtype) != "bfloat16":
        # In float16 the sums of thousands of squares would overflow.
        features = ops.cast(features, "float32")
    flat = ops.reshape(features, (-1, height * width, channels))
    return _inner_products(flat) / ops.cast(height * width, "float32")


@ops.custom_gradient
def _inner_products(flat):
    """`FᵀF` of `[B, N, C]`, float32 `[B, C, C]`.

    With a gradient of its own: one product, `F(G + Gᵀ)`, where two would be taken. In bfloat16 they
    take the third of the time that they take in float32 (`benchmarks/parts.py`).
    """

    def gradient(*arguments, upstream=None):
        upstream = arguments[0] if upstream is None else upstream
        both = ops.cast(upstream + ops.transpose(upstream, (0, 2, 1)), flat.dtype)
        return ops.matmul(flat, both)

    return ops.cast(ops.matmul(ops.transpose(flat, (0, 2, 1)), flat), "float32"), gradient


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
    """The loss: each a float32 scalar, the mean over a batch, or one number for each image, `[B]`.

    `total` is the weighted sum; the others are unweighted, so that runs can be compared.
    """

    total: Any
    content: Any
    style: Any
    tv: Any


class PerceptualLoss:
    """How far stylised images are from their contents and from the style image.

    Args:
        features: a `Vgg19Features`.
        style_images: a list of style images, each float32 `[H, W, 3]`, RGB, 0-255, any size.
            Together they are one style, whose Gram matrices are their mean, unless `separate`.
        style_image_weights: how much each counts in that mean; equal when None.
        separate: each style image is a style of its own, and calls tell by `shares` how much of
            which every picture is to have. Only the Gram matrices are kept, 1.4 MB a style.
        content_weight, style_weight, tv_weight: factors of the three terms in the total;
            `style_weight` may be one for each of several styles.
        content_layers, style_layers: names such as `relu4_2`.
        style_layer_weights: how much each style layer counts; equal when None. Of several styles
            each may have its own: as many such lists as there are styles.
        form: `"relative"`; `"absolute"` for equations 1, 4 and 5 of Gatys et al., sums over a
            picture; or `"mean"` for the tutorials' means over features and over Gram matrices, and
            with it total variation as `tf.image.total_variation` of a picture in 0-1.

    Raises:
        ValueError: an unknown layer or form, or weights that do not match what they weigh.

    Example:
        >>> loss = PerceptualLoss(Vgg19Features(), [np.float32(photo)])
        >>> photos = np.float32(photo)[None]
        >>> float(loss(photos, loss.content_features(photos)).content)
        0.0
    """

    def __init__(
        self,
        features: Callable[..., list[Any]],
        style_images: Sequence[Any],
        *,
        style_image_weights: Sequence[float] | None = None,
        separate: bool = False,
        content_weight: float = LossDefaults.content_weight,
        style_weight: float | Sequence[float] = LossDefaults.style_weight,
        tv_weight: float = LossDefaults.tv_weight,
        content_layers: Sequence[str] = CONTENT_LAYERS,
        style_layers: Sequence[str] = STYLE_LAYERS,
        style_layer_weights: Sequence[float] | Sequence[Sequence[float]] | None = None,
        form: str = LossDefaults.loss_form,
    ) -> None:
        if form not in FORMS:
            raise ValueError(f"the loss's form is one of {', '.join(FORMS)}, not '{form}'")
        self._features = features
        self._content_weight, self._tv_weight = content_weight, tv_weight
        self._content_layers = tuple(content_layers)
        self._style_layers = tuple(style_layers)
        if not self._content_layers:
            raise ValueError("the loss needs at least one of its content layers")
        for name in self._content_layers + self._style_layers:
            keras_layer_name(name)
        self._form = form
        image_shares = _shares(style_image_weights, style_images, "style images")
        self._targets = self._style_targets(style_images, None if separate else image_shares)
        self.styles = len(style_images) if separate else 1
        weights = np.ravel(np.asarray(style_weight, np.float32))
        if len(weights) not in (1, self.styles):
            raise ValueError(f"{len(weights)} style weights were given for {self.styles} styles")
        self._style_weights = np.broadcast_to(weights, self.styles)
        self._layer_shares = self._shares_of_layers(style_layer_weights)

    def content_features(self, content_images: Any) -> list[Any]:
        """float32 features of the content images `[B, H, W, 3]`: compute once, use them often."""
        found = self._features(content_images, self._content_layers)
        return [ops.cast(features, "float32") for features in found]

    def __call__(self, stylised: Any, content_features: list[Any], shares: Any = None) -> LossTerms:
        """The mean loss of `stylised` against features of its contents (see `of_each`)."""
        return LossTerms(*map(ops.mean, self.of_each(stylised, content_features, shares)))

    def of_each(self, stylised: Any, content_features: list[Any], shares: Any = None) -> LossTerms:
        """The loss of every picture of a batch.

        Args:
            stylised: float32 `[B, H, W, 3]`, RGB, 0-255.
            content_features: of the content images, from `content_features`.
            shares: with several styles, how much of each every picture is to have, float32
                `[B, styles]`, such as one 1 and zeros: the Gram matrices to reach are mixed so.

        Returns:
            `LossTerms`, each float32 `[B]`.

        Raises:
            ValueError: there are several styles, and `shares` are missing.
        """
        if shares is None and self.styles > 1:
            raise ValueError(f"shares: which of the {self.styles} styles is each picture to have?")
        found = self._features(stylised, self._content_layers + self._style_layers)
        split = len(self._content_layers)
        content = self._content_term(found[:split], content_features)
        targets, style_weight = self._targets, self._style_weights[0]
        layer_shares = self._layer_shares[:1]
        if shares is not None:
            targets = [ops.tensordot(shares, target, axes=1) for target in targets]
            style_weight = ops.matmul(shares, self._style_weights)
            layer_shares = ops.matmul(shares, self._layer_shares)
        style = self._style_term(found[split:], targets, layer_shares)
        tv = self._tv_term(stylised)
        total = self._content_weight * content + style_weight * style + self._tv_weight * tv
        return LossTerms(total, content, style, tv)

    def _style_targets(self, images, shares):
        """Gram matrices by layer: `[styles, C, C]`, or their mean by `shares` as `[1, C, C]`."""
        targets = []
        for image in images:
            found = self._features(ops.expand_dims(image, 0), self._style_layers)
            targets.append([gram_matrix(features) for features in found])
        if shares is None:
            layers = [ops.concatenate(layer) for layer in zip(*targets, strict=True)]
        else:
            layers = [
                sum(share * gram for share, gram in zip(shares, layer, strict=True))
                for layer in zip(*targets, strict=True)
            ]
        return [ops.stop_gradient(layer) for layer in layers]

    def _shares_of_layers(self, weights):
        """How much each layer counts in each style, float32 `[styles, layers]`."""
        several = weights is not None and any(np.ndim(row) for row in weights)
        rows = list(weights) if several else [weights]
        if len(rows) not in (1, self.styles):
            raise ValueError(
                f"{len(rows)} lists of style layer weights were given for {self.styles} styles"
            )
        shares = [_shares(row, self._style_layers, "style layers") for row in rows]
        return np.broadcast_to(np.float32(shares), (self.styles, len(self._style_layers)))

    def _content_term(self, found, wanted):
        terms = []
        for f, w in zip(found, wanted, strict=True):
            squares = ops.square(ops.cast(f, "float32") - w)
            if self._form == "mean":
                terms.append(ops.mean(squares, axis=(1, 2, 3)))
                continue
            error = ops.sum(squares, axis=(1, 2, 3))
            energy = ops.sum(ops.square(w), axis=(1, 2, 3))
            terms.append(_ratio(error, energy) if self._form == "relative" else error / 2)
        return sum(terms) / len(terms)

    def _style_term(self, found, targets, layer_shares):
        terms = []
        for at, (features, target) in enumerate(zip(found, targets, strict=True)):
            error = ops.sum(ops.square(gram_matrix(features) - target), axis=(1, 2))
            channels = features.shape[-1]
            if self._form == "relative":
                term = _ratio(error, ops.sum(ops.square(target), axis=(1, 2)))
            elif self._form == "mean":
                term = error / channels**2
            else:
                # Gatys's Gram matrix is not divided by the number of positions, but his equation 4
                # divides by its square: the same number with ours.
                term = error / (4.0 * channels**2)
            terms.append(layer_shares[:, at] * term)
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
