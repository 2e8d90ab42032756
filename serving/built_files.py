"""The page's built files under /static: small on the way, and not sent again to who has them."""

from __future__ import annotations

import mimetypes
from pathlib import Path
from typing import Any

from litestar import Router, get
from litestar.connection import Request
from litestar.exceptions import NotFoundException
from litestar.params import FromPath
from litestar.response import File, Response

from serving.routers import ReadingRouter
from serving.security import COMPILING_POLICY

STATIC = Path(__file__).resolve().parent / "static"
STATIC_URL = "/static"

SERVICE_WORKER_URL = "/service-worker.js"

_HASHED = "assets/"
"""the folder of files whose name holds their hash, so that they may be kept for good"""

_COMPILING = "assets/device/"
"""the folder of the script that compiles WebAssembly, in a worker of its own"""

_CHUNK = 1 << 16
"""bytes that each connection holds of a file, so that slow readers do not add up"""

_OTHERS = {"service-worker.js": "no-cache"}

_YEAR = 365 * 24 * 3600

_COMPRESSED = ".gz"
"""the ending of what the build compressed: doing so at each request would cost more than it saves.

Litestar's own static files do not say so of one file without saying so of all that follow.
"""


def static_routes(folder: Path = STATIC) -> Router:
    """The built files of `folder` under /static."""
    folder = folder.resolve()

    @get("/{file_path:path}", include_in_schema=False)
    async def get_file(request: Request[Any, Any, Any], file_path: FromPath[Path]) -> Response[Any]:
        return _answer(folder, file_path, request)

    return ReadingRouter(STATIC_URL, route_handlers=[get_file])


def service_worker(folder: Path = STATIC) -> Router:
    """The service worker at the root, below which it may keep pages."""
    folder = folder.resolve()

    @get(SERVICE_WORKER_URL, include_in_schema=False)
    async def get_service_worker(request: Request[Any, Any, Any]) -> Response[Any]:
        return _answer(folder, Path("service-worker.js"), request)

    return ReadingRouter("/", route_handlers=[get_service_worker])


def stored(
    request: Request[Any, Any, Any], file: Path, name: str, kind: str, headers: dict[str, str]
) -> Response[Any]:
    """`file` under its `name`, or 304 for who has what the `etag` of `headers` names."""
    if _is_known(headers["etag"], request.headers.get("if-none-match", "")):
        return Response(None, status_code=304, headers=headers)
    return File(
        file,
        headers=headers,
        media_type=kind,
        content_disposition_type="inline",
        filename=name,
        chunk_size=_CHUNK,
    )


def sent_bytes(file: Path) -> int:
    """The size in which `file` is sent to a browser.

    Raises:
        OSError: where it is missing.
    """
    smaller = file.with_name(file.name + _COMPRESSED)
    return (smaller if smaller.is_file() else file).stat().st_size


def _answer(folder: Path, path: Path, request: Request[Any, Any, Any]) -> Response[Any]:
    name = path.as_posix().lstrip("/")
    file = _find(folder, name)
    headers = {
        "cache-control": f"max-age={_YEAR}, public, immutable"
        if name.startswith(_HASHED)
        else _OTHERS.get(name, "max-age=3600, public"),
        "vary": "accept-encoding",
    }
    if name.startswith(_COMPILING):
        headers["content-security-policy"] = COMPILING_POLICY
    if "gzip" in request.headers.get("accept-encoding", ""):
        smaller = file.with_name(file.name + _COMPRESSED)
        if smaller.is_file():
            file = smaller
            headers["content-encoding"] = "gzip"
    info = file.stat()
    headers["etag"] = f'"{info.st_mtime_ns:x}-{info.st_size:x}{file.suffix}"'
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return stored(request, file, Path(name).name, kind, headers)


def _find(folder: Path, name: str) -> Path:
    """The file of that name.

    Raises:
        NotFoundException: where there is none that is meant to be sent.
    """
    hidden = any(part.startswith(".") for part in name.split("/"))
    meant = not hidden and not name.endswith(_COMPRESSED)
    try:
        file = (folder / name).resolve()
        if meant and file.is_relative_to(folder) and file.is_file():
            return file
    except (OSError, ValueError):
        pass  # a name that no file can have
    raise NotFoundException


def _is_known(tag: str, known: str) -> bool:
    """Whether `known`, the list of a conditional request, holds `tag` (RFC 9110, 13.1.2)."""
    return tag in {other.strip().removeprefix("W/") for other in known.split(",")}
