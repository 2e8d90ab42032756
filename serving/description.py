"""The API's description (OpenAPI), and the page to read it, served from here alone."""

from __future__ import annotations

import html
from importlib.metadata import version
from typing import Any

from litestar.connection import Request
from litestar.exceptions import NotFoundException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import OpenAPIRenderPlugin
from litestar.openapi.spec import License, Tag
from litestar.response import Response

from serving.routers import ReadingRouter

PATH = "/api"
ASSETS = "/static/api"

_DESCRIPTION = """\
LesionLens classifies dermoscopic pictures of skin lesions. **It is for teaching and demonstration,
never for diagnosis.**

Pictures stay in memory and are forgotten with the answer. Errors are problem details (RFC 9457,
`application/problem+json`), whose `detail` says what was wrong and what to do.
"""


class SwaggerPage(OpenAPIRenderPlugin):
    """Swagger UI from our own static files, without inline script or style.

    Litestar's plugin of that name loads it from a CDN and starts it by an inline script.
    """

    def __init__(self) -> None:
        super().__init__(path="/")

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """The page; the description is fetched by its script."""
        title = html.escape(str(openapi_schema["info"]["title"]))
        return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="/static/favicon.svg" type="image/svg+xml">
<link rel="stylesheet" href="{ASSETS}/swagger-ui.css">
<link rel="stylesheet" href="{ASSETS}/start.css">
<script src="{ASSETS}/swagger-ui-bundle.js" defer></script>
<script src="{ASSETS}/start.js" defer></script>
</head>
<body>
<header><h1>{title}</h1></header>
<div id="api" data-description="{PATH}/openapi.json"></div>
<noscript>
The description itself is at <a href="{PATH}/openapi.json">{PATH}/openapi.json</a>.
</noscript>
</body>
</html>
""".encode()


def openapi_config() -> OpenAPIConfig:
    """What Litestar needs to describe the API under /api."""
    return OpenAPIConfig(
        title="LesionLens API",
        version=version("lesionlens"),
        description=_DESCRIPTION,
        license=License(name="Apache-2.0", identifier="Apache-2.0"),
        tags=[
            Tag(name="Predictions", description="Pictures in, answers out."),
            Tag(name="Models", description="Who answers, and how far to trust it."),
            Tag(name="Problems", description="What may go wrong."),
            Tag(name="Probes", description="For whatever watches over the server."),
        ],
        render_plugins=[SwaggerPage()],
        openapi_router=ReadingRouter(
            PATH, route_handlers=[], include_in_schema=False, after_request=_refuse_unknown
        ),
    )


async def _refuse_unknown(response: Response[Any]) -> Response[Any]:
    """An unknown path below /api is refused like any other, not by Litestar's own 404 page."""
    if response.status_code == NotFoundException.status_code:
        raise NotFoundException
    return response
