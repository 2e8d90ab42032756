"""A run starts from an artifact: the shipped one's graph becomes a network that can be trained."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
import torch
from omegaconf import OmegaConf
from onnx import TensorProto, helper, numpy_helper

from serving import manifest as contract
from serving.classifier import Classifier
from serving.manifest import Manifest
from serving.pictures import prepare
from tests.drawings import draw_lesion, encode
from tests.training.drawn_sets import compose, draw_folders, draw_ham10000
from training import record
from training.card import origin
from training.data.sets import PictureSet
from training.export import export
from training.finished import START_FILE, checkpoint_files, load_network, read_config
from training.networks.cnn import CNN
from training.networks.mobilenet import MobileNetV2
from training.start import _layers, fill, read_artifact, start_from_artifact
from training.train import train
from training.weights import WeightsError

SHIPPED = Path(__file__).parents[2] / "artifacts" / "mobilenet"


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    return contract.load(SHIPPED)


def pixels(manifest: Manifest, count: int = 12) -> np.ndarray:
    drawn = (encode(draw_lesion(seed, 300, 225)) for seed in range(count))
    return np.stack([prepare(each, manifest.preprocessing).pixels for each in drawn])


def answers(network: torch.nn.Module, manifest: Manifest, shown: np.ndarray) -> np.ndarray:
    """Calibrated probabilities `[N, C]` as the artifact's graph would give them."""
    with torch.no_grad():
        logits = network(torch.from_numpy(shown).permute(0, 3, 1, 2).float() / 255)
    biases = torch.tensor([manifest.logit_biases.get(id, 0.0) for id in manifest.class_ids])
    return (logits / manifest.temperature + biases).softmax(dim=1).numpy()


def test_the_network_answers_as_the_graph_does_and_can_be_trained(manifest: Manifest) -> None:
    shown, network = pixels(manifest), MobileNetV2(7, dropout=0.0)
    batches = [torch.from_numpy(shown)]
    told = start_from_artifact(network, SHIPPED, manifest, manifest.class_ids, batches, 0.1)
    assert told == f"mobilenet, graph of SHA-256 {manifest.digest[:16]}"
    assert network.training
    wanted = Classifier(SHIPPED).run(shown).probability
    # In training, norms see these very pictures: what they met is what they were given.
    for found in (
        answers(network.eval(), manifest, shown),
        answers(network.train(), manifest, shown),
    ):
        np.testing.assert_allclose(found, wanted, atol=0.002)


def test_other_classes_get_a_new_head(manifest: Manifest) -> None:
    shown, network = pixels(manifest, 2), MobileNetV2(3)
    name = "classifier.1.weight"
    new = network.state_dict()[name].clone()
    start_from_artifact(network, SHIPPED, manifest, ["a", "b", "c"], [torch.from_numpy(shown)])
    found, shipped = network.state_dict(), MobileNetV2(7)
    fill(shipped, onnx.load(SHIPPED / contract.MODEL_FILE).graph)
    torch.testing.assert_close(found[name], new)
    first = "features.0.0.weight"
    torch.testing.assert_close(found[first], shipped.state_dict()[first])


def test_only_a_network_of_its_kind_starts_from_it(manifest: Manifest) -> None:
    with pytest.raises(WeightsError, match=r"only a MobileNetV2 .* is a CNN"):
        start_from_artifact(CNN(7, 64), SHIPPED, manifest, manifest.class_ids, [])


def described(name: str) -> PictureSet:
    """The set of `conf/data/NAME.yaml`."""
    data = compose("train", Path("run"), f"data={name}", "data.root=pictures").data
    known = {
        key: data[key] for key in ("name", "root", "licence", "source", "holds") if key in data
    }
    return msgspec.convert(OmegaConf.to_container(OmegaConf.create(known)), PictureSet)


@pytest.mark.parametrize("name", ["ham10000", "isic2018", "isic2019", "isic"])
def test_what_it_may_have_learned_from_is_not_held_out(name: str, manifest: Manifest) -> None:
    with pytest.raises(WeightsError, match="learned from HAM10000"):
        read_artifact(SHIPPED, described(name), "0" * 64)
    assert read_artifact(SHIPPED, described(name), manifest.training.split_digest) == manifest


