from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from litestar import Litestar
from litestar.stores.memory import MemoryStore

from serving import rates
from tests.serving.loops import run


def test_clients_that_never_return_are_forgotten_and_no_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rates, "_SWEEP_SECONDS", 0.01)

    async def remembered() -> list[str]:
        app = Litestar()
        store = app.stores.get(rates.STORE)
        assert isinstance(store, MemoryStore)
        async with rates.sweeping(app):
            await store.set("client", b"once", expires_in=timedelta(milliseconds=1))
            await store.set("other", b"once", expires_in=timedelta(minutes=1))
            for _ in range(100):
                await asyncio.sleep(0.01)
                if "client" not in store._store:
                    break
            return list(store._store)

    assert run(remembered()) == ["other"]
