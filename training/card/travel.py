"""How a model does on pictures of other clinics."""

from __future__ import annotations

from training.bootstrap import Figure
from training.card.markdown import DASH, counted, either, interval, signed, table
from training.metrics import Evaluation
from training.travel import TravelFigures

_MEASURES = {
    "melanoma_auc": "AUC, melanoma against all else, by the malignant probability",
    "malignant_auc": "AUC, malignant against benign",
    "malignant_sensitivity": "sensitivity of the verdict",
    "malignant_specificity": "specificity of the verdict",
    "balanced_accuracy": "balanced accuracy over the classes there",
    "accuracy": "accuracy",
    "refused": "refused as unlike the training pictures",
    "calibration_error": "calibration error, likeliest class",
    "malignant_calibration_error": "calibration error, malignant probability",
}


def section(evaluation: Evaluation) -> str:
    """A table for each set; nothing where none was given."""
    if not evaluation.travel:
        return ""
    lines = [
        "## On pictures of other clinics",
        "Whoever uploads a picture is another clinic. Beside each figure stands that of the test "
        "split's pictures of the same diagnoses, and how much larger it is away, with intervals of "
        "95 %. The calibration errors are not subtracted, because chance leaves more of them the "
        "fewer the pictures: what it leaves at most in 95 of 100 perfectly calibrated models "
        "stands behind them.",
    ]
    for figures in evaluation.travel:
        lines += _of_set(figures, evaluation.dataset)
    return "\n\n".join(lines)


def _of_set(figures: TravelFigures, home: str) -> list[str]:
    rows = [
        [
            _MEASURES[each.measure],
            _cell(each.away, each.away_by_chance),
            _cell(each.at_home, each.home_by_chance),
            signed(each.difference),
        ]
        for each in figures.figures
    ]
    said = [
        f"{counted(figures.pictures, figures.lesions, figures.unit)}: "
        f"{either(figures.diagnoses, 'and')}.",
        figures.remark,
        f"Licence {figures.licence}; {figures.source}.",
    ]
    if figures.learned_from:
        said.insert(
            2,
            f"**The model learned from {either(figures.learned_from, 'and')}, which comes from the "
            "same clinics: to this model these are no other clinics any more.**",
        )
    return [
        f"### {figures.name[:1].upper()}{figures.name[1:]}",
        " ".join(part for part in said if part),
        table(["", figures.name, f"{home}, same diagnoses", "larger away by"], rows),
    ]


def _cell(figure: Figure | None, by_chance: float | None) -> str:
    if figure is None:
        return DASH
    chance = "" if by_chance is None else f", by chance at most {by_chance:.3f}"
    return f"{interval(figure)}, {figure.n}{chance}"
