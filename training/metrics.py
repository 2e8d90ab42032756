"""How good a model's predictions are: every figure of the report, each with its 95 % interval."""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

from serving.manifest import Manifest, Metric
from training.bootstrap import Bootstrap, Figure, Floats, Measure, ratio
from training.predictions import Predictions

Integers = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

BINS = 15
"""Of equal width, for calibration errors: Guo et al., ICML 2017."""

FEW = 30
"""Below as many pictures of a class its figures say little, and the report says so."""


class ClassFigures(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One class against all others. `sensitivity` and `specificity` are of the predicted class."""

    id: str
    name: str
    malignant: bool
    pictures: int
    lesions: int
    sensitivity: Figure | None = None
    specificity: Figure | None = None
    auc: Figure | None = None
    coverage: Figure | None = None
    """share of its pictures whose prediction set holds it"""


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


class CalibrationFigures(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far probabilities mean what they say. `error` is of the likeliest class, 15 bins."""

    temperature: float
    error: Figure | None = None
    malignant_error: Figure | None = None
    brier: Figure | None = None
    log_loss: Figure | None = None


class ConformalFigures(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How often the prediction set holds the truth, and how many classes it has."""

    alpha: float
    coverage: Figure | None = None
    mean_size: Figure | None = None
    single: Figure | None = None
    """share of sets with one class"""


class Evaluation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything that was measured of one artifact on one set of pictures: `metrics.json`.

    What could not be measured is left out.
    """

    model: str
    graph: str
    """SHA-256 of the graph that answered"""
    dataset: str
    split_digest: str | None = None
    pictures: int
    lesions: int
    left_out: int = 0
    resamples: int
    seed: int
    balanced_accuracy: Figure | None
    accuracy: Figure | None
    top3_accuracy: Figure | None = None
    refused: Figure | None
    warnings: dict[str, Figure] = {}
    classes: list[ClassFigures]
    malignant: MalignantFigures | None = None
    calibration: CalibrationFigures
    uncalibrated: CalibrationFigures
    conformal: ConformalFigures


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
    raw = at_temperature(predictions.probability, manifest.temperature)
    return Evaluation(
        model=manifest.name,
        graph=manifest.digest,
        dataset=dataset,
        split_digest=split_digest,
        pictures=count,
        lesions=len(set(predictions.groups)),
        left_out=left_out,
        resamples=resamples,
        seed=seed,
        balanced_accuracy=bootstrap.figure(
            balanced_accuracy(predictions.truth, predictions.prediction), count
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
        calibration=_calibration_figures(
            predictions, predictions.probability, manifest.temperature, bootstrap
        ),
        uncalibrated=_calibration_figures(predictions, raw, 1.0, bootstrap),
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
    }
    return [
        Metric(name=name, value=f.value, low=f.low, high=f.high, n=f.n)
        for name, f in figures.items()
        if f is not None
    ]


def balanced_accuracy(truth: Integers, prediction: Integers) -> Measure:
    """Mean over the classes drawn of the share of their pictures that are predicted rightly."""
    classes = np.unique(truth)

    def measure(weights: Floats) -> Floats:
        recalls = [ratio(weights, (truth == c) & (prediction == c), truth == c) for c in classes]
        stacked = np.stack(recalls)
        drawn = ~np.isnan(stacked)
        mean: Floats = np.where(drawn, stacked, 0.0).sum(axis=0) / np.maximum(drawn.sum(axis=0), 1)
        return mean

    return measure


def area_under_curve(positive: Bools, score: Floats) -> Measure:
    """Probability that a positive picture scores above a negative one, a tie counting half."""
    order = np.argsort(score, kind="stable")
    is_positive = positive[order].astype(np.float64)
    _, starts = np.unique(score[order], return_index=True)

    def measure(weights: Floats) -> Floats:
        drawn = weights[:, order]
        positives = np.add.reduceat(drawn * is_positive, starts, axis=1)
        negatives = np.add.reduceat(drawn * (1 - is_positive), starts, axis=1)
        below = np.cumsum(negatives, axis=1) - negatives
        wins = (positives * (below + negatives / 2)).sum(axis=1)
        pairs = positives.sum(axis=1) * negatives.sum(axis=1)
        area: Floats = np.divide(wins, pairs, out=np.full(len(weights), np.nan), where=pairs > 0)
        return area

    return measure


def calibration_error(confidence: Floats, hit: Bools) -> Measure:
    """Expected calibration error: mean gap of confidence and share of hits over `BINS` bins."""
    bins = bin_of(confidence)
    gaps = np.zeros((len(confidence), BINS))
    gaps[np.arange(len(confidence)), bins] = confidence - hit

    def measure(weights: Floats) -> Floats:
        total = weights.sum(axis=1)
        error: Floats = np.abs(weights @ gaps).sum(axis=1) / total
        return error

    return measure


def brier_score(probability: Floats, truth: Integers) -> Measure:
    """Mean squared distance of the probabilities from the truth, summed over classes (0 to 2)."""
    distance = ((probability - np.eye(probability.shape[1])[truth]) ** 2).sum(axis=1)
    return _mean(distance)


def log_loss(probability: Floats, truth: Integers) -> Measure:
    """Mean negative logarithm of the true class's probability, in nats."""
    given = probability[np.arange(len(truth)), truth]
    # The smallest a float32 may be; a probability that rounds to 0 would cost infinitely much.
    return _mean(-np.log(np.maximum(given, np.finfo(np.float32).tiny)))


def bin_of(confidence: Floats) -> Integers:
    """Which of `BINS` equal bins of [0, 1] each confidence is in, `[N] int64`."""
    return np.minimum((confidence * BINS).astype(np.int64), BINS - 1)


def at_temperature(probability: Floats, temperature: float) -> Floats:
    """What `probability` `[N, C]`, calibrated with `temperature`, was before: softmax(T log p)."""
    logits = temperature * np.log(np.maximum(probability, np.finfo(np.float32).tiny))
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    raw: Floats = odds / odds.sum(axis=1, keepdims=True)
    return raw


def _mean(values: Floats) -> Measure:
    return lambda weights: ratio(weights, values, np.ones(len(values)))


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
                auc=bootstrap.figure(
                    area_under_curve(own, predictions.probability[:, index]), len(own)
                ),
                coverage=bootstrap.share(predictions.sets[:, index], own),
            )
        )
    return figures


def _malignant_figures(
    predictions: Predictions, manifest: Manifest, bootstrap: Bootstrap
) -> MalignantFigures | None:
    score, suspicious = predictions.malignant_probability, predictions.suspicious
    if score is None or suspicious is None:
        return None
    malignant = predictions.malignant
    diagnoses = []
    for index, info in enumerate(predictions.classes):
        own = predictions.truth == index
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
        auc=bootstrap.figure(area_under_curve(malignant, score), len(score)),
        sensitivity=bootstrap.share(suspicious, malignant),
        specificity=bootstrap.share(~suspicious, ~malignant),
        diagnoses=diagnoses,
    )


