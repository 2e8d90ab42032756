"""The application: the page and the API over the models of one folder."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from litestar import Litestar
from litestar.config.compression import CompressionConfig
from litestar.config.cors import CORSConfig
from litestar.connection import Request
from litestar.di import Provide
from litestar.enums import MediaType
from litestar.exceptions import HTTPException
from litestar.response import Response
from litestar.types import Middleware

from serving import (
    api,
    built_files,
    description,
    hosts,
    metrics,
    model_files,
    pages,
    problems,
    rates,
    reading_pages,
    security,
)
from serving.admission import Admission
from serving.following import ID_HEADER, Following, telling, visit_of
from serving.inference import Inference
from serving.languages import headers_for, language_of
from serving.logs import log_visit
from serving.metrics import Metrics
from serving.pages import Assets, Page
from serving.services import Services
from serving.settings import OTLP_ENDPOINT, PREFIX, Settings, SettingsError
from serving.visits import Watcher

if TYPE_CHECKING:
    from serving.traces import Traces

_log = logging.getLogger("lesionlens")

Lifespan = (
    Callable[[Litestar], AbstractAsyncContextManager[None]] | AbstractAsyncContextManager[None]
)

_LEAST_TO_COMPRESS = 1_000
"""bytes"""


def create_app(settings: Settings | None = None, static: Path = built_files.STATIC) -> Litestar:
    """The application, with every model loaded, checked and run once.

    Settings come from the environment where none are given; `static` holds the page's built files.

    Raises:
        SettingsError: where a setting cannot be used.
        ArtifactError: where a model cannot be served.
    """
    settings = settings or Settings.from_environment()
    inference = Inference(settings)
    admission = Admission(settings, inference.workers)
    counted = Metrics(inference, admission)
    page = Page(inference, Assets(static))
    services = Services(inference, admission, settings)
    watchers: list[Watcher] = [log_visit, counted.count]
    lifespan: list[Lifespan] = [_closing(inference), rates.sweeping]
    if traces := _traces(settings):
        watchers.append(traces.send)
        lifespan.append(_closing(traces))

    def refuse(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
        return _refuse(page, request, error)

    app = Litestar(
        route_handlers=[
            pages.routes,
            reading_pages.routes,
            api.routes,
            api.probes,
            model_files.routes,
            metrics.routes,
            built_files.static_routes(static),
            built_files.service_worker(static),
        ],
        dependencies={
            "admission": Provide(lambda: admission, sync_to_thread=False),
            "inference": Provide(lambda: inference, sync_to_thread=False),
            "metrics": Provide(lambda: counted, sync_to_thread=False),
            "page": Provide(lambda: page, sync_to_thread=False),
            "services": Provide(lambda: services, sync_to_thread=False),
            "settings": Provide(lambda: settings, sync_to_thread=False),
        },
        exception_handlers={HTTPException: refuse, Exception: refuse},
        middleware=_middleware(settings),
        before_send=[telling(watchers), security.adding_headers(settings.hsts_seconds)],
        lifespan=lifespan,
        openapi_config=description.openapi_config(),
        compression_config=CompressionConfig(
            "gzip",
            minimum_size=_LEAST_TO_COMPRESS,
            gzip_compress_level=5,
            # What the build has compressed already, and what is no smaller for it.
            exclude=[
                f"^{built_files.STATIC_URL}/",
                f"^{built_files.SERVICE_WORKER_URL}$",
                model_files.PATHS,
            ],
        ),
        cors_config=_cors(settings),
        request_max_body_size=settings.request_bytes,
        # Litestar's own log would hold the messages of exceptions, which may name a file.
        logging_config=None,
    )
    # For the process around it, which drains, loads models, and refuses what is no request.
    app.state.admission, app.state.inference = admission, inference
    app.state.watchers = watchers
    return app


def _traces(settings: Settings) -> Traces | None:
    """What sends traces, where they are asked for and can be sent."""
    if not settings.traces_endpoint:
        return None
    try:
        from serving.traces import Traces
    except ImportError as error:
        # A platform's variable asks it of everything there, and may keep nothing from starting.
        asked = os.environ.get(f"{PREFIX}TRACES_ENDPOINT")
        foreign = not asked and os.environ.get(OTLP_ENDPOINT) == settings.traces_endpoint
        variable = OTLP_ENDPOINT if foreign else f"{PREFIX}TRACES_ENDPOINT"
        missing = (
            f"{variable} is set, but the packages that send traces are not installed ({error}). "
            "Install them, in a checkout: pip install -c constraints.txt '.[traces]'. The image "
            "has them where it was built with --build-arg EXTRAS=traces."
        )
        if not foreign:
            raise SettingsError(missing) from error
        _log.warning("No traces are sent: %s", missing)
        return None
    return Traces(settings)


def _middleware(settings: Settings) -> list[Middleware]:
    named = [hosts.OnlyFor(settings.hosts)] if settings.hosts else []
    limited = [rates.rate_limit(settings.rate_limit).middleware] if settings.rate_limit else []
    return [Following(), *named, *limited]


def _cors(settings: Settings) -> CORSConfig | None:
    if not settings.origins:
        return None
    return CORSConfig(
        allow_origins=list(settings.origins),
        allow_methods=["GET", "POST"],
        expose_headers=[ID_HEADER, "retry-after"],
    )


class _Closable(Protocol):
    def close(self) -> None: ...


def _closing(resource: _Closable) -> AbstractAsyncContextManager[None]:
    @asynccontextmanager
    async def close_at_the_end() -> AsyncIterator[None]:
        try:
            yield
        finally:
            await asyncio.to_thread(resource.close)

    return close_at_the_end()


def _refuse(page: Page, request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """A page for a person who followed a link, problem details for everyone else."""
    answer = problems.respond(error)
    visit_of(request.scope).problem = problems.reason_of(answer.content)
    wants_page = (
        request.method in ("GET", "HEAD")
        and "text/html" in request.headers.get("accept", "")
        and not request.scope["path"].startswith(f"{description.PATH}/")
    )
    if not wants_page:
        return answer
    language = language_of(request)
    try:
        content = page.problem(language, answer.content)
    except problems.ProblemError:
        return answer
    return Response(
        content,
        status_code=answer.status_code,
        media_type=MediaType.HTML,
        headers={**dict(answer.headers), **headers_for(language)},
    )
