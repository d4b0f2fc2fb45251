"""fst: fast style transfer for TensorFlow and Keras.

>>> import fst
>>> stylise = fst.load("starry_night")
>>> picture = stylise(photo)  # uint8 or float32 [H, W, 3], any size
>>> picture.shape == photo.shape
True

`fst.train(fst.TrainingConfig("picture.jpg"))` learns a style of your own, and `fst.load` takes what
it returns. `docs/api.md` has the rest.
"""

from importlib import import_module

__version__ = "0.2.0"

# Where each name lies: a module, or what it belongs to. `__init__.pyi` tells type checkers.
_HOMES = {
    "GatysOptions": "fst.gatys.options",
    "PerceptualLoss": "fst.models.perceptual",
    "StyleTransfer": "fst.models.style_transfer",
    "Stylizer": "fst.stylize.stylizer",
    "TrainingConfig": "fst.config",
    "UserError": "fst.errors",
    "build_network": "fst.models.network",
    "callbacks": "fst.callbacks",
    "gatys": "fst.gatys",
    "load": "fst.stylize.stylizer",
    "load_model": "fst.collection",
    "look": "fst.stylize.look",
    "metrics": "fst.metrics",
    "stylise_video": "fst.batch.inference",
    "train": "fst.training.loop",
}
__all__ = list(_HOMES)


def __getattr__(name):
    # TensorFlow takes seconds to import: only what is used is loaded.
    if name not in _HOMES:
        raise AttributeError(f"module 'fst' has no attribute '{name}'")
    home = import_module(_HOMES[name])
    return home if _HOMES[name].rpartition(".")[2] == name else getattr(home, name)


def __dir__():
    return [*__all__, "__version__"]
