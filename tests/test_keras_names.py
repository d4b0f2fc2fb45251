"""Weights are what their file holds, whatever it is called."""

import shutil

import h5py
import keras
import numpy as np
import pytest

from fst.models.keras_names import as_keras_names_it


def small(seed):
    keras.utils.set_random_seed(seed)
    image = keras.Input((8, 8, 3))
    return keras.Model(image, keras.layers.Conv2D(2, 3, name="conv")(image))


def write(kind, path):
    """A file of a small model's weights in one of Keras's formats; returns the weights."""
    model = small(1)
    if kind == "own":
        saved = path.parent / "own.weights.h5"
        model.save_weights(saved)
    else:
        saved = path.parent / ("whole.keras" if kind == "whole" else "older.h5")
        model.save(saved)
    if kind == "older weights":  # Alone, as keras.applications publishes them.
        with h5py.File(saved) as whole, h5py.File(path, "w") as file:
            weights = whole["model_weights"]
            file.attrs.update(weights.attrs)
            for name in weights:
                weights.copy(name, file)
    else:
        shutil.move(saved, path)
    return model.get_weights()


NAMES = ("w.h5", "w.weights.h5", "w.hdf5", "w", "w.keras", "w.dat", "a.b.H5")


@pytest.mark.parametrize("kind", ["own", "older", "older weights", "whole"])
@pytest.mark.parametrize("name", NAMES)
def test_every_format_under_every_name(tmp_path, kind, name):
    wanted = write(kind, tmp_path / name)
    model = small(2)
    with as_keras_names_it(tmp_path / name) as path:
        model.load_weights(path)
    for one, other in zip(model.get_weights(), wanted, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("kind", "name"), [("own", "w.weights.h5"), ("older", "w.h5"), ("whole", "w.keras")]
)
def test_what_is_called_rightly_is_taken_as_it_is(tmp_path, kind, name):
    write(kind, tmp_path / name)
    with as_keras_names_it(tmp_path / name) as path:
        assert path == str(tmp_path / name)


@pytest.mark.parametrize("data", [b"", b"no weights", b"PK\3\4 but no archive"])
def test_what_is_no_file_of_weights_is_left_to_keras(tmp_path, data):
    (tmp_path / "w.h5").write_bytes(data)
    with as_keras_names_it(tmp_path / "w.h5") as path:
        assert path == str(tmp_path / "w.h5")


def test_archives_of_other_kinds_are_left_alone(tmp_path):
    np.savez(tmp_path / "w.npz", a=np.zeros(3))
    with as_keras_names_it(tmp_path / "w.npz") as path:
        assert path == str(tmp_path / "w.npz")
