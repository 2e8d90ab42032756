"""The score is the Mahalanobis distance of its Gaussian, and it knows the odd one out."""

import numpy as np
import pytest
import torch

from training.novelty import Novelty


def score(novelty: Novelty, *features: np.ndarray) -> np.ndarray:
    return novelty([torch.from_numpy(each) for each in features]).numpy()


def test_with_every_direction_it_is_the_mahalanobis_distance() -> None:
    random = np.random.default_rng(0)
    mixing = random.normal(size=(6, 6))
    features = (random.normal(size=(4000, 6)) @ mixing).astype(np.float32)
    found = score(Novelty([features], components=5), features)
    centred = features - features.mean(axis=0)
    precision = np.linalg.inv(np.cov(features, rowvar=False))
    wanted = np.einsum("nd,de,ne->n", centred, precision, centred) / 6
    np.testing.assert_allclose(found, wanted, rtol=2e-2, atol=1e-3)


def test_a_typical_training_picture_scores_one_a_layer() -> None:
    random = np.random.default_rng(1)
    layers = [random.normal(size=(2000, d)).astype(np.float32) for d in (20, 50)]
    assert score(Novelty(layers, components=8), *layers).mean() == pytest.approx(2, abs=0.05)


def test_what_leaves_the_training_pictures_plane_scores_higher_than_what_stays() -> None:
    random = np.random.default_rng(2)
    features = random.normal(size=(1000, 30)).astype(np.float32)
    features[:, 10:] *= 0.05
    novelty = Novelty([features], components=10)
    inside, outside = np.zeros((2, 1, 30), np.float32)
    inside[0, 0] = 2.0
    outside[0, 20] = 2.0
    assert score(novelty, outside)[0] > 10 * score(novelty, inside)[0]


def test_a_feature_that_never_varies_does_not_divide_by_zero() -> None:
    features = np.random.default_rng(3).normal(size=(50, 5)).astype(np.float32)
    features[:, 2:] = 0.0
    assert np.isfinite(score(Novelty([features], components=4), features)).all()


def test_too_few_pictures_are_refused() -> None:
    with pytest.raises(ValueError, match="two pictures"):
        Novelty([np.zeros((1, 4), np.float32)], components=2)
