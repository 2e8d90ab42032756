"""From a float graph to one whose wide layers have, or compute in, 8-bit integers."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import helper, numpy_helper
from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from serving.pictures import Pixels
from training.graph import ExportError, strip

Floats = npt.NDArray[np.float32]

_LAYERS = frozenset({"Conv", "Gemm"})
_BETWEEN = frozenset({"Add", "Clip", "MaxPool", "Relu"})
_MOST = 127
"""of 8 bits with a sign, and as far below nought as above"""
_NETWORK = "network."
"""What the names of the network's parameters begin with in a graph; those of novelty do not."""


class QuantiseSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How a graph is quantised, from `conf/export.yaml`."""

    enabled: bool
    activations: bool
    """whether the layers compute in integers, too; otherwise only their weights are stored so"""
    float: list[str]
    """modules of the network that stay in float"""
    pictures: int
    """augmented training pictures that the ranges of the activations are measured on"""
    batch_size: int
    """pictures whose extremes count together: a range is the mean over such batches"""
    weight_bits: Literal[7, 8]
    """of all layers but depthwise ones, which have 8; weights that are only stored have 8, too"""


def quantise(
    model: onnx.ModelProto, images: Sequence[Pixels], settings: QuantiseSettings
) -> onnx.ModelProto:
    """`model` with its layers in 8-bit integers, for the same inputs and outputs.

    With the weights alone, a graph becomes smaller and computes as before. With the activations,
    too, it computes in integers, and any two runtimes, even one with and without its own
    optimisations, round some values to neighbouring steps, which grows from layer to layer: over
    fifty layers the answers come out as far from each other as from the float graph's.

    The latter is static quantisation by onnxruntime: one range for each activation, unsigned; one
    for each output channel of the weights, signed. It is written down as operators of onnx in float
    between QuantizeLinear and DequantizeLinear, which a runtime joins into integer ones. What
    rounding the weights adds to a channel on average is taken off its bias: Nagel et al.,
    "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV 2019,
    section 4.2, here measured on pictures.

    Args:
        model: The float graph, its batch normalisation folded into its layers.
        images: Batches `[N, S, S, 3] uint8` to measure on; none for the weights alone.
        settings: What stays in float, and how fine the integers are.

    Raises:
        ExportError: where nothing is left to quantise.
    """
    nodes = _within(model, settings.float)
    layers = [node for node in nodes if node.op_type in _LAYERS]
    if not layers:
        raise ExportError(
            f"nothing is left to quantise beside {', '.join(settings.float)}. Let fewer modules "
            "stay in float (quantise.float), or serve the float graph (quantise.enabled=false)."
        )
    if not settings.activations:
        return _with_stored_weights(model, layers)
    with tempfile.TemporaryDirectory() as name:
        prepared, quantised = Path(name) / "prepared.onnx", Path(name) / "quantised.onnx"
        # Norms and constants are folded already; this infers the shapes that are asked for.
        quant_pre_process(model, prepared, skip_optimization=True, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            quantised,
            _Feed(images),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=sorted(_LAYERS | _BETWEEN),
            nodes_to_quantize=[node.name for node in nodes],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            extra_options={
                "CalibMovingAverage": True,
                "TensorQuantOverrides": _fewer_bits(model, layers, settings.weight_bits),
            },
        )
        result = onnx.load(quantised)
    _correct_biases(model, result, layers, images)
    strip(result)
    return result


def _with_stored_weights(
    model: onnx.ModelProto, layers: Sequence[onnx.NodeProto]
) -> onnx.ModelProto:
    """`model` with the weights of `layers` in 8 bits, a scale for each output channel.

    They become floats again by a Cast and a Mul, which a runtime does once, when it loads the
    graph. A DequantizeLinear says the same, but onnxruntime leaves one to every run.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    wanted = {layer.input[1] for layer in layers}
    stored = [each for each in graph.initializer if each.name in wanted]
    nodes = []
    for weight in stored:
        floats, name = numpy_helper.to_array(weight), weight.name
        most = np.abs(floats).max(axis=tuple(range(1, floats.ndim)), keepdims=True)
        scale = np.where(most > 0, most / _MOST, 1).astype(np.float32)
        integers = np.rint(floats / scale).astype(np.int8)
        rounded, cast, scales = (f"{name}_{what}" for what in ("quantized", "cast", "scale"))
        weight.CopyFrom(numpy_helper.from_array(integers, rounded))
        graph.initializer.append(numpy_helper.from_array(scale, scales))
        nodes += [
            helper.make_node("Cast", [rounded], [cast], cast, to=onnx.TensorProto.FLOAT),
            helper.make_node("Mul", [cast, scales], [name], name),
        ]
    nodes += graph.node
    del graph.node[:]
    graph.node.extend(nodes)
    return result


