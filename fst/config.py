"""Every option of training and of stylising: its name, default, unit and meaning.

The command line, its help, `style.json` and the Python interface are all made from here.
"""

import dataclasses
import json
import os
import re
import shlex
from pathlib import Path
from typing import Annotated, Literal

import tyro

from fst.errors import UserError
from fst.loss_options import (
    EMBEDDED,
    LAYER_FIELDS,
    LIGHT,
    LossDefaults,
    LossForm,
    check_depth,
    check_layer_weights,
    check_layers,
    default_vgg_weights,
    in_rows,
)
from fst.options import REQUIRED, WithPresets, check_choices, check_ranges, shown_as

Preset = Literal["instant", "draft", "standard", "fine"]
Precision = Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"]
Distribution = Literal["none", "mirrored", "multiworker"]
NOTHING = "none"
"""What `--start-from` takes for random weights."""

ALL_STYLES = "all"
"""What `infer.py --contact-sheet` takes in place of a style's name."""

_SIDE_OF_MANY = 1024  # px; a sheet of a camera's picture in 30 styles would fit in no memory


@dataclasses.dataclass(frozen=True)
class TrainingConfig(metaclass=WithPresets):
    """Trains a network that turns any photo into the style of one picture, or of several.

    Run again, the same command resumes at the step where it stopped.
    """

    style: Annotated[tuple[str, ...], shown_as("STYLE...", REQUIRED)]
    """Style images: files, http(s) URLs, or a folder of pictures. One network learns them all, and
    each style has the name of its file."""

    content: Annotated[str, shown_as("FOLDER")] = ""
    """Photos to train on: a folder (searched recursively) or tfds:NAME[:SPLIT] (default: the few
    sample photos that come with the packages, enough for the preset instant)."""

    name: Annotated[str, shown_as("NAME")] = ""
    """Name of the trained style, its folder under --output (default: the style's file name)."""

    output: Annotated[str, shown_as("FOLDER")] = "checkpoints"
    """Folder that holds the trained styles."""

    preset: Preset = "instant"
    """instant: a style in a few minutes. draft: a better one, somewhat slower. standard: a good
    one, in up to an hour on a CPU. fine: for a GPU, the paper's 40,000 steps at 256 px, batch 4.
    Options that you give replace its values."""

    steps: int = 160
    """Training steps."""

    batch_size: int = 1
    """Photos per step, over all workers together."""

    crop_size: int = 224
    """Side of the square crops that the network trains on, in px."""

    photo_size: int = 256
    """Short side, in px, that each photo is scaled to before it is cropped."""

    style_size: tuple[int, ...] = (768,)
    """Long side of the style image, in px: larger makes larger strokes. One for all styles, or one
    for each."""

    content_weight: float = LossDefaults.content_weight
    """Weight of the content term: raise it if the photo gets lost."""

    style_weight: tuple[float, ...] = (LossDefaults.style_weight,)
    """Weight of the style term: raise it if there is too little style. One for all styles, or
    one for each."""

    style_turns: tuple[int, ...] = (1,)
    """How often each of several styles has its turn: 3 for a difficult one gives it three photos
    for every one of a style that has 1. One for all styles, or one for each."""

    tv_weight: float = LossDefaults.tv_weight
    """Weight of the total-variation term: raise it against grain."""

    lattice_weight: float = 0.2
    """Weight of the term against a fine regular pattern, in step with the network's grid of 4 px,
    in skies and other even areas (0: none)."""

    content_layers: Annotated[tuple[str, ...], shown_as("LAYER")] = LossDefaults.content_layers
    """VGG19 layers that define content."""

    style_layers: Annotated[tuple[str, ...], shown_as("LAYER")] = LossDefaults.style_layers
    """VGG19 layers that define style."""

    style_layer_weights: Annotated[tuple[float, ...], shown_as("WEIGHT")] = (
        LossDefaults.style_layer_weights
    )
    """How much each style layer counts, in their order (default: all the same). For all styles, or
    as many for each: those of the first style, then those of the second."""

    loss_form: LossForm = LossDefaults.loss_form
    """relative: a weight means the same for every style and size. absolute: Gatys et al.'s sums.
    mean: the means of the PyTorch and TensorFlow tutorials."""

    learning_rate: float = 6e-4
    """Adam's learning rate at its peak; it warms up for a tenth of the steps, 100 at most, and
    decays along a cosine."""

    clip_norm: float = 1.0
    """Largest norm of the gradient; a longer gradient is shortened to it."""

    width: int = 32
    """Channels of the network's first layer: 16 is smaller and faster, 32 is the paper's."""

    start_from: Annotated[str, shown_as("STYLE")] = "gallery"
    """What to start from: a trained style or gallery (name or folder), or none for random weights.
    Of a gallery, the style nearest to the new one is taken."""

    learn: Literal["all", "style"] = "all"
    """all: every weight of the network. style: only the new style's scales and shifts; the
    convolutions stay as in --start-from."""

    add_to: Annotated[str, shown_as("GALLERY")] = ""
    """A gallery (name or folder) to add the finished style to. The style starts from it, with
    --learn style. The other styles do not change."""

    vgg_weights: Annotated[str, shown_as("WEIGHTS")] = dataclasses.field(
        default_factory=default_vgg_weights
    )
    """VGG19 weights: embedded (in the package, down to relu4_2), imagenet (all layers, downloaded
    once by Keras) or a file. The default can be set by the variable FST_VGG19_WEIGHTS."""

    loss_network: Literal["light", "full"] = "light"
    """What the steps take the losses by. light: a network of nearly VGG19's features and 2/5 of its
    arithmetic, where --vgg-weights is embedded. full: VGG19, which measures the finished style in
    any case."""

    holdout: int = 32
    """Photos to keep out of training (at most a tenth of all). style.json has their losses."""

    seed: int = 1
    """Seed of the initial weights and of the order, crops and flips of the photos."""

    preview: Annotated[tuple[str, ...], shown_as("PHOTO")] = ()
    """Photos to stylise every --preview-every steps (default: four photos of --content)."""

    preview_every: int = 250
    """Steps between previews."""

    save_every: int = 100
    """Steps between saves of the state to resume from."""

    precision: Precision = "auto"
    """Arithmetic of the convolutions, and in bfloat16 of the Gram matrices. auto: mixed_bfloat16 on
    CPUs that support it, 1.7 times as fast where it was measured, otherwise float32."""

    xla: Literal["auto", "on", "off"] = "auto"
    """Compile the step with XLA. auto: on a single GPU only."""

    distribute: Distribution = "none"
    """mirrored: all GPUs of this machine. multiworker: several machines, described by TF_CONFIG."""

    tensorboard: bool = False
    """Also write TensorBoard logs (needs the tensorboard package)."""

    overwrite: bool = False
    """Train again even if a style of this name exists, and replace it."""

    finish: bool = False
    """Remove the state to resume from once the style is trained."""

    def __post_init__(self):
        self._take_single_values()
        check_choices(self)
        check_ranges(self, _RANGES)
        check_layers(self)
        check_layer_weights(self, rows=True)
        self._check_styles()
        for field in LAYER_FIELDS:
            check_depth(self.vgg_weights, getattr(self, field), f"‹{field}›")
        if self.photo_size < self.crop_size:
            raise UserError(
                f"‹photo_size› {self.photo_size} is smaller than ‹crop_size› {self.crop_size}: "
                "raise ‹photo_size› or lower ‹crop_size›"
            )
        if self.add_to:
            self._learn_for_gallery()
        if self.learn == "style" and self.start_from == NOTHING:
            raise UserError(
                "‹learn› style leaves the convolutions as they are: name what to ‹start_from›"
            )
        if not self.name and self._has_styles() and len(self.style) == 1:
            object.__setattr__(self, "name", name_from(self.style[0]))
        if self.name and not re.fullmatch(r"\w[\w.-]*", self.name):
            raise UserError(f"‹name› '{self.name}' may hold letters, digits, '_', '-', '.' only")
        if len(self.name.encode()) > _LONGEST_NAME:
            start = self.name[:20]
            raise UserError(f"‹name› {start}... is longer than {_LONGEST_NAME} bytes: shorten it")

    def _take_single_values(self):
        """Turns paths into text, and single values into tuples: Python callers may give them."""
        for name in _PATHS:
            object.__setattr__(self, name, _as_text(getattr(self, name)))
        for name in _SEVERAL:
            value = getattr(self, name)
            if isinstance(value, (str, int, float)):
                value = (value,)
            object.__setattr__(self, name, tuple(value) if isinstance(value, list) else value)
        if not self.start_from:
            object.__setattr__(self, "start_from", NOTHING)

    def _has_styles(self):
        # The command line's parser puts something else there, to ask for the defaults of a preset.
        return isinstance(self.style, tuple)

    def _check_styles(self):
        if not self.style:
            raise UserError("there is no ‹STYLE›: give a style image, or several")
        if self._has_styles() and len(self.style) > 1 and not self.name:
            raise UserError(
                f"‹name› is missing: the network of {len(self.style)} styles, {self.style[0]} to "
                f"{self.style[-1]}, needs a name of its own"
            )
        if self.content_weight == 0 and not any(self.style_weight):
            raise UserError("‹content_weight› and ‹style_weight› are both 0: nothing to train for")

    def _learn_for_gallery(self):
        if self.start_from not in (self.add_to, type(self).start_from):
            raise UserError(
                f"‹add_to› {self.add_to} starts from that gallery: leave ‹start_from› "
                f"{self.start_from} out"
            )
        object.__setattr__(self, "start_from", self.add_to)
        object.__setattr__(self, "learn", "style")

    def for_each_style(self, option, count):
        """The values of an option that every style may have its own of, one for each.

        Args:
            option: `"style_weight"`, `"style_size"` or `"style_turns"`.
            count: how many styles there are.

        Raises:
            UserError: neither one value was given nor one for each.
        """
        values = getattr(self, option)
        if len(values) not in (1, count):
            raise UserError(
                f"‹{option}› has {len(values)} values for {count} styles: give one for all, "
                "or one for each"
            )
        return values * count if len(values) == 1 else values

    def layer_weights_of_each(self, count):
        """How much each style layer counts in each of `count` styles: a tuple for every style.

        Raises:
            UserError: neither as many weights as layers were given nor as many for each style.
        """
        layers = len(self.style_layers)
        rows = in_rows(self.style_layer_weights or (1.0,) * layers, layers)
        if len(rows) not in (1, count):
            raise UserError(
                f"‹style_layer_weights› has {layers * len(rows)} values for {count} styles of "
                f"{layers} layers: give {layers} for all, or {layers * count}"
            )
        return rows * count if len(rows) == 1 else rows

    @staticmethod
    def preset_options(preset):
        """What a preset sets: options by their names."""
        return PRESETS.get(preset, {})

    @property
    def step_weights(self):
        """The VGG19 that the steps take the losses by, as `load_vgg19` calls it."""
        light = self.loss_network == LIGHT and self.vgg_weights == EMBEDDED
        return LIGHT if light else self.vgg_weights

    def to_json(self):
        """The configuration as plain JSON types, its paths cut down to their last part.

        The folders of one machine mean nothing on another, and may be private.
        """
        values = dataclasses.asdict(self)
        for name in _PATHS:
            value = values[name]
            values[name] = (
                last_part(value) if isinstance(value, str) else [last_part(v) for v in value]
            )
        return json.loads(json.dumps(values))

    @classmethod
    def from_json(cls, values):
        """The configuration that `to_json` wrote; keys of another version are ignored."""
        known = {field.name for field in dataclasses.fields(cls)}
        fixed = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items() if k in known}
        return cls(**fixed)

    def differences(self, other):
        """Names of the options that shape the result and differ between the two runs."""
        mine, others = self.to_json(), other.to_json()
        return [name for name in mine if name not in _FREE and mine[name] != others[name]]


