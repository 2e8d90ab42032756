"""Plots of for whom a model works."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D

from training.groups import Compared, GroupFigures, Groups
from training.measures import FEW
from training.plots.canvas import BLUE, GREY, INK, RED, Plot, percent

GROUPS = Plot(
    "groups.png",
    "Figures by sex, age, part of the body and confirmation",
    "Each group with its 95 % interval, and a bar where all others stand. Red is clearly worse "
    "than all others, blue clearly better, hollow grey too few pictures to say.",
)

_SPACE = 0.8
"""rows between one attribute's groups and the next's"""


def forest(compared: Groups) -> Canvas:
    """A panel for each figure, a row for each group."""
    groups = compared.groups
    panels = [
        ("Balanced accuracy", [each.balanced_accuracy for each in groups]),
        ("Sensitivity", [each.sensitivity for each in groups]),
        ("Specificity", [each.specificity for each in groups]),
    ]
    panels = [(title, figures) for title, figures in panels if any(figures)]
    places = _places(groups)
    canvas = Canvas(figsize=(2 + 2.5 * len(panels), 1.9 + 0.23 * places[-1]), layout="constrained")
    axes = canvas.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for each, (title, figures) in zip(axes, panels, strict=True):
        for place, figure in zip(places, figures, strict=True):
            if figure is not None:
                _row(each, place, figure)
        each.set_title(title)
        each.set_xlim(-0.02, 1.02)
        each.set_xticks([0, 0.25, 0.5, 0.75, 1])
        each.grid(visible=False, axis="y")
        percent(each, "x")
        each.tick_params(axis="y", length=0)
    axes[0].set_yticks(places, [f"{each.name}  ({each.pictures})" for each in groups])
    axes[0].set_ylim(places[-1] + 0.7, -0.7)
    canvas.legend(handles=_legend(), loc="outside lower center", ncols=5, fontsize=8.5)
    return canvas


def _places(groups: Sequence[GroupFigures]) -> list[float]:
    """Where each group stands from top to bottom, with a space between attributes."""
    places: list[float] = []
    for index, each in enumerate(groups):
        if index == 0:
            places.append(0.0)
        else:
            apart = each.attribute != groups[index - 1].attribute
            places.append(places[-1] + 1 + _SPACE * apart)
    return places


def _row(axes: Axes, place: float, compared: Compared) -> None:
    own, few = compared.own, compared.own.n < FEW
    colour = RED if compared.is_worse else BLUE if compared.is_better else GREY if few else INK
    if compared.others is not None:
        others = compared.others.value
        axes.plot([others, others], [place - 0.38, place + 0.38], color="#A9B1B9", linewidth=2)
    axes.plot([own.low, own.high], [place, place], color=colour, linewidth=1.6)
    axes.plot(
        own.value,
        place,
        "o",
        color=colour,
        markerfacecolor="white" if few else colour,
        markeredgecolor=colour if few else "white",
        markersize=6.5,
    )


def _legend() -> list[Line2D]:
    dots = [
        ("like the others", INK, INK),
        ("clearly worse", RED, RED),
        ("clearly better", BLUE, BLUE),
        ("too few", GREY, "white"),
    ]
    return [
        *(
            Line2D([], [], marker="o", linestyle="none", label=label, color=c, markerfacecolor=face)
            for label, c, face in dots
        ),
        Line2D(
            [], [], marker="|", linestyle="none", markersize=10, label="all others", color="#A9B1B9"
        ),
    ]
