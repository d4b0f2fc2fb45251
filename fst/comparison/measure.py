"""The fast network and the slow optimiser side by side, under one loss.

For each photo: the network's picture, the optimiser's best pictures after several numbers of
evaluations, and how many evaluations it takes to reach the network's loss. Everything is kept, in
`<report>/photos/<name>-<hash>/`, as it comes, so that a stopped comparison goes on with the
photos that are missing; `fst.comparison.report` makes the report from it.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import platform
from pathlib import Path
from typing import Annotated, Literal

import numpy as np

from fst import collection, files, metrics
from fst.config import Precision, StylesConfig, last_part
from fst.errors import UserError
from fst.gatys.options import MIN_SIZE, GatysOptions
from fst.loss_options import LAYER_FIELDS, LossDefaults, check_depth, default_vgg_weights, in_rows
from fst.media import folders, images
from fst.options import REQUIRED, check_choices, check_ranges, shown_as

Start = Literal["content", "noise", "style"]

# The options of a loss, of the same names in a style's card and in `GatysOptions`.
_LOSS = tuple(field.name for field in dataclasses.fields(LossDefaults))
_NOT_ON_OLD_CARDS: dict[str, object] = {"style_layer_weights": []}


@dataclasses.dataclass(frozen=True, kw_only=True)
class CompareConfig:
    """Compares a trained style with the optimiser of Gatys et al., under the style's own loss.

    Run again, the same command goes on with the photos that are missing. Exit code 0: all compared;
    1: some photos failed, each is named; 2: the command cannot work.
    """

    checkpoint: Annotated[str, shown_as("CHECKPOINT", REQUIRED)]
    """Trained style: a name that infer.py --list shows, or its folder."""

    photos: Annotated[tuple[str, ...], shown_as("PHOTO...", REQUIRED)]
    """Photos that training never saw: files, folders of them, http(s) URLs."""

    style: Annotated[str, shown_as("STYLE", REQUIRED)] = ""
    """The style image that the style was trained on: a file or an http(s) URL."""

    output: Annotated[str, shown_as("REPORT", REQUIRED, ("-o",))] = ""
    """Folder for the report and all its data."""

    size: int = 256
    """Long side that all photos are scaled to, in px."""

    budgets: tuple[int, ...] = (20, 50, 100, 300, 500)
    """Numbers of evaluations of the loss after which the optimiser's best picture is shown."""

    optimizer: Literal["lbfgs", "adam"] = "lbfgs"
    """The optimiser."""

    init: Start = "content"
    """What the optimiser starts from."""

    also_from: tuple[Start, ...] = ("noise",)
    """Further starts, run only until they are as good as the network. Papers start from noise."""

    seed: int = 1
    """Seed of the noise."""

    precision: Precision = "float32"
    """Arithmetic of VGG19's convolutions, for both methods; mixed_bfloat16 is faster on CPUs that
    have AVX512-BF16."""

    checkpoints: Annotated[str, shown_as("FOLDER")] = StylesConfig.checkpoints
    """Folder that holds the trained styles."""

    vgg_weights: Annotated[str, shown_as("WEIGHTS")] = dataclasses.field(
        default_factory=default_vgg_weights
    )
    """VGG19 weights: embedded (in the package, down to relu4_2), imagenet (all layers, downloaded
    once by Keras) or a file. The default can be set by the variable FST_VGG19_WEIGHTS."""

    def __post_init__(self):
        check_choices(self)
        check_ranges(self, (("size", MIN_SIZE, 8192), ("seed", 0, 2**31 - 1)))
        if not self.photos:
            raise UserError("there is no PHOTO: give photos, folders or URLs after the style")
        if not self.style:
            raise UserError("‹style› is missing: give the image that the style was trained on")
        if not self.output:
            raise UserError("‹output› is missing: give -o FOLDER")
        if not self.budgets or min(self.budgets) < 1 or max(self.budgets) > 100_000:
            raise UserError("‹budgets› are numbers of evaluations from 1 to 100000, such as 20 100")


