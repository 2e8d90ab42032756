"""Networks that nobody trained, but whose answers differ from picture to picture; their graphs."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import torch
from torch import nn

from tests.drawings import draw_lesion
from training.graph import ServedGraph, scale, to_onnx
from training.inputs import as_input
from training.networks import CNN, MobileNetV2
from training.novelty import NoveltySettings, fit
from training.scaling import Scaling

SIZE = 64
NOVELTY = NoveltySettings(
    pictures=16,
    copies=0,
    qualities=(30, 60),
    lights=(0.8, 1.2),
    components=8,
    shrinkage=0.3,
    least_deviation=0.05,
    unit=0.95,
    corner=0.33,
)


def drawn(count: int) -> npt.NDArray[np.uint8]:
    return np.stack([np.asarray(draw_lesion(i, SIZE, SIZE)) for i in range(count)])


def network(name: str) -> Any:
    """A network whose batch norms and weights are not what they start as."""
    torch.manual_seed(0)
    net: nn.Module = MobileNetV2(7) if name == "mobilenet" else CNN(2, SIZE)
    net.train()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.2, 0.2)
            module.momentum = None
    with torch.no_grad():
        for _ in range(3):
            net(as_input(torch.from_numpy(drawn(8))))
    if isinstance(net, MobileNetV2):
        head = net.classifier[-1]
        assert isinstance(head, nn.Linear)
        nn.init.normal_(head.weight, std=0.1)
    return net.eval()


def export(name: str) -> tuple[ServedGraph, onnx.ModelProto]:
    """A network in its served graph, and that as a float graph of onnx, both scaled."""
    net = network(name)
    classes = 7 if name == "mobilenet" else 2
    graph = ServedGraph(net, fit(net, [torch.from_numpy(drawn(16))], NOVELTY), classes)
    model = to_onnx(graph, SIZE)
    scaling = Scaling(1.7, np.linspace(-0.4, 0.5, classes))
    scale(model, scaling)
    graph.scale(scaling)
    return graph, model


def run(
    model: onnx.ModelProto,
    image: npt.NDArray[np.uint8],
    names: Sequence[str] = ("probability", "heatmap", "novelty"),
) -> list[npt.NDArray[np.float32]]:
    """What `model` answers for `image` `[N, S, S, 3]`, by the outputs' names."""
    session = onnxruntime.InferenceSession(model.SerializeToString())
    outputs: list[npt.NDArray[np.float32]] = session.run(list(names), {"image": image})
    return outputs
