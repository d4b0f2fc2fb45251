"""From command lines to configurations: the flags are made from the dataclasses in `fst.config`."""

import argparse
import contextlib
import dataclasses
import io
import sys

from fst.errors import UserError
from fst.options import WithPresets


def parse(config_class, program, args=None):
    """Reads a command line into a configuration.

    Args:
        config_class: a dataclass; its fields without a default become positional arguments.
        program: the program's name in its help.
        args: the arguments; those of this process when None.

    Raises:
        UserError: an argument is missing, unknown or of the wrong kind.
        SystemExit: after `--help`.
    """
    import tyro

    args = sys.argv[1:] if args is None else list(args)
    defaults = _preset_in(args, config_class) if isinstance(config_class, WithPresets) else None
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.cli(
                config_class,
                prog=program,
                args=args,
                default=defaults,
                config=(tyro.conf.PositionalRequiredArgs, tyro.conf.OmitSubcommandPrefixes),
            )
    except SystemExit as stop:
        if not stop.code:
            raise
        raise UserError(f"{_first_words(complaint.getvalue())}; see {program} --help") from None


def _preset_in(args, config_class):
    """The defaults that `--preset` calls for: they must be known before the rest can be read."""
    import tyro

    reader = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    reader.add_argument("--preset", default=config_class.preset)
    missing = {
        field.name: tyro.MISSING
        for field in dataclasses.fields(config_class)
        if field.default is field.default_factory is dataclasses.MISSING
    }
    with contextlib.suppress(argparse.ArgumentError, UserError):
        return config_class(preset=reader.parse_known_args(args)[0].preset, **missing)
    return None  # tyro will say what is wrong with it.


def _first_words(box):
    """The sentence inside the box that tyro draws around a complaint."""
    words = []
    for line in box.splitlines()[1:]:
        text = line.strip("│|╭╮╰╯ ").strip()
        if set(text) <= set("─-"):
            if words:
                break
            continue  # Where the terminal has no box-drawing characters a rule comes first.
        words.append(text)
    return " ".join(words).rstrip(".") or "the command line cannot be understood"