class Comparison:
    """The two methods, ready to work on photos.

    Args:
        config: a `CompareConfig`.
        on_step: called as `on_step(step, evaluations at most, start)` after every evaluation of the
            optimiser.

    Raises:
        UserError: the checkpoint or the style image cannot be read, or REPORT holds a comparison
            with other settings, or another is being made there.
    """

    def __init__(self, config, on_step=None):
        self._on_step = on_step or (lambda *_: None)
        self.folder = Path(config.output)
        trained = collection.find(config.checkpoint, config.checkpoints)
        entry = _only_style(config, trained)
        self._options = _options(config, *_training_of(entry, trained))
        from fst.gatys.optimizer import build_loss  # Not before: TensorFlow takes seconds to load.
        from fst.models.perceptual import load_vgg19
        from fst.stylize.stylizer import Stylizer

        self._stylise = Stylizer(trained)
        style = files.read_bytes(config.style)
        self._style = images.load_rgb(config.style, self._options.style_size, style)
        self._starts = list(dict.fromkeys((config.init, *config.also_from)))
        self._budgets = sorted(set(config.budgets))
        self.settings = _settings(config, trained, self._options, self._starts, self._budgets)
        digest = hashlib.sha256(style).hexdigest()
        self.style_is_the_trained_one = digest == entry.get("sha256")
        self.settings["style_is_the_trained_one"] = self.style_is_the_trained_one
        self._features = load_vgg19(config.vgg_weights, config.precision)
        self._loss = build_loss(self._options, self._features, [self._style])
        # Last, since mistakes in the options should not stay in REPORT.
        self._held = _claim(self.folder, self.settings)

    def close(self):
        """Lets other comparisons into REPORT again, which are kept out until then."""
        self._held.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def is_done(self, source):
        """Whether the photo has been compared by an earlier run."""
        return (self._place(source) / "result.json").is_file()

    def compare(self, source):
        """Compares the methods on one photo and keeps the result.

        Args:
            source: its path or URL.

        Raises:
            ImageError: the photo cannot be read or is too small.
            UserError: there is no room to write.
            KeyboardInterrupt: Ctrl-C; nothing of this photo is kept.
        """
        photo = images.load_rgb(source, self._options.size)
        if min(photo.shape[:2]) < MIN_SIZE:
            raise files.ImageError(
                f"{files.printable(source)}: is {photo.shape[1]}x{photo.shape[0]} px at ‹size› "
                f"{self._options.size}; its short side needs {MIN_SIZE} px"
            )
        with _fitting_in_memory(photo):
            result, pictures = self._measure(photo)
        result = {"photo": printed_name(source), **result}
        place = self._place(source)
        advice = "make room and run the same command again, the photos that are done are kept"
        with (
            files.writing(f"‹output› {self.folder}", advice, also=[files.ImageError]),
            files.atomic_path(place) as folder,
        ):
            folder.mkdir()
            for name, picture in pictures.items():
                images.save_picture(folder / f"{name}.png", picture)
            (folder / "result.json").write_text(json.dumps(result, indent=1) + "\n")

    def _place(self, source):
        """The photo's folder: the same whatever other photos are given, and in which order."""
        stem = "".join(
            c if c.isalnum() or c in "-_" else "_" for c in Path(printed_name(source)).stem
        )
        where = source if files.is_url(source) else os.path.realpath(source)
        digest = hashlib.sha256(where.encode("utf-8", "surrogateescape")).hexdigest()
        return self.folder / "photos" / f"{stem[:60]}-{digest[:8]}"

    def _measure(self, photo):
        """The result of a photo as JSON types, and its pictures by name, float32."""
        loss = self._loss
        wanted = loss.content_features(photo[None])
        fast = self._stylise(photo)
        terms = {
            name: _terms(metrics.loss_terms(loss, picture, photo, content_features=wanted))
            for name, picture in (("untouched", photo), ("fast", fast))
        }
        seconds = metrics.seconds(lambda: self._stylise(photo))
        terms["fast"] |= {**_likeness("photo", photo, fast), "seconds": seconds}
        pictures = {"photo": photo, "fast": fast}
        starts, budgets = {}, {}
        for start in self._starts:
            trace, best = self._optimise(photo, start, terms["fast"]["total"])
            starts[start] = _curve(trace, terms["fast"]["total"])
            for budget, picture in best.items():
                pictures[f"gatys_{budget}"] = picture
                budgets[str(budget)] = {
                    **_terms(metrics.loss_terms(loss, picture, photo, content_features=wanted)),
                    **_likeness("photo", photo, picture),
                    **_likeness("fast", fast, picture),
                    "seconds": trace[min(budget, len(trace)) - 1].seconds,
                }
        height, width, _ = photo.shape
        result = {"height": height, "width": width, **terms, "gatys": budgets, "starts": starts}
        return result, pictures

    def _optimise(self, photo, start, level):
        """The trace from one start, and for the main one the best picture at each budget."""
        from fst.gatys.optimizer import optimize

        main, best = start == self._starts[0], {}

        def after(step, picture):
            if main and step.step in self._budgets:
                best[step.step] = picture()
            self._on_step(step, self._budgets[-1], start)
            return not main and step.best <= level

        options = dataclasses.replace(self._options, init=start)
        run = optimize(photo, self._style, options, features=self._features, on_step=after)
        if run.interrupted:
            raise KeyboardInterrupt
        if main:  # It may have found the bottom before its budget was used up.
            best |= {budget: run.picture for budget in self._budgets if budget not in best}
        return run.trace, best


