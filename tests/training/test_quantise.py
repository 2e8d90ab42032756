"""The 8-bit graph answers as the float graph does, and keeps in float what it was told to."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from hydra import compose, initialize_config_dir
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import GraphOptimizationLevel, InferenceSession, SessionOptions

from serving import manifest as contract
from serving.settings import CHECKOUT
from tests.drawings import draw_lesion
from tests.training.drawn_networks import drawn, export, run
from tests.training.drawn_sets import CONF
from training.graph import ExportError, check, scale
from training.quantise import QuantiseSettings, dequantise, quantise
from training.scaling import Scaling
from training.train import plain

MODELS = ["mobilenet", "cnn"]
BATCHES = [drawn(16)[i : i + 4] for i in range(0, 16, 4)]


def settings(in_float: Sequence[str] = (), **changes: Any) -> QuantiseSettings:
    defaults: dict[str, Any] = {
        "enabled": True,
        "activations": True,
        "pictures": 16,
        "batch_size": 4,
        "weight_bits": 8,
        **changes,
    }
    return QuantiseSettings(float=list(in_float), **defaults)


def shipped(model: str) -> list[str]:
    """What the committed configuration of `model` keeps in float."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("export", [f"model={model}", "run_dir=runs/x"])
    return list(plain(config.quantise.float))


@pytest.fixture(scope="module", params=MODELS)
def pair(request: pytest.FixtureRequest) -> tuple[str, onnx.ModelProto, onnx.ModelProto]:
    """A model's name, its float graph and its 8-bit graph."""
    _, model = export(request.param)
    kept = shipped(request.param)
    return request.param, model, quantise(model, BATCHES, settings(kept, weight_bits=7))


Pair = tuple[str, onnx.ModelProto, onnx.ModelProto]


def trained(name: str) -> onnx.ModelProto:
    """The shipped graph with floats for weights, as it was before they were stored in 8 bits."""
    return dequantise(onnx.load(CHECKOUT / "artifacts" / name / contract.MODEL_FILE))


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])


@pytest.mark.parametrize("name", MODELS)
def test_of_a_trained_network_it_keeps_answers_and_features(name: str) -> None:
    """Novelty is a distance between pooled features."""
    model = trained(name)
    size = model.graph.input[0].type.tensor_type.shape.dim[1].dim_value
    lesions = [draw_lesion(i, 2 * size, 2 * size, redness=i % 5 / 4) for i in range(40)]
    image = np.stack([np.asarray(lesion.resize((size, size))) for lesion in lesions])
    calibration = [image[i : i + 4] for i in range(24, 40, 4)]
    integers = quantise(model, calibration, settings(shipped(name), weight_bits=7))
    wanted, found = run(model, image[:24]), run(integers, image[:24])
    assert np.abs(found[0] - wanted[0]).max() < 0.02
    assert correlation(found[1], wanted[1]) > 0.9
    assert correlation(found[2], wanted[2]) > 0.9


def answers(model: onnx.ModelProto, image: np.ndarray, level: GraphOptimizationLevel) -> Any:
    options = SessionOptions()
    options.graph_optimization_level = level
    return InferenceSession(model.SerializeToString(), options).run(None, {"image": image})


