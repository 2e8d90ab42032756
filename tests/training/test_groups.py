"""For whom a model works: who is compared with whom, and what counts as clearly worse."""

from collections.abc import Sequence

import msgspec
import numpy as np
import pytest
from sklearn import metrics as reference

from tests.artifact_factory import SEVEN
from tests.training.answered import calibrated_predictions
from training.bootstrap import Bootstrap
from training.groups import Compared, GroupFigures, Groups, GroupSettings, measure
from training.labels import Background
from training.predictions import Predictions

SETTINGS = GroupSettings(age_bands=[30, 60], least_of_class=10)


def known(predictions: Predictions, backgrounds: Sequence[Background]) -> Predictions:
    return msgspec.structs.replace(predictions, backgrounds=list(backgrounds))


def by_sex(predictions: Predictions, female: np.ndarray) -> Predictions:
    sexes = [Background(sex="female" if each else "male") for each in female]
    return known(predictions, sexes)


def compared(predictions: Predictions) -> Groups:
    bootstrap = Bootstrap(predictions.groups, 400)
    groups = measure(predictions, SETTINGS, bootstrap)
    assert groups is not None
    return groups


def named(groups: Groups, name: str) -> GroupFigures:
    return next(each for each in groups.groups if each.group == name)


def told(figure: Compared | None) -> Compared:
    assert figure is not None
    return figure


@pytest.fixture(scope="module")
def predictions() -> Predictions:
    return calibrated_predictions(1500)


@pytest.fixture(scope="module")
def female() -> np.ndarray:
    return np.random.default_rng(5).random(1500) < 0.4


def test_each_groups_figures_are_its_own(predictions: Predictions, female: np.ndarray) -> None:
    groups = compared(by_sex(predictions, female))
    assert [each.group for each in groups.groups] == ["female", "male"]
    figures = named(groups, "female")
    truth, said = predictions.truth, predictions.prediction
    assert predictions.suspicious is not None
    ill, suspicious = predictions.malignant, predictions.suspicious
    assert figures.pictures == figures.lesions == female.sum()
    assert figures.malignant == (female & ill).sum()
    sensitivity, specificity = told(figures.sensitivity), told(figures.specificity)
    assert sensitivity.own.value == pytest.approx(suspicious[female & ill].mean())
    assert sensitivity.own.n == (female & ill).sum()
    assert specificity.own.value == pytest.approx((~suspicious)[female & ~ill].mean())
    balanced = told(figures.balanced_accuracy)
    kept = female & np.isin(truth, [i for i, c in enumerate(SEVEN) if c.id in balanced.classes])
    assert "df" not in balanced.classes  # of which there are too few
    assert balanced.own.value == pytest.approx(
        reference.recall_score(
            truth[kept], said[kept], average="macro", labels=np.unique(truth[kept])
        )
    )
    others = told(named(groups, "male").specificity).own
    assert specificity.others == others
    assert specificity.difference is not None
    assert specificity.difference.value == pytest.approx(specificity.own.value - others.value)
    assert specificity.difference.n == (~ill).sum()


def test_groups_that_differ_by_chance_do_not_stand_out(
    predictions: Predictions, female: np.ndarray
) -> None:
    groups = compared(by_sex(predictions, female))
    assert groups.compared == 6
    for group in groups.groups:
        for figure in (group.balanced_accuracy, group.sensitivity, group.specificity):
            assert not told(figure).is_worse
            assert not told(figure).is_better


def test_a_group_whose_malignant_pictures_are_missed_is_clearly_worse_in_that(
    predictions: Predictions, female: np.ndarray
) -> None:
    assert predictions.suspicious is not None
    missed = female & (np.arange(1500) % 3 == 0)
    blind = msgspec.structs.replace(predictions, suspicious=predictions.suspicious & ~missed)
    groups = compared(by_sex(blind, female))
    assert told(named(groups, "female").sensitivity).is_worse
    assert told(named(groups, "male").sensitivity).is_better
    assert not told(named(groups, "female").balanced_accuracy).is_worse


