"""The report's figures, against scikit-learn and against cases that can be worked out by hand."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from sklearn import metrics as reference

from serving.manifest import ClassInfo, Manifest
from tests.artifact_factory import SEVEN, TWO, make_artifact
from tests.training.answered import calibrated_predictions
from training.bootstrap import Bootstrap
from training.measures import before_likeliest, calibration_error, calibration_error_by_chance
from training.metrics import evaluate, headline
from training.predictions import Diagnosis, Predictions
from training.scaling import Scaling


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
    assert figures.alpha == manifest.conformal.alpha
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


def test_the_headline_has_the_figures_and_their_intervals(
    predictions: Predictions, manifest: Manifest
) -> None:
    evaluation = evaluate(predictions, manifest, "drawn", resamples=200)
    assert evaluation.malignant is not None
    told = {m.name: (m.value, m.low, m.high, m.n) for m in headline(evaluation)}
    for name in ("auc", "sensitivity", "specificity"):
        figure = getattr(evaluation.malignant, name)
        assert told[f"malignant_{name}"] == (figure.value, figure.low, figure.high, figure.n)
    low, value, high = (told["accuracy"][place] for place in (1, 0, 2))
    assert low < value < high


def test_what_was_measured_is_told_beside_the_figures(manifest: Manifest) -> None:
    several = calibrated_predictions(600, pictures_per_lesion=3)
    evaluation = evaluate(
        several, manifest, "drawn", split_digest="abc", left_out=3, resamples=200, seed=7
    )
    assert (evaluation.graph, evaluation.split_digest) == (manifest.digest, "abc")
    assert (evaluation.dataset, evaluation.left_out, evaluation.seed) == ("drawn", 3, 7)
    assert (evaluation.pictures, evaluation.lesions) == (600, 200)
    lesions = np.array(several.groups)
    for index, each in enumerate(evaluation.classes):
        assert each.lesions == len(set(lesions[several.truth == index]))
    assert evaluation.malignant is not None
    assert evaluation.malignant.benign == (~several.malignant).sum()
    assert evaluation.malignant.threshold == manifest.operating_points[0].threshold


@pytest.mark.parametrize("kind", ["calibration", "uncalibrated"])
def test_calibration_is_of_the_probabilities_and_of_lesions(manifest: Manifest, kind: str) -> None:
    several = calibrated_predictions(600, pictures_per_lesion=3)
    # Whatever is decided.
    several = msgspec.structs.replace(several, prediction=np.zeros_like(several.truth))
    found = getattr(evaluate(several, manifest, "drawn", resamples=200), kind)
    p, temperature = several.probability, manifest.temperature
    if kind == "uncalibrated":
        p, temperature = Scaling.of(manifest).undo(p), 1.0
    bootstrap = Bootstrap(several.groups, 200, 0)
    hit = p.argmax(axis=1) == several.truth
    malignant = p[:, [c.malignant for c in SEVEN]].sum(axis=1).clip(0, 1)
    assert found.temperature == temperature
    assert found.error == bootstrap.figure(calibration_error(p.max(axis=1), hit), 600, excess=True)
    assert found.malignant_error == bootstrap.figure(
        calibration_error(malignant, several.malignant), 600, excess=True
    )
    assert found.error_by_chance == calibration_error_by_chance(
        p.max(axis=1), several.groups, 200, 0, before_likeliest(p)
    )
    assert found.malignant_error_by_chance == calibration_error_by_chance(
        malignant, several.groups, 200, 0
    )
    assert found.brier.value == pytest.approx(((p - np.eye(7)[several.truth]) ** 2).sum() / 600)
    assert found.log_loss.value == pytest.approx(
        reference.log_loss(several.truth, p, labels=range(7))
    )


def test_diagnoses_are_counted_by_themselves_where_classes_join_them(tmp_path: Path) -> None:
    manifest = make_artifact(tmp_path, name="cnn", classes=TWO)
    joined = calibrated_predictions(400, classes=TWO)
    kinds = [
        [i for i, c in enumerate(SEVEN) if c.malignant is malignant] for malignant in (False, True)
    ]
    number = np.arange(400)
    diagnosis = np.where(
        joined.truth == 1, np.take(kinds[1], number % 3), np.take(kinds[0], number % 4)
    )
    told = msgspec.structs.replace(
        joined, diagnosis=diagnosis, diagnoses=[Diagnosis(c.id, c.name, c.malignant) for c in SEVEN]
    )
    evaluation = evaluate(told, manifest, "drawn", resamples=200)
    assert evaluation.malignant is not None
    counts = {SEVEN[i].id: int((diagnosis == i).sum()) for i in range(7)}
    assert {each.id: each.pictures for each in evaluation.malignant.diagnoses} == {
        SEVEN[i].id: counts[SEVEN[i].id] for i in kinds[1]
    }
    alone = [each for each in evaluation.conformal.diagnoses if len(each.ids) == 1]
    assert {each.ids[0]: each.pictures for each in alone} == counts
    assert len(evaluation.conformal.diagnoses) == 7


def test_with_thirty_pictures_a_diagnosis_is_none_of_the_rare_ones(manifest: Manifest) -> None:
    counts = [30, 29, 100, 100, 100, 21, 20]
    told = msgspec.structs.replace(
        calibrated_predictions(400), diagnosis=np.repeat(np.arange(7), counts)
    )
    *alone, together = evaluate(told, manifest, "drawn", resamples=200).conformal.diagnoses
    assert [each.pictures for each in alone] == [30, 100, 100, 100]
    assert together.ids == [SEVEN[i].id for i in (1, 5, 6)]


@pytest.mark.parametrize("classes", [TWO, SEVEN[:3]])
def test_of_up_to_three_classes_the_three_likeliest_are_not_counted(
    tmp_path: Path, classes: list[ClassInfo]
) -> None:
    manifest = make_artifact(tmp_path, name="cnn", classes=classes)
    predictions = calibrated_predictions(400, classes=classes)
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
