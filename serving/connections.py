"""Connections of the server: none is held by whoever is slow.

Uvicorn ends a connection that is silent between two requests, but not one that sends a request's
head byte by byte or never takes its answer.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Literal

import msgspec
from uvicorn._types import (
    ASGI3Application,
    ASGIReceiveCallable,
    ASGISendCallable,
    ASGISendEvent,
)
from uvicorn._types import Scope as UvicornScope

from serving.following import ID_HEADER, Note
from serving.problems import MEDIA_TYPE, OverloadedError, problem
from serving.protocol import LARGE_PIECE, PIECE, Carried, RequestProtocol
from serving.proxies import scheme_told
from serving.security import headers_over
from serving.settings import Settings

Awaited = Literal["a request", "a head", "a body", "an answer", "the end"]

_LINGER_SECONDS = 5
"""beyond the time for a body, so that whoever reads it may answer first"""

_LAST_SECONDS = 0.5
"""of a server that ends, for whoever still sends to read that; uvicorn itself waits for one"""

_LONGEST_ANSWER = 1800
"""seconds; enough for the largest file that a page asks for at 60 kbit a second"""

_QUEUED = 128 << 10
"""bytes of an answer that the system takes of us before it sends them; else it takes megabytes"""

_TOLD = 64
"""connections beyond the most that are told so; more would only take the system's descriptors"""

_LEAST_PIECE = 4 << 10
"""bytes; fewer would cost more than they save"""

_PROBES = frozenset(("/healthz", "/readyz"))


def connection_class(settings: Settings, noted: Note) -> type[RequestProtocol]:
    """The class of connections within the limits of `settings`; what they refuse is `noted`."""
    # Twice as much may lie unread on each.
    share = settings.unread_bytes // (2 * (settings.max_connections + _TOLD))
    scheme_of = scheme_told(settings.proxies)

    def of_each(scope: Mapping[str, Any] | None) -> dict[str, str]:
        return headers_over(scheme_of(scope) if scope else "http", settings.hsts_seconds)

    class LimitedConnection(_Connection):
        limits = settings
        max_head_bytes = settings.max_header_bytes
        piece = max(_LEAST_PIECE, min(PIECE, share))
        note = staticmethod(noted)
        carried = staticmethod(of_each)
        # No bytearray: whoever fills a part of it would fill a copy.
        received = memoryview(bytearray(LARGE_PIECE))

    return LimitedConnection


class _Connection(RequestProtocol):
    limits: Settings
    _timer: asyncio.TimerHandle | None = None
    _awaited: tuple[Awaited, object] | None = None
    """what, and for which request"""
    _began: float = 0
    _is_last: bool = False
    """whether the server ends"""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # uvicorn narrows it, too
        super().connection_made(transport)
        connection = transport.get_extra_info("socket")
        with suppress(AttributeError, OSError):  # a system without it, or a client that has gone
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _QUEUED)
        beyond = len(self.connections) - self.limits.max_connections
        if beyond > _TOLD:
            transport.abort()
        elif beyond > 0:
            self.app = _only_probes(self.app, self.note, self.carried)
            # A probe may need its place, and would be ended where there is none.
            self.lingers = False
        self._watch()

    def buffer_updated(self, nbytes: int) -> None:
        super().buffer_updated(nbytes)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._limit_unsent()

    def resume_writing(self) -> None:
        super().resume_writing()
        # Whoever takes a large file piece by piece gets as long for the next, but not for ever.
        if self._timer is not None and self._awaited == ("an answer", self.cycle):
            left = self._began + _LONGEST_ANSWER - self.loop.time()
            self._timer.cancel()
            self._timer = self.loop.call_later(min(self._answer_seconds, left), self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Ends the connection, or has it end with the answer that is on its way or just went."""
        self._is_last = True
        if self.is_lingering:
            self._watch()
        else:
            super().shutdown()

    def _watch(self) -> None:
        """Allows for each part of a request and its answer its time, from when it began."""
        limits = self.limits
        if self.transport.is_closing():
            self._wait_for("the end", limits.body_seconds)
        elif self.cycle is not None and self.is_idle:
            self._wait_for("a request", limits.idle_seconds)
        elif self.part == "head":
            self._wait_for("a head", limits.header_seconds)
        elif self.is_lingering and self._is_last:
            self._wait_for("the end", _LAST_SECONDS)
        elif self.part == "body":
            self._wait_for("a body", limits.body_seconds + _LINGER_SECONDS)
        else:
            self._wait_for("an answer", self._answer_seconds)

    @property
    def _answer_seconds(self) -> float:
        return self.limits.deadline_seconds + self.limits.body_seconds

    def _wait_for(self, awaited: Awaited, seconds: float) -> None:
        if self._awaited == (awaited, self.cycle):
            return
        self._cancel()
        self._awaited = awaited, self.cycle
        self._began = self.loop.time()
        self._timer = self.loop.call_later(seconds, self._give_up)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._awaited, self._timer = None, None

    def _limit_unsent(self) -> None:
        """Ends those that have most to take, where all that is not taken is more than may lie here.

        An answer that waits alone is never too large.
        """
        sizes = {each: each.transport.get_write_buffer_size() for each in self.connections}
        waiting = sorted(filter(sizes.get, sizes), key=sizes.__getitem__)
        while len(waiting) > 1 and sum(map(sizes.__getitem__, waiting)) > self.limits.unsent_bytes:
            waiting.pop().transport.abort()

    def _give_up(self) -> None:
        """Ends a connection that took too long; one that began a request's head is told."""
        awaited = self._awaited[0] if self._awaited is not None else None
        if awaited in ("an answer", "the end"):
            # What is left to send would wait for ever for whoever does not take it.
            self.transport.abort()
            return
        if awaited == "a head" and not self.is_idle and not self.transport.is_closing():
            self.refuse(
                problem(
                    "too_slow",
                    f"The head of the request was not sent within "
                    f"{self.limits.header_seconds:g} seconds. Send it again.",
                )
            )
        self.transport.close()
        self._watch()


def _only_probes(app: ASGI3Application, note: Note, carried: Carried) -> ASGI3Application:
    """`app` for a connection that is one too many: a platform's probe is answered, and no other.

    A probe that was turned away would have the platform end a server that is merely busy.
    """

    async def answer(
        scope: UvicornScope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        async def send_and_close(event: ASGISendEvent) -> None:
            if event["type"] == "http.response.start":
                event["headers"] = [*event.get("headers", ()), (b"connection", b"close")]
            await send(event)

        if scope["type"] == "http" and scope["path"] in _PROBES:
            await app(scope, receive, send_and_close)
        else:
            await _turn_away(note, carried, scope, send)

    return answer


async def _turn_away(
    note: Note, carried: Carried, scope: UvicornScope, send: ASGISendCallable
) -> None:
    """Answers a request of a connection that is one too many."""
    error = OverloadedError(1)
    body = msgspec.json.encode(error.problem)
    headers = {
        **carried(scope),
        **error.headers,
        ID_HEADER: note(error.problem, str(scope.get("method", ""))),
        "content-type": MEDIA_TYPE,
        "content-length": str(len(body)),
        "connection": "close",
    }
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": error.problem.status, "headers": encoded})
    await send({"type": "http.response.body", "body": body, "more_body": False})
