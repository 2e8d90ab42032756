"""The control groups that this process is in, which in a container limit what it may use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec


class Group(msgspec.Struct, frozen=True):
    """The folder of a control group, of version 1 or 2 of their interface."""

    folder: Path
    version: int

    def read(self, name: str) -> str:
        """What the file `name` of the group holds; empty where there is none."""
        return read(self.folder / name)


def groups(controller: str, root: Path = Path("/")) -> Iterator[Group]:
    """The groups of this process for `controller` (cpu, memory) and all above them.

    `root` is where /proc and /sys are found.
    """
    mounts = root / "sys/fs/cgroup"
    for line in read(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            yield from (Group(folder, 2) for folder in _upwards(mounts, path))
        elif controller in controllers.split(","):
            for mount in (mounts / controller, mounts / controllers):
                yield from (Group(folder, 1) for folder in _upwards(mount, path))


def read(path: Path) -> str:
    """The text of a file of /proc or /sys; empty where it cannot be read."""
    try:
        return path.read_text()
    except OSError:
        return ""


def _upwards(mount: Path, path: str) -> Iterator[Path]:
    """The group's folder and those above it, up to where the hierarchy is mounted.

    Inside a container the path may be the host's and lead nowhere; the mount is then the group.
    """
    parts = [part for part in path.split("/") if part not in ("", "..")]
    for depth in range(len(parts), -1, -1):
        yield mount.joinpath(*parts[:depth])
