"""The exported graph says what the network says, for both networks, and carries nothing else."""

import numpy as np
import onnx
import pytest
import torch

from tests.training.drawn_networks import drawn, export, network, run
from training.explanation import grad_cam
from training.graph import ExportError, ServedGraph, check, reference, scale
from training.inputs import as_input
from training.scaling import Scaling


@pytest.fixture(scope="module", params=["mobilenet", "cnn"])
def exported(request: pytest.FixtureRequest) -> tuple[ServedGraph, onnx.ModelProto]:
    return export(request.param)


@pytest.mark.parametrize("batch", [1, 5])
def test_probabilities_and_heatmaps_are_the_networks(
    exported: tuple[ServedGraph, onnx.ModelProto], batch: int
) -> None:
    graph, model = exported
    image = drawn(batch)
    probability, heatmap, novelty = run(model, image)
    wanted_probability, wanted_heatmap = reference(graph, image)
    np.testing.assert_allclose(probability, wanted_probability, atol=1e-4)
    np.testing.assert_allclose(heatmap, wanted_heatmap, atol=1e-3)
    assert novelty.shape == (batch,)
    assert np.isfinite(novelty).all()


def test_heatmaps_are_not_all_alike(exported: tuple[ServedGraph, onnx.ModelProto]) -> None:
    heatmap = run(exported[1], drawn(2))[1]
    assert heatmap.max() == pytest.approx(1)
    assert np.abs(heatmap[0, 0] - heatmap[0, 1]).max() > 0.1


def test_the_scaling_is_the_graphs(exported: tuple[ServedGraph, onnx.ModelProto]) -> None:
    graph, model = exported
    image = drawn(3)
    sharp = onnx.ModelProto()
    sharp.CopyFrom(model)
    classes = len(graph.biases)
    scaling = Scaling(0.85, np.linspace(1, 0, classes))
    scale(sharp, scaling)
    before, after = run(model, image), run(sharp, image)
    first = Scaling(1.7, np.linspace(-0.4, 0.5, classes))
    np.testing.assert_allclose(scaling.undo(after[0]), first.undo(before[0]), atol=1e-4)
    assert np.abs(after[0] - before[0]).max() > 0.05
    np.testing.assert_array_equal(after[1], before[1])
    np.testing.assert_array_equal(after[2], before[2])


def test_the_graph_passes_the_checks(exported: tuple[ServedGraph, onnx.ModelProto]) -> None:
    check(exported[1], forbidden=("site-packages", "/training/", "network.py"))


def test_a_path_in_the_graph_fails_the_check(
    exported: tuple[ServedGraph, onnx.ModelProto],
) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(exported[1])
    model.graph.node[0].doc_string = "File /home/someone/model.py"
    with pytest.raises(ExportError, match="/home/someone"):
        check(model, forbidden=("/home/someone",))


def test_a_foreign_operator_fails_the_check(
    exported: tuple[ServedGraph, onnx.ModelProto],
) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(exported[1])
    model.opset_import.append(onnx.helper.make_opsetid("com.example", 1))
    model.graph.node.append(
        onnx.helper.make_node("Odd", ["novelty"], ["odd"], domain="com.example")
    )
    with pytest.raises(ExportError):
        check(model, forbidden=())


def test_what_no_picture_changes_is_folded(
    exported: tuple[ServedGraph, onnx.ModelProto],
) -> None:
    _, model = exported
    constants = {each.name for each in model.graph.initializer}
    assert not [node.name for node in model.graph.node if set(node.input) <= constants]


@pytest.mark.parametrize("name", ["mobilenet", "cnn"])
def test_the_written_out_gradient_is_autograds(name: str) -> None:
    net = network(name)
    pictures = as_input(torch.from_numpy(drawn(4)))
    with torch.no_grad():
        positive = torch.relu(net.class_activation(net.feature_maps(pictures)[-1]))
        largest = positive.amax(dim=(2, 3), keepdim=True)
        written_out = positive / largest.clamp(min=1e-20)
    torch.testing.assert_close(written_out, grad_cam(net, pictures), atol=1e-4, rtol=0)
