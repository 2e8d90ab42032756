"""The measures, against scikit-learn and against cases that can be worked out by hand."""

import numpy as np
import pytest
from sklearn import metrics as reference

from tests.training.answered import calibrated_predictions
from training.bootstrap import Bootstrap, Figure, Measure, Unseen
from training.measures import (
    area_under_curve,
    balanced_accuracy,
    before_likeliest,
    bin_of,
    brier_score,
    calibration_error,
    calibration_error_by_chance,
    log_loss,
    mean,
    median,
    sharing_a_truth,
    unseen_of_area,
    unseen_of_classes,
)
from training.predictions import Predictions
from training.scaling import Scaling


@pytest.fixture(scope="module")
def predictions() -> Predictions:
    return calibrated_predictions(1200)


def value(measure: Measure, count: int) -> float:
    return float(measure(np.ones((1, count)))[0])


def alone(count: int) -> list[str]:
    """Lesions with one picture each, in the order of their names."""
    return [f"lesion {number:05}" for number in range(count)]


def drawn(measure: Measure, rows: np.ndarray, count: int) -> float:
    """The measure over a resample, given as the pictures' indices."""
    return float(measure(np.bincount(rows, minlength=count)[None].astype(float))[0])


@pytest.mark.parametrize("seed", [None, 0, 1])
def test_figures_and_their_resamples_agree_with_scikit_learn(
    predictions: Predictions, seed: int | None
) -> None:
    truth, p, said = predictions.truth, predictions.probability, predictions.prediction
    count = len(truth)
    random = np.random.default_rng(seed)
    rows = np.arange(count) if seed is None else random.integers(0, count, count)
    positive, score = predictions.malignant, predictions.malignant_probability
    assert score is not None
    score = score.round(2)  # so that there are ties
    assert drawn(balanced_accuracy(truth, said), rows, count) == pytest.approx(
        reference.balanced_accuracy_score(truth[rows], said[rows])
    )
    assert drawn(area_under_curve(positive, score), rows, count) == pytest.approx(
        reference.roc_auc_score(positive[rows], score[rows])
    )
    assert drawn(log_loss(p, truth), rows, count) == pytest.approx(
        reference.log_loss(truth[rows], p[rows], labels=range(p.shape[1]))
    )


def balanced(truth: np.ndarray, said: np.ndarray, groups: list[str], seed: int = 0) -> Figure:
    bootstrap = Bootstrap(groups, 500, seed)
    unseen = unseen_of_classes(bootstrap, truth, said)
    figure = bootstrap.figure(balanced_accuracy(truth, said), len(truth), unseen=unseen)
    assert figure is not None
    return figure


def test_a_class_of_which_all_are_found_is_no_certainty() -> None:
    truth = np.repeat([0, 1], 6)
    figure = balanced(truth, truth, alone(12))
    # Clopper and Pearson's error of each class is 1 - 0.025 ** (1 / 6); the mean of two has less.
    assert (figure.value, figure.high) == (1, 1)
    assert figure.low == pytest.approx(1 - 0.4593 / np.sqrt(2), abs=1e-4)
    # Several pictures of a lesion are one case.
    assert balanced(truth, truth, [f"{i // 2}" for i in range(12)]).low < figure.low
    none_found = balanced(truth, np.zeros(12, np.int64), alone(12))
    assert none_found.low == pytest.approx(0.5 - 0.4593 / 2, abs=1e-4)
    assert none_found.high == pytest.approx(0.5 + 0.4593 / 2, abs=1e-4)


def test_classes_in_which_lesions_differ_show_all_there_is(predictions: Predictions) -> None:
    truth = np.repeat([0, 1], 600)
    said = np.where(np.arange(1200) % 5 == 0, 1 - truth, truth)
    bootstrap = Bootstrap(alone(1200), 100)
    assert unseen_of_classes(bootstrap, truth, said) == Unseen()
    assert predictions.malignant_probability is not None
    few = np.flatnonzero(predictions.malignant)[:5]
    kept = ~predictions.malignant
    kept[few] = True
    for positive in (predictions.malignant, predictions.malignant & kept):
        unseen = unseen_of_area(bootstrap, positive, predictions.malignant_probability)
        assert unseen == Unseen()


