from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx.external_data_helper import set_external_data

from serving import manifest
from serving.classifier import Classifier, load_all
from serving.manifest import ArtifactError
from tests.artifact_factory import SEVEN, TWO, classifier_graph, make_artifact


def replace_graph(folder: Path, graph: onnx.ModelProto, name: str = "model.onnx") -> None:
    """Another graph with the right hash."""
    loaded = manifest.load(folder)
    (folder / name).write_bytes(graph.SerializeToString())
    manifest.save(loaded, folder)


@pytest.mark.parametrize("count", [1, 5])
def test_any_batch_gives_the_contracts_outputs(mobilenet: Classifier, count: int) -> None:
    pixels = np.random.default_rng(count).integers(0, 256, (count, 64, 64, 3), np.uint8)
    outputs = mobilenet.run(pixels)
    assert outputs.probability.shape == (count, 7)
    np.testing.assert_allclose(outputs.probability.sum(axis=1), 1, atol=1e-5)
    assert outputs.heatmap.shape == (count, 7, 8, 8)
    peaks = outputs.heatmap.max(axis=(2, 3))
    assert np.all(np.isclose(peaks, 1) | (peaks == 0))
    assert outputs.novelty.shape == (count,)


def test_a_picture_is_answered_alike_alone_and_in_a_batch(mobilenet: Classifier) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), np.uint8)
    together = mobilenet.run(pixels).probability
    alone = np.concatenate([mobilenet.run(pixels[i : i + 1]).probability for i in range(4)])
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_several_threads_may_run_one_model(mobilenet: Classifier) -> None:
    pictures = np.random.default_rng(1).integers(0, 256, (24, 1, 64, 64, 3), np.uint8)
    alone = [mobilenet.run(picture).probability for picture in pictures]
    with ThreadPoolExecutor(8) as pool:
        at_once = list(pool.map(lambda picture: mobilenet.run(picture).probability, pictures))
    np.testing.assert_array_equal(alone, at_once)


def test_every_model_below_a_folder_is_loaded(artifacts: Path) -> None:
    assert list(load_all(artifacts)) == ["cnn", "mobilenet"]


def test_an_empty_folder_of_models_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="holds no model"):
        load_all(tmp_path)


def test_two_models_of_one_name_are_refused(tmp_path: Path) -> None:
    make_artifact(tmp_path / "first", name="twin")
    make_artifact(tmp_path / "second", name="twin")
    with pytest.raises(ArtifactError, match=r"second and .*first both hold a model named twin"):
        load_all(tmp_path)


def test_a_graph_for_other_classes_is_refused(tmp_path: Path) -> None:
    make_artifact(tmp_path, classes=SEVEN)
    replace_graph(tmp_path, classifier_graph(TWO, 64))
    with pytest.raises(
        ArtifactError, match=r"(probability|heatmap) is .* but mobilenet's manifest"
    ):
        Classifier(tmp_path)


def test_a_graph_for_another_size_is_refused(tmp_path: Path) -> None:
    make_artifact(tmp_path, size=64)
    replace_graph(tmp_path, classifier_graph(SEVEN, 32))
    with pytest.raises(ArtifactError, match="image is"):
        Classifier(tmp_path)


def test_a_graph_without_an_output_is_refused(tmp_path: Path) -> None:
    make_artifact(tmp_path)
    graph = classifier_graph(SEVEN, 64)
    del graph.graph.output[2]
    replace_graph(tmp_path, graph)
    with pytest.raises(ArtifactError, match="the contract says"):
        Classifier(tmp_path)


