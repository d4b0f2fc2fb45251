"""What a user can cause, and how a command says it: one line, exit code 2, no traceback."""

import codecs
import os
import sys


class UserError(Exception):
    """Something the user can put right.

    Its text is one line: what is wrong, with which file or flag, and what to do.
    """


def first_line(error):
    """The first line of what an exception says, or its kind where it says nothing."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def escaped(character):
    r"""A character that cannot be shown, in ASCII that tells which one it is.

    What Python makes of a byte of a file's name that is no text stands as `\xe9`.
    """
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


def _escape_all(error):
    return "".join(map(escaped, error.object[error.start : error.end])), error.end


def _print_whatever_comes():
    """Prints file names even where the terminal lacks their letters, and ends no run for them."""
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
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # As in `infer.py --list | head`, by the code that a shell gives it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
