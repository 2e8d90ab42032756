"""The table and the plot of a comparison of servers.

`python -m benchmarks.servers_report FILE` writes both anew from the figures that were kept.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from benchmarks import estimates
from benchmarks.estimates import Estimate
from benchmarks.measured import CLIENTS, FEWEST, LONGER, RATIO_CLIENTS, Cell, Comparison
from benchmarks.pictures import KINDS, LARGE, MIXTURE
from benchmarks.systems import BARE, FASTAPI, FLASK, LESIONLENS, NOTHING, SERVERS

MIB = 2**20
ORDER = (*KINDS, MIXTURE)


class Judged(msgspec.Struct, frozen=True):
    """A figure beside what was asked for; `more` where more is better.

    `error` is half of its interval's width, nought where there is none.
    """

    what: str
    figure: str
    value: float
    required: float
    aim: float
    unit: str
    more: bool
    error: float = 0.0

    @property
    def verdict(self) -> str:
        """Whether the whole of its interval is what was asked for, or none of it."""
        sign = 1 if self.more else -1
        worst, best = sign * self.value - self.error, sign * self.value + self.error
        if worst >= sign * self.aim:
            return "aim"
        if worst >= sign * self.required:
            return "required"
        return "**missed**" if best < sign * self.required else "not decided"


def write(found: Comparison, file: Path) -> None:
    """Writes the table into `file` and the plot beside it."""
    file.write_text(text(found, file), encoding="utf-8")
    plot(found, file.with_suffix(".png"))


def text(found: Comparison, file: Path) -> str:
    """The report as Markdown."""
    sections = [
        _head(found, file),
        _asked(found),
        _throughput(found),
        _latency(found),
        _rest(found),
        _profile(found),
    ]
    return "\n".join("\n".join(section) + "\n" for section in sections)


def judged(found: Comparison) -> Iterator[Judged]:
    """Each figure that was asked for."""
    wanted = (
        (FLASK.name, KINDS[0], 2.5, 4),
        (FLASK.name, LARGE, 4, 6),
        (FLASK.name, MIXTURE, 2, 3),
    )
    for other, kind, required, aim in (*wanted, (FASTAPI.name, MIXTURE, 1.5, 2.5)):
        what = f"throughput over {other}: {kind}, {RATIO_CLIENTS} clients"
        yield _estimate(what, _ratio(found, other, kind), required, aim, "x", more=True)
    for kind in ORDER:
        what = f"throughput over the bare limit: {kind}, {RATIO_CLIENTS} clients"
        yield _estimate(what, _ratio(found, BARE, kind), 0.80, 0.95, "x", more=True)
    for kind in KINDS:
        added = estimates.added(*(_cells(found, each, kind, 1) for each in (LESIONLENS.name, BARE)))
        what = f"added to decode and inference, median: {kind}, 1 client"
        milliseconds = Estimate(1000 * added.value, 1000 * added.error)
        yield _estimate(what, milliseconds, 2, 1, " ms", more=False)
    memory = next(each for each in found.memory if each.system == LESIONLENS.name)
    what = f"resident memory after {memory.seconds:.0f} s of {CLIENTS[-1]} clients with {LARGE}"
    held = memory.end / MIB
    yield Judged(
        what, f"{held:.0f} MiB, at most {memory.most / MIB:.0f}", held, 256, 160, " MiB", False
    )
    cpu = [each.cpu for each in found.starts if each.system == LESIONLENS.name]
    figure = f"{statistics.median(cpu):.2f} s ({min(cpu):.2f} to {max(cpu):.2f}, {len(cpu)} starts)"
    what = "from the start of the process to the first answer, CPU time"
    yield Judged(what, figure, statistics.median(cpu), 1.2, 0.8, " s", False)
    size = next(each.bytes for each in found.sizes if each.system == LESIONLENS.name) / MIB
    what = "installed size of what a deploy needs, without Python itself"
    yield Judged(what, f"{size:.0f} MiB", size, 260, 220, " MiB", False)


def plot(found: Comparison, file: Path) -> None:
    """Throughput of each system for each kind of pictures."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    systems = [system.name for system in SERVERS if not system.tuned] + [BARE]
    figure, axes = pyplot.subplots(figsize=(9, 4.2), layout="constrained")
    width = 0.8 / len(systems)
    for number, system in enumerate(systems):
        rates = [_rate(found, system, kind, RATIO_CLIENTS) for kind in ORDER]
        axes.bar(
            [place + (number - (len(systems) - 1) / 2) * width for place in range(len(ORDER))],
            [rate.value for rate in rates],
            width,
            yerr=[rate.error for rate in rates],
            label=system,
            color="0.75" if system == BARE else f"C{number}",
            error_kw={"lw": 0.8},
        )
    axes.set_xticks(range(len(ORDER)), ORDER)
    axes.set_ylabel("answers a second")
    axes.set_title(
        f"{RATIO_CLIENTS} clients, {found.cores} cores; bars: 95 % intervals", fontsize=10
    )
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(file, dpi=120, metadata={"Software": ""})
    pyplot.close(figure)


