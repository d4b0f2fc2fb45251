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
    return np.random.default_rng(seed).normal(5, 3, shape).astype(np.float32)


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
    return calls


@pytest.mark.parametrize("make", [of_one_style, of_several])
@pytest.mark.parametrize(("dtype", "near"), [("float32", 2e-4), ("mixed_bfloat16", 0.03)])
def test_training_computes_what_is_written(make, dtype, near, counted):
    wanted = found(make, training=False)
    assert not counted
    ours = found(make, training=True, dtype=dtype)
    assert counted
    assert ours[0].dtype == dtype.removeprefix("mixed_")
    for mine, plain in zip(ours, wanted, strict=True):
        mine = ops.convert_to_numpy(ops.cast(mine, "float32"))
        np.testing.assert_allclose(mine, plain, rtol=near, atol=near * np.abs(plain).max())


@pytest.mark.parametrize("make", [of_one_style, of_several])
def test_where_there_are_no_kernels_it_is_as_written(make, counted, monkeypatch):
    found(make, training=True, dtype="mixed_float16")
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [kind])
    found(make, training=True)
    assert not counted


@pytest.mark.parametrize(("pictures", "taken"), [(2, 15), (None, 0)])
def test_a_network_in_training_takes_them_where_the_batch_is_known(pictures, taken, counted):
    network = build_network(4)
    signature = [tf.TensorSpec((pictures, None, None, 3))]
    function = tf.function(
        lambda x: paint(network, x, None, training=True), input_signature=signature
    )
    image = maps(3, (2, 20, 24, 3)) * 10
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
    plain.set_weights([maps(2, (4,)), maps(3, (4,))])
    plain.save_weights(tmp_path / "x.weights.h5")
    ours.load_weights(tmp_path / "x.weights.h5")
    np.testing.assert_array_equal(ours(maps()), plain(maps()))
