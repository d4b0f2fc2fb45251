"""A training run so small that a step takes milliseconds; what the tests of training share."""

import keras
import numpy as np
from keras import ops

from fst.models.perceptual import LossTerms
from fst.options import words_of
from fst.training.history import read_history


def tiny_options(photos, style, vgg_file, output, **changes):
    """The options of a tiny run, by their names in `fst.config.TrainingConfig`."""
    return {
        "style": style if isinstance(style, list) else str(style),
        "content": str(photos),
        "output": str(output),
        "name": "tiny",
        "steps": 6,
        "batch_size": 2,
        "crop_size": 32,
        "photo_size": 40,
        "style_size": 64,
        "width": 4,
        "content_layers": ("relu2_2",),
        "style_layers": ("relu1_1", "relu2_1"),
        "holdout": 0,
        "vgg_weights": str(vgg_file),
        "start_from": "none",
        "precision": "float32",
        **changes,
    }


def plain_network(styles=1):
    """One convolution, the same every time: a run that trains it begins and ends at once.

    Of several styles each adds a colour of its own.
    """
    photo = keras.Input((None, None, 3))
    start = keras.initializers.GlorotUniform(seed=1)
    layer = keras.layers.Conv2D(3, 3, padding="same", kernel_initializer=start, name="only")
    if styles == 1:
        return keras.Model(photo, layer(photo))
    shares = keras.Input((styles,))
    colour = keras.layers.Dense(3, kernel_initializer="zeros", name="colour")(shares)
    colour = keras.layers.Reshape((1, 1, 3), name="everywhere")(colour)
    return keras.Model([photo, shares], keras.layers.Add(name="sum")([layer(photo), colour]))


class PlainLoss:
    """Without VGG19: content is the photo itself, and each style is one grey."""

    styles = 1

    def __init__(self, styles=1):
        self.styles = styles

    def content_features(self, photos):
        return [photos]

    def of_each(self, stylised, features, shares=None):
        def distance(one, other):
            return ops.mean(ops.square((one - other) / 127.5), axis=(1, 2, 3))

        grey = 90.0
        if shares is not None:
            greys = np.linspace(90.0, 180.0, self.styles, dtype=np.float32)
            grey = ops.reshape(ops.matmul(shares, greys[:, None]), (-1, 1, 1, 1))
        content, style = distance(stylised, features[0]), distance(stylised, grey)
        return LossTerms(content + style, content, style, ops.zeros_like(content))


def command_of(options):
    """The command line that gives `options`, without `python`."""
    rest = {name: value for name, value in options.items() if name != "style"}
    style = options["style"]
    return ["train.py", *(style if isinstance(style, list) else [style]), *words_of(rest)]


def read_losses(folder):
    """Step, total, content, style and tv of every step, `[steps, 5]`."""
    return read_history(folder / "history.csv")[:, :5]


def read_state(folder):
    """The arrays of the state on disk, without the note about them."""
    with np.load(folder / "training" / "state.npz") as file:
        return {name: file[name] for name in file.files if name != "about"}


def read_weights(path):
    """The weights in a Keras weights file, by their names in it."""
    import h5py

    found = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: found.update({name: item[()]}) if hasattr(item, "shape") else None
        )
    return found


def litter(folder):
    """What is left of files that were being written."""
    return sorted(folder.rglob(".fst-*"))


def contents(folder):
    """Every file below `folder` with its bytes and the time it was written."""
    return {
        path: (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


class AtStep(keras.callbacks.Callback):
    """Calls `action(model)` once step `number` of a run is done, before it is written down."""

    def __init__(self, number, action):
        super().__init__()
        self._number, self._action = number, action

    def on_train_batch_end(self, batch, logs=None):
        if batch + 1 == self._number:
            self._action(self.model)


class AtEnd(keras.callbacks.Callback):
    """Calls `action()` once all steps of a run are done and saved: the style is written next."""

    def __init__(self, action):
        super().__init__()
        self._action = action

    def on_train_end(self, logs=None):
        self._action()


class Begun(Exception):
    """A run is about to take its first step."""


class AtBeginning(keras.callbacks.Callback):
    """Ends a run before its first step; `weights` are those that it begins with."""

    def on_train_begin(self, logs=None):
        from conftest import weights_of  # Here: scripts in other processes take parts of this file.

        self.weights = weights_of(self.model.network)
        raise Begun
