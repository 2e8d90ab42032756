"""Everything fitted after training, on the calibration split, from the final graph's answers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from serving.manifest import Conformal, OperatingPoint, Quality
from serving.quality import Measures
from training.bootstrap import Bootstrap

Probabilities = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


class Targets(msgspec.Struct, frozen=True, kw_only=True):
    """What the fitted figures are to reach, from `conf/export.yaml`."""

    accuracy_share: float
    """accuracy's share of what a decision is to gain; the rest is balanced accuracy's"""
    sensitivity: float
    """of the verdict, for malignant lesions"""
    coverage: float
    """of the prediction sets"""
    accepted: float
    """share of true lesions whose novelty is accepted"""
    warned: float
    """share of true lesions that each quality warning may hit"""
    least_pictures: int
    """the smallest classes share one bias until they have so many calibration pictures together,
    and classes with fewer one conformal quantile"""


def decision_offsets(
    labels: Labels, classes: int, accuracy_share: float
) -> npt.NDArray[np.float64]:
    """Decision offsets `[C]`: what each class's calibrated probability is multiplied by.

    Deciding for a class of prior p gains 1 / (C p) in balanced accuracy where it is right, and 1 in
    accuracy. With shares of both, the largest probability times (1 - s) / (C p) + s gains most, as
    far as the probabilities are right: Elkan, "The foundations of cost-sensitive learning", IJCAI
    2001.
    Nothing is fitted but the priors, the classes' shares of `labels` `[N]`.
    """
    prior = np.bincount(labels, minlength=classes) / len(labels)
    prior = np.maximum(prior, 0.5 / len(labels))
    gains = (1 - accuracy_share) / (classes * prior) + accuracy_share
    scaled: npt.NDArray[np.float64] = gains / gains.min()
    return scaled


def fit_operating_point(
    malignant_probability: npt.NDArray[np.float64],
    malignant: npt.NDArray[np.bool_],
    groups: Sequence[str],
    sensitivity: float,
) -> OperatingPoint:
    """The highest threshold on `[N]` that still catches `sensitivity` of the malignant.

    The interval of the sensitivity is a bootstrap's over `groups`, the lesion of each picture.
    """
    scores = np.sort(malignant_probability[malignant])
    missed = math.floor((1 - sensitivity) * len(scores) + 1e-9)
    threshold = float(scores[missed])
    caught = Bootstrap(groups).share(malignant_probability >= threshold, malignant)
    assert caught is not None
    return OperatingPoint(
        name=f"sensitivity_{round(100 * sensitivity)}",
        score="malignant_probability",
        threshold=threshold,
        sensitivity=caught.value,
        specificity=float(np.mean(malignant_probability[~malignant] < threshold)),
        interval=(caught.low, caught.high),
        n=len(scores),
    )


def fit_conformal(
    probability: Probabilities, labels: Labels, ids: Sequence[str], targets: Targets
) -> Conformal:
    """A quantile of 1 - p of the true class for each class, so that sets hold it often enough.

    Sadinle, Lei, Wasserman, JASA 114 (2019); Vovk, "Conditional validity of inductive conformal
    predictors", ACML 2012. Sets always hold the likeliest class, whose score is therefore nought:
    without that, they would hold the truth more often than asked for, and be longer. Classes with
    few calibration pictures share one quantile. Where they are too few together for any, it is that
    of the next larger classes with them: a quantile of 1 would put them into every set.
    """
    score = 1 - probability[np.arange(len(labels)), labels]
    score[probability.argmax(axis=1) == labels] = 0
    counts = np.bincount(labels, minlength=len(ids))
    few = counts < targets.least_pictures
    pool = few.copy()
    for larger in np.argsort(counts, kind="stable"):
        if _rank(counts[pool].sum(), targets.coverage) <= counts[pool].sum():
            break
        pool[larger] = True
    pooled = _quantile(score[pool[labels]], targets.coverage)
    return Conformal(
        method="class_conditional_lac",
        alpha=round(1 - targets.coverage, 6),
        quantiles={
            id: pooled if few[i] else _quantile(score[labels == i], targets.coverage)
            for i, id in enumerate(ids)
        },
        counts={id: int(counts[i]) for i, id in enumerate(ids)},
    )


def _quantile(scores: npt.NDArray[np.float32], coverage: float) -> float:
    """The smallest score with ceil((n + 1) coverage) at or below it; 1 where n is too small."""
    rank = _rank(len(scores), coverage)
    return 1.0 if rank > len(scores) else float(np.sort(scores)[rank - 1])


def _rank(count: int, coverage: float) -> int:
    return math.ceil((count + 1) * coverage - 1e-9)


def fit_novelty_threshold(novelty: npt.NDArray[np.float32], accepted: float) -> float:
    """The score `[N]` that the share `accepted` of the calibration pictures stays at or below."""
    return float(np.quantile(novelty, accepted, method="higher"))


def fit_quality(measures: Sequence[Measures], warned: float) -> Quality:
    """Thresholds below which the share `warned` of the calibration pictures lies."""

    def low(values: list[float]) -> float:
        return float(np.quantile(values, warned, method="lower"))

    return Quality(
        min_side=int(low([each.side for each in measures])),
        min_sharpness=low([each.sharpness for each in measures]),
        min_luminance=low([each.luminance for each in measures]),
        min_lesion_share=low([each.lesion_share for each in measures]),
    )
