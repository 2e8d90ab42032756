"""What is fitted reaches what it was fitted for, on data whose truth is known."""

import msgspec
import numpy as np
import pytest

from serving.quality import Measures
from training import calibration
from training.calibration import Targets

TARGETS = Targets(
    accuracy_share=0.3,
    sensitivity=0.95,
    coverage=0.9,
    accepted=0.95,
    warned=0.01,
    least_pictures=30,
)


def model(
    count: int, sharpness: float = 1.0, seed: int = 0, classes: int = 3
) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of a model that is `sharpness` times as sure as it should be, and the truth."""
    random = np.random.default_rng(seed)
    logits = random.normal(size=(count, classes)) * 2
    honest = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = np.array([random.choice(classes, p=p) for p in honest])
    stated = np.exp(logits * sharpness)
    return (stated / stated.sum(axis=1, keepdims=True)).astype(np.float32), labels


def one_in_twenty(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """True probabilities of a rare class beside a common one, and the truth."""
    random = np.random.default_rng(seed)
    labels = (random.random(count) < 0.05).astype(int)
    evidence = random.normal(labels * 1.5, 1.0)
    odds = 0.05 / 0.95 * np.exp(1.5 * evidence - 1.5**2 / 2)
    rare = odds / (1 + odds)
    return np.stack([1 - rare, rare], axis=1).astype(np.float32), labels


def test_offsets_favour_the_rare_class_and_raise_balanced_accuracy() -> None:
    probability, labels = one_in_twenty(4000)
    offsets = calibration.decision_offsets(labels, 2, accuracy_share=0.2)
    assert offsets[1] > 3 * offsets[0]

    def balanced(decided: np.ndarray) -> float:
        return float(np.mean([(decided[labels == c] == c).mean() for c in (0, 1)]))

    plain = balanced(probability.argmax(axis=1))
    assert balanced((probability * offsets).argmax(axis=1)) > plain + 0.15


def test_no_other_decision_gains_more_of_accuracy_and_balanced_accuracy_together() -> None:
    probability, labels = one_in_twenty(20_000)

    def gained(offset: float, share: float) -> float:
        right = (probability * [1, offset]).argmax(axis=1) == labels
        balanced = np.mean([right[labels == c].mean() for c in (0, 1)])
        return float((1 - share) * balanced + share * right.mean())

    for share in (0.0, 0.3, 0.7, 1.0):
        offsets = calibration.decision_offsets(labels, 2, share)
        best = max(gained(other, share) for other in np.geomspace(0.5, 50, 60))
        assert gained(offsets[1] / offsets[0], share) == pytest.approx(best, abs=0.01)


def test_the_commonest_class_is_taken_as_it_is_and_an_absent_one_for_half_a_picture() -> None:
    offsets = calibration.decision_offsets(np.zeros(100, np.int64), 2, 0.3)
    gains = 0.7 / (2 * 1) + 0.3, 0.7 / (2 * 0.005) + 0.3
    assert offsets.tolist() == pytest.approx([1, gains[1] / gains[0]])


def test_equally_common_classes_need_no_offsets() -> None:
    labels = np.arange(3000) % 3
    assert calibration.decision_offsets(labels, 3, 0.3) == pytest.approx(1)


def test_a_class_without_calibration_pictures_has_an_offset() -> None:
    offsets = calibration.decision_offsets(np.zeros(100, np.int64), 2, 0.3)
    assert np.isfinite(offsets).all()
    assert offsets[1] > offsets[0]


def test_the_operating_point_is_the_highest_that_catches_enough() -> None:
    random = np.random.default_rng(0)
    malignant = np.arange(1000) < 200
    score = random.beta(np.where(malignant, 4, 1), 3)
    lesions = [str(i // 2) for i in range(1000)]
    point = calibration.fit_operating_point(score, malignant, lesions, 0.95)
    assert np.mean(score[malignant] >= point.threshold) == point.sensitivity >= 0.95
    assert np.mean(score[malignant] > point.threshold) < 0.95
    assert point.specificity == np.mean(score[~malignant] < point.threshold)
    assert point.interval[0] < 0.95 < point.interval[1]
    assert point.n == 200


@pytest.mark.parametrize(("sensitivity", "missed"), [(0.9, 1), (0.57, 4), (1.0, 0)])
def test_as_many_may_be_missed_as_the_sensitivity_lets(sensitivity: float, missed: int) -> None:
    score = np.repeat(np.arange(1, 11) / 10, 2)
    malignant = np.arange(20) % 2 == 0
    lesions = [str(i) for i in range(20)]
    point = calibration.fit_operating_point(score, malignant, lesions, sensitivity)
    assert point.threshold == score[malignant][missed]
    assert (point.sensitivity, point.specificity) == (1 - missed / 10, missed / 10)
    assert point.name == f"sensitivity_{round(100 * sensitivity)}"


def test_a_second_picture_of_each_lesion_leaves_the_interval_as_wide() -> None:
    random = np.random.default_rng(0)
    malignant, score = np.arange(300) < 100, random.random(300)
    lesions = [f"{i:03}" for i in range(300)]
    once = calibration.fit_operating_point(score, malignant, lesions, 0.8)
    twice = calibration.fit_operating_point(
        np.repeat(score, 2), np.repeat(malignant, 2), np.repeat(lesions, 2).tolist(), 0.8
    )
    assert twice.interval == pytest.approx(once.interval)


@pytest.mark.parametrize(
    ("coverage", "quantile"), [(0.9, 0.99), (0.55, 0.955), (0.99, 0.999), (0.991, 1)]
)
def test_a_quantile_leaves_room_for_one_picture_more(coverage: float, quantile: float) -> None:
    true = np.arange(1, 100) / 1000
    probability = np.stack([true, np.full(99, 0.5), 0.5 - true], axis=1).astype(np.float32)
    targets = msgspec.structs.replace(TARGETS, coverage=coverage)
    labels = np.zeros(99, np.int64)
    found = calibration.fit_conformal(probability, labels, ["a", "b", "c"], targets)
    assert found.quantiles["a"] == pytest.approx(quantile)
    # Of the others there is none, so they take hers.
    assert found.quantiles["b"] == found.quantiles["c"] == found.quantiles["a"]
    assert found.counts == {"a": 99, "b": 0, "c": 0}
    assert found.alpha == pytest.approx(1 - coverage)


def test_a_class_that_is_always_the_likeliest_needs_no_more_than_that() -> None:
    probability = np.tile(np.array([0.6, 0.4], np.float32), (30, 1))
    labels = np.zeros(30, np.int64)
    found = calibration.fit_conformal(probability, labels, ["a", "b"], TARGETS)
    assert found.quantiles == {"a": 0, "b": 0}


def test_conformal_sets_cover_each_class_on_new_pictures() -> None:
    probability, labels = model(3000, sharpness=2.0, seed=1)
    fresh, truth = model(3000, sharpness=2.0, seed=2)
    found = calibration.fit_conformal(probability, labels, ["a", "b", "c"], TARGETS)
    quantiles = np.array([found.quantiles[id] for id in "abc"])
    # As they are served: the likeliest is always in.
    sets = (1 - fresh <= quantiles) | (fresh == fresh.max(axis=1, keepdims=True))
    for c in range(3):
        assert sets[truth == c, c].mean() == pytest.approx(0.9, abs=0.03)


def test_rare_classes_share_one_quantile() -> None:
    probability, labels = model(600)
    labels = np.where(np.arange(600) < 10, 1, np.where(np.arange(600) < 25, 2, 0))
    found = calibration.fit_conformal(probability, labels, ["a", "b", "c"], TARGETS)
    assert found.quantiles["b"] == found.quantiles["c"] != found.quantiles["a"]
    assert found.counts == {"a": 575, "b": 10, "c": 15}
    few = labels > 0
    score = 1 - probability[few, labels[few]]
    score[probability[few].argmax(axis=1) == labels[few]] = 0
    assert found.quantiles["b"] == np.sort(score)[23]


def test_a_rare_class_alone_among_common_ones_is_not_in_every_set() -> None:
    probability, labels = model(301)
    labels = np.where(np.arange(301) < 1, 2, np.where(np.arange(301) < 100, 1, 0))
    found = calibration.fit_conformal(probability, labels, ["a", "b", "c"], TARGETS)
    score = 1 - probability[np.arange(301), labels]
    score[probability.argmax(axis=1) == labels] = 0
    # Of one picture there is no quantile: it takes that of the smaller of the others with it.
    assert found.quantiles["c"] == np.sort(score[labels > 0])[90]
    # Which keeps its own.
    assert found.quantiles["b"] == np.sort(score[labels == 1])[89]
    assert found.counts == {"a": 201, "b": 99, "c": 1}


def test_too_few_pictures_for_the_coverage_give_the_whole_set() -> None:
    probability, labels = model(8)
    found = calibration.fit_conformal(probability, labels, ["a", "b", "c"], TARGETS)
    assert set(found.quantiles.values()) == {1.0}


def test_the_novelty_threshold_accepts_what_it_should() -> None:
    novelty = np.random.default_rng(0).gamma(4, size=2000).astype(np.float32)
    threshold = calibration.fit_novelty_threshold(novelty, 0.95)
    assert np.mean(novelty <= threshold) == pytest.approx(0.95, abs=0.001)
    few = np.arange(11, dtype=np.float32)
    assert calibration.fit_novelty_threshold(few, 0.95) == 10


def test_quality_warns_of_what_is_rare() -> None:
    measures = [
        Measures(side=100 + i, sharpness=0.1 + i, luminance=0.2 + i, lesion_share=0.01 + i)
        for i in range(1000)
    ]
    found = calibration.fit_quality(measures, 0.01)
    assert found.min_side == 109
    assert (found.min_luminance, found.min_lesion_share) == (9.2, 9.01)
    assert sum(each.sharpness < found.min_sharpness for each in measures) in (9, 10)