def dequantise(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model` with floats for the weights that it stores in 8 bits, for the same answers.

    Raises:
        ExportError: where it computes in integers, too, and so answers as no float graph does.
    """
    if any(node.op_type == "QuantizeLinear" for node in model.graph.node):
        raise ExportError(
            "the graph computes in 8-bit integers, and no float graph answers the same. Export it "
            "with quantise.activations=false."
        )
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    constants = {each.name: each for each in graph.initializer}
    ending, made = "_quantized", set[str]()
    for weight in [each for name, each in constants.items() if name.endswith(ending)]:
        name = weight.name.removesuffix(ending)
        scale = constants[f"{name}_scale"]
        floats = numpy_helper.to_array(weight).astype(np.float32) * numpy_helper.to_array(scale)
        weight.CopyFrom(numpy_helper.from_array(floats, name))
        graph.initializer.remove(scale)
        made |= {f"{name}_cast", name}
    nodes = [node for node in graph.node if node.output[0] not in made]
    del graph.node[:]
    graph.node.extend(nodes)
    return result


class _Feed:
    """Hands over pictures batch by batch, as onnxruntime's calibration asks for them."""

    def __init__(self, images: Iterable[Pixels]) -> None:
        self._left = iter(images)

    def get_next(self) -> dict[str, Pixels] | None:
        image = next(self._left, None)
        return None if image is None else {"image": image}


def _within(model: onnx.ModelProto, in_float: Sequence[str]) -> list[onnx.NodeProto]:
    """The network's layers but those `in_float`, and what stands between or behind them.

    Whatever takes a value from elsewhere, as heatmaps and novelty do, stays in float.
    """
    constants = {each.name for each in model.graph.initializer}
    kept = tuple(f"{_NETWORK}{module}." for module in in_float)
    found: list[onnx.NodeProto] = []
    made: set[str] = set()
    for node in model.graph.node:
        if node.op_type in _LAYERS:
            weight = node.input[1]
            inside = weight.startswith(_NETWORK) and not weight.startswith(kept)
        else:
            taken = {name for name in node.input if name} - constants
            inside = node.op_type in _BETWEEN and taken <= made
        if inside:
            found.append(node)
            made.update(node.output)
    return found


def _fewer_bits(
    model: onnx.ModelProto, layers: Sequence[onnx.NodeProto], bits: int
) -> dict[str, list[dict[str, int | bool]]]:
    """Which weights get 7 bits instead of 8, in onnxruntime's words.

    An x86 processor without VNNI adds two products of bytes in 16 bits, which those of 8-bit
    weights overflow: the graph would answer otherwise there than where it was compared. Depthwise
    layers are computed in another way, and are the ones that a bit less would harm.
    """
    if bits == 8:
        return {}
    shapes = {each.name: each.dims for each in model.graph.initializer}
    weights = [node.input[1] for node in layers]
    dense = [name for name in weights if shapes[name][1] > 1]
    return {name: [{"axis": 0, "reduce_range": True}] for name in dense}


def _correct_biases(
    model: onnx.ModelProto,
    quantised: onnx.ModelProto,
    layers: Sequence[onnx.NodeProto],
    images: Sequence[Pixels],
) -> None:
    """Adds to the biases of `quantised` what the rounding of its layers' weights costs on average.

    `layers` are those of the float `model`, whose activations over `images` are taken.
    """
    constants = {each.name: each for each in quantised.graph.initializer}
    sources = {output: node for node in quantised.graph.node for output in node.output}
    inputs = {node.name: node.input for node in quantised.graph.node}

    def integers(name: str) -> tuple[onnx.TensorProto, Floats]:
        """The integers that `name` is dequantised from, and their scales."""
        source = sources[name].input
        return constants[source[0]], numpy_helper.to_array(constants[source[1]])

    weights = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    errors: list[Floats] = []
    for layer in layers:
        weight = weights[layer.input[1]]
        rounded, scales = integers(inputs[layer.name][1])
        scales = scales.reshape(-1, *[1] * (weight.ndim - 1))
        errors.append(weight - numpy_helper.to_array(rounded) * scales)
    costs = _mean_outputs(model, layers, errors, images)
    for layer, cost in zip(layers, costs, strict=True):
        bias, scales = integers(inputs[layer.name][2])
        corrected = numpy_helper.to_array(bias) + np.rint(cost / scales).astype(np.int32)
        bias.CopyFrom(numpy_helper.from_array(corrected, bias.name))


def _mean_outputs(
    model: onnx.ModelProto,
    layers: Sequence[onnx.NodeProto],
    weights: Sequence[Floats],
    images: Sequence[Pixels],
) -> list[npt.NDArray[np.float64]]:
    """What each of `layers` would give on average, per channel `[C]`, with other `weights`.

    Each sees what it sees in `model`, and has no bias.
    """
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    del probe.graph.output[:]
    for index, (layer, weight) in enumerate(zip(layers, weights, strict=True)):
        # Dots, so that no name of the exporter's is met.
        other, axes, output, mean = (
            f"twin.{index}.{what}" for what in ("weight", "axes", "out", "mean")
        )
        twin = probe.graph.node.add()
        twin.CopyFrom(layer)
        twin.name, twin.output[0] = output, output
        del twin.input[:]
        twin.input.extend([layer.input[0], other])
        but_channels = np.array([0, *range(2, weight.ndim)], np.int64)
        probe.graph.node.append(
            helper.make_node("ReduceMean", [output, axes], [mean], name=mean, keepdims=0)
        )
        probe.graph.initializer.extend(
            [numpy_helper.from_array(weight, other), numpy_helper.from_array(but_channels, axes)]
        )
        probe.graph.output.append(
            helper.make_tensor_value_info(mean, onnx.TensorProto.FLOAT, [len(weight)])
        )
    session = onnxruntime.InferenceSession(
        probe.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    found = [session.run(None, {"image": image}) for image in images]
    shares = np.array([len(image) for image in images]) / math.fsum(len(i) for i in images)
    return [np.tensordot(shares, np.stack(each), axes=1) for each in zip(*found, strict=True)]
