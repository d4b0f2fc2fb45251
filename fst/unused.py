"""Options that a command was given and that do nothing there: said in a line each, in a note.

In a note and not an error: the result is right without them, and a script may give the same options
to all its runs. An option with its usual value does nothing special anywhere, and is not mentioned.
"""

import dataclasses
import sys
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from fst import plan
from fst.config import PRESETS, TrainingConfig, flag_of
from fst.gatys_config import PRESETS as GATYS_PRESETS
from fst.gatys_config import GatysOptions

_HAVE_QUALITY = {".jpg", ".jpeg", ".webp", ".avif"}
_WITHOUT_EXIF = {".bmp", ".gif"}


class _Rule(NamedTuple):
    """When an option does something: `used` is told the configuration, `why` says when it is."""

    field: str
    used: Callable
    why: str


_LOSS = (
    _Rule("content_layers", lambda c: c.content_weight > 0, "--content-weight is 0"),
    _Rule("style_layers", lambda c: np.any(c.style_weight), "--style-weight is 0"),
    _Rule("style_size", lambda c: np.any(c.style_weight), "--style-weight is 0"),
)

_GATYS = (
    *_LOSS,
    _Rule("learning_rate", lambda c: c.optimizer == "adam", "it is for --optimizer adam"),
    _Rule("beta_1", lambda c: c.optimizer == "adam", "it is for --optimizer adam"),
    _Rule("noise", lambda c: c.init == "noise", "it is for --init noise"),
    _Rule("seed", lambda c: c.init == "noise", "it is for --init noise"),
)

_COMPARE = (
    _Rule("seed", lambda c: "noise" in (c.init, *c.also_from), "no start is from noise"),
    _Rule(
        "also_from",
        lambda c: not c.also_from or set(c.also_from) - {c.init},
        "--init starts there already",
    ),
)

_EXPORT = (
    _Rule(
        "size",
        lambda c: c.format == "litert",
        "it is for --format litert, the others take every size",
    ),
)


def tell(notes):
    """Prints notes, which the functions below return, to stderr."""
    for note in notes:
        print(f"note: {note}", file=sys.stderr)


def in_training(config):
    """Notes, a line each, on the options that a `TrainingConfig` gives in vain."""
    return _notes([config], config, _LOSS, {**_defaults(TrainingConfig), **PRESETS[config.preset]})


def in_gatys(config, runs=()):
    """The same of a `GatysConfig`.

    Args:
        config: the `GatysConfig`.
        runs: with `--sweep`, the `GatysOptions` of every picture.
    """
    defaults = {**_defaults(GatysOptions), **GATYS_PRESETS[config.preset]}
    runs = list(runs) or [config]
    for name in defaults:
        if len({getattr(run, name) for run in runs}) > 1:  # What is swept is given, whatever it is.
            defaults[name] = None
    notes = _notes(runs, config, _GATYS, defaults)
    if config.style_image_weights and len(config.style) == 1:
        notes.append("--style-image-weights is not used: there is one style image")
    return notes


def in_comparison(config):
    """The same of a `CompareConfig`."""
    return _notes([config], config, _COMPARE, _defaults(type(config)))


def in_export(config):
    """The same of an `ExportConfig`."""
    return _notes([config], config, _EXPORT, _defaults(type(config)))


def in_inference(config, jobs):
    """The same of an `InferenceConfig`, of which `jobs` are what is to be done."""
    videos = [plan.is_video(job.source) for job in jobs]
    photos = {job.target.suffix.lower() for job, film in zip(jobs, videos, strict=True) if not film}
    folders = [given for given in config.input if plan.is_folder(given)]
    strips = config.tile.isdecimal()
    why_strips = f"strips of --tile {config.tile} rows are worked on in TensorFlow"
    rules = (
        _Rule("recursive", lambda c: folders, "no INPUT is a folder"),
        _Rule("steady", lambda c: any(videos), "it is for videos"),
        _Rule("format", lambda c: photos, "it is for photos"),
        _Rule(
            "quality",
            lambda c: any(videos) or photos & _HAVE_QUALITY,
            "it is for JPEG, WebP, AVIF and videos",
        ),
        _Rule(
            "keep_metadata",
            lambda c: any(videos) or photos - _WITHOUT_EXIF,
            "BMP and GIF have no room for it",
        ),
        _Rule("engine", lambda c: not strips or c.engine == "tensorflow", why_strips),
        _Rule("precision", lambda c: not strips, why_strips),
    )
    return _notes([config], config, rules, _defaults(type(config)))


def _notes(runs, config, rules, defaults):
    return [
        f"{flag_of(rule.field)} is not used: {rule.why}"
        for rule in rules
        if getattr(config, rule.field) != defaults[rule.field] and not any(map(rule.used, runs))
    ]


def _defaults(kind):
    return {field.name: field.default for field in dataclasses.fields(kind)}