def list_photos(given, tell=lambda note: None, without=()):
    """The photos that were given, those of folders among them, without doubles.

    Args:
        given: files, folders and addresses.
        tell: called with a line for each folder in which files are left out.
        without: folders in those whose pictures are none of them, such as that of the report.

    Raises:
        UserError: a file or folder is missing, or a folder holds no photos.
    """
    photos = []
    for source in given:
        if not files.is_url(source) and os.path.isdir(source):
            found, left_out = folders.look_through(source, without=without)
            if not found:
                raise UserError(f"{source}: the folder holds no photos; give one that does")
            if left_out:
                tell(folders.left_out_words(left_out, source))
            photos += map(str, found)
        elif files.is_url(source) or os.path.exists(source):
            photos.append(source)
        else:
            raise UserError(f"{source}: {files.missing(source)}")
    return list(dict.fromkeys(photos))


def _only_style(config, trained):
    """The style's entry in the card; a blend was not trained on any picture."""
    chosen = trained.chosen()
    if len(chosen) > 1:
        raise UserError(
            f"{config.checkpoint}: is a blend, and the optimiser knows only the style of one "
            "picture; name one style"
        )
    return chosen[0][0]


def _training_of(entry, trained):
    """What the card tells of a style's training, and its place among those trained with it."""
    styles, own = trained.styles(), entry.get("training")
    if own is None:
        return trained.read_card(), styles.index(entry)
    # Added to the gallery later, with a loss of its own. Cards of before do not tell the place.
    return own, entry.get("place", [s for s in styles if s.get("training") == own].index(entry))


def _options(config, about, index):
    """The optimiser's options: the loss and the style size are those of the trained style."""
    try:
        trained = {**_NOT_ON_OLD_CARDS, **about["config"]}
        values = {name: trained[name] for name in (*_LOSS, "style_size")}
        values |= {n: tuple(values[n]) for n in LAYER_FIELDS}
        layers = len(values["style_layers"])
        values["style_layer_weights"] = in_rows(values["style_layer_weights"], layers) or [()]
        # Where several were trained, one for each.
        for name in ("style_weight", "style_size", "style_layer_weights"):
            if isinstance(values[name], list):
                values[name] = values[name][index if len(values[name]) > 1 else 0]
    except (KeyError, TypeError, IndexError) as error:
        raise UserError(
            f"{config.checkpoint}: its style.json does not tell the loss that it was trained with "
            f"({error}); train it again, or take another style"
        ) from error
    for field in LAYER_FIELDS:
        check_depth(config.vgg_weights, values[field], f"the loss of {config.checkpoint}")
    return GatysOptions(
        **values,
        optimizer=config.optimizer,
        steps=max(config.budgets),
        size=config.size,
        seed=config.seed,
        precision=config.precision,
        scales=1,
    )


