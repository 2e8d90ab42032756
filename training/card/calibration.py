"""How far a model's probabilities mean what they say."""

from __future__ import annotations

from collections.abc import Mapping

from serving.manifest import Manifest
from training.bootstrap import Figure
from training.card.markdown import DASH, MINUS, images, interval, table
from training.metrics import Evaluation
from training.plots.canvas import Plot


def section(manifest: Manifest, evaluation: Evaluation, plots: Mapping[str, Plot]) -> str:
    """Before and after calibration, beside what chance alone leaves."""
    before, after = evaluation.uncalibrated, evaluation.calibration
    compared = [
        ("Calibration error, likeliest class", before.error, after.error, after.error_by_chance),
        (
            "Calibration error, malignant probability",
            before.malignant_error,
            after.malignant_error,
            after.malignant_error_by_chance,
        ),
        ("Brier score (0 best, 2 worst)", before.brier, after.brier, None),
        (
            "Log-loss, the mean negative log-likelihood (nats)",
            before.log_loss,
            after.log_loss,
            None,
        ),
    ]
    rows = [
        [name, interval(b), interval(a), DASH if chance is None else f"{chance:.3f}"]
        for name, b, a, chance in compared
        if a is not None
    ]
    lines = [
        "## Calibration",
        f"This is about whether the probabilities mean what they say. {_told(manifest)} The "
        "error is the mean gap, over 15 bins, between the probability given and the share that "
        f"turned out so, over {evaluation.pictures} pictures. Even a perfectly calibrated model "
        "would score some error on so few; the last column is what it stays below in 95 of 100 "
        f"cases ({evaluation.resamples} simulations from the model's own probabilities, in which "
        f"the pictures of a {evaluation.unit} share what is drawn{_if_of_one_class(evaluation)}).",
        table(["", "before", "after", "by chance at most"], rows),
        _judged("the likeliest class", after.error, after.error_by_chance),
        _judged(
            "the malignant probability", after.malignant_error, after.malignant_error_by_chance
        ),
    ]
    return "\n\n".join([line for line in lines if line] + images(plots, "reliability"))


def _if_of_one_class(evaluation: Evaluation) -> str:
    """When pictures share what is drawn: those of a lesion do, as they show the same."""
    if evaluation.unit == "lesion":
        return ""
    return f", if no {evaluation.unit} has pictures of two classes"


def _told(manifest: Manifest) -> str:
    """What was fitted, and where."""
    biases = ", ".join(
        f"{id} {bias:+.2f}".replace("-", MINUS)
        for id, bias in manifest.logit_biases.items()
        if bias != 0
    )
    divided = f"A temperature of {manifest.temperature:.3f} divides the logits"
    if not biases:
        return f"{divided}; it was fitted on the calibration split."
    return (
        f"{divided}; then a bias is added for each class: {biases} (the smallest classes share "
        "one). All were fitted on the calibration split."
    )


def _judged(of: str, error: Figure | None, by_chance: float | None) -> str:
    if error is None or by_chance is None:
        return ""
    word = "no higher than" if error.value <= by_chance else "more than"
    # With a digit more than the table: the two may be close.
    return f"The error of {of}, {error.value:.4f}, is **{word} chance explains** ({by_chance:.4f})."
