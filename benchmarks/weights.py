"""The weights of the graph that serves, back in the network that it was exported from.

`python -m benchmarks.weights GRAPH FILE` writes the state of a `MobileNetV2` into FILE, for a
server that runs torch. Of a graph of 8-bit integers they are what its weights stand for in float.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import numpy_helper
from torch import nn

from training.networks.mobilenet import MobileNetV2

Floats = npt.NDArray[np.float32]


def network(graph: onnx.GraphProto) -> MobileNetV2:
    """The network with the weights of `graph`, whose norms were folded into its convolutions.

    Raises:
        ValueError: where the graph is of another network.
    """
    (linear,) = _layers(graph, "Gemm")
    found = MobileNetV2(len(linear[0]))
    modules = list(found.modules())
    convolutions = [m for m in modules if isinstance(m, nn.Conv2d)]
    norms = [m for m in modules if isinstance(m, nn.BatchNorm2d)]
    folded = _layers(graph, "Conv")
    if len(folded) != len(convolutions):
        raise ValueError(f"the graph has {len(folded)} convolutions, not {len(convolutions)}")
    with torch.no_grad():
        for convolution, norm, (weight, bias) in zip(convolutions, norms, folded, strict=True):
            convolution.weight.copy_(torch.from_numpy(weight))
            norm.bias.copy_(torch.from_numpy(bias))
            assert norm.running_var is not None
            norm.running_var.fill_(1 - norm.eps)  # so that it only adds its bias
        head = found.classifier[-1]
        assert isinstance(head, nn.Linear)
        head.weight.copy_(torch.from_numpy(linear[0]))
        head.bias.copy_(torch.from_numpy(linear[1]))
    return found


def _layers(graph: onnx.GraphProto, kind: str) -> list[tuple[Floats, Floats]]:
    """Weight and bias of each layer of `kind`, in their order."""
    constants = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in constants:
            constants[node.output[0]] = _dequantised(*(constants[name] for name in node.input))
        elif node.op_type == "Cast" and node.input[0] in constants:
            constants[node.output[0]] = constants[node.input[0]].astype(np.float32)
        elif node.op_type == "Mul" and all(name in constants for name in node.input):
            constants[node.output[0]] = constants[node.input[0]] * constants[node.input[1]]
    return [
        (constants[node.input[1]].copy(), constants[node.input[2]].copy())
        for node in graph.node
        if node.op_type == kind
    ]


def _dequantised(
    integers: npt.NDArray[np.generic], scale: Floats, zero: npt.NDArray[np.generic]
) -> Floats:
    """What integers stand for, with a scale for all or for each output channel."""
    across = (-1, *[1] * (integers.ndim - 1)) if scale.ndim else ()
    shifted = integers.astype(np.float64) - zero.astype(np.float64).reshape(across)
    floats: Floats = (shifted * scale.reshape(across)).astype(np.float32)
    return floats


def main() -> None:
    source, target = map(Path, sys.argv[1:])
    torch.save(network(onnx.load(source).graph).state_dict(), target)


if __name__ == "__main__":
    main()
