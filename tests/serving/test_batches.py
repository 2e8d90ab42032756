from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from serving.batches import Batches
from serving.workers import Workers
from tests.serving.live import wait_until
from tests.serving.loops import run

GIVE_UP = 60
"""seconds"""


class Answering:
    """Doubles numbers once it is let go, and keeps which of them came together."""

    def __init__(self) -> None:
        self.together: list[list[int]] = []
        self.begun, self.go_on = threading.Event(), threading.Event()

    def __call__(self, numbers: Sequence[int]) -> list[int | Exception]:
        self.together.append(list(numbers))
        self.begun.set()
        assert self.go_on.wait(GIVE_UP)
        return [ValueError(f"{n} is odd") if n % 2 else 2 * n for n in numbers]


@pytest.fixture
def answering() -> Iterator[Answering]:
    answering = Answering()
    yield answering
    answering.go_on.set()


def batches(workers: Workers, answering: Answering, most: int = 2) -> Batches[int, int]:
    """Those of tens go along with each other, and others with others."""
    return Batches(workers, answering, lambda a, b: (a < 10) == (b < 10), most)


def test_results_come_in_the_order_of_their_items(answering: Answering) -> None:
    workers = Workers(2)
    answering.go_on.set()

    async def gather() -> tuple[list[int], list[int]]:
        both = batches(workers, answering)
        return await both.gather([2, 20, 4, 40, 6]), await both.gather([])

    assert run(gather()) == ([4, 40, 8, 80, 12], [])
    workers.close()


def test_what_waits_goes_together_across_requests_as_far_as_it_fits(answering: Answering) -> None:
    workers = Workers(1)

    async def gather() -> None:
        both = batches(workers, answering)
        first = both.gather([2])
        await asyncio.to_thread(answering.begun.wait, GIVE_UP)
        others = [both.gather([n]) for n in (4, 6, 8, 20, 22)]
        answering.go_on.set()
        await asyncio.gather(first, *others)

    run(gather())
    assert answering.together == [[2], [4, 6], [8], [20, 22]]
    wait_until(lambda: (workers.running, workers.waiting) == (0, 0))
    workers.close()


@pytest.mark.parametrize("count", [2, 3])
def test_nothing_goes_together_while_there_is_a_worker_for_each(
    answering: Answering, count: int
) -> None:
    workers = Workers(count)

    async def gather() -> None:
        results = batches(workers, answering).gather([2] * count)
        await asyncio.to_thread(lambda: wait_until(lambda: len(answering.together) == count))
        answering.go_on.set()
        await results

    run(gather())
    assert answering.together == [[2]] * count
    workers.close()


def test_what_is_in_work_counts_until_it_is_done(answering: Answering) -> None:
    workers = Workers(1)

    async def gather() -> None:
        results = batches(workers, answering).gather([2, 4])
        await asyncio.to_thread(answering.begun.wait, GIVE_UP)
        assert answering.together == [[2, 4]]
        assert (workers.running, workers.waiting) == (1, 1)
        answering.go_on.set()
        await results

    run(gather())
    wait_until(lambda: (workers.running, workers.waiting) == (0, 0))
    workers.close()


def test_a_failure_is_that_of_its_request_alone(answering: Answering) -> None:
    workers = Workers(1)
    answering.go_on.set()

    async def gather() -> Sequence[object]:
        both = batches(workers, answering)
        return await asyncio.gather(both.gather([2]), both.gather([3]), return_exceptions=True)

    good, bad = run(gather())
    assert good == [4]
    assert str(bad) == "3 is odd"
    workers.close()


def test_what_answering_one_raises_is_not_told_to_another() -> None:
    workers, begun, go_on = Workers(1), threading.Event(), threading.Event()

    def answer(numbers: Sequence[int]) -> list[int | Exception]:
        begun.set()
        assert go_on.wait(GIVE_UP)
        if 1 in numbers:
            raise RuntimeError("broken")
        return list(numbers)

    async def gather() -> Sequence[object]:
        both = Batches[int, int](workers, answer, lambda *_: True, most=2)
        requests = [both.gather([0])]
        await asyncio.to_thread(begun.wait, GIVE_UP)
        requests += [both.gather([1]), both.gather([2])]
        go_on.set()
        return await asyncio.gather(*requests, return_exceptions=True)

    first, broken, last = run(gather())
    assert (first, str(broken), last) == ([0], "broken", [2])
    workers.close()


def test_behind_the_first_failure_nothing_is_begun() -> None:
    workers, begun, failed = Workers(1), list[int](), threading.Event()

    def answer(numbers: Sequence[int]) -> list[int | Exception]:
        begun.extend(numbers)
        if begun == [3]:
            return [ValueError("once")]
        assert failed.wait(GIVE_UP)
        return [0]

    async def gather() -> None:
        with pytest.raises(ValueError, match="once"):
            await Batches[int, int](workers, answer, lambda *_: False, most=2).gather([3, 4, 6])
        failed.set()
        await workers.run(int)

    run(gather())
    # Whether the worker came to the second before it was given up is chance.
    assert begun in ([3], [3, 4])
    wait_until(lambda: (workers.running, workers.waiting) == (0, 0))
    workers.close()


def test_what_is_given_up_is_never_begun_and_let_go_at_once(answering: Answering) -> None:
    workers, picture = Workers(1), np.zeros(1)
    data = weakref.ref(picture)

    async def gather(pictures: list[object]) -> None:
        both = Batches[object, int](workers, lambda _: [0], lambda *_: True, most=2)
        hold = workers.submit(answering, [2])
        given_up = both.gather([pictures.pop()])
        given_up.cancel()
        await asyncio.sleep(0.01)
        assert not workers.waiting
        gc.collect()
        assert data() is None
        answering.go_on.set()
        await asyncio.wrap_future(hold)

    pictures: list[object] = [picture]
    del picture
    run(gather(pictures))
    workers.close()


def test_whoever_waits_is_told_that_the_workers_ended(answering: Answering) -> None:
    workers = Workers(1)

    async def gather() -> None:
        both = batches(workers, answering, most=1)
        first, second = both.gather([2]), both.gather([4])
        await asyncio.to_thread(answering.begun.wait, GIVE_UP)
        workers.close()
        with pytest.raises(asyncio.CancelledError):
            await second
        answering.go_on.set()
        assert await first == [4]

    run(gather())
