"""What the dataclasses of options are made and checked with: see `fst.config`."""

import dataclasses
from typing import Literal, get_args, get_origin, get_type_hints

import tyro

from fst.errors import UserError, flag_of

REQUIRED = "(required)"
"""How the help ends of an option that must be given although it has a default in Python."""


def shown_as(metavar: str, end: str | None = None, aliases: tuple[str, ...] = ()):
    """How the help of a command shows an option; goes into its `Annotated` type.

    Args:
        metavar: what stands for its value.
        end: how its help ends, in place of its default.
        aliases: further spellings of its flag.
    """
    hint = _default_shown if end is None else end
    return tyro.conf.arg(metavar=metavar, help_behavior_hint=hint, aliases=aliases or None)


def _default_shown(default):
    """The end of an option's help. An empty default says nothing: the help tells what it means."""
    return f"(default: {default})" if default.strip("'\"") else ""


class WithPresets(type):
    """Makes dataclasses whose option `preset` sets those that are not given beside it.

    What a preset sets is told by the static method `preset_options(preset)` of the class: options
    by their names, none for a preset that there is not.
    """

    def __call__(cls, *args, **options):
        given = {field.name for field, _ in zip(dataclasses.fields(cls), args, strict=False)}
        preset = options.get("preset", cls.preset)
        if preset != cls.preset:
            its_own = cls.preset_options(preset)
            options = {k: v for k, v in its_own.items() if k not in given} | options
        return super().__call__(*args, **options)


def check_choices(config):
    """Raises a UserError where an option of a dataclass is not one of its choices.

    The command line's parser knows them; a call from Python has no parser.
    """
    for name, kind in get_type_hints(type(config)).items():
        value = getattr(config, name)
        if get_origin(kind) is Literal and value not in get_args(kind):
            raise UserError(f"‹{name}› is one of {', '.join(get_args(kind))}, not '{value}'")


def check_ranges(config, ranges):
    """Raises a UserError unless every field lies in its range.

    Args:
        config: a dataclass.
        ranges: field, lowest and highest value of each.
    """
    for field, low, high in ranges:
        values = getattr(config, field)
        for value in values if isinstance(values, tuple) else (values,):
            if not low <= value <= high:
                raise UserError(f"‹{field}› must be from {low} to {high}, not {value}")


def words_of(options):
    """Options as a command line has them, a list of words.

    Args:
        options: values by field; of several values each is a word, True is the flag alone, and
            False is nothing.
    """
    words = []
    for field, value in options.items():
        if value is False:
            continue
        words.append(flag_of(field))
        if value is not True:
            words += map(str, value if isinstance(value, (list, tuple)) else [value])
    return words
