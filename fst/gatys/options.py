"""Every option of the companion optimiser: its name, default, unit and meaning; and its presets."""

import dataclasses
from typing import Annotated, Literal

import tyro

from fst.config import Precision
from fst.errors import UserError
from fst.loss_options import (
    LAYER_FIELDS,
    LossDefaults,
    LossForm,
    check_depth,
    check_layer_weights,
    check_layers,
    check_shares,
    default_vgg_weights,
)
from fst.options import REQUIRED, WithPresets, check_choices, check_ranges, shown_as

GatysPreset = Literal[
    "fst",
    "gatys2016",
    "pytorch_tutorial",
    "pytorch_adam",
    "tensorflow_tutorial",
    "tensorflow_notebook",
    "noise_adam",
]
MIN_SIZE = 32
"""The shortest side of a content or style image, in px: the deepest layers halve it four times."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class GatysOptions(metaclass=WithPresets):
    """What shapes an optimised picture."""

    preset: GatysPreset = "fst"
    """fst: the loss that the networks are trained with. The others are published settings (see
    docs/gatys.md). Options that you give replace the preset's values."""

    optimizer: Literal["lbfgs", "adam"] = "lbfgs"
    """lbfgs: faster per step. adam: for high learning rates and starts from noise."""

    steps: int = 300
    """Evaluations of the loss and its gradient, at each scale."""

    init: Literal["content", "noise", "style"] = "content"
    """Picture to start from."""

    noise: float = 64.0
    """Standard deviation of the noise to start from, in grey levels around mid-grey."""

    seed: int = 1
    """Seed of the noise to start from."""

    size: int = 512
    """Long side of the picture, in px."""

    style_size: int = 512
    """Long side of the style images, in px: larger makes larger strokes."""

    scales: int = 0
    """Number of sizes to work at. Each is twice the previous one and starts from its picture (0: as
    many as possible with the first at 256 px or more)."""

    content_weight: float = LossDefaults.content_weight
    """Weight of the content term."""

    style_weight: float = LossDefaults.style_weight
    """Weight of the style term."""

    tv_weight: float = LossDefaults.tv_weight
    """Weight of the total-variation term: raise it against grain."""

    content_layers: Annotated[tuple[str, ...], shown_as("LAYER")] = LossDefaults.content_layers
    """VGG19 layers that define content."""

    style_layers: Annotated[tuple[str, ...], shown_as("LAYER")] = LossDefaults.style_layers
    """VGG19 layers that define style."""

    style_layer_weights: Annotated[tuple[float, ...], shown_as("WEIGHT")] = (
        LossDefaults.style_layer_weights
    )
    """How much each style layer counts, in their order (default: all the same)."""

    style_image_weights: Annotated[tuple[float, ...], shown_as("WEIGHT")] = ()
    """How much each style image counts, in their order (default: all the same)."""

    loss_form: LossForm = LossDefaults.loss_form
    """relative: a weight means the same for every style and size. absolute: Gatys et al.'s sums.
    mean: the means of the PyTorch and TensorFlow tutorials."""

    pooling: Literal["max", "average"] = "max"
    """VGG19's pooling: max, as it was trained; average, as Gatys et al. preferred."""

    precision: Precision = "float32"
    """Arithmetic of the convolutions, and in bfloat16 of the Gram matrices; mixed_bfloat16 is
    faster on CPUs that have AVX512-BF16."""

    learning_rate: float = 5.0
    """Adam's learning rate, in grey levels (of 255): about what a pixel moves in one step."""

    beta_1: float = 0.9
    """Adam's memory of the direction, 0 to 1."""

    def __post_init__(self):
        check_choices(self)
        check_ranges(self, _RANGES)
        check_layers(self)
        weights = self.style_layer_weights
        preset = PRESETS[self.preset]
        its_layers = preset.get("style_layers", GatysOptions.style_layers)
        if weights == preset.get("style_layer_weights") and self.style_layers != its_layers:
            weights = ()  # The preset's weights are for its own layers.
            object.__setattr__(self, "style_layer_weights", weights)
        check_layer_weights(self)
        if self.style_image_weights:
            check_shares("style_image_weights", self.style_image_weights)
        if self.style_weight == self.content_weight == 0:
            raise UserError("‹content_weight› and ‹style_weight› are both 0: nothing to work for")

    @staticmethod
    def preset_options(preset):
        """What a preset sets: options by their names."""
        return PRESETS.get(preset, {})

    def check_depth(self, vgg_weights):
        """Raises a UserError if these weights, as `--vgg-weights`, do not reach a layer."""
        preset = PRESETS[self.preset]
        for field in LAYER_FIELDS:
            layers = getattr(self, field)
            its_own = layers == preset.get(field)
            check_depth(vgg_weights, layers, f"‹preset› {self.preset}" if its_own else f"‹{field}›")


