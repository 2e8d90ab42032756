"""Batch normalisation as the exported network needs it."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from training.learner import as_input


def renew(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Estimates all means and variances of `network`'s batch normalisation anew.

    Those that training leaves behind belong to augmented pictures and to weights that were averaged
    since; the network will meet neither. Izmailov et al., "Averaging Weights Leads to Wider Optima
    and Better Generalization", UAI 2018, section 3.2.

    Args:
        network: In evaluation mode, and so again afterwards.
        batches: Pictures `[N, S, S, 3] uint8`, as they will be met; each batch counts the same.
    """
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        # A plain mean over the batches instead of a moving one.
        norm.momentum = None
        norm.train()
    with torch.no_grad():
        for batch in batches:
            network(as_input(batch))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()
