"""The network: any size in and out, its arithmetic, its layers, saving, gradients."""

import ast
import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT, run
from keras import layers, ops

from fst.models import convolution, normalization
from fst.models import network as network_module
from fst.models.network import (
    STRIDE,
    BoundedPixels,
    CropLike,
    PadToStride,
    ReflectionPadding2D,
    ToUnit,
    build_network,
    fold,
)
from fst.models.normalization import ConditionalNormalization

POLICIES = ("float32", "mixed_bfloat16", "mixed_float16")
RESIDUES = [(height, width) for height in range(16, 20) for width in range(16, 20)]


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(7)
    return build_network(8)


def pictures(*shape, seed=0):
    return np.random.default_rng(seed).uniform(0, 255, (*shape, 3)).astype(np.float32)


def call(network, image):
    return ops.convert_to_numpy(network(image))


# --- Shapes and numbers --------------------------------------------------------------------------


def test_parameters():
    assert build_network().count_params() == 1_679_235  # The number that the docstring gives.


def test_interface(network):
    assert network.input_shape == (None, None, None, 3)
    assert network.output_shape == (None, None, None, 3)
    assert network.output.dtype == "float32"


@pytest.mark.parametrize("size", [(23, 16), (37, 64), (97, 131)])
def test_output_has_exactly_the_inputs_size(network, size):
    assert call(network, pictures(1, *size)).shape == (1, *size, 3)


@pytest.mark.parametrize("size", RESIDUES)
def test_odd_sizes_are_mirrored_and_cropped(network, size):
    image = pictures(1, *size)
    pad = [(0, 0), *((0, -side % STRIDE) for side in size), (0, 0)]
    whole = call(network, np.pad(image, pad, mode="reflect"))
    found = call(network, image)
    assert found.shape == (1, *size, 3)
    np.testing.assert_allclose(found, whole[:, : size[0], : size[1]], atol=1e-3, rtol=0)


@pytest.mark.slow
def test_one_graph_serves_every_size_and_batch(network):
    traces = []

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3])])
    def stylise(image):
        traces.append(image.shape)
        return network(image)

    for shape in ((1, 16, 16), (3, 17, 30), (2, 41, 22)):
        image = pictures(*shape)
        found = stylise(image).numpy()
        assert found.shape == image.shape
        np.testing.assert_allclose(found, call(network, image), atol=1e-2, rtol=0)
    assert len(traces) == 1


def test_pictures_of_a_batch_do_not_touch_each_other(network):
    batch = pictures(3, 20, 24)
    alone = np.concatenate([call(network, batch[i : i + 1]) for i in range(3)])
    np.testing.assert_allclose(call(network, batch), alone, atol=1e-2, rtol=0)


@pytest.mark.parametrize("policy", POLICIES)
def test_output_is_float32_within_0_to_255(policy):
    keras.utils.set_random_seed(7)
    network = build_network(8, dtype=policy)
    assert network.get_layer("residual1_a_conv").compute_dtype == policy.removeprefix("mixed_")
    assert {weight.dtype for weight in network.weights} == {"float32"}
    # Weights as large as these drive the last layer to both of its ends.
    last = network.get_layer("rgb_conv")
    last.set_weights([1e3 * weight for weight in last.get_weights()])
    extremes = np.zeros((3, 17, 18, 3), np.float32)
    extremes[1] = 255
    extremes[2] = pictures(17, 18)
    found = call(network, extremes)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert found.min() >= 0
    assert found.max() <= 255
    assert np.ptp(found) > 250


@pytest.mark.parametrize("policy", POLICIES[1:])
def test_half_precision_paints_nearly_the_same_picture(network, policy):
    half = build_network(8, dtype=policy)
    half.set_weights(network.get_weights())
    image = pictures(1, 32, 32)
    assert np.abs(call(half, image) - call(network, image)).mean() < 1.0  # Grey levels.


def test_policy_stays_inside():
    before = keras.config.dtype_policy().name
    build_network(4, dtype="mixed_bfloat16")
    assert keras.config.dtype_policy().name == before


