"""What several rounds of a comparison say together, with 95 % intervals."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence

import msgspec
from scipy.stats import t

from benchmarks.measured import Cell


class Estimate(msgspec.Struct, frozen=True):
    """A figure and half the width of its 95 % interval."""

    value: float
    error: float

    @classmethod
    def of(cls, rounds: Sequence[float]) -> Estimate:
        """The mean over rounds, by Student's t: what differs within a round tells nothing of them.

        Of fewer than two, or where one found nothing, both are nan.
        """
        if len(rounds) < 2 or not all(map(math.isfinite, rounds)):
            return cls(math.nan, math.nan)
        deviations = float(t.ppf(0.975, len(rounds) - 1)) / math.sqrt(len(rounds))
        return cls(statistics.mean(rounds), deviations * statistics.stdev(rounds))


def rate(cells: Iterable[Cell]) -> Estimate:
    """Answers a second, over the rounds."""
    return Estimate.of([cell.sent.rate for cell in cells])


def median(cells: Iterable[Cell]) -> Estimate:
    """The median time of an answer in seconds, over the rounds."""
    return Estimate.of([_median(cell) for cell in cells])


def ratio(ours: Iterable[Cell], theirs: Iterable[Cell]) -> Estimate:
    """How many times the answers a second, each round by itself: what differs hits both alike."""
    pairs = zip(ours, theirs, strict=True)
    return Estimate.of([a.sent.rate / b.sent.rate if b.sent.rate else math.nan for a, b in pairs])


def added(ours: Iterable[Cell], limit: Iterable[Cell]) -> Estimate:
    """Seconds by which the median is longer, of each round by itself."""
    return Estimate.of([_median(a) - _median(b) for a, b in zip(ours, limit, strict=True)])


def _median(cell: Cell) -> float:
    return math.nan if cell.sent.median is None else cell.sent.median
