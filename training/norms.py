"""Batch normalisation as the exported network needs it."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from training.inputs import as_input


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


def restore(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Gives `network`'s batch normalisation the means and variances of what it meets.

    What the network computes stays the same: weights and biases make up for them. Norms that were
    folded into the layers before them and left without an effect can be trained again afterwards.

    Args:
        network: In evaluation mode.
        batches: Pictures `[N, S, S, 3] uint8`, as they will be met; each batch counts the same.
    """
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    met: dict[nn.Module, list[tuple[Tensor, Tensor]]] = {norm: [] for norm in norms}

    def note(norm: nn.Module, values: tuple[Tensor]) -> None:
        channels = values[0].double().transpose(0, 1).flatten(1)
        met[norm].append((channels.mean(1), channels.square().mean(1)))

    hooks = [norm.register_forward_pre_hook(note) for norm in norms]
    with torch.no_grad():
        for batch in batches:
            network(as_input(batch))
        for norm, hook in zip(norms, hooks, strict=True):
            hook.remove()
            mean, square = (torch.stack(each).mean(0) for each in zip(*met[norm], strict=True))
            _settle(norm, mean.float(), (square - mean.square()).clamp_min(0).float())


def _settle(norm: _BatchNorm, mean: Tensor, variance: Tensor) -> None:
    before = norm.running_mean, norm.running_var
    assert before[0] is not None
    assert before[1] is not None
    factor = norm.weight / (before[1] + norm.eps).sqrt()
    norm.bias.add_(factor * (mean - before[0]))
    norm.weight.copy_(factor * (variance + norm.eps).sqrt())
    before[0].copy_(mean)
    before[1].copy_(variance)
