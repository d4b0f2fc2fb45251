"""Files and URLs: reading bytes, and writing files that appear only when complete."""

import contextlib
import csv
import hashlib
import os
import re
import shutil
import stat
import tempfile
import time
import unicodedata
import uuid
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

from fst.errors import UserError, escaped, first_line

MAX_BYTES = 64 * 2**20
"""The largest download: no photo on a web page comes near, and it is held in memory whole."""

_MAX_FILE_BYTES = 2 * 10**9  # the largest picture in 16 bits RGBA; against a film named .gif
_TIMEOUT = (10, 30)  # seconds to connect, and between two pieces of an answer
_DEADLINE = 300  # seconds for a whole download, since a server may drip for ever

_NO_WAITING = getattr(os, "O_NONBLOCK", 0)  # Windows has neither the flag nor such pipes.

_LITTER = ".fst-"  # how the names of files and folders being written begin


class ImageError(UserError):
    """A picture that cannot be read or written: one line naming it, what is wrong, what to do."""


def is_url(source):
    """Whether `source` is an http(s) address and not a path."""
    return isinstance(source, str) and source.lower().startswith(("http://", "https://"))


def read_bytes(source, name=None):
    """Reads a file or downloads an http(s) address whole.

    Args:
        source: path or address.
        name: what errors call it; `source` itself when None.

    Raises:
        ImageError: it is missing, empty, no file, not permitted, too large or cannot be reached.
    """
    name = printable(source) if name is None else name
    data = _download(source, name) if is_url(source) else _read_file(Path(source), name)
    if not data:
        raise ImageError(f"{name}: is empty; give a picture")
    return data


def printable(source):
    """How an error calls `source`: without a password, and not longer than a line can bear."""
    name = shown(without_password(source))
    return name if len(name) <= 200 else name[:197] + "..."


def without_password(source):
    """`source`, without what an address may hold of a user's name and password."""
    return re.sub(r"(?<=://)[^/@]*@", "", source) if is_url(source) else os.fspath(source)


def shown(name):
    r"""A file's name or path as text that every terminal, file and page takes.

    Bytes that are no text stand as `\xe9`, control characters, which could steer a terminal, as
    `\n` or `\x1b`. All other names are as they are.
    """
    return "".join(
        escaped(c) if unicodedata.category(c) in ("Cc", "Cs") else c for c in os.fspath(name)
    )


@contextlib.contextmanager
def open_regular(path, name=None):
    """Opens a file to read its bytes, if it is a regular one: a pipe or a device may have no end.

    Raises:
        OSError: it cannot be opened.
        ImageError: it is no regular file.
    """
    name = printable(path) if name is None else name
    _check_regular(os.stat(path), name)
    # Without waiting: it may have become a pipe just now.
    with open(path, "rb", opener=lambda p, flags: os.open(p, flags | _NO_WAITING)) as file:
        _check_regular(os.fstat(file.fileno()), name)
        yield file


def _check_regular(status, name):
    if stat.S_ISDIR(status.st_mode):
        raise ImageError(f"{name}: is a folder; give a picture file")
    if not stat.S_ISREG(status.st_mode):
        raise ImageError(f"{name}: is not a regular file; save the picture to a file first")


def _read_file(path, name):
    try:
        with open_regular(path, name) as file:
            size = os.fstat(file.fileno()).st_size
            if size > _MAX_FILE_BYTES:
                raise ImageError(f"{name}: has {size >> 20} MiB, too large for a picture")
            return file.read()
    except FileNotFoundError:
        raise ImageError(f"{name}: {missing(path)}") from None
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        raise ImageError(f"{name}: cannot be read: {reason_of(error)}") from error


def missing(path):
    """The reason why a path cannot be found.

    Paths that users give are looked up by the functions of `os.path`: pathlib's raise for what is
    too long to be a name.
    """
    if os.path.islink(path):
        return "is a link to a file that is not there"
    return "no such file or folder; check the path"


def _download(url, name):
    import requests  # Here, so that training from files does without it.

    # Some servers, such as Wikimedia's, refuse requests without a user agent.
    headers = {"User-Agent": "fst (fast style transfer)", "Accept": "image/*;q=0.9,*/*;q=0.1"}
    try:
        with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as answer:
            if not answer.ok:
                status = f"{answer.status_code} {answer.reason or ''}".strip()
                raise ImageError(f"{name}: the server answered {status}; check the address")
            return _read_body(answer, name)
    except (requests.RequestException, ValueError) as error:  # ValueError: an odd host name
        problems = (
            (requests.Timeout, "the server does not answer; try again later"),
            (requests.TooManyRedirects, "redirects in a circle; check the address"),
            (requests.exceptions.SSLError, "has no trusted certificate; download it by hand"),
            (ValueError, "is no valid address; check it"),
        )
        broken = "cannot be reached, or the connection broke; check address and network"
        problem = next((text for kind, text in problems if isinstance(error, kind)), broken)
        raise ImageError(f"{name}: {problem}") from error


