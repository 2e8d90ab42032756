"""The report's figures, against scikit-learn and against cases that can be worked out by hand."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from sklearn import metrics as reference

from serving.manifest import Manifest
from tests.artifact_factory import SEVEN, TWO, make_artifact
from tests.training.answered import calibrated_predictions
from training.bootstrap import Bootstrap, Measure
from training.metrics import (
    area_under_curve,
    at_temperature,
    balanced_accuracy,
    brier_score,
    calibration_error,
    evaluate,
    headline,
    log_loss,
)
from training.predictions import Predictions


@pytest.fixture(scope="module")
def predictions() -> Predictions:
    return calibrated_predictions(1200)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return make_artifact(tmp_path_factory.mktemp("artifact"), temperature=1.5)


def value(measure: Measure, count: int) -> float:
    return float(measure(np.ones((1, count)))[0])


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


def test_brier_score_by_hand() -> None:
    probability = np.array([[1.0, 0.0], [0.5, 0.5], [1.0, 0.0]])
    truth = np.array([0, 0, 1])
    assert value(brier_score(probability, truth), 3) == pytest.approx((0 + 0.5 + 2) / 3)


def test_calibration_error_by_hand() -> None:
    # One bin at 0.95 that is right in half of its 4, one at 0.5 that is always right in its 2.
    confidence = np.array([0.95, 0.95, 0.95, 0.95, 0.5, 0.5])
    hit = np.array([True, True, False, False, True, True])
    expected = (4 * 0.45 + 2 * 0.5) / 6
    assert value(calibration_error(confidence, hit), 6) == pytest.approx(expected)


def test_a_certain_probability_is_in_the_last_bin() -> None:
    assert value(calibration_error(np.array([1.0, 1.0]), np.array([True, False])), 2) == 0.5


def test_a_calibrated_model_has_a_small_calibration_error_and_an_overconfident_one_not() -> None:
    predictions = calibrated_predictions(4000)
    hit = predictions.prediction == predictions.truth
    true = value(calibration_error(predictions.probability.max(axis=1), hit), 4000)
    bold = at_temperature(predictions.probability, 2.5)
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


def test_probabilities_before_calibration_come_back_from_those_after() -> None:
    logits = np.random.default_rng(0).normal(0, 4, (50, 7))

    def softmax(x: np.ndarray) -> np.ndarray:
        odds = np.exp(x - x.max(axis=1, keepdims=True))
        return odds / odds.sum(axis=1, keepdims=True)

    assert at_temperature(softmax(logits / 1.7), 1.7) == pytest.approx(softmax(logits))


def test_a_probability_of_zero_costs_much_but_not_everything() -> None:
    assert np.isfinite(value(log_loss(np.array([[1.0, 0.0]]), np.array([1])), 1))


def test_every_figure_of_the_report(predictions: Predictions, manifest: Manifest) -> None:
    evaluation = evaluate(predictions, manifest, "drawn", resamples=200)
    truth, said, p = predictions.truth, predictions.prediction, predictions.probability
    assert evaluation.pictures == evaluation.lesions == 1200
    assert evaluation.accuracy is not None
    assert evaluation.accuracy.value == pytest.approx((truth == said).mean())
    assert evaluation.top3_accuracy is not None
    assert evaluation.top3_accuracy.value == pytest.approx(
        reference.top_k_accuracy_score(truth, p, k=3, labels=range(7))
    )
    recalls = reference.recall_score(truth, said, average=None)
    for index, figures in enumerate(evaluation.classes):
        assert figures.pictures == (truth == index).sum()
        assert figures.sensitivity is not None
        assert figures.specificity is not None
        assert figures.auc is not None
        assert figures.sensitivity.value == pytest.approx(recalls[index])
        assert figures.sensitivity.n == figures.pictures
        assert figures.specificity.value == pytest.approx(
            reference.recall_score(truth == index, said == index, pos_label=0)
        )
        assert figures.auc.value == pytest.approx(
            reference.roc_auc_score(truth == index, p[:, index])
        )
    assert evaluation.refused is not None
    assert evaluation.refused.value == pytest.approx(predictions.refused.mean())
    assert evaluation.warnings["dark"].value == pytest.approx((predictions.novelty < 0.1).mean())
    sets = evaluation.conformal
    assert sets.coverage is not None
    assert sets.mean_size is not None
    assert sets.coverage.value == pytest.approx(predictions.sets[np.arange(1200), truth].mean())
    assert sets.mean_size.value == pytest.approx(predictions.sets.sum(axis=1).mean())


def test_the_verdict_is_counted_in_plain_numbers(
    predictions: Predictions, manifest: Manifest
) -> None:
    figures = evaluate(predictions, manifest, "drawn", resamples=200).malignant
    assert figures is not None
    assert predictions.suspicious is not None
    malignant, suspicious = predictions.malignant, predictions.suspicious
    assert figures.pictures == malignant.sum()
    assert figures.missed == (malignant & ~suspicious).sum()
    assert figures.alarmed == (~malignant & suspicious).sum()
    assert figures.sensitivity is not None
    assert figures.sensitivity.value == pytest.approx(1 - figures.missed / figures.pictures)
    assert [each.id for each in figures.diagnoses] == ["akiec", "bcc", "mel"]
    assert sum(each.missed for each in figures.diagnoses) == figures.missed


def test_a_set_with_some_of_the_classes_is_measured_on_those(manifest: Manifest) -> None:
    whole = calibrated_predictions(3000)
    kept = np.isin(whole.truth, [2, 4, 5])  # bkl, mel, nv
    changes = {
        name: getattr(whole, name)[kept]
        for name in ("truth", "probability", "prediction", "malignant_probability")
    }
    changes |= {name: getattr(whole, name)[kept] for name in ("suspicious", "sets", "novelty")}
    part = msgspec.structs.replace(
        whole,
        groups=[group for group, keep in zip(whole.groups, kept, strict=True) if keep],
        refused=whole.refused[kept],
        warnings={},
        **changes,
    )
    evaluation = evaluate(part, manifest, "drawn", resamples=200)
    assert evaluation.balanced_accuracy is not None
    assert evaluation.balanced_accuracy.value == pytest.approx(
        np.mean([(part.prediction[part.truth == k] == k).mean() for k in (2, 4, 5)])
    )
    absent = [c for c in evaluation.classes if not c.pictures]
    assert [c.id for c in absent] == ["akiec", "bcc", "df", "vasc"]
    assert all(c.sensitivity is None and c.auc is None for c in absent)
    assert all(c.specificity is not None for c in absent)


def test_only_harmless_pictures_leave_sensitivity_and_auc_unsaid(manifest: Manifest) -> None:
    whole = calibrated_predictions(400)
    harmless = msgspec.structs.replace(whole, truth=np.full(400, 5))
    evaluation = evaluate(harmless, manifest, "drawn", resamples=200)
    assert evaluation.malignant is not None
    assert evaluation.malignant.sensitivity is None
    assert evaluation.malignant.auc is None
    names = [metric.name for metric in headline(evaluation)]
    assert "malignant_specificity" in names
    assert "malignant_auc" not in names


def test_headline_names_every_figure_of_the_manifest(
    predictions: Predictions, manifest: Manifest
) -> None:
    names = [m.name for m in headline(evaluate(predictions, manifest, "drawn", resamples=200))]
    assert names == [
        "balanced_accuracy",
        "accuracy",
        "top3_accuracy",
        "malignant_auc",
        "malignant_sensitivity",
        "malignant_specificity",
        "calibration_error",
        "conformal_coverage",
        "refused",
    ]


def test_of_two_classes_the_three_likeliest_are_not_counted(tmp_path: Path) -> None:
    manifest = make_artifact(tmp_path, name="cnn", classes=TWO)
    predictions = calibrated_predictions(400, classes=TWO)
    assert evaluate(predictions, manifest, "drawn", resamples=200).top3_accuracy is None


def test_without_a_malignant_class_there_is_no_verdict(tmp_path: Path) -> None:
    classes = [msgspec.structs.replace(c, malignant=False) for c in SEVEN]
    manifest = make_artifact(tmp_path, classes=classes)
    predictions = msgspec.structs.replace(
        calibrated_predictions(400, classes=classes), malignant_probability=None, suspicious=None
    )
    evaluation = evaluate(predictions, manifest, "drawn", resamples=200)
    assert evaluation.malignant is None
    assert evaluation.calibration.malignant_error is None
