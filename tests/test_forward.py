"""The forward pass as it is arranged for speed is the network's own."""

import os

import conftest
import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT, draw_photo, random_network, weights_of
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import fst
from fst import packages
from fst.checkpoint import Checkpoint
from fst.errors import UserError
from fst.models.architecture import layers
from fst.stylize import engines, forward_tensorflow
from fst.stylize.forward import arrange, stored

pytestmark = pytest.mark.slow

ENGINES = ("tensorflow", "openvino", "onnxruntime")


@pytest.fixture(scope="module")
def network():
    return random_network(4, seed=5)


@pytest.fixture(scope="module")
def run(network):
    """A function that runs each engine by its name."""
    weights = weights_of(network)
    return {name: engines.load(name, weights) for name in ENGINES}


def exact(network, image):
    return network(image[None].astype(np.float32))[0].numpy()


def test_shapes_are_the_networks(network):
    found = {
        layer.name.removesuffix("_conv"): tuple(layer.kernel.shape)
        for layer in network.layers
        if isinstance(layer, keras.layers.Conv2D)
    }
    assert {layer.name: layer.shape for layer in layers(4)} == found


@settings(max_examples=12)
@given(height=st.integers(16, 90), width=st.integers(16, 90))
def test_every_engine_makes_the_networks_picture(network, run, height, width):
    image = draw_photo(height, height, width)
    wanted = exact(network, image)
    for engine in ENGINES:
        found = run[engine](image.astype(np.float32))
        assert (found.shape, found.dtype) == (image.shape, np.float32)
        np.testing.assert_allclose(found, wanted, atol=0.1, err_msg=engine)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("size", [(1, 1), (3, 40), (40, 3), (15, 15)])
def test_smaller_pictures_are_mirrored_first(network, run, engine, size):
    image = draw_photo(9, *size)
    pad = [(0, max(0, 16 - side)) for side in size]
    large = np.pad(image, [*pad, (0, 0)], mode="symmetric")
    found = run[engine](image.astype(np.float32))
    assert found.shape == image.shape
    # One px alone is flat: normalising nothing but rounding errors makes them visible.
    atol = 1.0 if size == (1, 1) else 0.1
    np.testing.assert_allclose(found, exact(network, large)[: size[0], : size[1]], atol=atol)


def test_plain_arithmetic_is_the_fused_operation(network):
    arranged = arrange(weights_of(network))
    image = draw_photo(2, 37, 50).astype(np.float32)[None]
    fused, plain = (forward_tensorflow.stylise(arranged, image, fused) for fused in (True, False))
    np.testing.assert_allclose(fused, plain, atol=0.05)


@pytest.mark.parametrize("rows", [1, 4])
def test_borders(rows):
    x = np.random.default_rng(0).normal(size=(1, 6, 7, 2)).astype(np.float32)
    pad = [(0, 0), (rows, rows), (rows, rows), (0, 0)]
    np.testing.assert_array_equal(forward_tensorflow.mirrored(x, rows), np.pad(x, pad, "reflect"))
    if rows == 1:
        np.testing.assert_array_equal(forward_tensorflow.bordered(x), np.pad(x, pad, "edge"))


def test_half_precision_only_where_it_loses_nothing():
    half = np.float32([0.5, 0.333]).astype(np.float16).astype(np.float32)
    assert stored(half).dtype == np.float16
    assert stored(half * np.float32(1.0001)).dtype == np.float32


