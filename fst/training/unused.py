"""Options of `train.py` that do nothing where they are given."""

from fst.config import PRESETS, TrainingConfig
from fst.console.unused import LOSS, Rule, defaults_of, notes_on

_TURNS = Rule(
    "style_turns",
    lambda c: len(set(c.style_turns)) > 1,
    "every style has its turn as often as the others",
)


def in_training(config):
    """Notes, a line each, on the options of a `TrainingConfig` that have no effect."""
    return notes_on(
        [config], config, (*LOSS, _TURNS), {**defaults_of(TrainingConfig), **PRESETS[config.preset]}
    )