@dataclasses.dataclass(frozen=True)
class _Task:
    """What to stylise, in which style, and where to write it."""

    checkpoint: tyro.conf.Positional[Annotated[str, shown_as("CHECKPOINT", REQUIRED)]] = ""
    """Trained style: a name that --list shows, its folder, or a blend of a gallery's
    styles, such as great_wave=0.7,udnie=0.3. With --contact-sheet also all: every style."""

    input: tyro.conf.Positional[Annotated[tuple[str, ...], shown_as("INPUT...", REQUIRED)]] = ()
    """Photos, videos, folders of photos, and http(s) URLs of photos."""

    output: Annotated[str, shown_as("OUTPUT", REQUIRED, ("-o",))] = ""
    """For one photo or video: a file, such as out.jpg or out.mp4, or a folder. Otherwise:
    a folder, in which the photos keep their names and subfolders."""

    checkpoints: Annotated[str, shown_as("FOLDER", "")] = "checkpoints"
    """Folder that holds the trained styles, each in a folder of its own or many in a gallery
    (default: your own in ./checkpoints, then those that come with fst)."""

    list: bool = False
    """Only list the trained styles: name, folder, size on disk, and what each was learnt from."""

    recursive: bool = False
    """Include the photos in the subfolders of each INPUT folder."""

    max_size: int = 0
    """Scale larger photos down to this long side first, in px (0: never, but 1024 if
    --contact-sheet draws all styles)."""

    tile: Annotated[str, shown_as("ROWS")] = "auto"
    """auto: process large photos in strips if free memory is short; the result is the same. off:
    never. A number: always, with that many rows in a strip."""


