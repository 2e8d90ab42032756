"""The names that the server answers to."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.types import Guard

from serving.problems import ProblemError

ANY_HOST = "any_host"
"""what a route is marked with that answers to any name, as a platform's probe needs it"""

_PORT = re.compile(r":\d*$")


def only_for(hosts: Iterable[str]) -> Guard:
    """A guard that refuses requests to other names than `hosts`; empty for none.

    `*.example.org` stands for all below example.org. Litestar's own check of hosts takes no port
    and answers no problem details.
    """
    names = tuple(host.lower() for host in hosts)

    # Litestar would send every request to a thread and back for a guard that is no coroutine.
    async def check(
        connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler
    ) -> None:
        if not names or handler.opt.get(ANY_HOST):
            return
        host = _PORT.sub("", connection.headers.get("host", "")).rstrip(".").lower()
        if not any(_fits(host, name) for name in names):
            raise ProblemError(
                "unknown_host",
                "This server does not answer to the name that was asked for. Whoever runs it lists "
                "its names in LESIONLENS_HOSTS.",
            )

    return check


def _fits(host: str, name: str) -> bool:
    return host.endswith(name[1:]) if name.startswith("*.") else host == name
