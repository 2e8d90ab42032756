"""For whom a model works, and for whom worse."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from training.card.markdown import DASH, either, images, interval, mark, signed, table
from training.groups import ATTRIBUTES, Compared, GroupFigures, Groups
from training.measures import FEW
from training.metrics import Evaluation
from training.plots.canvas import Plot

_ATTRIBUTES = {
    "sex": "sex",
    "age": "age in years",
    "site": "part of the body",
    "confirmation": "how the diagnosis was made",
}
_FIGURES = {
    "balanced_accuracy": "balanced accuracy",
    "sensitivity": "sensitivity of the verdict",
    "specificity": "specificity of the verdict",
}


def warning(evaluation: Evaluation) -> str:
    """Which groups are clearly worse off, for the card's first lines; empty where none is."""
    compared = evaluation.groups
    worse = [each for each in _clear(compared) if each.compared.is_worse] if compared else []
    if compared is None or not worse:
        return ""
    lines = [
        f"- {each.named}: {each.figure} {interval(each.compared.own)} of {each.compared.own.n} "
        f"pictures, against {interval(each.compared.others)} for all others"
        for each in worse
    ]
    return "\n".join(
        [
            f"**Clearly worse for some**, of {compared.compared} figures of groups that were "
            "compared (see [for whom](#for-whom)):",
            "",
            *lines,
        ]
    )


def section(evaluation: Evaluation, plots: Mapping[str, Plot]) -> str:
    """Every group's figures, and what stands out."""
    compared = evaluation.groups
    if compared is None:
        return (
            "## For whom\n\nThe table of these pictures does not say whom they are of, so nothing "
            "can be said about sex, age, part of the body or how the diagnosis was made."
        )
    lines = [
        "## For whom",
        "Balanced accuracy of the prediction, sensitivity and specificity of the verdict, with "
        "95 % intervals and the pictures that they are over. A group's balanced accuracy is over "
        f"the classes with at least {compared.least_of_class} pictures in the group and among all "
        "others, where benign and malignant are among them.",
    ]
    for attribute in ATTRIBUTES:
        listed = [each for each in compared.groups if each.attribute == attribute]
        if listed:
            lines += _of_attribute(attribute, listed, compared.unknown[attribute])
    return "\n\n".join([*lines, *_standing_out(compared), *images(plots, "groups")])


class _Clear(msgspec.Struct, frozen=True):
    """A figure of a group that is clearly worse or better than that of all others."""

    named: str
    figure: str
    compared: Compared


def _clear(compared: Groups) -> Iterator[_Clear]:
    for group in compared.groups:
        for field, name in _FIGURES.items():
            figure: Compared | None = getattr(group, field)
            if figure is not None and (figure.is_worse or figure.is_better):
                yield _Clear(f"{_ATTRIBUTES[group.attribute]}, {group.name}", name, figure)


def _of_attribute(attribute: str, groups: Sequence[GroupFigures], unknown: int) -> list[str]:
    rows = [
        [
            each.name,
            f"{each.pictures}",
            *(
                _cell(figure)
                for figure in (each.balanced_accuracy, each.sensitivity, each.specificity)
            ),
        ]
        for each in groups
    ]
    said = []
    ill = [each for each in groups if each.malignant]
    if attribute == "confirmation" and len(ill) == 1:
        said.append(
            f"All {ill[0].malignant} malignant pictures were confirmed by {ill[0].name}: of the "
            "others there is only specificity."
        )
    if unknown:
        said.append(f"Pictures of which this is not known: {unknown}.")
    header = [_ATTRIBUTES[attribute], "pictures", *_FIGURES.values()]
    return [table(header, rows), *([" ".join(said)] if said else [])]


def _cell(compared: Compared | None) -> str:
    if compared is None:
        return DASH
    over = f"{len(compared.classes)} classes, " if compared.classes else ""
    clear = ", **worse**" if compared.is_worse else ", better" if compared.is_better else ""
    return f"{interval(compared.own)}, {over}{compared.own.n}{mark(compared.own.n)}{clear}"


def _standing_out(compared: Groups) -> list[str]:
    figures = [getattr(group, field) for group in compared.groups for field in _FIGURES]
    few = any(each is not None and each.own.n < FEW for each in figures)
    asked = [
        group
        for group in compared.groups
        if any(each is not None and each.difference for each in _all(group))
    ]
    lines = [
        f"{compared.compared} figures of {len(asked)} groups were compared with those of all "
        "others. Who compares so much finds something by chance; so the intervals of the "
        "differences are wider, until all of them together hold in 95 of 100."
    ]
    if few:
        lines[0] += f" † Over fewer than {FEW} pictures: too few to say, and not compared."
    rows = [
        [
            each.named,
            each.figure,
            interval(each.compared.own),
            interval(each.compared.others),
            signed(each.compared.difference),
        ]
        for each in _clear(compared)
    ]
    if not rows:
        return [*lines, "No group stands out."]
    header = ["group", "figure", "the group", "all others", "difference, wider interval"]
    worse = sorted({each.figure for each in _clear(compared) if each.compared.is_worse})
    if worse:
        lines.append(
            f"Some groups are clearly worse off in {either(worse, 'and')}. That need not be for "
            "who they are: where more of the lesions are ill or doubtful, more of the benign look "
            "so too, and what went to histology had looked doubtful to a doctor. For whoever "
            "belongs to them, it is worse all the same."
        )
    return [*lines, table(header, rows)]


def _all(group: GroupFigures) -> list[Compared | None]:
    return [getattr(group, field) for field in _FIGURES]
