"""Folders of photos: which files in them are pictures, told by their names or how they begin."""

import os
import re
from pathlib import Path
from typing import NamedTuple

from fst import files
from fst.errors import UserError
from fst.files import ImageError
from fst.media import tiff
from fst.media.images import EXTENSIONS


class Found(NamedTuple):
    """What lies in a folder: sorted paths that begin with it.

    `photos` are the pictures, `left_out` all other files that are not hidden.
    """

    photos: list
    left_out: list


def find_images(folder, recursive=True):
    """The pictures in a folder; as `look_through`, without the other files."""
    return look_through(folder, recursive).photos


def look_through(folder, recursive=True, without=()):
    """Tells the pictures in a folder from the other files.

    A picture is what is called as one, which need not be opened for that: whether it can be read is
    seen when it is. What is called otherwise is a picture if it begins as one. Hidden files and
    folders are left out; linked folders are followed, each real folder once.

    Args:
        folder: where to look.
        recursive: also in its subfolders.
        without: folders to pass over with all that is in them, such as that of the results, where
            they are there; not `folder` itself.

    Returns:
        `Found`.

    Raises:
        UserError: `folder` is missing, is not a folder, or it or a subfolder cannot be read.
    """
    folder = Path(folder)
    if not os.path.isdir(folder):
        problem = "is not a folder" if os.path.exists(folder) else "no such folder"
        raise UserError(f"{folder}: {problem}; give a folder of pictures")

    def refuse(error):
        raise UserError(f"{error.filename}: the folder cannot be read: {files.reason_of(error)}")

    found = Found([], [])
    seen = {_identity(path) for path in without if os.path.isdir(path)} - {_identity(folder)}
    for here, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        identity = _identity(here)
        if identity in seen:
            folders.clear()
            continue
        seen.add(identity)
        # In place, which is how os.walk is told where to go on.
        folders[:] = sorted(f for f in folders if not f.startswith(".")) if recursive else []
        for path in (Path(here, name) for name in names if not name.startswith(".")):
            called = path.suffix.lower() in EXTENSIONS
            (found.photos if called or _begins_as_picture(path) else found.left_out).append(path)
    return Found(sorted(found.photos), sorted(found.left_out))


def _identity(folder):
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def left_out_words(paths, folder):
    """A line on files that are left out, all below `folder`."""
    told = "1 file is no picture" if len(paths) == 1 else f"{len(paths)} files are no pictures"
    return f"{folder}: {told}, left out: {names_of(paths, folder)}"


def names_of(paths, folder, most=3):
    """The names of the first few of several files below `folder`."""
    names = [files.shown(path.relative_to(folder).as_posix()) for path in paths[:most]]
    return ", ".join(names) + ", ..." * (len(paths) > most)


_BEGINNINGS = (
    rb"\xff\xd8\xff",  # JPEG
    rb"\x89PNG\r\n\x1a\n",
    rb"GIF8[79]a",
    rb"RIFF....WEBP",
    rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0",
    rb"....ftyp(heic|heix|heim|heis|mif1|msf1|avif|avis)",
)


def _begins_as_picture(path):
    try:
        with files.open_regular(path) as file:
            head = file.read(32)
            if re.match(b"|".join(_BEGINNINGS), head, re.DOTALL):
                return True
            if head[:4] not in tiff.MAGICS:
                return False
            file.seek(0)  # A camera's raw photos are TIFFs too, and no pictures.
            tags = tiff.read_tags(file)
            return bool(tags) and not tiff.is_raw(tags) and head[8:10] != b"CR"
    except (OSError, ImageError):
        return False
