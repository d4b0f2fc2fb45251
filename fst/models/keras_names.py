"""Names for weights files: Keras chooses the format by the name, not by the content."""

import contextlib
import os
import re
import shutil
import tempfile
import zipfile
from pathlib import Path

import h5py


@contextlib.contextmanager
def as_keras_names_it(path):
    """Lets a model's `load_weights` read a file with any name.

    Keras takes `.weights.h5` for its own format, `.h5` for the older one, in which it publishes
    VGG19's weights, and `.keras` for a whole model.

    Args:
        path: the file, a string or path.

    Yields:
        A path, a string, by which the same file is called as Keras expects it; `path` itself where
        it is called so, or holds none of the three.

    Raises:
        OSError: the file cannot be read.
    """
    suffix = _suffix_of(path)
    name = os.fspath(path)
    called = re.search(r"(\.weights)?\.h5$|\.keras$", name)
    if suffix is None or (called and called[0] == suffix):
        yield name
        return
    with tempfile.TemporaryDirectory(prefix="fst-") as folder:
        link = Path(folder) / f"file{suffix}"
        try:
            link.symlink_to(Path(path).resolve())
        except OSError:  # Windows allows links to few.
            shutil.copy(path, link)
        yield str(link)


def _suffix_of(path):
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return ".keras" if "model.weights.h5" in archive.namelist() else None
    if not h5py.is_hdf5(path):
        return None
    with h5py.File(path, "r") as file:
        older = "layer_names" in file.attrs or "model_weights" in file
        return ".h5" if older else ".weights.h5"
