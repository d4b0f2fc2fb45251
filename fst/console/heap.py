"""Memory that TensorFlow frees, kept for its next step."""

import ctypes
import os

# The parameters of mallopt(3), in glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8

_GIB = 2**30


def keep_freed(gib=2):
    """Has the C library keep memory that is freed, instead of giving it back to the system.

    TensorFlow takes and frees over a gigabyte in a step of training, and as much for a photo of a
    megapixel. Given back, the system has to clear every page of it the next time, which took a
    third of the CPU's time. For commands, whose process is their own; does nothing where the C
    library is not glibc.

    Args:
        gib: how much may be kept, at most 2. What is kept counts as used where the memory that is
            free decides how a large photo is stylised.
    """
    if os.name != "posix":  # On Windows there is no library to be found without a name.
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    mallopt(_ARENA_MAX, 1)  # The first one, which alone can hold blocks of any size.
    mallopt(_MMAP_THRESHOLD, _GIB)
    mallopt(_TRIM_THRESHOLD, min(gib * _GIB, 2**31 - 1))
