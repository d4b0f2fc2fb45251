"""The lattice: found where it is, and nowhere else."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from fst.models.lattice import lattice_energy, lattice_term
from fst.models.network import build_network

pytestmark = pytest.mark.slow

GREY = np.full((1, 128, 192, 3), 128, np.float32)


def with_lattice(image, strength, period=4):
    """The image with one place in each cell brighter."""
    image = image.copy()
    image[:, ::period, ::period] += strength
    return image


def test_finds_the_energy_of_a_known_lattice():
    # One of 16 px is 8 levels brighter: its mean square about the cell's mean is 8² (1/16 - 1/256).
    energy = np.asarray(lattice_energy(with_lattice(GREY, 8.0)))
    assert energy.shape == (1, 2, 3)
    assert energy == pytest.approx(64 * (1 / 16 - 1 / 256), rel=1e-3)


@pytest.mark.parametrize("side", [128, 60])
def test_is_the_same_where_the_size_is_known_late(side):
    image = with_lattice(GREY, 8.0)[:, :side]
    late = tf.function(lattice_term, input_signature=[tf.TensorSpec([None, None, None, 3])])
    np.testing.assert_allclose(late(image), lattice_term(image), rtol=1e-5)


@pytest.mark.parametrize("period", [3, 5])
def test_is_blind_to_a_lattice_of_another_period(period):
    # Not wholly: 60 px hold that many cells, each at another place of ours.
    energy = np.asarray(lattice_energy(with_lattice(GREY, 8.0, period)))
    assert energy.max() < 0.01


def test_a_slope_is_no_lattice():
    slope = np.broadcast_to(np.arange(192, dtype=np.float32)[None, None, :, None], GREY.shape)
    assert np.asarray(lattice_energy(slope)).max() < 1e-3


def test_texture_averages_out():
    noise = np.random.default_rng(1).normal(128, 10, GREY.shape).astype(np.float32)
    # What is left by chance: the variance, shared by the 225 cells of a window.
    assert np.asarray(lattice_energy(noise)).mean() < 1.5 * 100 / 225


def test_shows_where_it_is():
    image = GREY.copy()
    image[:, :, 96:] = with_lattice(image[:, :, 96:], 20.0)
    left, _, right = np.asarray(lattice_energy(image))[0].mean(axis=0)
    assert left < 0.01 < 10 < right


def test_the_loss_is_for_each_picture():
    batch = np.concatenate([GREY, with_lattice(GREY, 40.0)])
    without, with_it = np.asarray(lattice_term(batch))
    assert without == pytest.approx(0, abs=1e-5)
    assert with_it == pytest.approx((1 + 1600 * (1 / 16 - 1 / 256)) ** 0.5 - 1, rel=1e-3)


def test_a_picture_too_small_to_tell_costs_nothing():
    assert np.asarray(lattice_term(with_lattice(GREY, 40.0)[:, :48])).tolist() == [0.0]


def test_a_network_can_be_trained_to_paint_none():
    """The term reaches the weights, and they can follow it."""
    keras.utils.set_random_seed(1)
    network = build_network(4)
    last = network.get_layer("rgb_conv")
    last.kernel.assign(last.kernel * 30)  # As strong as a trained one's.
    photo = np.random.default_rng(2).normal(128, 20, (1, 64, 64, 3)).astype(np.float32)
    layers = (network.get_layer(name) for name in ("up2_conv", "up2_norm", "rgb_conv"))
    variables = [variable for layer in layers for variable in layer.trainable_variables]
    optimizer = keras.optimizers.Adam(2e-3)
    terms = []
    for _ in range(15):
        with tf.GradientTape() as tape:
            term = lattice_term(network(photo))[0]
        gradients = tape.gradient(term, variables)
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
        terms.append(float(term))
    assert terms[0] > 0.05
    assert terms[-1] < terms[0] / 2
