"""The average of weights that is validated and exported."""

from __future__ import annotations

from collections.abc import Sequence

import pytorch_lightning as pl
from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor


class ExponentialAveraging(WeightAveraging):
    """An exponential moving average of weights and buffers, which short runs need not wait for."""

    def __init__(self, decay: float) -> None:
        """Takes the share of the old average that each step keeps, once there were many steps.

        After n steps it keeps no more than (1 + n) / (10 + n): the start, which is not worth
        remembering, is forgotten within a few steps.
        """
        super().__init__(multi_avg_fn=self._average)
        self._decay = decay

    def on_fit_start(self, _trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Moves the average to the device that trains, where the network was not yet at `setup`.

        Left behind, it would fetch all weights from there at each step.
        """
        assert self._average_model is not None
        self._average_model.to(pl_module.device)

    def _average(
        self, averages: Sequence[Tensor], currents: Sequence[Tensor], steps: Tensor | int
    ) -> None:
        count = int(steps)
        kept = min(self._decay, (1 + count) / (10 + count))
        for average, current in zip(averages, currents, strict=True):
            average.copy_(kept * average + (1 - kept) * current)
