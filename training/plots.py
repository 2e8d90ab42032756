"""The report's plots: small PNGs in colours that the colour-blind tell apart."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter, PercentFormatter, SymmetricalLogLocator
from PIL import Image
from sklearn.metrics import confusion_matrix, roc_curve

from serving.manifest import Manifest
from training.bootstrap import Figure, Floats
from training.metrics import BINS, Evaluation, MalignantFigures, at_temperature, bin_of
from training.predictions import Predictions

# Okabe and Ito, "Color Universal Design" (2008)
BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, INK, GREY = "#CC79A7", "#56B4E9", "#22272E", "#8A929B"
_CLASS_COLOURS = (BLUE, ORANGE, GREEN, SKY, RED, GREY, PURPLE)

_FIRM = 10
"""Bins of a reliability plot with fewer pictures are drawn small."""

_STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": "#C4CAD0",
    "axes.labelcolor": INK,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#E6E9EC",
    "xtick.color": "#59626B",
    "ytick.color": "#59626B",
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.6,
}


class Plot(msgspec.Struct, frozen=True):
    """A picture file of the report: `alt` says what it is, `caption` how to read it."""

    file: str
    alt: str
    caption: str


def draw(
    predictions: Predictions, evaluation: Evaluation, manifest: Manifest, folder: Path
) -> dict[str, Plot]:
    """Draws every plot that `predictions` allow into `folder`; by the name of their file."""
    plots = [
        _save(folder, _CONFUSION, lambda: _confusion(predictions)),
        _save(folder, _RELIABILITY, lambda: _reliability(predictions, evaluation, manifest)),
        _save(folder, _CONFIDENCE, lambda: _confidence(predictions)),
        _save(folder, _NOVELTY, lambda: _novelty(predictions, manifest.novelty_threshold)),
    ]
    if _curves(predictions, evaluation):
        plot = _ROC if evaluation.malignant else _ROC_OF_CLASSES
        plots.append(_save(folder, plot, lambda: _roc(predictions, evaluation)))
    malignant = evaluation.malignant
    if malignant is not None and malignant.auc is not None:
        plots.append(_save(folder, _OPERATING, lambda: _operating(predictions, malignant)))
    return {Path(plot.file).stem: plot for plot in plots}


_CONFUSION = Plot(
    "confusion.png",
    "Confusion matrix",
    "Each row is a true class, each column what the model called it: share of the row, and count.",
)
_ROC = Plot(
    "roc.png",
    "ROC curves",
    "Sensitivity against false alarms, for every threshold: each class against all others, and "
    "malignant against benign with the verdict's threshold marked.",
)
_ROC_OF_CLASSES = Plot(
    "roc.png",
    "ROC curves",
    "Sensitivity against false alarms, for every threshold: each class against all others.",
)
_RELIABILITY = Plot(
    "reliability.png",
    "Reliability before and after calibration",
    "Where the model says 80 %, it should be right in 80 of 100: points on the diagonal. Below, "
    "how many pictures each point speaks for; small points speak for fewer than ten.",
)
_CONFIDENCE = Plot(
    "confidence.png",
    "Confidence of right and wrong predictions",
    "The probability of the likeliest class, for pictures where it is right and where it is wrong.",
)
_NOVELTY = Plot(
    "novelty.png",
    "Novelty scores",
    "How unlike the training pictures these are; those beyond the line are refused.",
)
_OPERATING = Plot(
    "operating_point.png",
    "Sensitivity and specificity by threshold",
    "What another threshold on the malignant probability would have given on these pictures; the "
    "line is the verdict's.",
)


def _save(folder: Path, plot: Plot, paint: Callable[[], Canvas]) -> Plot:
    with style.context(_STYLE):
        canvas = paint()
        FigureCanvasAgg(canvas)
        drawn = io.BytesIO()
        canvas.savefig(drawn, dpi=150)
    # A palette halves the file, and none of it but the picture: it changes where a figure does.
    Image.open(drawn).convert("RGB").quantize(96, dither=Image.Dither.NONE).save(
        folder / plot.file, optimize=True
    )
    return plot


def _confusion(predictions: Predictions) -> Canvas:
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


class _Curve(msgspec.Struct, frozen=True):
    label: str
    positive: Floats
    score: Floats
    colour: str
    width: float


def _curves(predictions: Predictions, evaluation: Evaluation) -> list[_Curve]:
    """The ROC curves that there are pictures for; two classes are one curve, the malignant."""
    curves = []
    malignant = evaluation.malignant
    one_is_enough = len(predictions.classes) == 2 and malignant is not None
    for index, figures in enumerate(evaluation.classes):
        if figures.auc is not None and not one_is_enough:
            colour = _CLASS_COLOURS[index % len(_CLASS_COLOURS)]
            own, score = predictions.truth == index, predictions.probability[:, index]
            label = f"{figures.id}  {figures.auc.value:.3f}"
            curves.append(_Curve(label, own.astype(np.float64), score, colour, 1.3))
    if malignant is not None and malignant.auc is not None:
        label = f"malignant  {malignant.auc.value:.3f}"
        curves.append(
            _Curve(label, predictions.malignant.astype(np.float64), _score(predictions), INK, 2.4)
        )
    return curves


def _roc(predictions: Predictions, evaluation: Evaluation) -> Canvas:
    canvas = Canvas(figsize=(6.6, 5), layout="constrained")
    axes = canvas.subplots()
    axes.plot([0, 1], [0, 1], color="#C4CAD0", linewidth=1, linestyle=(0, (4, 3)))
    for curve in _curves(predictions, evaluation):
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
    _percent(axes, "xy")
    axes.set(xlim=(-0.01, 1), ylim=(0, 1.01), xlabel="false alarms (1 - specificity)")
    axes.set_ylabel("sensitivity")
    axes.legend(loc="lower right", title="area under curve", alignment="left")
    return canvas


def _reliability(predictions: Predictions, evaluation: Evaluation, manifest: Manifest) -> Canvas:
    canvas = Canvas(figsize=(8, 4.8), layout="constrained")
    axes = canvas.subplots(
        2, 2, sharex=True, sharey="row", gridspec_kw={"height_ratios": [4, 1.3], "hspace": 0.03}
    )
    before, after = evaluation.uncalibrated, evaluation.calibration
    raw = at_temperature(predictions.probability, manifest.temperature)
    panels = (
        ("Before", raw, before),
        (f"After (temperature {manifest.temperature:.2f})", predictions.probability, after),
    )
    flags = np.array([c.malignant for c in predictions.classes])
    for column, (title, probability, figures) in enumerate(panels):
        upper, lower = axes[0, column], axes[1, column]
        upper.plot([0, 1], [0, 1], color="#C4CAD0", linewidth=1, linestyle=(0, (4, 3)))
        hit = probability.argmax(axis=1) == predictions.truth
        label = f"likeliest class, error {_short(figures.error)}"
        _bins(upper, lower, probability.max(axis=1), hit, BLUE, "o", label)
        if flags.any():
            score = probability[:, flags].sum(axis=1).clip(0, 1)
            label = f"malignant, error {_short(figures.malignant_error)}"
            _bins(upper, lower, score, predictions.malignant, RED, "s", label)
        upper.set_title(title)
        upper.legend(loc="lower right")
        upper.set(xlim=(0, 1.01), ylim=(0, 1.03))
        _percent(upper, "y")
        _percent(lower, "x")
        lower.set_xlabel("probability that the model gives")
    axes[0, 0].set_ylabel("share that is so")
    axes[1, 0].set_ylabel("pictures")
    return canvas


def _bins(
    upper: Axes,
    lower: Axes,
    confidence: Floats,
    hit: np.ndarray,
    colour: str,
    marker: str,
    label: str,
) -> None:
    """Share of hits by mean confidence in `upper`, the bins' counts in `lower`."""
    bins = bin_of(confidence)
    counts = np.bincount(bins, minlength=BINS)
    used = counts > 0
    means = np.bincount(bins, confidence, BINS)[used] / counts[used]
    shares = np.bincount(bins, hit, BINS)[used] / counts[used]
    # Points with little behind them are small and stand alone, so that chance looks like chance.
    firm = counts[used] >= _FIRM
    dots: dict[str, Any] = {"color": colour, "marker": marker, "markeredgecolor": "white"}
    upper.plot(means[firm], shares[firm], markersize=7, linewidth=0.9, label=label, **dots)
    upper.plot(means[~firm], shares[~firm], markersize=4, linestyle="none", **dots)
    lower.stairs(counts, np.linspace(0, 1, BINS + 1), color=colour, linewidth=1.4)
    lower.set_yscale("symlog", linthresh=1)
    lower.yaxis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=1))
    lower.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))


