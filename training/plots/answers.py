"""Plots of what a model answers: its classes, its confidence, its verdict."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter
from sklearn.metrics import confusion_matrix, roc_curve

from training.bootstrap import Figure, Floats
from training.metrics import Evaluation, MalignantFigures
from training.plots.canvas import BLUE, CLASS_COLOURS, INK, RED, SKY, Plot, percent
from training.predictions import Predictions

CONFUSION = Plot(
    "confusion.png",
    "Confusion matrix",
    "Each row is a true class, each column what the model called it: share of the row, and count.",
)
ROC = Plot(
    "roc.png",
    "ROC curves",
    "Sensitivity against false alarms, for every threshold: each class against all others, and "
    "malignant against benign with the verdict's threshold marked.",
)
ROC_OF_CLASSES = Plot(
    "roc.png",
    "ROC curves",
    "Sensitivity against false alarms, for every threshold: each class against all others.",
)
CONFIDENCE = Plot(
    "confidence.png",
    "Confidence of right and wrong predictions",
    "The probability of the likeliest class, for pictures where it is right and where it is wrong.",
)
OPERATING = Plot(
    "operating_point.png",
    "Sensitivity and specificity by threshold",
    "What another threshold on the malignant probability would have given on these pictures; the "
    "line is the verdict's.",
)


def confusion(predictions: Predictions) -> Canvas:
    """A row for each true class, a column for each predicted one."""
    ids = [c.id for c in predictions.classes]
    counts = confusion_matrix(predictions.truth, predictions.prediction, labels=range(len(ids)))
    rows = np.flatnonzero(counts.sum(axis=1))
    counts = counts[rows]
    shares = counts / counts.sum(axis=1, keepdims=True)
    canvas = Canvas(figsize=(1.9 + 0.82 * len(ids), 1.3 + 0.62 * len(rows)), layout="constrained")
    axes = canvas.subplots()
    axes.grid(visible=False)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1.15, aspect="auto")
    for row, column in np.ndindex(*shares.shape):
        share, count = shares[row, column], counts[row, column]
        colour = "white" if share > 0.6 else INK if count else "#A9B1B9"
        place: dict[str, Any] = {"ha": "center", "color": colour}
        if count:
            rounded = f"{share:.0%}" if share >= 0.005 else "<1%"
            axes.text(column, row, rounded, va="bottom", fontsize=10, **place)
            axes.text(column, row, f"{count}", va="top", fontsize=7.5, **place)
        else:
            axes.text(column, row, "·", va="center", fontsize=9, **place)
    axes.set_xticks(range(len(ids)), ids)
    axes.set_yticks(
        range(len(rows)),
        [f"{ids[k]}  ({n})" for k, n in zip(rows, counts.sum(axis=1), strict=True)],
    )
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true class (pictures)")
    return canvas


def curves(predictions: Predictions, evaluation: Evaluation) -> list[_Curve]:
    """The ROC curves that there are pictures for; two classes are one curve, the malignant."""
    curves = []
    malignant = evaluation.malignant
    one_is_enough = len(predictions.classes) == 2 and malignant is not None
    for index, figures in enumerate(evaluation.classes):
        if figures.auc is not None and not one_is_enough:
            colour = CLASS_COLOURS[index % len(CLASS_COLOURS)]
            own, score = predictions.truth == index, predictions.probability[:, index]
            label = f"{figures.id}  {figures.auc.value:.3f}"
            curves.append(_Curve(label, own.astype(np.float64), score, colour, 1.3))
    if malignant is not None and malignant.auc is not None:
        label = f"malignant  {malignant.auc.value:.3f}"
        curves.append(
            _Curve(label, predictions.malignant.astype(np.float64), _score(predictions), INK, 2.4)
        )
    return curves


def roc(predictions: Predictions, evaluation: Evaluation) -> Canvas:
    """Every curve that there are pictures for, and the verdict's place on the malignant one."""
    canvas = Canvas(figsize=(6.6, 5), layout="constrained")
    axes = canvas.subplots()
    axes.plot([0, 1], [0, 1], color="#C4CAD0", linewidth=1, linestyle=(0, (4, 3)))
    for curve in curves(predictions, evaluation):
        alarms, caught, _ = roc_curve(curve.positive, curve.score)
        axes.plot(alarms, caught, color=curve.colour, linewidth=curve.width, label=curve.label)
    point = evaluation.malignant
    if point is not None and point.sensitivity is not None and point.specificity is not None:
        axes.plot(
            1 - point.specificity.value,
            point.sensitivity.value,
            marker="o",
            markersize=9,
            color=RED,
            markeredgecolor="white",
            linestyle="none",
            label="verdict",
            zorder=5,
        )
    percent(axes, "xy")
    axes.set(xlim=(-0.01, 1), ylim=(0, 1.01), xlabel="false alarms (1 - specificity)")
    axes.set_ylabel("sensitivity")
    axes.legend(loc="lower right", title="area under curve", alignment="left")
    return canvas