def _read_body(answer, name):
    """The body of a streamed answer, given up as soon as it is seen to be too large or slow."""
    too_large = ImageError(
        f"{name}: is larger than {MAX_BYTES >> 20} MiB; download it by hand and give the file"
    )
    length = answer.headers.get("Content-Length", "")
    if length.isdecimal() and int(length) > MAX_BYTES:
        raise too_large
    body, end = bytearray(), time.monotonic() + _DEADLINE
    for piece in answer.iter_content(2**16):
        body += piece
        if len(body) > MAX_BYTES:
            raise too_large
        if time.monotonic() > end:
            raise ImageError(f"{name}: took over {_DEADLINE} s to download; try again later")
    return bytes(body)


def reason_of(error):
    """What an exception says, in one line."""
    return " ".join(str(getattr(error, "strerror", None) or error or type(error).__name__).split())


@contextlib.contextmanager
def writing(name, advice="", *, also=(), kind=UserError):
    """Turns what the file system says against the `with` block into one line for the user.

    Args:
        name: of what is written: its path, or the option that gave it and its path.
        advice: what the user can do.
        also: exceptions, besides OSError, of the library that writes.
        kind: of the error, a `UserError`.

    Raises:
        UserError: caused by the OSError, or by one of `also`.
    """
    try:
        yield
    except (OSError, *also) as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        advice = f"; {advice}" if advice else ""
        raise kind(f"{name}: cannot be written: {reason}{advice}") from error


@contextlib.contextmanager
def atomic_path(path):
    """Lets the `with` block write a file or a folder that appears under `path` only when whole.

    Yields a temporary, hidden path beside `path`, with its suffix, whose folders exist. When the
    block ends, what was written there takes `path`'s place; when it raises, whatever it raises,
    it is removed and the old `path` stays.

    Raises:
        OSError: the block's own, or the file system's when it puts the result in place.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Keras asks for ".weights.h5"; cut, since a name full of dots can be as long as names may be.
    suffixes = "".join(path.suffixes)[-40:]
    temporary = path.with_name(f"{_begun(path)}{uuid.uuid4().hex[:12]}{suffixes}")
    try:
        yield temporary
        if temporary.is_dir() and os.path.lexists(path):
            _swap_in(temporary, path)
        else:
            os.replace(temporary, path)
    except BaseException:
        _remove(temporary)
        raise


def write_table(path, header, rows):
    """Writes a CSV file, whole or not at all.

    Args:
        header: the columns' names.
        rows: lists of what str makes texts of.

    Raises:
        OSError: it cannot be written.
    """
    with (
        atomic_path(path) as temporary,
        open(temporary, "w", newline="", encoding="utf-8") as file,
    ):
        csv.writer(file).writerows([header, *rows])


def check_writable(path, flag, folder=False):
    """Raises a UserError unless a file can be made where `path` is to be, before long work begins.

    Args:
        path: what will be written, and its folders with it.
        flag: the option that named it, for the error, such as `‹output›`.
        folder: whether `path` is a folder for files.
    """
    nearest = path if folder else path.parent
    while not os.path.lexists(nearest) and nearest != nearest.parent:
        nearest = nearest.parent
    # Asking for permissions would not do: root has them all, even where nothing can be written.
    # ValueError: a zero byte in the path
    with (
        writing(f"{flag} {path}", f"choose another place than {nearest}", also=[ValueError]),
        tempfile.TemporaryFile(dir=nearest),
        contextlib.suppress(FileNotFoundError),
    ):
        os.lstat(path)  # Its name may be too long.


def check_utf8(path, flag):
    """Raises a UserError where a path's bytes are no UTF-8, which TensorFlow cannot write to.

    Args:
        path: what will be written.
        flag: the option that named it, for the error, such as `‹output›`.
    """
    if any(unicodedata.category(c) == "Cs" for c in os.fspath(path)):
        raise UserError(
            f"{flag} {shown(path)}: TensorFlow writes to no folder whose name is not UTF-8; name "
            "another"
        )


@contextlib.contextmanager
def locked(folder, taken):
    """Keeps others out of `folder` while the `with` block runs, or until this process ends somehow.

    Args:
        folder: it must be there.
        taken: the message where another has it.

    Raises:
        UserError: another has it.
    """
    if fcntl is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(taken) from None
        except OSError:
            pass  # Some network disks have no locks; then two runs at once are the user's affair.
        yield
    finally:
        os.close(handle)


def remove_litter(folder):
    """Removes what killed processes had begun to write, by `atomic_path`, in `folder` and below."""
    for path in Path(folder).rglob(f"{_LITTER}*"):
        _remove(path)


def remove_litter_of(path):
    """Removes what killed processes had begun to write, by `atomic_path`, in the place of `path`.

    Nobody may be writing it: what else is being written beside it stays.
    """
    path = Path(path)
    for litter in path.parent.glob(f"{_begun(path)}*"):
        _remove(litter)


def _begun(path):
    """How the names of what is to take the place of `path` begin."""
    return f"{_LITTER}{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:8]}"


def _swap_in(folder, path):
    """Replaces `path` by `folder`; a folder that is not empty needs two steps."""
    aside = path.with_name(f"{_begun(path)}{uuid.uuid4().hex[:12]}.old")
    try:
        os.rename(path, aside)
        os.rename(folder, path)
    except BaseException:  # Also Ctrl-C, just after either.
        if not os.path.lexists(path):
            os.rename(aside, path)
        raise
    _remove(aside)


def _remove(path):
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()
