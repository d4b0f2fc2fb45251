"""How much memory this process may still take."""

from pathlib import Path

import psutil

# Limit and use of a container's memory: control groups, second and first version.
_GROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
    ),
)


def available(groups=_GROUPS):
    """Bytes that can be taken without swapping, within the limit of a container if there is one.

    Args:
        groups: pairs of files with a limit and with what is used of it.
    """
    free = psutil.virtual_memory().available
    for limit, used in groups:
        try:
            left = int(Path(limit).read_text()) - int(Path(used).read_text())
        except (OSError, ValueError):  # No such group, or "max": no limit.
            continue
        free = min(free, max(left, 0) + _cached(Path(used).with_name("memory.stat")))
    return free


def _cached(statistics):
    """Bytes of what is counted as used that the system gives back when asked: files read before."""
    try:
        rows = dict(line.split() for line in statistics.read_text().splitlines())
        return int(rows.get("total_inactive_file") or rows["inactive_file"])
    except (OSError, ValueError, KeyError):
        return 0
