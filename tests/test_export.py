"""The SavedModel, used as by someone who has TensorFlow and nothing else."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT, draw_photo, weights_of

import fst
from fst.checkpoint import Checkpoint

# What a user's own program would do. It reads arrays from a file and writes its results to another.
CLIENT = """
import json, sys
import numpy as np
import tensorflow as tf

model = tf.saved_model.load(sys.argv[1])
described = {}
for name, signature in model.signatures.items():
    _, inputs = signature.structured_input_signature
    described[name] = [
        {key: [spec.dtype.name, spec.shape.as_list()] for key, spec in specs.items()}
        for specs in (inputs, signature.structured_outputs)
    ]
results = {}
with np.load(sys.argv[2]) as arrays:
    for key, array in arrays.items():
        name = "serving_default" if array.dtype == np.uint8 else "float"
        results[key] = model.signatures[name](image=tf.constant(array))["stylized"].numpy()
np.savez(sys.argv[3], **results)
print(json.dumps({"signatures": described, "fst": "fst" in sys.modules}))
"""


def serve(saved_model, folder, arrays):
    """Runs `CLIENT` far from this repository; returns what it printed and its results."""
    np.savez(folder / "in.npz", **arrays)
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            CLIENT,
            saved_model.absolute(),
            folder / "in.npz",
            folder / "out.npz",
        ],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with np.load(folder / "out.npz") as results:
        return json.loads(done.stdout), dict(results)


@pytest.fixture(scope="module")
def network():
    """A network of width 8; every weight is random, so that none can get lost unseen."""
    import keras

    from fst.network import build_network

    keras.utils.set_random_seed(7)
    random = np.random.default_rng(7)
    network = build_network(8)
    network.set_weights([w + random.normal(0, 0.1, w.shape) for w in network.get_weights()])
    return network


@pytest.fixture(scope="module")
def trained(network, tmp_path_factory):
    """That network as a finished style."""
    from fst.export import export_saved_model

    style = Checkpoint(tmp_path_factory.mktemp("styles") / "clouds")
    style.write_weights(network)
    style.write_card({"name": "clouds", "config": {"width": 8}})
    export_saved_model(style.read_weights(), style.saved_model_path)
    return style


PICTURES = {
    "smallest": draw_photo(1, 16, 16)[None],
    "odd": draw_photo(2, 97, 131)[None],
    "square": draw_photo(3, 512, 512)[None],
    "batch": np.stack([draw_photo(seed, 33, 50) for seed in (4, 5, 6)]),
    "alone": draw_photo(5, 33, 50)[None],
    "tiny": draw_photo(7, 1, 9)[None],
    "floats": draw_photo(8, 45, 38)[None].astype(np.float32),
}


@pytest.fixture(scope="module")
def served(trained, tmp_path_factory):
    return serve(trained.saved_model_path, tmp_path_factory.mktemp("client"), PICTURES)


def test_signatures_are_those_of_the_contract(served):
    described, _ = served
    assert described["signatures"] == {
        "serving_default": [
            {"image": ["uint8", [None, None, None, 3]]},
            {"stylized": ["uint8", [None, None, None, 3]]},
        ],
        "float": [
            {"image": ["float32", [None, None, None, 3]]},
            {"stylized": ["float32", [None, None, None, 3]]},
        ],
    }


def test_it_needs_no_code_of_ours(served):
    assert served[0]["fst"] is False


@pytest.mark.parametrize("name", PICTURES)
def test_it_makes_the_pictures_that_fst_makes(trained, served, name):
    stylise, found = fst.load(trained.folder), served[1][name]
    wanted = np.stack([stylise(picture) for picture in PICTURES[name]])
    assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape)
    if found.dtype == np.uint8:
        assert np.abs(found.astype(int) - wanted).max() <= 1
        assert np.mean(found != wanted) < 0.01
    else:
        np.testing.assert_allclose(found, wanted, atol=0.05)
    assert np.abs(wanted - PICTURES[name].astype(np.float32)).mean() > 5


def test_pictures_of_a_batch_do_not_mix(served):
    _, results = served
    assert np.abs(results["alone"][0].astype(int) - results["batch"][1]).max() <= 1


def test_half_precision_halves_the_files_and_hardly_moves_the_picture(network, trained, tmp_path):
    whole = tmp_path / "whole.weights.h5"
    network.save_weights(whole)
    parameters = network.count_params()
    assert whole.stat().st_size - trained.weights_path.stat().st_size > 1.5 * parameters
    variables = trained.saved_model_path / "variables" / "variables.data-00000-of-00001"
    assert variables.stat().st_size < 2.6 * parameters
    photo = draw_photo(9, 60, 60).astype(np.float32)
    exact = np.asarray(network(photo[None]))[0]
    assert np.abs(fst.load(trained.folder)(photo) - exact).mean() < 0.25


def test_an_export_replaces_the_old_one_whole_or_not_at_all(network, tmp_path, monkeypatch):
    import tensorflow as tf

    from fst.export import export_saved_model

    folder = tmp_path / "saved_model"
    folder.mkdir()
    (folder / "old.txt").write_text("old")

    def broken(_, path, **__):
        os.makedirs(path)
        (path / "saved_model.pb").write_bytes(b"half")
        raise OSError("no space")

    with monkeypatch.context() as patch:
        patch.setattr(tf.saved_model, "save", broken)
        with pytest.raises(OSError, match="no space"):
            export_saved_model(weights_of(network), folder)
    assert [path.name for path in tmp_path.rglob("*")] == ["saved_model", "old.txt"]

    export_saved_model(weights_of(network), folder)
    assert [path.name for path in tmp_path.iterdir()] == ["saved_model"]
    assert not (folder / "old.txt").exists()
    assert tf.saved_model.contains_saved_model(str(folder))


SHIPPED = sorted(path.parent for path in ROOT.glob("checkpoints/*/style.json"))


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: folder.name)
def test_shipped_styles(folder, tmp_path):
    _, found = serve(folder / "saved_model", tmp_path, {"odd": PICTURES["odd"]})
    wanted = fst.load(folder)(PICTURES["odd"][0])
    assert np.abs(found["odd"][0].astype(int) - wanted).max() <= 1