def _head(found: Comparison, file: Path) -> list[str]:
    apart = "another core is the load generator's" if found.generator_core else "load included"
    return [
        "# LesionLens beside what people would use instead",
        "",
        f"{found.machine}; the servers have {found.cores} of the cores, {apart}. {found.versions}.",
        f"Each figure is of {found.rounds} x {found.seconds:g} s, after a second of warm-up, or of "
        f"{LONGER} times as long where ratios are taken and fewer than {FEWEST} answers came; MiB "
        "are 2^20 bytes.",
        f'Made by `make bench ARGS="--rounds {found.rounds} --seconds {found.seconds:g}"`; every ± '
        f"is half of a 95 % interval over the {found.rounds} rounds, in each of which every system "
        "has its turn. Ratios and differences are of a round by itself.",
        "",
        f"![Answers a second]({file.with_suffix('.png').name})",
    ]


def _asked(found: Comparison) -> list[str]:
    rows = [
        f"| {each.what} | {each.figure} | {each.required:g}{each.unit} | {each.aim:g}{each.unit} "
        f"| {each.verdict} |"
        for each in judged(found)
    ]
    return [
        "## What was asked for",
        "",
        "| | LesionLens | required | aim | reached |",
        _line(5),
        *rows,
        "",
        "Reached is what the whole of an interval reaches. Flask as it was asked for starves its",
        "own threads ([notes.md](notes.md)); over the others with one thread a worker or run, a",
        f"setting that their documentation does not make, {RATIO_CLIENTS} clients:",
        "",
        "| | " + " | ".join(ORDER) + " |",
        _line(len(ORDER) + 1),
        *_over_the_tuned(found),
    ]


def _over_the_tuned(found: Comparison) -> Iterator[str]:
    for system in (each.name for each in SERVERS if each.tuned):
        cells = []
        for kind in ORDER:
            ratio = _ratio(found, system, kind)
            cells.append(f"{ratio.value:.2f} ± {ratio.error:.2f}x")
        yield f"| {system} | {' | '.join(cells)} |"


def _throughput(found: Comparison) -> list[str]:
    clients = ", ".join(map(str, CLIENTS[:-1])) + f" and {CLIENTS[-1]}"
    rows = []
    for system in _systems(found):
        cells = [
            " / ".join(filter(None, (_told(found, system, kind, count) for count in CLIENTS)))
            for kind in ORDER
        ]
        rows.append(f"| {system} | " + " | ".join(cells) + " |")
    share = max(
        cell.sent.cpu / cell.sent.seconds for cell in found.cells if cell.system == LESIONLENS.name
    )
    return [
        "## Answers a second",
        "",
        f"With {clients} clients; a single figure is of {RATIO_CLIENTS}.",
        f"`{NOTHING.name}` reads a body and answers: what the generator can send. While",
        f"LesionLens answered, the generator computed for at most {100 * share:.0f} % of the time.",
        "The bare limit has its turn after each figure of LesionLens, whose server then rests.",
        "",
        "| | " + " | ".join(ORDER) + " |",
        _line(len(ORDER) + 1),
        *rows,
    ]


def _latency(found: Comparison) -> list[str]:
    rows = [
        f"| {system} | "
        + " | ".join(_milliseconds(_median(found, system, k)) for k in KINDS)
        + " |"
        for system in (*(s.name for s in SERVERS if not s.tuned), BARE)
    ]
    return [
        "## Milliseconds an answer",
        "",
        "Medians with one client.",
        "",
        "| | " + " | ".join(KINDS) + " |",
        _line(len(KINDS) + 1),
        *rows,
    ]


