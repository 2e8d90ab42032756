"""Distances are those of the Gaussians, bare skin is told from lesions, neither hides the other."""

import msgspec
import numpy as np
import pytest
import torch

from tests.drawings import draw_flat, draw_lesion
from tests.training.drawn_networks import NOVELTY
from training.networks.description import Description
from training.novelty import Novelty, bare_skin, fit

EXACT = msgspec.structs.replace(NOVELTY, components=1000, shrinkage=1e-9, least_deviation=1e-6)


def described(*layers: np.ndarray, skin: np.ndarray | None = None) -> Description:
    """Features `[N, D]` as a description; skin that is told by nothing, where it is not given."""
    skin = np.zeros((len(layers[0]), 2)) if skin is None else skin
    return Description(
        [torch.from_numpy(each.astype(np.float32)) for each in layers],
        torch.from_numpy(skin.astype(np.float32)),
    )


def score(novelty: Novelty, pictures: Description) -> np.ndarray:
    return novelty(pictures).numpy()


def test_with_every_direction_it_is_the_mahalanobis_distance() -> None:
    random = np.random.default_rng(0)
    features = random.normal(size=(4000, 6)) @ random.normal(size=(6, 6))
    lesions = described(features)
    found = score(Novelty(lesions, lesions, EXACT), lesions)
    centred = features - features.mean(axis=0)
    precision = np.linalg.inv(np.cov(features, rowvar=False))
    squared = np.einsum("nd,de,ne->n", centred, precision, centred)
    typical, rare = np.quantile(squared, [0.5, 0.95])
    wanted = (squared - typical) / (rare - typical)
    # Below nought the other score is the larger.
    np.testing.assert_allclose(found, wanted.clip(0), rtol=2e-2, atol=1e-2)


def test_of_training_pictures_half_score_above_nought_and_one_in_twenty_above_one() -> None:
    random = np.random.default_rng(1)
    lesions = described(*(random.normal(size=(2000, d)) for d in (20, 50)))
    found = score(Novelty(lesions, lesions, NOVELTY), lesions)
    assert np.mean(found > 1e-4) == pytest.approx(0.5, abs=0.01)
    assert np.mean(found > 1) == pytest.approx(0.05, abs=0.005)


def test_a_stranger_to_one_layer_is_no_less_strange_for_many_familiar_features_in_another() -> None:
    random = np.random.default_rng(2)
    lesions = described(random.normal(size=(2000, 5)), random.normal(size=(2000, 500)))
    novelty = Novelty(lesions, lesions, NOVELTY)
    odd = described(np.full((1, 5), 4.0), random.normal(size=(1, 500)))
    assert score(novelty, odd)[0] > 2


def test_what_leaves_the_training_pictures_plane_scores_higher_than_what_stays() -> None:
    random = np.random.default_rng(3)
    plane = random.normal(size=(3, 30))
    features = random.normal(size=(1000, 3)) @ plane + 0.1 * random.normal(size=(1000, 30))
    lesions = described(features)
    novelty = Novelty(lesions, lesions, NOVELTY)
    inside = 2 * plane[:1]
    normal = np.linalg.svd(plane)[2][-1:]
    outside = np.linalg.norm(inside) * normal
    assert score(novelty, described(outside))[0] > 5 * score(novelty, described(inside))[0]


def test_a_feature_that_never_varies_neither_divides_by_zero_nor_decides_alone() -> None:
    features = np.random.default_rng(4).normal(size=(500, 5))
    features[:, 2:] = 0.0
    lesions = described(features)
    novelty = Novelty(lesions, lesions, NOVELTY)
    assert np.isfinite(score(novelty, lesions)).all()
    rounded = features[:1].copy()
    rounded[:, 2:] = 1e-3
    assert score(novelty, described(rounded))[0] == pytest.approx(
        score(novelty, lesions)[0], abs=0.05
    )


