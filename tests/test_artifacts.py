"""The committed artifacts are whole, are what the design says, and answer."""

import json
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from serving.classifier import Classifier
from serving.pictures import prepare
from serving.prediction import predict
from tests.drawings import draw_flat, draw_lesion, encode

ARTIFACTS = Path(__file__).parents[1] / "artifacts"
CLASSES = {
    "mobilenet": ["akiec", "bcc", "bkl", "df", "mel", "nv", "vasc"],
    "cnn": ["benign", "malignant"],
}
MALIGNANT = {"mobilenet": ["akiec", "bcc", "mel"], "cnn": ["malignant"]}


@pytest.fixture(scope="module", params=list(CLASSES))
def model(request: pytest.FixtureRequest) -> Classifier:
    return Classifier(ARTIFACTS / request.param)


def test_it_answers_the_designs_classes(model: Classifier) -> None:
    manifest = model.manifest
    assert manifest.class_ids == CLASSES[manifest.name]
    assert manifest.malignant_ids == MALIGNANT[manifest.name]
    assert all(c.description and c.source for c in manifest.classes)


def test_it_is_small_enough_to_deploy(model: Classifier) -> None:
    assert (model.folder / "model.onnx").stat().st_size < 10_000_000


def test_its_report_is_told_that_its_test_part_was_looked_at(model: Classifier) -> None:
    config = OmegaConf.load(ARTIFACTS.parent / "conf" / "evaluate.yaml")
    assert "no longer fresh" in config.remarks[model.manifest.training.split_digest]


def test_it_was_compared_with_the_network_it_was_made_from(model: Classifier) -> None:
    parity = model.manifest.parity
    assert parity.pictures >= 100
    assert parity.batch_sizes == [1, 5]
    assert parity.probability <= 1e-4
    assert parity.heatmap <= 1e-3


def test_it_answers_a_drawn_lesion_with_a_heatmap_for_each_class(model: Classifier) -> None:
    picture = prepare(encode(draw_lesion(1)), model.manifest.preprocessing)
    (answer,) = predict(model, ["drawn.jpg"], [picture], heatmaps=True)
    assert sum(answer.probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert isinstance(answer.heatmaps, dict)
    assert list(answer.heatmaps) == model.manifest.class_ids


def test_it_refuses_a_picture_of_nothing(model: Classifier) -> None:
    blue = prepare(encode(draw_flat(colour=(40, 90, 220))), model.manifest.preprocessing)
    assert predict(model, ["blue.jpg"], [blue])[0].refused


def test_its_headline_figures_are_its_reports(model: Classifier) -> None:
    report = json.loads((model.folder / "report" / "metrics.json").read_text())
    metrics = {metric.name: metric for metric in model.manifest.metrics}
    for name in ("balanced_accuracy", "accuracy"):
        assert metrics[name].value == report[name]["value"]
        assert metrics[name].low < metrics[name].value < metrics[name].high
    card = (model.folder / "report" / "README.md").read_text()
    assert f"{metrics['balanced_accuracy'].value:.3f}" in card
    assert model.manifest.digest in card


def test_both_learned_from_the_same_split() -> None:
    digests = {Classifier(ARTIFACTS / name).manifest.training.split_digest for name in CLASSES}
    assert len(digests) == 1