def _confidence(predictions: Predictions) -> Canvas:
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
    _percent(axes, "x")
    axes.set(xlabel="probability of the likeliest class", ylabel="pictures")
    axes.set_xlim(edges[0], 1)
    axes.grid(visible=False, axis="x")
    axes.legend(loc="upper left")
    return canvas


def _novelty(predictions: Predictions, threshold: float) -> Canvas:
    canvas = Canvas(figsize=(7, 3.2), layout="constrained")
    axes = canvas.subplots()
    finite = predictions.novelty[np.isfinite(predictions.novelty)]
    low = min(float(finite.min(initial=threshold)), threshold)
    high = max(float(np.percentile(finite, 99.5)) if len(finite) else threshold, threshold)
    margin = 0.05 * (high - low) or 1.0
    edges = np.linspace(low - margin, high + 4 * margin, 49).tolist()
    # What lies beyond the axis, or is no number at all, is counted in its last bar.
    shown = np.clip(np.nan_to_num(predictions.novelty, nan=np.inf), edges[0], edges[-1])
    axes.hist(
        [shown[~predictions.refused], shown[predictions.refused]],
        edges,
        stacked=True,
        color=[SKY, RED],
        edgecolor="white",
        linewidth=0.6,
        label=[
            f"answered ({(~predictions.refused).sum()})",
            f"refused ({predictions.refused.sum()})",
        ],
    )
    axes.axvline(threshold, color=INK, linewidth=1.4)
    axes.set(xlabel="novelty", ylabel="pictures", xlim=(edges[0], edges[-1]))
    axes.grid(visible=False, axis="x")
    # Above the axes: the threshold may stand anywhere.
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
    return canvas


def _operating(predictions: Predictions, figures: MalignantFigures) -> Canvas:
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
    _percent(axes, "y")
    axes.set(xlim=(1e-3, 1), ylim=(0, 1.02), xlabel="threshold on the malignant probability")
    axes.legend(loc="center left")
    return canvas


def _score(predictions: Predictions) -> Floats:
    """The malignant probability; zero for a model that has none."""
    score = predictions.malignant_probability
    return np.zeros(len(predictions.truth)) if score is None else score


def _percent(axes: Axes, which: str) -> None:
    for name in which:
        axis = axes.xaxis if name == "x" else axes.yaxis
        axis.set_major_formatter(PercentFormatter(1, decimals=0))


def _short(figure: Figure | None) -> str:
    return "unknown" if figure is None else f"{figure.value:.3f}"
