"""A plot of what changes where other cameras give the same pictures."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter

from training.bootstrap import Figure
from training.cameras import CameraFigures
from training.plots.canvas import INK, RED, Plot

CAMERAS = Plot(
    "cameras.png",
    "Balanced accuracy and AUC gained by each change to the pictures",
    "How much larger each figure is where the same pictures are changed, in points, with 95 % "
    "intervals that hold for all rows together. Red lies below zero.",
)


def forest(changes: Sequence[CameraFigures]) -> Canvas:
    """A panel for each figure, a row for each change."""
    panels = [
        ("Balanced accuracy", [each.balanced_accuracy_gained for each in changes]),
        ("AUC, malignant", [each.malignant_auc_gained for each in changes]),
    ]
    panels = [(title, figures) for title, figures in panels if any(figures)]
    canvas = Canvas(figsize=(2 + 3 * len(panels), 1.6 + 0.25 * len(changes)), layout="constrained")
    axes = canvas.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for each, (title, figures) in zip(axes, panels, strict=True):
        each.axvline(0, color="#A9B1B9", linewidth=1.5)
        for place, figure in enumerate(figures):
            if figure is not None:
                _row(each, place, figure)
        each.set_title(title)
        each.grid(visible=False, axis="y")
        each.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{100 * x:+.0f}" if x else "0"))
        each.tick_params(axis="y", length=0)
    axes[0].set_yticks(range(len(changes)), [each.name for each in changes])
    axes[0].set_ylim(len(changes) - 0.4, -0.6)
    return canvas


def _row(axes: Axes, place: int, gained: Figure) -> None:
    colour = RED if gained.high < 0 else INK
    axes.plot([gained.low, gained.high], [place, place], color=colour, linewidth=1.6)
    axes.plot(gained.value, place, "o", color=colour, markeredgecolor="white", markersize=6.5)
