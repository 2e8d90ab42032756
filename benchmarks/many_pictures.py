"""Ever more pictures: how fast their cache is built, how soon training begins, what it holds.

`python -m benchmarks.many_pictures` draws sets of 4,000, 40,000 and 400,000 small JPEGs, each in a
temporary folder; builds the cache of each, killed once in the middle; starts `training.train` on
it; and feeds batches from the cache and, as most scripts do, from files that worker processes
decode. It prints tables and writes them beside this file. The largest takes some 4 GB of disk.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

import click
import hydra
import msgspec
import numpy as np
import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from serving.cores import available_cores
from serving.pictures import prepare
from training.data.sets import Pictures
from training.train import decode, read_answers, read_config_sets, read_data, read_preprocessing

COUNTS = (4_000, 40_000, 400_000)
SIZE = (64, 48)
SIDE = 32
BATCH = 128
BATCHES = 20
"""As many as an epoch of the smallest set has."""

FED = 100
"""Batches by which ways of feeding are timed, and as many before that warm up."""

WORKERS = 4
ROUNDS = 2
ALONE = 2000
"""Pictures that one thread decodes, to compare with."""

RESULT = Path(__file__).with_suffix(".md")

_DRAWN_AT_ONCE = 1000
_POLL = 0.05
_CONF = Path(__file__).parents[1] / "conf"
_TOLD = "LESIONLENS_BENCHMARK_RESULT"

Feed = Literal["cache", "files"]


class Built(msgspec.Struct, frozen=True):
    """What a build that was gone on with did, in seconds; `alone` is one thread's rate."""

    read: float
    decoded: int
    decode: float
    duplicates: float
    alone: float


class Begun(msgspec.Struct, frozen=True):
    """When training showed its first batch, and its memory after `BATCHES` in bytes."""

    moment: float
    own: int
    mapped: int


class Fed(msgspec.Struct, frozen=True):
    """Batches a second, seconds to the first, and memory of all processes' own in bytes."""

    rate: float
    first: float
    own: int


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about a set of so many pictures."""

    count: int
    noted: int
    built: Built
    start: float
    begun: Begun
    most: int
    cache: Fed
    files: Fed


def draw(root: Path, count: int) -> None:
    """Draws `count` pictures, no two alike, two of each lesion, in a folder for each class."""
    for label in ("benign", "malignant"):
        (root / label).mkdir(parents=True)
    with ProcessPoolExecutor(available_cores(), get_context("spawn")) as pool:
        starts = range(0, count, _DRAWN_AT_ONCE)
        rows = [row for drawn in pool.map(partial(_draw, root, count), starts) for row in drawn]
    lines = ["file,label,group", *rows]
    (root / "labels.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _draw(root: Path, count: int, start: int) -> list[str]:
    random, rows = np.random.default_rng(start), []
    for number in range(start, min(start + _DRAWN_AT_ONCE, count)):
        label = "malignant" if random.random() < 0.3 else "benign"
        coarse = random.integers(0, 256, (SIZE[1] // 3, SIZE[0] // 3, 3), dtype=np.uint8)
        drawn = Image.fromarray(coarse).resize(SIZE, Image.Resampling.BICUBIC)
        drawn.save(root / label / f"{number:07}.jpg", quality=80)
        rows.append(f"{label}/{number:07}.jpg,{label},{number // 2}")
    return rows


def overrides(root: Path, folder: Path) -> list[str]:
    """What `training.train` is told."""
    return [
        *("data=folder", f"data.root={root}", "data.labels=labels.csv", "model=cnn"),
        *(f"model.preprocessing.size={SIDE}", f"model.batch_size={BATCH}"),
        f"cache_dir={folder / 'cache'}",
    ]


def read_config(root: Path, folder: Path) -> DictConfig:
    """The configuration that `training.train` would have."""
    with hydra.initialize_config_dir(str(_CONF), version_base="1.3"):
        return hydra.compose("train", [*overrides(root, folder), f"run_dir={folder / 'run'}"])


def build(root: Path, folder: Path) -> Built:
    """Decodes what is not yet in the cache, then looks for duplicates."""
    config = read_config(root, folder)
    begin = time.perf_counter()
    pictures = read_config_sets(config)
    answers, read = read_answers(config, pictures), time.perf_counter()
    noted = _noted(folder)
    config.data.duplicates = False
    decode(config, pictures, answers)
    decoded = time.perf_counter()
    config.data.duplicates = True
    decode(config, pictures, answers)
    looked = time.perf_counter()
    return Built(
        read - begin,
        sum(map(len, pictures.parts.values())) - noted,
        decoded - read,
        looked - decoded,
        _alone(config, pictures),
    )


def _alone(config: DictConfig, pictures: Pictures) -> float:
    preprocessing = read_preprocessing(config)
    begin = time.perf_counter()
    for picture in pictures.parts["train"][:ALONE]:
        prepare(picture.path.read_bytes(), preprocessing)
    return len(pictures.parts["train"][:ALONE]) / (time.perf_counter() - begin)


def _noted(folder: Path) -> int:
    """How many pictures the cache's note says are decoded."""
    for path in (folder / "cache").glob("*.json"):
        return int(msgspec.json.decode(path.read_bytes())["decoded"])
    return 0


