"""How many cores this process may use, which in a container is fewer than the machine has."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

from serving.cgroups import groups


def available_cores(root: Path = Path("/")) -> int:
    """The cores of this process's affinity or its cgroup's quota, whichever is less; at least 1.

    A part of a core counts as a whole one. `root` is where /proc and /sys are found.
    """
    if hasattr(os, "sched_getaffinity"):
        cores: float = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return max(1, math.ceil(min([cores, *_quotas(root)])))


def _quotas(root: Path) -> Iterator[float]:
    """The quotas, in cores, of the process's cgroups and all above them, of version 1 and 2."""
    for group in groups("cpu", root):
        if group.version == 2:
            quota, _, period = group.read("cpu.max").strip().partition(" ")
        else:
            quota, period = group.read("cpu.cfs_quota_us"), group.read("cpu.cfs_period_us")
        yield from _cores(quota, period)


def _cores(quota: str, period: str) -> Iterator[float]:
    """Microseconds of processor in each period as cores; nothing where there is no quota."""
    try:
        cores = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):
        return
    if cores > 0:
        yield cores
