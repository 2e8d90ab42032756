"""What a model refuses and warns of."""

from __future__ import annotations

from collections.abc import Mapping

from serving.manifest import Manifest
from training.card.markdown import images, interval, table
from training.metrics import Evaluation
from training.plots.canvas import Plot


def section(manifest: Manifest, evaluation: Evaluation, plots: Mapping[str, Plot]) -> str:
    """Refusals and warnings over the report's own pictures."""
    lines = [
        "## What it refuses",
        f"A picture whose novelty is above {manifest.novelty_threshold:.4g} is unlike the training "
        "pictures, and the page shows no diagnosis for it. Of these pictures a share of "
        f"{interval(evaluation.refused)} was refused. All other figures here count refused "
        "pictures as answered.",
    ]
    if evaluation.warnings:
        rows = [[f"`{kind}`", interval(f)] for kind, f in sorted(evaluation.warnings.items())]
        lines += ["Warnings beside an answer:", table(["warning", "share"], rows)]
    return "\n\n".join([*lines, *images(plots, "novelty")])
