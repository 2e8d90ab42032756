"""The real server over real connections: in a thread of the tests, or in a process of its own."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
from litestar import Litestar

from serving.app import create_app
from serving.server import Server
from serving.settings import Settings

_PATIENCE = 60
"""seconds, after which a test gives up; none waits for so long when all is well"""


class Live:
    """A server that listens on `port` of this machine."""

    def __init__(self, server: Server, app: Litestar) -> None:
        self.app = app
        self.port = server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._server = server

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._server.server_state.connections)

    def connect(self) -> socket.socket:
        """A bare connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=_PATIENCE)

    def stop(self) -> None:
        """Has it end; it has told its connections once it listens no more."""
        self._server.should_exit = True
        wait_until(lambda: not self._server.servers[0].is_serving())


@contextmanager
def serving(settings: Settings, static: Path | None = None) -> Iterator[Live]:
    """Serves in a thread."""
    app = create_app(settings, static) if static else create_app(settings)
    server = Server(app, settings)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        wait_until(lambda: server.started or not thread.is_alive())
        yield Live(server, app)
    finally:
        server.should_exit = True
        thread.join(_PATIENCE)


class Process:
    """A server in its own process, and what it logs."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        wait_until(lambda: self._port() or process.poll() is not None)
        assert self._port(), "".join(self.lines)
        self.url = f"http://127.0.0.1:{self._port()}"

    def connect(self) -> socket.socket:
        """A bare connection."""
        port = int(self.url.rpartition(":")[2])
        return socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE)

    def send(self, number: signal.Signals) -> None:
        """Sends it a signal."""
        self.process.send_signal(number)

    def wait(self) -> int:
        """Its exit status, once it has ended."""
        status = self.process.wait(_PATIENCE)
        self._reader.join(_PATIENCE)
        return status

    def memory(self, what: str = "VmRSS") -> int:
        """Bytes that it holds, or held at most (VmHWM)."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(rf"{what}:\s+(\d+) kB", status)
        assert found
        return int(found[1]) * 1024

    def _read(self) -> None:
        assert self.process.stderr
        self.lines.extend(iter(self.process.stderr.readline, ""))

    def _port(self) -> str | None:
        found = re.search(r"running on http://127\.0\.0\.1:(\d+)", "".join(self.lines))
        return found[1] if found else None


@contextmanager
def process(environment: Mapping[str, str], prelude: str = "") -> Iterator[Process]:
    """Serves in a new process that first runs `prelude`; ends it if it has not ended."""
    own = {k: v for k, v in os.environ.items() if not k.startswith("LESIONLENS_")}
    code = f"{prelude}\nfrom serving.cli import main\nmain(['serve', '--port', '0'])"
    started = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**own, "LESIONLENS_LOG_FORMAT": "json", **environment},
        cwd=Path(__file__).parents[2],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield Process(started)
    finally:
        if started.poll() is None:
            started.kill()
        started.wait(_PATIENCE)


def wait_until(is_so: Callable[[], object]) -> None:
    """Waits until the function `is_so` is true, and fails when it never is."""
    give_up = time.monotonic() + _PATIENCE
    while not is_so():
        assert time.monotonic() < give_up, "what was waited for never came"
        time.sleep(0.01)


def patient_client() -> httpx.Client:
    """A client that waits as long as a test does."""
    return httpx.Client(timeout=_PATIENCE)
