"""Figures with 95 % intervals, by drawing lesions again: two pictures of one are not two cases."""

from __future__ import annotations

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

    def figure(self, measure: Measure, n: int, *, excess: bool = False) -> Figure | None:
        """The value of `measure` over all pictures and its percentile interval; None without one.

        `excess` is for errors that drawing again can only enlarge, like a calibration error: the
        resamples' mean excess over the value is taken off the interval. `n` is the number of
        pictures that the value speaks of. Resamples without a value (a rare class was not drawn)
        are passed over.
        """
        value = float(measure(np.ones((1, len(self._group_of))))[0])
        if np.isnan(value):
            return None
        values = self._values(measure)
        if np.isnan(values).all():
            return None
        low, high = (float(bound) for bound in np.nanpercentile(values, (2.5, 97.5)))
        if excess:
            shift = float(np.nanmean(values)) - value
            low, high = max(0.0, low - shift), high - shift
        return Figure(value=value, low=low, high=high, n=n)

    def share(self, hit: Bools, among: Bools | None = None) -> Figure | None:
        """The share of `hit` `[N] bool` `among` some pictures `[N] bool` (default all).

        Where all or none are hit every resample agrees, which is no certainty; then the interval is
        Clopper and Pearson's for as many lesions.
        """
        chosen = np.ones(len(hit), bool) if among is None else among
        figure = self.figure(
            lambda weights: ratio(weights, hit & chosen, chosen), int(chosen.sum())
        )
        if figure is None or 0 < figure.value < 1:
            return figure
        lesions = len(np.unique(self._group_of[chosen]))
        exact = binomtest(round(figure.value) * lesions, lesions).proportion_ci(0.95, "exact")
        return msgspec.structs.replace(figure, low=float(exact.low), high=float(exact.high))

    def difference(self, first: Measure, second: Measure, n: int) -> Figure | None:
        """How much larger `first` is than `second`, measured on the same resamples."""
        return self.figure(lambda weights: first(weights) - second(weights), n)

    def _values(self, measure: Measure) -> Floats:
        parts = [
            measure(self._drawn[start : start + _CHUNK, self._group_of].astype(np.float64))
            for start in range(0, len(self._drawn), _CHUNK)
        ]
        return np.concatenate(parts)


def ratio(weights: Floats, hit: npt.NDArray[np.generic], among: npt.NDArray[np.generic]) -> Floats:
    """Weighted sum of `hit` over that of `among`, `[B]`, each `[N]`; NaN where nothing is among."""
    below = weights @ among.astype(np.float64)
    above = weights @ hit.astype(np.float64)
    share: Floats = np.divide(above, below, out=np.full(len(weights), np.nan), where=below > 0)
    return share
