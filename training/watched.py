"""What the novelty in a served graph looks at, without the network that it was exported from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor

from training.graph import ExportError
from training.networks.description import Description
from training.novelty import Novelty

_SKIN = "novelty.skin"
_MEANS = "novelty.layers.{}.mean"


class WatchedGraph:
    """A graph that export made, which describes pictures as its network did.

    Novelty that is fitted to these descriptions knows of the rounding of 8-bit weights, too.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        """Opens a copy of `model`.

        Raises:
            ExportError: where its novelty is not one that export writes.
        """
        names = {each.name for each in model.graph.initializer}
        self._layers = [_beside(model, name) for name in _in_turn(names)]
        self._skin = _beside(model, _SKIN)
        watched = onnx.ModelProto()
        watched.CopyFrom(model)
        self._seen = list(dict.fromkeys([*self._layers, self._skin]))
        for name in self._seen:
            value = onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
            watched.graph.output.append(value)
        self._session = onnxruntime.InferenceSession(
            watched.SerializeToString(), providers=["CPUExecutionProvider"]
        )

    def feature_maps(self, pictures: Tensor) -> list[Tensor]:
        """The features `[N, D]` that novelty takes, of `pictures` `[N, 3, S, S]` in [0, 1]."""
        image = (pictures * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
        return [torch.from_numpy(each) for each in self._session.run(self._seen, {"image": image})]

    def describe(self, maps: list[Tensor]) -> Description:
        """The description of the pictures that have these features."""
        found = dict(zip(self._seen, maps, strict=True))
        return Description([found[name] for name in self._layers], skin=found[self._skin])


def put_novelty(model: onnx.ModelProto, novelty: Novelty) -> None:
    """Makes the graph's novelty what `novelty` says.

    Raises:
        ExportError: where the graph's is of another shape.
    """
    found = {each.name: each for each in model.graph.initializer}
    for key, value in novelty.state_dict().items():
        name = f"novelty.{key}"
        if name not in found or list(found[name].dims) != list(value.shape):
            raise ExportError(f"the graph has no initializer named {name} of {list(value.shape)}")
        found[name].CopyFrom(onnx.numpy_helper.from_array(value.numpy().astype(np.float32), name))


def _in_turn(names: set[str]) -> Sequence[str]:
    """The means of the layers, from the first on."""
    found = list[str]()
    while (name := _MEANS.format(len(found))) in names:
        found.append(name)
    if not found:
        raise ExportError("the graph has no novelty that export would have written")
    return found


def _beside(model: onnx.ModelProto, name: str) -> str:
    """What the graph takes together with the constant `name`."""
    for node in model.graph.node:
        if name in node.input:
            return str(next(other for other in node.input if other != name))
    raise ExportError(f"the graph has no {name}, as export would have written it")
