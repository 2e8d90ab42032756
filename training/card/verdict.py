"""What the verdict catches and what it misses."""

from __future__ import annotations

from collections.abc import Mapping

from serving.manifest import Manifest
from training.card.markdown import images, interval, mark, note, percent, table
from training.labels import MELANOMA
from training.metrics import Evaluation, MalignantFigures
from training.plots.canvas import Plot


def section(manifest: Manifest, evaluation: Evaluation, plots: Mapping[str, Plot]) -> str:
    """The threshold, what it reached on other pictures and here, and each malignant diagnosis."""
    figures = evaluation.malignant
    if figures is None:
        return ""
    point = manifest.operating_points[0]
    low, high = point.interval
    lines = [
        "## The verdict",
        "A picture is called suspicious from a malignant probability of "
        f"{percent(figures.threshold, 1)} on. The threshold was chosen to miss few malignant "
        "lesions at the price of false alarms. It was fitted on the calibration split, like the "
        "calibration, the offsets, the prediction sets and the other thresholds"
        f"{_others(evaluation)}. There it reached a sensitivity of "
        f"{point.sensitivity:.3f} ({low:.3f} to {high:.3f}, {point.n} malignant pictures) and a "
        f"specificity of {point.specificity:.3f}.",
        " ".join(_counts(figures)),
    ]
    if any(each.id != "malignant" for each in figures.diagnoses):
        rows = [
            [
                f"{_named(each.name, each.id)}{mark(each.pictures)}",
                f"{each.pictures}",
                f"{each.missed}",
                interval(each.sensitivity),
            ]
            for each in figures.diagnoses
        ]
        lines.append(table(["malignant diagnosis", "pictures", "missed", "sensitivity"], rows))
        lines += note(each.pictures for each in figures.diagnoses)
    return "\n\n".join([*lines, *images(plots, "operating_point")])


def _others(evaluation: Evaluation) -> str:
    """That the calibration split is apart, of a report over the test part of the same split."""
    if evaluation.split_digest is None:
        return ""
    return f": on other {evaluation.cases} than the network learned from or are counted here"


def _counts(figures: MalignantFigures) -> list[str]:
    said = []
    if figures.pictures:
        said.append(
            f"Of {figures.pictures} malignant pictures it **missed {figures.missed}** "
            f"(sensitivity {interval(figures.sensitivity, brackets=False)})."
        )
    said += [
        f"Of {each.pictures} pictures of melanoma it **missed {each.missed}** "
        f"(sensitivity {interval(each.sensitivity, brackets=False)})."
        for each in figures.diagnoses
        if each.id == MELANOMA
    ]
    if figures.benign:
        said.append(
            f"Of {figures.benign} benign pictures it called {figures.alarmed} suspicious "
            f"(specificity {interval(figures.specificity, brackets=False)})."
        )
    return said


def _named(name: str, id: str) -> str:
    return f"`{id}`" if name == id else f"{name}, `{id}`"
