"""How long training waits for its pictures: the memory-mapped cache beside decoding every epoch.

`python -m benchmarks.data_wait model=mobilenet data=ham10000 trainer=cpu` runs the same training
steps four times in one process: fed from the cache, first with memory as glibc deals with it, then
as `training.train` is; fed the usual way, with every JPEG decoded anew by one worker process a
core; and fed one batch that is there already, which is what the network could do at best. It prints
a table and writes it beside this file.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import hydra
import msgspec
import torch
from omegaconf import DictConfig
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from serving.manifest import Preprocessing
from serving.pictures import prepare
from training.data.module import Batch
from training.inputs import as_input
from training.labels import LabelledPicture
from training.memory import keep_what_is_freed
from training.train import (
    read_answers,
    read_config_sets,
    read_data,
    read_preprocessing,
)

STEPS = 25
WARM_UP = 15
RESULT = Path(__file__).with_suffix(".md")


class Timing(msgspec.Struct, frozen=True):
    """One way of feeding: median seconds a step, and of these the share spent waiting for data."""

    fed: str
    seconds: float
    waiting: float

    def rate(self, batch: int) -> float:
        """Pictures a second."""
        return batch / self.seconds


class DecodedEachTime(Dataset[tuple[Tensor, int]]):
    """Pictures decoded whenever they are asked for, as most training scripts do."""

    def __init__(self, pictures: Sequence[LabelledPicture], preprocessing: Preprocessing) -> None:
        """Takes the files."""
        self._pictures, self._preprocessing = pictures, preprocessing

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        data = self._pictures[index].path.read_bytes()
        return torch.from_numpy(prepare(data, self._preprocessing).pixels.copy()), 0


def measure(fed: str, batches: Iterable[Batch], step: Callable[[Batch], None]) -> Timing:
    """Times `STEPS` training steps over `batches`, after some that warm up."""
    whole, waits = [], []
    source = _endless(batches)
    for index in tqdm(range(WARM_UP + STEPS), fed, unit="step"):
        start = time.perf_counter()
        batch = next(source)
        there = time.perf_counter()
        step(batch)
        if index >= WARM_UP:
            whole.append(time.perf_counter() - start)
            waits.append(there - start)
    return Timing(fed, statistics.median(whole), sum(waits) / sum(whole))


def _endless(batches: Iterable[Batch]) -> Iterator[Batch]:
    while True:
        yield from batches


def _stepper(
    network: nn.Module, augmentation: nn.Module, device: torch.device
) -> Callable[[Batch], None]:
    """A whole training step: to the device, augmentation, forward, backward, update."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-6)
    half = device.type == "cuda"

    def step(batch: Batch) -> None:
        pictures = batch[0].to(device, non_blocking=True)
        labels = torch.zeros(len(pictures), dtype=torch.long, device=device)
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            scores = network(augmentation(as_input(pictures)))
        F.cross_entropy(scores.float(), labels).backward()
        optimizer.step()
        optimizer.zero_grad()
        if device.type == "cuda":
            torch.cuda.synchronize()

    return step


def compare(config: DictConfig) -> list[Timing]:
    """The four ways, over the training pictures that `config` names."""
    pictures = read_config_sets(config)
    answers = read_answers(config, pictures)
    device = torch.device("cuda" if config.trainer.accelerator == "gpu" else "cpu")
    network = hydra.utils.instantiate(config.model.network, classes=len(answers.classes))
    augmentation = hydra.utils.instantiate(config.augmentation)
    step = _stepper(network.to(device).train(), augmentation.to(device), device)
    data = read_data(config, pictures, answers)
    usual = DataLoader(
        DecodedEachTime(pictures.parts["train"], read_preprocessing(config)),
        batch_size=config.model.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=os.cpu_count() or 1,
        persistent_workers=True,
    )
    first = next(iter(data.train_dataloader()))
    cached = "memory-mapped cache"
    returned = measure(f"{cached}, memory given back each step", data.train_dataloader(), step)
    keep_what_is_freed()
    ours = measure(f"{cached} (LesionLens)", data.train_dataloader(), step)
    best = measure("nothing to wait for", [first], step)
    decoded = measure("every JPEG decoded each epoch, a worker a core", usual, step)
    return [best, ours, decoded, returned]


def table(config: DictConfig, timings: Sequence[Timing]) -> str:
    """The result as Markdown."""
    batch = config.model.batch_size
    best = timings[0]
    gpu = config.trainer.accelerator == "gpu"
    machine = torch.cuda.get_device_name() if gpu else f"{platform.machine()} CPU"
    rows = [
        f"| {t.fed} | {t.rate(batch):.0f} | {t.rate(batch) / best.rate(batch):.2f} "
        f"| {100 * t.waiting:.1f} % |"
        for t in timings
    ]
    lines = [
        f"# Waiting for data: {config.model.name}, {config.model.preprocessing.size} px",
        "",
        f"{machine}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, batches of "
        f"{batch}, {STEPS} steps each in one run; pictures of {config.data.name}. Made by",
        f"`python -m benchmarks.data_wait model={config.model.name}`.",
        "",
        "| fed from | pictures a second | of the best | waiting for data |",
        "|---|---|---|---|",
        *rows,
        "",
    ]
    return "\n".join(lines)


@hydra.main(version_base="1.3", config_path="../conf", config_name="train")
def main(config: DictConfig) -> None:
    """Measures, prints and writes the table."""
    torch.manual_seed(config.seed)
    text = table(config, compare(config))
    print(text)
    RESULT.with_stem(f"{RESULT.stem}_{config.model.name}").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
