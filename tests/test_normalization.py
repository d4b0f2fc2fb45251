"""Instance normalisation: the kernels that training takes are the same as what is written."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

from fst.models import normalization
from fst.models.network import build_network, paint
from fst.models.normalization import ConditionalNormalization, GroupNormalization

SHARES = np.float32([[1, 0, 0], [0, 0.25, 0.75]])


def maps(seed=1, shape=(2, 9, 7, 4)):
    """The last channel varies so little that its variance is about the epsilon."""
    mean, spread = np.array([[5, 5, 5, 0], [3, 3, 3, 0.003]])
    return (mean + spread * np.random.default_rng(seed).normal(size=shape)).astype(np.float32)


def of_one_style(dtype):
    layer = GroupNormalization(dtype=dtype)
    layer.build(maps().shape)
    return layer, lambda x, training: layer(x, training=training)


def of_several(dtype):
    layer = ConditionalNormalization(3, dtype=dtype)
    layer.build([maps().shape, SHARES.shape])
    return layer, lambda x, training: layer([x, SHARES], training=training)


def found(make, training, dtype="float32"):
    """The layer's result, and its gradients to the maps, the scale and the shift."""
    layer, call = make(dtype)
    layer.set_weights([maps(n, weight.shape) for n, weight in enumerate(layer.get_weights())])
    x, upstream = tf.cast(maps(), layer.compute_dtype), maps(7)
    with tf.GradientTape() as tape:
        tape.watch(x)
        result = call(x, training)
        value = ops.sum(ops.cast(result, "float32") * upstream)
    return [result, *tape.gradient(value, [x, *(v.value for v in layer.trainable_variables)])]


@pytest.fixture
def counted(monkeypatch):
    """How often the kernels are taken."""
    calls = []

    def by_kernels(*arguments):
        calls.append(1)
        return taken(*arguments)

    taken = normalization._by_kernels
    monkeypatch.setattr(normalization, "_by_kernels", by_kernels)
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: [])
    return calls


@pytest.mark.parametrize("make", [of_one_style, of_several])
@pytest.mark.parametrize(("dtype", "near"), [("float32", 2e-4), ("mixed_bfloat16", 0.03)])
def test_training_computes_what_is_written(make, dtype, near, counted):
    wanted = found(make, training=False, dtype=dtype)
    assert not counted
    ours = found(make, training=True, dtype=dtype)
    assert counted
    assert ours[0].dtype == dtype.removeprefix("mixed_")
    for mine, plain in zip(ours, wanted, strict=True):
        mine, plain = (ops.convert_to_numpy(ops.cast(x, "float32")) for x in (mine, plain))
        np.testing.assert_allclose(mine, plain, rtol=near, atol=near * np.abs(plain).max())


@pytest.mark.parametrize("make", [of_one_style, of_several])
def test_where_there_are_no_kernels_it_is_as_written(make, counted, monkeypatch):
    found(make, training=True, dtype="mixed_float16")
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: [kind])
    found(make, training=True)
    assert not counted


@pytest.mark.parametrize(("pictures", "taken"), [(2, 15), (None, 0)])
def test_a_network_in_training_takes_them_where_the_batch_is_known(pictures, taken, counted):
    network = build_network(4)
    signature = [tf.TensorSpec((pictures, None, None, 3))]
    function = tf.function(
        lambda x: paint(network, x, None, training=True), input_signature=signature
    )
    image = np.random.default_rng(3).uniform(0, 255, (2, 20, 24, 3)).astype(np.float32)
    np.testing.assert_allclose(function(image), paint(network, image, None), atol=0.05)
    assert len(counted) == taken


def test_one_style_is_kerass_own():
    x = maps()
    ours, keras_own = GroupNormalization(), layers.GroupNormalization(-1, epsilon=1e-5)
    np.testing.assert_array_equal(ours(x), keras_own(x))
    assert ours.groups == keras_own.groups
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(ours))
    assert type(again) is GroupNormalization
    assert again.get_config() == ours.get_config()


def test_a_weights_file_fits_a_network_of_kerass_layers(tmp_path):
    """Files that were written with Keras's layer are read into ours, and the other way round."""
    image = keras.Input((None, None, 4))
    ours = keras.Model(image, GroupNormalization(name="norm")(image))
    plain = keras.Model(image, layers.GroupNormalization(-1, epsilon=1e-5, name="norm")(image))
    for seed, (one, other) in enumerate(((plain, ours), (ours, plain))):
        one.set_weights([maps(seed, (4,)), maps(seed + 5, (4,))])
        one.save_weights(tmp_path / "x.weights.h5")
        other.load_weights(tmp_path / "x.weights.h5")
        np.testing.assert_array_equal(ours(maps()), plain(maps()))


@pytest.mark.parametrize("options", [{"axis": 1}, {"scale": False}, {"groups": 2}])
def test_it_is_for_single_channels_with_scale_and_shift(options):
    with pytest.raises(ValueError, match=r"normalisation|each channel"):
        GroupNormalization(**options)(maps())


@pytest.mark.parametrize("shares", [SHARES[:1], SHARES[1:]])
def test_all_pictures_may_share_a_style(shares, counted):
    """Each is normalised by itself, also where the shares are given once."""
    layer, _ = of_several("float32")
    np.testing.assert_allclose(
        layer([maps(), shares], training=True), layer([maps(), shares]), rtol=1e-3, atol=1e-4
    )
    assert counted


@pytest.mark.parametrize(("given", "computes"), [("bfloat16", "float32"), ("float32", "bfloat16")])
@pytest.mark.parametrize("training", [False, True])
def test_the_result_has_the_layers_dtype(given, computes, training):
    x = tf.cast(maps(), given)
    for make in (of_one_style, of_several):
        layer, call = make("float32" if computes == "float32" else "mixed_bfloat16")
        layer.autocast = False
        assert call(x, training).dtype == computes


def test_no_pictures_are_nothing(counted):
    layer, _ = of_one_style("float32")
    assert layer(maps()[:0], training=True).shape == (0, 9, 7, 4)


def test_xla_compiles_the_kernels():
    _, call = of_several("float32")
    wanted = call(maps(), False)
    compiled = tf.function(lambda x: call(x, True), jit_compile=True, autograph=False)
    np.testing.assert_allclose(compiled(maps()), wanted, rtol=1e-3, atol=1e-4)
