"""Which recipes were tried, and what helped."""

from __future__ import annotations

from training.card.markdown import DASH, counted, either, interval, signed, table
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
    count = counted(comparison.pictures, comparison.lesions, comparison.unit)
    rows = [
        [_name(recipe), _what(recipe), *_figures(recipe, shown), f"{recipe.hours:.1f}"]
        for recipe in comparison.recipes
    ]
    lines = [
        "## What helped",
        f"Recipes are compared on the validation split ("
        f"{count}){elsewhere}, not on the test split. "
        "Networks are compared "
        f"{_norms(comparison)}before anything was fitted on the calibration split; the decision is "
        "the class whose probability over its prior to the power of "
        f"{comparison.tilt:g} is the largest. After each figure comes how much larger it is than "
        "that of the recipe named in brackets, on the same pictures. Each 95 % interval stands by "
        "itself: of twenty comparisons without a real difference, about one will seem to show one. "
        "Each run was trained once, so the intervals do not tell how much a second run would "
        "differ. Hours are of the runs whose weights went in, not of those that they learned from "
        "or went on from.",
        table(["recipe", "what is otherwise", *shown.values(), "hours"], rows),
        _chosen_here(comparison),
        _akin(comparison),
    ]
    return "\n\n".join(line for line in lines if line)


def _norms(comparison: Comparison) -> str:
    """Whose norms were renewed: all, some or nobody's."""
    renewed = [f"“{recipe.name}”" for recipe in comparison.recipes if recipe.renewed]
    if not renewed:
        return ""
    some = len(renewed) < len(comparison.recipes)
    whose = f"the norms of {either(renewed, 'and')}" if some else "their norms"
    return f"with {whose} renewed, "


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
        f"{_CHOSEN_HERE} One of its checkpoints, or of those it learned from, was chosen on these "
        "very pictures of the validation split, which favours it there."
    )


def _akin(comparison: Comparison) -> str:
    learned = [recipe for recipe in comparison.recipes if recipe.akin]
    if not learned:
        return ""
    sets = list(dict.fromkeys(name for recipe in learned for name in recipe.akin))
    names = either([f"“{recipe.name}”" for recipe in learned], "and")
    return (
        f"**{names} learned from {either(sets, 'and')}, whose pictures come from the same clinics: "
        f"for them the column of {comparison.away_name} is not about other clinics.**"
    )