def test_first_pictures_are_grey():
    # What training starts from: nothing near the ends, where gradients are small.
    keras.utils.set_random_seed(1)
    found = call(build_network(), pictures(1, 64, 64))
    assert 40 < found.min() < found.max() < 215


def test_width_scales_the_channels():
    assert [build_network(w).get_layer("residual1_a_conv").filters for w in (4, 16)] == [16, 64]


@pytest.mark.parametrize("width", [0, -3])
def test_width_must_be_positive(width):
    with pytest.raises(ValueError, match="width"):
        build_network(width)


# --- Layers --------------------------------------------------------------------------------------


def test_no_zeros_are_padded_and_nothing_is_transposed(network):
    kinds = {type(layer) for layer in network.layers}
    assert not kinds & {layers.Conv2DTranspose, layers.ZeroPadding2D}
    convolutions = [layer for layer in network.layers if isinstance(layer, layers.Conv2D)]
    assert len(convolutions) == 16
    assert {layer.padding for layer in convolutions} == {"valid"}


def test_every_normalisation_is_over_single_channels(network):
    norms = [n for n in network.layers if isinstance(n, layers.GroupNormalization)]
    assert len(norms) == 15
    for norm in norms:
        assert norm.groups in (-1, norm.gamma.shape[0])
        assert norm.epsilon == pytest.approx(1e-5)
        assert norm.scale
        assert norm.center


@pytest.mark.parametrize("padding", [1, 4])
@pytest.mark.parametrize("size", [(5, 6), (9, 7)])
def test_reflection_is_numpys(padding, size):
    image = pictures(2, *size)
    layer = ReflectionPadding2D(padding)
    wanted = np.pad(image, [(0, 0), (padding,) * 2, (padding,) * 2, (0, 0)], mode="reflect")
    np.testing.assert_array_equal(call(layer, image), wanted)
    assert layer.compute_output_shape(image.shape) == wanted.shape
    assert layer.compute_output_shape((None, None, 6, 3)) == (None, None, 6 + 2 * padding, 3)


@pytest.mark.parametrize("size", RESIDUES)
def test_pad_to_stride_is_numpys(size):
    image = pictures(1, *size)
    layer = PadToStride()
    wanted = np.pad(image, [(0, 0), *((0, -s % STRIDE) for s in size), (0, 0)], mode="reflect")
    np.testing.assert_array_equal(call(layer, image), wanted)
    assert layer.compute_output_shape(image.shape) == wanted.shape
    assert layer.compute_output_shape((None, None, None, 3)) == (None, None, None, 3)


def test_bounded_pixels():
    layer = BoundedPixels()
    x = np.array([-6e4, -1.0, 0.0, 1.0, 6e4], np.float32)
    wanted = 127.5 * (1 + x / np.sqrt(1 + x.astype(np.float64) ** 2))
    np.testing.assert_allclose(call(layer, x), wanted, atol=1e-3)
    grid = np.linspace(-50, 50, 2001, dtype=np.float32)
    assert (np.diff(call(layer, grid)) > 0).all()


