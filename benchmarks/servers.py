"""LesionLens beside what people would use instead: the same pictures, cores and load for each.

`python -m benchmarks.servers` starts each server in turn on the same cores, sends it the pictures
of `benchmarks.pictures` from 1, 8 and 32 clients, and writes a table and a plot beside this file.
The same command, on the same commit, goes on behind the last whole round of an interrupted one.
The packages of each stand in an environment of its own, which `make bench` installs. Linux only.
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NoReturn

import click
import msgspec
from tqdm import tqdm

from benchmarks import bare, load, pictures, servers_report
from benchmarks.load import Sent, Task
from benchmarks.measured import (
    ASKED,
    CLIENTS,
    FEWEST,
    LONGER,
    RATIO_CLIENTS,
    Agreement,
    Cell,
    Comparison,
    Memory,
    Profile,
    Size,
    Start,
)
from benchmarks.pictures import KINDS, LARGE, MIXTURE
from benchmarks.processes import BenchmarkError, Server, free_port, serving
from benchmarks.systems import BARE, LESIONLENS, NOTHING, ROOT, SERVERS, Place, System
from serving.manifest import load as load_manifest

TOLERANCE = 0.02
"""The most that a probability may differ: a peer decodes every pixel before it shrinks them."""

MODEL = "mobilenet"
STARTS = 5
WARM_UP = 1.0
SAMPLE_SECONDS = 1.0
RESULT = ROOT / "benchmarks" / "servers.md"

_PIP = ("pip", "setuptools", "pkg_resources", "_distutils_hack", "distutils")


class Bench:
    """One comparison: where everything is, and what was found so far."""

    def __init__(
        self, environments: Path, cores: Sequence[int], seconds: float, rounds: int, work: Path
    ) -> None:
        # With a core to itself the generator takes nothing from the servers.
        self._cores = list(cores[:-1]) or list(cores)
        self._generator = [cores[-1]]
        self._environments = environments
        self._seconds = seconds
        self._work = work
        self._model = ROOT / "artifacts" / MODEL
        self._answers: dict[Path, Mapping[str, float]] = {}
        self.files = pictures.make(work)
        self.found = Comparison(
            machine=machine(),
            cores=len(self._cores),
            generator_core=len(cores) > 1,
            seconds=seconds,
            rounds=rounds,
            versions=versions(),
        )
        weights = [sys.executable, "-m", "benchmarks.weights"]
        graph = [str(self._model / "model.onnx"), str(self._weights)]
        subprocess.run([*weights, *graph], check=True, cwd=ROOT)

    @property
    def rounds_done(self) -> int:
        """How many rounds have found all their figures."""
        return len(self.found.cells) // self.cells_a_round

    @property
    def _weights(self) -> Path:
        return self._work / "weights.pt"

    def throughput(self, progress: tqdm[NoReturn]) -> None:
        """One round: each system in turn, each kind of pictures, each number of clients."""
        for system in SERVERS:
            progress.set_postfix_str(system.name)
            with self._serving(system) as server:
                self._agree(system, server)
                if system is LESIONLENS:
                    self._agree_bare()
                for kind, clients in self._cases(system):
                    sent = self._send(system, server, kind, clients, self._seconds)
                    if clients == RATIO_CLIENTS and sent.answers < FEWEST:
                        longer = LONGER * self._seconds
                        sent = self._send(system, server, kind, clients, longer)
                    self.found.cells.append(Cell(system.name, kind, clients, sent))
                    progress.update()
                    if system is LESIONLENS:
                        # At once, beside a server at rest: a machine is not the same for long.
                        limit = self._bare(kind, clients)
                        self.found.cells.append(Cell(BARE, kind, clients, limit))
                        progress.update()
        progress.set_postfix_str(NOTHING.name)
        with self._serving(NOTHING) as server:
            for kind in self.files:
                sent = self._send(NOTHING, server, kind, RATIO_CLIENTS, self._seconds)
                self.found.cells.append(Cell(NOTHING.name, kind, RATIO_CLIENTS, sent))
                progress.update()

    @property
    def cells_a_round(self) -> int:
        """How many figures a round finds."""
        servers = sum(len(self._cases(system)) for system in SERVERS)
        return servers + len(self._cases(LESIONLENS)) + len(self.files)

    def starts(self) -> None:
        """What each server takes until its first answer, several times."""
        body = load.form(self.files[KINDS[0]][0])
        for system in _in_full():
            for _ in range(STARTS):
                begin = time.perf_counter()
                with self._serving(system) as server:
                    load.ask(server.port, system.path, body)
                    passed = time.perf_counter() - begin
                    self.found.starts.append(Start(system.name, server.cpu, passed))

    def memory(self, seconds: float, peer_seconds: float) -> None:
        """What each server holds under the most load of the largest pictures."""
        for system in _in_full():
            span = seconds if system is LESIONLENS else peer_seconds
            with self._serving(system) as server, Watch(server) as watch:
                sent = self._send(system, server, LARGE, CLIENTS[-1], span)
            self.found.memory.append(
                Memory(
                    system=system.name,
                    seconds=span,
                    end=_last(watch.resident),
                    most=max(watch.resident),
                    shared=_last(watch.shared),
                    answers=sent.answers,
                    refused=sent.refused,
                )
            )

    def sizes(self) -> None:
        """What the packages of each take on a disk."""
        for system in _in_full():
            place = self._environments / system.environment / "lib"
            (packages,) = place.glob("python3.*/site-packages")
            self.found.sizes.append(Size(system.name, _size(packages)))

    def profile(self) -> None:
        """Where LesionLens's milliseconds and megabytes go."""
        done = subprocess.run(
            [self._programs(LESIONLENS) / "python", "-m", "benchmarks.spent"],
            input=msgspec.json.encode({kind: self.files[kind] for kind in KINDS}, enc_hook=str),
            check=True,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, **self._variables(LESIONLENS)},
            preexec_fn=lambda: os.sched_setaffinity(0, self._cores[:1]),
        )
        found = msgspec.json.decode(done.stdout, type=Profile)
        self.found.spent, self.found.held = found.spent, found.held

    def _cases(self, system: System) -> list[tuple[str, int]]:
        if system.tuned:
            return [(kind, RATIO_CLIENTS) for kind in self.files]
        return [(kind, clients) for kind in self.files for clients in CLIENTS]

    def _agree(self, system: System, server: Server) -> None:
        """Checks what it answers to each picture against what LesionLens does.

        Raises:
            BenchmarkError: where it differs by more than the tolerance.
        """

        def ask(file: Path) -> dict[str, float]:
            answer = msgspec.json.decode(load.ask(server.port, system.path, load.form(file)))
            told: dict[str, float] = (answer[0] if system is LESIONLENS else answer)[
                "probabilities"
            ]
            return told

        self._compare(system.name, ask)

    def _agree_bare(self) -> None:
        """Checks what the bare limit computes in the same way.

        Raises:
            BenchmarkError: where it differs by more than the tolerance.
        """
        manifest = load_manifest(self._model)
        answer = bare.answerer(self._model, manifest.preprocessing.size)

        def ask(file: Path) -> dict[str, float]:
            (probability,) = answer(file.read_bytes())[0]
            return dict(zip(manifest.class_ids, probability.tolist(), strict=True))

        self._compare(BARE, ask)

    def _compare(self, name: str, ask: Callable[[Path], Mapping[str, float]]) -> None:
        furthest = 0.0
        for file in self.files[MIXTURE]:
            told = ask(file)
            agreed = self._answers.setdefault(file, told)
            furthest = max(furthest, *(abs(told[id] - agreed[id]) for id in agreed))
        if furthest > TOLERANCE:
            raise BenchmarkError(f"{name} answers otherwise by {furthest:.3f}")
        if all(each.system != name for each in self.found.agreements):
            self.found.agreements.append(Agreement(name, furthest))

    def _serving(self, system: System) -> AbstractContextManager[Server]:
        port = free_port()
        place = Place(programs=self._programs(system), port=port, cores=len(self._cores))
        return serving(system.command(place), self._variables(system), port, self._cores)

    def _programs(self, system: System) -> Path:
        return self._environments / system.environment / "bin"

    def _variables(self, system: System) -> dict[str, str]:
        return {
            "LESIONLENS_ARTIFACTS": str(self._model.parent),
            "MODEL_FOLDER": str(self._model),
            "WEIGHTS": str(self._weights),
            **system.variables,
        }

    def _send(
        self, system: System, server: Server, kind: str, clients: int, seconds: float
    ) -> Sent:
        task = self._task(kind, clients, seconds, server.port, system.path)
        return run("benchmarks.load", task, self._generator)

    def _bare(self, kind: str, clients: int) -> Sent:
        task = self._task(kind, clients, self._seconds)
        variables = {"MODEL_FOLDER": str(self._model), "THREADS": str(len(self._cores))}
        return run("benchmarks.bare", task, self._cores, variables)

    def _task(self, kind: str, clients: int, seconds: float, port: int = 0, path: str = "") -> Task:
        return Task(
            port=port,
            path=path,
            files=[str(file) for file in self.files[kind]],
            clients=clients,
            warm_up=WARM_UP,
            seconds=seconds,
        )


