"""Errors that a user can cause: one line, exit code 2, no traceback."""

import codecs
import os
import re
import sys

_OPTION = re.compile("‹([A-Za-z][A-Za-z0-9_]*)›")


class UserError(Exception):
    """An error that the user can correct.

    Its text is one line: what is wrong, with which file or option, and what to do.

    Options stand in it between marks, `‹style_weight›`, and in capitals where a command takes them
    by their place, `‹STYLE›`. `str(error)` is for callers in Python and gives an option its name as
    an argument, `style_weight`; `for_command_line` gives it as a flag.
    """

    def __str__(self) -> str:
        return _OPTION.sub(lambda found: found[1].lower(), super().__str__())

    def for_command_line(self) -> str:
        """The text, in one line, with options as a command line has them: `--style-weight`."""
        text = _OPTION.sub(lambda found: _spelled(found[1]), super().__str__())
        return " ".join(text.split())  # A file's name may hold line breaks.


def flag_of(field: str) -> str:
    """The command line's spelling of an option: `--style-weight` for `style_weight`."""
    return "--" + field.replace("_", "-")


def _spelled(option):
    return option if option.isupper() else flag_of(option)


def first_line(error):
    """The first line of what an exception says, or its kind where it says nothing."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def escaped(character):
    r"""A character that cannot be shown, in ASCII that tells which one it is.

    A byte of a file's name that is not text appears as `\xe9`.
    """
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


def _escape_all(error):
    return "".join(map(escaped, error.object[error.start : error.end])), error.end


def _print_whatever_comes():
    """Lets any file name be printed, even if the terminal lacks its letters."""
    codecs.register_error("fst.escaped", _escape_all)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="fst.escaped")


def run(main):
    """Runs a command's `main()` and exits with what it returns.

    Exit codes: 2 with one line on stderr for a `UserError`, 130 for Ctrl-C, 141 where nobody reads
    its output any more, else `main`'s own.
    """
    _print_whatever_comes()
    try:
        code = main()
        sys.stdout.flush()  # Here, or Python would complain of a closed pipe as it ends.
        sys.exit(code)
    except UserError as error:
        print(f"error: {error.for_command_line()}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # As in `infer.py --list | head`, by the code that a shell gives it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
