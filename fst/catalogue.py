"""Which trained styles there are, in words: `infer.py --list`."""

import os
from pathlib import Path

from fst import collection
from fst.errors import UserError
from fst.models.architecture import layers


def describe(root=collection.ROOT):
    """One line for each trained style under `root`: name, place, size on disk, source.

    A style in a gallery takes its own scales and shifts, a small part of the gallery's folder,
    which is told too.

    Raises:
        UserError: there are no styles.
    """
    rows = [_row(name, style) for name, style in collection.find_all(root).items()]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def _row(name, style):
    place, size = str(style.folder), _words(_bytes_of(style.folder))
    try:
        ((entry, _),) = style.chosen()
        own = _words(_own_bytes(style.read_width()))
    except UserError as error:
        return name, place, size, str(error)
    if style.style_weights is not None:
        size = f"{own} of {size}"
    return name, place, size, " ".join(str(entry.get("source") or "").split())


def _own_bytes(width):
    """What a style adds to a gallery: a scale and a shift for each channel, in half precision."""
    return sum(2 * 2 * layer.outputs for layer in layers(width) if layer.normalise)


def _bytes_of(folder):
    """The size of all files below a folder."""
    found = 0
    for path in Path(folder).rglob("*"):
        try:
            found += os.lstat(path).st_size if path.is_file() else 0
        except OSError:  # It has just been removed.
            continue
    return found


def _words(size):
    return f"{size / 1e6:.1f} MB" if size >= 100_000 else f"{size / 1e3:.1f} kB"
