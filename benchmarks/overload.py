"""What a burst does that is more than the server can hold: `python -m benchmarks.overload`.

Starts LesionLens, measures a few clients, then lets many times as many send photographs of 12
megapixels, then measures the few again: what was refused and how fast, what memory was held, and
whether it is as fast as before. Writes a table beside this file. Linux only; loopback only.
"""

from __future__ import annotations

import os
import sys
import tempfile
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
_COLUMNS = (
    "clients",
    "pictures",
    "answers a second",
    "an answer",
    "refused a second",
    "a refusal",
    "at most resident",
)
RESULT = ROOT / "benchmarks" / "overload.md"


class Burst(msgspec.Struct, frozen=True):
    """A burst between two calm times, with what the server held in each, in bytes."""

    before: Sent
    during: Sent
    after: Sent
    held: list[int]


def measure(cores: list[int], seconds: float, clients: int, files: dict[str, list[Path]]) -> Burst:
    """Lets `clients` burst upon the server for so many `seconds`, between two times of a few."""
    port = free_port()
    place = Place(programs=Path(sys.executable).parent, port=port, cores=len(cores) - 1)
    variables = {"LESIONLENS_ARTIFACTS": str(ROOT / "artifacts"), **LESIONLENS.variables}
    sent: list[Sent] = []
    held: list[int] = []
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
            with Watch(server) as watch:
                sent.append(run("benchmarks.load", task, cores[-1:]))
            held.append(max(watch.resident))
            _still_runs(server)
    before, during, after = sent
    return Burst(before, during, after, held)


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
        "refusal is any other answer than 200, or none.",
        "",
        f"| | {' | '.join(_COLUMNS)} |",
        f"|---{'|---' * len(_COLUMNS)}|",
    ]
    for (name, many, kind, sent), held in zip(rows, burst.held, strict=True):
        cells = (
            name,
            many,
            kind,
            f"{sent.rate:.1f}",
            _milliseconds(sent),
            f"{sent.refused / sent.seconds:.1f}",
            "" if sent.refusal is None else f"{1000 * sent.refusal:.1f}",
            f"{held / 2**20:.0f} MiB",
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join([*lines, ""])


def _milliseconds(sent: Sent) -> str:
    if sent.median is None or sent.low is None or sent.high is None:
        return "none"
    low, high = 1000 * sent.low, 1000 * sent.high
    return f"{1000 * sent.median:.1f} ({low:.1f} to {high:.1f})"


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