def build_killed(root: Path, folder: Path, count: int) -> tuple[int, Built]:
    """Kills a build when half is noted and goes on with it; what was noted, and the rest."""
    command = _command("build", root, folder)
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while _noted(folder) < count // 2 and process.poll() is None:
            time.sleep(_POLL)
        process.kill()
    noted = _noted(folder)
    return noted, msgspec.json.decode(_output(command), type=Built)


class Note(pl.Callback):
    """Writes down when the first batch was there and what the process holds, and ends it."""

    def __init__(self) -> None:
        """Reads where to from the environment."""
        self._moment, self._path = 0.0, Path(os.environ[_TOLD])

    def on_train_batch_start(self, *_: Any) -> None:
        self._moment = self._moment or time.time()

    def on_train_batch_end(
        self, _trainer: pl.Trainer, _learner: pl.LightningModule, _out: Any, _in: Any, index: int
    ) -> None:
        if index == BATCHES - 1:
            held = _memory(os.getpid())
            begun = Begun(self._moment, held["Anonymous"], held["Rss"] - held["Anonymous"])
            self._path.write_bytes(msgspec.json.encode(begun))
            os._exit(0)


def begin_training(root: Path, folder: Path) -> tuple[float, Begun, int]:
    """Starts `training.train`: seconds to the first batch, what it noted, the most of its own."""
    told, most = folder / "begun.json", 0
    command = [
        *(sys.executable, "-m", "training.train", *overrides(root, folder)),
        "+callbacks.note._target_=benchmarks.many_pictures.Note",
        f"hydra.run.dir={folder / 'run'}",
    ]
    environment = {**os.environ, _TOLD: str(told)}
    start = time.time()
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            most = max(most, _own(process.pid))
            time.sleep(_POLL)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    begun = msgspec.json.decode(told.read_bytes(), type=Begun)
    return begun.moment - start, begun, most


class DecodedFiles(Dataset[tuple[Tensor, int]]):
    """Pictures decoded whenever they are asked for, as most training scripts do."""

    def __init__(self, root: Path) -> None:
        """Lists the files, each class in its folder."""
        classes = sorted(path.name for path in root.iterdir() if path.is_dir())
        self._samples = [
            (os.path.join(root, name, file), index)
            for index, name in enumerate(classes)
            for file in sorted(os.listdir(root / name))
        ]

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        path, label = self._samples[index]
        with Image.open(path) as image:
            small = image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        return torch.from_numpy(np.array(small)), label


def feed(root: Path, folder: Path, by: Feed) -> Fed:
    """Asks for batches one after the other, and for nothing else."""
    begin = time.perf_counter()
    loader: DataLoader[Any]
    if by == "cache":
        config = read_config(root, folder)
        pictures = read_config_sets(config)
        data = read_data(config, pictures, read_answers(config, pictures))
        del pictures
        loader = data.train_dataloader()
    else:
        loader = DataLoader(
            DecodedFiles(root),
            batch_size=BATCH,
            shuffle=True,
            drop_last=True,
            num_workers=WORKERS,
            persistent_workers=True,
        )
    source = _endless(loader)
    next(source)
    first = time.perf_counter() - begin
    for _ in range(FED):
        next(source)
    start = time.perf_counter()
    for _ in range(FED):
        next(source)
    seconds = time.perf_counter() - start
    return Fed(FED / seconds, first, sum(_shared(pid) for pid in _family(os.getpid())))


def _endless(batches: Iterable[Any]) -> Any:
    while True:
        yield from batches


def measure(count: int, folder: Path) -> Row:
    """Everything about a set of `count` pictures, drawn in `folder`."""
    root = folder / "pictures"
    print(f"{count:,} pictures: drawing", flush=True)
    draw(root, count)
    noted, built = build_killed(root, folder, count)
    print(f"{count:,} pictures: {built}", flush=True)
    starts = [begin_training(root, folder) for _ in range(ROUNDS)]
    fed: dict[Feed, list[Fed]] = {"cache": [], "files": []}
    for _ in range(ROUNDS):
        for by, each in fed.items():
            output = _output(_command("feed", root, folder, by))
            each.append(msgspec.json.decode(output, type=Fed))
    row = Row(
        count=count,
        noted=noted,
        built=built,
        start=min(start for start, _, _ in starts),
        begun=max((begun for _, begun, _ in starts), key=lambda begun: begun.own),
        most=max(most for _, _, most in starts),
        cache=_fastest(fed["cache"]),
        files=_fastest(fed["files"]),
    )
    print(row, flush=True)
    return row


def _fastest(fed: Sequence[Fed]) -> Fed:
    return Fed(
        max(each.rate for each in fed),
        min(each.first for each in fed),
        max(each.own for each in fed),
    )


def _command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "benchmarks.many_pictures", *map(str, arguments)]