def test_bare_skin_is_refused_though_it_lies_among_the_lesions() -> None:
    random = np.random.default_rng(5)
    lesions, bare = random.normal(size=(2, 2000, 8))
    # In one feature lesions are of either kind, and in no distance is skin far from them.
    bare[:, 0] -= 3.0
    training = described(random.normal(size=(2000, 4)), skin=lesions)
    novelty = Novelty(training, described(random.normal(size=(2000, 4)), skin=bare), NOVELTY)
    average = np.zeros((500, 4))
    found = score(novelty, described(average, skin=bare[:500]))
    assert np.mean(found > 1) > 0.8
    assert np.mean(score(novelty, described(average, skin=lesions[:500])) > 1) < 0.1


def test_bareness_too_is_nought_in_the_middle_of_the_lesions_and_one_for_one_in_twenty() -> None:
    random = np.random.default_rng(6)
    lesions, bare = 5 + random.normal(size=(2, 2000, 8))
    bare[:, 0] -= 3.0
    training = described(random.normal(size=(2000, 4)), skin=lesions)
    novelty = Novelty(training, described(random.normal(size=(2000, 4)), skin=bare), NOVELTY)
    found = score(novelty, described(np.zeros((2000, 4)), skin=lesions))
    assert np.mean(found > 0) == pytest.approx(0.5, abs=0.01)
    assert np.mean(found > 1) == pytest.approx(0.05, abs=0.005)


@pytest.mark.parametrize(("lesions", "bare"), [(1, 9), (9, 1)])
def test_too_few_pictures_are_refused(lesions: int, bare: int) -> None:
    few, others = (described(np.zeros((count, 4))) for count in (lesions, bare))
    with pytest.raises(ValueError, match="two pictures"):
        Novelty(few, others, NOVELTY)


def test_bare_skin_is_a_corner_and_nothing_of_the_middle() -> None:
    picture = torch.zeros((1, 60, 60, 3), dtype=torch.uint8)
    picture[:, 20:40, 20:40] = 255
    for seed in range(8):
        assert int(bare_skin(picture, NOVELTY, seed).max()) == 0


def test_bare_skin_keeps_its_sharpness_and_has_no_seams() -> None:
    """Neighbours in it were neighbours, or are the same pixel again."""
    ramp = torch.arange(60, dtype=torch.uint8)
    picture = (ramp[:, None] * 2 + ramp[None, :]).unsqueeze(-1).expand(60, 60, 3).unsqueeze(0)
    (skin,) = bare_skin(picture, NOVELTY, 0)
    assert skin.shape == (60, 60, 3)
    down, across = (skin.int().diff(dim=axis).abs() for axis in (0, 1))
    assert set(down.unique().tolist()) == {0, 2}
    assert set(across.unique().tolist()) == {0, 1}


class Colours:
    """A network that sees the colours of a picture and how they vary, as they are."""

    def feature_maps(self, pictures: torch.Tensor) -> list[torch.Tensor]:
        return [pictures]

    def describe(self, maps: list[torch.Tensor]) -> Description:
        flat = maps[0].flatten(2)
        found = torch.cat([flat.mean(dim=2), flat.std(dim=2)], dim=1)
        return Description([found], found)


def test_fitted_to_drawn_lesions_it_knows_bare_skin_and_a_blue_picture() -> None:
    def batch(*images: object) -> torch.Tensor:
        return torch.from_numpy(np.stack([np.asarray(each) for each in images]))

    network = Colours()
    lesions = batch(*(draw_lesion(i, 64, 64) for i in range(96)))
    novelty = fit(network, lesions.split(32), NOVELTY)
    others = batch(*(draw_lesion(1000 + i, 64, 64) for i in range(32)))

    def scores(pictures: torch.Tensor) -> np.ndarray:
        maps = network.feature_maps(pictures.permute(0, 3, 1, 2).float() / 255)
        return score(novelty, network.describe(maps))

    threshold = np.quantile(scores(others), 0.9)
    assert (scores(bare_skin(others, NOVELTY, 9)) > threshold).all()
    assert (scores(batch(draw_flat(64, 64, (40, 90, 220)))) > threshold).all()
