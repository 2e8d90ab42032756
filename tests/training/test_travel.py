"""Pictures of other clinics beside those of the test split: what is compared, and with what."""

import msgspec
import numpy as np
import pytest
from sklearn import metrics as reference

from tests.artifact_factory import TWO
from tests.training.answered import calibrated_predictions
from training.data.sets import TravelSet
from training.predictions import Diagnosis, Predictions
from training.scaling import Scaling
from training.travel import TravelFigures, Travelled, compare

BKL, MEL, NV = 2, 4, 5
ELSEWHERE = TravelSet(
    name="elsewhere",
    root="data",
    licence="none",
    source="drawn",
    remark="Drawn elsewhere.",
    akin=["Kin"],
)


def three_diagnoses(seed: int) -> Predictions:
    whole = calibrated_predictions(900, seed=seed)
    return whole.of(np.isin(whole.truth, [BKL, MEL, NV]))


@pytest.fixture(scope="module")
def home() -> Predictions:
    return calibrated_predictions(1500)


@pytest.fixture(scope="module")
def away() -> Predictions:
    """As good as at home, but far too sure of itself."""
    drawn = three_diagnoses(seed=8)
    bold = Scaling(3, np.zeros(drawn.probability.shape[1])).undo(drawn.probability)
    return msgspec.structs.replace(drawn, probability=bold)


@pytest.fixture(scope="module")
def figures(home: Predictions, away: Predictions) -> TravelFigures:
    return compare(ELSEWHERE, away, home, ["HAM10000"], resamples=300, seed=0)


def of(figures: TravelFigures, name: str) -> Travelled:
    return next(each for each in figures.figures if each.measure == name)


def test_the_set_tells_what_its_own_table_counts(home: Predictions, away: Predictions) -> None:
    of_patients = msgspec.structs.replace(away, unit="patient")
    assert compare(ELSEWHERE, of_patients, home, [], resamples=100, seed=0).unit == "patient"
    assert compare(ELSEWHERE, away, of_patients, [], resamples=100, seed=0).unit == "lesion"


def test_melanoma_is_told_from_all_else_by_the_malignant_probability(
    figures: TravelFigures, away: Predictions, home: Predictions
) -> None:
    found = of(figures, "melanoma_auc")
    assert away.malignant_probability is not None
    assert found.away.value == pytest.approx(
        reference.roc_auc_score(away.truth == MEL, away.malignant_probability)
    )
    alike = home.of(np.isin(home.truth, [BKL, MEL, NV]))
    assert alike.malignant_probability is not None
    assert found.at_home is not None
    assert found.at_home.value == pytest.approx(
        reference.roc_auc_score(alike.truth == MEL, alike.malignant_probability)
    )
    assert found.difference is not None
    assert found.difference.value == pytest.approx(found.away.value - found.at_home.value)
    assert found.difference.low < 0 < found.difference.high


def test_only_pictures_of_the_same_diagnoses_are_compared(
    figures: TravelFigures, away: Predictions, home: Predictions
) -> None:
    assert figures.diagnoses == ["bkl", "mel", "nv"]
    assert figures.pictures == len(away.truth)
    balanced = of(figures, "balanced_accuracy")
    for predictions, figure in ((away, balanced.away), (home, balanced.at_home)):
        assert figure is not None
        truth, said = predictions.truth, predictions.prediction
        assert figure.value == pytest.approx(
            np.mean([(said[truth == k] == k).mean() for k in (BKL, MEL, NV)])
        )
    accuracy = of(figures, "accuracy")
    assert accuracy.at_home is not None
    assert accuracy.at_home.n == np.isin(home.truth, [BKL, MEL, NV]).sum()


def test_few_pictures_without_an_error_are_no_certainty(home: Predictions) -> None:
    melanomas, moles = (np.flatnonzero(home.truth == label)[:9] for label in (MEL, NV))
    kept = np.zeros(len(home.truth), bool)
    kept[np.r_[melanomas, moles]] = True
    few = home.of(kept)
    ill = few.truth == MEL
    right = msgspec.structs.replace(
        few, prediction=few.truth, suspicious=ill, malignant_probability=ill.astype(np.float64)
    )
    figures = compare(ELSEWHERE, right, right, [], resamples=100, seed=0)
    for name in ("melanoma_auc", "malignant_sensitivity", "balanced_accuracy", "accuracy"):
        found = of(figures, name)
        assert (found.away.value, found.away.high) == (1, 1)
        assert found.away.low < 0.9
        assert found.difference is not None
        assert found.difference.low < -0.1
        assert found.difference.high > 0.1


def test_calibration_stands_beside_what_chance_leaves_of_it(figures: TravelFigures) -> None:
    error = of(figures, "calibration_error")
    assert error.away_by_chance is not None
    assert error.home_by_chance is not None
    assert error.at_home is not None
    assert error.away.value > error.away_by_chance
    assert error.at_home.value < 1.5 * error.home_by_chance
    assert error.difference is None
    assert of(figures, "malignant_calibration_error").away_by_chance is not None


def test_a_model_that_learned_from_the_same_clinics_has_that_said(
    home: Predictions, away: Predictions, figures: TravelFigures
) -> None:
    assert figures.learned_from == []
    kin = compare(ELSEWHERE, away, home, ["HAM10000", "Kin"], resamples=100, seed=0)
    assert kin.learned_from == ["Kin"]


def test_a_set_without_a_diagnosis_of_the_test_split_stands_alone(
    away: Predictions, home: Predictions
) -> None:
    others = home.of(~np.isin(home.truth, [BKL, MEL, NV]))
    figures = compare(ELSEWHERE, away, others, [], resamples=100, seed=0)
    assert all(each.at_home is None and each.difference is None for each in figures.figures)
    assert of(figures, "melanoma_auc").away.n == len(away.truth)


def test_a_model_of_two_classes_is_asked_for_melanoma_by_the_diagnoses() -> None:
    drawn = calibrated_predictions(600, classes=TWO)
    melanoma = drawn.malignant & (np.arange(600) % 2 == 0)
    labelled = msgspec.structs.replace(
        drawn,
        diagnoses=[
            Diagnosis("bcc", "bcc", True),
            Diagnosis("mel", "mel", True),
            Diagnosis("nv", "nv", False),
        ],
        diagnosis=np.where(melanoma, 1, np.where(drawn.malignant, 0, 2)),
    )
    figures = compare(ELSEWHERE, labelled, labelled, [], resamples=100, seed=0)
    assert labelled.malignant_probability is not None
    assert of(figures, "melanoma_auc").away.value == pytest.approx(
        reference.roc_auc_score(melanoma, labelled.malignant_probability)
    )
