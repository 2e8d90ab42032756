"""Predictions made up for the tests of figures, plots and card: no graph, no picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from serving.manifest import ClassInfo
from tests.artifact_factory import SEVEN
from training.labels import Background
from training.predictions import Diagnosis, Predictions

PRIOR = {"akiec": 3, "bcc": 5, "bkl": 11, "df": 0.1, "mel": 11, "nv": 67, "vasc": 2}


def calibrated_predictions(
    count: int = 1500,
    classes: Sequence[ClassInfo] = SEVEN,
    seed: int = 0,
    pictures_per_lesion: int = 1,
) -> Predictions:
    """`count` predictions whose probabilities are true: each class is drawn with its probability.

    Pictures of one lesion are the same picture again, as if nothing were learned from a second.
    """
    random = np.random.default_rng(seed)
    lesions = -(-count // pictures_per_lesion)
    prior = np.array([PRIOR.get(c.id, 1) for c in classes], np.float64)
    odds = np.exp(random.normal(0, 2, (lesions, len(classes)))) * prior
    probability = odds / odds.sum(axis=1, keepdims=True)
    truth = (probability.cumsum(axis=1) < random.random((lesions, 1))).sum(axis=1)
    lesion = np.repeat(np.arange(lesions), pictures_per_lesion)[:count]
    probability, truth = probability[lesion], truth[lesion].clip(0, len(classes) - 1)
    malignant = probability[:, [c.malignant for c in classes]].sum(axis=1)
    novelty = random.gamma(4, 0.1, lesions)[lesion]
    return Predictions(
        classes=list(classes),
        diagnoses=[Diagnosis(c.id, c.name, c.malignant) for c in classes],
        groups=[f"lesion {i}" for i in lesion],
        backgrounds=[Background()] * count,
        truth=truth,
        diagnosis=truth,
        probability=probability,
        prediction=probability.argmax(axis=1),
        malignant_probability=malignant,
        suspicious=malignant >= 0.1,
        sets=probability >= 0.1,
        novelty=novelty,
        refused=novelty > 0.9,
        warnings={"dark": novelty < 0.1},
    )
