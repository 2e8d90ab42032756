"""That the server calls nobody: it runs where the kernel kills whatever opens a connection."""

from __future__ import annotations

import platform
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.drawings import draw_lesion, encode
from tests.serving.live import process

CALLS = {"x86_64": (42, 44), "aarch64": (203, 206)}
"""the numbers of connect and sendto"""

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in CALLS,
    reason="the kernel is told what to kill by seccomp: Linux only, by numbers of each machine",
)

KILL = f"""
import ctypes, platform, struct

# Kills the process at connect, and at sendto with an address. Filters are programs of 8-byte
# instructions: load a word, compare it, return (linux/filter.h, linux/seccomp.h).
connect, sendto = {CALLS}[platform.machine()]
NUMBER, ADDRESS, LOAD, EQUALS, RETURN = 0, 48, 0x20, 0x15, 0x06
program = b"".join(
    struct.pack("HBBI", *instruction)
    for instruction in (
        (LOAD, 0, 0, NUMBER),
        (EQUALS, 3, 0, connect),
        (EQUALS, 0, 3, sendto),
        (LOAD, 0, 0, ADDRESS),
        (EQUALS, 1, 0, 0),
        (RETURN, 0, 0, 0x80000000),
        (RETURN, 0, 0, 0x7FFF0000),
    )
)
kept = ctypes.create_string_buffer(program)
header = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(kept))
libc = ctypes.CDLL(None, use_errno=True)
NO_NEW_PRIVILEGES, SECCOMP, FILTER = 38, 22, 2
for call in ((NO_NEW_PRIVILEGES, 1, 0, 0, 0), (SECCOMP, FILTER, header, 0, 0)):
    if libc.prctl(*call):
        raise SystemExit(f"the kernel refuses: {{ctypes.get_errno()}}")
"""


@pytest.mark.parametrize(
    "call",
    [
        "socket.create_connection(('127.0.0.1', 9))",
        "socket.getaddrinfo('example.org', 80)",
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'', ('127.0.0.1', 9))",
    ],
)
def test_whoever_calls_is_killed(call: str) -> None:
    ended = subprocess.run([sys.executable, "-c", f"{KILL}\nimport socket\n{call}"], timeout=60)
    assert ended.returncode == -signal.SIGSYS


def test_the_server_calls_nobody(artifacts: Path) -> None:
    with process({"LESIONLENS_ARTIFACTS": str(artifacts)}, KILL) as server:
        files = [("images", ("a.jpg", encode(draw_lesion(1))))]
        # Without the built files the page has no answer to show.
        for path, statuses in (("/api/v1/predictions?heatmaps=true", {200}), ("/", {200, 503})):
            assert httpx.post(server.url + path, files=files, timeout=60).status_code in statuses
        for path in ("/api", "/api/openapi.json", "/api/v1/models", "/readyz", "/nothing"):
            assert httpx.get(server.url + path).status_code < 500
        server.send(signal.SIGTERM)
        assert server.wait() == -signal.SIGTERM
