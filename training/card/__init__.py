"""The model card: what a model is, what it was trained on and how far to trust it, in words.

Every figure comes from the manifest and the evaluation; none is typed. A module a topic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from serving.manifest import Manifest
from training.card import (
    calibration,
    cameras,
    groups,
    heatmaps,
    limits,
    origin,
    purpose,
    recipes,
    refusals,
    results,
    sets,
    strangers,
    travel,
    verdict,
)
from training.comparison import Comparison
from training.metrics import Evaluation
from training.plots.canvas import Plot


def write(
    manifest: Manifest,
    evaluation: Evaluation,
    plots: Mapping[str, Plot],
    command: Sequence[str],
    comparison: Comparison | None = None,
) -> str:
    """The card in Markdown; `command` are the lines that make this report again."""
    parts = [
        purpose.head(manifest, evaluation),
        purpose.uses(manifest),
        origin.section(manifest, evaluation),
        results.overall(evaluation),
        results.by_class(manifest, evaluation, plots),
        verdict.section(manifest, evaluation, plots),
        calibration.section(manifest, evaluation, plots),
        sets.section(evaluation, plots),
        groups.section(evaluation, plots),
        heatmaps.section(evaluation, plots),
        travel.section(evaluation),
        cameras.section(evaluation, plots),
        refusals.section(manifest, evaluation, plots),
        strangers.section(evaluation),
        recipes.section(comparison),
        limits.section(manifest, evaluation),
        limits.again(evaluation, command),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"
