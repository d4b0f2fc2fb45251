"""Notes on options that have no effect in a command, a line each.

These are notes and not errors: the result is right without the options, and a script may give the
same options to all its runs. An option with its default value is not mentioned.

Each command keeps its own rules; what they share is here.
"""

import dataclasses
import sys
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from fst.errors import flag_of


class Rule(NamedTuple):
    """When an option does something: `used` is told the configuration, `why` says when it is."""

    field: str
    used: Callable
    why: str


LOSS = (
    Rule("content_layers", lambda c: c.content_weight > 0, "--content-weight is 0"),
    Rule("style_layers", lambda c: np.any(c.style_weight), "--style-weight is 0"),
    Rule("style_size", lambda c: np.any(c.style_weight), "--style-weight is 0"),
)


def tell(notes):
    """Prints notes, such as `notes_on` returns, to stderr."""
    for note in notes:
        print(f"note: {note}", file=sys.stderr)


def notes_on(runs, config, rules, defaults):
    """Notes, a line each, on the options that have no effect.

    Args:
        runs: the configurations that are run; an option is of use if one of them has a use for it.
        config: the configuration that was given.
        rules: the `Rule`s of its options.
        defaults: a dict, the value of each option that is not worth a note.
    """
    return [
        f"{flag_of(rule.field)} is not used: {rule.why}"
        for rule in rules
        if getattr(config, rule.field) != defaults[rule.field] and not any(map(rule.used, runs))
    ]


def defaults_of(kind):
    """The defaults of a dataclass by the names of its fields."""
    return {field.name: field.default for field in dataclasses.fields(kind)}
