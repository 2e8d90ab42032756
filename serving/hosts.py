"""The names that the server answers to."""

from __future__ import annotations

import re
from collections.abc import Iterable

from litestar.datastructures import Headers
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from serving.problems import ProblemError

ANY_HOST = "any_host"
"""what a route is marked with that answers to any name, as a platform's probe needs it"""

_PORT = re.compile(r":\d*$")


class OnlyFor(ASGIMiddleware):
    """Refuses requests to other names than `hosts`.

    `*.example.org` stands for all below example.org. Litestar's own check of hosts takes no port
    and answers no problem details, and for a guard it would copy the route with every request.
    """

    scopes = (ScopeType.HTTP,)

    def __init__(self, hosts: Iterable[str]) -> None:
        self._names = tuple(host.lower() for host in hosts)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Goes on where the name is one of them, or the route answers to any."""
        if not scope["route_handler"].opt.get(ANY_HOST):
            told = Headers.from_scope(scope).get("host", "")
            host = _PORT.sub("", told).rstrip(".").lower()
            if not any(_fits(host, name) for name in self._names):
                raise ProblemError(
                    "unknown_host",
                    "This server does not answer to the name that was asked for. Whoever runs it "
                    "lists its names in LESIONLENS_HOSTS.",
                )
        await next_app(scope, receive, send)


def _fits(host: str, name: str) -> bool:
    return host.endswith(name[1:]) if name.startswith("*.") else host == name
