"""Figures with 95 % intervals, by drawing lesions again: two pictures of one are not two cases."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import msgspec
import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

Measure = Callable[[Floats], Floats]
"""From the pictures' weights `[B, N]` to a value for each row, `[B]`; NaN where there is none."""

_CHUNK = 256
"""Resamples at a time: a few tens of megabytes for ten thousand pictures."""


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """A value with its 95 % interval, over `n` pictures."""

    value: float
    low: float
    high: float
    n: int


class Unseen(msgspec.Struct, frozen=True):
    """How far below and above its value a figure may lie by what drawing again does not show."""

    below: float = 0.0
    above: float = 0.0

    @property
    def error(self) -> float:
        """The same as one standard error."""
        return math.hypot(self.below, self.above) / 1.96

    def widen(self, figure: Figure, least: float = 0.0) -> Figure:
        """`figure`, which is from `least` to 1, with an interval as much wider, in quadrature."""
        low, high = figure.low, figure.high
        if self.below:
            low = max(least, figure.value - math.hypot(figure.value - low, self.below))
        if self.above:
            high = min(1.0, figure.value + math.hypot(high - figure.value, self.above))
        return msgspec.structs.replace(figure, low=low, high=high)


class Bootstrap:
    """Resamples of N pictures that draw whole groups (lesions) with replacement.

    Every figure of one object is measured on the same resamples, so that figures of two models over
    the same pictures can be compared pair by pair. Efron and Tibshirani, "An Introduction to the
    Bootstrap" (1993), chapters 8 and 13.
    """

    def __init__(self, groups: Sequence[str], resamples: int = 2000, seed: int = 0) -> None:
        """Draws `resamples` times from `groups`, the group of each of the N pictures."""
        _, self._group_of = np.unique(np.asarray(groups), return_inverse=True)
        count = int(self._group_of.max()) + 1 if len(self._group_of) else 0
        random = np.random.default_rng(seed)
        self._drawn = np.zeros((resamples, count), np.uint8)
        for row in self._drawn:
            drawn = np.bincount(random.integers(0, count, count), minlength=count)
            row[:] = np.minimum(drawn, 255)

    @property
    def resamples(self) -> int:
        """How often is drawn, B."""
        return len(self._drawn)

    @property
    def pictures(self) -> int:
        """How many pictures are drawn from, N."""
        return len(self._group_of)

    def figure(
        self, measure: Measure, n: int, *, excess: bool = False, unseen: Unseen | None = None
    ) -> Figure | None:
        """The value of `measure` over all pictures and its percentile interval; None without one.

        `excess` is for errors that drawing again can only enlarge, like a calibration error: the
        resamples' mean excess over the value is taken off the interval. `n` is the number of
        pictures that the value speaks of. Resamples without a value (a rare class was not drawn)
        are passed over. `unseen` is what they do not show.
        """
        value = float(measure(np.ones((1, len(self._group_of))))[0])
        if np.isnan(value):
            return None
        values = self.values(measure)
        if np.isnan(values).all():
            return None
        low, high = (float(bound) for bound in np.nanpercentile(values, (2.5, 97.5)))
        if excess:
            shift = float(np.nanmean(values)) - value
            low, high = max(0.0, low - shift), high - shift
        figure = Figure(value=value, low=low, high=high, n=n)
        return figure if unseen is None else unseen.widen(figure)

    def share(self, hit: Bools, among: Bools | None = None) -> Figure | None:
        """The share of `hit` `[N] bool` `among` some pictures `[N] bool` (default all).

        Where every resample agrees, it has the interval of `unseen`.
        """
        chosen = np.ones(len(hit), bool) if among is None else among
        return self.figure(
            lambda weights: ratio(weights, hit & chosen, chosen),
            int(chosen.sum()),
            unseen=self.unseen(hit, chosen),
        )

    def unseen(self, hit: Bools, among: Bools | None = None) -> Unseen:
        """What drawing again does not show of a `share`; nothing where its lesions differ.

        Where all or none are hit, or all pictures are of one lesion, every resample agrees, which
        is no certainty; then it is Clopper and Pearson's interval for as many lesions.
        """
        chosen = np.ones(len(hit), bool) if among is None else among
        groups = self._group_of[chosen]
        counts, hits = np.bincount(groups), np.bincount(groups, hit[chosen])
        shares = hits[counts > 0] / counts[counts > 0]
        if not len(shares) or shares.min() < shares.max():
            return Unseen()
        return exact(float(shares[0]), len(shares))

    def lesions(self, among: Bools) -> int:
        """How many groups the pictures `among` `[N] bool` are of."""
        return len(np.unique(self._group_of[among]))

    def difference(self, first: Measure, second: Measure, n: int) -> Figure | None:
        """How much larger `first` is than `second`, measured on the same resamples."""
        return self.figure(lambda weights: first(weights) - second(weights), n)

    def simultaneous(
        self, measures: Sequence[Measure], counts: Sequence[int], unseen: Sequence[float] = ()
    ) -> list[Figure]:
        """The values of `measures` with intervals that all together hold in 95 of 100.

        Each is over as many pictures as `counts` says; `unseen` are standard errors that drawing
        again does not show, as that of a share of all. Whoever looks at many figures finds one by
        chance that stands out; these intervals are as much wider as that takes. All reach as many
        standard errors to either side as the one that strays the furthest in 95 of 100 resamples.
        Romano and Wolf, "Stepwise Multiple Testing as Formalized Data Snooping", Econometrica 73
        (2005).
        """
        everyone = np.ones((1, len(self._group_of)))
        centres = np.array([measure(everyone)[0] for measure in measures])
        drawn = np.array([self.values(measure) for measure in measures])
        if not measures:
            return []
        errors = np.nanstd(drawn, axis=1)
        # A figure that no resample moves says nothing about how far the others stray.
        moves = errors > 0
        reach = 0.0
        if moves.any():
            strays = np.abs(drawn[moves] - centres[moves, None]) / errors[moves, None]
            reach = float(np.percentile(np.nanmax(strays, axis=0), 95))
        if unseen:
            errors = np.hypot(errors, unseen)
        return [
            Figure(value=float(v), low=float(v - reach * e), high=float(v + reach * e), n=n)
            for v, e, n in zip(centres, errors, counts, strict=True)
        ]

    def per_group(self, measure: Measure) -> Measure:
        """`measure` with each group (lesion) counting once, however many pictures show it."""
        share = 1 / np.bincount(self._group_of)[self._group_of]
        return lambda weights: measure(weights * share)

    def values(self, measure: Measure) -> Floats:
        """The value of `measure` in every resample, `[B]`; NaN where there is none."""
        parts = [
            measure(self._drawn[start : start + _CHUNK, self._group_of].astype(np.float64))
            for start in range(0, len(self._drawn), _CHUNK)
        ]
        return np.concatenate(parts)


