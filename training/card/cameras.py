"""How a model answers when other cameras and programs give the same pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from training.bootstrap import Figure
from training.cameras import CameraFigures
from training.card.markdown import either, images, interval, signed, table
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
    """After which changes a figure is lower, and how much lower it might be after the others."""
    balanced = [(each.name, each.balanced_accuracy_gained) for each in changes]
    curve = [(each.name, each.malignant_auc_gained) for each in changes]
    return " ".join(
        _judged_by(what, [(name, gained) for name, gained in found if gained is not None])
        for what, found in (("Balanced accuracy", balanced), ("The AUC", curve))
        if any(gained is not None for _, gained in found)
    )


def _judged_by(what: str, changes: Sequence[tuple[str, Figure]]) -> str:
    worse = [name for name, gained in changes if gained.high < 0]
    rest = [(gained.low, name) for name, gained in changes if gained.high >= 0]
    said = f"**{what} is lower in these rows: {either(worse, 'and')}.**" if worse else ""
    if not rest or min(rest)[0] >= 0:
        return said
    low, name = min(rest)
    others = f"{what} was not shown to be lower in {'the others' if worse else 'any row'}"
    return f"{said} {others}, and may be by up to {-low:.3f} ({name}).".strip()
