"""The Keras model of training: `fit` and `train` alike, its callbacks, and saving."""

import json
import random

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import draw_photo, ending_after_the_steps
from eager import eagerly
from PIL import Image
from tiny import (
    AtBeginning,
    Begun,
    PlainLoss,
    plain_network,
    read_losses,
    read_state,
    tiny_options,
)

from fst.callbacks import LossHistory, Previews, SavedState
from fst.config import TrainingConfig
from fst.errors import UserError
from fst.media import images
from fst.models.network import build_network
from fst.models.style_transfer import StyleTransfer
from fst.training import state
from fst.training.data import open_photos
from fst.training.handed_in import HandedIn
from fst.training.history import read_history, read_rows
from fst.training.loop import TrainingStep, train
from fst.training.style_images import open_styles

pytestmark = pytest.mark.slow

STEPS = 8


@pytest.fixture(scope="module", params=[1, 3], ids=["one style", "three styles"])
def config(request, photos, style, vgg_file, tmp_path_factory):
    pictures = [str(style), *(str(photos / f"photo0{n}.jpg") for n in (3, 5))][: request.param]
    output = tmp_path_factory.mktemp("fit")
    # Crops large enough for the lattice's term.
    sizes = {"crop_size": 64, "photo_size": 72, "steps": STEPS}
    shown = (str(photos / "photo00.jpg"),)  # As small as it is.
    options = tiny_options(photos, pictures, vgg_file, output, preview=shown, **sizes)
    return TrainingConfig(**{**options, "style": tuple(pictures)})


def parts_of(config):
    """What is handed in: a plain network and a plain loss.

    With three styles the network has a loss of its own, as the project's has.
    """
    network, loss, _ = plain_parts(len(config.style))
    if len(config.style) > 1:
        own = keras.layers.ActivityRegularization(l2=1e-5)(network.output)
        network = keras.Model(network.inputs, own)
    return HandedIn(network, loss)


def plain_parts(styles=1):
    return HandedIn(plain_network(styles), PlainLoss(styles))


def model_of(config, given):
    """The model that `train` begins with, and the batches that it sees."""
    pictures = [style.image for style in open_styles(config)]
    step = TrainingStep(config, pictures, tf.distribute.get_strategy(), given)
    batches = open_photos(config.content, seed=config.seed).batches(config, len(pictures))
    return step.model, batches


def plain_model_of(config):
    """The same with a plain network and a plain loss."""
    return model_of(config, plain_parts(len(config.style)))


def without_vgg19(config):
    """The same with the project's own network and a plain loss."""
    return model_of(config, HandedIn(None, PlainLoss(len(config.style))))


@pytest.fixture(scope="module")
def trained(config):
    """The network's weights and the losses of `train`."""
    given = parts_of(config)
    with ending_after_the_steps():
        done = train(config, on_event=lambda line: None, network=given.network, loss=given.loss)
    return read_state(done.folder), read_losses(done.folder)


@pytest.fixture(scope="module")
def fitted(config, tmp_path_factory):
    """The same by `fit`: the model, the folder that its callbacks wrote, Keras's own history."""
    folder = tmp_path_factory.mktemp("fitted")
    model, batches = model_of(config, parts_of(config))
    history = LossHistory(folder / "history.csv", batch_size=config.batch_size)
    photos = [draw_photo(7), draw_photo(8, 60, 90)]
    told = model.fit(
        batches,
        verbose=0,
        callbacks=[
            history,
            Previews(folder / "previews", photos, every=5, check=history.check),
            SavedState(folder / "state.npz", every=3, check=history.check),
        ],
    )
    return model, folder, told.history


def test_fit_and_train_agree_to_the_last_digit(trained, fitted):
    (state_of_train, losses), (model, folder, _) = trained, fitted
    apart = [
        np.abs(state_of_train[f"network/{variable.path}"] - variable.numpy()).max()
        for variable in model.network.weights
    ]
    assert max(apart) == 0.0
    np.testing.assert_array_equal(read_history(folder / "history.csv")[:, :5], losses)