def test_a_balanced_accuracy_of_few_pictures_holds_the_truth() -> None:
    random = np.random.default_rng(0)
    truth = np.repeat([0, 1, 2], 8)
    held = 0
    for trial in range(200):
        said = np.where(random.random(24) < 0.95, truth, (truth + 1) % 3)
        figure = balanced(truth, said, alone(24), trial)
        held += figure.low <= 0.95 <= figure.high
    assert held / 200 >= 0.93


@pytest.mark.parametrize(
    ("positives", "negatives", "wrong", "low"),
    # Clopper and Pearson's, for four and for one; of 53 harmless two lie above the one positive.
    [(4, 4, 0, 0.3976), (1, 53, 2, 0.0), (30, 30, 0, 0.8843)],
)
def test_an_auc_of_few_lesions_or_without_an_error_is_no_certainty(
    positives: int, negatives: int, wrong: int, low: float
) -> None:
    positive = np.arange(positives + negatives) < positives
    score = np.where(positive, 0.5, np.linspace(0.0, 0.4, len(positive)))
    score[len(positive) - wrong :] = 0.9
    bootstrap = Bootstrap(alone(len(positive)), 500)
    unseen = unseen_of_area(bootstrap, positive, score)
    figure = bootstrap.figure(area_under_curve(positive, score), len(score), unseen=unseen)
    assert figure is not None
    assert figure.value == pytest.approx(1 - wrong / negatives)
    assert figure.low == pytest.approx(low, abs=1e-4)
    assert figure.high == 1
    constant = unseen_of_area(bootstrap, positive, np.ones(len(score)))
    assert constant.below > 0.1
    assert unseen_of_area(bootstrap, np.ones(len(score), bool), score) == Unseen()


def test_brier_score_by_hand() -> None:
    probability = np.array([[1.0, 0.0], [0.5, 0.5], [1.0, 0.0]])
    truth = np.array([0, 0, 1])
    assert value(brier_score(probability, truth), 3) == pytest.approx((0 + 0.5 + 2) / 3)


def test_calibration_error_by_hand() -> None:
    # One bin at 0.95 that is right in half of its 4, one at 0.5 that is always right in its 2.
    confidence = np.array([0.95, 0.95, 0.95, 0.95, 0.5, 0.5])
    hit = np.array([True, True, False, False, True, True])
    expected = (4 * 0.45 + 2 * 0.5) / 6
    measure = calibration_error(confidence, hit)
    assert value(measure, 6) == pytest.approx(expected)
    assert drawn(measure, np.array([0, 4, 5]), 6) == pytest.approx((0.05 + 2 * 0.5) / 3)


def test_there_are_fifteen_bins_of_equal_width() -> None:
    edges = np.arange(16) / 15
    assert bin_of(edges[:-1] + 1e-6).tolist() == list(range(15))
    assert bin_of(edges[1:] - 1e-6).tolist() == list(range(15))


def test_a_class_that_is_never_predicted_counts_and_one_that_is_not_drawn_does_not() -> None:
    truth, said = np.array([0, 0, 1]), np.array([0, 0, 0])
    assert value(balanced_accuracy(truth, said), 3) == 0.5
    assert drawn(balanced_accuracy(truth, said), np.array([0, 1, 1]), 3) == 1


def test_a_certain_probability_is_in_the_last_bin() -> None:
    assert value(calibration_error(np.array([1.0, 1.0]), np.array([True, False])), 2) == 0.5


def test_a_calibrated_model_has_a_small_calibration_error_and_an_overconfident_one_not() -> None:
    predictions = calibrated_predictions(4000)
    hit = predictions.prediction == predictions.truth
    true = value(calibration_error(predictions.probability.max(axis=1), hit), 4000)
    bold = Scaling(2.5, np.zeros(7)).undo(predictions.probability)
    too_sure = value(calibration_error(bold.max(axis=1), hit), 4000)
    assert true < 0.02
    assert too_sure > 0.08


def test_the_interval_of_a_calibration_error_lies_about_its_value() -> None:
    predictions = calibrated_predictions(600)
    hit = predictions.prediction == predictions.truth
    measure = calibration_error(predictions.probability.max(axis=1), hit)
    figure = Bootstrap(predictions.groups).figure(measure, 600, excess=True)
    assert figure is not None
    assert 0 <= figure.low < figure.value < figure.high


