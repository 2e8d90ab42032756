"""The page's built files under /static: small on the way, and not sent again to who has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from litestar import Router
from litestar.connection import Request
from litestar.datastructures import CacheControlHeader, Headers, MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.exceptions import NotFoundException
from litestar.middleware import ASGIMiddleware
from litestar.static_files import create_static_files_router
from litestar.types import ASGIApp, Message, Receive, Scope, Send

STATIC = Path(__file__).resolve().parent / "static"
STATIC_URL = "/static"

_YEAR = 365 * 24 * 3600

_LONGEST_PATH = 200
"""characters of an address under /static; those of the built files have a quarter of that"""


def static_routes(folder: Path = STATIC) -> list[Router]:
    """The built files under /static; those whose name holds their hash may be kept for a year."""
    return [
        create_static_files_router(
            f"{STATIC_URL}/assets",
            [folder / "assets"],
            name="assets",
            before_request=_refuse_impossible_name,
            cache_control=CacheControlHeader(max_age=_YEAR, public=True, immutable=True),
            middleware=[Compressed(folder / "assets"), Revalidated()],
        ),
        create_static_files_router(
            STATIC_URL,
            [folder],
            name="static",
            before_request=_refuse_impossible_name,
            cache_control=CacheControlHeader(max_age=3600, public=True),
            middleware=[Compressed(folder), Revalidated()],
        ),
    ]


class Compressed(ASGIMiddleware):
    """Sends `name.gz`, which the build left beside `name`, to whoever takes gzip.

    Compressing at each request would cost a small server more than it saves.
    """

    scopes = (ScopeType.HTTP,)

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Answers with the compressed file where there is one."""
        name = str(scope["path_params"].get("file_path", "")).lstrip("/")
        takes_gzip = "gzip" in Headers.from_scope(scope).get("accept-encoding", "")
        smaller = takes_gzip and self._has(name)
        if smaller:
            scope["path_params"]["file_path"] = f"/{name}.gz"

        async def described(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableScopeHeaders(message)
                headers["vary"] = "accept-encoding"
                if smaller:  # else it would be saved under the compressed file's name
                    headers["content-disposition"] = "inline"
            await send(message)

        await next_app(scope, receive, described)

    def _has(self, name: str) -> bool:
        try:
            return (self._folder / f"{name}.gz").is_file()
        except (OSError, ValueError):  # a name that no file can have
            return False


class Revalidated(ASGIMiddleware):
    """Answers 304 without the file where the browser has the one with this entity tag."""

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Leaves out the body of what has not changed."""
        known = Headers.from_scope(scope).get("if-none-match", "")
        tags = {tag.strip().removeprefix("W/") for tag in known.split(",")}
        unchanged = False

        async def shortened(message: Message) -> None:
            nonlocal unchanged
            if message["type"] == "http.response.start" and message["status"] == 200:
                headers = MutableScopeHeaders(message)
                unchanged = headers.get("etag", "").removeprefix("W/") in tags
                if unchanged:
                    message["status"] = 304
                    del headers["content-length"]
            elif message["type"] == "http.response.body" and unchanged:
                message["body"] = b""
            await send(message)

        await next_app(scope, receive, shortened)


async def _refuse_impossible_name(request: Request[Any, Any, Any]) -> None:
    """What no file can be named is no file of ours, and not an error of the file system's."""
    path = request.url.path
    if "\0" in path or len(path) > _LONGEST_PATH:
        raise NotFoundException
