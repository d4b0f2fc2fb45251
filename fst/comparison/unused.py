"""Options of `compare.py` that do nothing where they are given."""

from fst.console.unused import Rule, defaults_of, notes_on

RULES = (
    Rule("seed", lambda c: "noise" in (c.init, *c.also_from), "no start is from noise"),
    Rule(
        "also_from",
        lambda c: not c.also_from or set(c.also_from) - {c.init},
        "--init starts there already",
    ),
)


def in_comparison(config):
    """Notes, a line each, on the options of a `CompareConfig` that have no effect."""
    return notes_on([config], config, RULES, defaults_of(type(config)))