@dataclasses.dataclass(frozen=True)
class Look:
    """How a stylised picture is to look, for `infer.py`, the web page and `fst.stylize.look`.

    The defaults change nothing.
    """

    scale: float = 1.0
    """Stylise at this many times the photo's size, 0.1 to 4, then scale back: above 1 makes finer
    strokes, below 1 coarser and softer ones. Memory and time grow with its square."""

    preserve_color: bool = False
    """Keep the photo's colours: only light and dark come from the style."""

    strength: float = 1.0
    """Share of the style in the result, 0 to 1: 0 is the photo itself, 1 the whole style."""

    saturation: float = 1.0
    """Vividness of the finished picture, 0 to 10: 0 is grey, 1 changes nothing."""

    contrast: float = 1.0
    """Contrast of the finished picture, 0 to 10: 0 is even grey, 1 changes nothing."""

    sharpen: float = 1.0
    """Sharpness of the finished picture, 0 to 10: 0 blurs, 1 changes nothing, 2 sharpens."""


@dataclasses.dataclass(frozen=True)
class InferenceConfig(Look, _Task):  # Fields of the last class come first.
    """Stylises photos and videos with a trained style.

    Exit code 0: all done; 1: some files failed, each is named; 2: the command cannot work.
    """

    steady: bool = False
    """For videos: reduce flicker in parts that do not move. Moving parts do not change."""

    contact_sheet: bool = False
    """Write one labelled picture per photo: the photo, then its stylised picture in CHECKPOINT, or
    in every style if that is all. --max-size limits each picture in it."""

    keep_metadata: bool = False
    """Also keep the place (GPS), the owner and serial numbers in EXIF. Camera, settings, date,
    description, artist and copyright are always kept."""

    engine: Literal["auto", "tensorflow", "openvino", "onnxruntime"] = "auto"
    """The library that runs the network. auto: TensorFlow if there is an NVIDIA GPU, otherwise the
    fastest that is installed. The pictures are the same within one grey level."""

    precision: Literal["float32", "bfloat16"] = "float32"
    """bfloat16, with OpenVINO on a CPU that supports it, takes about half the time; few pixels then
    differ by more than two grey levels."""

    format: Literal["keep", "jpg", "png", "webp", "avif"] = "keep"
    """Format of the pictures in an OUTPUT folder. keep: each photo keeps its own, but GIF becomes
    PNG, and HEIC and names without a known suffix become JPEG."""

    quality: int = 92
    """Quality of JPEG, WebP, AVIF and videos, 1 to 100."""

    skip_existing: bool = False
    """Skip photos and videos whose stylised file exists already."""

    def __post_init__(self):
        if self.list:
            return
        check_choices(self)
        if not self.checkpoint:
            raise UserError("there is no ‹CHECKPOINT›: name a style; ‹list› shows them")
        if not self.input:
            raise UserError("there is no ‹INPUT›: give photos, folders or URLs after the style")
        if not self.output:
            raise UserError("‹output› is missing: give a file or a folder")
        check_ranges(self, _INFERENCE_RANGES)
        rows = self.tile.isdecimal() and int(self.tile) >= 1
        if self.tile not in ("auto", "off") and not rows:
            raise UserError(
                f"‹tile› is auto, off or a number of rows from 1, such as 256, not '{self.tile}'"
            )
        if self.checkpoint == ALL_STYLES and not self.contact_sheet:
            raise UserError(
                f"'{ALL_STYLES}' draws every style into one picture per photo: "
                "add ‹contact_sheet›, or name one style"
            )

    @property
    def longest_side(self):
        """What `max_size` comes to, px; 0 for any."""
        return self.max_size or (_SIDE_OF_MANY if self.checkpoint == ALL_STYLES else 0)


