"""The whole model in one graph: pictures in, probabilities, heatmaps and novelty out."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt
import onnx
import onnx.numpy_helper
import onnxscript.optimizer
import torch
from torch import Tensor, nn

from training.explanation import Explainable, grad_cam, normalise
from training.inputs import as_input
from training.novelty import Describing, Novelty
from training.scaling import Scaling

OPSET = 20
OUTPUTS = ("probability", "heatmap", "novelty")
TEMPERATURE, BIASES = "temperature", "biases"

_ANY_SIZE = 2**31


class ExportError(Exception):
    """A graph that is not what it was made from, or not what the contract asks for."""


class Network(Explainable, Describing, Protocol):
    """What an exported network must be able to say."""

    def class_activation(self, maps: Tensor) -> Tensor:
        """Each class's evidence `[N, C, h, w]` over the last feature map, before its ReLU."""
        ...


class ServedGraph(nn.Module):
    """The contract's graph around a trained network.

    In: `image` `[N, S, S, 3] uint8` RGB. Out: `probability` `[N, C] float32`, `heatmap`
    `[N, C, h, w] float32` in [0, 1], `novelty` `[N] float32`.
    """

    temperature: Tensor
    biases: Tensor

    def __init__(self, network: Network, novelty: Novelty, classes: int) -> None:
        """Puts the network, in evaluation mode, behind its preprocessing; scales nothing yet."""
        super().__init__()
        self.network = network
        self.novelty = novelty
        self.register_buffer(TEMPERATURE, torch.ones(()))
        self.register_buffer(BIASES, torch.zeros(classes))

    def scale(self, scaling: Scaling) -> None:
        """Makes the probabilities what `scaling` says."""
        self.temperature.fill_(scaling.temperature)
        self.biases.copy_(torch.from_numpy(scaling.biases))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Probability, heatmap and novelty of `image`."""
        maps = self.network.feature_maps(as_input(image))
        logits = self.network.head(maps[-1])
        probability = torch.softmax(logits / self.temperature + self.biases, dim=1)
        heatmap = normalise(self.network.class_activation(maps[-1]))
        novelty = self.novelty(self.network.describe(maps))
        return probability, heatmap, novelty


def to_onnx(graph: ServedGraph, size: int) -> onnx.ModelProto:
    """Exports `graph` for pictures of `size` x `size` pixels, with a dynamic batch.

    Raises:
        ExportError: where the exporter's graph cannot be used as the contract asks.
    """
    image = torch.zeros((2, size, size, 3), dtype=torch.uint8)
    # Values that no other constant has: of a division by 1 nothing would be left in the graph, and
    # equal constants are exported as one.
    classes = len(graph.biases)
    graph.scale(Scaling(1.2345678, np.linspace(0.12345678, 0.23456789, classes)))
    program = torch.onnx.export(
        graph.eval(),
        (image,),
        input_names=["image"],
        output_names=list(OUTPUTS),
        dynamic_shapes={"image": {0: torch.export.Dim("N", min=1)}},
        opset_version=OPSET,
        dynamo=True,
        optimize=True,
        verbose=False,
    )
    assert program is not None
    # Whatever their size: what is left are the weights and what a picture changes.
    model: onnx.ModelProto = onnxscript.optimizer.optimize(
        program.model_proto, input_size_limit=_ANY_SIZE, output_size_limit=_ANY_SIZE
    )
    strip(model)
    scale(model, Scaling.none(classes))
    return model


def scale(model: onnx.ModelProto, scaling: Scaling) -> None:
    """Makes the graph's probabilities what `scaling` says.

    Raises:
        ExportError: where the graph has no such initializers.
    """
    found = {each.name: each for each in model.graph.initializer}
    for name, value in ((TEMPERATURE, scaling.temperature), (BIASES, scaling.biases)):
        if name not in found:
            raise ExportError(f"the exported graph has no initializer named {name}")
        found[name].CopyFrom(onnx.numpy_helper.from_array(np.array(value, np.float32), name))


def strip(model: onnx.ModelProto) -> None:
    """Takes out what the exporter wrote about its machine: paths, source lines, module names."""
    del model.metadata_props[:]
    model.doc_string = ""
    graphs = [model.graph, *model.functions]
    for graph in graphs:
        graph.doc_string = ""
        del graph.metadata_props[:]
        for node in graph.node:
            node.doc_string = ""
            del node.metadata_props[:]
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        value.doc_string = ""
        del value.metadata_props[:]
    for initializer in model.graph.initializer:
        initializer.doc_string = ""
        del initializer.metadata_props[:]


def check(model: onnx.ModelProto, forbidden: tuple[str, ...]) -> None:
    """Checks `model` by onnx, and that it carries neither foreign operators nor `forbidden` words.

    Raises:
        ExportError: saying which check failed.
    """
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"onnx's checker refuses the exported graph: {error}") from error
    foreign = {node.domain for node in model.graph.node} - {"", "ai.onnx"}
    if foreign or model.functions:
        raise ExportError(f"the graph needs operators that onnx does not define: {sorted(foreign)}")
    data = model.SerializeToString()
    # Shorter words would turn up in the weights by chance.
    found = [word for word in forbidden if len(word) > 3 and word.encode() in data]
    if found:
        raise ExportError(f"the graph carries paths of this machine: {found}")


def reference(
    graph: ServedGraph, image: npt.NDArray[np.uint8]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """What torch says for `image` `[N, S, S, 3]`: probability, and Grad-CAM by autograd."""
    pictures = torch.from_numpy(image)
    with torch.no_grad():
        probability = graph(pictures)[0].numpy()
    return probability, grad_cam(graph.network, as_input(pictures)).numpy()
