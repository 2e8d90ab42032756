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
    figures, tried = evaluation.refusals, evaluation.cameras
    if figures is None:
        return ""
    unlike: list[tuple[str, Figure | None]] = [
        (f"drawn: {_KINDS[each.name]}", each.share) for each in figures.strangers
    ]
    unlike.append(("photographs of other things", figures.photographs))
    like: list[tuple[str, Figure | None]] = [
        (evaluation.dataset, evaluation.refused),
        *((f"the same, {each.name}", each.refused) for each in (tried.changes if tried else [])),
        *(
            (each.name, figure.away)
            for each in evaluation.travel
            for figure in each.figures
            if figure.measure == "refused"
        ),
    ]
    lines = [
        "## What is no lesion",
        "Whoever uploads something else should be told so. Of pictures that show no lesion nearly "
        "all should be refused. The score was chosen with other drawings of the same kinds and "
        "with photographs in view, and fitted to none.",
        table(_HEADER, figure_rows(unlike)),
        "" if figures.photographs else "No folder of photographs was named, so none was tried.",
        "Of pictures of lesions few should be refused, wherever they come from and whatever they "
        "went through.",
        table(_HEADER, figure_rows(like)),
    ]
    return "\n\n".join(line for line in lines if line)
