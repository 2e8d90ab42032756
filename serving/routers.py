"""A router that answers HEAD wherever it answers GET."""

from __future__ import annotations

from copy import copy

from litestar import Router
from litestar.enums import HttpMethod
from litestar.handlers import HTTPRouteHandler
from litestar.routes import BaseRoute
from litestar.types import ControllerRouterHandler


class ReadingRouter(Router):
    """Answers HEAD with what answers GET; the server leaves out the body (RFC 9110, 9.3.2)."""

    def register(self, value: ControllerRouterHandler) -> list[BaseRoute]:
        """Registers `value`, and where it answers GET, once more for HEAD."""
        routes = super().register(value)
        if isinstance(value, HTTPRouteHandler) and HttpMethod.GET in value.http_methods:
            head = copy(value)
            head.http_methods = {HttpMethod.HEAD.value}
            head.include_in_schema = False
            routes += super().register(head)
        return routes
