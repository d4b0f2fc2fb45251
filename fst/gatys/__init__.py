"""The companion optimiser: one picture's pixels are changed instead of a network's weights.

python -m fst.gatys CONTENT STYLE... -o OUTPUT [--preset NAME] [--optimizer lbfgs|adam] [--steps N]
"""

from importlib import import_module

__all__ = ["optimize"]


def __getattr__(name):
    # Only on demand: the options are read by commands that optimise nothing.
    if name in __all__:
        return getattr(import_module("fst.gatys.optimizer"), name)
    raise AttributeError(f"module 'fst.gatys' has no attribute '{name}'")
