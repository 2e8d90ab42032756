"""How often one client may send pictures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from litestar import Litestar
from litestar.connection import Request
from litestar.middleware.rate_limit import RateLimitConfig
from litestar.stores.memory import MemoryStore

from serving.networks import client_network

STORE = "rate_limit"

_SWEEP_SECONDS = 60


def rate_limit(requests_a_minute: int) -> RateLimitConfig:
    """Litestar's limit for posts, which clients are told apart by their network."""
    return RateLimitConfig(
        rate_limit=("minute", requests_a_minute),
        identifier_for_request=_client,
        check_throttle_handler=_is_post,
        store=STORE,
    )


@asynccontextmanager
async def sweeping(app: Litestar) -> AsyncIterator[None]:
    """Forgets clients whose minute has passed; Litestar's store keeps those that never return."""
    store = app.stores.get(STORE)
    assert isinstance(store, MemoryStore)

    async def sweep() -> None:
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            await store.delete_expired()

    task = asyncio.create_task(sweep())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def _client(request: Request[Any, Any, Any]) -> str:
    return client_network(request.client.host) if request.client else ""


def _is_post(request: Request[Any, Any, Any]) -> bool:
    return request.method == "POST"
