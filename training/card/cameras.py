"""How a model answers when other cameras and programs give the same pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from training.bootstrap import Figure
from training.cameras import CameraFigures, Cameras
from training.card.markdown import DASH, either, images, interval, signed, table
from training.metrics import Evaluation
from training.plots.canvas import Plot

_ROUNDING = 1e-9
"""Below which a loss is none."""


def section(evaluation: Evaluation, plots: Mapping[str, Plot]) -> str:
    """A row for each change; nothing where none was tried."""
    tried = evaluation.cameras
    if tried is None:
        return ""
    limits = _limits(tried)
    rows = [
        [
            each.name,
            interval(each.balanced_accuracy),
            signed(each.balanced_accuracy_gained),
            *(_limit(limits, each.name) if limits else ()),
            signed(each.malignant_auc_gained),
        ]
        for each in tried.changes
    ]
    judged = ["may lose", "limit kept"] if limits else []
    lines = [
        "## Any camera",
        f"The same {evaluation.pictures} pictures, changed as other cameras and programs might "
        "change them. What is gained is how much larger a figure is than on the unchanged "
        f"pictures; its 95 % interval is over the same {evaluation.unit}s drawn again, and wide "
        "enough to hold for all rows together. Enlarged and shrunk pictures were saved as JPEG of "
        f"quality {tried.settings.saved_at}. Brightness multiplies the levels; a blur is the "
        "standard deviation of a Gaussian in percent of the shorter side.",
        table(["", "balanced accuracy", "gained", *judged, "gained in AUC, malignant"], rows),
        _kept(limits),
        _judged(tried.changes),
    ]
    return "\n\n".join([*(line for line in lines if line), *images(plots, "cameras")])


class _Limit(msgspec.Struct, frozen=True):
    """What balanced accuracy may lose by a change, and what it `gained`."""

    may_lose: float
    gained: Figure

    @property
    def is_kept(self) -> bool:
        return self._allows(self.gained.value)

    @property
    def is_sure(self) -> bool:
        """Whether the whole interval is on the side of the value."""
        return self._allows(self.gained.low) == self._allows(self.gained.high)

    def _allows(self, gained: float) -> bool:
        return gained >= -self.may_lose - _ROUNDING


def _limits(tried: Cameras) -> dict[str, _Limit]:
    """The limits of those changes that have one, by the change's name."""
    return {
        each.name: _Limit(tried.settings.may_lose[each.name], each.balanced_accuracy_gained)
        for each in tried.changes
        if each.name in tried.settings.may_lose and each.balanced_accuracy_gained is not None
    }


def _limit(limits: Mapping[str, _Limit], name: str) -> list[str]:
    limit = limits.get(name)
    if limit is None:
        return [DASH, DASH]
    word = "yes" if limit.is_kept else "no" if not limit.is_sure else "**no**"
    return [f"{limit.may_lose:.3f}", word if limit.is_sure else f"{word}, not beyond doubt"]


def _kept(limits: Mapping[str, _Limit]) -> str:
    """In how many rows the limit was kept, and in which it was not."""
    if not limits:
        return ""
    kept = [each for each in limits.values() if each.is_kept]
    sure = sum(each.is_sure for each in kept)
    said = (
        f"What balanced accuracy may lose was set beforehand for {len(limits)} of these changes. "
        f"By its value it keeps to that in {len(kept)} of them, in {sure or 'none'} beyond doubt, "
        "which means by the whole interval."
    )
    missed = {name: each for name, each in limits.items() if not each.is_kept}
    surely = [name for name, each in missed.items() if each.is_sure]
    perhaps = [name for name, each in missed.items() if not each.is_sure]
    if surely:
        said += f" **It loses more in these rows: {either(surely, 'and')}.**"
    if perhaps:
        said += f" By its value alone it loses more in these: {either(perhaps, 'and')}."
    return said


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