def test_a_calibrated_model_stays_below_what_chance_leaves_about_95_times_in_100() -> None:
    random = np.random.default_rng(0)
    confidence = random.beta(4, 1, 300)
    limit = calibration_error_by_chance(confidence, alone(300), 2000, seed=1)
    errors = [
        value(calibration_error(confidence, random.random(300) < confidence), 300)
        for _ in range(400)
    ]
    assert 0.92 <= np.mean(np.array(errors) <= limit) <= 0.98
    too_sure = value(calibration_error(confidence, random.random(300) < confidence - 0.1), 300)
    assert too_sure > limit


def test_chance_leaves_less_of_more_pictures() -> None:
    few, many = (
        calibration_error_by_chance(np.full(count, 0.8), alone(count), 500, seed=0)
        for count in (100, 10_000)
    )
    # All are in one bin, so it is the 95th percentile of how far a share strays.
    assert few == pytest.approx(1.96 * 0.4 / 10, rel=0.15)
    assert many == pytest.approx(1.96 * 0.4 / 100, rel=0.15)


def test_of_lesions_with_one_picture_each_is_right_with_its_own_confidence() -> None:
    confidence = np.random.default_rng(0).beta(4, 1, 300)
    hits = np.random.default_rng(5).random((200, 300)) < confidence
    gaps = [np.bincount(bin_of(confidence), confidence - hit, 15) for hit in hits]
    expected = np.percentile([np.abs(each).sum() / 300 for each in gaps], 95)
    found = calibration_error_by_chance(confidence, alone(300), 200, seed=5)
    assert found == pytest.approx(expected)


def test_a_second_picture_of_a_lesion_leaves_chance_as_much() -> None:
    confidence = np.random.default_rng(0).beta(4, 1, 150)
    once = calibration_error_by_chance(confidence, alone(150), 500, seed=2)
    twice = calibration_error_by_chance(
        np.repeat(confidence, 2), np.repeat(alone(150), 2).tolist(), 500, seed=2
    )
    assert twice == pytest.approx(once)


def test_a_calibrated_model_is_within_chance_where_lesions_have_several_pictures() -> None:
    within = []
    for seed in range(120):
        drawn = calibrated_predictions(400, seed=seed, pictures_per_lesion=4)
        confidence, hit = drawn.probability.max(axis=1), drawn.prediction == drawn.truth
        limit = calibration_error_by_chance(
            confidence, drawn.groups, 200, seed, before_likeliest(drawn.probability)
        )
        within.append(value(calibration_error(confidence, hit), 400) <= limit)
    assert np.mean(within) > 0.88


def test_pictures_of_a_lesion_that_contradict_each_other_are_not_wrong_together() -> None:
    probability = np.array([[0.6, 0.4], [0.4, 0.6]])
    before = before_likeliest(probability)
    np.testing.assert_allclose(before, [0, 0.4])
    # The truth is the first class, the second, or in a fifth of all draws to each its own.
    limit = calibration_error_by_chance(np.array([0.6, 0.6]), ["a", "a"], 500, 0, before)
    assert limit == pytest.approx(0.4)


def test_a_mean_is_over_those_chosen_and_passes_over_what_is_unknown() -> None:
    values = np.array([1.0, 3.0, np.nan])
    assert value(mean(values, ~np.isnan(values)), 3) == 2


def test_a_probability_of_zero_costs_much_but_not_everything() -> None:
    assert np.isfinite(value(log_loss(np.array([[1.0, 0.0]]), np.array([1])), 1))


@pytest.mark.parametrize("rows", [[0, 1, 2, 3, 4], [0, 0, 0, 4, 3], [4, 4, 1]])
def test_the_median_of_a_resample_is_that_of_the_pictures_drawn(rows: list[int]) -> None:
    values = np.array([0.3, -1.0, 2.0, 0.7, 5.0])
    assert drawn(median(values), np.array(rows), 5) == np.median(values[rows])


def test_the_median_passes_over_what_it_is_not_of() -> None:
    values = np.array([0.3, np.nan, 2.0, 0.7])
    assert value(median(values, ~np.isnan(values)), 4) == 0.7
    assert np.isnan(drawn(median(values, ~np.isnan(values)), np.array([1, 1]), 4))
    assert np.isnan(value(median(values, np.zeros(4, bool)), 4))


def test_patients_with_several_diagnoses_share_no_truth() -> None:
    lesions = ["a", "a", "b"]
    assert sharing_a_truth(lesions, np.array([1, 1, 0])) == lesions
    assert len(set(sharing_a_truth(lesions, np.array([1, 0, 0])))) == 3
