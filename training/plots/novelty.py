"""Plots of how unlike the training pictures others are."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure as Canvas

from training.plots.canvas import INK, RED, SKY, Plot
from training.predictions import Predictions

NOVELTY = Plot(
    "novelty.png",
    "Novelty scores",
    "How unlike the training pictures these are; those beyond the line are refused.",
)


def novelty(predictions: Predictions, threshold: float) -> Canvas:
    """The scores, with those beyond the threshold in another colour."""
    canvas = Canvas(figsize=(7, 3.2), layout="constrained")
    axes = canvas.subplots()
    finite = predictions.novelty[np.isfinite(predictions.novelty)]
    low = min(float(finite.min(initial=threshold)), threshold)
    high = max(float(np.percentile(finite, 99.5)) if len(finite) else threshold, threshold)
    margin = 0.05 * (high - low) or 1.0
    edges = np.linspace(low - margin, high + 4 * margin, 49).tolist()
    # What lies beyond the axis, or is no number at all, is counted in its last bar.
    shown = np.clip(np.nan_to_num(predictions.novelty, nan=np.inf), edges[0], edges[-1])
    axes.hist(
        [shown[~predictions.refused], shown[predictions.refused]],
        edges,
        stacked=True,
        color=[SKY, RED],
        edgecolor="white",
        linewidth=0.6,
        label=[
            f"answered ({(~predictions.refused).sum()})",
            f"refused ({predictions.refused.sum()})",
        ],
    )
    axes.axvline(threshold, color=INK, linewidth=1.4)
    axes.set(xlabel="novelty", ylabel="pictures", xlim=(edges[0], edges[-1]))
    axes.grid(visible=False, axis="x")
    # Above the axes: the threshold may stand anywhere.
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
    return canvas
