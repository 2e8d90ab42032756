"""An archive answered by both engines: rate, memory, and what is left of a run cut short.

`python -m benchmarks.archive DIR` runs `lesionlens predict DIR --out …` on the cores that it may
use itself, one worker a core: in one process, with Ray Data, with Ray Data where one of its workers
is killed midway, and in one process that is killed midway, with Ray Data going on from there. All
must have the same rows in the end. It prints a table and writes it beside this file. Linux only.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pyarrow as pa
from pyarrow import parquet

from benchmarks.processes import BenchmarkError, fields, memory
from serving.archive.storage import Storage

RESULT = Path(__file__).with_suffix(".md")
PROGRAM = [sys.executable, "-c", "from serving.cli import main; main()"]
WORKER = b"ray::MapWorker"
ENGINES = {"local": "local: threads of one process", "ray": "Ray Data"}
ROUNDS = 3
PART = 500
EVERY = 0.25
"""seconds between looks at the parts"""

SELDOM = 2
"""seconds between looks at the memory, which take some time of the same cores"""


class Held(msgspec.Struct):
    """The most resident memory in bytes that was seen of each kind of process.

    `first` is the driver's when the first part was there; `together` counts what processes share
    once.
    """

    first: int = 0
    driver: int = 0
    worker: int = 0
    rest: int = 0
    together: int = 0


class Timed(msgspec.Struct, frozen=True):
    """A command from start to end, in seconds, and what it held."""

    seconds: float
    held: Held


class Measured(msgspec.Struct, frozen=True):
    """By engine: a run over one picture, which is nearly all start, and some over all of them."""

    start: dict[str, float]
    whole: dict[str, list[Timed]]

    def seconds(self, engine: str) -> float:
        """The mean of the runs over all pictures."""
        return statistics.mean(timed.seconds for timed in self.whole[engine])

    def most(self, engine: str, of: str) -> int:
        """The most memory that a kind of process held in any run."""
        most: int = max(getattr(timed.held, of) for timed in self.whole[engine])
        return most


class Cut(msgspec.Struct, frozen=True):
    """A run that was cut short: what was killed with how many parts there, and what came of it."""

    told: str
    parts: int
    same: bool


Look = Callable[[int, int], None]
"""Takes the command's process and how many parts there are."""


class Bench:
    """Runs the command over `pictures` with `model` on `workers` cores, results below `folder`."""

    def __init__(self, pictures: Path, model: str, workers: int, folder: Path) -> None:
        self.pictures, self.model, self.workers, self.folder = pictures, model, workers, folder

    def out(self, name: str) -> Path:
        return self.folder / f"{name}.parquet"

    def parts(self, name: str) -> int:
        return len(list(self.out(name).glob("part-*")))

    def rows(self, name: str) -> pa.Table:
        return parquet.read_table(self.out(name)).sort_by("image")

    def run(
        self, name: str, engine: str, look: Look | None = None, pictures: Path | None = None
    ) -> Timed:
        """One run of the command; where there is a `look`, it is called, and no memory measured."""
        command = [*PROGRAM, "predict", str(pictures or self.pictures), "--model", self.model]
        command += ["--out", str(self.out(name)), "--engine", engine, "--part", str(PART)]
        environment = {**os.environ, "LESIONLENS_WORKERS": str(self.workers)}
        held, looked = Held(), 0.0
        start = time.perf_counter()
        with tempfile.TemporaryFile() as said:
            process = subprocess.Popen(command, env=environment, stdout=said, stderr=said)
            while process.poll() is None:
                parts = self.parts(name)
                if look:
                    look(process.pid, parts)
                elif (now := time.perf_counter()) > looked + SELDOM:
                    looked = now
                    _see(process.pid, held, begun=parts > 0)
                time.sleep(EVERY)
            seconds = time.perf_counter() - start
            said.seek(0)
            # 1: a picture could not be read, which is a row like any other.
            if process.returncode not in (0, 1, -signal.SIGKILL):
                raise BenchmarkError(said.read()[-2000:].decode("utf-8", "replace"))
        return Timed(seconds, held)

    def measure(self) -> Measured:
        """Both engines in turn, without anything going wrong."""
        single = self.folder / "single"
        single.mkdir()
        place = next(Storage(str(self.pictures)).places())
        (single / Path(place).name).symlink_to(self.pictures.resolve() / place)
        start = {e: self.run(f"single-{e}", e, pictures=single).seconds for e in ENGINES}
        whole: dict[str, list[Timed]] = {engine: [] for engine in ENGINES}
        for index in range(ROUNDS):
            for engine in ENGINES:
                whole[engine].append(self.run(f"{engine}-{index}", engine))
        return Measured(start, whole)

    def cut(self) -> Iterator[Cut]:
        """Runs that are cut short at half of their parts; their rows beside the local engine's."""
        asked, half = self.rows("local-0"), self.parts("local-0") // 2
        killed: list[int] = []

        def kill(find: Callable[[int], int]) -> Look:
            killed.clear()

            def look(pid: int, parts: int) -> None:
                if parts >= half and not killed:
                    os.kill(find(pid), signal.SIGKILL)
                    killed.append(parts)

            return look

        self.run("worker", "ray", kill(lambda pid: _workers(pid)[0]))
        told = "with Ray Data, where one of the workers was killed"
        yield Cut(told, killed[0], self.rows("worker").equals(asked))
        self.run("process", "local", kill(lambda pid: pid))
        self.run("process", "ray")
        told = "in one process, which was killed, and then with Ray Data"
        yield Cut(told, killed[0], self.rows("process").equals(asked))


