"""Follows each request from the server's side, gives it an id, and tells whoever watches."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from litestar.datastructures import MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, BeforeMessageSendHookHandler, Message, Receive, Scope, Send

from serving import visits
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


def telling(watchers: Sequence[Watcher]) -> BeforeMessageSendHookHandler:
    """What is done as an answer begins: it gets the visit's id, and `watchers` are told.

    They are told in the event loop's next turn, since the answer shall not wait for them.
    """

    def tell_all(visit: Visit) -> None:
        for watch in watchers:
            watch(visit)

    async def tell(message: Message, scope: Scope) -> None:
        if message["type"] != "http.response.start":
            return
        visit = visit_of(scope)
        visit.end = time.time_ns()
        visit.method = str(scope.get("method", ""))
        visit.route = str(scope.get("path_template") or "(no such address)")
        visit.status = message["status"]
        MutableScopeHeaders(message)[ID_HEADER] = visit.id
        asyncio.get_running_loop().call_soon(tell_all, visit)

    return tell
