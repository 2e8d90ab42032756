"""Plots of the prediction sets."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure as Canvas

from training.plots.canvas import INK, RED, SKY, Plot
from training.predictions import Predictions

SETS = Plot(
    "sets.png",
    "Sizes of the prediction sets",
    "How many classes the sets have, and in how many of each size the truth is missing.",
)


def sets(predictions: Predictions) -> Canvas:
    """A bar for each size of set, of those that hold the truth and those that do not."""
    count, classes = predictions.sets.shape
    sizes = predictions.sets.sum(axis=1)
    held = predictions.sets[np.arange(count), predictions.truth]
    steps = np.arange(1, classes + 1)
    right = np.bincount(sizes[held], minlength=classes + 1)[1:]
    wrong = np.bincount(sizes[~held], minlength=classes + 1)[1:]
    canvas = Canvas(figsize=(7, 3.2), layout="constrained")
    axes = canvas.subplots()
    axes.bar(steps, right, color=SKY, label=f"truth in the set ({held.sum()})")
    axes.bar(steps, wrong, bottom=right, color=RED, label=f"truth missing ({(~held).sum()})")
    for step, total in zip(steps, right + wrong, strict=True):
        share = f"{total / count:.0%}" if total / count >= 0.005 or not total else "<1%"
        axes.annotate(
            share,
            (step, total),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            color=INK,
            fontsize=9,
        )
    axes.set_xticks(steps)
    axes.margins(y=0.12)
    axes.grid(visible=False, axis="x")
    axes.set(xlabel="classes in the set", ylabel="pictures")
    axes.legend(loc="upper right")
    return canvas
