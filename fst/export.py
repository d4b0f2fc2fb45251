"""A trained style, or a gallery, for other programs: as SavedModel, ONNX model, LiteRT model.

python -m fst.export CHECKPOINT [--format saved_model|onnx|litert] [-o OUTPUT] [--size HEIGHT WIDTH]

Each takes `image`, uint8 `[B, H, W, 3]` RGB, and gives `stylized` of the same shape. The SavedModel
and the ONNX model take every size, the LiteRT model the one it is made for. The SavedModel of
a gallery holds all its styles, and takes `style` as well. All arithmetic is in float32, with the
numbers of `network.weights.h5`.
"""

import contextlib
import dataclasses
import os
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro

from fst import collection, errors, files, packages
from fst.config import StylesConfig
from fst.console import cli, quiet, unused
from fst.errors import UserError
from fst.models import weights_file
from fst.models.architecture import MIN_SIZE
from fst.options import REQUIRED, check_choices, shown_as
from fst.stylize.forward import arrange

_PLACES = {"saved_model": "saved_model", "onnx": "stylizer.onnx", "litert": "stylizer.tflite"}
_MAX_SIDE = 16384

UNUSED = (
    unused.Rule(
        "size",
        lambda c: c.format == "litert",
        "it is for --format litert, the others take every size",
    ),
)


@dataclasses.dataclass(frozen=True)
class ExportConfig:
    """Writes a trained style in a format for other programs."""

    checkpoint: tyro.conf.Positional[Annotated[str, shown_as("CHECKPOINT", REQUIRED)]]
    """A name that infer.py --list shows, the path of a style's folder, or a blend, such as
    great_wave=0.7,udnie=0.3. A gallery's own name or folder gives one SavedModel of all its
    styles."""

    format: Literal["saved_model", "onnx", "litert"] = "saved_model"
    """saved_model for TensorFlow and TensorFlow Serving, onnx for ONNX Runtime, OpenVINO and
    others, litert for LiteRT on phones and small computers."""

    output: Annotated[str, shown_as("OUTPUT", aliases=("-o",))] = ""
    """File or folder to write (default: by the name of the format, in the folder of the style or
    gallery; for one style of a gallery in a folder exports/NAME there)."""

    size: tuple[int, int] = (512, 512)
    """Height and width in px that a LiteRT model is made for; the others take every size."""

    checkpoints: Annotated[str, shown_as("FOLDER")] = StylesConfig.checkpoints
    """Folder that holds the trained styles."""

    def __post_init__(self):
        check_choices(self)
        if not all(MIN_SIZE <= side <= _MAX_SIDE for side in self.size):
            raise UserError(
                f"‹size› {self.size[0]} {self.size[1]}: height and width are from {MIN_SIZE} to "
                f"{_MAX_SIDE} px"
            )


def export_saved_model(weights, folder):
    """Writes a SavedModel that TensorFlow and TensorFlow Serving load as it is.

    Its signatures take `image` and give `stylized`, both `[B, H, W, 3]` RGB of any `B`, `H`
    and `W`: `serving_default` in uint8, `float` in float32 0-255. The pictures of a batch are
    computed one after the other, as each of them has statistics of its own.

    Args:
        weights: the trained weights (`fst.checkpoint.Checkpoint.read_weights`).
        folder: the folder to write; one that is there is replaced once the new one is whole.
    """
    from fst.stylize.forward_tensorflow import servable

    _save(*servable(arrange(weights)), folder)


def export_gallery(weights, names, folder):
    """Writes a SavedModel of all styles of a gallery, which TensorFlow loads as it is.

    Its signatures take `image` and give `stylized`, both `[B, H, W, 3]` RGB of any `B`, `H` and
    `W`. `serving_default` in uint8 and `float` in float32 0-255 take also `style`, float32
    `[B, styles]`: how much of each style every picture takes, whatever the sum. `names`, in uint8,
    takes as `style` the style's name for each picture, string `[B]`. `styles` takes nothing and
    gives `names`, string `[styles]`, in the order of the weights.

    Args:
        weights: of all styles (`fst.checkpoint.Checkpoint.read_all_weights`).
        names: of the styles, in the same order.
        folder: the folder to write; one that is there is replaced once the new one is whole.

    Raises:
        ValueError: there are more or fewer names than styles.
    """
    from fst.stylize.forward_tensorflow import servable_gallery

    styles = weights_file.count_styles(weights)
    if len(names) != styles:
        raise ValueError(f"the weights hold {styles} styles, and there are {len(names)} names")
    arranged = arrange(weights)
    tables = {
        layer: tuple(map(np.atleast_2d, norm)) for layer, norm in arranged.norms.items()
    }  # A folder with one style has none.
    _save(*servable_gallery(arranged._replace(norms=tables), list(names)), folder)


def _save(module, signatures, folder):
    import tensorflow as tf

    with files.atomic_path(folder) as path:
        tf.saved_model.save(module, path, signatures=signatures)


