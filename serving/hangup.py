"""SIGHUP, which asks the server to load models; it ends what runs in a terminal that was closed."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import Callable

_waits = threading.Event()
"""set where one came while the server started"""


def hold() -> None:
    """Lets one that comes from now on wait for `answer`, so that it ends no server that starts."""
    if _asks_to_load():
        # Blocking it would not do: a thread that a library began before takes it, and all end.
        signal.signal(signal.SIGHUP, lambda *_: _waits.set())


def answer(call: Callable[[], None]) -> None:
    """Has the running loop call `call` for each, and for one that waits."""
    if _asks_to_load():
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, call)
        if _waits.is_set():
            _waits.clear()
            call()


def _asks_to_load() -> bool:
    in_terminal = sys.stdin is not None and sys.stdin.isatty()
    in_main_thread = threading.current_thread() is threading.main_thread()
    return hasattr(signal, "SIGHUP") and in_main_thread and not in_terminal
