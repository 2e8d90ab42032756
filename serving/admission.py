"""Who is let in with pictures: nobody while the server stops or is full, all others to the end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from litestar.connection import Request
from litestar.types import Receive

from serving import visits
from serving.memory import Room
from serving.problems import ClientGoneError, OverloadedError, ProblemError
from serving.settings import Settings
from serving.stages import Stage
from serving.turns import PATIENCE, Turns
from serving.workers import Workers

T = TypeVar("T")


class Admission:
    """Counts the requests that were taken, and what they hold in memory while they are sent."""

    def __init__(self, settings: Settings, workers: Workers) -> None:
        self.room = Room(settings.sent_bytes)
        self.turns = Turns(settings.ahead_bytes, settings.workers)
        self.draining = False
        self._terms: set[asyncio.Timeout] = set()
        self._deadline = settings.deadline_seconds
        self._most = min(settings.max_bytes, settings.request_bytes)
        self._workers = workers

    @property
    def taken(self) -> int:
        """How many requests are being sent or answered."""
        return len(self._terms)

    def drain(self) -> None:
        """Takes no request from now on."""
        self.draining = True

    def end(self) -> None:
        """Refuses what was taken and is not answered yet, in the loop's next turn."""
        for term in self._terms:
            term.reschedule(0)

    def check(self) -> None:
        """Refuses where the server stops.

        Raises:
            ProblemError: so that the request is sent to another server.
        """
        if self.draining:
            raise _stopping("takes nothing more")

    @asynccontextmanager
    async def enter(self, request: Request[Any, Any, Any]) -> AsyncIterator[Entry]:
        """Takes a request, or turns it away before its body is read.

        Raises:
            ProblemError: where the server stops, or has no room for what the request announces;
                also later, where the server can wait no longer.
            QueueFullError: where too many pictures wait.
        """
        self.check()
        self._workers.check(1 + self.turns.waiting)
        announced = request.content_length or 0
        # Who does not say how much comes gets a turn for the largest picture.
        entry = Entry(self, announced or self._most, self._workers, self._deadline)
        # What is announced is only looked at: a body that never comes must not take room.
        if 0 < announced <= self.room.size:
            entry.expect(announced)
        term = asyncio.timeout(None)
        try:
            async with term:
                self._terms.add(term)
                yield entry
        except TimeoutError as error:
            if not term.expired():
                raise
            raise _stopping("could not wait for the end of this request") from error
        finally:
            self._terms.discard(term)
            entry.leave()


class Entry:
    """A request that was taken: what it holds in memory, and how long it may last."""

    def __init__(
        self, admission: Admission, announced: int, workers: Workers, deadline: float
    ) -> None:
        self._room = admission.room
        self._turns = admission.turns
        self._announced = announced
        self._workers = workers
        self._deadline = deadline
        self._held = 0
        self._has_turn = False
        self._sending: asyncio.TimerHandle | None = None

    async def wait(self) -> None:
        """Waits until what it announced may be sent.

        The turn lasts until the answer, but passes on from whoever sends slowly.
        """
        start = time.time_ns()
        self._has_turn = await self._turns.take(self._announced)
        visits.current().stages.append(Stage("turn", start, time.time_ns()))
        self._sending = asyncio.get_running_loop().call_later(PATIENCE, self._give_turn)

    def was_sent(self) -> None:
        """Everything was read: a turn that is still there stays until the answer."""
        if self._sending is not None:
            self._sending.cancel()

    def expect(self, count: int) -> None:
        """Makes sure that there is room for `count` bytes, as far as one can tell now.

        Raises:
            OverloadedError: where there is none.
        """
        self.hold(count)
        self._give_room()

    def hold(self, count: int) -> None:
        """Takes `count` bytes of what is sent into memory.

        Raises:
            OverloadedError: where there is no room for them.
        """
        if not self._room.try_take(count):
            raise OverloadedError(self._workers.retry_after)
        self._held += count

    def leave(self) -> None:
        """Gives back all that it holds."""
        self._give_room()
        self.was_sent()
        self._give_turn()

    async def finish(self, receive: Receive, work: Awaitable[T]) -> T:
        """The result of `work`, which is given up at the deadline or once the client has gone.

        `receive` is the request's, whose body was read.

        Raises:
            ProblemError: where the deadline passed.
            ClientGoneError: where nobody waits for the answer any more.
        """
        result = asyncio.ensure_future(work)
        given_up: list[Exception] = []

        def give_up(error: Exception) -> None:
            if not result.done():
                given_up.append(error)
                result.cancel()

        def leave(gone: asyncio.Task[None]) -> None:
            if not gone.cancelled():
                give_up(ClientGoneError())

        gone = asyncio.ensure_future(_gone(receive))
        gone.add_done_callback(leave)
        timer = asyncio.get_running_loop().call_later(
            self._deadline, lambda: give_up(self._too_late())
        )
        try:
            return await result
        except asyncio.CancelledError:
            if given_up:
                raise given_up[0] from None
            raise
        finally:
            gone.cancel()
            timer.cancel()

    def _too_late(self) -> ProblemError:
        return ProblemError(
            "too_late",
            f"The answer was not ready within {self._deadline:g} seconds, and was given up. "
            "Send fewer pictures, or again in a while.",
            {"retry-after": str(self._workers.retry_after)},
        )

    def _give_turn(self) -> None:
        if self._has_turn:
            self._turns.give(self._announced)
            self._has_turn = False

    def _give_room(self) -> None:
        self._room.give(self._held)
        self._held = 0


def _stopping(how: str) -> ProblemError:
    return ProblemError(
        "draining",
        f"This server is stopping and {how}. Send the request again.",
        {"retry-after": "1", "connection": "close"},
    )


async def _gone(receive: Receive) -> None:
    """Returns once the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
