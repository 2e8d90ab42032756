"""How often the prediction sets hold the truth, and how large they are."""

from __future__ import annotations

from collections.abc import Mapping

from training.bootstrap import Figure
from training.card.markdown import images, interval, mark, note, percent, table
from training.metrics import CoverageFigures, Evaluation
from training.plots.canvas import Plot


def section(evaluation: Evaluation, plots: Mapping[str, Plot]) -> str:
    """Coverage overall and by diagnosis, sizes, and whether the promise is kept."""
    figures = evaluation.conformal
    if figures.coverage is None:
        return ""
    aim = 1 - figures.alpha
    rows = [
        [
            _named(each),
            f"{each.pictures}",
            interval(each.coverage),
            _kept(each.coverage, aim),
            interval(each.mean_size, 2),
        ]
        for each in figures.diagnoses
    ]
    largest = max((k for k, share in enumerate(figures.sizes, 1) if share.value > 0), default=0)
    sizes = [[f"{k}", interval(share)] for k, share in enumerate(figures.sizes[:largest], 1)]
    held = {
        "yes": "as promised",
        "more often": "more often than promised: the sets could be smaller",
        "less often": "**less often than promised**",
    }[_kept(figures.coverage, aim)]
    return "\n\n".join(
        [
            "## Prediction sets",
            f"The set should hold the truth in {percent(aim)} of pictures like these. Here it held "
            f"it in {interval(figures.coverage)} of {figures.coverage.n}, {held}. Diagnoses with "
            "few pictures stand together.",
            table(
                [
                    "diagnosis",
                    "pictures",
                    "share with the truth in the set",
                    f"{percent(aim)} within the interval",
                    "classes in the set, mean",
                ],
                rows,
            ),
            *note(each.pictures for each in figures.diagnoses),
            f"The sets have {interval(figures.mean_size, 2)} classes on average:",
            table(["classes in the set", "share of the pictures"], sizes),
            *images(plots, "sets"),
        ]
    )


def _named(figures: CoverageFigures) -> str:
    ids = ", ".join(f"`{id}`" for id in figures.ids)
    names = ids if figures.name in figures.ids else f"{figures.name}, {ids}"
    return names + mark(figures.pictures)


def _kept(coverage: Figure | None, aim: float) -> str:
    if coverage is None:
        return ""
    if coverage.low > aim:
        return "more often"
    return "less often" if coverage.high < aim else "yes"
