"""How a model answers when other cameras and programs give the same pictures."""

from __future__ import annotations

from collections.abc import Mapping

from training.card.markdown import either, images, interval, signed, table
from training.metrics import Evaluation
from training.plots.canvas import Plot


def section(evaluation: Evaluation, plots: Mapping[str, Plot]) -> str:
    """A row for each change; nothing where none was tried."""
    if not evaluation.cameras:
        return ""
    rows = [
        [
            each.name,
            interval(each.balanced_accuracy),
            signed(each.balanced_accuracy_gained),
            signed(each.malignant_auc_gained),
        ]
        for each in evaluation.cameras
    ]
    lines = [
        "## Any camera",
        f"The same {evaluation.pictures} pictures, changed as other cameras and programs would "
        "change them, and how much larger each figure is than of the pictures as they are, over "
        "the same lesions drawn again: what does not hold zero is no chance. Brightness is of the "
        "levels, a blur is the standard deviation of a Gaussian in shorter sides. Enlarged and "
        "shrunk pictures were saved as JPEG of quality 92, turned, lit and blurred ones without "
        "loss.",
        table(["", "balanced accuracy", "gained", "gained in AUC, malignant"], rows),
        _judged(evaluation),
    ]
    return "\n\n".join([*lines, *images(plots, "cameras")])


def _judged(evaluation: Evaluation) -> str:
    """Which changes cost balanced accuracy beyond chance."""
    worse = [
        each.name
        for each in evaluation.cameras
        if each.balanced_accuracy_gained is not None and each.balanced_accuracy_gained.high < 0
    ]
    if not worse:
        return "No change costs balanced accuracy beyond chance."
    return f"**Balanced accuracy is lower beyond chance where pictures are {either(worse)}.**"
