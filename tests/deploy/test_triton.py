"""The committed graph is what deploy/triton tells a Triton Inference Server that it is."""

from __future__ import annotations

import re
from pathlib import Path

import onnx

from serving.settings import CHECKOUT

TYPES = {onnx.TensorProto.UINT8: "UINT8", onnx.TensorProto.FLOAT: "FP32"}


def described(folder: Path) -> dict[str, tuple[str, list[int]]]:
    """Type and dimensions of each input and output, without the batch's."""
    text = (folder / "config.pbtxt").read_text()
    found = {}
    for line in re.findall(r"^(?:input|output) \{(.*)\}$", text, re.MULTILINE):
        name, kind = re.findall(r'name: "(\w+)" data_type: TYPE_(\w+)', line)[0]
        # What Triton shows to the caller, and what the graph gives where that is something else.
        dims = re.findall(r"(?:dims|shape): \[ ([\d, ]*)\]", line)[-1]
        found[name] = (kind, [int(each) for each in dims.split(",") if each.strip()])
    return found


def test_inputs_and_outputs_are_the_graphs() -> None:
    folder = CHECKOUT / "deploy" / "triton" / "mobilenet"
    graph = onnx.load(CHECKOUT / "artifacts" / "mobilenet" / "model.onnx").graph
    wanted = {}
    for value in [*graph.input, *graph.output]:
        kind = value.type.tensor_type
        batch, *dims = kind.shape.dim
        assert batch.dim_param, "a server that batches needs a batch of any size"
        wanted[value.name] = (TYPES[kind.elem_type], [each.dim_value for each in dims])
    assert described(folder) == wanted


def test_nothing_but_standard_operators_is_asked_of_the_server() -> None:
    for name in ("mobilenet", "cnn"):
        model = onnx.load(CHECKOUT / "artifacts" / name / "model.onnx")
        assert [each.domain for each in model.opset_import] == [""]
        onnx.checker.check_model(model, full_check=True)