@pytest.mark.parametrize(
    "layer",
    [
        ReflectionPadding2D(3, name="a"),
        PadToStride(8, name="b"),
        CropLike(name="c"),
        ToUnit(name="d", dtype="mixed_bfloat16"),
        BoundedPixels(name="e"),
        ConditionalNormalization(3, name="f"),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_layer_config_mirrors_the_constructor(layer):
    config = layer.get_config()
    own = inspect.signature(type(layer)).parameters.values()
    assert {p.name for p in own if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)} <= set(config)
    assert type(layer).from_config(config).get_config() == config


def test_every_layer_of_ours_is_registered():
    registered = []
    for module in (network_module, convolution, normalization):
        for name, kind in vars(module).items():
            ours = inspect.isclass(kind) and kind.__module__ == module.__name__
            if ours and issubclass(kind, layers.Layer):
                assert keras.saving.get_registered_object(f"fst>{name}") is kind
                registered.append(name)
    assert {"ReflectionPadding2D", "Conv2D", "ConditionalNormalization"} < set(registered)


def test_without_norms_the_interior_moves_with_the_picture(network):
    """A shift by the stride shifts the output, wherever the borders are out of reach."""

    def without_norm(layer):
        if isinstance(layer, layers.GroupNormalization):  # It looks at the whole picture.
            return layers.Activation("linear", name=layer.name)
        return type(layer).from_config(layer.get_config())

    bare = keras.models.clone_model(network, clone_function=without_norm)
    reach = 56  # 4 + 1 + 2, then ten residual convolutions of 4 px each, 2 + 1 and 4; rounded up.
    scene = pictures(1, 2 * reach + 24, 2 * reach + 28)
    left, right = call(bare, scene[:, :, :-STRIDE]), call(bare, scene[:, :, STRIDE:])
    inside = slice(reach, reach + 16)
    one = left[:, inside, reach + STRIDE : reach + STRIDE + 16]
    other = right[:, inside, reach : reach + 16]
    assert one.std() > 1e-3
    np.testing.assert_allclose(one, other, atol=1e-3 * one.std() + 1e-4)


# --- Saving --------------------------------------------------------------------------------------


def test_keras_file_round_trip(network, tmp_path):
    image = pictures(1, 18, 21)
    network.save(tmp_path / "n.keras")
    loaded = keras.saving.load_model(tmp_path / "n.keras")
    np.testing.assert_array_equal(call(loaded, image), call(network, image))
    assert loaded.name == network.name
    assert [(type(n), n.name) for n in loaded.layers] == [(type(n), n.name) for n in network.layers]


@pytest.mark.slow
def test_keras_file_needs_the_source_but_only_that(network, tmp_path):
    """Its layers are ours, and Keras says which one it misses; the SavedModel needs nothing."""
    path = tmp_path / "n.keras"
    network.save(path)
    code = (
        f"import keras, sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "try: keras.saving.load_model(sys.argv[1])\n"
        "except TypeError as error: assert \"Could not locate class 'PadToStride'\" in str(error)\n"
        "else: raise SystemExit('it does without')\n"
        "import fst.models.network\n"
        "print(keras.saving.load_model(sys.argv[1]).count_params())"
    )
    done = run("-I", "-c", code, path)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == network.count_params()


def test_weights_round_trip(network, tmp_path):
    network.save_weights(tmp_path / "n.weights.h5")
    other = build_network(8)
    image = pictures(1, 19, 16)
    assert np.abs(call(other, image) - call(network, image)).max() > 1
    other.load_weights(tmp_path / "n.weights.h5")
    np.testing.assert_array_equal(call(other, image), call(network, image))


@pytest.mark.filterwarnings("ignore:Skipping nested container")
def test_weights_of_another_width_are_refused(network, tmp_path):
    network.save_weights(tmp_path / "n.weights.h5")
    with pytest.raises(ValueError, match="shape"):
        build_network(4).load_weights(tmp_path / "n.weights.h5")


# --- Gradients -----------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", POLICIES[:2])
def test_every_weight_that_should_move_gets_a_gradient(policy):
    keras.utils.set_random_seed(7)
    network = build_network(8, dtype=policy)
    image, direction = pictures(2, 32, 36), pictures(2, 32, 36, seed=1)
    with tf.GradientTape() as tape:
        objective = tf.reduce_mean(network(image, training=True) * direction)
    gradients = tape.gradient(objective, network.trainable_variables)
    assert len(gradients) == len(network.weights) == 62
    sizes = {
        variable.path: np.abs(gradient.numpy()).max()
        for variable, gradient in zip(network.trainable_variables, gradients, strict=True)
    }
    assert np.isfinite(list(sizes.values())).all()
    # A norm takes its input's mean away, and with it the bias of the convolution before.
    idle = {path for path in sizes if path.endswith("conv/bias")} - {"rgb_conv/bias"}
    assert len(idle) == 15
    assert min(size for path, size in sizes.items() if path not in idle) > 1e-6
    if policy == "float32":  # In half precision what rounding leaves is no longer small.
        for path in idle:
            assert sizes[path] < 1e-3 * sizes[path.replace("bias", "kernel")], path


# --- Backends ------------------------------------------------------------------------------------


@pytest.mark.parametrize("room", ["network", "perceptual", "precision"])
def test_room_names_no_backend(room):
    imported = set()
    for node in ast.walk(ast.parse((ROOT / "fst" / "models" / f"{room}.py").read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module.split(".")[0])
    assert "keras" in imported
    assert not imported & {"tensorflow", "tensorflow_datasets", "torch", "jax"}


# --- Many styles ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def conditional():
    """A network of three styles whose scales and shifts all differ."""
    keras.utils.set_random_seed(7)
    network = build_network(8, styles=3)
    random = np.random.default_rng(5)
    for layer in network.layers:
        if isinstance(layer, ConditionalNormalization):
            gamma, beta = (0.3 * random.normal(size=(3, layer.gamma.shape[1])) for _ in "gb")
            layer.set_weights([1 + gamma, beta])
    return network


def stylise(network, image, style):
    style = np.tile(np.float32(style), (len(image), 1))
    return ops.convert_to_numpy(network([image, style]))


def test_each_style_adds_only_its_scales_and_shifts():
    assert build_network(styles=5).count_params() == 1_679_235 + 4 * 3_200


@pytest.mark.parametrize("style", [(1, 0, 0), (0, 0, 1), (0.5, 0.5, 0), (0.2, 0.3, 0.5)])
def test_folded_network_paints_the_same(network, conditional, style):
    image = pictures(1, 37, 50)
    single = fold(conditional, style)
    assert single.count_params() == network.count_params()
    np.testing.assert_allclose(
        call(single, image), stylise(conditional, image, style), atol=0.05, rtol=0
    )


def test_a_blend_is_neither_of_its_styles(conditional):
    image = pictures(1, 32, 32)
    one, other = (stylise(conditional, image, s) for s in ((1, 0, 0), (0, 1, 0)))
    half = stylise(conditional, image, (0.5, 0.5, 0))
    assert min(np.abs(half - one).mean(), np.abs(half - other).mean()) > 1


def test_every_picture_of_a_batch_has_its_own_style(conditional):
    image = pictures(2, 24, 20)
    together = ops.convert_to_numpy(conditional([image, np.eye(3, dtype=np.float32)[:2]]))
    for index, style in enumerate(((1, 0, 0), (0, 1, 0))):
        alone = stylise(conditional, image[index : index + 1], style)
        np.testing.assert_allclose(together[index : index + 1], alone, atol=1e-2, rtol=0)


def test_conditional_normalisation_is_instance_normalisation_with_a_chosen_affine_part():
    layer = ConditionalNormalization(2)
    x = np.random.default_rng(1).normal(3, 2, (2, 5, 6, 4)).astype(np.float32)
    layer([x, np.eye(2, dtype=np.float32)])
    gamma, beta = np.arange(8.0).reshape(2, 4), np.arange(8.0, 16).reshape(2, 4)
    layer.set_weights([gamma, beta])
    shares = np.float32([[0.25, 0.75], [1, 0]])
    mean, std = x.mean((1, 2), keepdims=True), x.std((1, 2), keepdims=True)
    wanted = (x - mean) / std * (shares @ gamma)[:, None, None] + (shares @ beta)[:, None, None]
    np.testing.assert_allclose(layer([x, shares]), wanted, atol=1e-3)


def test_number_of_styles_must_be_positive_and_match(conditional):
    with pytest.raises(ValueError, match="styles must be at least 1"):
        build_network(4, styles=0)
    with pytest.raises(ValueError, match="holds 3 styles"):
        fold(conditional, [1, 0])


def test_conditional_network_round_trip(conditional, tmp_path):
    image = pictures(1, 18, 21)
    conditional.save(tmp_path / "n.keras")
    loaded = keras.saving.load_model(tmp_path / "n.keras")
    style = (0.1, 0.2, 0.7)
    np.testing.assert_array_equal(stylise(loaded, image, style), stylise(conditional, image, style))
