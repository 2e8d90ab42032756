"""Training in several processes: what one would have learned, written once."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
from torch import Tensor, nn

from tests.training.drawn_sets import compose, draw_ham10000, quick
from training import record
from training.train import train

# No augmentation, of which each process draws its own.
SAME = [
    "model=cnn",
    "model.network._target_=tests.training.test_processes.Plain",
    "augmentation=none",
    "trainer.log_every_n_steps=1",
]
TWO = [
    "trainer=ddp",
    "trainer.accelerator=cpu",
    "trainer.devices=2",
    "trainer.sync_batchnorm=false",
]
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
LIMIT = 240
"""Seconds that processes may take, most of which they import."""


class Plain(nn.Module):
    """A network without batch normalisation, which sees a process's own pictures only on a CPU."""

    def __init__(self, classes: int, **_: Any) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 8, 5, stride=4)
        self.last = nn.Linear(8, classes)

    def forward(self, pictures: Tensor) -> Tensor:
        scores: Tensor = self.last(self.features(pictures).relu().mean(dim=(2, 3)))
        return scores


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_ham10000(tmp_path_factory.mktemp("data") / "ham10000")


def start(
    run: Path, *overrides: str, launcher: list[str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Trains in processes of their own, as the command line does."""
    program = ["-m", "training.train", *quick(run), f"hydra.run.dir={run}", *overrides]
    return subprocess.run(
        [sys.executable, *(launcher or []), *program],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def curves(run: Path) -> dict[str, list[float]]:
    """What was logged, by name."""
    with (run / "logs/csv/version_0/metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name]) for row in rows if row[name]] for name in rows[0]}


@pytest.mark.parametrize("launcher", [None, TORCHRUN], ids=["Lightning's processes", "torchrun's"])
def test_two_processes_learn_what_one_does(
    data: Path, tmp_path: Path, launcher: list[str] | None
) -> None:
    same = [*SAME, f"data.root={data}"]
    train(compose("train", tmp_path / "one", *same))
    done = start(tmp_path / "two", *same, *TWO, launcher=launcher)
    assert done.returncode == 0, done.stderr[-2000:]
    one, two = curves(tmp_path / "one"), curves(tmp_path / "two")
    assert {"train/loss", "val/loss", "val/auroc", "val/balanced_accuracy"} <= one.keys()
    for name, values in one.items():
        assert two[name] == pytest.approx(values, abs=2e-4), name
    written = [path.relative_to(tmp_path / "two") for path in (tmp_path / "two").rglob("*")]
    assert sorted(path.name for path in written if path.suffix == ".ckpt") == [
        "best.ckpt",
        "last.ckpt",
    ]
    assert len([path for path in written if path.name.startswith("version_")]) == 2
    assert done.stdout.count("the best checkpoint has") == 1
    assert record.read(tmp_path / "two").split_digest == record.read(tmp_path / "one").split_digest


class Die(pl.Callback):
    """Ends the second process in the middle of the second epoch, as the kernel would."""

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.global_rank == 1 and trainer.current_epoch == 1:
            os._exit(9)


@pytest.mark.parametrize("launcher", [None, TORCHRUN], ids=["Lightning's processes", "torchrun's"])
def test_a_process_that_dies_ends_the_run_and_the_run_goes_on_from_there(
    data: Path, tmp_path: Path, launcher: list[str] | None
) -> None:
    same = [*SAME, f"data.root={data}", *TWO]
    die = "+callbacks.die._target_=tests.training.test_processes.Die"
    done = start(tmp_path / "run", *same, die, launcher=launcher)
    assert done.returncode != 0
    assert not (tmp_path / "run" / record.FILE_NAME).exists()
    last = tmp_path / "run/checkpoints/last.ckpt"
    done = start(tmp_path / "run", *same, f"ckpt_path={last}", launcher=launcher)
    assert done.returncode == 0, done.stderr[-2000:]
    assert record.read(tmp_path / "run").epochs == 2


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("hydra.run.dir=FILE/run", "FILE/run: cannot be made (Not a directory)"),
        ("cache_dir=FILE/cache", "MB of decoded pictures cannot be written (Not a directory)"),
        ("logger.csv.save_dir=FILE/logs", "Not a directory: 'FILE/logs"),
        ("model.binary=[]", "answers two classes: set model.binary to these, in this order"),
    ],
)
def test_what_cannot_be_done_is_told_in_a_line(
    data: Path, tmp_path: Path, override: str, message: str
) -> None:
    file = tmp_path / "file"
    file.touch()
    told = override.replace("FILE", str(file))
    done = start(tmp_path / "run", *SAME, f"data.root={data}", told)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert message.replace("FILE", str(file)) in done.stderr


def test_an_export_looks_where_training_was_told_to_write(tmp_path: Path) -> None:
    told = ["-m", "training.export", "model=cnn", f"hydra.run.dir={tmp_path / 'run'}"]
    done = subprocess.run([sys.executable, *told], capture_output=True, text=True, timeout=LIMIT)
    assert f"error: {tmp_path / 'run'}: holds no run.json" in done.stderr


def test_a_batch_that_cannot_be_shared_out_is_an_error(data: Path, tmp_path: Path) -> None:
    done = start(tmp_path / "run", *SAME, f"data.root={data}", *TWO, "model.batch_size=9")
    assert done.returncode != 0
    assert "cannot be shared out to 2 processes" in done.stderr
    assert "Traceback" not in done.stderr
