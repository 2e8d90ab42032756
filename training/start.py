"""An artifact as the start of a run: its graph's weights, back in the network they came from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from serving import manifest as contract
from serving.manifest import ArtifactError, Manifest
from training.data.sets import PictureSet
from training.networks.mobilenet import MobileNetV2
from training.norms import restore
from training.weights import WeightsError, even_out

Floats = npt.NDArray[np.float32]


def read_artifact(
    folder: Path,
    held_out: PictureSet,
    split_digest: str,
    option: str = "model.weights.artifact",
) -> Manifest:
    """The manifest of the artifact in `folder`, for a run that splits `held_out`.

    It is what the run starts from, or is taught by, as `option` says.

    Raises:
        WeightsError: where there is none, or where it was trained on pictures of that set by
            another split, and so perhaps on what the run holds out.
    """
    try:
        manifest = contract.load(folder)
    except ArtifactError as error:
        raise WeightsError(f"{option}: {error}") from error
    names = {held_out.name, *held_out.holds}
    learned = {each.name for each in manifest.training.datasets}
    shared = names & {*learned, *manifest.training.config.get("holds", [])}
    if shared and manifest.training.split_digest != split_digest:
        raise WeightsError(
            f"{folder}: learned from {', '.join(sorted(shared))}, and so perhaps from pictures "
            f"that are held out here. Train on the data set and with the seed that it was split by "
            f"(seed={manifest.training.seed}), or name another in {option}."
        )
    return manifest


def start_from_artifact(
    network: nn.Module,
    folder: Path,
    manifest: Manifest,
    class_ids: Sequence[str],
    batches: Iterable[Tensor],
    scale: float | None = None,
) -> str:
    """Gives `network` the weights of the graph in `folder`; what to write down about them.

    The head is kept where the artifact's classes are `class_ids` in their order, and stays new
    otherwise. The
    graph's norms were folded into its convolutions; they get back what they do to `batches`
    `[N, S, S, 3] uint8`, training pictures as they are. `scale` is that of `even_out`.

    Raises:
        WeightsError: where the graph is of another network.
    """
    if not isinstance(network, MobileNetV2):
        raise WeightsError(
            f"{folder}: only a MobileNetV2 can start from an artifact, and this network is a "
            f"{type(network).__name__}. Set model.weights.artifact=null."
        )
    keeps_head = manifest.class_ids == list(class_ids)
    try:
        fill(network, onnx.load(folder / contract.MODEL_FILE).graph, head=keeps_head)
    except ValueError as error:
        raise WeightsError(f"{folder}: {error}. Set model.weights.artifact=null.") from error
    network.eval()
    restore(network, batches)
    network.train()
    if scale is not None:
        even_out(network, scale)
    return f"{manifest.name}, graph of SHA-256 {manifest.digest[:16]}"


@torch.no_grad()
def fill(network: MobileNetV2, graph: onnx.GraphProto, *, head: bool = True) -> None:
    """Gives `network` the weights of `graph`, and those of its head with `head`.

    Of 8-bit weights it gets what they stand for in float. The norms then only add their biases.

    Raises:
        ValueError: where the graph is of another network.
    """
    modules = list(network.modules())
    convolutions = [m for m in modules if isinstance(m, nn.Conv2d)]
    norms = [m for m in modules if isinstance(m, nn.BatchNorm2d)]
    folded, linear = _layers(graph, "Conv"), _layers(graph, "Gemm")
    if [w.shape for w, _ in folded] != [tuple(c.weight.shape) for c in convolutions]:
        raise ValueError(f"the graph's {len(folded)} convolutions are not those of a MobileNetV2")
    for convolution, norm, (weight, bias) in zip(convolutions, norms, folded, strict=True):
        convolution.weight.copy_(torch.from_numpy(weight))
        norm.reset_parameters()
        norm.bias.copy_(torch.from_numpy(bias))
        assert norm.running_var is not None
        norm.running_var.fill_(1 - norm.eps)
    if head:
        last = network.classifier[-1]
        assert isinstance(last, nn.Linear)
        if [w.shape for w, _ in linear] != [tuple(last.weight.shape)]:
            raise ValueError("the graph's head is not that of this MobileNetV2")
        last.weight.copy_(torch.from_numpy(linear[0][0]))
        last.bias.copy_(torch.from_numpy(linear[0][1]))


def _layers(graph: onnx.GraphProto, kind: str) -> list[tuple[Floats, Floats]]:
    """Weight and bias of each layer of `kind`, in their order.

    Raises:
        ValueError: where one has no bias, or weights that are not constants of the graph.
    """
    constants = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in constants:
            constants[node.output[0]] = _dequantised(*(constants[name] for name in node.input))
        elif node.op_type == "Cast" and node.input[0] in constants:
            constants[node.output[0]] = constants[node.input[0]].astype(np.float32)
        elif node.op_type == "Mul" and all(name in constants for name in node.input):
            constants[node.output[0]] = constants[node.input[0]] * constants[node.input[1]]
    found = [node.input[1:3] for node in graph.node if node.op_type == kind]
    if any(len(names) < 2 or not all(name in constants for name in names) for names in found):
        raise ValueError(f"the graph has a layer of kind {kind} that export would not have written")
    return [(constants[weight].copy(), constants[bias].copy()) for weight, bias in found]


def _dequantised(
    integers: npt.NDArray[np.generic], scale: Floats, zero: npt.NDArray[np.generic]
) -> Floats:
    """What integers stand for, with a scale for all or for each output channel."""
    across = (-1, *[1] * (integers.ndim - 1)) if scale.ndim else ()
    shifted = integers.astype(np.float64) - zero.astype(np.float64).reshape(across)
    floats: Floats = (shifted * scale.reshape(across)).astype(np.float32)
    return floats