def _rest(found: Comparison) -> list[str]:
    rows = []
    for memory in found.memory:
        starts = [each for each in found.starts if each.system == memory.system]
        size = next(each.bytes for each in found.sizes if each.system == memory.system)
        apart = next(each.difference for each in found.agreements if each.system == memory.system)
        rows.append(
            f"| {memory.system} | {memory.end / MIB:.0f} | {memory.shared / MIB:.0f} "
            f"| {memory.most / MIB:.0f} | {memory.seconds:.0f} s, {memory.answers} answers, "
            f"{memory.refused} refused | {statistics.median(e.cpu for e in starts):.2f} "
            f"| {statistics.median(e.passed for e in starts):.2f} | {size / MIB:.0f} "
            f"| {apart:.4f} |"
        )
    return [
        "## Memory, start, size, agreement",
        "",
        f"Memory in MiB under {CLIENTS[-1]} clients with {LARGE}, of all processes of a server: at",
        "the end, the same with what they share counted once, and at most. Then seconds from the",
        f"start to the first answer, medians of {len(found.starts) // len(found.memory)}: computed",
        "and passed. The size is of packages, in MiB. Agreement is the most by which any",
        "probability differed from LesionLens's, over all pictures.",
        "",
        "| | end | shared once | most | load | s of CPU | s passed | size | agreement |",
        _line(9),
        *rows,
    ]


def _profile(found: Comparison) -> list[str]:
    rows = []
    for spent in found.spent:
        whole = _median(found, LESIONLENS.name, spent.kind).value
        stages = [spent.stages[name] for name in ("decode", "infer", "render")]
        cells = [*stages, whole - sum(stages), whole]
        rows.append(f"| {spent.kind} | " + " | ".join(f"{1000 * s:.2f}" for s in cells) + " |")
    total = 0
    held = []
    for step in found.held:
        total += step.bytes
        held.append(f"| {step.step} | {step.bytes / MIB:+.1f} | {total / MIB:.1f} |")
    answers = found.spent[0].answers if found.spent else 0
    return [
        "## Where LesionLens's milliseconds go",
        "",
        f"Medians of {answers} answers in a process without HTTP; the rest is what an answer",
        "over HTTP takes longer: reading the form, the loop, a thread and back, JSON, and the",
        "generator's own share.",
        "",
        "| ms | decode | infer | render | the rest | whole |",
        _line(6),
        *rows,
        "",
        "## Where its megabytes are",
        "",
        "Resident memory in MiB as each step of a start adds to it, in a process that answers one",
        "picture at a time.",
        "",
        "| | adds | together |",
        _line(3),
        *held,
    ]


def _systems(found: Comparison) -> list[str]:
    there = {cell.system for cell in found.cells}
    every = (*(system.name for system in SERVERS), BARE, NOTHING.name)
    return [name for name in every if name in there]


def _cells(found: Comparison, system: str, kind: str, clients: int) -> list[Cell]:
    return [
        cell
        for cell in found.cells
        if (cell.system, cell.kind, cell.clients) == (system, kind, clients)
    ]


def _rate(found: Comparison, system: str, kind: str, clients: int) -> Estimate:
    return estimates.rate(_cells(found, system, kind, clients))


def _ratio(found: Comparison, other: str, kind: str) -> Estimate:
    """How many times as many answers LesionLens gave."""
    ours, theirs = (
        _cells(found, system, kind, RATIO_CLIENTS) for system in (LESIONLENS.name, other)
    )
    return estimates.ratio(ours, theirs)


def _median(found: Comparison, system: str, kind: str) -> Estimate:
    return estimates.median(_cells(found, system, kind, 1))


def _told(found: Comparison, system: str, kind: str, clients: int) -> str:
    cells = _cells(found, system, kind, clients)
    if not cells:
        return ""
    rate = estimates.rate(cells)
    refused = sum(cell.sent.refused for cell in cells)
    digits = 0 if rate.value >= 100 else 1
    told = f"{rate.value:.{digits}f} ± {rate.error:.{digits}f}"
    return f"{told} ({refused} refused)" if refused else told


def _estimate(
    what: str, found: Estimate, required: float, aim: float, unit: str, *, more: bool
) -> Judged:
    figure = f"{found.value:.2f} ± {found.error:.2f}{unit}"
    return Judged(what, figure, found.value, required, aim, unit, more, found.error)


def _milliseconds(found: Estimate) -> str:
    return f"{1000 * found.value:.2f} ± {1000 * found.error:.2f}"


def _line(columns: int) -> str:
    return "|" + "---|" * columns


def main() -> None:
    file = Path(sys.argv[1])
    write(msgspec.json.decode(file.read_bytes(), type=Comparison), file.with_suffix(".md"))


if __name__ == "__main__":
    main()
