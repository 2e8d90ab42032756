"""The gate lets pass what answers alike, and says by which figure anything else fails."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from serving import manifest as contract
from serving.classifier import Classifier
from serving.manifest import GateFigure
from tests.artifact_factory import SEVEN, make_artifact
from tests.drawings import HARMLESS_REDNESS, SUSPICIOUS_REDNESS, draw_flat, draw_lesion
from training.gate import GateLimits, compare

LIMITS = GateLimits(balanced_accuracy=-0.01, probability=0.01, heatmap=0.99, views=8, resamples=200)
PICTURES = np.stack(
    [
        np.asarray(draw_lesion(i, 64, 64, SUSPICIOUS_REDNESS if i % 2 else HARMLESS_REDNESS))
        for i in range(12)
    ]
)
MEL = [c.id for c in SEVEN].index("mel")
GROUPS = [f"lesion {i // 2}" for i in range(12)]


@pytest.fixture
def exact(tmp_path: Path) -> Classifier:
    make_artifact(tmp_path / "exact")
    return Classifier(tmp_path / "exact")


Change = Callable[[np.ndarray], np.ndarray]


def altered(folder: Path, **changes: Change) -> Classifier:
    """The same artifact, but some constants of its graph, by name, changed."""
    manifest = make_artifact(folder)
    model = onnx.load(folder / contract.MODEL_FILE)
    for constant in model.graph.initializer:
        if constant.name in changes:
            value = changes[constant.name](numpy_helper.to_array(constant)).astype(np.float32)
            constant.CopyFrom(numpy_helper.from_array(value, constant.name))
    onnx.save(model, folder / contract.MODEL_FILE)
    contract.save(manifest, folder)
    return Classifier(folder)


def gate(exact: Classifier, integers: Classifier, views: int = 8) -> dict[str, GateFigure]:
    """The figures by name, where `exact` is right about every picture."""
    limits = msgspec.structs.replace(LIMITS, views=views)
    truth = exact.run(PICTURES).probability.argmax(axis=1)
    figures = compare(exact, integers, PICTURES, truth, GROUPS, limits, seed=0)
    return {figure.name: figure for figure in figures}


def test_a_graph_beside_itself_passes(exact: Classifier) -> None:
    figures = gate(exact, exact)
    assert all(figure.passed for figure in figures.values())
    assert (figures["balanced_accuracy"].low, figures["balanced_accuracy"].high) == (0, 0)
    assert figures["probability"].value == 0
    assert figures["heatmap"].value == pytest.approx(1, abs=1e-6)
    assert figures["agreement"].value == 1
    assert figures["agreement"].limit is None


def test_figures_count_pictures_however_often_each_is_looked_at(exact: Classifier) -> None:
    for views in (1, 8):
        assert {f.n for f in gate(exact, exact, views=views).values()} == {len(PICTURES)}


def test_another_decision_fails_by_balanced_accuracy(exact: Classifier, tmp_path: Path) -> None:
    malignant = np.array([c.malignant for c in SEVEN])
    figures = gate(exact, altered(tmp_path / "blind", bias=lambda bias: bias - 100 * malignant))
    assert not figures["balanced_accuracy"].passed
    assert figures["balanced_accuracy"].high < 0
    assert figures["agreement"].value == pytest.approx(0.5)
    assert figures["heatmap"].passed


def test_a_fall_that_may_be_chance_fails_too(exact: Classifier, tmp_path: Path) -> None:
    """The interval's lower end counts, and not the value."""
    logs = np.log(exact.run(PICTURES).probability)
    mel = logs[:, MEL] - np.delete(logs, MEL, axis=1).max(axis=1)
    just_enough = mel[mel > 0].min() + 1e-3
    worse = altered(tmp_path / "worse", bias=lambda b: b - just_enough * (np.arange(len(b)) == MEL))
    gap = gate(exact, worse)["balanced_accuracy"]
    assert gap.low < LIMITS.balanced_accuracy
    assert gap.high == 0
    assert not gap.passed


def test_softer_probabilities_fail_though_no_decision_changes(
    exact: Classifier, tmp_path: Path
) -> None:
    soft = altered(tmp_path / "soft", head=lambda w: w / 3, bias=lambda b: b / 3)
    figures = gate(exact, soft)
    assert [name for name, figure in figures.items() if not figure.passed] == ["probability"]
    assert figures["agreement"].value == 1


def test_other_heatmaps_fail_by_their_correlation(exact: Classifier, tmp_path: Path) -> None:
    def to_darkness(weight: np.ndarray) -> np.ndarray:
        return weight * np.array([-1, 9]).reshape(2, 1, 1)

    figures = gate(exact, altered(tmp_path / "elsewhere", cam_weight=to_darkness))
    assert [name for name, figure in figures.items() if not figure.passed] == ["heatmap"]


def test_pictures_with_an_even_heatmap_in_both_do_not_count(exact: Classifier) -> None:
    """Of most pictures of some classes the map is empty; they would hide all others."""
    flat = np.stack([np.asarray(draw_flat(64, 64))] * 3)
    pictures, groups = np.concatenate([PICTURES, flat]), [*GROUPS, "a", "b", "c"]
    truth = exact.run(pictures).probability.argmax(axis=1)
    figures = compare(exact, exact, pictures, truth, groups, LIMITS, seed=0)
    counts = {figure.name: figure.n for figure in figures}
    assert (counts["heatmap"], counts["agreement"]) == (12, 15)
