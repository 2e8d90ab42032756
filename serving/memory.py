"""How much memory this process may use, and rooms that keep what it holds within a part of it."""

from __future__ import annotations

import ctypes
import math
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from serving.cgroups import groups, read

_M_MMAP_THRESHOLD = -3
_M_TRIM_THRESHOLD = -1
_LARGE = 10 << 20
"""bytes; a picture of 2 megapixels takes eight of them"""
_KEPT = 16 << 20
"""bytes that each thread keeps for the next picture: such a one and its square; to take them from
the system anew each time costs thousands of page faults, a fifth of the picture's whole time"""


def available_memory(root: Path = Path("/")) -> int:
    """Bytes of the machine or of its cgroup's limit, whichever is less.

    `root` is where /proc and /sys are found.
    """
    return min([_machine(root), *_limits(root)])


def return_what_is_freed() -> None:
    """Makes large pieces of memory go back to the system as soon as they are freed.

    glibc keeps them for the thread that had them, up to 32 MB a piece: after a few large pictures
    each thread would hold one picture's worth for good. Elsewhere it does nothing.
    """
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGE)
        # glibc's own, which follows the sizes it sees, is fixed at 128 kB once the other is set.
        libc.mallopt(_M_TRIM_THRESHOLD, _KEPT)


def return_what_is_free() -> None:
    """Gives the system back what was freed in small pieces, which glibc keeps for later.

    It takes milliseconds, and is worth them once after a great deal was freed. Elsewhere than under
    glibc it does nothing.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


class Room:
    """Bytes that are taken before they are used, and given back; safe between threads."""

    def __init__(self, size: float = math.inf) -> None:
        self.size = size
        self.used = 0
        self._changed = threading.Condition()
        # Whoever waits holds it, so that a large one is not passed for ever by small ones.
        self._turn = threading.Lock()

    def try_take(self, count: int) -> bool:
        """Takes `count` bytes where they are free; tells whether it did."""
        with self._changed:
            if self.used + count > self.size:
                return False
            self.used += count
            return True

    def give(self, count: int) -> None:
        """Gives `count` bytes back."""
        with self._changed:
            self.used -= count
            self._changed.notify_all()

    @contextmanager
    def taken(self, count: int) -> Iterator[None]:
        """Waits until `count` bytes, at most `size`, are free, and holds them."""
        with self._turn, self._changed:
            self._changed.wait_for(lambda: self.used + count <= self.size)
            self.used += count
        try:
            yield
        finally:
            self.give(count)


def _machine(root: Path) -> int:
    for line in read(root / "proc/meminfo").splitlines():
        name, _, rest = line.partition(":")
        if name == "MemTotal":
            return int(rest.split()[0]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _limits(root: Path) -> Iterator[int]:
    """The limits of the process's cgroups and all above them, of version 1 and 2."""
    for group in groups("memory", root):
        name = "memory.max" if group.version == 2 else "memory.limit_in_bytes"
        limit = group.read(name).strip()
        if limit.isdigit():  # "max" is none
            yield int(limit)
