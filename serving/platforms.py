"""What is known of the platforms that host the server, by the variables that they set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_REQUESTS_A_MINUTE = 600
"""from one client, where the whole internet may come: a classroom comes from one address, and the
page sends a request for each picture, and one more for what the browser cannot show"""


_IDLE_SECONDS = 120
"""on a connection of a platform's proxy: one that the server closed just as the proxy took it for
another request is an error to whoever sent that"""


def defaults(environment: Mapping[str, str]) -> dict[str, Any]:
    """The settings that fit the platform which set `environment`; none where it is no known one.

    Not the names that the server answers to: the platform routes by them already, and knows those
    that are added to it later.
    """
    if environment.get("RENDER"):
        # Cloudflare, then Render's own proxy; each adds whom it heard to X-Forwarded-For.
        return {
            "proxies": ("private", "cloudflare"),
            "idle_seconds": _IDLE_SECONDS,
            "rate_limit": _REQUESTS_A_MINUTE,
        }
    if environment.get("RAILWAY_PROJECT_ID"):
        # Railway's proxy says who asks in X-Real-IP, which it lets nobody else set.
        return {
            "proxies": ("private",),
            "client_header": "x-real-ip",
            "idle_seconds": _IDLE_SECONDS,
            "rate_limit": _REQUESTS_A_MINUTE,
        }
    return {}