@contextlib.contextmanager
def _fitting_in_memory(photo):
    import tensorflow as tf

    try:
        yield
    except (MemoryError, tf.errors.ResourceExhaustedError) as error:
        height, width, _ = photo.shape
        raise UserError(
            f"a picture of {width}x{height} px does not fit in memory with its features: lower "
            "‹size›"
        ) from error


def _settings(config, trained, options, starts, budgets):
    """All that a result depends on, as JSON types."""
    import keras
    import scipy
    import tensorflow as tf

    import fst
    from fst.models.precision import resolve
    from fst.training.card import device_name

    values = {
        "checkpoint": last_part(trained.name),
        "style": printed_name(config.style),
        "size": config.size,
        "style_size": options.style_size,
        "budgets": budgets,
        "init": starts[0],
        "also_from": starts[1:],
        "seed": config.seed,
        "optimizer": config.optimizer,
        "precision": resolve(config.precision),
        "vgg_weights": last_part(config.vgg_weights),
        **{name: getattr(options, name) for name in _LOSS},
        "device": device_name(),
        "versions": {
            "fst": fst.__version__,
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "scipy": scipy.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }
    return json.loads(json.dumps(values))


def _claim(folder, settings):
    """Keeps other comparisons out of the report's folder, and the settings in it.

    Returns:
        A `contextlib.ExitStack`, which lets them in when it is closed.
    """
    taken = (
        f"‹output› {folder}: another comparison is being made there; wait for it, or name another "
        "folder"
    )
    with contextlib.ExitStack() as held:
        with files.writing(f"‹output› {folder}"):
            folder.mkdir(parents=True, exist_ok=True)
            held.enter_context(files.locked(folder, taken))
        _keep_settings(folder, settings)
        return held.pop_all()


def _keep_settings(folder, settings):
    """Writes the settings, or checks that those that are there are the same."""
    path = folder / "settings.json"
    with files.writing(f"‹output› {folder}"):
        if path.exists():
            _check_same(folder, _read_settings(path), settings)
            files.remove_litter(folder)
            return
        with files.atomic_path(path) as temporary:
            temporary.write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")


def _read_settings(path):
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path}: is damaged ({error}); name another folder") from error


def _check_same(folder, kept, settings):
    # What earlier versions did not write.
    kept = {**_NOT_ON_OLD_CARDS, "vgg_weights": settings["vgg_weights"], **kept}
    changed = [name for name in settings if kept.get(name) != settings[name]]
    if changed:
        raise UserError(
            f"‹output› {folder}: holds a comparison with another {changed[0]} "
            f"({kept.get(changed[0])}, not {settings[changed[0]]}); name another folder"
        )


def _curve(trace, level):
    totals = [float(f"{step.losses.total:.6g}") for step in trace]
    worth = next((step.step for step in trace if step.best <= level), None)
    return {
        "totals": totals,
        "seconds_per_evaluation": trace[-1].seconds / len(trace),
        "worth": worth,
    }


def _terms(terms):
    return {name: float(value) for name, value in terms._asdict().items()}


def _likeness(name, one, other):
    return {
        f"ssim_{name}_luma": metrics.ssim_luma(one, other),
        f"ssim_{name}_rgb": metrics.ssim_rgb(one, other),
    }


def printed_name(source):
    """How results name a photo: the last part of its path or address, without a password."""
    return last_part(files.without_password(str(source)))
