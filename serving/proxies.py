"""Who asks, where proxies are in between: their word is believed, and nobody else's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from serving.networks import NAMED

_FORWARDED = b"x-forwarded-for"


def behind_proxies(app: ASGIApp, proxies: Iterable[str], client_header: str) -> ASGIApp:
    """`app`, told the client and scheme that `proxies` name.

    Of X-Forwarded-For the last address counts that is no proxy's, so that one which the client
    wrote there itself does not; of another `client_header` its value.
    """
    networks = [network for name in proxies for network in NAMED.get(name, (name,))]
    if not networks:
        return app
    # Uvicorn and Litestar each name ASGI's types for themselves.
    believing: Any = ProxyHeadersMiddleware(cast("Any", app), networks)
    if client_header == _FORWARDED.decode():
        return cast("ASGIApp", believing)

    async def renamed(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP:
            told = client_header.encode()
            scope["headers"] = [
                (_FORWARDED if name == told else name, value)
                for name, value in scope["headers"]
                if name != _FORWARDED
            ]
        await believing(scope, receive, send)

    return renamed
