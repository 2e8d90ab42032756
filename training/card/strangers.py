"""Which pictures a model refuses: those that are no lesion, and changed ones of lesions."""

from __future__ import annotations

from training.bootstrap import Figure
from training.card.markdown import figure_rows, table
from training.metrics import Evaluation

_KINDS = {
    "blank": "one colour",
    "gradient": "gradients",
    "noise": "noise",
    "pattern": "stripes, checks, dots",
    "text": "pages of text",
    "screenshot": "screenshots",
    "chart": "charts",
    "skin": "plain skin",
    "face": "drawn faces",
}

_HEADER = ["", "share refused", "95 % interval", "pictures"]


def section(evaluation: Evaluation) -> str:
    """Two tables, of what should be refused and of what should not; nothing where not measured."""
    figures = evaluation.refusals
    if figures is None:
        return ""
    unlike: list[tuple[str, Figure | None]] = [
        (f"drawn: {_KINDS[each.name]}", each.share) for each in figures.strangers
    ]
    lines = [
        "## What is no lesion",
        "Whoever uploads something else should be told so. Refused, of pictures that show no "
        "lesion (the nearer to 1 the better):",
    ]
    if figures.photographs is None:
        unlike_said = "Photographs of other things were not tried: no folder of them was named."
    else:
        unlike.append(("photographs of other things", figures.photographs))
        unlike_said = ""
    like: list[tuple[str, Figure | None]] = [(evaluation.dataset, evaluation.refused)]
    like += [(f"the same, {each.name}", each.share) for each in figures.lesions]
    like += [
        (each.name, figure.away)
        for each in evaluation.travel
        for figure in each.figures
        if figure.measure == "refused"
    ]
    lines += [
        table(_HEADER, figure_rows(unlike)),
        unlike_said,
        "Refused, of pictures of lesions (the nearer to 0 the better; of what the model learned "
        "from other pictures, it should accept as many):",
        table(_HEADER, figure_rows(like)),
    ]
    return "\n\n".join(line for line in lines if line)
