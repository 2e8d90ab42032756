"""The average of weights that is validated and exported."""

from __future__ import annotations

from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor


class ExponentialAveraging(WeightAveraging):
    """An exponential moving average of weights and buffers, which short runs need not wait for."""

    def __init__(self, decay: float) -> None:
        """Takes the share of the old average that each step keeps, once there were many steps.

        After n steps it keeps no more than (1 + n) / (10 + n): the start, which is not worth
        remembering, is forgotten within a few steps.
        """
        super().__init__(avg_fn=self._average)
        self._decay = decay

    def _average(self, average: Tensor, current: Tensor, steps: Tensor | int) -> Tensor:
        count = int(steps)
        kept = min(self._decay, (1 + count) / (10 + count))
        return kept * average + (1 - kept) * current
