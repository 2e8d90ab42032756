"""How good a model is, overall and by class."""

from __future__ import annotations

from collections.abc import Mapping

from serving.manifest import Manifest
from training.card.markdown import (
    counted,
    either,
    figure_rows,
    images,
    interval,
    mark,
    pixels,
    table,
)
from training.measures import FEW, FEW_LESIONS
from training.metrics import ClassFigures, Evaluation
from training.plots.canvas import Plot


def overall(evaluation: Evaluation) -> str:
    """The figures over all pictures."""
    malignant = evaluation.malignant
    rows = figure_rows(
        [
            ("Balanced accuracy", evaluation.balanced_accuracy),
            ("Accuracy", evaluation.accuracy),
            ("Truth among the three likeliest", evaluation.top3_accuracy),
            ("Malignant: AUC", malignant.auc if malignant else None),
            ("Malignant: sensitivity of the verdict", malignant.sensitivity if malignant else None),
            ("Malignant: specificity of the verdict", malignant.specificity if malignant else None),
            ("Calibration error", evaluation.calibration.error),
            ("Truth in the prediction set", evaluation.conformal.coverage),
            ("Refused as unlike the training pictures", evaluation.refused),
        ]
    )
    absent = [c.id for c in evaluation.classes if not c.pictures]
    count = counted(evaluation.pictures, evaluation.lesions, evaluation.unit)
    lines = [
        "## Results",
        f"Measured on **{evaluation.dataset}**: "
        f"{count}, run from their files through the "
        f"code that serves. {_size(evaluation)}Intervals hold 95 %; they are drawn "
        f"{evaluation.resamples} times over {_drawn(evaluation)} Where all drawings would agree, "
        f"or an AUC has fewer than {FEW_LESIONS} {evaluation.cases} on a side, they are as wide "
        "as Clopper and Pearson's for as many.",
    ]
    if evaluation.remark:
        lines.append(evaluation.remark)
    if evaluation.left_out:
        lines.append(
            f"Left out: {evaluation.left_out} rows without a readable picture or with a label that "
            "is none of the model's classes."
        )
    if absent:
        lines.append(
            f"No picture here is {either(absent)}: the balanced accuracy is the mean over the "
            f"other {len(evaluation.classes) - len(absent)} classes, and nothing can be said about "
            "these."
        )
    header = ["", "value", "95 % interval", "pictures"]
    lines.append(table(header, rows))
    if once := evaluation.per_lesion:
        lines += [
            _once(evaluation),
            table(
                header,
                figure_rows(
                    [
                        ("Balanced accuracy", once.balanced_accuracy),
                        ("Accuracy", once.accuracy),
                        ("Malignant: AUC", once.malignant_auc),
                    ]
                ),
            ),
        ]
    return "\n\n".join(lines)


def _once(evaluation: Evaluation) -> str:
    """Why it makes a difference to count each lesion, or what else the unit is, once."""
    if evaluation.unit == "lesion":
        return (
            f"Of {evaluation.lesions} lesions some were photographed several times, the doubtful "
            "ones more often. With each lesion counting once, however many pictures show it:"
        )
    return (
        f"Of {evaluation.lesions} {evaluation.unit}s some have several pictures. With each "
        f"{evaluation.unit} counting once, however many these are:"
    )


def _drawn(evaluation: Evaluation) -> str:
    unit = evaluation.unit
    if evaluation.knows_lesions:
        return f"{unit}s, because two pictures of one {unit} are not two cases."
    return (
        "pictures: which lesion a picture shows is not known, and where several show one the "
        "intervals are too narrow."
    )


def _size(evaluation: Evaluation) -> str:
    size = evaluation.picture_size
    return f"The pictures' size in pixels is {pixels(size)}. " if size else ""


def by_class(manifest: Manifest, evaluation: Evaluation, plots: Mapping[str, Plot]) -> str:
    """Each class against all others."""
    rows = [_class_row(c) for c in evaluation.classes if c.pictures]
    cases = f"{evaluation.unit}s"
    header = ["class", "pictures", cases, "sensitivity", "specificity", "AUC"]
    few = [c.id for c in evaluation.classes if 0 < c.pictures < FEW]
    offsets = ", ".join(f"{id} {manifest.decision_offsets[id]:.2f}" for id in manifest.class_ids)
    lines = [
        "### Each class against the others",
        "The predicted class is the one with the largest probability times its offset, so that "
        f"rare classes get their due: {offsets}. Sensitivity and specificity are of that class.",
        table(header, rows),
    ]
    if few:
        lines.append(
            f"† Fewer than {FEW} pictures ({', '.join(few)}): such a figure says little, as its "
            "interval shows."
        )
    return "\n\n".join([*lines, *images(plots, "confusion", "roc", "confidence")])


def _class_row(figures: ClassFigures) -> list[str]:
    malignant = " (malignant)" if figures.malignant and figures.id != "malignant" else ""
    return [
        f"{figures.name}, `{figures.id}`{malignant}{mark(figures.pictures)}",
        f"{figures.pictures}",
        f"{figures.lesions}",
        *(interval(each) for each in (figures.sensitivity, figures.specificity, figures.auc)),
    ]