@pytest.mark.parametrize("name", MODELS)
def test_with_the_weights_alone_it_answers_alike_however_it_is_computed(name: str) -> None:
    _, model = export(name)
    stored = quantise(model, [], settings(shipped(name), activations=False))
    kinds = {node.op_type for node in stored.graph.node}
    assert not kinds & {"QuantizeLinear", "DequantizeLinear"}
    assert stored.ByteSize() < 0.37 * model.ByteSize()
    check(stored, forbidden=("site-packages", "/tmp", "/training/"))
    image = drawn(8)
    levels = GraphOptimizationLevel.ORT_ENABLE_ALL, GraphOptimizationLevel.ORT_DISABLE_ALL
    for one, other in zip(*(answers(stored, image, level) for level in levels), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("name", MODELS)
def test_weights_alone_keep_a_trained_networks_answers_and_features(name: str) -> None:
    model = trained(name)
    size = model.graph.input[0].type.tensor_type.shape.dim[1].dim_value
    image = np.stack([np.asarray(draw_lesion(i, size, size, i % 5 / 4)) for i in range(12)])
    stored = quantise(model, [], settings(shipped(name), activations=False))
    assert stored.ByteSize() < 0.37 * model.ByteSize()
    wanted, found = run(model, image), run(stored, image)
    assert np.abs(found[0] - wanted[0]).max() < 0.01
    assert correlation(found[1], wanted[1]) > 0.95
    assert correlation(found[2], wanted[2]) > 0.99


# Fifty layers that nobody trained make a great difference of any rounding: only the small network's
# answers are worth comparing without pictures and weights of their own.
@pytest.mark.parametrize("pair", ["cnn"], indirect=True)
def test_it_answers_as_the_float_graph_does(pair: Pair) -> None:
    _, model, integers = pair
    image = drawn(24)
    wanted, found = run(model, image), run(integers, image)
    assert np.median(np.abs(found[0] - wanted[0]).max(axis=1)) < 0.02
    assert correlation(found[0], wanted[0]) > 0.99
    assert correlation(found[1], wanted[1]) > 0.8


def test_it_is_a_third_of_the_size(pair: Pair) -> None:
    _, model, integers = pair
    assert integers.ByteSize() < 0.37 * model.ByteSize()


def test_one_that_computes_in_integers_is_not_taken_for_stored_weights(pair: Pair) -> None:
    with pytest.raises(ExportError, match="computes in 8-bit integers"):
        dequantise(pair[2])


def test_it_passes_the_checks_of_every_graph(pair: Pair) -> None:
    check(pair[2], forbidden=("site-packages", "/tmp", "/training/"))
    assert not pair[2].metadata_props


def test_a_picture_gets_the_same_answer_in_any_batch(pair: Pair) -> None:
    integers, image = pair[2], drawn(5)
    together = run(integers, image)
    for i in range(5):
        alone = run(integers, image[i : i + 1])
        for one, all_of_them in zip(alone, together, strict=True):
            np.testing.assert_allclose(one[0], all_of_them[i], atol=1e-5, rtol=1e-4)


def test_the_scaling_can_still_be_set(pair: Pair) -> None:
    integers, image = pair[2], drawn(3)
    before = run(integers, image)
    sharp = onnx.ModelProto()
    sharp.CopyFrom(integers)
    scale(sharp, Scaling.none(before[0].shape[1]))
    after = run(sharp, image)
    scaling = Scaling(1.7, np.linspace(-0.4, 0.5, before[0].shape[1]))
    np.testing.assert_allclose(after[0], scaling.undo(before[0]), atol=1e-4)
    np.testing.assert_array_equal(after[1], before[1])


def test_exactly_the_modules_it_was_told_to_keep_are_in_float(pair: Pair) -> None:
    name, model, integers = pair
    kept = tuple(f"network.{module}." for module in shipped(name))
    layers = {n.name: n for n in integers.graph.node if n.op_type in ("Conv", "Gemm")}
    dequantised = {
        o for n in integers.graph.node if n.op_type == "DequantizeLinear" for o in n.output
    }
    originals = [n for n in model.graph.node if n.op_type in ("Conv", "Gemm")]
    in_float = [n for n in originals if n.input[1].startswith(kept)]
    assert len(in_float) > 1
    assert len(originals) > len(in_float)
    for node in originals:
        assert (layers[node.name].input[1] in dequantised) == (node not in in_float)


def test_heatmap_and_novelty_are_computed_in_float(pair: Pair) -> None:
    _, model, integers = pair
    rounded = {n.input[0] for n in integers.graph.node if n.op_type == "QuantizeLinear"}
    makers = {output: n for n in model.graph.node for output in n.output}
    kinds = {makers[name].op_type for name in rounded}
    assert kinds <= {"Conv", "Gemm", "Clip", "Relu", "Add", "MaxPool", "Reshape"}


def integers_of(model: onnx.ModelProto, weight: str) -> np.ndarray:
    (tensor,) = (t for t in model.graph.initializer if t.name == f"{weight}_quantized")
    return numpy_helper.to_array(tensor)


def test_seven_bits_are_for_dense_layers_only(pair: Pair) -> None:
    name, _, integers = pair
    dense = {"mobilenet": "features.9.conv.0.0", "cnn": "convolutions.2.0"}[name]
    assert np.abs(integers_of(integers, f"network.{dense}.weight").astype(int)).max() == 64
    if name == "mobilenet":
        depthwise = integers_of(integers, "network.features.9.conv.1.0.weight")
        assert np.abs(depthwise.astype(int)).max() == 127


def lossy() -> onnx.ModelProto:
    """A layer whose many small weights all round to nothing beside a large one."""
    weight = np.full((1, 30, 1, 1), 0.45 / 127, np.float32)
    weight[0, 0] = 1.0
    nodes = [
        helper.make_node("Cast", ["image"], ["levels"], "cast", to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["levels"], ["planes"], "planes", perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "network.a.weight", "network.a.bias"], ["a"], "a"),
        helper.make_node("Relu", ["a"], ["b"], "b"),
        helper.make_node("Conv", ["b", "network.c.weight", "network.c.bias"], ["out"], "c"),
    ]
    spread = np.full((30, 3, 1, 1), 0.01, np.float32)
    constants = {
        "network.a.weight": spread,
        "network.a.bias": np.zeros(30, np.float32),
        "network.c.weight": weight,
        "network.c.bias": np.zeros(1, np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "lossy",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", 64, 64, 3])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["N", 1, 64, 64])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def test_what_rounding_takes_from_a_channel_on_average_is_given_back_by_its_bias() -> None:
    model = lossy()
    wanted, found = (
        np.mean([run(each, image, ["out"])[0].mean() for image in BATCHES])
        for each in (model, quantise(model, BATCHES, settings(["a"])))
    )
    lost = 29 * 0.45 / 127
    assert lost / (1 + lost) > 0.05
    assert found == pytest.approx(wanted, rel=0.01)


def test_a_network_kept_in_float_as_a_whole_is_an_error() -> None:
    with pytest.raises(ExportError, match="nothing is left to quantise"):
        quantise(lossy(), BATCHES, settings(["a", "c"]))
