"""From logits to calibrated probabilities: a temperature, and biases of the classes."""

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

_SHARPNESSES = (0.05, 20.0)
"""of which the temperature is one over"""

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
    which is what label smoothing does to rare ones; a bias does not. So that none is fitted to a
    handful of pictures, the smallest classes share one, as many as it takes for `least_pictures`
    of them; where all classes share it, there is none. The biases' mean is zero. So that few
    pictures which are all told right do not make it certain, the temperature's logarithm has a
    normal prior around nought, of variance one half: it weighs as much as a picture or two.
    Alexandari, Kundaje, Shrikumar, "Maximum Likelihood with Bias-Corrected Calibration is
    Hard-To-Beat at Label Shift Adaptation", ICML 2020.
    """
    classes = probability.shape[1]
    logits = np.log(np.maximum(probability.astype(np.float64), 1e-12))
    truth = np.eye(classes)[labels]
    # What shares a bias, as a matrix from the biases to the classes.
    shares = np.eye(classes)[_sharing(np.bincount(labels, minlength=classes), least_pictures)]
    shares = shares[:, shares.any(axis=0)] if shares.any(axis=0).sum() > 1 else shares[:, :0]

    def loss(values: Doubles) -> tuple[float, Doubles]:
        """The mean negative log-posterior, and its gradient."""
        given = _log_softmax(values[0] * logits + shares @ values[1:])
        excess = (np.exp(given) - truth) / len(labels)
        sharpness, prior = values[0], math.log(values[0]) / len(labels)
        by_sharpness = np.sum(excess * logits) + 2 * prior / sharpness
        gradient = np.concatenate([[by_sharpness], shares.T @ excess.sum(axis=0)])
        likelihood = float(np.sum(given * truth)) / len(labels)
        return prior * math.log(sharpness) - likelihood, gradient

    bounds = [_SHARPNESSES, *[(-_LARGEST_BIAS, _LARGEST_BIAS)] * shares.shape[1]]
    start = np.concatenate([[1.0], np.zeros(shares.shape[1])])
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    biases = shares @ found[1:]
    return Scaling(float(1 / found[0]), biases - biases.mean())


def _sharing(counts: npt.NDArray[np.int64], least_pictures: int) -> list[int]:
    """Which bias each class has, by the number of its pictures: the smallest share one."""
    bias_of, pooled = list(range(len(counts))), 0
    first, *rest = np.argsort(counts, kind="stable").tolist()
    pooled = int(counts[first])
    for place in rest:
        if pooled >= least_pictures:
            break
        bias_of[place] = first
        pooled += int(counts[place])
    return bias_of


def _log_softmax(logits: Doubles) -> Doubles:
    lowered = logits - logits.max(axis=1, keepdims=True)
    logged: Doubles = lowered - np.log(np.exp(lowered).sum(axis=1, keepdims=True))
    return logged
