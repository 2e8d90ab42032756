"""How unlike the training pictures a picture is: a Gaussian over pooled features, in the graph."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn


class Novelty(nn.Module):
    """Mahalanobis distance under a Gaussian of few directions, summed over several layers.

    Lee et al., "A Simple Unified Framework for Detecting Out-of-Distribution Samples", NeurIPS
    2018; the Gaussian is that of probabilistic principal components (Tipping and Bishop, J. R.
    Stat. Soc. B 61, 1999): its `k` largest directions have their own variance and all others share
    one, so that a layer of D features costs a matrix of D x k. Each layer's squared distance is
    divided by D, so that a typical training picture scores one a layer.
    """

    def __init__(self, features: Sequence[npt.NDArray[np.float32]], components: int) -> None:
        """Fits the Gaussians to pooled features `[N, D_i] float32` of each layer.

        Raises:
            ValueError: where there are too few pictures to fit to.
        """
        super().__init__()
        self.layers = nn.ModuleList(_Gaussian(layer, components) for layer in features)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """The score `[N]` of pooled features `[N, D_i]`, layer by layer."""
        scores = [layer(each) for layer, each in zip(self.layers, features, strict=True)]
        return torch.stack(scores).sum(dim=0)


class _Gaussian(nn.Module):
    """One layer's Gaussian: `[N, D]` to squared distances over D, `[N]`."""

    mean: Tensor
    directions: Tensor
    rest: Tensor

    def __init__(self, features: npt.NDArray[np.float32], components: int) -> None:
        super().__init__()
        count, width = features.shape
        if count < 2:
            raise ValueError("novelty needs at least two pictures to be fitted to")
        mean = features.mean(axis=0, dtype=np.float64)
        centred = features - mean
        variances, directions = np.linalg.eigh(centred.T @ centred / (count - 1))
        kept = min(components, width - 1, count - 1)
        floor = max(float(variances[-1]) * 1e-6, 1e-12)
        own = np.maximum(variances[-kept:], floor)
        shared = max(float(variances[:-kept].mean()), floor)
        # Whitened directions: the squared length of a projection is its squared distance. What the
        # residual counts too much along them, at the shared variance, comes off again.
        scale = np.sqrt(np.maximum(1 / shared - 1 / own, 0.0))
        self.register_buffer("mean", torch.from_numpy(mean.astype(np.float32)))
        self.register_buffer(
            "directions", torch.from_numpy((directions[:, -kept:] * scale).astype(np.float32))
        )
        self.register_buffer("rest", torch.tensor(1 / shared, dtype=torch.float32))

    def forward(self, features: Tensor) -> Tensor:
        centred = features - self.mean
        everywhere = centred.square().sum(dim=1) * self.rest
        along = (centred @ self.directions).square().sum(dim=1)
        return (everywhere - along) / features.shape[1]
