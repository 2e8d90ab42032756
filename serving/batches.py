"""Items that wait for a worker, of which one worker takes several where that costs less."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import Any, Generic, TypeVar

from serving.workers import Workers

Item = TypeVar("Item")
T = TypeVar("T")


class Batches(Generic[Item, T]):
    """Has items answered by `workers`, at most `most` of them together.

    An item goes along with another only where more wait than there are workers free for them, and
    where `fit` says of the two that they go together.
    """

    def __init__(
        self,
        workers: Workers,
        answer: Callable[[Sequence[Item]], Sequence[T | Exception]],
        fit: Callable[[Item, Item], bool],
        most: int,
    ) -> None:
        """`answer` gives for each item, in their order, its result or what went wrong with it."""
        self._workers = workers
        self._answer = answer
        self._fit = fit
        self._most = most
        self._waiting: dict[_Place[Item, T], Future[None]] = {}
        self._busy = 0
        self._lock = threading.Lock()

    def gather(self, items: Sequence[Item]) -> asyncio.Future[list[T]]:
        """Has each of `items` answered; a future of all their results, in order.

        It fails with the first that does. Then, and once it is cancelled, no worker takes one of
        them any more.
        """
        request = _Request[T](len(items))
        asked = [_Place(item, request, place) for place, item in enumerate(items)]
        # First, so that nothing more is begun once whoever waits goes on.
        request.results.add_done_callback(lambda _: self._give_up(asked))
        with self._lock:
            futures = [self._workers.submit(self._work, each) for each in asked]
            self._waiting.update(zip(asked, futures, strict=True))
        for each, future in zip(asked, futures, strict=True):
            future.add_done_callback(partial(self._tell_if_ended, each))
        return request.results

    def _work(self, first: _Place[Item, T]) -> None:
        asked = self._take(first)
        if not asked:
            return
        try:
            found = self._answers([each.item for each in asked])
        finally:
            with self._lock:
                self._busy -= 1
        # Once for all of them: each turn of the loop waits for the interpreter's lock.
        _tell(asked[0].request, _deliver, asked, found)
        # An error's traceback knows this frame, which would keep it and what was sent with it.
        del found

    def _answers(self, items: Sequence[Item]) -> Sequence[T | Exception]:
        """A result or an error for each item; what is wrong with one is no other's error."""
        try:
            return self._answer(items)
        except Exception as error:
            if len(items) == 1:
                return [error]
        return [found for item in items for found in self._answers([item])]

    def _take(self, first: _Place[Item, T]) -> list[_Place[Item, T]]:
        """`first` and what goes along with it; nothing where it went along with another."""
        with self._lock:
            if first not in self._waiting:
                return []
            taken = [first]
            if len(self._waiting) > self._workers.count - self._busy:
                others = (each for each in self._waiting if each is not first)
                for each in islice(others, self._most - 1):
                    if each.request.loop is not first.request.loop:
                        break
                    if not self._fit(first.item, each.item):
                        break
                    taken.append(each)
            for each in taken:
                del self._waiting[each]
            self._busy += 1
            return taken

    def _give_up(self, asked: Sequence[_Place[Item, T]]) -> None:
        with self._lock:
            futures = [self._waiting.pop(each, None) for each in asked]
        for each, future in zip(asked, futures, strict=True):
            if future is not None:
                # The workers keep what is cancelled until one comes to it, but not its data.
                del each.item
                future.cancel()

    def _tell_if_ended(self, each: _Place[Item, T], future: Future[None]) -> None:
        """Where the workers were ended: tells whoever still waits."""
        if future.cancelled() and each in self._waiting:
            _tell(each.request, each.request.results.cancel)


class _Request(Generic[T]):
    """What one caller waits for."""

    def __init__(self, count: int) -> None:
        self.loop = asyncio.get_running_loop()
        self.results: asyncio.Future[list[T]] = self.loop.create_future()
        self.found: dict[int, T] = {}
        self.count = count
        if not count:
            self.results.set_result([])


class _Place(Generic[Item, T]):
    """An item, and the place of its result in what its caller waits for."""

    def __init__(self, item: Item, request: _Request[T], place: int) -> None:
        self.item = item
        self.request = request
        self.place = place


def _deliver(asked: Sequence[_Place[Any, T]], found: Sequence[T | Exception]) -> None:
    for each, result in zip(asked, found, strict=True):
        request = each.request
        if request.results.done():
            continue
        if isinstance(result, Exception):
            request.results.set_exception(result)
            continue
        request.found[each.place] = result
        if len(request.found) == request.count:
            request.results.set_result([request.found[place] for place in range(request.count)])


def _tell(request: _Request[Any], callback: Callable[..., object], *arguments: object) -> None:
    with suppress(RuntimeError):  # the loop has ended, and with it whoever waited
        request.loop.call_soon_threadsafe(callback, *arguments)