def test_previews_show_as_many_styles_as_a_jpeg_can_hold(tmp_path, monkeypatch):
    previews = Previews(tmp_path, [draw_photo(7, 40, 40)])
    monkeypatch.setitem(images.MAX_SIDES, "JPEG", 600)
    previews.draw(build_network(4, styles=3), 1)
    with Image.open(tmp_path / "step_000001.jpg") as strip:
        assert strip.size == (288, 576)


def test_fit_writes_what_a_run_leaves_behind(fitted, config):
    model, folder, told = fitted
    rows = read_history(folder / "history.csv")
    assert rows[:, 0].tolist() == list(range(1, STEPS + 1))
    names = sorted(path.name for path in (folder / "previews").iterdir())
    assert names == ["photos.jpg", "step_000005.jpg", "step_000008.jpg"]
    # Keras tells the means over the epoch.
    assert told["content"] == pytest.approx([rows[:, 2].mean()], rel=1e-5)
    assert told.keys() == {"loss", "total", "content", "style", "tv"}
    arrays, about = state.read(folder / "state.npz")
    assert about["step"] == STEPS
    for variable in model.network.weights:
        np.testing.assert_array_equal(arrays[f"network/{variable.path}"], variable.numpy())


def test_fit_goes_on_from_a_saved_state(config, tmp_path):
    saved, at_once = tmp_path / "state.npz", tmp_path / "whole.npz"
    model, batches = plain_model_of(config)
    model.fit(batches, verbose=0, callbacks=[SavedState(at_once)])
    model, batches = plain_model_of(config)
    model.fit(batches.take(5), verbose=0, callbacks=[SavedState(saved)])
    model, batches = plain_model_of(config)
    model.fit(batches.skip(5), verbose=0, callbacks=[SavedState(saved)])
    again, whole = (state.read(path)[0] for path in (saved, at_once))
    assert again.keys() == whole.keys()
    for name, array in whole.items():
        np.testing.assert_array_equal(again[name], array, err_msg=name)


