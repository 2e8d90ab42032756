"""How fast a model answers and what it holds in memory: its graphs beside PyTorch.

`python -m benchmarks.graphs model=mobilenet` runs, one picture at a time, the graph that serves,
the float graph that its export left in the run's folder, and the run's network in eager PyTorch:
each in processes of its own, in turns, on one thread and on four (or as many as there are). It
takes what `python -m training.export` takes, prints a table and writes it beside this file.
"""

from __future__ import annotations

import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import hydra
import msgspec
import torch
from omegaconf import DictConfig
from tqdm import tqdm

from serving import manifest as contract
from serving.cores import available_cores
from serving.manifest import ArtifactError, Manifest
from training.export import FLOAT_FILE
from training.finished import RunError, checkpoint_files, find_run, load_network, read_config
from training.graph import ExportError
from training.labels import DataError
from training.train import plain

ANSWERS = 200
ROUNDS = 5
THREADS = 4
RESULT = Path(__file__).with_suffix(".md")


class Measured(msgspec.Struct, frozen=True):
    """One way to answer: median seconds an answer, and resident memory in bytes at its peak."""

    way: str
    threads: int
    seconds: float
    memory: int


def compare(config: DictConfig) -> list[Measured]:
    """Each way on each number of threads, the first being the float graph.

    Raises:
        RunError: where there is no finished run.
        ExportError: where it was not exported since float graphs are kept.
        ArtifactError: where the artifact cannot be read.
    """
    run, folder = (
        find_run(config),
        Path(config.artifacts) / str(config.model.name),
    )
    if not (run / FLOAT_FILE).exists():
        raise ExportError(f"{run}: holds no {FLOAT_FILE}. Export the run first.")
    manifest = contract.load(folder)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        _lay_out(run, plain(config.checkpoint), folder, manifest, place)
        ways = [("float graph", "serving", "float"), ("PyTorch, eager", "torch", "network.pt")]
        if manifest.quantisation is not None and manifest.quantisation.passed:
            ways.insert(1, ("8-bit graph", "serving", "integers"))
        threads = sorted({1, min(THREADS, available_cores())})
        cases = [(way, count) for count in threads for way in ways]
        found: dict[tuple[str, int], list[tuple[float, int]]] = {}
        for _ in tqdm(range(ROUNDS), "measuring", unit="round"):
            for (way, kind, file), count in cases:
                found.setdefault((way, count), []).append(_measure(kind, place / file, count))
    return [
        Measured(
            way,
            count,
            statistics.median(seconds for seconds, _ in each),
            round(statistics.median(memory for _, memory in each)),
        )
        for (way, count), each in found.items()
    ]


def _lay_out(
    run: Path, checkpoint: str | list[str], folder: Path, manifest: Manifest, place: Path
) -> None:
    """Puts the artifact, the same with the float graph, and the network into `place`."""
    for name in ("float", "integers"):
        (place / name).mkdir()
        for file in (contract.PREPROCESS_FILE, contract.MODEL_FILE):
            shutil.copy(folder / file, place / name / file)
    shutil.copy(run / FLOAT_FILE, place / "float" / contract.MODEL_FILE)
    for name in ("float", "integers"):
        contract.save(manifest, place / name)
    network = load_network(
        read_config(run), checkpoint_files(run, checkpoint), len(manifest.classes)
    )
    torch.save((network, manifest.preprocessing.size), place / "network.pt")


def _measure(kind: str, place: Path, threads: int) -> tuple[float, int]:
    arguments = [kind, str(place), str(threads), str(ANSWERS)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.one_answer", *arguments],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[1],
    )
    seconds, memory = done.stdout.split()
    return float(seconds), int(memory)


def table(config: DictConfig, measured: Sequence[Measured]) -> str:
    """The result as Markdown; ratios are to the float graph on as many threads."""
    rows = []
    for each in measured:
        base = next(m for m in measured if m.threads == each.threads)
        rows.append(
            f"| {each.way} | {each.threads} | {1000 * each.seconds:.2f} "
            f"| {base.seconds / each.seconds:.2f} | {each.memory / 2**20:.0f} "
            f"| {each.memory / base.memory:.2f} |"
        )
    lines = [
        f"# One answer: {config.model.name}, {config.model.preprocessing.size} px",
        "",
        f"{platform.machine()} CPU, {os.cpu_count()} cores; one picture at a time, for each line "
        f"{ROUNDS} processes",
        f"of {ANSWERS} answers, in turns; medians. Made by "
        f"`python -m benchmarks.graphs model={config.model.name}`.",
        "",
        "Speed and memory are beside the float graph on as many threads. The graphs answer with",
        "probabilities, heatmaps and novelty through the code that serves; PyTorch, in inference",
        "mode, with probabilities and heatmaps. Memory is the most that a process holds which does",
        "nothing else, its libraries included.",
        "",
        "| | threads | ms an answer | times as fast | MiB | of float's |",
        "|---|---|---|---|---|---|",
        *rows,
        "",
    ]
    return "\n".join(lines)


@hydra.main(version_base="1.3", config_path="../conf", config_name="export")
def main(config: DictConfig) -> None:
    """Measures, prints and writes the table."""
    try:
        text = table(config, compare(config))
    except (ArtifactError, DataError, ExportError, RunError) as error:
        sys.exit(f"error: {error}")
    print(text)
    RESULT.with_stem(f"{RESULT.stem}_{config.model.name}").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