def table(bench: Bench, measured: Measured, cuts: list[Cut]) -> str:
    """The result as Markdown."""
    asked = bench.rows("local-0")
    count, parts = len(asked), bench.parts("local-0")
    again = all(bench.rows(f"{e}-{i}").equals(asked) for e in ENGINES for i in range(ROUNDS))
    lines = [
        f"# An archive of {count} pictures: {bench.model}",
        "",
        f"{platform.machine()}, {bench.workers} of {os.cpu_count()} cores for everything, "
        f"{bench.workers} workers, parts of {PART} pictures; {ROUNDS}",
        "runs each in turn, with other work on the machine. Made by",
        f"`python -m benchmarks.archive DIR --model {bench.model}`. Seconds are the mean, with the",
        "least and the most; the start is a run over one picture, the net rate that of the other",
        "seconds.",
        "",
        "| engine | seconds | start | pictures a second | net | net, of the local engine's |",
        "|---|---|---|---|---|---|",
    ]
    local = measured.seconds("local") - measured.start["local"]
    for engine, title in ENGINES.items():
        seconds, start = measured.seconds(engine), measured.start[engine]
        each = [timed.seconds for timed in measured.whole[engine]]
        lines.append(
            f"| {title} | {seconds:.0f} ({min(each):.0f} to {max(each):.0f}) | {start:.1f} "
            f"| {count / seconds:.1f} | {count / (seconds - start):.1f} "
            f"| {local / (seconds - start):.2f} |"
        )
    lines += [
        "",
        "The most resident memory in MB: of the command's own process (the driver), once the",
        "first part was there and at all; of a worker; of Ray's other processes, the same for any",
        "archive; of all, with what they share counted once.",
        "",
        "| engine | driver, at first | driver | a worker | the rest of Ray | all |",
        "|---|---|---|---|---|---|",
    ]
    for engine, title in ENGINES.items():
        held = [measured.most(engine, of) for of in Held.__struct_fields__]
        lines.append(f"| {title} | {' | '.join(map(_mb, held))} |")
    lines += [
        "",
        f"The rows beside those of the local engine's first run, all {count} in every column:",
        "",
        "| run | killed when so many parts were there | rows |",
        "|---|---|---|",
        f"| all of the above | | {_equal(again)} |",
        *(f"| {c.told} | {c.parts} of {parts} | {_equal(c.same)} |" for c in cuts),
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measures, prints and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--model", default="mobilenet")
    arguments = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(arguments.pictures, arguments.model, cores, Path(folder))
        measured = bench.measure()
        text = table(bench, measured, list(bench.cut()))
    print(text)
    RESULT.write_text(text, encoding="utf-8")


def _see(pid: int, held: Held, begun: bool) -> None:
    below = _below(pid)
    workers = [each for each in below if _is_worker(each)]
    driver = memory(pid, "Rss")
    if begun and not held.first:
        held.first = driver
    held.driver = max(held.driver, driver)
    held.worker = max([held.worker, *(memory(each, "Rss") for each in workers)])
    rest = sum(memory(each, "Rss") for each in below if each not in workers)
    held.rest = max(held.rest, rest)
    held.together = max(held.together, sum(memory(each, "Pss") for each in (pid, *below)))


def _workers(pid: int) -> list[int]:
    return [each for each in _below(pid) if _is_worker(each)]


def _is_worker(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().startswith(WORKER)
    except OSError:
        return False


def _below(pid: int) -> list[int]:
    """The processes that `pid` started, and theirs."""
    every = (int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit())
    parents = {each: int(known[1]) for each in every if (known := fields(each))}
    found, new = [], [pid]
    while new:
        new = [each for each, parent in parents.items() if parent in new]
        found += new
    return found


def _mb(size: int) -> str:
    return f"{size / 1e6:.0f}" if size else ""


def _equal(equal: bool) -> str:
    return "the same" if equal else "**differ**"


if __name__ == "__main__":
    main()
