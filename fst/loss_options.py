"""The options of the perceptual loss, which training, `fst.gatys` and the comparison share."""

import dataclasses
import math
import os
import re
from typing import Literal

from fst.errors import UserError

LossForm = Literal["relative", "absolute", "mean"]

EMBEDDED = "embedded"
"""What `--vgg-weights` calls the VGG19 that comes with the package, down to `EMBEDDED_END`."""

EMBEDDED_END = "relu4_2"

LIGHT = "light"
"""What `load_vgg19` calls the light network of nearly the embedded one's features."""

IMAGENET = "imagenet"
"""What `--vgg-weights` calls the whole VGG19, which Keras downloads once."""

WEIGHTS_VARIABLE = "FST_VGG19_WEIGHTS"


def default_vgg_weights():
    """VGG19's default weights: the file in FST_VGG19_WEIGHTS, or else the embedded ones."""
    return os.environ.get(WEIGHTS_VARIABLE) or EMBEDDED


@dataclasses.dataclass(frozen=True)
class LossDefaults:
    """The loss's options with their defaults, for training, `fst.gatys` and `PerceptualLoss`.

    `TrainingConfig` says what they mean.
    """

    content_weight: float = 1.0
    style_weight: float = 8.0
    tv_weight: float = 1.0
    content_layers: tuple[str, ...] = ("relu4_2",)
    style_layers: tuple[str, ...] = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")
    style_layer_weights: tuple[float, ...] = ()
    loss_form: LossForm = "relative"


LAYER_FIELDS = ("content_layers", "style_layers")

# The names that `fst.models.perceptual` takes, checked here before anything slow is loaded.
_LAYER = r"(relu|block)([12](_|_conv)[12]|[345](_|_conv)[1-4])"


def check_layers(config):
    """Raises a UserError unless the content and style layers of a dataclass are VGG19's."""
    for field in LAYER_FIELDS:
        names = getattr(config, field)
        if not names:
            raise UserError(f"‹{field}› is empty: give layers, such as relu4_2")
        for name in names:
            if not re.fullmatch(_LAYER, name):
                raise UserError(
                    f"‹{field}›: VGG19 has no layer '{name}': use relu1_1 to relu5_4, "
                    "such as relu4_2"
                )


def check_layer_weights(config, rows=False):
    """Raises a UserError unless the style layers' weights, where given, fit the style layers.

    Args:
        config: a dataclass.
        rows: whether there may be as many weights for each of several styles.
    """
    weights, layers = config.style_layer_weights, len(config.style_layers)
    if len(weights) % layers or (len(weights) > layers and not rows):
        raise UserError(
            f"‹style_layer_weights›: {len(weights)} weights for {layers} "
            "layers; give one for each of ‹style_layers›"
        )
    for row in in_rows(weights, layers):
        check_shares("style_layer_weights", row)


def in_rows(weights, layers):
    """The style layers' weights style by style: a list of tuples of as many as there are layers."""
    return [tuple(weights[at : at + layers]) for at in range(0, len(weights), layers)]


def check_shares(field, weights):
    """Raises a UserError unless none of the weights is negative or endless, nor all of them 0."""
    if not all(0 <= weight < math.inf for weight in weights) or not any(weights):
        given = " ".join(f"{weight:g}" for weight in weights)
        raise UserError(f"‹{field}› must be from 0, and not all 0, not {given}")


def check_depth(vgg_weights, layers, whose):
    """Raises a UserError if a layer lies deeper than the embedded VGG19, where that is to be used.

    Args:
        vgg_weights: as `--vgg-weights`.
        layers: names of layers, such as `relu4_2`.
        whose: what the message begins with: the option, as `UserError` has it, or what else
            brought the layers.
    """
    if vgg_weights != EMBEDDED:
        return
    for name in layers:
        if _depth(name) > _depth(EMBEDDED_END):
            raise UserError(
                f"{whose}: {name} lies deeper than ‹vgg_weights› {EMBEDDED}, which ends at "
                f"{EMBEDDED_END}: use ‹vgg_weights› {IMAGENET} or a file"
            )


def _depth(layer):
    return [int(digit) for digit in re.findall(r"\d", layer)]