def confidence(predictions: Predictions) -> Canvas:
    """How sure the model was where it was right, and where it was wrong."""
    canvas = Canvas(figsize=(7, 3.6), layout="constrained")
    axes = canvas.subplots()
    confidence = predictions.probability.max(axis=1)
    right = predictions.probability.argmax(axis=1) == predictions.truth
    edges = np.linspace(1 / predictions.probability.shape[1], 1, 26).tolist()
    axes.hist(
        [confidence[right], confidence[~right]],
        edges,
        stacked=True,
        color=[SKY, RED],
        edgecolor="white",
        linewidth=0.6,
        label=[f"right ({right.sum()})", f"wrong ({(~right).sum()})"],
    )
    percent(axes, "x")
    axes.set(xlabel="probability of the likeliest class", ylabel="pictures")
    axes.set_xlim(edges[0], 1)
    axes.grid(visible=False, axis="x")
    axes.legend(loc="upper left")
    return canvas


def operating(predictions: Predictions, figures: MalignantFigures) -> Canvas:
    """Sensitivity and specificity of every threshold, with the verdict's marked."""
    score = _score(predictions)
    canvas = Canvas(figsize=(7, 3.6), layout="constrained")
    axes = canvas.subplots()
    thresholds = np.geomspace(1e-3, 1, 400)
    ill, well = np.sort(score[predictions.malignant]), np.sort(score[~predictions.malignant])
    caught = 1 - np.searchsorted(ill, thresholds) / len(ill)
    spared = np.searchsorted(well, thresholds) / len(well)
    axes.plot(thresholds, caught, color=RED, label="sensitivity")
    axes.plot(thresholds, spared, color=BLUE, label="specificity")
    axes.axvline(figures.threshold, color=INK, linewidth=1.2)
    marks: list[tuple[Figure | None, str, int]] = [
        (figures.sensitivity, RED, 6),
        (figures.specificity, BLUE, -13),
    ]
    for figure, colour, above in marks:
        if figure is not None:
            axes.plot(figures.threshold, figure.value, "o", color=colour, markeredgecolor="white")
            axes.annotate(
                f"{figure.value:.1%}",
                (figures.threshold, figure.value),
                xytext=(7, above),
                textcoords="offset points",
                color=colour,
            )
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
    percent(axes, "y")
    axes.set(xlim=(1e-3, 1), ylim=(0, 1.02), xlabel="threshold on the malignant probability")
    axes.legend(loc="center left")
    return canvas


class _Curve(msgspec.Struct, frozen=True):
    label: str
    positive: Floats
    score: Floats
    colour: str
    width: float


def _score(predictions: Predictions) -> Floats:
    """The malignant probability; zero for a model that has none."""
    score = predictions.malignant_probability
    return np.zeros(len(predictions.truth)) if score is None else score
