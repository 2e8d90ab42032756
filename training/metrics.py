"""How good a model's predictions are: every figure of the report, each with its 95 % interval."""

from __future__ import annotations

import msgspec
import numpy as np

from serving.manifest import Manifest, Metric
from training.bootstrap import Bools, Bootstrap, Figure, Floats, Measure, Unseen
from training.cameras import Cameras
from training.groups import Groups
from training.heatmaps import HeatmapFigures
from training.labels import Unit
from training.measures import (
    FEW,
    Integers,
    area_under_curve,
    balanced_accuracy,
    before_likeliest,
    brier_score,
    calibration_error,
    calibration_error_by_chance,
    log_loss,
    mean,
    sharing_a_truth,
    unseen_of_area,
    unseen_of_classes,
)
from training.predictions import Predictions
from training.refusals import RefusalFigures
from training.scaling import Scaling
from training.sizes import PictureSize
from training.travel import TravelFigures


class ClassFigures(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One class against all others. `sensitivity` and `specificity` are of the predicted class.

    `lesions` counts what `Evaluation.unit` says.
    """

    id: str
    name: str
    malignant: bool
    pictures: int
    lesions: int
    sensitivity: Figure | None = None
    specificity: Figure | None = None
    auc: Figure | None = None


class MissedFigures(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Of one malignant diagnosis: `missed` of `pictures` were called not suspicious."""

    id: str
    name: str
    pictures: int
    missed: int
    sensitivity: Figure | None = None


class MalignantFigures(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Malignant against benign by the malignant probability, at the verdict's threshold."""

    threshold: float
    pictures: int
    missed: int
    benign: int
    alarmed: int
    """benign pictures called suspicious"""
    auc: Figure | None = None
    sensitivity: Figure | None = None
    specificity: Figure | None = None
    diagnoses: list[MissedFigures] = []


class LesionFigures(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The headline where each lesion counts once, its pictures sharing its weight.

    A patient or a group does so where `Evaluation.unit` says that these are known.
    Collections photograph the doubtful lesions more often, so that counting pictures weighs these
    more; figures from sets with one picture a lesion compare with these.
    """

    balanced_accuracy: Figure | None
    accuracy: Figure | None
    malignant_auc: Figure | None = None


class CalibrationFigures(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far probabilities mean what they say. `error` is of the likeliest class, 15 bins.

    What is left `by_chance` is the 95th percentile of the errors that a perfectly calibrated model
    would score on the same lesions: an error above it is more than chance.
    """

    temperature: float
    error: Figure | None = None
    error_by_chance: float | None = None
    malignant_error: Figure | None = None
    malignant_error_by_chance: float | None = None
    brier: Figure | None = None
    log_loss: Figure | None = None


class CoverageFigures(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The prediction sets of one diagnosis, or of several rare ones together."""

    ids: list[str]
    name: str
    pictures: int
    coverage: Figure | None
    mean_size: Figure | None


class ConformalFigures(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How often the prediction set holds the truth, and how many classes it has.

    `sizes` are the shares of sets with one class, two and so on; the last of `diagnoses` are those
    with few pictures, together.
    """

    alpha: float
    coverage: Figure | None = None
    mean_size: Figure | None = None
    sizes: list[Figure] = []
    diagnoses: list[CoverageFigures] = []


class Evaluation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything that was measured of one artifact on one set of pictures: `metrics.json`.

    What could not be measured is left out. `lesions` and `per_lesion` are about what `unit` says:
    lesions, or patients or groups where the table tells no more.
    """

    model: str
    graph: str
    """SHA-256 of the graph that answered"""
    dataset: str
    split_digest: str | None = None
    pictures: int
    lesions: int
    unit: Unit = "lesion"
    left_out: int = 0
    remark: str = ""
    """what is to be known of the pictures"""
    picture_size: PictureSize | None = None
    resamples: int
    seed: int
    balanced_accuracy: Figure | None
    accuracy: Figure | None
    top3_accuracy: Figure | None = None
    refused: Figure | None
    warnings: dict[str, Figure] = {}
    classes: list[ClassFigures]
    malignant: MalignantFigures | None = None
    per_lesion: LesionFigures | None = None
    calibration: CalibrationFigures
    uncalibrated: CalibrationFigures
    conformal: ConformalFigures
    groups: Groups | None = None
    heatmaps: HeatmapFigures | None = None
    travel: list[TravelFigures] = []
    refusals: RefusalFigures | None = None
    cameras: Cameras | None = None

    @property
    def knows_lesions(self) -> bool:
        """Whether it is known which lesion a picture shows, or whose it is, as `unit` says.

        Each counts as its own otherwise.
        """
        return self.unit != "lesion" or self.lesions < self.pictures

    @property
    def cases(self) -> str:
        """What counts as a case, in a word."""
        return f"{self.unit}s" if self.knows_lesions else "pictures"


def evaluate(
    predictions: Predictions,
    manifest: Manifest,
    dataset: str,
    *,
    split_digest: str | None = None,
    left_out: int = 0,
    resamples: int = 2000,
    seed: int = 0,
) -> Evaluation:
    """Measures `predictions` by the model of `manifest` for pictures of `dataset`.

    Classes without a picture are left out of the balanced accuracy, and `left_out` says how many
    pictures could not be used. Intervals are drawn `resamples` times from `seed`.
    """
    bootstrap = Bootstrap(predictions.groups, resamples, seed)
    count = len(predictions.truth)
    ranks = np.argsort(np.argsort(-predictions.probability, axis=1, kind="stable"), axis=1)
    top3 = ranks[np.arange(count), predictions.truth] < 3
    raw = Scaling.of(manifest).undo(predictions.probability)
    return Evaluation(
        model=manifest.name,
        graph=manifest.digest,
        dataset=dataset,
        split_digest=split_digest,
        pictures=count,
        lesions=len(set(predictions.groups)),
        unit=predictions.unit,
        left_out=left_out,
        resamples=resamples,
        seed=seed,
        balanced_accuracy=bootstrap.figure(
            balanced_accuracy(predictions.truth, predictions.prediction),
            count,
            unseen=unseen_of_classes(bootstrap, predictions.truth, predictions.prediction),
        ),
        accuracy=bootstrap.share(predictions.prediction == predictions.truth),
        top3_accuracy=bootstrap.share(top3) if len(predictions.classes) > 3 else None,
        refused=bootstrap.share(predictions.refused),
        warnings={
            kind: figure
            for kind, warned in predictions.warnings.items()
            if (figure := bootstrap.share(warned)) is not None
        },
        classes=_class_figures(predictions, bootstrap),
        malignant=_malignant_figures(predictions, manifest, bootstrap),
        per_lesion=_lesion_figures(predictions, bootstrap),
        calibration=_calibration_figures(
            predictions, predictions.probability, manifest.temperature, bootstrap, seed
        ),
        uncalibrated=_calibration_figures(predictions, raw, 1.0, bootstrap, seed),
        conformal=_conformal_figures(predictions, manifest, bootstrap),
    )


def headline(evaluation: Evaluation) -> list[Metric]:
    """The figures that the manifest carries, in a fixed order, those that were measured."""
    malignant = evaluation.malignant
    figures = {
        "balanced_accuracy": evaluation.balanced_accuracy,
        "accuracy": evaluation.accuracy,
        "top3_accuracy": evaluation.top3_accuracy,
        "malignant_auc": malignant.auc if malignant else None,
        "malignant_sensitivity": malignant.sensitivity if malignant else None,
        "malignant_specificity": malignant.specificity if malignant else None,
        "calibration_error": evaluation.calibration.error,
        "conformal_coverage": evaluation.conformal.coverage,
        "refused": evaluation.refused,
        **_over_guesses(evaluation.heatmaps),
    }
    return [
        Metric(name=name, value=f.value, low=f.low, high=f.high, n=f.n)
        for name, f in figures.items()
        if f is not None
    ]


def _over_guesses(figures: HeatmapFigures | None) -> dict[str, Figure | None]:
    """How far the heatmaps are above a guess at the middle: below 0 the guess is better."""
    if figures is None:
        return {}
    return {
        "heatmap_inside_over_centre": figures.inside.over_centre if figures.inside else None,
        "heatmap_drop_over_centre": figures.drop.over_centre if figures.drop else None,
    }


def _class_figures(predictions: Predictions, bootstrap: Bootstrap) -> list[ClassFigures]:
    groups = np.array(predictions.groups)
    figures = []
    for index, info in enumerate(predictions.classes):
        own, said = predictions.truth == index, predictions.prediction == index
        count = int(own.sum())
        figures.append(
            ClassFigures(
                id=info.id,
                name=info.name,
                malignant=info.malignant,
                pictures=count,
                lesions=len(np.unique(groups[own])),
                sensitivity=bootstrap.share(said, own),
                specificity=bootstrap.share(~said, ~own),
                auc=_area(bootstrap, own, predictions.probability[:, index]),
            )
        )
    return figures


def _area(bootstrap: Bootstrap, positive: Bools, score: Floats) -> Figure | None:
    return bootstrap.figure(
        area_under_curve(positive, score),
        len(score),
        unseen=unseen_of_area(bootstrap, positive, score),
    )


def _malignant_figures(
    predictions: Predictions, manifest: Manifest, bootstrap: Bootstrap
) -> MalignantFigures | None:
    score, suspicious = predictions.malignant_probability, predictions.suspicious
    if score is None or suspicious is None:
        return None
    malignant = predictions.malignant
    diagnoses = []
    for index, info in enumerate(predictions.diagnoses):
        own = predictions.diagnosis == index
        if info.malignant and own.any():
            diagnoses.append(
                MissedFigures(
                    id=info.id,
                    name=info.name,
                    pictures=int(own.sum()),
                    missed=int((own & ~suspicious).sum()),
                    sensitivity=bootstrap.share(suspicious, own),
                )
            )
    return MalignantFigures(
        threshold=manifest.operating_points[0].threshold,
        pictures=int(malignant.sum()),
        missed=int((malignant & ~suspicious).sum()),
        benign=int((~malignant).sum()),
        alarmed=int((~malignant & suspicious).sum()),
        auc=_area(bootstrap, malignant, score),
        sensitivity=bootstrap.share(suspicious, malignant),
        specificity=bootstrap.share(~suspicious, ~malignant),
        diagnoses=diagnoses,
    )


def _lesion_figures(predictions: Predictions, bootstrap: Bootstrap) -> LesionFigures | None:
    truth, score, count = (
        predictions.truth,
        predictions.malignant_probability,
        len(predictions.truth),
    )
    if len(set(predictions.groups)) == count:
        return None

    def figure(measure: Measure, unseen: Unseen) -> Figure | None:
        return bootstrap.figure(bootstrap.per_group(measure), count, unseen=unseen)

    hit, malignant = predictions.prediction == truth, predictions.malignant
    return LesionFigures(
        balanced_accuracy=figure(
            balanced_accuracy(truth, predictions.prediction),
            unseen_of_classes(bootstrap, truth, predictions.prediction),
        ),
        accuracy=figure(mean(hit.astype(np.float64)), bootstrap.unseen(hit)),
        malignant_auc=None
        if score is None
        else figure(
            area_under_curve(malignant, score), unseen_of_area(bootstrap, malignant, score)
        ),
    )


def _calibration_figures(
    predictions: Predictions,
    probability: Floats,
    temperature: float,
    bootstrap: Bootstrap,
    seed: int,
) -> CalibrationFigures:
    groups = sharing_a_truth(predictions.groups, predictions.truth)

    def error(
        confidence: Floats, hit: Bools, before: Floats | float = 0.0
    ) -> tuple[Figure | None, float]:
        return (
            bootstrap.figure(calibration_error(confidence, hit), len(hit), excess=True),
            calibration_error_by_chance(confidence, groups, bootstrap.resamples, seed, before),
        )

    count = len(probability)
    hit = probability.argmax(axis=1) == predictions.truth
    likeliest, likeliest_by_chance = error(
        probability.max(axis=1), hit, before_likeliest(probability)
    )
    flags = np.array([c.malignant for c in predictions.classes])
    malignant, malignant_by_chance = None, None
    if flags.any():
        score = probability[:, flags].sum(axis=1).clip(0, 1)
        malignant, malignant_by_chance = error(score, predictions.malignant)
    return CalibrationFigures(
        temperature=temperature,
        error=likeliest,
        error_by_chance=likeliest_by_chance,
        malignant_error=malignant,
        malignant_error_by_chance=malignant_by_chance,
        brier=bootstrap.figure(brier_score(probability, predictions.truth), count),
        log_loss=bootstrap.figure(log_loss(probability, predictions.truth), count),
    )


def _conformal_figures(
    predictions: Predictions, manifest: Manifest, bootstrap: Bootstrap
) -> ConformalFigures:
    count = len(predictions.truth)
    sizes = predictions.sets.sum(axis=1)
    held = predictions.sets[np.arange(count), predictions.truth]
    shares = [bootstrap.share(sizes == k + 1) for k in range(len(predictions.classes))]
    return ConformalFigures(
        alpha=manifest.conformal.alpha,
        coverage=bootstrap.share(held),
        mean_size=bootstrap.figure(mean(sizes.astype(np.float64)), count),
        sizes=[share for share in shares if share is not None],
        diagnoses=_coverages(predictions, held, sizes, bootstrap),
    )


def _coverages(
    predictions: Predictions, held: Bools, sizes: Integers, bootstrap: Bootstrap
) -> list[CoverageFigures]:
    counts = np.bincount(predictions.diagnosis, minlength=len(predictions.diagnoses))
    many = [[i] for i in np.flatnonzero(counts >= FEW)]
    few = list(np.flatnonzero((counts > 0) & (counts < FEW)))
    figures = []
    for indices in [*many, *([few] if few else [])]:
        own = np.isin(predictions.diagnosis, indices)
        named = [predictions.diagnoses[i] for i in indices]
        figures.append(
            CoverageFigures(
                ids=[each.id for each in named],
                name=named[0].name if len(named) == 1 else "rarer ones together",
                pictures=int(own.sum()),
                coverage=bootstrap.share(held, own),
                mean_size=bootstrap.figure(mean(sizes.astype(np.float64), own), int(own.sum())),
            )
        )
    return figures
