"""`preprocess.onnx`: the way from an upright picture to the network's input, as a graph.

The browser runs it, because canvas resizing gives other numbers; the server uses Pillow. Both agree
within one grey level.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from serving.manifest import Preprocessing

OPSET = 20


def build(preprocessing: Preprocessing) -> onnx.ModelProto:
    """The graph for `preprocessing`: `image` `[H, W, 3] uint8` to `pixels` `[S, S, 3] uint8`.

    Antialiased bicubic as Pillow has it: a = -0.5, weights outside the picture left out.
    """
    size = preprocessing.size
    graph = _Graph()
    square = {"squash": _squash, "crop": _crop, "pad": _pad}[preprocessing.fit](graph, size)
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["H", "W", 3])
    pixels = helper.make_tensor_value_info("pixels", TensorProto.UINT8, [size, size, 3])
    graph.add("Cast", [square], "pixels", to=TensorProto.UINT8)
    proto = helper.make_graph(graph.nodes, "preprocess", [image], [pixels], graph.initializers)
    model = helper.make_model(
        proto, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="lesionlens"
    )
    model.ir_version = 10
    onnx.checker.check_model(model, full_check=True)
    return model


class _Graph:
    """Nodes and constants as they are added."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def add(self, kind: str, inputs: list[str], *outputs: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, outputs, **attributes))
        return outputs[0]

    def constant(self, value: float | list[int]) -> str:
        name = f"constant_{len(self.initializers)}"
        kind = np.float32 if isinstance(value, float) else np.int64
        self.initializers.append(numpy_helper.from_array(np.array(value, kind), name))
        return name

    def resize(self, source: str, height: str, width: str, output: str) -> str:
        """Resizes `[h, w, 3] float` to `height` x `width`, each `[1] int64`, as whole grey levels.

        Like Pillow first across and then down, with grey levels rounded and clipped in between.
        onnxruntime antialiases `[1, 3, h, w]` only, so the channels move there and back.
        """
        first = self.constant([0])
        self.add("Transpose", [source], "planes", perm=[2, 0, 1])
        self.add("Unsqueeze", ["planes", first], "batch")
        self.add("Shape", ["batch"], "own_height", start=2, end=3)
        self._resize_batch("batch", "own_height", width, "across")
        self._resize_batch("across", height, width, "down")
        self.add("Squeeze", ["down", first], "resized_planes")
        return self.add("Transpose", ["resized_planes"], output, perm=[1, 2, 0])

    def _resize_batch(self, source: str, height: str, width: str, output: str) -> None:
        # All four sides are given: with `axes` onnxruntime's transpose optimiser loses count.
        sides = f"{output}_sides"
        self.add("Concat", [self.constant([1, 3]), height, width], sides, axis=0)
        self.add(
            "Resize",
            [source, "", "", sides],
            f"{output}_exact",
            mode="cubic",
            cubic_coeff_a=-0.5,
            antialias=1,
            exclude_outside=1,
            coordinate_transformation_mode="half_pixel",
        )
        # Halves go up, as in Pillow; `Round` would send them to the even number.
        self.add("Add", [f"{output}_exact", self.constant(0.5)], f"{output}_raised")
        self.add("Floor", [f"{output}_raised"], f"{output}_rounded")
        limits = [self.constant(0.0), self.constant(255.0)]
        self.add("Clip", [f"{output}_rounded", *limits], output)


def _squash(graph: _Graph, size: int) -> str:
    graph.add("Cast", ["image"], "floats", to=TensorProto.FLOAT)
    return graph.resize("floats", graph.constant([size]), graph.constant([size]), "square")


def _sides(graph: _Graph) -> None:
    """Height and width as `[2] int64`."""
    graph.add("Shape", ["image"], "sides", start=0, end=2)


def _crop(graph: _Graph, size: int) -> str:
    """The central square: of an odd rest, the half pixel is left out on both sides."""
    _sides(graph)
    graph.add("ReduceMin", ["sides"], "shorter", keepdims=1)
    graph.add("Sub", ["sides", "shorter"], "rest")
    graph.add("Div", ["rest", graph.constant([2])], "start")
    graph.add("Add", ["start", "shorter"], "end")
    graph.add("Slice", ["image", "start", "end", graph.constant([0, 1])], "central")
    graph.add("Cast", ["central"], "floats", to=TensorProto.FLOAT)
    return graph.resize("floats", graph.constant([size]), graph.constant([size]), "square")


def _pad(graph: _Graph, size: int) -> str:
    """The whole picture between black bars."""
    _sides(graph)
    graph.add("ReduceMax", ["sides"], "longer", keepdims=1)
    graph.add("Cast", ["sides"], "sides_float", to=TensorProto.FLOAT)
    graph.add("Cast", ["longer"], "longer_float", to=TensorProto.FLOAT)
    graph.add("Mul", ["sides_float", graph.constant(float(size))], "scaled")
    graph.add("Div", ["scaled", "longer_float"], "inner_float")
    graph.add("Round", ["inner_float"], "inner_rounded")
    graph.add("Max", ["inner_rounded", graph.constant(1.0)], "inner_positive")
    graph.add("Cast", ["inner_positive"], "inner", to=TensorProto.INT64)
    graph.add("Cast", ["image"], "floats", to=TensorProto.FLOAT)
    graph.add("Split", ["inner"], "inner_height", "inner_width", num_outputs=2, axis=0)
    graph.resize("floats", "inner_height", "inner_width", "resized")
    graph.add("Sub", [graph.constant([size, size]), "inner"], "bars")
    graph.add("Div", ["bars", graph.constant([2])], "before")
    graph.add("Sub", ["bars", "before"], "after")
    none = graph.constant([0])
    graph.add("Concat", ["before", none, "after", none], "pads", axis=0)
    return graph.add("Pad", ["resized", "pads", graph.constant(0.0)], "square", mode="constant")
