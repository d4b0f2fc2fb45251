"""The libraries that run the network: TensorFlow, or a faster engine on the CPU.

All give the same picture up to a grey level or so. TensorFlow takes a GPU where there is one.
OpenVINO and ONNX Runtime are optional packages that start in a fraction of a second: they load
neither TensorFlow nor Keras.
"""

import os
import shutil
import sys

import numpy as np

from fst import packages
from fst.console.quiet import NVIDIA_DRIVER
from fst.errors import UserError, first_line
from fst.stylize.forward import arrange

PACKAGES = {
    "tensorflow": ("tensorflow",),
    "openvino": ("openvino", "onnx"),
    "onnxruntime": ("onnxruntime", "onnx"),
}
"""Which packages each engine needs."""

BYTES_PER_PIXEL = {"tensorflow": 450, "openvino": 400, "onnxruntime": 1200}
"""About how much memory each takes for a pixel of a picture, at width 32."""

_PRECISIONS = {"float32": "f32", "bfloat16": "bf16"}  # and what OpenVINO calls them

_ON_CPU = ("openvino", "onnxruntime", "tensorflow")  # The fastest first.


def choose(name="auto", precision="float32"):
    """The engine that is meant.

    Args:
        name: one of `PACKAGES`, or `"auto"`: TensorFlow where there is an NVIDIA GPU, else the
            fastest engine that is installed.
        precision: `"float32"` or `"bfloat16"`, which OpenVINO alone offers.

    Returns:
        One of `PACKAGES`.

    Raises:
        UserError: there is no such engine or precision, its packages are not installed, or it does
            not offer the precision.
    """
    if name not in ("auto", *PACKAGES):
        raise UserError(f"‹engine› is one of auto, {', '.join(PACKAGES)}, not '{name}'")
    if precision not in _PRECISIONS:
        raise UserError(f"‹precision› is one of {', '.join(_PRECISIONS)}, not '{precision}'")
    if name == "auto":
        name = "openvino" if precision == "bfloat16" else _fastest()
    if missing := packages.missing(*PACKAGES[name]):
        raise UserError(
            f"‹engine› {name} needs {' and '.join(missing)}: pip install {' '.join(missing)}, "
            "or use ‹engine› tensorflow"
        )
    if precision != "float32" and name != "openvino":
        raise UserError(f"‹precision› {precision} is offered by ‹engine› openvino, not by {name}")
    return name


def load(name, weights, precision="float32"):
    """Makes an engine ready.

    Args:
        name: what `choose` returned.
        weights: the trained weights (`fst.checkpoint.Checkpoint.read_weights`).
        precision: `"float32"` or `"bfloat16"`, as `choose` took it.

    Returns:
        A function from a picture, float32 `[H, W, 3]` RGB in 0-255 of any size, to the stylised
        one, of the same shape and range. It raises a `MemoryError` if that does not fit in memory.

    Raises:
        UserError: the engine's packages cannot be imported.
    """
    arranged = arrange(weights)
    if name == "tensorflow":
        run = _tensorflow(arranged)
        return lambda image: run(image, arranged.norms)
    return _of_onnx(name, precision, arranged)


def load_for_all(name, weights, precision="float32"):
    """Makes an engine ready once for all styles of a gallery, and for every blend of them.

    Args:
        name: what `choose` returned.
        weights: of any of the gallery's styles, as for `load`.
        precision: as for `load`.

    Returns:
        A function as `load` gives, which after the picture takes a style's scales and shifts,
        `fst.stylize.forward.Arranged.norms`.
    """
    arranged = arrange(weights)
    if name == "tensorflow":
        return _tensorflow(arranged)
    run = _of_onnx(name, precision, arranged, norms_as_inputs=True)
    return lambda image, norms: run(image, _named(norms))


def _tensorflow(arranged):
    import tensorflow as tf

    from fst.stylize import forward_tensorflow

    constants = forward_tensorflow.as_constants(arranged)
    norms = tf.nest.map_structure(lambda array: tf.TensorSpec(array.shape), arranged.norms)

    # Free height and width: traced once, and not again for every size of photo.
    @tf.function(autograph=False, input_signature=[tf.TensorSpec([1, None, None, 3]), norms])
    def stylise(batch, norms):
        return forward_tensorflow.stylise(constants._replace(norms=norms), batch)

    def run(image, norms):
        try:
            return stylise(tf.constant(image[None]), norms)[0].numpy()
        except tf.errors.ResourceExhaustedError:
            raise MemoryError from None

    return run


def _of_onnx(name, precision, arranged, norms_as_inputs=False):
    """A function from a picture, and what else the model takes by its name, to the stylised one."""
    try:
        from fst.stylize import forward_onnx

        model = forward_onnx.build(arranged, "float32", norms_as_inputs).SerializeToString()
        run = _openvino(model, precision) if name == "openvino" else _onnxruntime(model)
    except ImportError as error:  # Installed, but not usable: for another system, or incomplete.
        raise UserError(
            f"‹engine› {name} cannot be loaded ({first_line(error)}); use ‹engine› tensorflow"
        ) from error

    def run_one(image, others=None):
        return within_memory(lambda whole: run({"image": whole[None], **(others or {})}), image)

    return run_one


def _named(norms):
    """Scales and shifts by the names that `fst.stylize.forward_onnx` gives them as inputs."""
    return {
        f"{layer}_{kind}": array
        for layer, pair in norms.items()
        for kind, array in zip(("scale", "shift"), pair, strict=True)
    }


def _openvino(model, precision):
    # OpenVINO reports its import to Google Analytics and keeps a user number in the home folder,
    # unless this package of its is missing. Nobody was asked.
    sys.modules.setdefault("openvino_telemetry", None)
    import openvino

    core = openvino.Core()
    hints = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": _PRECISIONS[precision],
    }
    compiled = core.compile_model(core.read_model(model), "CPU", hints)
    return lambda inputs: compiled(inputs)[0][0]


def _onnxruntime(model):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.enable_mem_pattern = False  # It would keep as much again for each new size of picture.
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda inputs: session.run(None, inputs)[0][0]


def within_memory(run, image):
    """What `run(image)` returns; an engine's words for too little memory become a MemoryError."""
    try:
        return run(np.ascontiguousarray(image))
    except Exception as error:  # Each engine has classes of its own, and none for this.
        if "alloc" in str(error).lower():
            raise MemoryError from None
        raise


def _fastest():
    if os.path.exists(NVIDIA_DRIVER) or shutil.which("nvidia-smi"):
        return "tensorflow"
    return next(name for name in _ON_CPU if not packages.missing(*PACKAGES[name]))
