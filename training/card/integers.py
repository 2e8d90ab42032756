"""What the graph computes in, and how the 8-bit one compared with the float one."""

from __future__ import annotations

from serving.manifest import GateFigure, Quantisation
from training.bootstrap import Figure
from training.card.markdown import DASH, interval, signed, table
from training.labels import Unit

_NAMES = {
    "balanced_accuracy": "balanced accuracy, 8-bit less float",
    "probability": "largest difference of a probability, median picture",
    "heatmap": "correlation of the likeliest class's heatmaps, median picture",
    "agreement": "share of pictures with the same prediction",
}


_ANEW = (
    " Both were compared with what had been fitted then: the temperature, biases and decisions of "
    "this model were fitted anew since, and the float graph was not there any more."
)


def paragraph(quantisation: Quantisation | None, unit: Unit, *, fitted_anew: bool = False) -> str:
    """Which graph serves, and every figure of the gate between the two, drawn over the `unit`.

    Where all but the weights was `fitted_anew`, the gate was passed with other decisions.
    """
    if quantisation is None:
        return "The graph computes in 32-bit floats."
    made, exact = quantisation.integer_bytes / 1e6, quantisation.float_bytes / 1e6
    sizes = f"{made:.1f} MB instead of {exact:.1f} MB"
    whole = quantisation.settings.get("activations", True)
    if quantisation.passed and whole:
        said = (
            f"**The graph computes in 8-bit integers** but for its most delicate layers ({sizes})."
        )
        compared = "It was compared with the float graph before it was let serve"
    elif quantisation.passed:
        said = f"**The graph computes in 32-bit floats, with weights of 8 bits** ({sizes})."
        compared = "It was compared with the float graph before it was let serve"
    else:
        made_of = "in 8-bit integers" if whole else "with weights of 8 bits"
        said = f"**The graph computes in 32-bit floats.** One {made_of} ({sizes}) was made."
        compared = "It was compared with the float graph and **did not pass**"
    rows = [[_NAMES[f.name], _value(f), _limit(f), f"{f.n}"] for f in quantisation.figures]
    return f"""{said}
{compared}, on pictures of the validation part, each looked at in {quantisation.views} ways, turned
and mirrored; the intervals are drawn over {unit}s.{_ANEW * fitted_anew}

{table(["8-bit beside float", "value (95 % interval)", "limit", "pictures"], rows)}"""


def _value(gate: GateFigure) -> str:
    figure = Figure(value=gate.value, low=gate.low, high=gate.high, n=gate.n)
    return signed(figure) if gate.name == "balanced_accuracy" else interval(figure, 4)


def _limit(gate: GateFigure) -> str:
    if gate.limit is None:
        return DASH
    told = {
        "balanced_accuracy": f"interval from {gate.limit:+g} on",
        "probability": f"at most {gate.limit:g}",
    }.get(gate.name, f"at least {gate.limit:g}")
    return told.replace("-", "\N{MINUS SIGN}") + ("" if gate.passed else ": **missed**")
