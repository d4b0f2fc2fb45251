"""Libraries without their remarks on the terminal."""

import ctypes
import logging
import os
import sys
import tempfile
import warnings
from pathlib import Path

import PIL

NVIDIA_DRIVER = "/proc/driver/nvidia/version"
"""A file that is there where Linux has an NVIDIA driver."""


def quiet_tensorflow():
    """Imports TensorFlow with its start-up notes kept off the terminal.

    It writes most of them before it obeys any log level, so its output is caught. The notes
    are shown after all if the import fails, or if there is an NVIDIA driver and yet no GPU is
    found, because they say why. TF_CPP_MIN_LOG_LEVEL=0 or 1 shows them always.
    """
    if "tensorflow" in sys.modules or os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2") < "2":
        return
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    sys.stderr.flush()
    try:
        notes = tempfile.TemporaryFile()  # noqa: SIM115  closed with the block below
    except OSError:  # The disk is full, which is told where something is to be written.
        return
    wanted, terminal = True, os.dup(2)
    with notes:
        os.dup2(notes.fileno(), 2)
        try:
            import tensorflow as tf

            # The search for GPUs also writes notes.
            gpus = tf.config.list_physical_devices("GPU")
            if "TF_CONFIG" not in os.environ:  # Workers must meet before anything is computed.
                tf.cast(tf.zeros([1]), tf.float16)  # Some CPUs cannot compute in it: none needs to.
            wanted = not gpus and os.path.exists(NVIDIA_DRIVER)
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
            if wanted:
                notes.seek(0)
                sys.stderr.write(notes.read().decode(errors="replace"))


def quiet_pillow():
    """Keeps Pillow's warnings on odd files off the terminal: they do not name the file."""
    warnings.filterwarnings("ignore", module=r"PIL\.")
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    # Its libtiff writes past Python, in pieces, which from a thread that reads fall amid our lines.
    libraries = Path(PIL.__file__).parent.parent / "pillow.libs"  # Where its wheels for Linux are.
    for library in libraries.glob("libtiff-*.so*"):
        ctypes.CDLL(str(library)).TIFFSetErrorHandler(None)