def export_styles(weights, names, folder):
    """Writes the SavedModel of a trained network, of one style or of several.

    Args:
        weights: of all styles (`fst.checkpoint.Checkpoint.read_all_weights`).
        names: of the styles, in the network's order.
        folder: the folder to write.
    """
    if weights_file.is_gallery(weights):
        export_gallery(weights, names, folder)
    else:
        export_saved_model(weights, folder)


def export_onnx(weights, file):
    """Writes an ONNX model; `image` and `stylized` are uint8 `[batch, height, width, 3]`.

    Args:
        weights: the trained weights (`fst.checkpoint.Checkpoint.read_weights`).
        file: the file to write.

    Raises:
        UserError: the package onnx is not installed.
    """
    packages.need("onnx", "‹format› onnx")
    from fst.stylize import forward_onnx

    model = forward_onnx.build(arrange(weights))
    with files.atomic_path(file) as path:
        path.write_bytes(model.SerializeToString())


def export_litert(weights, file, height, width):
    """Writes a LiteRT (TensorFlow Lite) model for pictures of one size.

    Its signature `serving_default` takes `image` and gives `stylized`, uint8
    `[1, height, width, 3]`. It holds LiteRT's own operations only.

    Args:
        weights: the trained weights (`fst.checkpoint.Checkpoint.read_weights`).
        file: the file to write.
        height: of the pictures, px.
        width: of the pictures, px.
    """
    import tensorflow as tf

    from fst.stylize.forward_tensorflow import fixed_size

    module = tf.Module()  # Whatever holds the function: without it the model has no signature.
    module.stylise = fixed_size(arrange(weights), height, width)
    concrete = module.stylise.get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], module)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]
    model = converter.convert()
    with files.atomic_path(file) as path:
        path.write_bytes(model)


def export(config):
    """Writes what an `ExportConfig` asks for; returns its path."""
    if config.format == "onnx":
        packages.need("onnx", "‹format› onnx")
    trained = _wanted(config)
    place = Path(config.output) if config.output else _place(trained, config.format)
    folder = config.format == "saved_model"
    with files.writing(f"‹output› {place}", "name another"):
        _check_place(place, folder)
    if folder:
        files.check_utf8(place, "‹output›")
    files.check_writable(place, "‹output›", folder=folder)
    with files.writing(f"‹output› {place}", "make room, or name another", also=_failures(config)):
        _write(config, trained, place)
    return place


def _failures(config):
    """What TensorFlow raises where it cannot write, if it is used at all."""
    if config.format != "saved_model":
        return []
    import tensorflow as tf

    return [tf.errors.OpError]


def _write(config, trained, place):
    if trained.is_gallery():
        names = [style["name"] for style in trained.styles()]
        export_gallery(trained.read_all_weights(), names, place)
    elif config.format == "saved_model":
        export_saved_model(trained.read_weights(), place)
    elif config.format == "onnx":
        export_onnx(trained.read_weights(), place)
    else:
        export_litert(trained.read_weights(), place, *config.size)


def _wanted(config):
    """The checkpoint that is meant; for a SavedModel that may be a gallery as such."""
    if config.format == "saved_model":
        with contextlib.suppress(UserError):
            return collection.find_folder(config.checkpoint, config.checkpoints)
    return collection.find(config.checkpoint, config.checkpoints)


def _place(trained, kind):
    """Where an export goes if nothing is said: a gallery's styles each have a folder of theirs."""
    home = trained.folder
    if collection.is_shipped(trained):  # Which may be where only the system's owner writes.
        home = Path(collection.ROOT) / home.name
    single = trained.style_weights is not None
    folder = home / "exports" / trained.name if single else home
    return folder / _PLACES[kind]


def _check_place(place, folder):
    """Raises a UserError rather than to replace what is no export."""
    if folder:
        if os.path.exists(place) and os.path.samefile(place, os.curdir):
            raise UserError(f"‹output› {place}: is the folder you are in; name a new folder")
        ours = os.path.isfile(place / "saved_model.pb")
        empty = os.path.isdir(place) and not any(place.iterdir())
        if os.path.exists(place) and not ours and not empty:
            raise UserError(f"‹output› {place}: is there and is no SavedModel; name a new folder")
    elif os.path.isdir(place):
        raise UserError(f"‹output› {place}: is a folder; name a file")


def in_export(config):
    """Notes, a line each, on the options of an `ExportConfig` that have no effect."""
    return unused.notes_on([config], config, UNUSED, unused.defaults_of(ExportConfig))


def main(program="python -m fst.export"):
    """Runs the command, called `program` in its help; returns its exit code."""
    config = cli.parse(ExportConfig, program)
    unused.tell(in_export(config))
    if config.format != "onnx":  # For which TensorFlow is not loaded.
        quiet.quiet_tensorflow()
    print(f"wrote {export(config)}")


if __name__ == "__main__":
    errors.run(main)
