"""SIGHUP, which asks the server to load models; it ends what runs in a terminal that was closed."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import Callable


def hold() -> None:
    """Lets one that comes from now on wait for `answer`, so that it ends no server that starts."""
    if _asks_to_load():
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})


def answer(call: Callable[[], None]) -> None:
    """Has the running loop call `call` for each, and for one that waits."""
    if _asks_to_load():
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, call)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})


def _asks_to_load() -> bool:
    in_terminal = sys.stdin is not None and sys.stdin.isatty()
    in_main_thread = threading.current_thread() is threading.main_thread()
    return hasattr(signal, "SIGHUP") and in_main_thread and not in_terminal
