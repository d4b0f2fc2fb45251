"""Tests of training on several devices and several workers, here all on one CPU."""

import json
import os
import signal
import socket
from pathlib import Path

import forks
import numpy as np
import pytest
from forks import run
from ports import free_ports
from tiny import command_of, litter, read_losses, tiny_options

from fst.config import TrainingConfig
from fst.errors import UserError
from fst.training.data import open_photos
from fst.training.loop import train

pytestmark = pytest.mark.slow

STEPS = 8

# Trains as `fst.train` does, and keeps the weights of a worker, which itself writes no files. The
# network has one of each kind of the project's layers that weigh on training, and is compiled at
# once; tests/test_cloud.py trains the project's own with two workers.
SCRIPT = """
import json, os, signal, sys
import keras
import numpy as np
from fst.config import TrainingConfig
from fst.errors import run
from fst.models.network import BoundedPixels, ToUnit
from fst.models.normalization import ConditionalNormalization
from fst.training import loop

options, weights_path, stop = json.loads(sys.argv[1])

def build_small(width, precision, styles, seed):
    photo, shares = keras.Input((None, None, 3)), keras.Input((styles,))
    starts = (keras.initializers.GlorotUniform(seed + number) for number in range(2))

    def convolved(x, outputs, name):
        start = next(starts)
        layer = keras.layers.Conv2D(outputs, 3, padding="same", kernel_initializer=start, name=name)
        return layer(x)

    x = convolved(ToUnit()(photo), width, "first_conv")
    x = ConditionalNormalization(styles, name="first_norm")([x, shares])
    x = convolved(keras.layers.ReLU()(x), 3, "rgb_conv")
    return keras.Model([photo, shares], BoundedPixels()(x))

loop.build_network = build_small

class Kept(loop.TrainingStep):
    def __init__(self, *args):
        super().__init__(*args)
        Kept.step = self

    def __call__(self, photos):
        if stop and int(self.optimizer.iterations.numpy()) == stop[0]:
            os.kill(os.getpid(), stop[1])
        return super().__call__(photos)

loop.TrainingStep = Kept

def main():
    for name, value in options.items():
        options[name] = tuple(value) if isinstance(value, list) else value
    loop.train(TrainingConfig(**options))
    kept = {}
    for variable in Kept.step.network.weights:
        local = Kept.step.strategy.experimental_local_results(variable.value)
        for replica, value in enumerate(local):
            kept[f"{replica}:{variable.path}"] = np.asarray(value)
    np.savez(weights_path, **kept)

signal.signal(signal.SIGTERM, signal.default_int_handler)  # As train.py does.
run(main)
"""


@pytest.fixture(scope="module")
def options(photos, style, first_layers, tmp_path_factory):
    output = tmp_path_factory.mktemp("workers")
    options = tiny_options(
        photos, style, first_layers, output, steps=STEPS, batch_size=4, save_every=3
    )
    layers = {"content_layers": ("relu1_1",), "style_layers": ("relu1_1",)}
    # Three styles, so that each of the workers' photos gets one that depends on its place.
    return {
        **options,
        **layers,
        "style": [str(style), *(str(photos / f"photo0{n}.jpg") for n in (3, 5))],
    }


def tf_config(addresses, index=0):
    """The setting of the worker `index` of those at `addresses`."""
    task = {"type": "worker", "index": index}
    return json.dumps({"cluster": {"worker": addresses}, "task": task})


def start(options, weights_path, devices=1, stop=None, cluster=None):
    """Starts a process that trains.

    Args:
        stop: after how many steps it gets a signal, and which.
        cluster: the addresses of all workers, and the index of its own.
    """
    environment = dict(os.environ)
    if cluster:
        environment["TF_CONFIG"] = tf_config(*cluster)
    arguments = json.dumps([options, str(weights_path), stop])
    return forks.start("-c", SCRIPT, arguments, env=environment, devices=devices)


