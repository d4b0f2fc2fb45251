"""The network's convolutions: the result and the gradients of Keras's own, in any arrangement."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

from fst.models.convolution import Conv2D


def plainly(layer, x):
    """What `layer` stands for, with Keras's own operations."""
    if layer.enlarge:
        x = ops.repeat(ops.repeat(x, 2, axis=1), 2, axis=2)
        x = ops.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], mode="reflect")
    found = ops.conv(x, layer.kernel, strides=list(layer.strides), padding="valid")
    return found + layer.bias


def with_gradients(function, layer, x):
    """The result, and what it makes of an uneven gradient for the input and for the kernel."""
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        found = function(x)
        value = ops.sum(found * ops.cos(ops.cumsum(ops.ones_like(found), axis=1)))
    return [found, *tape.gradient(value, [x, layer.kernel.value])]


def built(x, *arguments, **options):
    layer = Conv2D(*arguments, bias_initializer="glorot_uniform", **options)
    layer.build(x.shape)
    return layer


CASES = {
    "few of 9x9": ((3, 9), {}, (2, 14, 17, 8)),
    "few of 9x9, the least size": ((3, 9), {}, (1, 9, 9, 8)),
    "few, oblong": ((2, (5, 3)), {}, (1, 12, 12, 4)),
    "few, by steps": ((3, 5), {"strides": 2}, (1, 13, 13, 4)),
    "many": ((16, 3), {}, (1, 12, 12, 4)),
    "many, by steps": ((16, 3), {"strides": 2}, (1, 13, 14, 4)),
    "enlarged": ((5, 3), {"enlarge": True}, (2, 7, 10, 4)),
    "enlarged from one value": ((5, 3), {"enlarge": True}, (1, 1, 1, 4)),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_result_and_gradients_are_those_of_the_plain_operations(case):
    arguments, options, shape = case
    keras.utils.set_random_seed(3)
    x = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    layer = built(x, *arguments, **options)
    found = with_gradients(layer, layer, x)
    wanted = with_gradients(lambda x: plainly(layer, x), layer, x)
    for mine, plain in zip(found, wanted, strict=True):
        assert mine.shape == plain.shape
        np.testing.assert_allclose(mine, plain, rtol=1e-4, atol=1e-4)
    assert layer.compute_output_shape(shape) == tuple(found[0].shape)


@pytest.mark.parametrize("options", [{}, {"enlarge": True}], ids=["few", "enlarged"])
def test_half_precision_is_as_near_as_the_plain_operations(options):
    keras.utils.set_random_seed(3)
    x = np.random.default_rng(1).normal(size=(1, 20, 20, 16)).astype(np.float32)
    layer = built(x, 3, 3, dtype="mixed_bfloat16", **options)
    found = ops.cast(layer(x), "float32")
    assert keras.backend.standardize_dtype(layer(x).dtype) == "bfloat16"
    np.testing.assert_allclose(found, plainly(layer, x), rtol=0.02, atol=0.02)


def test_sizes_may_be_open():
    image = keras.Input((None, None, 4))
    network = keras.Model(image, Conv2D(3, 9)(Conv2D(8, 3, enlarge=True)(image)))
    assert network.output_shape == (None, None, None, 3)
    assert network(np.zeros((1, 9, 11, 4))).shape == (1, 10, 14, 3)


def test_weights_files_fit_keras_own_layers_and_the_other_way_round(tmp_path):
    def model(kind):
        image = keras.Input((None, None, 4))
        return keras.Model(image, kind(3, 3, name="b")(kind(8, 3, name="a")(image)))

    x = np.random.default_rng(1).normal(size=(1, 9, 9, 4)).astype(np.float32)
    for writer, reader in ((Conv2D, layers.Conv2D), (layers.Conv2D, Conv2D)):
        one, other = model(writer), model(reader)
        one.save_weights(tmp_path / "some.weights.h5")
        other.load_weights(tmp_path / "some.weights.h5")
        np.testing.assert_allclose(one(x), other(x), rtol=1e-5, atol=1e-5)


def test_a_model_with_them_is_saved_whole(tmp_path):
    image = keras.Input((None, None, 4))
    model = keras.Model(image, Conv2D(3, 3, enlarge=True)(image))
    model.save(tmp_path / "it.keras")
    x = np.random.default_rng(1).normal(size=(1, 5, 6, 4)).astype(np.float32)
    again = keras.saving.load_model(tmp_path / "it.keras")
    np.testing.assert_array_equal(again(x), model(x))


def test_what_enlarges_has_a_kernel_of_three():
    with pytest.raises(ValueError, match="3x3"):
        Conv2D(3, 5, enlarge=True)
    with pytest.raises(ValueError, match="no steps"):
        Conv2D(3, 3, enlarge=True, strides=2)


@pytest.mark.parametrize("option", [{"padding": "same"}, {"dilation_rate": 2}, {"groups": 3}])
def test_what_it_does_not_compute_is_refused(option):
    with pytest.raises(ValueError, match="not for this convolution"):
        Conv2D(3, 3, **option)
