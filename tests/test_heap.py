"""Memory that is freed and kept."""

import platform

import pytest
from conftest import run

# Takes and frees 64 MiB, as TensorFlow does in every step; prints how many pages were cleared.
_STEPS = """
import resource
import numpy as np
from fst.console import heap
{keep}
np.ones(2**26, np.uint8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    np.ones(2**26, np.uint8)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_what_is_freed_is_taken_again():
    cleared = {}
    for keep in ("", "heap.keep_freed()", "heap.keep_freed(gib=1)"):
        done = run("-c", _STEPS.format(keep=keep))
        assert done.returncode == 0, done.stderr
        cleared[keep] = int(done.stdout)
    given_back = cleared.pop("")
    assert given_back > 500  # Where pages are large; else 16,384 in each step.
    assert max(cleared.values()) < 0.1 * given_back
