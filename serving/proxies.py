"""Who asks, where proxies are in between: their word is believed, and nobody else's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
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


def scheme_told(proxies: Iterable[str]) -> Callable[[Mapping[str, Any]], str]:
    """What tells the scheme of a request that never reaches the application.

    It is told the request's ASGI scope, with the headers that were read.
    """

    async def nothing(*_: object) -> None:
        """Awaits nothing, so that one step of `believing` is all of it."""

    believing: Any = behind_proxies(nothing, proxies, _FORWARDED.decode())

    def scheme_of(scope: Mapping[str, Any]) -> str:
        told = dict(scope)
        with suppress(StopIteration):
            believing(told, nothing, nothing).send(None)
        return str(told["scheme"])

    return scheme_of