@dataclasses.dataclass(frozen=True)
class StylesConfig:
    """Lists the trained styles: name, place, size on disk, and what each was learnt from."""

    checkpoints: Annotated[str, shown_as("FOLDER", "")] = InferenceConfig.checkpoints
    """Folder that holds the trained styles."""


PRESETS = {
    "instant": {},
    "draft": {"steps": 300, "crop_size": 192, "photo_size": 224},
    "standard": {"steps": 3000, "crop_size": 192, "photo_size": 224, "loss_network": "full"},
    "fine": {
        "loss_network": "full",
        "steps": 40_000,
        "batch_size": 4,
        "crop_size": 256,
        "photo_size": 288,
        "save_every": 500,
        "preview_every": 1000,
    },
}
"""What each preset changes in the defaults above."""

_RANGES = (
    ("steps", 1, 10_000_000),
    ("batch_size", 1, 4096),
    ("crop_size", 32, 2048),
    ("photo_size", 32, 8192),
    ("style_size", 32, 4096),
    ("content_weight", 0, 1e30),
    ("style_weight", 0, 1e30),
    ("style_turns", 1, 1000),
    ("tv_weight", 0, 1e30),
    ("lattice_weight", 0, 1e30),
    ("learning_rate", 1e-8, 1.0),
    ("clip_norm", 1e-8, 1e30),
    ("width", 1, 512),
    ("holdout", 0, 10_000),
    ("seed", 0, 2**31 - 1),
    ("preview_every", 1, 10_000_000),
    ("save_every", 1, 10_000_000),
)

