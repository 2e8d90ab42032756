"""How long an epoch will take, said before it starts."""

from __future__ import annotations

import copy
import statistics
import time

import pytorch_lightning as pl
import torch

from training.data.module import Batch
from training.learner import Learner


class EpochForecast(pl.Callback):
    """On a CPU, times a few steps on a copy of the network and prints what an epoch will take."""

    def __init__(self, steps: int = 3) -> None:
        """Times `steps` steps, after one that warms up."""
        self._steps = steps

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Prints the forecast; neither weights nor random numbers are changed by it."""
        loader = trainer.train_dataloader
        if pl_module.device.type != "cpu" or loader is None or not isinstance(pl_module, Learner):
            return
        if not trainer.is_global_zero:
            return
        batches = int(trainer.num_training_batches)
        dataset = loader.dataset
        batch = dataset.__getitems__(list(range(min(len(dataset), loader.batch_size))))
        with torch.random.fork_rng(devices=[]):
            trial = Trial(pl_module)
            trial.step(batch, trainer)
            times: list[float] = []
            for _ in range(self._steps):
                start = time.perf_counter()
                trial.step(batch, trainer)
                times.append(time.perf_counter() - start)
            seconds = statistics.median(times)
        print(
            f"An epoch will take about {_readable(seconds * batches)} on this CPU "
            f"({batches} batches of {len(batch[1])}, {1 / seconds:.1f} a second, "
            f"{torch.get_num_threads()} threads); {trainer.max_epochs} epochs are asked for.",
            flush=True,
        )


class Trial:
    """Training steps that leave no trace: forward and backward on a copy."""

    def __init__(self, learner: Learner) -> None:
        """Copies the learner's network."""
        self._learner, self._network = learner, copy.deepcopy(learner.network).train()

    def step(self, batch: Batch, trainer: pl.Trainer) -> None:
        """One step on `batch`, in the precision of `trainer`."""
        with torch.enable_grad(), trainer.precision_plugin.forward_context():
            self._learner.loss(batch, self._network).backward()


def _readable(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{max(rest, 1)} s"
