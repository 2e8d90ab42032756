"""An AVIF is taken for as large as it is coded, whatever its head tells."""

from __future__ import annotations

from contextlib import suppress

import pytest

from serving.pictures import Limits, PictureError, decode
from tests.drawings import draw_lesion, encode
from tests.serving.odd_files import avif_that_tells

LIMITS = Limits()


def test_an_avif_counts_as_large_as_it_is_coded() -> None:
    data = avif_that_tells(64, 64, 1_000)
    with pytest.raises(PictureError) as caught:
        decode(data, Limits(max_pixels=999_999))
    assert caught.value.reason == "too_many_pixels"


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_an_avif_that_tells_the_truth_counts_as_that(mode: str) -> None:
    data = encode(draw_lesion(1, 300, 200).convert(mode), "AVIF", speed=10)
    assert decode(data, Limits(max_pixels=60_000)).width == 300


@pytest.mark.parametrize("cut", range(20, 340, 40))
def test_an_avif_that_cannot_be_followed_is_refused(cut: int) -> None:
    data = bytearray(encode(draw_lesion(1, 64, 48), "AVIF", speed=10))
    data[cut : cut + 8] = b"\xff" * 8
    with suppress(PictureError):  # some bytes do not matter
        assert decode(bytes(data), LIMITS).width == 64


def test_an_animated_avif_is_refused_with_what_to_do() -> None:
    frames = [draw_lesion(seed, 64, 48) for seed in (1, 2)]
    data = encode(frames[0], "AVIF", save_all=True, append_images=frames[1:], speed=10)
    with pytest.raises(PictureError, match="is animated, which is not read here"):
        decode(data, LIMITS)
