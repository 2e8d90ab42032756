"""The threads that pictures are decoded and classified in, and the queue in front of them."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

Item = TypeVar("Item")
P = ParamSpec("P")
T = TypeVar("T")

_LATEST_SHARE = 0.1
"""of the average time that a task takes, the latest one's share"""

_LONGEST_RETRY = 60
"""seconds"""


class QueueFullError(Exception):
    """More than the queue holds; `retry_after` is about when it will have room, in seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(retry_after)
        self.retry_after = retry_after


class Workers:
    """`count` threads; at most `queue` tasks wait for one."""

    def __init__(self, count: int, queue: float = math.inf) -> None:
        self.count = count
        self.queue = queue
        self.pool = ThreadPoolExecutor(count, thread_name_prefix="inference")
        self._unfinished = 0
        self._running = 0
        self._seconds = 0.0
        self._lock = threading.Lock()

    @property
    def waiting(self) -> int:
        """Tasks that wait for a thread."""
        return self._unfinished - self._running

    @property
    def running(self) -> int:
        """Tasks that a thread is busy with."""
        return self._running

    @property
    def retry_after(self) -> int:
        """Seconds until what waits now will about be done, 1 to 60."""
        left = self._seconds * self._unfinished / self.count
        return min(_LONGEST_RETRY, max(1, math.ceil(left)))

    def check(self, count: int = 1) -> None:
        """Makes sure that there is room for `count` more tasks, or nothing to do before them.

        Raises:
            QueueFullError: where they would be more than the queue holds.
        """
        if self._unfinished and self._unfinished + count > self.count + self.queue:
            raise QueueFullError(self.retry_after)

    def submit(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Runs `function` in a thread once one is free; what is cancelled before is never run."""
        with self._lock:
            self._unfinished += 1
        # The pool keeps what is cancelled until a thread comes to it, but must not keep its data.
        call = [partial(function, *args, **kwargs)]

        def finish(_: Future[T]) -> None:
            call.clear()
            with self._lock:
                self._unfinished -= 1

        future = self.pool.submit(lambda: self._timed(call.pop()))
        future.add_done_callback(finish)
        return future

    def each(self, function: Callable[[Item], T], items: Iterable[Item]) -> Iterator[T]:
        """`function` of each of `items`, in their order; works a few ahead of who asks."""
        ahead: deque[Future[T]] = deque()
        try:
            for item in items:
                ahead.append(self.submit(function, item))
                if len(ahead) > 2 * self.count:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs `function` in a thread and waits for it; what is given up before is never run."""
        return await asyncio.wrap_future(self.submit(function, *args, **kwargs))

    def close(self) -> None:
        """Ends the threads once each has done what it is busy with; does not wait for it."""
        self.pool.shutdown(wait=False, cancel_futures=True)

    def _timed(self, call: Callable[[], T]) -> T:
        with self._lock:
            self._running += 1
        start = time.perf_counter()
        try:
            return call()
        finally:
            seconds = time.perf_counter() - start
            with self._lock:
                self._running -= 1
                self._seconds += _LATEST_SHARE * (seconds - self._seconds)
