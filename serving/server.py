"""The server's process: uvicorn, which finishes what was taken before it ends, and loads anew."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from types import FrameType

import uvicorn
from litestar import Litestar

from serving import hangup
from serving.admission import Admission
from serving.connections import connection_class
from serving.following import noting
from serving.inference import Inference
from serving.manifest import ArtifactError
from serving.proxies import behind_proxies
from serving.settings import Settings

_log = logging.getLogger("lesionlens")


def run(app: Litestar, settings: Settings) -> None:
    """Serves the application of `create_app` until a signal ends it."""
    server = Server(app, settings)
    if os.getpid() == 1:
        # Uvicorn has its own handler later, and puts this one back to raise the signal again.
        signal.signal(signal.SIGTERM, server.handle_exit)
    with suppress(KeyboardInterrupt):  # asked for, and done
        server.run()
    if server.stopped_by is not None and server.is_busy:
        # What is left of its time was nothing: Python itself would wait for the threads.
        logging.shutdown()
        os._exit(128 + server.stopped_by)
    if not server.started:
        sys.exit(1)


class Server(uvicorn.Server):
    """SIGTERM and SIGINT: takes nothing more, and ends once all that was taken is answered.

    A second one ends it at once. SIGHUP loads the models that changed; where the server runs in a
    terminal it means that the terminal was closed, and ends it.
    """

    def __init__(self, app: Litestar, settings: Settings) -> None:
        super().__init__(
            uvicorn.Config(
                behind_proxies(app, settings.proxies, settings.client_header),
                host=settings.host,
                port=settings.port,
                http=connection_class(settings, noting(app.state.watchers)),
                ws="none",
                timeout_keep_alive=settings.idle_seconds,
                lifespan="on",
                # The application logs each answer; uvicorn's own log would name addresses.
                access_log=False,
                log_config=None,
                server_header=False,
                # `behind_proxies` does it.
                proxy_headers=False,
            )
        )
        self._admission: Admission = app.state.admission
        self._inference: Inference = app.state.inference
        self._drain_seconds = settings.drain_seconds
        self._stop: tuple[int, FrameType | None] | None = None
        self._stop_by = 0.0
        self._loading: asyncio.Task[None] | None = None
        self._must_load = False

    @property
    def stopped_by(self) -> int | None:
        """The signal that began to end it, if any."""
        return self._stop[0] if self._stop is not None else None

    @property
    def is_busy(self) -> bool:
        """Whether a picture is still being decoded or classified."""
        return self._inference.workers.running > 0

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Also listens for SIGHUP."""
        await super().startup(sockets)
        hangup.answer(self._load_models)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begins to drain, or ends at once where it does already."""
        if self._stop is not None:
            self._stop_by = time.monotonic()
            self.force_exit = self.should_exit
            return
        self._admission.drain()
        self._stop = (sig, frame)
        self._stop_by = time.monotonic() + self._drain_seconds

    async def on_tick(self, counter: int) -> bool:
        """Ends the server once it is drained, or has had its time for that."""
        if self._stop is not None and not self.should_exit:
            left = self._stop_by - time.monotonic()
            if not self._admission.taken or left <= 0:
                self._admission.end()
                # What is left is for answers that are still on their way.
                self.config.timeout_graceful_shutdown = max(1, round(left))
                super().handle_exit(*self._stop)
        return await super().on_tick(counter)

    def _load_models(self) -> None:
        self._must_load = True
        if self._loading is None or self._loading.done():
            self._loading = asyncio.create_task(self._load())

    async def _load(self) -> None:
        """Loads once more where that was asked for meanwhile: it may have read what is old."""
        while self._must_load:
            self._must_load = False
            try:
                await asyncio.to_thread(self._inference.load)
            except ArtifactError as error:
                _log.error("The models stay as they are: %s", error)
            except Exception as error:
                reason = " ".join(f"{type(error).__name__}: {error}".split())
                _log.error("The models stay as they are: %s", reason)
            else:
                names = ", ".join(manifest.name for manifest in self._inference.manifests)
                _log.info("Models: %s", names)