def test_a_small_group_is_not_better_because_all_of_it_were_caught(
    predictions: Predictions,
) -> None:
    ill = np.flatnonzero(predictions.malignant)
    group = np.zeros(1500, bool)
    group[ill[:40]] = True
    caught = np.random.default_rng(3).random(1500) < 0.97
    found = msgspec.structs.replace(predictions, suspicious=caught | group)
    sensitivity = told(named(compared(by_sex(found, group)), "female").sensitivity)
    assert (sensitivity.own.value, sensitivity.own.n) == (1, 40)
    assert not sensitivity.is_better


def test_a_small_group_is_not_better_because_none_of_it_were_mistaken(
    predictions: Predictions,
) -> None:
    group = np.zeros(1500, bool)
    for label in (2, 4, 5):  # bkl, mel, nv
        group[np.flatnonzero(predictions.truth == label)[:12]] = True
    nearly = np.where(np.random.default_rng(3).random(1500) < 0.93, predictions.truth, 1)
    said = np.where(group, predictions.truth, nearly)
    found = by_sex(msgspec.structs.replace(predictions, prediction=said), group)
    balanced = told(named(compared(found), "female").balanced_accuracy)
    assert (balanced.own.value, balanced.own.n, balanced.own.high) == (1, 36, 1)
    # Clopper and Pearson's error of each of three classes of twelve is 1 - 0.025 ** (1 / 12).
    assert balanced.own.low == pytest.approx(1 - 0.2646 / np.sqrt(3), abs=1e-4)
    assert balanced.difference is not None
    assert not balanced.is_better


def test_groups_of_a_few_pictures_are_told_but_not_compared(predictions: Predictions) -> None:
    few = np.arange(1500) < 25
    assert predictions.suspicious is not None
    wrong = msgspec.structs.replace(predictions, suspicious=predictions.suspicious | few)
    specificity = told(named(compared(by_sex(wrong, few)), "female").specificity)
    assert specificity.own.value == 0
    assert specificity.difference is None
    assert not specificity.is_worse


def test_ages_are_put_into_bands_and_the_unknown_counted(predictions: Predictions) -> None:
    ages = [0.0, 29.0, 30.0, 59.0, 60.0, 85.0, None]
    groups = compared(
        known(predictions, [Background(age=ages[i % len(ages)]) for i in range(1500)])
    )
    assert [each.group for each in groups.groups] == ["under 30", "30 to 59", "60 and over"]
    assert sum(each.pictures for each in groups.groups) + groups.unknown["age"] == 1500
    assert groups.unknown == {"age": 214}


def test_where_none_is_malignant_there_is_only_specificity(predictions: Predictions) -> None:
    ill = predictions.malignant
    ways = [
        Background(confirmation="histo" if bad or i % 2 else "follow_up")
        for i, bad in enumerate(ill)
    ]
    groups = compared(known(predictions, ways))
    followed = named(groups, "follow_up")
    assert (followed.malignant, followed.name) == (0, "follow-up")
    assert followed.sensitivity is None
    assert followed.balanced_accuracy is None
    assert told(followed.specificity).own.n == followed.pictures


def test_a_model_without_a_verdict_has_no_sensitivity(female: np.ndarray) -> None:
    harmless = [msgspec.structs.replace(c, malignant=False) for c in SEVEN]
    without = msgspec.structs.replace(
        calibrated_predictions(1500, classes=harmless), malignant_probability=None, suspicious=None
    )
    figures = named(compared(by_sex(without, female)), "female")
    assert figures.sensitivity is None
    assert figures.specificity is None
    assert figures.balanced_accuracy is not None


@pytest.mark.parametrize("backgrounds", [Background(), Background(sex="male")])
def test_where_all_are_alike_nobody_is_compared(
    predictions: Predictions, backgrounds: Background
) -> None:
    alike = known(predictions, [backgrounds] * 1500)
    assert measure(alike, SETTINGS, Bootstrap(alike.groups, 100)) is None