def test_a_graph_with_a_fixed_batch_is_refused(tmp_path: Path) -> None:
    make_artifact(tmp_path)
    graph = classifier_graph(SEVEN, 64)
    for value in (*graph.graph.input, *graph.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    replace_graph(tmp_path, graph)
    with pytest.raises(ArtifactError, match="batch of image is fixed to 1"):
        Classifier(tmp_path)


def test_a_file_that_is_no_graph_is_refused(tmp_path: Path) -> None:
    written = make_artifact(tmp_path)
    (tmp_path / "model.onnx").write_bytes(b"not a graph")
    manifest.save(written, tmp_path)
    with pytest.raises(ArtifactError, match=r"model\.onnx: (is no ONNX file|onnxruntime cannot)"):
        Classifier(tmp_path)


def test_a_graph_with_an_unknown_operator_is_refused(tmp_path: Path) -> None:
    make_artifact(tmp_path)
    graph = classifier_graph(SEVEN, 64)
    graph.graph.node.append(helper.make_node("Magic", ["image"], ["spell"], domain="elsewhere"))
    graph.opset_import.append(helper.make_opsetid("elsewhere", 1))
    replace_graph(tmp_path, graph)
    with pytest.raises(ArtifactError, match=r"model\.onnx: has operators of 'elsewhere'"):
        Classifier(tmp_path)


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("name", ["model.onnx", "preprocess.onnx"])
def test_a_graph_with_an_operator_that_onnxruntime_alone_knows_is_refused(
    tmp_path: Path, name: str, declared: bool
) -> None:
    make_artifact(tmp_path)
    graph = onnx.load(tmp_path / name)
    (output, *_) = graph.graph.output
    graph.graph.node.append(
        helper.make_node("Gelu", [output.name], ["unused"], domain="com.microsoft")
    )
    if declared:
        graph.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    replace_graph(tmp_path, graph, name)
    with pytest.raises(ArtifactError, match=rf"{name}: has operators of 'com\.microsoft'"):
        Classifier(tmp_path)


@pytest.mark.parametrize("name", ["model.onnx", "preprocess.onnx"])
def test_a_graph_with_functions_of_its_own_is_refused(tmp_path: Path, name: str) -> None:
    make_artifact(tmp_path)
    graph = onnx.load(tmp_path / name)
    same = helper.make_node("Identity", ["a"], ["b"])
    opsets = [helper.make_opsetid("", 18)]
    graph.functions.append(helper.make_function("", "Own", ["a"], ["b"], [same], opsets))
    replace_graph(tmp_path, graph, name)
    with pytest.raises(ArtifactError, match=rf"{name}: has functions of its own"):
        Classifier(tmp_path)


def test_onnxs_own_operators_may_be_named_by_their_domain(tmp_path: Path) -> None:
    make_artifact(tmp_path)
    graph = classifier_graph(SEVEN, 64)
    graph.opset_import[0].domain = "ai.onnx"
    replace_graph(tmp_path, graph)
    assert Classifier(tmp_path).manifest.class_ids


def with_weights_elsewhere(place: str) -> onnx.ModelProto:
    """A graph one of whose tensors is in another file."""
    graph = classifier_graph(SEVEN, 64)
    if place == "initializer":
        tensor = next(t for t in graph.graph.initializer if t.name == "head")
    else:
        tensor = onnx.TensorProto(data_type=onnx.TensorProto.FLOAT, dims=[1], raw_data=b"0000")
        constant = helper.make_node("Constant", [], ["unused"], value=tensor)
        branch = helper.make_graph([constant], "branch", [], [])
        choice = helper.make_node("If", ["c"], ["d"], then_branch=branch)
        graph.graph.node.append(constant if place == "node" else choice)
        attribute = graph.graph.node[-1].attribute[0]
        tensor = attribute.t if place == "node" else attribute.g.node[0].attribute[0].t
    set_external_data(tensor, location="/etc/hostname", length=4)
    tensor.ClearField("raw_data")
    return graph


@pytest.mark.parametrize("place", ["initializer", "node", "branch"])
@pytest.mark.parametrize("name", ["model.onnx", "preprocess.onnx"])
def test_a_graph_that_names_another_file_is_refused(tmp_path: Path, place: str, name: str) -> None:
    make_artifact(tmp_path)
    replace_graph(tmp_path, with_weights_elsewhere(place), name)
    with pytest.raises(ArtifactError, match=rf"{name}: keeps weights in another file"):
        Classifier(tmp_path)


@pytest.mark.parametrize("share", [0.001, 0.3, 0.9])
def test_a_graph_that_was_cut_off_is_refused(tmp_path: Path, share: float) -> None:
    make_artifact(tmp_path)
    loaded = manifest.load(tmp_path)
    graph = (tmp_path / "model.onnx").read_bytes()
    (tmp_path / "model.onnx").write_bytes(graph[: int(share * len(graph))])
    manifest.save(loaded, tmp_path)
    with pytest.raises(ArtifactError) as caught:
        Classifier(tmp_path)
    assert "\n" not in str(caught.value)


def test_what_has_not_changed_is_not_loaded_again(artifacts: Path) -> None:
    first = load_all(artifacts)
    again = load_all(artifacts, loaded=first.values())
    assert all(again[name] is model for name, model in first.items())
