"""Exploring: one photo under every combination of some options, in one labelled picture.

python -m fst.gatys ... --sweep style_weight=1,4,16 content_layers=relu3_1,relu4_2
"""

import contextlib
import dataclasses
import itertools
import math
from pathlib import Path
from typing import get_args, get_type_hints

import numpy as np

from fst import files, metrics
from fst.errors import UserError
from fst.gatys.options import GatysOptions
from fst.media import images
from fst.media.grid import draw_grid

_MAX = 200  # combinations: more are surely a slip, and would take days
_SHARED = ("size", "style_size", "style_image_weights", "precision", "seed")
_SINGULAR = {"content_layer": "content_layers", "style_layer": "style_layers"}


def parse_sweep(texts):
    """Reads `--sweep`.

    Args:
        texts: such as `("style_weight=1,4", "content_layers=relu3_1,relu3_1+relu4_2")`.

    Returns:
        A dictionary from names of `GatysOptions` to lists of values.

    Raises:
        UserError: there is no such option, a value is not of its kind, or there are too many.
    """
    axes = {}
    for text in texts:
        name, equals, values = text.partition("=")
        name = name.strip().removeprefix("--").replace("-", "_")
        name = _SINGULAR.get(name, name)
        kinds = get_type_hints(GatysOptions)
        if name not in kinds:
            raise UserError(f"‹sweep›: there is no option '{name}'; use one of {', '.join(kinds)}")
        if name in axes:
            raise UserError(f"‹sweep›: {name} is given twice; put all its values into one list")
        if not equals or not values.strip():
            raise UserError(f"‹sweep› {text}: has no values; write {name}=VALUE,VALUE")
        axes[name] = [_value(name, kinds[name], value.strip()) for value in values.split(",")]
    count = math.prod(map(len, axes.values()))
    if count > _MAX:
        raise UserError(f"‹sweep›: makes {count} pictures, more than {_MAX}; give fewer values")
    return axes


def _value(name, kind, text):
    try:
        if get_args(kind) and not isinstance(get_args(kind)[0], type):  # a Literal
            if text not in get_args(kind):
                raise UserError(f"‹sweep›: {name} is one of {', '.join(get_args(kind))}")
            return text
        if get_args(kind):  # a tuple
            return tuple(get_args(kind)[0](part.strip()) for part in text.split("+"))
        return kind(text)
    except ValueError:
        raise UserError(f"‹sweep›: '{text}' is no value for {name}; see ‹{name}›") from None


def combinations(options, axes):
    """Every combination of the axes' values, applied to `options`.

    A swept preset brings its own options, all but those in `_SHARED`: sizes, above all, since
    pictures of different sizes do not compare.

    Returns:
        A list of `(values, options)`, the last axis changing fastest.

    Raises:
        UserError: a value is out of range.
    """
    found = []
    for values in itertools.product(*axes.values()):
        chosen = dict(zip(axes, values, strict=True))
        if "preset" in chosen:
            shared = {name: getattr(options, name) for name in _SHARED}
            found.append((values, GatysOptions(**{**shared, **chosen})))
            continue
        if "style_layers" in chosen and "style_layer_weights" not in chosen:
            chosen["style_layer_weights"] = ()  # Those were for other layers.
        found.append((values, dataclasses.replace(options, **chosen)))
    return found


def run_sweep(config, content, styles):
    """Makes the pictures, draws them into `config.output`, writes the CSV file; the exit code.

    After Ctrl-C the pictures that are done are drawn. One that fails after others were done is told
    of and its place stays empty; the exit code is then 1.
    """
    axes = parse_sweep(config.sweep)
    runs = combinations(config.options(), axes)
    table = Path(config.output).with_suffix(".csv")
    for _, options in runs:
        options.check_depth(config.vgg_weights)
    files.check_writable(table, "‹output›")
    done, interrupted = _run_all(config, axes, runs, content, styles)
    try:
        images.save_or_rescue(config.output, _draw(axes, done))
    except BaseException:
        with contextlib.suppress(UserError):  # The picture's error tells where it was rescued to.
            _write_table(table, axes, done)
        raise
    _write_table(table, axes, done)
    print(f"{len(done)} of {len(runs)} pictures: {config.output}, their numbers: {table}")
    if interrupted:
        return 130
    return 0 if len(done) == len(runs) else 1


def _run_all(config, axes, runs, content, styles):
    """The finished runs as `(values, picture, numbers)`, and whether Ctrl-C came.

    Raises:
        UserError: the first run failed.
        KeyboardInterrupt: Ctrl-C came before any was finished.
    """
    from fst.console.progress import Reporter

    features, done = {}, []
    with Reporter() as reporter:
        try:
            for number, (values, options) in enumerate(runs, start=1):
                title = f"picture {number} of {len(runs)}, {_label(axes, values)}"
                try:
                    result = _run(config, options, features, content, styles, reporter, title)
                except UserError as error:
                    if not done:
                        raise
                    reporter.begin("")
                    reporter.event(f"failed: {title}: {error.for_command_line()}")
                    continue
                done.append((values, result.picture, _numbers(content, result)))
        except KeyboardInterrupt:
            if not done:
                raise
            return done, True
    return done, False


def _run(config, options, features, content, styles, reporter, title):
    """The `optimizer.Result` of one combination; `features` keeps one VGG19 of each kind."""
    from fst.gatys.optimizer import count_steps, optimize
    from fst.models.perceptual import load_vgg19

    kind = options.precision, options.pooling
    if kind not in features:
        features[kind] = load_vgg19(config.vgg_weights, *kind)
    steps = count_steps(content.shape[:2], options)
    result = optimize(
        content,
        styles,
        options,
        features=features[kind],
        on_step=lambda step, best: reporter.step(step, steps, title),
    )
    if result.interrupted:
        raise KeyboardInterrupt
    return result


def _numbers(content, result):
    photo = np.clip(images.resize(content, *result.picture.shape[:2]), 0, 255)
    return {
        **result.losses._asdict(),
        "ssim_photo_luma": metrics.ssim_luma(photo, result.picture),
        "ssim_photo_rgb": metrics.ssim_rgb(photo, result.picture),
        "steps": len(result.trace),
        "seconds": result.trace[-1].seconds,
    }


def _draw(axes, done):
    """The grid: the first axis goes down, all others across; a single one goes across."""
    names = list(axes)
    down, across = (names[:1], names[1:]) if len(names) > 1 else ([], names)
    rows, columns = _ticks(axes, down), _ticks(axes, across)
    cells = {values: picture for values, picture, _ in done}
    split = len(down)
    pictures = [[cells.get(row + column) for column in columns] for row in rows]
    return draw_grid(
        pictures,
        [_label({n: axes[n] for n in names[:split]}, row) for row in rows],
        [_label({n: axes[n] for n in names[split:]}, column) for column in columns],
    )


def _ticks(axes, names):
    return list(itertools.product(*(axes[name] for name in names)))


def _label(axes, values):
    return ", ".join(f"{name} {_text(value)}" for name, value in zip(axes, values, strict=True))


def _text(value):
    if isinstance(value, tuple):
        return "+".join(map(_text, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _write_table(path, axes, done):
    rows = []
    for values, _, numbers in done:
        texts = [f"{n:.6g}" if isinstance(n, float) else n for n in numbers.values()]
        rows.append([*map(_text, values), *texts])
    with files.writing(path):
        files.write_table(path, [*axes, *done[0][2]], rows)