def exact(value: float, cases: int) -> Unseen:
    """How far a share of `value` among so many cases may lie off, by Clopper and Pearson."""
    low, high = (
        binomtest(int(rounded(value * cases)), cases).proportion_ci(0.95, "exact")
        for rounded in (np.floor, np.ceil)
    )
    return Unseen(value - float(low.low), float(high.high) - value)


def difference_between(
    first: tuple[Bootstrap, Measure],
    second: tuple[Bootstrap, Measure],
    n: int,
    unseen: tuple[Unseen, Unseen] = (Unseen(), Unseen()),
) -> Figure | None:
    """How much larger a measure is over one set of pictures than over another, over `n` in all.

    The two sets must have been drawn with different seeds and equally often; `unseen` is what that
    does not show of either.
    """
    here, there = (
        float(measure(np.ones((1, bootstrap.pictures)))[0])
        for bootstrap, measure in (first, second)
    )
    if np.isnan(here - there):
        return None
    values = first[0].values(first[1]) - second[0].values(second[1])
    low, high = (float(bound) for bound in np.nanpercentile(values, (2.5, 97.5)))
    one, other = unseen
    both = Unseen(math.hypot(one.below, other.above), math.hypot(one.above, other.below))
    return both.widen(Figure(value=here - there, low=low, high=high, n=n), least=-1.0)


def ratio(weights: Floats, hit: npt.NDArray[np.generic], among: npt.NDArray[np.generic]) -> Floats:
    """Weighted sum of `hit` over that of `among`, `[B]`, each `[N]`; NaN where nothing is among."""
    below = weights @ among.astype(np.float64)
    above = weights @ hit.astype(np.float64)
    share: Floats = np.divide(above, below, out=np.full(len(weights), np.nan), where=below > 0)
    return share
