"""VGG19's network, its weights in the package, and the script that makes them."""

import socket
import time

import h5py
import keras
import numpy as np
import pytest
from conftest import ROOT
from tiny import tiny_options

import fst
from data import make_light_vgg19, make_vgg19
from fst.comparison.measure import CompareConfig
from fst.config import TrainingConfig
from fst.errors import UserError
from fst.gatys.options import GatysConfig, GatysOptions
from fst.loss_options import EMBEDDED, IMAGENET, LIGHT, default_vgg_weights
from fst.models import perceptual, vgg19
from fst.models.perceptual import CONTENT_LAYERS, STYLE_LAYERS, PerceptualLoss, load_vgg19


def picture(seed=0, size=32):
    return np.random.default_rng(seed).uniform(0, 255, (1, size, size, 3)).astype(np.float32)


@pytest.fixture(autouse=True)
def unnamed(request, monkeypatch):
    """No variable names weights, whatever machine the tests run on."""
    if "real_vgg" in request.fixturenames:
        request.getfixturevalue("real_vgg")
    monkeypatch.delenv("FST_VGG19_WEIGHTS", raising=False)


@pytest.fixture(scope="module")
def embedded():
    return load_vgg19(EMBEDDED)


# --- The network ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_it_is_the_network_of_keras(vgg_file):
    ours = vgg19.load_network(vgg_file)
    theirs = keras.applications.VGG19(include_top=False, weights=vgg_file)
    # Keras numbers its input layers.
    assert [layer.name for layer in ours.layers[1:]] == [layer.name for layer in theirs.layers[1:]]
    image = picture(size=64)
    np.testing.assert_array_equal(ours(image), theirs(image))
    assert np.std(ours(image)) > 0


