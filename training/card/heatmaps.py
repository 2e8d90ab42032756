"""Whether the heatmaps say more than a guess."""

from __future__ import annotations

from collections.abc import Mapping

from training.bootstrap import Figure
from training.card.markdown import images, interval, percent, signed, table
from training.heatmaps import Guessed, HeatmapFigures
from training.metrics import Evaluation
from training.plots.canvas import Plot

_MANY_BLANK = 0.1
"""share of maps without evidence from which on it is told in bold"""


def section(evaluation: Evaluation, plots: Mapping[str, Plot]) -> str:
    """Both measures beside both guesses, and in words whether the heatmaps are any better."""
    figures = evaluation.heatmaps
    if figures is None:
        return ""
    settings = figures.settings
    rows = [
        _row("weight inside the lesion's outline", figures.inside),
        _row(f"probability lost with {percent(settings.hottest)} blurred", figures.drop),
        _row("weight inside, maps with evidence", figures.inside_with_evidence),
        _row("probability lost, maps with evidence", figures.drop_with_evidence),
    ]
    lines = [
        "## Where it looked",
        "Whether the heatmap of the predicted class, which the page shows first, says more than a "
        "guess that knows nothing of the picture. The guesses: the middle, as a Gaussian of "
        f"{settings.centre:g} sides, because most pictures have their lesion there; and anywhere, "
        "which is the whole picture for the weight, and cells drawn by chance for what is blurred. "
        f"The hottest {percent(settings.hottest)} of the picture are blurred away (by "
        f"{settings.blur:g} sides), and what the predicted class's probability loses is what "
        "mattered there. With everything blurred it loses "
        f"{interval(figures.drop_everything)}, over {figures.drop_everything.n} pictures.",
        *_of_blank(figures),
        table(
            [
                "",
                "heatmap",
                "the middle",
                "anywhere",
                "over the middle",
                "over anywhere",
                "pictures",
            ],
            [row for row in rows if row],
        ),
        f"**In plain words: {told(figures.inside, figures.drop)}**",
    ]
    if figures.inside is None:
        lines.append(
            "Outlines of the lesions were not at hand: how much of the weight lies inside them is "
            "left out."
        )
    return "\n\n".join([*lines, *images(plots, "heatmaps")])


def _of_blank(figures: HeatmapFigures) -> list[str]:
    """How many maps say nothing; nothing where none do."""
    if not figures.blank:
        return []
    share = figures.blank / figures.pictures
    told_share = percent(share) if share >= 0.01 else "less than 1 %"
    mark = "**" if share >= _MANY_BLANK else ""
    return [
        f"{mark}{figures.blank} of {figures.pictures} maps ({told_share}) have no evidence at "
        f"all{mark}: no region raised the class's score. They count as the whole picture, and "
        "what would be blurred is drawn by chance; the rows of maps with evidence leave them out."
    ]


def told(inside: Guessed | None, drop: Guessed) -> str:
    """What the intervals of the differences to the middle allow to say."""
    verdicts = {"by the lesion's outline": inside, "by what the model loses": drop}
    words = {name: _word(each.over_centre) for name, each in verdicts.items() if each}
    first, *rest = words
    text = f"{first}, the heatmap is {words[first]} than a guess at the middle"
    text += "".join(f", {name} it is {words[name]}" for name in rest) + "."
    if set(words.values()) == {"better"}:
        return text
    return f"{text} Do not take it for where the lesion is."


def _word(difference: Figure) -> str:
    if difference.low > 0:
        return "better"
    return "worse" if difference.high < 0 else "no better"


def _row(name: str, guessed: Guessed | None) -> list[str]:
    if guessed is None:
        return []
    return [
        name,
        interval(guessed.heatmap),
        interval(guessed.centre),
        interval(guessed.chance),
        signed(guessed.over_centre),
        signed(guessed.over_chance),
        f"{guessed.heatmap.n}",
    ]
