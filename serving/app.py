"""The application: the page and the API over the models of one folder."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from litestar import Litestar
from litestar.connection import Request
from litestar.di import Provide
from litestar.enums import MediaType
from litestar.exceptions import HTTPException
from litestar.response import Response
from litestar.types import Message, Scope

from serving import api, description, pages, problems, security
from serving.inference import Inference
from serving.pages import Assets, Page
from serving.settings import Settings

_log = logging.getLogger("lesionlens")


def create_app(settings: Settings | None = None, static: Path = pages.STATIC) -> Litestar:
    """The application, with every model loaded, checked and run once.

    Settings come from the environment where none are given; `static` holds the page's built files.

    Raises:
        SettingsError: where a setting cannot be used.
        ArtifactError: where a model cannot be served.
    """
    settings = settings or Settings.from_environment()
    inference = Inference(settings)
    page = Page(inference, Assets(static))

    def refuse(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
        return _refuse(page, request, error)

    return Litestar(
        route_handlers=[pages.routes, api.routes, api.probes, *pages.static_routes(static)],
        dependencies={
            "inference": Provide(lambda: inference, sync_to_thread=False),
            "page": Provide(lambda: page, sync_to_thread=False),
            "settings": Provide(lambda: settings, sync_to_thread=False),
        },
        exception_handlers={HTTPException: refuse, Exception: refuse},
        before_send=[security.add_headers, _log_answer],
        lifespan=[_closing(inference)],
        openapi_config=description.openapi_config(),
        request_max_body_size=settings.max_request_bytes,
        # Litestar's own log would hold the messages of exceptions, which may name a file.
        logging_config=None,
    )


@asynccontextmanager
async def _closing(inference: Inference) -> AsyncIterator[None]:
    try:
        yield
    finally:
        inference.close()


def _refuse(page: Page, request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """A page for a person who followed a link, problem details for everyone else."""
    answer = problems.respond(error)
    wants_page = (
        request.method == "GET"
        and "text/html" in request.headers.get("accept", "")
        and not request.url.path.startswith(f"{description.PATH}/")
    )
    if not wants_page:
        return answer
    try:
        content = page.problem(answer.content)
    except problems.ProblemError:
        return answer
    return Response(
        content,
        status_code=answer.status_code,
        media_type=MediaType.HTML,
        headers=dict(answer.headers),
    )


async def _log_answer(message: Message, scope: Scope) -> None:
    """One line for each answer: the route and not the address, which may hold a file's name."""
    if message["type"] == "http.response.start":
        route = scope.get("path_template") or "(no such address)"
        _log.info("%s %s %d", scope.get("method", ""), route, message["status"])