class Watch:
    """Samples what a server holds until it is left."""

    def __init__(self, server: Server) -> None:
        self.resident: list[int] = []
        self.shared: list[int] = []
        self._server = server
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _sample(self) -> None:
        while True:
            self.resident.append(self._server.memory())
            self.shared.append(self._server.memory("Pss"))
            if self._done.wait(SAMPLE_SECONDS):
                return


def run(
    module: str, task: Task, cores: Sequence[int], variables: Mapping[str, str] | None = None
) -> Sent:
    """What `module` makes of `task` in a process of its own on `cores`."""
    done = subprocess.run(
        [sys.executable, "-m", module],
        input=msgspec.json.encode(task),
        stdout=subprocess.PIPE,
        check=True,
        cwd=ROOT,
        env={**os.environ, **(variables or {})},
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )
    return msgspec.json.decode(done.stdout, type=Sent)


def _in_full() -> list[System]:
    return [system for system in SERVERS if not system.tuned]


def _last(samples: Sequence[int]) -> int:
    return round(statistics.median(samples[-max(1, len(samples) // 10) :]))


def _size(folder: Path) -> int:
    files = (file for file in folder.rglob("*") if file.is_file() and not file.is_symlink())
    needed = (file for file in files if not _is_pip(file.relative_to(folder).parts[0]))
    return sum(file.stat().st_blocks * 512 for file in needed)


def _is_pip(name: str) -> bool:
    return name.split("-")[0] in _PIP


def machine() -> str:
    """The processor, how many cores and how much memory there are."""
    told = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in told if "model name" in line), "?")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB"


def versions() -> str:
    """Python's version and the project's."""
    return f"Python {platform.python_version()}, {_commit()}"


def _commit() -> str:
    asked = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    return f"commit {done.stdout.strip() or 'unknown'}"


@click.command()
@click.option("--seconds", default=3.0, help="For each figure, after a warm-up of one second.")
@click.option(
    "--rounds",
    default=5,
    type=click.IntRange(min=2),
    help="How often every server is measured: the intervals are over the rounds.",
)
@click.option("--memory-seconds", default=600.0, help="Of load, for LesionLens's memory.")
@click.option("--peer-memory-seconds", default=60.0, help="The same for each of the others.")
@click.option("--cores", help="The cores to use, as 0,1,2,3; the last is the generator's.")
@click.option(
    "--environments",
    default=ROOT / ".venv" / ".peers",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Where `make bench` has put the packages of each.",
)
@click.option(
    "--out",
    default=RESULT,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The table; the plot and the figures themselves go beside it.",
)
def main(
    seconds: float,
    rounds: int,
    memory_seconds: float,
    peer_memory_seconds: float,
    cores: str | None,
    environments: Path,
    out: Path,
) -> None:
    """Measures every server and writes the table and the plot."""
    used = [int(core) for core in cores.split(",")] if cores else sorted(os.sched_getaffinity(0))
    begun = out.with_suffix(".part.json")
    with tempfile.TemporaryDirectory() as work:
        try:
            bench = Bench(environments, used, seconds, rounds, Path(work))
            bench.found = left_by(begun, bench.found)
            # What takes a minute comes before what takes an hour.
            if not bench.found.held:
                click.echo("the first answers, and where time and memory go", err=True)
                bench.found.starts.clear()
                bench.starts()
                bench.found.sizes.clear()
                bench.sizes()
                bench.profile()
                _keep(bench.found, begun)
            total, done = rounds * bench.cells_a_round, len(bench.found.cells)
            with tqdm(total=total, initial=done, unit="figure") as progress:
                for _ in range(bench.rounds_done, rounds):
                    bench.throughput(progress)
                    _keep(bench.found, begun)
            click.echo(f"memory, under {memory_seconds:g} seconds of load", err=True)
            bench.memory(memory_seconds, peer_memory_seconds)
        except BenchmarkError as error:
            raise click.ClickException(str(error)) from error
    # Before the report is written from it, so that nothing is measured twice.
    _keep(bench.found, out.with_suffix(".json"))
    begun.unlink(missing_ok=True)
    servers_report.write(bench.found, out)


def left_by(file: Path, begun: Comparison) -> Comparison:
    """What an interrupted comparison left in `file`, if it was the same as the `begun` one."""
    if not file.exists():
        return begun
    left = msgspec.json.decode(file.read_bytes(), type=Comparison)
    same = all(getattr(left, name) == getattr(begun, name) for name in ASKED)
    return left if same else begun


def _keep(found: Comparison, file: Path) -> None:
    file.write_bytes(msgspec.json.format(msgspec.json.encode(found)))


if __name__ == "__main__":
    main()
