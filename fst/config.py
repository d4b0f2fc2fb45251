"""Every option of training and of stylising: its name, default, unit and meaning, once.

The command line, its help, `style.json` and the Python interface are all made from here.
"""

import dataclasses
import json
import re
import shlex
from pathlib import Path
from typing import Annotated, Literal

import tyro

from fst.errors import UserError

Preset = Literal["draft", "standard", "fine"]
Precision = Literal["float32", "mixed_bfloat16", "mixed_float16"]
Distribution = Literal["none", "mirrored", "multiworker"]
LossForm = Literal["relative", "absolute", "mean"]

ALL_STYLES = "all"
"""What `infer.py --contact-sheet` takes in place of a style's name."""


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """Trains a network that turns any photo into the style of one picture.

    Run again, the same command resumes at the step where it stopped.
    """

    style: str
    """Style image: a file or an http(s) URL."""

    content: str = "data/photos"
    """Photos to train on: a folder (searched recursively) or tfds:NAME[:SPLIT]."""

    name: str = ""
    """Name of the trained style, its folder under --output (default: the style's file name)."""

    output: str = "checkpoints"
    """Folder that holds the trained styles."""

    preset: Preset = "standard"
    """draft: a first impression, on a CPU. standard: a good style, on a CPU. fine: for a GPU, the
    paper's 40,000 steps at 256 px, batch 4. Options given beside it win."""

    steps: int = 5000
    """Training steps."""

    batch_size: int = 1
    """Photos per step, over all workers together."""

    crop_size: int = 192
    """Side of the square crops that the network trains on, in px."""

    photo_size: int = 320
    """Short side, in px, that each photo is scaled to before it is cropped."""

    style_size: int = 512
    """Long side of the style image, in px: larger makes larger strokes."""

    content_weight: float = 1.0
    """Weight of the content term: raise it when the photo gets lost."""

    style_weight: float = 3.0
    """Weight of the style term: raise it when there is too little style."""

    tv_weight: float = 1.0
    """Weight of the total-variation term: raise it against grain."""

    content_layers: tuple[str, ...] = ("relu4_2",)
    """VGG19 layers that define content."""

    style_layers: tuple[str, ...] = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
    """VGG19 layers that define style."""

    loss_form: LossForm = "relative"
    """relative: a weight means the same for every style and size. absolute: Gatys et al.'s sums.
    mean: the means of the PyTorch and TensorFlow tutorials."""

    learning_rate: float = 1e-3
    """Adam's learning rate at its peak; it warms up for 100 steps and decays along a cosine."""

    width: int = 32
    """Channels of the network's first layer: 16 is smaller and faster, 32 is the paper's."""

    start_from: str = ""
    """A trained style (name or folder) whose weights to start from, instead of random ones."""

    vgg_weights: str = "imagenet"
    """VGG19 weights: imagenet (downloaded once by Keras) or a file, which the variable
    FST_VGG19_WEIGHTS can name as well."""

    holdout: int = 32
    """Photos to keep out of training (at most a tenth of them all): the card tells their losses."""

    seed: int = 1
    """Seed of the initial weights and of the order, crops and flips of the photos."""

    preview: tuple[str, ...] = ()
    """Photos to stylise every --preview-every steps (default: four photos of --content)."""

    preview_every: int = 250
    """Steps between previews."""

    save_every: int = 100
    """Steps between saves of the state to resume from."""

    precision: Precision = "float32"
    """Arithmetic of the convolutions; mixed_bfloat16 is almost twice as fast on CPUs that have
    AVX512-BF16."""

    xla: Literal["auto", "on", "off"] = "auto"
    """Compile the step with XLA. auto: on a single GPU only."""

    distribute: Distribution = "none"
    """mirrored: all GPUs of this machine. multiworker: several machines, described by TF_CONFIG."""

    tensorboard: bool = False
    """Write TensorBoard logs too (needs the tensorboard package)."""

    overwrite: bool = False
    """Train anew even where a style of this name exists, and replace it."""

    finish: bool = False
    """Remove the state to resume from once the style is trained."""

    def __post_init__(self):
        check_ranges(self, _RANGES)
        check_layers(self)
        if self.photo_size < self.crop_size:
            raise UserError(
                f"--photo-size {self.photo_size} is smaller than --crop-size {self.crop_size}: "
                "raise the one or lower the other"
            )
        if self.style_weight == self.content_weight == 0:
            raise UserError("--content-weight and --style-weight are both 0: nothing to train for")
        if not self.name and isinstance(self.style, str):
            object.__setattr__(self, "name", name_from(self.style))
        if self.name and not re.fullmatch(r"\w[\w.-]*", self.name):
            raise UserError(f"--name '{self.name}' may hold letters, digits, '_', '-', '.' only")

    @classmethod
    def from_preset(cls, preset, style, **options):
        """The configuration of a preset, with `options` that win over it.

        Raises:
            UserError: there is no such preset.
        """
        if preset not in PRESETS:
            raise UserError(f"--preset is one of {', '.join(PRESETS)}, not '{preset}'")
        return cls(style=style, **{**PRESETS[preset], **options, "preset": preset})

    def to_json(self):
        """The configuration as plain JSON types, its paths cut down to their last part.

        The folders of one machine mean nothing on another, and may be private.
        """
        values = dataclasses.asdict(self)
        for name in _PATHS:
            values[name] = last_part(values[name])
        values["preview"] = [last_part(photo) for photo in self.preview]
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
class InferenceConfig:
    """Stylises photos and videos with a trained style.

    Exit code 0: all done; 1: some files failed, each is named; 2: the command cannot work.
    """

    checkpoint: Annotated[str, tyro.conf.arg(metavar="CHECKPOINT")]
    """Trained style: its name under --checkpoints, or its folder. With --contact-sheet also all:
    every style under --checkpoints."""

    input: Annotated[tuple[str, ...], tyro.conf.arg(metavar="INPUT...")]
    """Photos, videos, folders of photos, and http(s) URLs of photos."""

    output: Annotated[str, tyro.conf.arg(aliases=["-o"], metavar="OUTPUT")] = ""
    """Required. For one photo or video a file, such as out.jpg or out.mp4, or a folder; for several
    or a folder of photos a folder, in which they keep their names and subfolders."""

    checkpoints: str = "checkpoints"
    """Folder that holds the trained styles."""

    recursive: bool = False
    """Stylise the photos in the subfolders of each INPUT folder too."""

    max_size: int = 0
    """Long side, in px, that larger photos are scaled down to first (0: never)."""

    tile: str = "auto"
    """auto: large photos are worked on strip by strip, to the same result, when the memory that is
    free calls for it. off: never. A number: always, by strips of that many rows."""

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

    steady: bool = False
    """For videos: keep what stands still from flickering. What moves stays as it is."""

    contact_sheet: bool = False
    """Write one labelled picture per photo: the photo, then its stylised picture in CHECKPOINT, or
    in every style if that is all. --max-size limits each picture in it."""

    keep_metadata: bool = False
    """Keep also what EXIF tells of the place (GPS), the owner and serial numbers. Camera, settings,
    date, description, artist and copyright are kept in any case."""

    engine: Literal["auto", "tensorflow", "openvino", "onnxruntime"] = "auto"
    """What computes: auto is TensorFlow where there is an NVIDIA GPU, else the fastest that is
    installed. The pictures are the same up to a grey level."""

    precision: Literal["float32", "bfloat16"] = "float32"
    """bfloat16, by OpenVINO on a CPU made for it, takes about half the time; few pixels then differ
    by more than two grey levels."""

    format: Literal["keep", "jpg", "png", "webp", "avif"] = "keep"
    """Format of the pictures in an OUTPUT folder; keep: each photo's own, but PNG for GIF, and
    JPEG for HEIC and for what names no format."""

    quality: int = 92
    """Quality of JPEG, WebP, AVIF and videos, 1 to 100."""

    skip_existing: bool = False
    """Leave out photos and videos whose stylised file is there already."""

    def __post_init__(self):
        if not self.input:
            raise UserError("there is no INPUT: give photos, folders or URLs after the style")
        if not self.output:
            raise UserError("--output is missing: give -o FILE or -o FOLDER")
        check_ranges(self, _INFERENCE_RANGES)
        rows = self.tile.isdecimal() and int(self.tile) >= 1
        if self.tile not in ("auto", "off") and not rows:
            raise UserError(
                f"--tile is auto, off or a number of rows from 1, such as 256, not '{self.tile}'"
            )
        if self.checkpoint == ALL_STYLES and not self.contact_sheet:
            raise UserError(
                f"'{ALL_STYLES}' draws every style into one picture per photo: "
                "add --contact-sheet, or name one style"
            )