_INFERENCE_RANGES = (
    ("max_size", 0, 1_000_000),
    ("scale", 0.1, 4),
    ("strength", 0, 1),
    ("saturation", 0, 10),
    ("contrast", 0, 10),
    ("sharpen", 0, 10),
    ("quality", 1, 100),
)

# Options that may change between the parts of one run: they decide where it runs and what it
# reports, not what it learns.
_FREE = {
    "style",  # The picture counts, not its name: its SHA-256 is compared.
    "content",
    "preset",
    "name",
    "output",
    "vgg_weights",
    "preview",
    "preview_every",
    "save_every",
    "xla",
    "distribute",
    "tensorboard",
    "overwrite",
    "finish",
    "add_to",
}


_PATHS = ("style", "content", "output", "start_from", "add_to", "vgg_weights", "preview")

_LONGEST_NAME = 200  # bytes; a folder's name has 255 at most, and others are made of it.

# A single value may stand for a tuple of one.
_SEVERAL = ("style", "style_size", "style_weight", "style_turns")


def infer_command(name, output, program="python infer.py"):
    """The command line that stylises a photo in a trained style.

    Args:
        name: of the style.
        output: the folder of trained styles that it lies in, the trainer's `--output`.
        program: how it begins, from the project's folder or anywhere (`fst infer`).
    """
    if name == ALL_STYLES:  # Which means something else there; its path does not.
        return f"{program} {shlex.quote(str(Path(output, name)))} PHOTO -o stylised.jpg"
    usual = Path(output) == Path(InferenceConfig.checkpoints)
    place = "" if usual else f" --checkpoints {shlex.quote(output)}"
    return f"{program} {name} PHOTO -o stylised.jpg{place}"


def _as_text(given):
    """A path, or several, as text; whatever else was given stays as it is."""
    if isinstance(given, list | tuple):
        return tuple(map(_as_text, given))
    return os.fspath(given) if isinstance(given, os.PathLike) else given


def last_part(path):
    """The last part of a path or URL, as text that can be written down anywhere.

    Folders of one machine mean nothing on another.
    """
    last = path.split("?")[0].replace("\\", "/").rstrip("/").rpartition("/")[2]
    return re.sub("[\ud800-\udfff]", "\ufffd", last)  # Bytes that are no text, in Python's words.


def name_from(style):
    """The default name of a style: that of its picture, a path or an address."""
    # In small letters first: those of İ are an i and a dot, which no name may hold.
    stem = Path(last_part(style)).stem.lower()
    return cut(re.sub(r"[^\w.-]+", "_", stem), _LONGEST_NAME).strip("_.-") or "style"


def cut(name, size):
    """The beginning of a name of at most so many bytes, which file systems count, not letters."""
    return name.encode(errors="surrogateescape")[:size].decode(errors="ignore")
