"""fst: fast style transfer for TensorFlow and Keras.

>>> import fst
>>> stylise = fst.load("starry_night")
>>> picture = stylise(photo)                    # uint8 or float32 [H, W, 3], any size
>>> fst.train(fst.TrainingConfig("style.jpg", content="photos"))
>>> fst.gatys.optimize("photo.jpg", "style.jpg", fst.GatysOptions(size=256)).picture
"""

from importlib import import_module

__version__ = "0.1.0"
__all__ = ["GatysOptions", "TrainingConfig", "gatys", "load", "train"]

_ROOMS = {
    "GatysOptions": "fst.gatys.options",
    "TrainingConfig": "fst.config",
    "load": "fst.stylize.stylizer",
    "train": "fst.training.loop",
}


def __getattr__(name):
    # TensorFlow takes seconds to import: only what is used is loaded.
    if name == "gatys":
        return import_module("fst.gatys")
    if name in _ROOMS:
        return getattr(import_module(_ROOMS[name]), name)
    raise AttributeError(f"module 'fst' has no attribute '{name}'")
