"""From logits to calibrated probabilities: a temperature, and a bias for each common class."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from serving.manifest import Manifest

Floats = npt.NDArray[np.floating[Any]]
Doubles = npt.NDArray[np.float64]

_TEMPERATURES = (0.05, 20.0)
_LARGEST_BIAS = 5.0


class Scaling(msgspec.Struct, frozen=True):
    """Probabilities are softmax(logits / `temperature` + `biases`), `biases` `[C] float64`."""

    temperature: float
    biases: Doubles

    @classmethod
    def none(cls, classes: int) -> Scaling:
        """The softmax as it is."""
        return cls(1.0, np.zeros(classes))

    @classmethod
    def of(cls, manifest: Manifest) -> Scaling:
        """What is in the graph of `manifest`."""
        biases = [manifest.logit_biases.get(id, 0.0) for id in manifest.class_ids]
        return cls(manifest.temperature, np.array(biases))

    def undo(self, probability: Floats) -> Doubles:
        """What `probability` `[N, C]`, scaled by this, was before."""
        tiny = np.finfo(np.float32).tiny
        logits = self.temperature * (np.log(np.maximum(probability, tiny)) - self.biases)
        before: Doubles = np.exp(_log_softmax(logits))
        return before


def fit(probability: Floats, labels: npt.NDArray[np.int64], least_pictures: int) -> Scaling:
    """The scaling that makes `labels` `[N]` likeliest, where none gives `probability` `[N, C]`.

    One temperature leaves it as it is when a class is told too rarely or too often as a whole,
    which is what label smoothing does to rare ones; a bias does not. Classes with fewer than
    `least_pictures` share one, so that it is not fitted to a handful of pictures. Alexandari,
    Kundaje, Shrikumar, "Maximum Likelihood with Bias-Corrected Calibration is Hard-To-Beat at Label
    Shift Adaptation", ICML 2020.
    """
    classes = probability.shape[1]
    logits = np.log(np.maximum(probability.astype(np.float64), 1e-12))
    many = np.flatnonzero(np.bincount(labels, minlength=classes) >= least_pictures)
    truth = np.eye(classes)[labels]

    def scaling(values: Doubles) -> Scaling:
        biases = np.zeros(classes)
        biases[many] = values[1:]
        return Scaling(math.exp(values[0]), biases)

    def loss(values: Doubles) -> tuple[float, Doubles]:
        """The mean negative log-likelihood and its gradient."""
        tried = scaling(values)
        scaled = logits / tried.temperature
        given = _log_softmax(scaled + tried.biases)
        excess = (np.exp(given) - truth) / len(labels)
        gradient = np.concatenate([[-np.sum(excess * scaled)], excess.sum(axis=0)[many]])
        return float(-np.sum(given * truth)) / len(labels), gradient

    low, high = (math.log(each) for each in _TEMPERATURES)
    found = minimize(
        loss,
        np.zeros(1 + len(many)),
        jac=True,
        method="L-BFGS-B",
        bounds=[(low, high), *[(-_LARGEST_BIAS, _LARGEST_BIAS)] * len(many)],
    )
    return scaling(found.x)


def _log_softmax(logits: Doubles) -> Doubles:
    lowered = logits - logits.max(axis=1, keepdims=True)
    logged: Doubles = lowered - np.log(np.exp(lowered).sum(axis=1, keepdims=True))
    return logged
