"""The weights of the graph that serves, back in the network that it was exported from.

`python -m benchmarks.weights GRAPH FILE` writes the state of a `MobileNetV2` into FILE, for a
server that runs torch. Of a graph of 8-bit integers they are what its weights stand for in float.
"""

from __future__ import annotations

import sys
from pathlib import Path

import onnx
import torch

from training.networks.mobilenet import MobileNetV2
from training.start import fill


def network(graph: onnx.GraphProto) -> MobileNetV2:
    """The network with the weights of `graph`, whose norms were folded into its convolutions.

    Raises:
        ValueError: where the graph is of another network.
    """
    (linear,) = (node for node in graph.node if node.op_type == "Gemm")
    (bias,) = (each for each in graph.initializer if each.name == linear.input[2])
    found = MobileNetV2(bias.dims[0])
    fill(found, graph)
    return found


def main() -> None:
    source, target = map(Path, sys.argv[1:])
    torch.save(network(onnx.load(source).graph).state_dict(), target)


if __name__ == "__main__":
    main()