def test_evaluate_is_the_loss_and_changes_nothing(config):
    # The network has losses of its own, which count too.
    model, batches = without_vgg19(config)
    before = model.network.get_weights()
    found = model.evaluate(batches.take(1), verbose=0, return_dict=True)
    for one, other in zip(before, model.network.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    result = model.learn(*next(iter(batches)))
    assert found["total"] == pytest.approx(float(result.terms.total), rel=1e-4)
    assert found["loss"] == pytest.approx(float(result.objective), rel=1e-4)


def test_the_loss_of_a_subclass_is_the_one_that_is_learnt_by(config):
    class Dark(StyleTransfer):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            return keras.ops.mean(keras.ops.square(y_pred - 60.0)) / 1e4

    given, batches = plain_model_of(config)
    model = Dark(given.network)
    model.compile(keras.optimizers.Adam(0.003))

    def measured():
        return model.evaluate(batches.take(1), verbose=0, return_dict=True)

    before = measured()
    assert before.keys() == {"loss"}  # The terms are those of the perceptual loss.
    model.fit(batches, verbose=0)
    assert measured()["loss"] < before["loss"]


def test_the_loss_of_a_subclass_is_the_mean_over_all_batches():
    class Brightness(StyleTransfer):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            return keras.ops.mean(x) + 0.0 * keras.ops.mean(y_pred)

    model = Brightness(plain_network())
    model.compile(keras.optimizers.Adam(0.003))
    greys = np.broadcast_to(np.float32([10, 20, 60])[:, None, None, None], (3, 32, 32, 3))
    photos = tf.data.Dataset.from_tensor_slices(greys).batch(1)
    assert model.evaluate(photos, verbose=0, return_dict=True) == {"loss": pytest.approx(30)}
    assert model.fit(photos, verbose=0).history == {"loss": [pytest.approx(30)]}


def test_learns_from_photos_whose_size_is_known_late():
    given = plain_parts()
    model = StyleTransfer(given.network, given.loss)
    model.compile(keras.optimizers.Adam(0.003))
    png = tf.io.encode_png(draw_photo(1, 64, 80))
    photos = tf.data.Dataset.from_tensors(png).map(lambda data: tf.io.decode_png(data, 3)).batch(1)
    assert photos.element_spec.shape[1] is None
    assert np.isfinite(model.fit(photos, verbose=0).history["loss"][0])


def test_weights_that_the_picture_does_not_depend_on_are_left_alone():
    class Unused(keras.layers.Layer):
        def build(self, _):
            self.kernel = self.add_weight(shape=(2,), initializer="ones", name="unused")

        def call(self, x):
            return x

    given = plain_parts()
    network = keras.Model(given.network.inputs, Unused(name="more")(given.network.outputs[0]))
    model = StyleTransfer(network, given.loss)
    model.compile(keras.optimizers.Adam(0.003))
    before = network.get_layer("only").kernel.numpy()
    model.fit(np.float32(draw_photo(1, 32, 32))[None], verbose=0)
    assert not np.array_equal(network.get_layer("only").kernel, before)
    np.testing.assert_array_equal(network.get_layer("more").kernel, [1, 1])
    network.get_layer("only").trainable = False
    with pytest.raises(ValueError, match="depends on none of its trainable weights"):
        model.learn(np.float32(draw_photo(1, 32, 32))[None])


def test_torn_rows_of_a_history_are_left_out_even_within_a_letter(tmp_path):
    path = tmp_path / "history_styles.csv"
    whole = "step,name,content,style,images\n5,été,0.1,0.2,3\n10,été,0.1,0.2,3\n".encode()
    path.write_bytes(whole[: whole.rindex("é".encode()) + 1])
    assert [row[0] for row in read_rows(path, whole.decode().splitlines()[0].split(","))] == ["5"]


def test_saved_model_stylises_and_names_what_it_lacks(config, tmp_path):
    model, batches = without_vgg19(config)
    photo = draw_photo(1, 20, 33)[None].astype(np.float32)
    inputs = photo if len(config.style) == 1 else [photo, np.eye(3, dtype=np.float32)[:1]]
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(inputs), model(inputs))
    with eagerly():
        assert loaded.predict(inputs, verbose=0).shape == photo.shape
        with pytest.raises(ValueError, match="loss: the model was made without"):
            loaded.fit(batches, verbose=0)


@pytest.mark.parametrize("styles", [1, 3])
def test_a_loss_of_other_styles_is_refused(styles):
    with pytest.raises(ValueError, match="loss: is of"):
        StyleTransfer(plain_network(styles=5), PlainLoss(styles))


# --- The state -----------------------------------------------------------------------------------


def built(order=lambda variables: variables):
    """A network and an optimizer that has made a step; the variables in an order of their own."""
    network = build_network(4, seed=3)
    optimizer = keras.optimizers.Adam(0.1)
    optimizer.build(order(network.trainable_variables))
    return network, optimizer


def test_state_goes_by_names_and_not_by_order(tmp_path):
    network, optimizer = built()
    gradients = [tf.ones_like(v) * n for n, v in enumerate(network.trainable_variables)]
    optimizer.apply(gradients)
    state.write(tmp_path / "state.npz", network, optimizer, {"step": 1})
    arrays, about = state.read(tmp_path / "state.npz")
    other, permuted = built(lambda variables: variables[::-1])
    assert [v.path for v in permuted.variables[2:]] != [v.path for v in optimizer.variables[2:]]
    state.restore("state.npz", arrays, about["versions"], other, permuted)
    by_name = {v.path.partition("/")[2]: v.numpy() for v in optimizer.variables}
    for variable in permuted.variables:
        wanted = by_name[variable.path.partition("/")[2]]
        np.testing.assert_array_equal(variable.numpy(), wanted)
    for one, two in zip(network.weights, other.weights, strict=True):
        np.testing.assert_array_equal(one, two)


