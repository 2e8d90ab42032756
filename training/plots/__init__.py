"""The report's plots: small PNGs in colours that the colour-blind tell apart."""

from __future__ import annotations

from pathlib import Path

from serving.manifest import Manifest
from training.metrics import Evaluation
from training.plots import answers, calibration, cameras, groups, heatmaps, novelty, sets
from training.plots.canvas import Plot, save
from training.predictions import Predictions


def draw(
    predictions: Predictions, evaluation: Evaluation, manifest: Manifest, folder: Path
) -> dict[str, Plot]:
    """Draws every plot that `predictions` allow into `folder`; by the name of their file."""
    plots = [
        save(folder, answers.CONFUSION, lambda: answers.confusion(predictions)),
        save(
            folder,
            calibration.RELIABILITY,
            lambda: calibration.reliability(predictions, evaluation, manifest),
        ),
        save(folder, answers.CONFIDENCE, lambda: answers.confidence(predictions)),
        save(folder, sets.SETS, lambda: sets.sets(predictions)),
        save(
            folder,
            novelty.NOVELTY,
            lambda: novelty.novelty(predictions, manifest.novelty_threshold),
        ),
    ]
    if answers.curves(predictions, evaluation):
        plot = answers.ROC if evaluation.malignant else answers.ROC_OF_CLASSES
        plots.append(save(folder, plot, lambda: answers.roc(predictions, evaluation)))
    malignant = evaluation.malignant
    if malignant is not None and malignant.auc is not None:
        plots.append(
            save(folder, answers.OPERATING, lambda: answers.operating(predictions, malignant))
        )
    looked = evaluation.heatmaps
    if looked is not None:
        plots.append(save(folder, heatmaps.HEATMAPS, lambda: heatmaps.heatmaps(looked)))
    compared = evaluation.groups
    if compared is not None:
        plots.append(save(folder, groups.GROUPS, lambda: groups.forest(compared)))
    tried = evaluation.cameras
    if tried is not None:
        plots.append(save(folder, cameras.CAMERAS, lambda: cameras.forest(tried.changes)))
    return {Path(plot.file).stem: plot for plot in plots}
