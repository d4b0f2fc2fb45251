"""The command `fst`, also `python -m fst`, with its subcommands."""

import functools
import sys
from importlib import import_module
from typing import NamedTuple

from fst import __version__, errors
from fst.errors import UserError


class Command(NamedTuple):
    """A command: the function `main` of `module` does it, and `what` says what that is."""

    module: str
    what: str
    main: str = "main"


COMMANDS = {
    "infer": Command("fst.batch.command", "stylise photos, folders and videos"),
    "styles": Command("fst.batch.command", "list the trained styles", "styles"),
    "train": Command("fst.training.command", "learn the style of a picture"),
    "gatys": Command("fst.gatys.command", "stylise one photo without training, slowly"),
    "compare": Command("fst.comparison.command", "compare the fast and the slow method"),
    "export": Command("fst.export", "export a style for other programs"),
    "page": Command("fst.page.command", "open the web page"),
}


def usage():
    """What `fst --help` prints."""
    rows = (f"  {name:<8} {command.what}" for name, command in COMMANDS.items())
    return "\n".join(["usage: fst COMMAND ...", "", *rows, "", "fst COMMAND --help: its options"])


def main():
    """Runs the command that the first argument names; returns its exit code."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("-h", "--help"):
        print(usage())
        return 0
    if name == "--version":
        print(__version__)
        return 0
    if name not in COMMANDS:
        raise UserError(f"there is no command '{name}': use one of {', '.join(COMMANDS)}")
    command = COMMANDS[name]
    del sys.argv[1]
    return getattr(import_module(command.module), command.main)(program=f"fst {name}")


run = functools.partial(errors.run, main)
"""What the installed command `fst` calls."""

if __name__ == "__main__":
    run()
