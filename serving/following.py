"""Follows each request from the server's side, gives it an id, and tells whoever watches."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from litestar.datastructures import MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, BeforeMessageSendHookHandler, Message, Receive, Scope, Send

from serving import visits
from serving.problems import Problem, reason_of
from serving.visits import Visit, Watcher

ID_HEADER = "x-request-id"

_STATE = "lesionlens.visit"


class Following(ASGIMiddleware):
    """Begins a visit for each request that a route was found for."""

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Answers the request as the current visit."""
        visit = visit_of(scope)
        for name, value in scope["headers"]:
            if name == b"traceparent":
                visit.parent = value.decode("latin-1")
        visits.begin(visit)
        await next_app(scope, receive, send)


def visit_of(scope: Scope) -> Visit:
    """The visit of a request, which begins now if it has not."""
    state = scope.setdefault("state", {})
    if _STATE not in state:
        state[_STATE] = Visit()
    visit: Visit = state[_STATE]
    return visit


Note = Callable[[Problem, str], str]
"""What is done as a request is refused by its problem and method, if it has one; tells its id."""


def noting(watchers: Sequence[Watcher]) -> Note:
    """Tells `watchers` of requests that are refused before the application hears of them."""

    def note(details: Problem, method: str) -> str:
        now = time.time_ns()
        visit = Visit(
            start=now,
            end=now,
            method=method or "(none)",
            route="(not read)",
            status=details.status,
            problem=reason_of(details),
        )
        asyncio.get_running_loop().call_soon(_tell, watchers, visit)
        return visit.id

    return note


def telling(watchers: Sequence[Watcher]) -> BeforeMessageSendHookHandler:
    """What is done as an answer begins: it gets the visit's id, and `watchers` are told.

    They are told in the event loop's next turn, since the answer shall not wait for them.
    """

    async def tell(message: Message, scope: Scope) -> None:
        if message["type"] != "http.response.start":
            return
        visit = visit_of(scope)
        visit.end = time.time_ns()
        visit.method = str(scope.get("method", ""))
        visit.route = str(scope.get("path_template") or "(no such address)")
        visit.status = message["status"]
        MutableScopeHeaders(message)[ID_HEADER] = visit.id
        asyncio.get_running_loop().call_soon(_tell, watchers, visit)

    return tell


def _tell(watchers: Sequence[Watcher], visit: Visit) -> None:
    for watch in watchers:
        watch(visit)
