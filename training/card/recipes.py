"""Which recipes were tried, and what helped."""

from __future__ import annotations

from training.card.markdown import DASH, either, interval, signed, table
from training.comparison import Comparison, RecipeFigures

_MEASURES = {
    "balanced_accuracy": "balanced accuracy",
    "accuracy": "accuracy",
    "malignant_auc": "AUC, malignant",
    "melanoma_auc_away": "AUC of melanoma, {away}",
}
_CHOSEN_HERE = "‡"


def section(comparison: Comparison | None) -> str:
    """A row for each recipe; nothing where none were compared."""
    if comparison is None:
        return ""
    shown = {
        name: title.format(away=comparison.away_name)
        for name, title in _MEASURES.items()
        if any(each.measure == name for recipe in comparison.recipes for each in recipe.figures)
    }
    elsewhere = (
        f" and {comparison.away} pictures of {comparison.away_name}" if comparison.away else ""
    )
    rows = [
        [_name(recipe), _what(recipe), *_figures(recipe, shown), f"{recipe.hours:.1f}"]
        for recipe in comparison.recipes
    ]
    lines = [
        "## What helped",
        f"Recipes were chosen on {comparison.pictures} pictures of {comparison.lesions} lesions of "
        f"the validation split{elsewhere}, never on the test split. Networks are compared as they "
        "left training, before anything was fitted; decisions are those of the largest "
        f"probability over its prior to the power of {comparison.tilt:g}. Behind each figure "
        "stands how much larger it is than that of the recipe it is compared with, on the same "
        "pictures. Every interval holds in 95 of 100 by itself: of twenty differences that "
        "are none, one looks like one. A run has one seed and says nothing about others.",
        table(["recipe", "what is otherwise", *shown.values(), "hours"], rows),
        _chosen_here(comparison),
        _akin(comparison),
    ]
    return "\n\n".join(line for line in lines if line)


def _name(recipe: RecipeFigures) -> str:
    return f"{recipe.name} {_CHOSEN_HERE}" if recipe.chosen_here else recipe.name


def _what(recipe: RecipeFigures) -> str:
    said = "; ".join(recipe.changed) or "nothing"
    return f"{said} (against {recipe.against})" if recipe.against else said


def _figures(recipe: RecipeFigures, shown: dict[str, str]) -> list[str]:
    found = {each.measure: each for each in recipe.figures}
    return [
        interval(found[name].figure)
        + (f", {signed(found[name].difference)}" if found[name].difference else "")
        if name in found
        else DASH
        for name in shown
    ]


def _chosen_here(comparison: Comparison) -> str:
    if not any(recipe.chosen_here for recipe in comparison.recipes):
        return ""
    return (
        f"{_CHOSEN_HERE} One of its checkpoints was chosen on these very pictures of the "
        "validation split, which favours it there."
    )


def _akin(comparison: Comparison) -> str:
    learned = [recipe for recipe in comparison.recipes if recipe.akin]
    if not learned:
        return ""
    sets = list(dict.fromkeys(name for recipe in learned for name in recipe.akin))
    return (
        f"**{either([recipe.name for recipe in learned], 'and')} learned from "
        f"{either(sets, 'and')}, which comes from the same clinics: to them {comparison.away_name} "
        "are no others any more.**"
    )
