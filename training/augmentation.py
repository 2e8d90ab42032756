"""Augmentation in batches, on the device that trains."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from kornia.augmentation import GeometricAugmentationBase2D
from torch import Tensor, nn


class Augmentation(nn.Module):
    """Transforms of kornia over whole batches, one after another, then back into [0, 1].

    What goes along with a picture in further channels is moved as it is, and not coloured.
    """

    def __init__(self, transforms: Sequence[nn.Module]) -> None:
        """Takes the transforms that the configuration lists, in its order."""
        super().__init__()
        self.transforms = nn.ModuleList(transforms)

    @torch.no_grad()
    def forward(self, pictures: Tensor) -> Tensor:
        """Augments `pictures` `[N, 3 or more, S, S] float32` in [0, 1], each its own way."""
        for transform in self.transforms:
            if pictures.shape[1] == 3 or isinstance(transform, _MOVING):
                pictures = transform(pictures)
            else:
                coloured = transform(pictures[:, :3].contiguous())
                pictures = torch.cat([coloured, pictures[:, 3:]], dim=1)
        return pictures.clamp(0, 1).contiguous(memory_format=torch.channels_last)


class QuarterTurns(nn.Module):
    """A turn by 0, 90, 180 or 270 degrees: a lesion has no upright, and no pixel is invented."""

    def forward(self, pictures: Tensor) -> Tensor:
        """Turns each of `pictures` `[N, K, S, S]`."""
        turns = torch.randint(4, (len(pictures),), device="cpu").tolist()
        return torch.stack(
            [torch.rot90(p, k, (1, 2)) for p, k in zip(pictures, turns, strict=True)]
        )


_MOVING = (QuarterTurns, GeometricAugmentationBase2D)
"""transforms that move pixels, and change none of their colours"""
