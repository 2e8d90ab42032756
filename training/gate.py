"""Whether an 8-bit graph may serve instead of the float graph that it was made from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
import numpy as np
from tqdm import tqdm

from serving.classifier import Classifier, Floats, Outputs
from serving.manifest import GateFigure, GateName
from serving.pictures import Pixels
from training.bootstrap import Bootstrap, Figure
from training.measures import Integers, balanced_accuracy, median
from training.predictions import decisions

_BATCH = 32


class GateLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What an 8-bit graph must reach to serve, from `conf/export.yaml`."""

    balanced_accuracy: float
    """its balanced accuracy less the float graph's: at least, at the interval's lower end"""
    probability: float
    """the largest difference of a class's probability: at most, on the median picture"""
    heatmap: float
    """the correlation of the likeliest class's heatmaps: at least, on the median picture"""
    views: int
    """of the eight ways to lay a square picture, so many are looked at"""
    resamples: int
    """how often lesions are drawn for the intervals"""


def compare(
    exact: Classifier,
    integers: Classifier,
    pixels: Pixels,
    truth: Integers,
    groups: Sequence[str],
    limits: GateLimits,
    seed: int,
) -> list[GateFigure]:
    """What `integers` answers beside `exact`, for pictures that neither was made from.

    Each picture is looked at turned and mirrored: a lesion has no upright, and of the decisions on
    a knife's edge, which any rounding moves, a single one of a rare class would be more than a
    point of balanced accuracy. Intervals are drawn over lesions, each with all its views; `n` of a
    figure counts pictures.

    Args:
        exact: The float graph.
        integers: The 8-bit graph, with the same scaling and decision offsets.
        pixels: The pictures, `[N, S, S, 3] uint8`.
        truth: The class of each, `[N] int64`.
        groups: The lesion of each.
        limits: What passes.
        seed: Of the intervals.
    """
    laid = tqdm(_views(pixels, limits.views), "comparing with 8 bits", limits.views, unit="view")
    seen = [_look(exact, integers, each) for each in laid]
    decided = np.concatenate([each.decided for each in seen])
    wanted = np.concatenate([each.wanted for each in seen])
    difference = np.concatenate([each.difference for each in seen])
    correlation = np.stack([each.correlation for each in seen])
    has_map = ~np.isnan(correlation)
    truth, count = np.tile(truth, len(seen)), len(pixels)
    bootstrap = Bootstrap([*groups] * len(seen), limits.resamples, seed)
    same = bootstrap.share(decided == wanted)
    measured: dict[GateName, Figure | None] = {
        "balanced_accuracy": bootstrap.difference(
            balanced_accuracy(truth, decided), balanced_accuracy(truth, wanted), count
        ),
        "probability": bootstrap.figure(median(difference), count),
        "heatmap": bootstrap.figure(
            median(correlation.ravel(), has_map.ravel()), int(has_map.any(axis=0).sum())
        ),
        "agreement": same and msgspec.structs.replace(same, n=count),
    }
    return [_judged(name, each, limits) for name, each in measured.items() if each is not None]


class _Seen(msgspec.Struct, frozen=True):
    """Both graphs' answers to N pictures, `[N]` each.

    `difference` is the largest of a class's probability, `correlation` that of the heatmaps of the
    float graph's likeliest class: NaN where both are flat, which most often is: empty.
    """

    decided: Integers
    wanted: Integers
    difference: Floats
    correlation: Floats


def _views(pixels: Pixels, count: int) -> Iterator[Pixels]:
    """The pictures laid in `count` of eight ways: turned by quarters, then mirrored and turned."""
    ways = [(mirrored, turns) for mirrored in (False, True) for turns in range(4)]
    for mirrored, turns in ways[:count]:
        side = pixels[:, :, ::-1] if mirrored else pixels
        yield np.ascontiguousarray(np.rot90(side, turns, (1, 2)))


def _look(exact: Classifier, integers: Classifier, pixels: Pixels) -> _Seen:
    wanted, found = _answers(exact, pixels), _answers(integers, pixels)
    rows, likeliest = np.arange(len(pixels)), wanted.probability.argmax(axis=1)
    return _Seen(
        decisions(found.probability, integers.manifest),
        decisions(wanted.probability, exact.manifest),
        np.abs(found.probability - wanted.probability).max(axis=1),
        _correlation(found.heatmap[rows, likeliest], wanted.heatmap[rows, likeliest]),
    )


def _answers(model: Classifier, pixels: Pixels) -> Outputs:
    starts = range(0, len(pixels), _BATCH)
    parts = [model.run(pixels[start : start + _BATCH]) for start in starts]
    return Outputs(
        np.concatenate([each.probability for each in parts]),
        np.concatenate([each.heatmap for each in parts]),
        np.concatenate([each.novelty for each in parts]),
    )


def _correlation(first: Floats, second: Floats) -> Floats:
    """Pearson's, of each pair of maps `[N, h, w]`: 0 where one is flat, NaN where both are."""
    a, b = (each.reshape(len(each), -1) for each in (first, second))
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    spread_a, spread_b = np.sqrt((a**2).sum(axis=1)), np.sqrt((b**2).sum(axis=1))
    spread = spread_a * spread_b
    found = np.divide((a * b).sum(axis=1), spread, out=np.zeros_like(spread), where=spread > 0)
    alike: Floats = np.where((spread_a > 0) | (spread_b > 0), found, np.nan)
    return alike


def _judged(name: GateName, figure: Figure, limits: GateLimits) -> GateFigure:
    limit, passed = {
        "balanced_accuracy": (limits.balanced_accuracy, figure.low >= limits.balanced_accuracy),
        "probability": (limits.probability, figure.value <= limits.probability),
        "heatmap": (limits.heatmap, figure.value >= limits.heatmap),
        "agreement": (None, True),
    }[name]
    return GateFigure(
        name=name,
        value=figure.value,
        low=figure.low,
        high=figure.high,
        n=figure.n,
        limit=limit,
        passed=passed,
    )
