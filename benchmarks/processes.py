"""Servers as processes of their own on cores of their own, and what they take. Linux only."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

PATIENCE = 120
"""seconds until a server must listen or have ended"""


class BenchmarkError(RuntimeError):
    """A server that cannot be measured; the message says why and what to do."""


class Server:
    """A server that listens on `port`, with all processes that it started."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.port = port
        self._process = process

    @property
    def cpu(self) -> float:
        """Seconds that its processes computed for, and those of theirs that have ended."""
        ticks = sum(_ticks(each) for each in self._tree())
        return ticks / os.sysconf("SC_CLK_TCK")

    def memory(self, what: str = "Rss") -> int:
        """Bytes that its processes hold; `Pss` counts what they share with others in parts."""
        return sum(memory(each, what) for each in self._tree())

    def _tree(self) -> list[int]:
        """The processes of its session, which it leads."""
        every = (int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit())
        return [pid for pid in every if fields(pid)[3:4] == [str(self._process.pid)]]


@contextmanager
def serving(
    command: Sequence[str], environment: Mapping[str, str], port: int, cores: Sequence[int]
) -> Iterator[Server]:
    """Runs `command` on `cores` until it listens on `port`, and ends it afterwards.

    Raises:
        BenchmarkError: where it never listens; the message holds what it said.
    """
    own = {k: v for k, v in os.environ.items() if not k.startswith("LESIONLENS_")}
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            command,
            env={**own, "PYTHONDONTWRITEBYTECODE": "1", **environment},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
            start_new_session=True,
        )
        try:
            _wait(process, port)
            yield Server(process, port)
        except Exception as error:
            said.seek(0)
            last = said.read()[-2000:].decode("utf-8", "replace")
            raise BenchmarkError(f"{' '.join(command)}: {error}\n{last}") from error
        finally:
            _end(process)


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    give_up = time.monotonic() + PATIENCE
    while time.monotonic() < give_up:
        if process.poll() is not None:
            raise BenchmarkError(f"it ended with {process.returncode}")
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        time.sleep(0.01)
    raise BenchmarkError(f"it did not listen within {PATIENCE} seconds")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends the process and all of its group; some servers leave their workers behind."""
    for number, patience in ((signal.SIGTERM, 10), (signal.SIGKILL, 10)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience)


def _ticks(pid: int) -> int:
    return sum(map(int, fields(pid)[11:15]))


def fields(pid: int) -> list[str]:
    """What /proc tells of a process, from its state on; nothing of one that has ended."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return []


def memory(pid: int, what: str) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith(f"{what}:"):
                return int(line.split()[1]) * 1024
    return 0
