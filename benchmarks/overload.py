"""What a burst does that is more than the server can hold: `python -m benchmarks.overload`.

Starts LesionLens, measures a few clients, then lets many times as many send photographs of 12
megapixels, then measures the few again: what was refused and how fast, what memory was held, and
whether it is as fast as before. Beside them somebody asks now and then who sends no more than the
head of a request, and so learns how long the server itself takes to refuse. Writes a table beside
this file. Linux only; loopback only.
"""

from __future__ import annotations

import os
import socket
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

import click
import msgspec

from benchmarks import pictures
from benchmarks.load import Sent, Task
from benchmarks.pictures import KINDS, LARGE
from benchmarks.processes import BenchmarkError, Server, free_port, serving
from benchmarks.servers import WARM_UP, Watch, machine, run, versions
from benchmarks.systems import LESIONLENS, ROOT, Place

FEW = 4

PAUSE = 0.1
"""seconds between two heads"""

TAKEN_AFTER = 1.0
"""seconds without an answer, after which a head was not refused"""

_COLUMNS = (
    "clients",
    "pictures",
    "answers a second",
    "an answer",
    "refused a second",
    "a refusal",
    "a refusal of a head",
    "at most resident",
)
RESULT = ROOT / "benchmarks" / "overload.md"


class Burst(msgspec.Struct, frozen=True):
    """A burst between two calm times.

    `held` is the most that the server held in each, in bytes; `refusals` is how long it took, in
    seconds, to refuse what `Heads` asked meanwhile.
    """

    before: Sent
    during: Sent
    after: Sent
    held: list[int]
    refusals: list[list[float]]


class Heads:
    """Sends heads of requests, whose bodies never come, until it is left."""

    def __init__(self, port: int) -> None:
        self.refusals: list[float] = []
        """how long each took that was refused, in seconds"""
        self._port = port
        self._head = (
            f"POST {LESIONLENS.path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
            "Content-Type: multipart/form-data; boundary=none\r\nContent-Length: 2500000\r\n\r\n"
        ).encode()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> Heads:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._done.wait(PAUSE):
            start = time.perf_counter()
            with socket.create_connection(("127.0.0.1", self._port), TAKEN_AFTER) as connection:
                try:
                    connection.sendall(self._head)
                    answer = connection.recv(64)
                except OSError:  # which TimeoutError is: it waits for the body
                    continue
            if answer.startswith(b"HTTP/1.1 503 "):
                self.refusals.append(time.perf_counter() - start)


def measure(cores: list[int], seconds: float, clients: int, files: dict[str, list[Path]]) -> Burst:
    """Lets `clients` burst upon the server for so many `seconds`, between two times of a few."""
    port = free_port()
    place = Place(programs=Path(sys.executable).parent, port=port, cores=len(cores) - 1)
    variables = {"LESIONLENS_ARTIFACTS": str(ROOT / "artifacts"), **LESIONLENS.variables}
    sent: list[Sent] = []
    held: list[int] = []
    refusals: list[list[float]] = []
    with serving(LESIONLENS.command(place), variables, port, cores[:-1]) as server:
        for kind, many in ((KINDS[0], FEW), (LARGE, clients), (KINDS[0], FEW)):
            task = Task(
                port=port,
                path=LESIONLENS.path,
                files=[str(file) for file in files[kind]],
                clients=many,
                warm_up=WARM_UP,
                seconds=seconds,
            )
            with Watch(server) as watch, Heads(port) as heads:
                sent.append(run("benchmarks.load", task, cores[-1:]))
            held.append(max(watch.resident))
            refusals.append(heads.refusals)
            _still_runs(server)
    before, during, after = sent
    return Burst(before, during, after, held, refusals)


def told(burst: Burst, clients: int) -> str:
    """The table."""
    rows = [
        ("before", FEW, KINDS[0], burst.before),
        ("the burst", clients, LARGE, burst.during),
        ("after", FEW, KINDS[0], burst.after),
    ]
    lines = [
        "# More than the server can hold",
        "",
        f"{machine()}; the server has all but one, which is the load generator's. {versions()}.",
        "Made by `python -m benchmarks.overload`, in one run; MiB are 2^20 bytes. What an answer",
        "and a refusal take are medians in milliseconds, with a 95 % interval for answers; a",
        "refusal is any other answer than 200, or none. Clients send all of a picture before they",
        "read; to a head alone the refusal is told as median, longest and how many there were.",
        "",
        f"| | {' | '.join(_COLUMNS)} |",
        f"|---{'|---' * len(_COLUMNS)}|",
    ]
    phases = zip(rows, burst.refusals, burst.held, strict=True)
    for (name, many, kind, sent), refusals, held in phases:
        cells = (
            name,
            many,
            kind,
            f"{sent.rate:.1f}",
            _milliseconds(sent),
            f"{sent.refused / sent.seconds:.1f}",
            "" if sent.refusal is None else f"{1000 * sent.refusal:.1f}",
            _of_heads(refusals),
            f"{held / 2**20:.0f} MiB",
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join([*lines, ""])


def _milliseconds(sent: Sent) -> str:
    if sent.median is None or sent.low is None or sent.high is None:
        return "none"
    low, high = 1000 * sent.low, 1000 * sent.high
    return f"{1000 * sent.median:.1f} ({low:.1f} to {high:.1f})"


def _of_heads(refusals: list[float]) -> str:
    if not refusals:
        return ""
    times = 1000 * statistics.median(refusals), 1000 * max(refusals)
    return f"{times[0]:.1f}, {times[1]:.1f}, {len(refusals)}"


def _still_runs(server: Server) -> None:
    if server.memory() == 0:
        raise BenchmarkError("the server has ended")


@click.command()
@click.option("--seconds", default=20.0, help="Of each of the three times.")
@click.option("--clients", default=200, help="In the burst.")
@click.option("--out", default=RESULT, type=click.Path(path_type=Path, dir_okay=False))
def main(seconds: float, clients: int, out: Path) -> None:
    """Measures, and writes the table."""
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as work:
        files = pictures.make(Path(work))
        table = told(measure(cores, seconds, clients, files), clients)
    out.write_text(table)
    click.echo(table)


if __name__ == "__main__":
    main()
