"""The gate lets pass what answers alike, and says by which figure anything else fails."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from serving import manifest as contract
from serving.classifier import Classifier, Outputs
from serving.manifest import GateFigure, GateName, Manifest
from serving.pictures import Pixels
from tests.artifact_factory import SEVEN, make_artifact
from tests.drawings import HARMLESS_REDNESS, SUSPICIOUS_REDNESS, draw_flat, draw_lesion
from training.bootstrap import Figure
from training.gate import GateLimits, _correlation, _judged, _views, compare

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


class Told(Classifier):
    """A graph that answers as it is told."""

    def __init__(self, manifest: Manifest, answer: Callable[[Pixels], Outputs]) -> None:
        self.manifest = manifest
        self._answer = answer

    def run(self, pixels: Pixels) -> Outputs:
        return self._answer(pixels)


def told(exact: Classifier, probability: list[float], heatmap: np.ndarray) -> Classifier:
    """A graph that answers the same to every picture, with one map `[h, w]` for each class."""

    def answer(pixels: Pixels) -> Outputs:
        count = len(pixels)
        return Outputs(
            np.tile(np.array(probability, np.float32), (count, 1)),
            np.tile(heatmap.astype(np.float32), (count, 1, 1, 1)),
            np.zeros(count, np.float32),
        )

    return Told(exact.manifest, answer)


def test_agreement_is_with_the_float_graph_and_not_with_the_truth(exact: Classifier) -> None:
    wrong = (exact.run(PICTURES).probability.argmax(axis=1) + 1) % 7
    figures = compare(exact, exact, PICTURES, wrong, GROUPS, LIMITS, seed=0)
    assert {f.name: f.value for f in figures}["agreement"] == 1


def test_both_graphs_decide_with_the_offsets(tmp_path: Path) -> None:
    offsets = {c.id: 1000.0 if c.id == "df" else 1.0 for c in SEVEN}
    make_artifact(tmp_path, decision_offsets=offsets)
    offset = Classifier(tmp_path)
    rare = [c.id for c in SEVEN].index("df")
    assert not (offset.run(PICTURES).probability.argmax(axis=1) == rare).any()
    truth = np.full(12, rare)
    figures = compare(offset, offset, PICTURES, truth, GROUPS, LIMITS, seed=0)
    assert {f.name: f.value for f in figures}["agreement"] == 1


def test_the_largest_difference_counts_in_whatever_direction(exact: Classifier) -> None:
    maps = np.arange(28).reshape(7, 2, 2)
    before = told(exact, [0.0, 0.1, 0.1, 0.0, 0.5, 0.2, 0.1], maps)
    after = told(exact, [0.0, 0.13, 0.13, 0.0, 0.44, 0.2, 0.1], maps)
    assert gate(before, after)["probability"].value == pytest.approx(0.06)


def test_the_heatmap_of_the_float_graphs_likeliest_class_counts(exact: Classifier) -> None:
    maps = np.tile([[0.0, 1.0], [0.5, 0.2]], (7, 1, 1))
    other = 1 - maps
    other[4] = maps[4]
    before = told(exact, [0.0, 0.1, 0.1, 0.0, 0.5, 0.2, 0.1], maps)
    after = told(exact, [0.0, 0.1, 0.1, 0.0, 0.2, 0.5, 0.1], other)
    assert gate(before, after)["heatmap"].value == pytest.approx(1)


def test_a_picture_with_a_heatmap_in_one_view_counts(exact: Classifier) -> None:
    bright = np.zeros((1, 8, 8, 3), np.uint8)
    bright[:, 0, 0] = 255

    def answer(pixels: Pixels) -> Outputs:
        corner = pixels[:, 0, 0, 0] / np.float32(255)
        maps = np.zeros((len(pixels), 7, 2, 2), np.float32)
        maps[:, :, 0, 0] = corner[:, None]
        return Outputs(np.eye(7, dtype=np.float32)[:1], maps, np.zeros(1, np.float32))

    model = Told(exact.manifest, answer)
    figures = compare(model, model, bright, np.zeros(1, np.int64), ["a"], LIMITS, seed=0)
    assert {f.name: f.n for f in figures}["heatmap"] == 1


def test_the_views_are_the_picture_and_all_others_that_a_square_has() -> None:
    picture = np.arange(48, dtype=np.uint8).reshape(1, 4, 4, 3)
    seen = list(_views(picture, 8))
    assert len({each.tobytes() for each in seen}) == 8
    assert seen[0].tobytes() == picture.tobytes()
    assert len(list(_views(picture, 3))) == 3


def test_a_flat_map_correlates_with_none_and_two_of_them_are_not_known_to() -> None:
    flat, slope = np.zeros((2, 2), np.float32), np.array([[0, 1], [2, 3]], np.float32)
    first, second = np.stack([slope, slope, flat, flat]), np.stack([slope, -slope, slope, flat])
    np.testing.assert_allclose(_correlation(first, second), [1, -1, 0, np.nan], atol=1e-6)


@pytest.mark.parametrize(
    ("name", "value", "low", "high", "passed"),
    [
        ("balanced_accuracy", 0.0, -0.01, 0.01, True),
        ("balanced_accuracy", 0.0, -0.011, 0.01, False),
        ("probability", 0.01, 0.005, 0.02, True),
        ("probability", 0.011, 0.009, 0.02, False),
        ("heatmap", 0.99, 0.98, 1.0, True),
        ("heatmap", 0.989, 0.98, 1.0, False),
        ("agreement", 0.5, 0.4, 0.6, True),
    ],
)
def test_a_figure_at_its_limit_passes_and_one_beyond_it_fails(
    name: GateName, value: float, low: float, high: float, passed: bool
) -> None:
    judged = _judged(name, Figure(value=value, low=low, high=high, n=9), LIMITS)
    assert (judged.value, judged.low, judged.high, judged.n) == (value, low, high, 9)
    assert judged.passed is passed
