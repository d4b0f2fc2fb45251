"""Options of `python -m fst.gatys` that do nothing where they are given."""

from fst.console.unused import LOSS, Rule, defaults_of, notes_on
from fst.gatys.options import PRESETS, GatysOptions

RULES = (
    *LOSS,
    Rule("learning_rate", lambda c: c.optimizer == "adam", "it is for --optimizer adam"),
    Rule("beta_1", lambda c: c.optimizer == "adam", "it is for --optimizer adam"),
    Rule("noise", lambda c: c.init == "noise", "it is for --init noise"),
    Rule("seed", lambda c: c.init == "noise", "it is for --init noise"),
)


def in_gatys(config, runs=()):
    """Notes, a line each, on the options of a `GatysConfig` that have no effect.

    Args:
        config: the `GatysConfig`.
        runs: with `--sweep`, the `GatysOptions` of every picture.
    """
    defaults = {**defaults_of(GatysOptions), **PRESETS[config.preset]}
    runs = list(runs) or [config]
    for name in defaults:
        if len({getattr(run, name) for run in runs}) > 1:  # What is swept is given, whatever it is.
            defaults[name] = None
    notes = notes_on(runs, config, RULES, defaults)
    if config.style_image_weights and len(config.style) == 1:
        notes.append("--style-image-weights is not used: there is one style image")
    return notes
