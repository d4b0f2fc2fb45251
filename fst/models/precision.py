"""Which arithmetic to compute in, and Keras dtype policies for a part of the program alone."""

import contextlib
import functools
from pathlib import Path

import keras

_CPU_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}  # x86 and Arm, as Linux calls them


def resolve(precision):
    """The Keras dtype policy that `--precision` means: `auto` looks at the CPU."""
    if precision != "auto":
        return precision
    return "mixed_bfloat16" if _has_bfloat16() else "float32"


@functools.cache
def _has_bfloat16():
    """Whether the CPU multiplies in bfloat16 by itself; elsewhere it is emulated, and slow."""
    try:
        words = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").split()
    except OSError:  # Not Linux: macOS and Windows do not tell so simply.
        return False
    return not _CPU_FLAGS.isdisjoint(words)


@contextlib.contextmanager
def dtype_policy(name):
    """Gives the layers built inside the `with` block the Keras dtype policy `name`, if any."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name or before)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
