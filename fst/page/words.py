"""Errors: a message on the page, and the details in the log."""

import contextlib
import logging
import re

import streamlit as st

from fst.errors import UserError
from fst.files import shown

_log = logging.getLogger("fst.page")


def plain(text):
    """`text` such that Markdown shows it as it is, in one line: it may hold a visitor's words."""
    return re.sub(r"([\\`*_{}\[\]()<>#+!|$:~.&-])", r"\\\1", shown(" ".join(str(text).split())))


@contextlib.contextmanager
def told(place=st):
    """Shows what the `with` block raises as a message at `place`, never as a traceback."""
    try:
        yield
    except UserError as error:
        place.error(plain(error))
    except MemoryError as error:
        _log.warning("out of memory: %s", error)
        place.error("The picture does not fit in memory; scale it down first.")
    except Exception:  # Streamlit's own, to stop and to rerun a script, are no Exceptions.
        _log.exception("the page failed")
        place.error("Something went wrong on the server; its log has the details. Try again.")
