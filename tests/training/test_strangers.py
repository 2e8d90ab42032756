"""Drawn strangers are files that serving reads, each kind in many guises, always the same."""

import numpy as np
import pytest

from serving.manifest import Preprocessing
from serving.pictures import prepare
from training.strangers import KINDS, draw

PREPROCESSING = Preprocessing(fit="crop", size=96)


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_looks_different_each_time(kind: str) -> None:
    drawn = [prepare(draw(kind, seed), PREPROCESSING) for seed in range(6)]
    assert len({each.pixels.tobytes() for each in drawn}) == 6
    assert len({(each.width, each.height) for each in drawn}) >= 5


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_draws_the_same_bytes(kind: str) -> None:
    assert draw(kind, 3) == draw(kind, 3)


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"blank", "gradient", "noise", "skin"}))
def test_what_is_drawn_shows_in_what_a_model_sees(kind: str) -> None:
    for seed in range(4):
        pixels = prepare(draw(kind, seed), PREPROCESSING).pixels
        assert np.ptp(pixels, axis=(0, 1)).max() > 40


def test_a_blank_picture_shows_nothing() -> None:
    for seed in range(4):
        pixels = prepare(draw("blank", seed), PREPROCESSING).pixels
        assert np.ptp(pixels, axis=(0, 1)).max() < 20


def test_an_unknown_kind_is_told_which_there_are() -> None:
    with pytest.raises(ValueError, match="screenshot"):
        draw("selfie", 0)
