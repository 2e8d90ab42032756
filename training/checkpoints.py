"""The checkpoint of the best epoch."""

from __future__ import annotations

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor


class BestCheckpoint(ModelCheckpoint):
    """Keeps the best epoch's weights: of several that score the same, the last one's.

    On few pictures a run soon scores all that there is to score, and goes on learning.
    """

    def check_monitor_top_k(self, trainer: pl.Trainer, current: Tensor | None = None) -> bool:
        """Whether an epoch that scores `current` is kept."""
        if super().check_monitor_top_k(trainer, current):
            return True
        best = self.best_k_models.get(self.kth_best_model_path)
        equal = current is not None and best is not None and bool(current == best)
        return trainer.strategy.reduce_boolean_decision(equal)
