"""What a user can cause, and how a command tells of it: one line, exit code 2, no traceback."""

import sys


class UserError(Exception):
    """Something the user can put right.

    Its text is one line: what is wrong, with which file or flag, and what to do.
    """


def first_line(error):
    """The first line of what an exception says, or its kind where it says nothing."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def run(main):
    """Runs a command's `main()` and exits with what it returns.

    Exit codes: 2 with one line on stderr for a `UserError`, 130 for Ctrl-C, else `main`'s own.
    """
    try:
        sys.exit(main())
    except UserError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)
