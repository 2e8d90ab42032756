"""What a network says of a picture besides its answer."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Description(NamedTuple):
    """Features of N pictures, pooled over their pixels, by which the odd one out is known.

    `layers` are `[N, D_i] float32`, an early layer's before a late one's; `skin` `[N, D] float32`
    those in which skin with a lesion and bare skin differ the most.
    """

    layers: list[Tensor]
    skin: Tensor


def means(maps: Tensor) -> Tensor:
    """Each map's mean over the picture: `[N, K, h, w]` to `[N, K]`."""
    return maps.mean(dim=(2, 3))


def means_and_deviations(maps: Tensor) -> Tensor:
    """Each map's mean over the picture and its standard deviation: `[N, K, h, w]` to `[N, 2 K]`."""
    centred = maps - maps.mean(dim=(2, 3), keepdim=True)
    return torch.cat([means(maps), means(centred.square()).sqrt()], dim=1)
