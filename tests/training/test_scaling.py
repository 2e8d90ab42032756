"""What is fitted to probabilities makes them mean what they say, on data whose truth is known."""

import numpy as np
import pytest

from training.scaling import Scaling, fit


def honest(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits of a calibrated model of three classes, and the truth."""
    random = np.random.default_rng(seed)
    logits = random.normal(size=(count, 3)) * 2
    labels = np.array([random.choice(3, p=p) for p in softmax(logits)])
    return logits, labels


def softmax(logits: np.ndarray) -> np.ndarray:
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 2.5])
def test_the_temperature_undoes_overconfidence(sharpness: float) -> None:
    logits, labels = honest(6000)
    found = fit(softmax(logits * sharpness), labels, least_pictures=10_000)
    assert found.temperature == pytest.approx(sharpness, rel=0.06)
    assert not found.biases.any()


def test_biases_undo_that_a_class_is_told_too_rarely() -> None:
    logits, labels = honest(6000)
    told = 1.5 * logits - np.array([0, 0, 1.2])
    found = fit(softmax(told), labels, least_pictures=30)
    assert found.temperature == pytest.approx(1.5, rel=0.06)
    assert found.biases - found.biases[0] == pytest.approx([0, 0, 1.2 / 1.5], abs=0.12)
    # One temperature alone would leave the class too rare.
    calibrated = softmax(told / found.temperature + found.biases)
    assert calibrated.mean(axis=0) == pytest.approx(np.bincount(labels) / len(labels), abs=1e-3)


def test_a_class_of_few_pictures_shares_the_bias_of_the_next_smallest() -> None:
    logits, labels = honest(2000)
    kept = (labels != 2) | (np.cumsum(labels == 2) <= 5)
    logits, labels = logits[kept], labels[kept]
    found = fit(softmax(logits), labels, least_pictures=30)
    smaller = int(np.argmin(np.bincount(labels)[:2]))
    assert found.biases[2] == pytest.approx(found.biases[smaller])
    assert found.biases[1 - smaller] != pytest.approx(found.biases[smaller], abs=1e-4)


def test_two_classes_with_few_pictures_of_one_get_no_bias() -> None:
    random = np.random.default_rng(0)
    labels = np.repeat([0, 1], [197, 3])
    probability = softmax(np.stack([np.full(200, 2.0), random.normal(size=200)], axis=1))
    found = fit(probability, labels, least_pictures=30)
    assert not found.biases.any()


@pytest.mark.parametrize(("each", "surest"), [(12, 0.99), (60, 0.998), (2000, 0.99995)])
def test_a_model_that_is_always_right_is_the_surer_the_more_pictures_say_so(
    each: int, surest: float
) -> None:
    labels = np.repeat([0, 1, 2], each)
    probability = np.eye(3)[labels] * 0.7 + 0.1
    found = fit(probability, labels, least_pictures=30)
    told = softmax(np.log(probability) / found.temperature + found.biases).max(axis=1)
    assert 1 - told == pytest.approx(1 - surest, rel=0.2)
    assert found.biases == pytest.approx(0, abs=1e-3)


def test_probabilities_before_come_back_from_those_after() -> None:
    logits = np.random.default_rng(0).normal(0, 4, (50, 7))
    scaling = Scaling(1.7, np.linspace(-1, 2, 7))
    after = softmax(logits / scaling.temperature + scaling.biases)
    assert scaling.undo(after.astype(np.float32)) == pytest.approx(softmax(logits), abs=1e-5)
