"""A trained style for other programs: as SavedModel, as ONNX model, as LiteRT model.

python -m fst.export CHECKPOINT [--format saved_model|onnx|litert] [-o OUTPUT] [--size HEIGHT WIDTH]

Each takes `image`, uint8 `[B, H, W, 3]` RGB, and gives `stylized` of the same shape. The SavedModel
and the ONNX model take every size, the LiteRT model the one it is made for. All arithmetic
is in float32, with the numbers of `network.weights.h5`.
"""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import tyro

from fst import checkpoint, cli, errors, files, packages, quiet, unused
from fst.architecture import MIN_SIZE
from fst.errors import UserError
from fst.forward import arrange

_PLACES = {"saved_model": "saved_model", "onnx": "stylizer.onnx", "litert": "stylizer.tflite"}
_MAX_SIDE = 16384


@dataclasses.dataclass(frozen=True)
class ExportConfig:
    """Writes a trained style in a format for other programs."""

    checkpoint: tyro.conf.Positional[str]
    """A name under --checkpoints, or the path of a style's folder."""

    format: Literal["saved_model", "onnx", "litert"] = "saved_model"
    """saved_model for TensorFlow and TensorFlow Serving, onnx for ONNX Runtime, OpenVINO and
    others, litert for LiteRT on phones and small computers."""

    output: Annotated[str, tyro.conf.arg(aliases=["-o"])] = ""
    """File or folder to write (default: in the style's folder, by the name of the format)."""

    size: tuple[int, int] = (512, 512)
    """Height and width in px that a LiteRT model is made for; the others take every size."""

    checkpoints: str = checkpoint.ROOT
    """Folder that holds the trained styles."""

    def __post_init__(self):
        if not all(MIN_SIZE <= side <= _MAX_SIDE for side in self.size):
            raise UserError(
                f"--size {self.size[0]} {self.size[1]}: height and width are from {MIN_SIZE} to "
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
    import tensorflow as tf

    from fst.forward_tensorflow import servable

    module, signatures = servable(arrange(weights))
    with files.atomic_path(folder) as path:
        tf.saved_model.save(module, path, signatures=signatures)


def export_onnx(weights, file):
    """Writes an ONNX model; `image` and `stylized` are uint8 `[batch, height, width, 3]`.

    Args:
        weights: the trained weights (`fst.checkpoint.Checkpoint.read_weights`).
        file: the file to write.

    Raises:
        UserError: the package onnx is not installed.
    """
    packages.need("onnx", "--format onnx")
    from fst import forward_onnx

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

    from fst.forward_tensorflow import fixed_size

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
    style = checkpoint.find(config.checkpoint, config.checkpoints)
    if config.format == "onnx":
        packages.need("onnx", "--format onnx")
    place = Path(config.output) if config.output else style.folder / _PLACES[config.format]
    folder = config.format == "saved_model"
    _check_place(place, folder)
    if folder:
        files.check_utf8(place, "--output")
    files.check_writable(place, "--output", folder=folder)
    weights = style.read_weights()
    if config.format == "saved_model":
        export_saved_model(weights, place)
    elif config.format == "onnx":
        export_onnx(weights, place)
    else:
        export_litert(weights, place, *config.size)
    return place


def _check_place(place, folder):
    """Raises a UserError rather than to replace what is no export."""
    if folder:
        ours = (place / "saved_model.pb").is_file()
        if place.exists() and not ours and not (place.is_dir() and not any(place.iterdir())):
            raise UserError(f"--output {place}: is there and is no SavedModel; name a new folder")
    elif place.is_dir():
        raise UserError(f"--output {place}: is a folder; name a file")


def main():
    config = cli.parse(ExportConfig, "python -m fst.export")
    unused.tell(unused.in_export(config))
    if config.format != "onnx":  # For which TensorFlow is not loaded.
        quiet.quiet_tensorflow()
    print(f"wrote {export(config)}")


if __name__ == "__main__":
    errors.run(main)
