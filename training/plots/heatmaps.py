"""Plots of where a model looked."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from training.heatmaps import Guessed, HeatmapFigures
from training.plots.canvas import BLUE, GREY, INK, Plot, percent

HEATMAPS = Plot(
    "heatmaps.png",
    "The heatmaps beside guesses",
    "What the heatmaps reach and what guesses reach that know nothing of the picture, with their "
    "95 % intervals: further to the right is better.",
)


def heatmaps(figures: HeatmapFigures) -> Canvas:
    """A panel for each measure, a row for the heatmap and each guess."""
    panels = [("Weight inside the lesion", figures.inside, "the whole picture")] * (
        figures.inside is not None
    )
    lost = f"Probability lost, {figures.settings.hottest:.0%} blurred"
    panels.append((lost, figures.drop, "drawn by chance"))
    canvas = Canvas(figsize=(1.2 + 3.4 * len(panels), 2.5), layout="constrained")
    axes = canvas.subplots(1, len(panels), squeeze=False)[0]
    for each, (title, guessed, chance) in zip(axes, panels, strict=True):
        if guessed is not None:
            _panel(each, title, guessed, chance)
    return canvas


def _panel(axes: Axes, title: str, guessed: Guessed, chance: str) -> None:
    rows = [
        ("heatmap", guessed.heatmap, BLUE),
        ("Gaussian in\nthe middle", guessed.centre, INK),
        (chance.replace(" ", "\n", 1), guessed.chance, GREY),
    ]
    for row, (_, figure, colour) in enumerate(rows):
        axes.plot([figure.low, figure.high], [row, row], color=colour, linewidth=2.4)
        axes.plot(figure.value, row, "o", color=colour, markeredgecolor="white", markersize=8)
        axes.annotate(
            f"{figure.value:.1%}",
            (figure.value, row),
            xytext=(0, 8),
            textcoords="offset points",
            ha="center",
            fontsize=8.5,
            color=colour,
        )
    axes.set_yticks(range(len(rows)), [name for name, _, _ in rows])
    axes.set_ylim(len(rows) - 0.5, -0.7)
    axes.set_xlim(min(0.0, *(f.low for _, f, _ in rows)), 1.15 * max(f.high for _, f, _ in rows))
    axes.grid(visible=False, axis="y")
    axes.set_title(title)
    percent(axes, "x")
