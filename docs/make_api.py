#!/usr/bin/env python3
"""Writes docs/api.md, the page of the package's public names, from their docstrings.

python docs/make_api.py
"""

import ast
import dataclasses
import inspect
import itertools
import os
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import fst  # noqa: E402

INTRODUCTION = """\
# The Python interface

All names of `import fst`, made from their docstrings by `python docs/make_api.py`. TensorFlow is
loaded with the first name that needs it. A `UserError` names arguments; the commands name flags.
"""


def page():
    """The page's text, in Markdown."""
    sections = [_section(name, getattr(fst, name)) for name in sorted(fst.__all__, key=str.lower)]
    return "\n".join([INTRODUCTION, *sections])


def _section(name, thing):
    if inspect.ismodule(thing):
        parts = [f"## fst.{name}\n", _text(thing)]
        for part in _public(thing):
            parts.append(_entry(f"fst.{name}.{part}", getattr(thing, part), "###"))
        return "\n".join(parts)
    return _entry(f"fst.{name}", thing, "##")


def _public(module):
    """The names that a module shows: those that it lists, else what it defines."""
    if listed := getattr(module, "__all__", None):
        return sorted(listed)
    return sorted(
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    )


def _entry(title, thing, heading):
    parts = [f"{heading} {title}\n", f"```python\n{title}{_signature(thing)}\n```\n", _text(thing)]
    if options := _options(thing):
        parts += ["| option | default | |", "|---|---|---|", *options, ""]
    for name, method in _methods(thing):
        parts.append(f"{heading}# {title}.{name}\n\n```python\n{name}{_signature(method)}\n```\n")
        parts.append(_text(method))
    return "\n".join(parts)


def _options(thing):
    """The rows of a table of a dataclass's fields that have a text under them."""
    if not dataclasses.is_dataclass(thing):
        return []
    (tree,) = ast.parse(inspect.getsource(thing)).body
    told = {
        field.target.id: re.sub(r"--([a-z-]+)", _argument, " ".join(text.value.value.split()))
        for field, text in itertools.pairwise(tree.body)
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr)
    }
    return [
        f"| `{field.name}` | {_default(field)} | {told[field.name]} |"
        for field in dataclasses.fields(thing)
        if field.name in told
    ]


def _argument(flag):
    return f"`{flag[1].replace('-', '_')}`"


def _default(field):
    return "" if field.default is dataclasses.MISSING else f"`{field.default!r}`"


def _methods(thing):
    if not inspect.isclass(thing) or issubclass(thing, tuple):
        return []
    return [
        (name, value)
        for name, value in vars(thing).items()
        if inspect.isfunction(value)
        and value.__doc__  # Its own: what Keras calls is told in the documentation of Keras.
        and value.__module__.startswith("fst.")
        and (not name.startswith("_") or name == "__call__")
    ]


def _signature(thing):
    """The signature; of options none, since a table tells them."""
    if _options(thing):
        return "(...)"
    try:
        signature = inspect.signature(thing)
    except (TypeError, ValueError):
        return ""
    return re.sub(r"<function (\w+) at 0x\w+>", r"\1", str(signature))


def _text(thing):
    """A docstring, indented parts such as examples and tables as they stand."""
    return f"```text\n{inspect.getdoc(thing)}\n```\n"


if __name__ == "__main__":
    (HERE / "api.md").write_text(page(), encoding="utf-8")
