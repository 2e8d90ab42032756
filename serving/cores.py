"""How many cores this process may use, which in a container is fewer than the machine has."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path


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
    groups = root / "sys/fs/cgroup"
    for line in _read(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            for folder in _upwards(groups, path):
                quota, _, period = _read(folder / "cpu.max").strip().partition(" ")
                yield from _cores(quota, period)
        elif "cpu" in controllers.split(","):
            for mount in (groups / "cpu", groups / controllers):
                for folder in _upwards(mount, path):
                    quota = _read(folder / "cpu.cfs_quota_us").strip()
                    yield from _cores(quota, _read(folder / "cpu.cfs_period_us").strip())


def _upwards(mount: Path, path: str) -> Iterator[Path]:
    """The group's folder and those above it, up to where the hierarchy is mounted.

    Inside a container the path may be the host's and lead nowhere; the mount is then the group.
    """
    parts = [part for part in path.split("/") if part not in ("", "..")]
    for depth in range(len(parts), -1, -1):
        yield mount.joinpath(*parts[:depth])


def _cores(quota: str, period: str) -> Iterator[float]:
    """Microseconds of processor in each period as cores; nothing where there is no quota."""
    try:
        cores = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):
        return
    if cores > 0:
        yield cores


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