@dataclasses.dataclass(frozen=True, kw_only=True)
class GatysConfig(GatysOptions):
    """Gives one photo the style of a picture by optimising its pixels (Gatys et al. 2016).

    It is slow, but needs no training. Ctrl-C keeps the best picture so far.
    """

    content: Annotated[str, shown_as("CONTENT", REQUIRED)]
    """Content image: a file or an http(s) URL."""

    style: Annotated[tuple[str, ...], shown_as("STYLE...", REQUIRED)]
    """Style images: files or http(s) URLs."""

    output: Annotated[str, shown_as("OUTPUT", REQUIRED, ("-o",))] = ""
    """The picture to write, such as out.png; with --sweep the grid of pictures."""

    snapshots: int = 0
    """Keep the best picture after every N steps in the folder OUTPUT_snapshots, and make an
    animation of them beside it (0: none)."""

    trace: Annotated[str, shown_as("FILE")] = ""
    """CSV file to write the losses of every step to."""

    sweep: Annotated[tuple[str, ...], shown_as("OPTION=VALUES")] = ()
    """Try every combination, such as style_weight=1,4,16 content_layers=relu3_1,relu4_2, and draw
    all into one picture, with a CSV file of the numbers. '+' joins several layers:
    content_layers=relu3_1+relu4_2."""

    vgg_weights: Annotated[str, shown_as("WEIGHTS")] = dataclasses.field(
        default_factory=default_vgg_weights
    )
    """VGG19 weights: embedded (in the package, down to relu4_2), imagenet (all layers, downloaded
    once by Keras) or a file. The default can be set by the variable FST_VGG19_WEIGHTS."""

    def __post_init__(self):
        super().__post_init__()
        if self.style is tyro.MISSING:  # A preset's values, which `cli` reads the rest into.
            return
        if not self.sweep:  # Which may bring other layers, and checks them itself.
            self.check_depth(self.vgg_weights)
        if not self.style:
            raise UserError("there is no ‹STYLE›: give a style image after the content image")
        if not self.output:
            raise UserError("‹output› is missing: give a file")
        if self.snapshots < 0:
            raise UserError(f"‹snapshots› must be from 0, not {self.snapshots}")
        given = self.style_image_weights
        if given and len(given) != len(self.style):
            raise UserError(
                f"‹style_image_weights›: {len(given)} weights for {len(self.style)} style images; "
                "give one for each"
            )

    def options(self):
        """The `GatysOptions` alone."""
        names = [field.name for field in dataclasses.fields(GatysOptions)]
        return GatysOptions(**{name: getattr(self, name) for name in names})


_RANGES = (
    ("steps", 1, 1_000_000),
    ("noise", 0.0, 128.0),
    ("seed", 0, 2**31 - 1),
    ("size", MIN_SIZE, 8192),
    ("style_size", MIN_SIZE, 4096),
    ("scales", 0, 8),
    ("content_weight", 0, 1e30),
    ("style_weight", 0, 1e30),
    ("tv_weight", 0, 1e30),
    ("learning_rate", 1e-6, 255.0),
    ("beta_1", 0.0, 0.9999),
)

# The two PyTorch settings are for features of pictures in ImageNet's normalised range, where one
# unit is 57.6 grey levels (255 times the mean standard deviation, 0.226); ours see grey levels. The
# content term grows with the square of the features, the style term with the fourth power.
_TORCH = 57.6


# Those of Gatys et al. and most programs after them, which differ from this project's defaults.
_PAPERS_STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")


def _over_channels(style_weight, channels):
    """Style options for Gram matrices divided by the channels too, and layers added, not averaged.

    Args:
        style_weight: the published weight.
        channels: of each style layer.
    """
    shares = tuple(1 / count**2 for count in channels)
    return {"style_weight": style_weight * sum(shares), "style_layer_weights": shares}