@pytest.mark.parametrize("name", ["folder", "isic2020", "isic2024"])
def test_other_pictures_may_start_from_it(name: str) -> None:
    assert read_artifact(SHIPPED, described(name), "0" * 64).name == "mobilenet"


def test_nor_is_what_its_own_sets_had_among_theirs(manifest: Manifest, tmp_path: Path) -> None:
    config = {**manifest.training.config, "holds": ["ISIC 2024"]}
    training = msgspec.structs.replace(manifest.training, config=config)
    shutil.copytree(SHIPPED, tmp_path / "start")
    contract.save(msgspec.structs.replace(manifest, training=training), tmp_path / "start")
    with pytest.raises(WeightsError, match="learned from ISIC 2024"):
        read_artifact(tmp_path / "start", described("isic2024"), "0" * 64)


def test_an_artifact_that_is_not_there_is_no_start() -> None:
    with pytest.raises(WeightsError, match=r"model\.weights\.artifact"):
        read_artifact(Path("nowhere"), described("folder"), "0" * 64)


def test_a_run_goes_on_from_an_artifact_and_says_what_that_learned_from(tmp_path: Path) -> None:
    data, run = draw_ham10000(tmp_path / "ham10000"), tmp_path / "run"
    # A copy, which is then written anew, as an export of the run itself would.
    start = tmp_path / "start"
    shutil.copytree(SHIPPED, start)
    own = [f"data.root={data}", "data.name=drawn", "+data.holds=[others]"]
    overrides = [*own, f"model.weights.artifact={start}"]
    train(compose("train", run, *overrides))
    shutil.rmtree(start)
    # Gone on with, it needs the artifact no more.
    more = [f"ckpt_path={run / 'checkpoints' / 'last.ckpt'}", "model.epochs=3"]
    train(compose("train", run, *overrides, *more))
    written = record.read(run)
    assert written.weights.startswith("mobilenet, graph of SHA-256 ")
    assert [each.name for each in written.learned_before] == ["HAM10000", "ISIC 2017"]

    trained, last = read_config(run), checkpoint_files(run, "last")
    before = load_network(trained, [run / START_FILE], 7).state_dict()
    after = load_network(trained, last, 7).state_dict()
    mixed = load_network(trained, last, 7, 0.25).state_dict()
    name = "classifier.1.weight"
    assert not torch.allclose(before[name], after[name])
    torch.testing.assert_close(mixed[name], 0.25 * before[name] + 0.75 * after[name])

    places = [f"run={run}", f"artifacts={tmp_path / 'artifacts'}", *overrides]
    chosen = ["checkpoint=last", "start_share=0.25", "quantise.enabled=false"]
    made = Classifier(export(compose("export", run, *places, *chosen))).manifest
    assert made.training.config["holds"] == written.holds == ["others"]
    assert [each.name for each in made.training.datasets] == ["drawn", "HAM10000", "ISIC 2017"]
    assert f"| {written.weights}; 25% of these weights is mixed in again |" in origin.section(made)
    assert str(tmp_path) not in msgspec.json.encode(made).decode()


def test_ones_own_classes_start_from_it(tmp_path: Path) -> None:
    data = draw_folders(tmp_path / "own", ["mole", "wart"])
    own = ["data=folder", f"data.root={data}", "data.malignant=[wart]", "model.name=own"]
    train(compose("train", tmp_path / "run", *own, f"model.weights.artifact={SHIPPED}"))
    assert record.read(tmp_path / "run").learned_before[0].licence == "CC BY-NC 4.0"


def test_weights_of_integers_are_what_they_stand_for() -> None:
    constants = {
        "weight": np.array([[3], [-5]], np.int8),
        "scale": np.array([0.5, 2], np.float32),
        "zero": np.zeros(2, np.int8),
        "bias": np.array([1, 2], np.float32),
    }
    graph = helper.make_graph(
        [
            helper.make_node("DequantizeLinear", ["weight", "scale", "zero"], ["float"], axis=0),
            helper.make_node("Gemm", ["x", "float", "bias"], ["y"], transB=1),
        ],
        "layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2])],
        [numpy_helper.from_array(np.asarray(each), name) for name, each in constants.items()],
    )
    onnx.checker.check_graph(graph)
    ((weight, found_bias),) = _layers(graph, "Gemm")
    assert weight.tolist() == [[1.5], [-10.0]]
    assert found_bias.tolist() == [1, 2]