def _output(command: Sequence[str]) -> bytes:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout


def _memory(pid: int) -> dict[str, int]:
    """What /proc tells of a process's memory, in bytes."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    return {
        name: 1024 * int(rest.split()[0]) for name, _, rest in (x.partition(":") for x in lines)
    }


def _shared(pid: int) -> int:
    """A process's own memory, in bytes; of what it shares with a fork its part."""
    return _memory(pid)["Pss_Anon"]


def _own(pid: int) -> int:
    """The same without a walk through its pages, nothing where it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


def _family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(each for child in children for each in _family(int(child)))]


def report(rows: Sequence[Row]) -> str:
    """The result as Markdown."""
    least, largest = rows[0], rows[-1]
    more = max(1, largest.count - least.count)
    grown = (largest.begun.own - least.begun.own) / more
    at_most = (largest.most - least.most) / more
    lines = [
        f"# Up to {largest.count:,} pictures",
        "",
        f"{platform.machine()} CPU, {available_cores()} of {os.cpu_count()} cores; JPEGs of "
        f"{SIZE[0]} x {SIZE[1]} pixels, drawn, cached at {SIDE} x {SIDE}; the cnn, batches of "
        f"{BATCH}.",
        "Made by `python -m benchmarks.many_pictures`.",
        "",
        "## Building the cache",
        "",
        "Killed (SIGKILL) when half was noted as done, and gone on with. One thread alone is timed "
        f"over {ALONE:,} pictures.",
        "",
        "| pictures | done when killed | done by the second process | pictures a second "
        "| of one thread's | hashes and duplicates |",
        "|---|---|---|---|---|---|",
        *(
            f"| {r.count:,} | {r.noted:,} | {r.built.decoded:,} "
            f"| {r.built.decoded / r.built.decode:,.0f} "
            f"| {r.built.decoded / r.built.decode / r.built.alone:.2f} "
            f"| {r.built.duplicates:.1f} s |"
            for r in rows
        ),
        "",
        "## Training, with a finished cache",
        "",
        "From the start of `python -m training.train` to its first batch (the faster of "
        f"{ROUNDS} starts), and what the process holds (the largest of {ROUNDS}): of its own after "
        f"{BATCHES} batches, of its own at most until then, and pages of files that it looks into, "
        "the cache's among them, which the system takes back as it needs.",
        "",
        "| pictures | to the first batch | reading table and folders, in the build | own "
        "| own at most | of files |",
        "|---|---|---|---|---|---|",
        *(
            f"| {r.count:,} | {r.start:.1f} s | {r.built.read:.1f} s | {_mb(r.begun.own)} "
            f"| {_mb(r.most)} | {_mb(r.begun.mapped)} |"
            for r in rows
        ),
        "",
        f"From the fewest to the most its own grows by {grown:.0f} bytes a picture, at most by "
        f"{at_most:.0f}.",
        "",
        "## Batches, and nothing else",
        "",
        f"From the cache in one process, and from files that {WORKERS} of PyTorch's workers decode "
        f"with Pillow: the faster of {ROUNDS} rounds of {FED} batches, all files in the system's "
        "cache as far as it goes, and the memory of all processes' own at its largest.",
        "",
        "| pictures | fed from | batches a second | of files' | to the first batch | own |",
        "|---|---|---|---|---|---|",
        *(
            f"| {r.count:,} | {name} | {fed.rate:,.0f} | {fed.rate / r.files.rate:.1f} "
            f"| {fed.first:.1f} s | {_mb(fed.own)} |"
            for r in rows
            for name, fed in (("the cache", r.cache), ("files", r.files))
        ),
        "",
    ]
    return "\n".join(lines)


def _mb(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"


@click.group(invoke_without_command=True)
@click.option("--pictures", type=int, multiple=True, default=COUNTS, show_default=True)
@click.option(
    "--folder", type=click.Path(file_okay=False, path_type=Path), help="For what is drawn."
)
@click.pass_context
def main(context: click.Context, pictures: tuple[int, ...], folder: Path | None) -> None:
    """Measures, prints and writes the tables."""
    if context.invoked_subcommand is not None:
        return
    rows = []
    for count in pictures:
        with tempfile.TemporaryDirectory(dir=folder) as drawn:
            rows.append(measure(count, Path(drawn)))
    text = report(rows)
    print(text)
    RESULT.write_text(text, encoding="utf-8")


@main.command("build", hidden=True)
@click.argument("root", type=click.Path(path_type=Path))
@click.argument("folder", type=click.Path(path_type=Path))
def build_command(root: Path, folder: Path) -> None:
    """Builds, in a process that can be killed."""
    print(msgspec.json.encode(build(root, folder)).decode())


@main.command("feed", hidden=True)
@click.argument("root", type=click.Path(path_type=Path))
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("by", type=click.Choice(["cache", "files"]))
def feed_command(root: Path, folder: Path, by: Feed) -> None:
    """Feeds, in a process whose memory is its own."""
    print(msgspec.json.encode(feed(root, folder, by)).decode())


if __name__ == "__main__":
    main()
