"""Memory that a training takes anew at each step."""

from __future__ import annotations

import ctypes
from contextlib import suppress

_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4
_ENDLESS = 2**31 - 1


def keep_what_is_freed() -> None:
    """Lets the process keep the large pieces that a step frees, since the next one takes as many.

    glibc would give each back to the system, and on a CPU the page faults of the new ones can cost
    as much time as the network does (benchmarks/data_wait.py). It is for good, and for the whole
    process. Elsewhere than under glibc it does nothing.
    """
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, _ENDLESS)