def test_the_layout_of_the_download(vgg_file, tmp_path):
    """The file that Keras downloads is of an older layout than those that it writes now."""
    wanted = vgg19.load_network(vgg_file)
    with h5py.File(tmp_path / "old.h5", "w") as file:
        file.attrs["layer_names"] = [layer.name.encode() for layer in wanted.layers]
        for layer in wanted.layers:
            group = file.create_group(layer.name)
            names = [f"{layer.name}_{kind}_1:0" for kind in ("W", "b")[: len(layer.weights)]]
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, values in zip(names, layer.get_weights(), strict=True):
                group[name] = values
    found = vgg19.load_network(tmp_path / "old.h5")
    for one, other in zip(found.get_weights(), wanted.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_imagenet_is_the_file_that_keras_keeps(vgg_file, monkeypatch):
    asked = []

    def get_file(name, url, **options):
        asked.append((name, url, options["cache_subdir"]))
        return str(vgg_file)

    monkeypatch.setattr(keras.utils, "get_file", get_file)
    found = load_vgg19(IMAGENET)
    name = "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5"
    assert asked == [(name, vgg19.URL, "models")]
    assert vgg19.URL.endswith(f"/{name}")
    np.testing.assert_array_equal(
        found(picture(), ["relu2_1"])[0], load_vgg19(str(vgg_file))(picture(), ["relu2_1"])[0]
    )


# --- Those of the package ------------------------------------------------------------------------


def test_the_file_is_small():
    assert vgg19.EMBEDDED_PATH.stat().st_size < 6_500_000


def test_the_file_says_whose_weights_they_are():
    with np.load(vgg19.EMBEDDED_PATH) as file:
        about = str(file["about"])
    for text in (about, (ROOT / "NOTICE").read_text()):
        words = " ".join(text.split())
        for part in ("Simonyan", "Zisserman", "licenses/by/4.0", "conv4_2", "8 bits"):
            assert part in words


def test_they_are_those_of_the_layers_down_to_conv4_2(embedded):
    layers = vgg19.read_quantised(vgg19.EMBEDDED_PATH)
    assert list(layers) == list(vgg19.NAMES[:10])
    assert sum(kernel.size + bias.size for kernel, bias in layers.values()) == 5_865_536
    for name, (kernel, bias) in layers.items():
        assert kernel.dtype == bias.dtype == np.float32
        steps = np.abs(kernel).max(axis=(0, 1, 2)) / vgg19.TOP
        assert (steps > 0).all(), name
        found = embedded.network.get_layer(name).get_weights()
        np.testing.assert_array_equal(found[0], kernel)
        np.testing.assert_array_equal(found[1], bias)
    assert embedded.network.layers[-1].name == "block4_conv2"
    assert embedded.network.trainable_weights == []


def test_they_are_loaded_within_a_second():
    started = time.process_time()
    load_vgg19(EMBEDDED)
    assert time.process_time() - started < 2  # Half a second where nothing else is running.


def test_the_default_loss_needs_no_more(embedded):
    loss = PerceptualLoss(embedded, [picture(1)[0]])
    terms = loss(picture(2), loss.content_features(picture(3)))
    assert np.isfinite([float(term) for term in terms]).all()
    assert set(STYLE_LAYERS + CONTENT_LAYERS) == set(make_vgg19.LAYERS)


def test_their_features_are_those_of_the_real_ones(embedded, real_vgg):
    """Measured 1e-5 (docs/training.md); on photos that the rounding was not made for."""
    from skimage import data

    photos = [
        np.repeat(p[..., None], 3, -1) if p.ndim == 2 else p
        for p in (data.camera()[:256, :256], data.hubble_deep_field()[:256, :256])
    ]
    photos = [photo.astype(np.float32) for photo in photos]
    errors = make_vgg19.feature_errors(load_vgg19(real_vgg), embedded, photos)
    assert errors.shape == (2, 5)
    assert errors.max() < 1e-4
    assert errors.min() > 0


# --- The light network ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def light():
    return load_vgg19(LIGHT)


def arithmetic(network):
    """Products for each pixel of the picture, over all convolutions."""
    total = 0
    for layer in network.layers:
        if isinstance(layer, keras.layers.Conv2D):
            side = 2 ** (int(layer.name[5]) - 1)  # Each block has half the one before's.
            total += np.prod(layer.kernel.shape) / side**2
    return total


def test_the_light_network_has_the_layers_and_less_arithmetic(embedded, light):
    assert vgg19.LIGHT_PATH.stat().st_size < 2_000_000
    full, ours = embedded.network, light.network
    kept = [layer.name for layer in ours.layers if not layer.name.endswith("_narrow")]
    assert kept[1:] == [layer.name for layer in full.layers][1:]
    assert arithmetic(ours) < 0.4 * arithmetic(full)
    assert ours.trainable_weights == []


def test_the_light_networks_features_are_nearly_those_of_the_package(embedded, light):
    """Measured 0.003 for the Gram matrices and 0.02 for relu4_2 (docs/training.md)."""
    from skimage import data

    photos = np.stack([data.astronaut()[:256, :256], data.coffee()[:256, :256]]).astype(np.float32)
    found = make_light_vgg19.errors_of(embedded, light, photos)
    assert found.shape == (2, 5)
    assert (found[:, :4] < 0.02).all()
    assert (found[:, 4] < 0.04).all()
    assert found.min() > 0


def test_the_light_file_says_whose_weights_they_are():
    with np.load(vgg19.LIGHT_PATH) as file:
        assert "a light form of: VGG19" in str(file["about"])
        assert "Simonyan" in str(file["about"])
    assert vgg19.LIGHT_PATH.name in (ROOT / "NOTICE").read_text()


def small_vgg(rank):
    """Two layers, the second with responses in a plane of so many dimensions."""
    network = vgg19._build(vgg19.NAMES[:2], "max", "glorot_uniform")
    random = np.random.default_rng(3)
    kernel = random.normal(0, 0.05, (3, 3, 64, rank)) @ random.normal(0, 1, (rank, 64))
    network.get_layer("block1_conv2").set_weights([kernel, random.normal(0, 0.1, 64)])
    return network


@pytest.mark.parametrize(("rank", "count", "least", "most"), [(8, 8, 0, 1e-3), (40, 8, 0.02, 1)])
def test_the_light_layers_are_as_near_as_their_channels_let_them(
    tmp_path, rank, count, least, most
):
    network = small_vgg(rank)
    pictures = np.concatenate([picture(seed, 24) for seed in range(6)])
    made = make_light_vgg19.make(network, pictures, {"block1_conv2": count})
    vgg19.write_quantised(tmp_path / "light.npz", made, "a test")
    found = vgg19.load_network(str(tmp_path / "light.npz"))
    assert found.get_layer("block1_conv2_narrow").kernel.shape == (3, 3, 64, count)
    pixels = keras.applications.vgg19.preprocess_input(picture(9, 24).copy())
    wanted, got = network(pixels), found(pixels)
    error = float(np.square(got - wanted).sum() / np.square(wanted).sum())
    assert least <= error < most


def test_the_steps_are_light_and_the_card_is_measured_by_all(photos, style, tmp_path, monkeypatch):
    taken = []

    def load(weights=None, precision="float32", pooling="max"):
        taken.append(weights)
        return load_vgg19(weights, precision, pooling)

    monkeypatch.setattr(perceptual, "load_vgg19", load)
    options = tiny_options(photos, style, EMBEDDED, tmp_path, steps=1, holdout=1)
    trained = fst.train(TrainingConfig(**options), on_event=lambda line: None)
    assert trained.read_card()["styles"][0]["held_out_losses"]["photos"] == 1
    assert taken == [LIGHT, EMBEDDED]


@pytest.mark.parametrize("options", [{"loss_network": "full"}, {"preset": "standard"}, {}])
def test_the_steps_are_by_the_weights_that_are_named(vgg_file, options):
    from fst.training.loop import build_loss

    weights = EMBEDDED if options else vgg_file
    config = TrainingConfig("s.jpg", vgg_weights=str(weights), **options)
    loss = build_loss(config, [picture(1)[0]], light=True)
    wanted = load_vgg19(str(weights)).network.count_params()
    assert loss._features.network.count_params() == wanted


def test_a_damaged_light_file_is_told(monkeypatch, tmp_path):
    (tmp_path / "light.npz").write_bytes(vgg19.LIGHT_PATH.read_bytes()[:100_000])
    monkeypatch.setattr(vgg19, "LIGHT_PATH", tmp_path / "light.npz")
    with pytest.raises(UserError, match=r"light\.npz cannot be read .*; install fst again"):
        load_vgg19(LIGHT)


# --- Which are taken -----------------------------------------------------------------------------

_KINDS = {
    "training": lambda **options: TrainingConfig("s.jpg", **options),
    "companion": lambda **options: GatysConfig(content="c", style=("s",), output="o", **options),
    "comparison": lambda **options: CompareConfig(
        checkpoint="x", photos=("p",), style="s", output="o", **options
    ),
}


@pytest.mark.parametrize("kind", _KINDS)
def test_the_variable_names_them_where_nobody_else_does(kind, monkeypatch):
    make = _KINDS[kind]
    assert make().vgg_weights == default_vgg_weights() == EMBEDDED
    monkeypatch.setenv("FST_VGG19_WEIGHTS", "/mnt/vgg.h5")
    assert make().vgg_weights == default_vgg_weights() == "/mnt/vgg.h5"
    for named in (EMBEDDED, IMAGENET, "my.h5"):
        assert make(vgg_weights=named).vgg_weights == named
    monkeypatch.setenv("FST_VGG19_WEIGHTS", "")
    assert make().vgg_weights == EMBEDDED


def test_named_ones_are_loaded_whatever_the_variable_says(vgg_file, embedded, monkeypatch):
    monkeypatch.setenv("FST_VGG19_WEIGHTS", str(vgg_file))
    named = load_vgg19(EMBEDDED)(picture(), ["relu1_1"])[0]
    np.testing.assert_array_equal(named, embedded(picture(), ["relu1_1"])[0])
    assert np.abs(load_vgg19()(picture(), ["relu1_1"])[0] - named).max() > 1


def test_a_file_that_the_variable_names_in_vain(tmp_path, monkeypatch):
    path = tmp_path / "vgg.h5"
    monkeypatch.setenv("FST_VGG19_WEIGHTS", str(path))
    with pytest.raises(UserError, match=r"^FST_VGG19_WEIGHTS: there is no file '.*vgg\.h5'"):
        load_vgg19()
    path.write_text("no weights")
    with pytest.raises(UserError, match=r"^FST_VGG19_WEIGHTS: '.*vgg\.h5' is not VGG19's"):
        load_vgg19(TrainingConfig("s.jpg").vgg_weights)


# --- Layers that they do not reach ---------------------------------------------------------------


@pytest.mark.parametrize("name", ["relu4_3", "relu5_1", "block4_conv4"])
@pytest.mark.parametrize("field", ["content_layers", "style_layers"])
def test_a_deeper_layer_is_refused_before_anything_is_loaded(field, name):
    flag = "--" + field.replace("_", "-")
    for kind in ("training", "companion"):
        with pytest.raises(UserError) as caught:
            _KINDS[kind](**{field: ("relu1_1", name)})
        line = caught.value.for_command_line()
        assert line.startswith(f"{flag}: {name} lies deeper than --vgg-weights embedded")
        assert "use --vgg-weights imagenet or a file" in line
        for named in (IMAGENET, "my.h5"):
            assert _KINDS[kind](**{field: ("relu1_1", name)}, vgg_weights=named)
    assert _KINDS["training"](**{field: ("relu4_2", "block4_conv1")})


@pytest.mark.parametrize(
    "preset", ["gatys2016", "pytorch_adam", "tensorflow_tutorial", "tensorflow_notebook"]
)
def test_published_settings_say_that_they_need_more(preset):
    options = GatysOptions(preset=preset)
    with pytest.raises(UserError, match=rf"^preset {preset}: relu5_\d lies deeper"):
        options.check_depth(EMBEDDED)
    options.check_depth(IMAGENET)


@pytest.mark.parametrize("preset", ["fst", "pytorch_tutorial", "noise_adam"])
def test_the_others_do_not(preset):
    GatysOptions(preset=preset).check_depth(EMBEDDED)


def test_the_features_say_so_too(embedded):
    with pytest.raises(UserError, match=r"relu5_1 lies deeper.*vgg_weights imagenet"):
        PerceptualLoss(embedded, [picture()[0]], style_layers=("relu1_1", "relu5_1"))
    with pytest.raises(ValueError, match="VGG19 has no layer 'relu9_1'"):
        embedded(picture(), ["relu9_1"])


# --- A file that is no good ----------------------------------------------------------------------


def _broken(whole, how):
    if how == "cut":
        return whole[: len(whole) // 2]
    if how == "flipped":
        middle = len(whole) // 2
        return whole[:middle] + bytes([whole[middle] ^ 0xFF]) + whole[middle + 1 :]
    return {"empty": b"", "text": b"<html>not found</html>"}[how]


@pytest.mark.parametrize("how", ["missing", "cut", "flipped", "empty", "text"])
def test_the_package_is_damaged(how, tmp_path, monkeypatch):
    path = tmp_path / "vgg19.npz"
    if how != "missing":
        path.write_bytes(_broken(vgg19.EMBEDDED_PATH.read_bytes(), how))
    monkeypatch.setattr(vgg19, "EMBEDDED_PATH", path)
    with pytest.raises(UserError) as caught:
        load_vgg19(EMBEDDED)
    line = caught.value.for_command_line()
    assert line.startswith(f"--vgg-weights embedded: {path} cannot be read (")
    assert "install fst again, or use --vgg-weights imagenet or a file" in line
    assert "\n" not in line


def test_arrays_of_something_else(tmp_path):
    np.savez(tmp_path / "other.npz", numbers=np.zeros(3))
    with pytest.raises(UserError, match=r"other\.npz' is not VGG19's \(it holds no layers"):
        load_vgg19(str(tmp_path / "other.npz"))


# --- Making them ---------------------------------------------------------------------------------


def kernel_of(seed, inputs=6, outputs=5):
    """Made-up weights with long tails, and channels of very different strength."""
    random = np.random.default_rng(seed)
    weights = random.laplace(0, 1, (3, 3, inputs, outputs))
    return (weights * 10.0 ** np.arange(-2, outputs - 2)).astype(np.float32)


def test_rounding_is_within_half_a_step():
    kernel = kernel_of(1)
    scale = make_vgg19.best_scale(kernel)
    levels = make_vgg19.quantise(kernel, scale, None)
    assert levels.dtype == np.int8
    assert np.abs(levels).max() <= vgg19.TOP
    back = vgg19.dequantise(levels, scale)
    assert back.dtype == np.float32
    kept = np.abs(kernel) <= vgg19.TOP * scale
    assert kept.mean() > 0.95
    assert (np.abs(back - kernel) <= 0.5001 * scale)[kept].all()
    # What is clipped is at the end of the range.
    assert (np.abs(levels)[~kept] == vgg19.TOP).all()


def test_the_scale_is_better_than_that_of_the_largest_weight():
    kernel = kernel_of(2, inputs=64)
    largest = np.abs(kernel).max(axis=(0, 1, 2)) / vgg19.TOP

    def error(scale):
        back = vgg19.dequantise(make_vgg19.quantise(kernel, scale, None), scale)
        return np.square(back - kernel).sum(axis=(0, 1, 2))

    assert (error(make_vgg19.best_scale(kernel)) < error(largest)).all()


def test_a_channel_of_zeros_stays_one():
    kernel = kernel_of(3)
    kernel[..., 2] = 0
    scale = make_vgg19.best_scale(kernel)
    assert np.isfinite(scale).all()
    assert not vgg19.dequantise(make_vgg19.quantise(kernel, scale, None), scale)[..., 2].any()


def test_rounding_for_the_inputs_changes_the_outputs_less():
    kernel = kernel_of(4, inputs=32)
    random = np.random.default_rng(5)
    mix = random.normal(0, 1, (9 * 32, 9 * 32)) * np.exp(-np.arange(9 * 32) / 40)
    inputs = random.normal(0, 1, (2000, 9 * 32)) @ mix.T
    scale = make_vgg19.best_scale(kernel)

    def error(energy):
        back = vgg19.dequantise(make_vgg19.quantise(kernel, scale, energy), scale)
        outputs = inputs @ (back - kernel).reshape(-1, kernel.shape[-1])
        return np.square(outputs).sum(axis=0)

    assert (error(inputs.T @ inputs / len(inputs)) < 0.5 * error(None)).all()


def test_the_script_makes_what_is_read(vgg_file, tmp_path, monkeypatch):
    """Of random weights, on one small picture, as deep as two layers."""
    monkeypatch.setattr(make_vgg19, "EMBEDDED_END", "relu1_2")
    made = make_vgg19.make(vgg_file, [picture(6, 24)[0]])
    vgg19.write_quantised(tmp_path / "small.npz", made, "a test")
    layers = vgg19.read_quantised(tmp_path / "small.npz")
    assert list(layers) == ["block1_conv1", "block1_conv2"]
    whole = vgg19.load_network(vgg_file)
    features = load_vgg19(str(tmp_path / "small.npz"))
    for name, (kernel, bias) in layers.items():
        exact = whole.get_layer(name).get_weights()
        np.testing.assert_allclose(kernel, exact[0], atol=0.05 * np.abs(exact[0]).max())
        np.testing.assert_array_equal(bias, exact[1])
    exact, found = (f(picture(7), ["relu1_2"])[0] for f in (load_vgg19(str(vgg_file)), features))
    assert np.square(found - exact).sum() < 1e-3 * np.square(exact).sum()
    with pytest.raises(UserError, match="relu2_1 lies deeper"):
        features(picture(), ["relu2_1"])


# --- On a machine that knows nothing -------------------------------------------------------------


@pytest.mark.slow
def test_a_style_is_trained_without_a_network(photos, style, tmp_path, monkeypatch):
    from fst.training.loop import train

    def no_network(*_, **__):
        raise OSError("there is no network")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    options = tiny_options(photos, style, "", tmp_path, steps=2)
    for name in ("vgg_weights", "content_layers", "style_layers"):
        del options[name]
    config = TrainingConfig(**options)
    target = train(config, on_event=lambda _: None)
    card = target.read_card()
    assert card["config"]["vgg_weights"] == EMBEDDED
    assert card["config"]["style_layers"] == list(STYLE_LAYERS)
    assert not (tmp_path / "keras").exists()