# Mean activations of relu1_1, 2_1, 3_1, 4_1, 5_1 and of relu4_2 over the packaged sample photos at
# 384 px. Gatys et al. scaled VGG19 so that they are all 1.
_MEAN_STYLE = (23.1, 116.8, 120.8, 498.1, 47.6)
_MEAN_CONTENT = 326.1


def _gatys_style_options():
    """Each layer's weight 1e3 / n² for its n channels, on features whose mean is 1."""
    channels = (64, 128, 256, 512, 512)
    shares = [1e3 / n**2 / mean**4 for n, mean in zip(channels, _MEAN_STYLE, strict=True)]
    return {"style_weight": sum(shares), "style_layer_weights": tuple(shares)}


PRESETS = {
    "fst": {},
    # Gatys, Ecker, Bethge, CVPR 2016: layers, optimiser and white noise as in sections 2 and 3; the
    # weights and steps of Leon Gatys's own program (leongatys/PytorchNeuralStyleTransfer), since
    # the ratio that the paper prints leaves hardly any style with the sums that it prints. Noise as
    # faint as in that program.
    "gatys2016": {
        "loss_form": "mean",
        "content_layers": ("relu4_2",),
        "style_layers": _PAPERS_STYLE_LAYERS,
        "content_weight": 1 / _MEAN_CONTENT**2,
        **_gatys_style_options(),
        "tv_weight": 0.0,
        "init": "noise",
        "noise": 1.0,
        "steps": 500,
        "scales": 1,
    },
    # pytorch.org's tutorial as run by camilaagw/Neural-Style-Transfer-Exploration
    # (style_transfer_pytorch.py): conv_1 to conv_5 in its count are the layers below.
    "pytorch_tutorial": {
        "loss_form": "mean",
        "content_layers": ("relu2_2",),
        "style_layers": ("relu1_1", "relu1_2", "relu2_1", "relu2_2", "relu3_1"),
        "content_weight": 1e1 / _TORCH**2,
        **_over_channels(1e6 / _TORCH**4, (64, 64, 128, 128, 256)),
        "tv_weight": 0.0,
        "steps": 300,
        "scales": 1,
    },
    # A PyTorch notebook whose source was not found again: content 100, style 1e8, 500 steps of Adam
    # at 0.007. How it divides Gram matrices is not known: taken as the tutorial's, to whose default
    # its ratio of a million is equal.
    "pytorch_adam": {
        "loss_form": "mean",
        "content_layers": ("relu4_2",),
        "style_layers": _PAPERS_STYLE_LAYERS,
        "content_weight": 100 / _TORCH**2,
        **_over_channels(1e8 / _TORCH**4, (64, 128, 256, 512, 512)),
        "tv_weight": 0.0,
        "optimizer": "adam",
        "learning_rate": 0.007 * _TORCH,
        "steps": 500,
        "scales": 1,
    },
    # tensorflow.org's tutorial, "Neural style transfer".
    "tensorflow_tutorial": {
        "loss_form": "mean",
        "content_layers": ("relu5_2",),
        "style_layers": _PAPERS_STYLE_LAYERS,
        "content_weight": 1e4,
        "style_weight": 1e-2,
        "tv_weight": 30.0,
        "optimizer": "adam",
        "learning_rate": 0.02 * 255,
        "beta_1": 0.99,
        "steps": 1000,
        "scales": 1,
    },
    # MaSsKmAn/Neural_style_tranfer_origina- (final_neural_style_transfer.ipynb).
    "tensorflow_notebook": {
        "loss_form": "mean",
        "content_layers": ("relu5_2",),
        "style_layers": ("relu2_1", "relu3_1", "relu4_1", "relu5_1"),
        "content_weight": 1e2,
        "style_weight": 1.0,
        "tv_weight": 1e-6,
        "optimizer": "adam",
        "learning_rate": 0.01 * 255,
        "size": 224,
        "style_size": 224,
        "steps": 1500,
        "scales": 1,
    },
    # Its size and steps from noise, at a high rate. Under this project's loss: with the notebook's
    # own weights, and with ten thousand times its content weight, the photo does not come back.
    "noise_adam": {
        "init": "noise",
        "optimizer": "adam",
        "learning_rate": 0.05 * 255,
        "size": 224,
        "style_size": 224,
        "steps": 1500,
        "scales": 1,
    },
}
"""What each preset changes in the defaults above."""
