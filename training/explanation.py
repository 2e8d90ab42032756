"""Grad-CAM by autograd: the reference that an exported graph's heatmaps are compared with.

Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
Localization", ICCV 2017.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor


class Explainable(Protocol):
    """A network whose decision can be traced to its last feature map."""

    def feature_maps(self, pictures: Tensor) -> list[Tensor]:
        """Maps `[N, K, h, w]`; the head decides on the last."""
        ...

    def head(self, maps: Tensor) -> Tensor:
        """Logits `[N, C]` from the last feature map."""
        ...


def grad_cam(network: Explainable, pictures: Tensor) -> Tensor:
    """Grad-CAM of each class's logit for `pictures` `[N, 3, S, S] float32`: `[N, C, h, w]`.

    The network must be in evaluation mode. Maps are divided by their maximum; one without positive
    evidence is all zero.
    """
    with torch.enable_grad():
        maps = network.feature_maps(pictures)[-1].detach().requires_grad_()
        logits = network.head(maps)
        weights = [
            torch.autograd.grad(logits[:, c].sum(), maps, retain_graph=True)[0].mean(dim=(2, 3))
            for c in range(logits.shape[1])
        ]
    evidence = torch.einsum("nck,nkhw->nchw", torch.stack(weights, dim=1), maps.detach())
    return normalise(evidence)


def normalise(evidence: Tensor) -> Tensor:
    """ReLU, then each map of `[N, C, h, w]` divided by its maximum; all zero where that is zero."""
    positive = torch.relu(evidence)
    largest = positive.amax(dim=(2, 3), keepdim=True)
    return positive / torch.where(largest > 0, largest, torch.ones_like(largest))
