"""Measures of a model's answers, each over any number of resamples at once."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from training.bootstrap import Bools, Bootstrap, Floats, Measure, Unseen, exact, ratio

Integers = npt.NDArray[np.int64]

BINS = 15
"""Of equal width, for calibration errors: Guo et al., ICML 2017."""

FEW = 30
"""Below as many pictures of a kind its figures say little, and the report says so."""

FEW_LESIONS = 5
"""Below as many on one side of an AUC, drawing them again shows too little of what it may be."""

_CHUNK = 256
"""Simulations at a time: a few megabytes for ten thousand pictures."""


def mean(values: Floats, among: Bools | None = None) -> Measure:
    """Mean of `values` `[N]` over the pictures drawn `among` some `[N] bool` (default all)."""
    chosen = np.ones(len(values), bool) if among is None else among
    kept = np.where(chosen, values, 0.0)
    return lambda weights: ratio(weights, kept, chosen)


def median(values: npt.NDArray[np.floating], among: Bools | None = None) -> Measure:
    """Median of `values` `[N]` over the pictures drawn `among` some `[N] bool` (default all)."""
    places = np.flatnonzero(np.ones(len(values), bool) if among is None else among)
    places = places[np.argsort(values[places], kind="stable")]
    ranked = values[places].astype(np.float64)

    def measure(weights: Floats) -> Floats:
        if not len(ranked):
            return np.full(len(weights), np.nan)
        reached = weights[:, places].cumsum(axis=1)
        half = reached[:, -1] / 2
        first = (reached < half[:, None]).sum(axis=1)
        middle: Floats = np.where(half > 0, ranked[first], np.nan)
        return middle

    return measure


def balanced_accuracy(truth: Integers, prediction: Integers) -> Measure:
    """Mean over the classes drawn of the share of their pictures that are predicted rightly."""
    classes = np.unique(truth)

    def measure(weights: Floats) -> Floats:
        recalls = [ratio(weights, (truth == c) & (prediction == c), truth == c) for c in classes]
        stacked = np.stack(recalls)
        drawn = ~np.isnan(stacked)
        total = np.where(drawn, stacked, 0.0).sum(axis=0)
        accuracy: Floats = total / np.maximum(drawn.sum(axis=0), 1)
        return accuracy

    return measure


def unseen_of_classes(
    bootstrap: Bootstrap, truth: Integers, prediction: Integers, among: Bools | None = None
) -> Unseen:
    """What drawing again does not show of the `balanced_accuracy` `among` some `[N] bool`.

    That is what it does not show of the classes of which all or no pictures are predicted rightly.
    """
    chosen = np.ones(len(truth), bool) if among is None else among
    classes = np.unique(truth[chosen])
    found = [bootstrap.unseen(prediction == truth, chosen & (truth == c)) for c in classes]
    below, above = ([getattr(each, side) for each in found] for side in ("below", "above"))
    return Unseen(*(math.hypot(*each) / max(1, len(classes)) for each in (below, above)))


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


def unseen_of_area(bootstrap: Bootstrap, positive: Bools, score: Floats) -> Unseen:
    """What drawing again does not show of the `area_under_curve`; nothing where lesions are enough.

    Where every resample agrees, or one side has fewer than `FEW_LESIONS`, it is Clopper and
    Pearson's interval for as many cases as the smaller side has lesions: its variance is at most
    that of a share of those. Birnbaum and Klose, "Bounds for the Variance of the Mann-Whitney
    Statistic", Annals of Mathematical Statistics 28 (1957).
    """
    area = float(area_under_curve(positive, score)(np.ones((1, len(score))))[0])
    if np.isnan(area):
        return Unseen()
    fewest = min(bootstrap.lesions(positive), bootstrap.lesions(~positive))
    moves = 0 < area < 1 and score.min() < score.max()
    return Unseen() if moves and fewest >= FEW_LESIONS else exact(area, fewest)


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


def calibration_error_by_chance(
    confidence: Floats,
    groups: Sequence[str],
    simulations: int,
    seed: int,
    before: Floats | float = 0.0,
) -> float:
    """The 95th percentile of what a perfectly calibrated model would score on the same lesions.

    Of N pictures each is right with the very `confidence` `[N]` that was given, and the calibration
    error that is left by chance is measured, `simulations` times. Bröcker and Smith, "Increasing
    the Reliability of Reliability Diagrams", Weather and Forecasting 22 (2007).

    Pictures of one lesion, which `groups` names, share a truth. So one number from 0 to 1 is drawn
    for each lesion, and what each of its pictures shows is the class that it falls into, with the
    classes side by side, each as wide as its probability: a picture is right where the number lies
    beyond what the classes `before` `[N]` have and within `confidence` of that. Pictures with the
    same probabilities are right together.
    """
    random = np.random.default_rng(seed)
    _, lesion = np.unique(np.asarray(groups), return_inverse=True)
    lesions = len(np.unique(lesion))
    bins = np.eye(BINS)[bin_of(confidence)]
    given = confidence @ bins
    errors = []
    for start in range(0, simulations, _CHUNK):
        drawn = random.random((min(_CHUNK, simulations - start), lesions))[:, lesion]
        hit = ((before <= drawn) & (drawn < before + confidence)).astype(np.float64)
        errors.append(np.abs(given - hit @ bins).sum(axis=1) / len(confidence))
    return float(np.percentile(np.concatenate(errors), 95))


def sharing_a_truth(groups: Sequence[str], truth: Integers) -> Sequence[str]:
    """`groups` where each has one truth, as lesions do; otherwise each picture alone."""
    if len(set(zip(groups, truth.tolist(), strict=True))) == len(set(groups)):
        return groups
    return [str(index) for index in range(len(groups))]


def before_likeliest(probability: Floats) -> Floats:
    """What the classes before the likeliest one have of `probability` `[N, C]` together, `[N]`."""
    likeliest = probability.argmax(axis=1)
    before = probability.cumsum(axis=1) - probability
    return np.take_along_axis(before, likeliest[:, None], axis=1)[:, 0]


def brier_score(probability: Floats, truth: Integers) -> Measure:
    """Mean squared distance of the probabilities from the truth, summed over classes (0 to 2)."""
    distance = ((probability - np.eye(probability.shape[1])[truth]) ** 2).sum(axis=1)
    return mean(distance)


def log_loss(probability: Floats, truth: Integers) -> Measure:
    """Mean negative logarithm of the true class's probability, in nats."""
    given = probability[np.arange(len(truth)), truth]
    # The smallest a float32 may be; a probability that rounds to 0 would cost infinitely much.
    return mean(-np.log(np.maximum(given, np.finfo(np.float32).tiny)))


def bin_of(confidence: Floats) -> Integers:
    """Which of `BINS` equal bins of [0, 1] each confidence is in, `[N] int64`."""
    return np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
