"""The report's figures, against scikit-learn and against cases that can be worked out by hand."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from sklearn import metrics as reference

from serving.manifest import Manifest
from tests.artifact_factory import SEVEN, TWO, make_artifact
from tests.training.answered import calibrated_predictions
from training.metrics import evaluate, headline
from training.predictions import Predictions


@pytest.fixture(scope="module")
def predictions() -> Predictions:
    return calibrated_predictions(1200)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return make_artifact(tmp_path_factory.mktemp("artifact"), temperature=1.5)


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


def test_prediction_sets_are_told_by_size_and_diagnosis_with_the_rare_ones_together(
    predictions: Predictions, manifest: Manifest
) -> None:
    figures = evaluate(predictions, manifest, "drawn", resamples=200).conformal
    truth, sizes = predictions.truth, predictions.sets.sum(axis=1)
    held = predictions.sets[np.arange(1200), truth]
    assert figures.coverage is not None
    assert figures.mean_size is not None
    assert figures.coverage.value == pytest.approx(held.mean())
    assert figures.mean_size.value == pytest.approx(sizes.mean())
    assert [share.value for share in figures.sizes] == pytest.approx(
        [(sizes == k).mean() for k in range(1, 8)]
    )
    counts = np.bincount(truth, minlength=7)
    many = [c.id for c, count in zip(SEVEN, counts, strict=True) if count >= 30]
    *alone, together = figures.diagnoses
    assert [each.ids for each in alone] == [[id] for id in many]
    assert set(together.ids) == {c.id for c in SEVEN} - set(many)
    for each in figures.diagnoses:
        own = np.isin(truth, [i for i, c in enumerate(SEVEN) if c.id in each.ids])
        assert each.pictures == own.sum()
        assert each.coverage is not None
        assert each.mean_size is not None
        assert each.coverage.value == pytest.approx(held[own].mean())
        assert each.mean_size.value == pytest.approx(sizes[own].mean())


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
    part = whole.of(kept)
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
    mole = np.full(400, 5)
    harmless = msgspec.structs.replace(whole, truth=mole, diagnosis=mole)
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


def test_each_lesion_counts_once_where_some_have_several_pictures(manifest: Manifest) -> None:
    alone = calibrated_predictions(900)
    assert evaluate(alone, manifest, "drawn", resamples=200).per_lesion is None
    # Of the first 200 lesions there are three pictures, of all others one.
    lesions = np.r_[np.repeat(np.arange(200), 3), 200:500]
    several = msgspec.structs.replace(alone, groups=[str(lesion) for lesion in lesions])
    figures = evaluate(several, manifest, "drawn", resamples=200).per_lesion
    assert figures is not None
    assert figures.accuracy is not None
    right = several.prediction == several.truth
    expected = np.mean([right[lesions == lesion].mean() for lesion in range(500)])
    assert figures.accuracy.value == pytest.approx(expected)
    share = 1 / np.bincount(lesions)[lesions]
    assert figures.balanced_accuracy is not None
    assert figures.balanced_accuracy.value == pytest.approx(
        reference.balanced_accuracy_score(several.truth, several.prediction, sample_weight=share)
    )
    assert figures.malignant_auc is not None
    assert figures.malignant_auc.value == pytest.approx(
        reference.roc_auc_score(
            several.malignant, several.malignant_probability, sample_weight=share
        )
    )
