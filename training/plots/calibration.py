"""Plots of how far probabilities mean what they say."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter, SymmetricalLogLocator

from serving.manifest import Manifest
from training.bootstrap import Figure, Floats
from training.measures import BINS, bin_of
from training.metrics import Evaluation
from training.plots.canvas import BLUE, RED, Plot, percent
from training.predictions import Predictions
from training.scaling import Scaling

_FIRM = 10
"""Bins of a reliability plot with fewer pictures are drawn small."""

RELIABILITY = Plot(
    "reliability.png",
    "Reliability before and after calibration",
    "Where the model says 80 %, it should be right in 80 of 100: points on the diagonal. Below, "
    "how many pictures each point speaks for; small points speak for fewer than ten. Beside each "
    "error stands what chance leaves of it in 95 of 100 perfectly calibrated models.",
)


def reliability(predictions: Predictions, evaluation: Evaluation, manifest: Manifest) -> Canvas:
    """Shares by the probability given, before calibration and after."""
    canvas = Canvas(figsize=(8, 4.8), layout="constrained")
    axes = canvas.subplots(
        2, 2, sharex=True, sharey="row", gridspec_kw={"height_ratios": [4, 1.3], "hspace": 0.03}
    )
    before, after = evaluation.uncalibrated, evaluation.calibration
    raw = Scaling.of(manifest).undo(predictions.probability)
    panels = (
        ("Before", raw, before),
        ("After", predictions.probability, after),
    )
    flags = np.array([c.malignant for c in predictions.classes])
    for column, (title, probability, figures) in enumerate(panels):
        upper, lower = axes[0, column], axes[1, column]
        upper.plot([0, 1], [0, 1], color="#C4CAD0", linewidth=1, linestyle=(0, (4, 3)))
        hit = probability.argmax(axis=1) == predictions.truth
        label = f"likeliest class\n{_told(figures.error, figures.error_by_chance)}"
        _bins(upper, lower, probability.max(axis=1), hit, BLUE, "o", label)
        if flags.any():
            score = probability[:, flags].sum(axis=1).clip(0, 1)
            error, by_chance = figures.malignant_error, figures.malignant_error_by_chance
            label = f"malignant\n{_told(error, by_chance)}"
            _bins(upper, lower, score, predictions.malignant, RED, "s", label)
        upper.set_title(title)
        upper.legend(loc="lower right")
        upper.set(xlim=(0, 1.01), ylim=(0, 1.03))
        percent(upper, "y")
        percent(lower, "x")
        lower.set_xlabel("probability that the model gives")
    axes[0, 0].set_ylabel("share that is so")
    axes[1, 0].set_ylabel("pictures")
    return canvas


def _bins(
    upper: Axes,
    lower: Axes,
    confidence: Floats,
    hit: np.ndarray,
    colour: str,
    marker: str,
    label: str,
) -> None:
    """Share of hits by mean confidence in `upper`, the bins' counts in `lower`."""
    bins = bin_of(confidence)
    counts = np.bincount(bins, minlength=BINS)
    used = counts > 0
    means = np.bincount(bins, confidence, BINS)[used] / counts[used]
    shares = np.bincount(bins, hit, BINS)[used] / counts[used]
    # Points with little behind them are small and stand alone, so that chance looks like chance.
    firm = counts[used] >= _FIRM
    dots: dict[str, Any] = {"color": colour, "marker": marker, "markeredgecolor": "white"}
    upper.plot(means[firm], shares[firm], markersize=7, linewidth=0.9, label=label, **dots)
    upper.plot(means[~firm], shares[~firm], markersize=4, linestyle="none", **dots)
    lower.stairs(counts, np.linspace(0, 1, BINS + 1), color=colour, linewidth=1.4)
    lower.set_yscale("symlog", linthresh=1)
    lower.yaxis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=1))
    lower.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))


def _told(error: Figure | None, by_chance: float | None) -> str:
    """The error, and what chance alone would leave of it."""
    if error is None or by_chance is None:
        return "unknown"
    return f"error {error.value:.3f}, chance ≤ {by_chance:.3f}"
