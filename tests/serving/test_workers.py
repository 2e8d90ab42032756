from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Iterator

import numpy as np
import pytest

from serving.workers import QueueFullError, Workers
from tests.serving.live import wait_until
from tests.serving.loops import run


@pytest.fixture
def busy() -> Iterator[tuple[Workers, threading.Event]]:
    """One worker that is busy until the event is set, and a queue of two."""
    workers, done = Workers(1, queue=2), threading.Event()
    workers.submit(done.wait, 60)
    yield workers, done
    done.set()
    workers.close()


def test_tasks_are_counted_until_they_are_done(busy: tuple[Workers, threading.Event]) -> None:
    workers, done = busy
    second = workers.submit(int, "2")
    wait_until(lambda: workers.running)
    assert (workers.running, workers.waiting) == (1, 1)
    done.set()
    assert second.result(60) == 2
    wait_until(lambda: (workers.running, workers.waiting) == (0, 0))


def test_a_task_that_is_cancelled_is_never_run(busy: tuple[Workers, threading.Event]) -> None:
    workers, done = busy
    ran: list[int] = []
    waiting = workers.submit(ran.append, 1)
    assert waiting.cancel()
    done.set()
    workers.submit(ran.append, 2).result(60)
    assert ran == [2]
    # A result may be there a moment before its task is counted as done.
    wait_until(lambda: (workers.running, workers.waiting) == (0, 0))
    workers.check(3)


def test_the_data_of_what_is_cancelled_is_let_go_at_once(
    busy: tuple[Workers, threading.Event],
) -> None:
    workers, _ = busy
    picture = np.zeros(1)
    data = weakref.ref(picture)
    waiting = workers.submit(np.sum, picture)
    del picture
    gc.collect()
    assert data() is not None
    assert waiting.cancel()
    gc.collect()
    assert data() is None


def test_no_more_are_let_in_than_the_queue_holds(busy: tuple[Workers, threading.Event]) -> None:
    workers, _ = busy
    workers.check(2)
    workers.submit(int)
    workers.check(1)
    with pytest.raises(QueueFullError):
        workers.check(2)


def test_a_large_request_is_let_in_where_nothing_is_before_it() -> None:
    workers = Workers(1, queue=2)
    workers.check(10)
    workers.close()


def test_when_to_come_again_grows_with_what_waits() -> None:
    workers, hold = Workers(1), threading.Event()
    workers.submit(hold.wait, 0.2).result(60)
    assert workers.retry_after == 1
    for _ in range(200):
        workers.submit(hold.wait, 60)
    few = workers.retry_after
    for _ in range(4_000):
        workers.submit(int)
    assert 1 < few < workers.retry_after == 60
    hold.set()
    workers.close()


def test_a_failure_is_its_callers(busy: tuple[Workers, threading.Event]) -> None:
    workers, done = busy
    failing = workers.submit(int, "two")
    done.set()
    with pytest.raises(ValueError, match="two"):
        failing.result(60)
    assert workers.submit(int, "2").result(60) == 2


def test_whoever_waits_for_one_that_never_began_is_told(
    busy: tuple[Workers, threading.Event],
) -> None:
    workers, _ = busy

    async def wait() -> None:
        waiting = asyncio.ensure_future(workers.run(int, "2"))
        await asyncio.sleep(0)
        workers.close()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    run(wait())
