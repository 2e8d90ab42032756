"""Work on many pictures, shared out to all cores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from joblib import Parallel, delayed

from serving.cores import available_cores

Item = TypeVar("Item")
Result = TypeVar("Result")

_PORTION = 32
"""Pictures at a time, at most: joblib hands over several such portions where they are done fast."""

_FEW = 2048
"""Pictures that are not worth starting processes for."""

_IDLE = 5
"""Seconds after which processes without work end."""


class InPortions(Protocol):
    """Calls a function with portions of a list, at once."""

    def __call__(
        self, work: Callable[[int, Sequence[Item]], Result], items: Sequence[Item]
    ) -> Iterator[Result]:
        """What `work` returns for each portion of `items` and where that begins, in their order."""


@contextmanager
def on_all_cores(count: int) -> Iterator[InPortions]:
    """What shares out work on `count` pictures in all: to processes, or a few of them to threads.

    Small pictures keep the interpreter busier than its libraries, so that threads would wait for
    each other. What processes are given and return is pickled; an exception of one ends the work.
    """
    if count <= _FEW:
        portion = min(_PORTION, 1 + count // (4 * available_cores()))
        with ThreadPoolExecutor(available_cores()) as pool:
            yield lambda work, items: pool.map(
                lambda at: work(at, items[at : at + portion]), range(0, len(items), portion)
            )
        return
    with Parallel(
        available_cores(), backend="loky", return_as="generator", idle_worker_timeout=_IDLE
    ) as parallel:

        def in_portions(work: Callable[[int, Sequence[Any]], Any], items: Sequence[Any]) -> Any:
            return parallel(
                delayed(work)(at, items[at : at + _PORTION])
                for at in range(0, len(items), _PORTION)
            )

        yield in_portions