# --- The choice of an engine ---------------------------------------------------------------------


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Sets which packages are installed, and whether there is a GPU."""

    def make(*there, gpu=False):
        monkeypatch.setattr(packages, "find_spec", lambda name: name in there or None)
        monkeypatch.setattr(engines, "NVIDIA_DRIVER", str(tmp_path / "none"))
        monkeypatch.setenv("PATH", str(tmp_path))
        if gpu:
            (tmp_path / "nvidia-smi").touch(mode=0o700)

    return make


def test_auto_is_the_fastest_that_is_there(machine):
    machine("tensorflow", "onnx", "onnxruntime", "openvino")
    assert engines.choose() == "openvino"
    machine("tensorflow", "onnx", "onnxruntime")
    assert engines.choose() == "onnxruntime"
    machine("tensorflow", "openvino")  # Without onnx neither of the others can be built.
    assert engines.choose() == "tensorflow"


def test_auto_leaves_a_gpu_to_tensorflow(machine):
    machine("tensorflow", "onnx", "openvino", gpu=True)
    assert engines.choose() == "tensorflow"
    assert engines.choose("openvino") == "openvino"


def test_a_missing_package_is_named(machine):
    machine("tensorflow", "onnx")
    with pytest.raises(UserError, match="engine openvino needs openvino: pip install openvino"):
        engines.choose("openvino")
    machine("tensorflow")
    with pytest.raises(UserError, match="pip install onnxruntime onnx"):
        engines.choose("onnxruntime")
    with pytest.raises(UserError, match="engine openvino needs openvino and onnx"):
        engines.choose("auto", "bfloat16")


def test_openvino_reports_to_nobody(tmp_path):
    """Its own telemetry would leave a folder in the home folder, and here find no network."""
    Image.fromarray(draw_photo(1)).save(tmp_path / "photo.png")
    command = ("infer.py", "udnie", tmp_path / "photo.png", "-o", tmp_path / "out.png")
    home = tmp_path / "home"
    home.mkdir()
    environment = {**os.environ, "HOME": str(home)}
    done = conftest.run(*command, "--engine", "openvino", env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert not list(home.glob("intel*"))


@pytest.mark.slow
def test_a_library_leaves_the_error_stream_of_its_host_alone(styles):
    """Even where strips load TensorFlow after all; only a command keeps its remarks off."""
    code = (
        "import os, sys, numpy as np, fst\n"
        "os.dup2 = lambda *_: sys.exit('redirected')\n"
        "stylise = fst.load(sys.argv[1], engine='openvino')\n"
        "assert stylise(np.eye(24, dtype=np.uint8)[..., None].repeat(3, 2), tile=16).size\n"
        "assert 'tensorflow' in sys.modules"
    )
    done = conftest.run("-c", code, styles / "waves")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"engine": "torch"}, "--engine is one of auto, tensorflow, openvino, onnxruntime, not 't"),
        ({"engine": "TensorFlow"}, "not 'TensorFlow'"),
        ({"engine": ""}, "not ''"),
        ({"engine": None}, "not 'None'"),
        ({"precision": "float16"}, "--precision is one of float32, bfloat16, not 'float16'"),
        ({"engine": "openvino", "precision": "int8"}, "not 'int8'"),
        ({"engine": "tensorflow", "precision": "bfloat16"}, "is offered by --engine openvino"),
    ],
)
def test_what_is_no_engine_is_one_line(options, told):
    with pytest.raises(UserError) as error:
        fst.load("udnie", str(ROOT / "checkpoints"), **options)
    assert told in error.value.for_command_line()
    assert "\n" not in str(error.value)


def test_bfloat16_is_openvinos(machine):
    machine("tensorflow", "onnx", "openvino", gpu=True)
    assert engines.choose("auto", "bfloat16") == "openvino"
    with pytest.raises(UserError, match="precision bfloat16 is offered by engine openvino"):
        engines.choose("tensorflow", "bfloat16")


def test_bfloat16_is_close(network):
    image = draw_photo(3, 64, 80)
    run = engines.load("openvino", weights_of(network), "bfloat16")
    error = np.abs(run(image.astype(np.float32)) - exact(network, image))
    assert error.mean() < 3  # Nothing in this network was trained to be smooth.


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_too_large_for_the_engine_is_a_memory_error(engine, run):
    def failing(message):
        def call(_):
            raise RuntimeError(message)

        return call

    image = np.zeros((16, 16, 3), np.float32)
    with pytest.raises(MemoryError):
        engines.within_memory(failing("Failed to allocate memory"), image)
    with pytest.raises(RuntimeError, match="shape"):
        engines.within_memory(failing("wrong shape"), image)


def test_tensorflows_own_lack_of_memory_is_a_memory_error(network, monkeypatch):
    def exhausted(_):
        raise MemoryError  # TensorFlow makes a ResourceExhaustedError of it.

    monkeypatch.setattr(
        forward_tensorflow, "stylise", lambda _, x: tf.numpy_function(exhausted, [x], x.dtype)
    )
    run = engines.load("tensorflow", weights_of(network))
    with pytest.raises(MemoryError):
        run(np.zeros((16, 16, 3), np.float32))


# --- The weights as arrays -----------------------------------------------------------------------


@pytest.fixture
def trained(network, tmp_path):
    style = Checkpoint(tmp_path / "random")
    style.write_weights(network)
    style.write_card({"name": "random", "config": {"width": 4}})
    return style


def test_weights_are_read_without_keras(network, trained):
    found, wanted = trained.read_weights(), weights_of(trained.read_network())
    assert found.keys() == wanted.keys()
    for name, arrays in wanted.items():
        for one, other in zip(found[name], arrays, strict=True):
            assert one.dtype == np.float32
            np.testing.assert_array_equal(one, other)


def test_weights_of_another_width_are_refused(trained):
    trained.write_card({"name": "random", "config": {"width": 8}})
    with pytest.raises(UserError, match=r"network.weights.h5: cannot be loaded \(layer down1_conv"):
        trained.read_weights()


def test_damaged_weights_are_refused_in_one_line(trained):
    import h5py

    with h5py.File(trained.weights_path, "r+") as file:
        file["layers/conv2d_3/vars/0"][0, 0, 0, 0] = np.nan
    with pytest.raises(UserError, match="layer residual1_a_conv holds values that are not finite"):
        trained.read_weights()
    whole = trained.weights_path.read_bytes()
    trained.weights_path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"network.weights.h5: cannot be loaded") as error:
        trained.read_weights()
    assert "\n" not in str(error.value)
    trained.weights_path.unlink()
    with pytest.raises(UserError, match="is missing; has the training finished"):
        trained.read_weights()