def finish(processes):
    """Waits for all; returns their exit codes and what each said."""
    try:
        errors = [process.communicate(timeout=600)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [process.returncode for process in processes], errors


def two_workers(options, folder, stop=None):
    """Runs two to their end; the second gets the signal `stop`."""
    port = free_ports(2)
    addresses = [f"127.0.0.1:{port}", f"127.0.0.1:{port + 1}"]
    options = {**options, "distribute": "multiworker"}
    first = start(options, folder / "0.npz", cluster=(addresses, 0))
    return finish([first, start(options, folder / "1.npz", stop=stop, cluster=(addresses, 1))])


def load(path):
    """The weights that a process kept: for each of its devices a dictionary by name."""
    devices = {}
    with np.load(path) as file:
        for key in file.files:
            device, _, name = key.partition(":")
            devices.setdefault(device, {})[name] = file[key]
    return [devices[device] for device in sorted(devices)]


def assert_equal(weights, expected):
    assert weights.keys() == expected.keys()
    for name, array in weights.items():
        np.testing.assert_array_equal(array, expected[name], err_msg=name)


def assert_learnt_the_same(weights, expected):
    """Within 1e-3, but for biases that instance normalisation takes out again.

    Their gradient is zero but for rounding, and Adam makes whole steps of its sign.
    """
    assert weights.keys() == expected.keys()
    for name, array in weights.items():
        if name.endswith("conv/bias") and not name.startswith("rgb"):
            continue
        np.testing.assert_allclose(array, expected[name], rtol=1e-3, atol=1e-3, err_msg=name)


@pytest.fixture(scope="module")
def alone(options, tmp_path_factory):
    """Weights and losses of one process with one device at the same global batch."""
    path = tmp_path_factory.mktemp("alone") / "weights.npz"
    options = {**options, "name": "alone"}
    codes, errors = finish([start(options, path)])
    assert codes == [0], errors
    (weights,) = load(path)
    return weights, read_losses(folder_of(options))


def folder_of(options):
    return Path(options["output"]) / options["name"]


def test_workers_share_out_exactly_the_batches_of_one_process(options):
    config = TrainingConfig(**options)
    photos = open_photos(config.content, seed=config.seed)

    def batches(**share):
        stream = photos.batches(config, 3, start_step=3, **share)
        # The styles beside the crops, as one more row of pixels.
        return [np.insert(c.numpy(), 0, n.numpy()[:, None, None], axis=1) for c, n in stream]

    whole = batches()
    first, second = batches(worker=0, workers=2), batches(worker=1, workers=2)
    assert len(whole) == len(first) == len(second) == STEPS - 3
    for batch, one, other in zip(whole, first, second, strict=True):
        np.testing.assert_array_equal(batch, np.concatenate([one, other]))
    # With two devices each, a worker hands its share out in pieces, one after the other.
    pieces = batches(worker=1, workers=2, replicas=2)
    assert len(pieces) == 2 * len(second)
    for share, one, other in zip(second, pieces[::2], pieces[1::2], strict=True):
        np.testing.assert_array_equal(share, np.concatenate([one, other]))


def test_two_devices_learn_what_one_learns(options, alone, tmp_path):
    options = {**options, "name": "mirrored", "distribute": "mirrored"}
    codes, errors = finish([start(options, tmp_path / "weights.npz", devices=2)])
    assert codes == [0], errors
    first, second = load(tmp_path / "weights.npz")
    weights, losses = alone
    assert_equal(first, second)
    assert_learnt_the_same(first, weights)
    np.testing.assert_allclose(read_losses(folder_of(options)), losses, rtol=1e-3)


def test_two_workers_learn_what_one_learns_though_one_is_stopped(options, alone, tmp_path):
    """The other one ends in a line, and the same commands go on where the state was saved."""
    options = {**options, "name": "workers"}
    codes, errors = two_workers(options, tmp_path, stop=(5, signal.SIGKILL))
    assert codes == [2, -signal.SIGKILL]
    (told,) = [line for line in errors[0].splitlines() if line.startswith("error: ")]
    assert told.startswith("error: another worker has stopped")
    assert "Traceback" not in errors[0]

    # One is asked to stop amid step 4, and both do after the step that follows.
    codes, errors = two_workers(options, tmp_path, stop=(3, signal.SIGTERM))
    assert codes == [130, 130], errors
    assert read_losses(folder_of(options))[:, 0].tolist() == [1, 2, 3, 4, 5]

    codes, errors = two_workers(options, tmp_path)
    assert codes == [0, 0], errors
    (first,), (second,) = load(tmp_path / "0.npz"), load(tmp_path / "1.npz")
    weights, losses = alone
    assert_equal(first, second)
    assert_learnt_the_same(first, weights)
    np.testing.assert_allclose(read_losses(folder_of(options)), losses, rtol=1e-3)
    assert (folder_of(options) / "style.json").exists()
    assert not litter(folder_of(options))


def test_a_silent_worker_is_waited_for_and_sigterm_still_stops_one():
    script = """if True:
        import os, signal
        from tensorflow.python.eager import context
        from fst.config import TrainingConfig
        from fst.training import workers
        workers.make_strategy(TrainingConfig(style="a.jpg", name="a", distribute="multiworker"))
        coordination = context.context().config.experimental.coordination_config
        print("patience", coordination.heartbeat_timeout_in_ms, flush=True)
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()
    """
    setting = tf_config([f"127.0.0.1:{free_ports()}"])
    done = run("-c", script, env={**os.environ, "TF_CONFIG": setting})
    assert "patience 100000" in done.stdout, done.stderr
    assert done.returncode == -signal.SIGTERM


def test_a_port_in_use_is_one_line(options):
    port = free_ports()
    setting = tf_config([f"127.0.0.1:{port}"])
    command = command_of({**options, "name": "port", "distribute": "multiworker"})
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        done = run(*command, env={**os.environ, "TF_CONFIG": setting})
    assert done.returncode == 2
    (told,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert f"cannot be reached at 127.0.0.1:{port}" in told
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        (None, "TF_CONFIG is not set"),
        ("{not json", "TF_CONFIG cannot be used"),
        ('{"cluster": {"worker": ["127.0.0.1:1"]}, "task": {}}', "TF_CONFIG cannot be used"),
    ],
)
def test_wrong_tf_config_is_one_line(options, monkeypatch, setting, named):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if setting:
        monkeypatch.setenv("TF_CONFIG", setting)
    config = TrainingConfig(**{**options, "name": "wrong", "distribute": "multiworker"})
    with pytest.raises(UserError, match=named) as error:
        train(config)
    assert "\n" not in str(error.value)
    assert not (Path(config.output) / "wrong").exists()