PRESETS = {
    "draft": {"steps": 1000, "learning_rate": 2e-3},
    "standard": {},
    "fine": {
        "steps": 40_000,
        "batch_size": 4,
        "crop_size": 256,
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
    ("tv_weight", 0, 1e30),
    ("learning_rate", 1e-8, 1.0),
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

# The names that `fst.perceptual` takes, checked here before anything slow is loaded.
_LAYER = r"(relu|block)([12](_|_conv)[12]|[345](_|_conv)[1-4])"

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
}


_PATHS = ("style", "content", "output", "start_from", "vgg_weights")


def check_ranges(config, ranges):
    """Raises a UserError unless every field lies in its range.

    Args:
        config: a dataclass.
        ranges: field, lowest and highest value of each.
    """
    for field, low, high in ranges:
        value = getattr(config, field)
        if not low <= value <= high:
            raise UserError(f"{flag_of(field)} must be from {low} to {high}, not {value}")


def check_layers(config):
    """Raises a UserError unless the content and style layers of a dataclass are VGG19's."""
    for field in ("content_layers", "style_layers"):
        names = getattr(config, field)
        if not names:
            raise UserError(f"{flag_of(field)} is empty: give layers, such as relu4_2")
        for name in names:
            if not re.fullmatch(_LAYER, name):
                raise UserError(
                    f"{flag_of(field)}: VGG19 has no layer '{name}': use relu1_1 to relu5_4, "
                    "such as relu4_2"
                )


def flag_of(field):
    """The command line's spelling of an option: `--style-weight` for `style_weight`."""
    return "--" + field.replace("_", "-")


def words_of(options):
    """Options as a command line has them, a list of words.

    Args:
        options: values by field; of several values each is a word, True is the flag alone, and
            False is nothing.
    """
    words = []
    for field, value in options.items():
        if value is False:
            continue
        words.append(flag_of(field))
        if value is not True:
            words += map(str, value if isinstance(value, (list, tuple)) else [value])
    return words


def infer_command(name, output):
    """The command line that stylises a photo in a trained style, from the project's folder.

    Args:
        name: of the style.
        output: the folder of trained styles that it lies in, the trainer's `--output`.
    """
    if name == ALL_STYLES:  # Which means something else there; its path does not.
        return f"python infer.py {shlex.quote(str(Path(output, name)))} PHOTO -o stylised.jpg"
    usual = Path(output) == Path(InferenceConfig.checkpoints)
    place = "" if usual else f" --checkpoints {shlex.quote(output)}"
    return f"python infer.py {name} PHOTO -o stylised.jpg{place}"


def last_part(path):
    """The last part of a path or URL, as text that can be written down anywhere.

    Folders of one machine mean nothing on another.
    """
    last = path.split("?")[0].replace("\\", "/").rstrip("/").rpartition("/")[2]
    return re.sub("[\ud800-\udfff]", "\ufffd", last)  # Bytes that are no text, in Python's words.


def name_from(style):
    """What a style is called where nothing else is said: as its picture, a path or an address."""
    stem = Path(last_part(style)).stem
    return re.sub(r"[^\w.-]+", "_", stem).strip("_.-").lower() or "style"
