"""What networks are shown: a batch's pictures as numbers, at a side of their own."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def as_input(pictures: Tensor) -> Tensor:
    """`[N, S, S, K] uint8` as the network's `[N, K, S, S] float32` in [0, 1], channels last."""
    return pictures.permute(0, 3, 1, 2).float() / 255


def at_side(side: int | None, pictures: Tensor) -> Tensor:
    """`pictures` `[N, 3, S, S]` shrunk to `side` in pixels; as they are where it is None."""
    if side is None or pictures.shape[-1] == side:
        return pictures
    resized = F.interpolate(pictures, (side, side), mode="bicubic", antialias=True)
    return resized.clamp(0, 1)