def test_state_of_a_network_in_bfloat16(tmp_path):
    network = build_network(2, dtype="bfloat16", seed=1)
    optimizer = keras.optimizers.Adam()
    optimizer.build(network.trainable_variables)
    state.write(tmp_path / "state.npz", network, optimizer, {"step": 1})
    arrays, about = state.read(tmp_path / "state.npz")
    other = build_network(2, dtype="bfloat16", seed=2)
    state.restore("state.npz", arrays, about["versions"], other, optimizer)
    for one, two in zip(network.weights, other.weights, strict=True):
        np.testing.assert_array_equal(np.float32(one), np.float32(two))


@pytest.mark.parametrize("what", ["missing", "extra", "shape"])
def test_state_of_another_network_is_refused_and_changes_nothing(tmp_path, what):
    network, optimizer = built()
    state.write(tmp_path / "state.npz", network, optimizer, {"step": 1})
    arrays, about = state.read(tmp_path / "state.npz")
    if what == "missing":
        del arrays["network/down2_conv/kernel"]
    elif what == "extra":
        arrays["network/down9_conv/kernel"] = np.zeros(3)
    else:
        arrays["network/down2_conv/kernel"] = np.zeros(3)
    other, fresh = built()
    other.set_weights([w + 1 for w in other.get_weights()])
    before = other.get_weights()
    versions = {**about["versions"], "keras": "2.0"}
    with pytest.raises(UserError, match=r"down\d_conv/kernel.*keras 2.0, here") as error:
        state.restore("state.npz", arrays, versions, other, fresh)
    assert "\n" not in str(error.value)
    for one, two in zip(before, other.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


def test_state_of_the_older_format_is_refused(photos, style, vgg_file, tmp_path):
    config = TrainingConfig(**tiny_options(photos, style, vgg_file, tmp_path))
    folder = tmp_path / "tiny" / "training"
    folder.mkdir(parents=True)
    sha = open_styles(config)[0].sha256
    old = {"config": config.to_json(), "styles": [sha], "step": 2, "seconds": 1.0, "skipped": {}}
    np.savez(folder / "state.npz", about=json.dumps(old), network0=np.zeros(3))
    with pytest.raises(UserError, match=r"is a state of format 1.*remove it") as error:
        train(config)
    assert "\n" not in str(error.value)


# --- The host ------------------------------------------------------------------------------------


def test_train_leaves_the_random_states_of_its_host_alone(photos, style, vgg_file, tmp_path):
    def drawn():
        """What the host would draw next, from all that it may draw from."""
        own = random.random(), np.random.random(), float(keras.random.uniform(()))
        return (*own, float(tf.random.uniform(())))

    keras.utils.set_random_seed(11)
    wanted = drawn()
    options = tiny_options(photos, style, vgg_file, tmp_path, steps=1)
    keras.utils.set_random_seed(11)
    with pytest.raises(Begun):  # By then the project's own parts are built.
        train(TrainingConfig(**options), callbacks=[AtBeginning()])
    assert drawn() == wanted
    keras.utils.set_random_seed(11)
    given = {"network": plain_network(), "loss": PlainLoss()}
    train(TrainingConfig(**{**options, "name": "plain"}), on_event=lambda line: None, **given)
    assert drawn() == wanted


def test_initial_weights_are_those_that_the_seed_always_gave():
    keras.utils.set_random_seed(5)
    wanted = build_network(4).get_weights()
    for _ in range(2):
        for one, other in zip(build_network(4, seed=5).get_weights(), wanted, strict=True):
            np.testing.assert_array_equal(one, other)
    assert any(
        (a != b).any() for a, b in zip(build_network(4, seed=6).get_weights(), wanted, strict=True)
    )
