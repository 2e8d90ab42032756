"""Which recipes were tried, and what helped."""

from __future__ import annotations

from training.card.markdown import DASH, interval, signed, table
from training.recipes import Comparison, RecipeFigures

_MEASURES = {
    "balanced_accuracy": "balanced accuracy",
    "accuracy": "accuracy",
    "malignant_auc": "AUC, malignant",
    "melanoma_auc_away": "AUC of melanoma, {away}",
}


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
    rows = [[recipe.name, _what(recipe), *_figures(recipe, shown)] for recipe in comparison.recipes]
    lines = [
        "## What helped",
        f"Recipes were chosen on {comparison.pictures} pictures of {comparison.lesions} lesions of "
        f"the validation split{elsewhere}, never on the test split. Networks are compared as they "
        "left training, before anything was fitted; decisions are those of the largest "
        f"probability over its prior to the power of {comparison.tilt:g}. Under each figure stands "
        "how much larger it is than that of the recipe it is compared with, on the same pictures, "
        "each with its 95 % interval: one that holds zero may be chance. A run with one seed says "
        "nothing about other seeds.",
        table(["recipe", "what is otherwise", *shown.values()], rows),
    ]
    return "\n\n".join(lines)


def _what(recipe: RecipeFigures) -> str:
    said = "; ".join(recipe.changed) or "nothing"
    return f"{said} (against {recipe.against})" if recipe.against else said


def _figures(recipe: RecipeFigures, shown: dict[str, str]) -> list[str]:
    found = {each.measure: each for each in recipe.figures}
    return [
        interval(found[name].figure)
        + (f"<br>{signed(found[name].difference)}" if found[name].difference else "")
        if name in found
        else DASH
        for name in shown
    ]
