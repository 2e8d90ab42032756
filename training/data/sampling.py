"""Which pictures an epoch shows, and in what order: a function of seed and epoch alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Sampler


class PowerSampler(Sampler[int]):
    """Draws pictures with a chance that falls with their class's size.

    A class of n pictures is shown as often as n^(1 - power): 0 shows each picture once an epoch, 1
    all classes equally often. The order depends on `seed` and epoch only, so that a run which is
    resumed sees what the run that went through would have seen. Of several processes each takes its
    turn in that one order, so that their batches together are those of a single process.
    """

    def __init__(
        self, labels: npt.NDArray[np.int64], power: float, seed: int, rank: int = 0, of: int = 1
    ) -> None:
        """Takes the class of each picture, `labels` `[N] int64`, and which process this is."""
        self._labels, self._power, self._seed = labels, power, seed
        self._rank, self._of = rank, of
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer before each epoch."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._labels) // self._of

    def __iter__(self) -> Iterator[int]:
        return iter(self._order()[self._rank : len(self) * self._of : self._of])

    def _order(self) -> list[int]:
        generator = torch.Generator().manual_seed(self._seed * 100_003 + self._epoch)
        count = len(self._labels)
        if self._power == 0:
            order: list[int] = torch.randperm(count, generator=generator).tolist()
            return order
        counts = np.bincount(self._labels)
        weights = torch.from_numpy(counts[self._labels].astype(np.float64) ** -self._power)
        drawn = torch.multinomial(weights, count, replacement=True, generator=generator)
        return list(drawn.tolist())


def prior_shift(labels: npt.NDArray[np.int64], power: float) -> npt.NDArray[np.float32]:
    """What `PowerSampler` adds to a class's log-prior, `[C] float32`.

    A loss that adds this to the logits leaves the logits themselves true to the classes' own
    frequencies: Menon et al., "Long-tail learning via logit adjustment", ICLR 2021.
    """
    counts = np.bincount(labels).astype(np.float64)
    own = np.log(counts / counts.sum())
    drawn = counts ** (1 - power)
    shift: npt.NDArray[np.float32] = (np.log(drawn / drawn.sum()) - own).astype(np.float32)
    return shift


def log_prior(labels: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """The logarithm of each class's share, `[C] float32`."""
    counts = np.bincount(labels).astype(np.float64)
    shares: npt.NDArray[np.float32] = np.log(counts / counts.sum()).astype(np.float32)
    return shares