def _calibration_figures(
    predictions: Predictions, probability: Floats, temperature: float, bootstrap: Bootstrap
) -> CalibrationFigures:
    count = len(probability)
    hit = probability.argmax(axis=1) == predictions.truth
    flags = np.array([c.malignant for c in predictions.classes])
    malignant = None
    if flags.any():
        score = probability[:, flags].sum(axis=1).clip(0, 1)
        malignant = bootstrap.figure(
            calibration_error(score, predictions.malignant), count, excess=True
        )
    return CalibrationFigures(
        temperature=temperature,
        error=bootstrap.figure(calibration_error(probability.max(axis=1), hit), count, excess=True),
        malignant_error=malignant,
        brier=bootstrap.figure(brier_score(probability, predictions.truth), count),
        log_loss=bootstrap.figure(log_loss(probability, predictions.truth), count),
    )


def _conformal_figures(
    predictions: Predictions, manifest: Manifest, bootstrap: Bootstrap
) -> ConformalFigures:
    count = len(predictions.truth)
    sizes = predictions.sets.sum(axis=1)
    return ConformalFigures(
        alpha=manifest.conformal.alpha,
        coverage=bootstrap.share(predictions.sets[np.arange(count), predictions.truth]),
        mean_size=bootstrap.figure(_mean(sizes.astype(np.float64)), count),
        single=bootstrap.share(sizes == 1),
    )
