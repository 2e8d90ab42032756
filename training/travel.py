"""How a model travels: its figures on pictures of other clinics, beside those of the test split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from training.bootstrap import (
    Bools,
    Bootstrap,
    Figure,
    Floats,
    Measure,
    Unseen,
    difference_between,
    ratio,
)
from training.data.sets import TravelSet
from training.labels import MELANOMA, Unit
from training.measures import (
    area_under_curve,
    balanced_accuracy,
    before_likeliest,
    calibration_error,
    calibration_error_by_chance,
    sharing_a_truth,
    unseen_of_area,
    unseen_of_classes,
)
from training.predictions import Predictions


class Travelled(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One figure on other clinics' pictures, beside that of the test split.

    `at_home` is over the test split's pictures of the same diagnoses; `difference` how much larger
    the figure is away. The two calibration errors have none: the fewer pictures, the larger is what
    chance leaves of them, `by_chance` in 95 of 100 perfectly calibrated models.
    """

    measure: str
    away: Figure
    at_home: Figure | None = None
    difference: Figure | None = None
    away_by_chance: float | None = None
    home_by_chance: float | None = None


class TravelFigures(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything that was measured on one set of other clinics.

    `diagnoses` are those that it has; `learned_from` the sets of the same clinics that the model
    was trained on, or that are held by such; `lesions` counts what `unit` says.
    """

    name: str
    remark: str
    licence: str
    source: str
    learned_from: list[str]
    pictures: int
    lesions: int
    unit: Unit = "lesion"
    diagnoses: list[str]
    figures: list[Travelled]


def compare(
    described: TravelSet,
    away: Predictions,
    home: Predictions,
    trained_on: Sequence[str],
    resamples: int,
    seed: int,
) -> TravelFigures:
    """Measures `away`, the predictions for the set `described`, beside `home`, the test split's.

    Only the test split's pictures of diagnoses that the set has are compared.
    """
    present = {away.diagnoses[i].id for i in np.unique(away.diagnosis)}
    home = home.of(np.array([home.diagnoses[i].id in present for i in home.diagnosis]))
    here = _Drawn(away, Bootstrap(away.groups, resamples, seed + 1))
    # A set whose diagnoses the test split does not have stands alone.
    there = _Drawn(home, Bootstrap(home.groups, resamples, seed)) if home.groups else None
    return TravelFigures(
        name=described.name,
        remark=described.remark,
        licence=described.licence,
        source=described.source,
        learned_from=[name for name in described.akin if name in trained_on],
        pictures=len(away.truth),
        lesions=len(set(away.groups)),
        unit=away.unit,
        diagnoses=sorted(present),
        figures=[
            *_scores(here, there),
            *_calibration(here, there, resamples, seed),
        ],
    )


class _Drawn(msgspec.Struct, frozen=True):
    predictions: Predictions
    bootstrap: Bootstrap


class _Asked(msgspec.Struct, frozen=True):
    """A measure over `n` pictures, and what drawing them again does not show of it."""

    measure: Measure
    n: int
    unseen: Unseen

    def figure(self, bootstrap: Bootstrap) -> Figure | None:
        return bootstrap.figure(self.measure, self.n, unseen=self.unseen)


def _scores(here: _Drawn, there: _Drawn | None) -> list[Travelled]:
    home = _asked(there) if there else {}
    found = []
    for name, asked in _asked(here).items():
        away = asked.figure(here.bootstrap)
        if away is None:
            continue
        at_home = difference = None
        if there is not None and (beside := home.get(name)) is not None:
            at_home = beside.figure(there.bootstrap)
            difference = difference_between(
                (here.bootstrap, asked.measure),
                (there.bootstrap, beside.measure),
                asked.n + beside.n,
                (asked.unseen, beside.unseen),
            )
        found.append(Travelled(measure=name, away=away, at_home=at_home, difference=difference))
    return found


def _asked(drawn: _Drawn) -> Mapping[str, _Asked]:
    """Every measure that is compared, by name."""
    predictions, bootstrap = drawn.predictions, drawn.bootstrap
    count = len(predictions.truth)

    def area(positive: Bools, score: Floats) -> _Asked:
        unseen = unseen_of_area(bootstrap, positive, score)
        return _Asked(area_under_curve(positive, score), count, unseen)

    def share(hit: Bools, among: Bools) -> _Asked:
        unseen = bootstrap.unseen(hit, among)
        return _Asked(lambda weights: ratio(weights, hit & among, among), int(among.sum()), unseen)

    score, suspicious = predictions.malignant_probability, predictions.suspicious
    malignant = predictions.malignant
    asked: dict[str, _Asked] = {}
    if score is not None and suspicious is not None:
        ids = np.array([each.id for each in predictions.diagnoses])
        melanoma = (ids == MELANOMA)[predictions.diagnosis]
        asked["melanoma_auc"] = area(melanoma, score)
        asked["malignant_auc"] = area(malignant, score)
        asked["malignant_sensitivity"] = share(suspicious, malignant)
        asked["malignant_specificity"] = share(~suspicious, ~malignant)
    truth, prediction = predictions.truth, predictions.prediction
    asked["balanced_accuracy"] = _Asked(
        balanced_accuracy(truth, prediction),
        count,
        unseen_of_classes(bootstrap, truth, prediction),
    )
    everyone = np.ones(count, bool)
    asked["accuracy"] = share(prediction == truth, everyone)
    asked["refused"] = share(predictions.refused, everyone)
    return asked


def _calibration(
    here: _Drawn, there: _Drawn | None, simulations: int, seed: int
) -> list[Travelled]:
    found = []
    for measure in ("calibration_error", "malignant_calibration_error"):
        away = _calibration_error(here, measure, simulations, seed)
        home = _calibration_error(there, measure, simulations, seed) if there else None
        if away is not None:
            found.append(
                Travelled(
                    measure=measure,
                    away=away[0],
                    away_by_chance=away[1],
                    at_home=home[0] if home else None,
                    home_by_chance=home[1] if home else None,
                )
            )
    return found


def _calibration_error(
    drawn: _Drawn, measure: str, simulations: int, seed: int
) -> tuple[Figure, float] | None:
    predictions = drawn.predictions
    confidence = predictions.probability.max(axis=1)
    before: Floats | float = before_likeliest(predictions.probability)
    hit = predictions.probability.argmax(axis=1) == predictions.truth
    if measure == "malignant_calibration_error":
        if predictions.malignant_probability is None:
            return None
        confidence, hit = predictions.malignant_probability, predictions.malignant
        before = 0.0
    figure = drawn.bootstrap.figure(calibration_error(confidence, hit), len(hit), excess=True)
    if figure is None:
        return None
    groups = sharing_a_truth(predictions.groups, predictions.truth)
    by_chance = calibration_error_by_chance(confidence, groups, simulations, seed, before)
    return figure, by_chance
