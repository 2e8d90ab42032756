"""Augmentation in batches, on the device that trains."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Augmentation(nn.Module):
    """Transforms of kornia over whole batches, one after another, then back into [0, 1]."""

    def __init__(self, transforms: Sequence[nn.Module]) -> None:
        """Takes the transforms that the configuration lists, in its order."""
        super().__init__()
        self.transforms = nn.ModuleList(transforms)

    @torch.no_grad()
    def forward(self, pictures: Tensor) -> Tensor:
        """Augments `pictures` `[N, 3, S, S] float32` in [0, 1], each its own way."""
        for transform in self.transforms:
            pictures = transform(pictures)
        return pictures.clamp(0, 1).contiguous(memory_format=torch.channels_last)


class QuarterTurns(nn.Module):
    """A turn by 0, 90, 180 or 270 degrees: a lesion has no upright, and no pixel is invented."""

    def forward(self, pictures: Tensor) -> Tensor:
        """Turns each of `pictures` `[N, 3, S, S]`."""
        turns = torch.randint(4, (len(pictures),), device="cpu").tolist()
        return torch.stack(
            [torch.rot90(p, k, (1, 2)) for p, k in zip(pictures, turns, strict=True)]
        )
