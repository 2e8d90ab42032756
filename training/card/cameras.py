"""How a model answers when other cameras and programs give the same pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from training.cameras import CameraFigures
from training.card.markdown import images, interval, signed, table
from training.metrics import Evaluation
from training.plots.canvas import Plot


def section(evaluation: Evaluation, plots: Mapping[str, Plot]) -> str:
    """A row for each change; nothing where none was tried."""
    tried = evaluation.cameras
    if tried is None:
        return ""
    rows = [
        [
            each.name,
            interval(each.balanced_accuracy),
            signed(each.balanced_accuracy_gained),
            signed(each.malignant_auc_gained),
        ]
        for each in tried.changes
    ]
    lines = [
        "## Any camera",
        f"The same {evaluation.pictures} pictures, changed as other cameras and programs might "
        "change them. What is gained is how much larger a figure is than on the unchanged "
        "pictures; its 95 % interval is over the same lesions drawn again, and wide enough to hold "
        "for all rows together. Enlarged and shrunk pictures were saved as JPEG of quality "
        f"{tried.settings.saved_at}. Brightness multiplies the levels; a blur is the standard "
        "deviation of a Gaussian in percent of the shorter side.",
        table(["", "balanced accuracy", "gained", "gained in AUC, malignant"], rows),
        _judged(tried.changes),
    ]
    return "\n\n".join([*lines, *images(plots, "cameras")])


def _judged(changes: Sequence[CameraFigures]) -> str:
    """After which changes balanced accuracy is lower."""
    worse = [
        each.name
        for each in changes
        if each.balanced_accuracy_gained is not None and each.balanced_accuracy_gained.high < 0
    ]
    if not worse:
        return "No change was shown to lower balanced accuracy."
    return f"**Balanced accuracy is lower after these changes: {', '.join(worse)}.**"
