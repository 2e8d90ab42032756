"""Coroutines in tests: browser tests leave a running event loop in the thread of the test run."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")

PATIENCE = 60.0
"""seconds, after which a test gives up; none waits for so long when all is well"""


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of `coroutine`, in a thread and a loop of its own."""

    async def within_time() -> T:
        return await asyncio.wait_for(coroutine, PATIENCE)

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, within_time()).result()
