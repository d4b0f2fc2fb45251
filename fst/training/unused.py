"""Options of `train.py` that do nothing where they are given."""

from fst.config import PRESETS, TrainingConfig
from fst.console.unused import LOSS, defaults_of, notes_on


def in_training(config):
    """Notes, a line each, on the options of a `TrainingConfig` that have no effect."""
    return notes_on(
        [config], config, LOSS, {**defaults_of(TrainingConfig), **PRESETS[config.preset]}
    )
