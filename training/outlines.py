"""The lesion told from the skin around it, as a second task of a network that classifies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.explanation import Explainable


class Mapped(Explainable, Protocol):
    """A network that says how wide its feature maps are."""

    @property
    def map_channels(self) -> Sequence[int]:
        """How many channels each of the `feature_maps` has."""
        ...


class OutlineTask(nn.Module):
    """Asks the first and the last of a network's feature maps where the lesion is.

    At each of a map's places a linear layer says how much of it is lesion. It is thrown away after
    the training; what stays is that the maps had to know. Several tasks over one representation:
    Caruana, "Multitask Learning", Machine Learning 28 (1997).
    """

    def __init__(self, channels: Sequence[int]) -> None:
        """Takes the `channels` of the network's feature maps."""
        super().__init__()
        self.first = nn.Conv2d(channels[0], 1, 1)
        self.last = nn.Conv2d(channels[-1], 1, 1)

    def forward(self, maps: Sequence[Tensor], outlines: Tensor) -> Tensor:
        """Cross-entropy, the mean over what is known; of both maps added up.

        Args:
            maps: Feature maps, each `[N, K, h, w]`.
            outlines: How much of each pixel is known to be lesion, and how much of it is known at
                all, `[N, 2, S, S] float32` in [0, 1].
        """
        return self._of(self.first(maps[0]), outlines) + self._of(self.last(maps[-1]), outlines)

    @staticmethod
    def _of(logits: Tensor, outlines: Tensor) -> Tensor:
        height, width = logits.shape[-2:]
        inside, known = F.adaptive_avg_pool2d(outlines, (height, width)).unbind(dim=1)
        # Of what is known: what is not, where pictures are mixed or cut, is no skin.
        share = (inside / known.clamp(min=1e-6)).clamp(0, 1)
        each = F.binary_cross_entropy_with_logits(logits[:, 0].float(), share, reduction="none")
        return torch.sum(each * known) / known.sum().clamp(min=1)
