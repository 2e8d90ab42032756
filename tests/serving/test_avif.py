"""An AVIF is taken for as large as it is coded, whatever its head tells."""

from __future__ import annotations

import struct

import pytest

from serving.avif import AvifError, coded_pixels
from serving.pictures import Limits, PictureError, decode
from tests.drawings import draw_lesion, encode
from tests.serving.odd_files import avif_that_tells

LIMITS = Limits()
WHOLE = encode(draw_lesion(1, 64, 48), "AVIF", speed=10)


def box(kind: bytes, content: bytes = b"") -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


NO_ITEMS = box(b"iinf", bytes(6))


def spoilt(kind: bytes, changes: dict[int, bytes]) -> bytes:
    """The whole AVIF with other bytes at these places of its box `kind`."""
    data = bytearray(WHOLE)
    start = data.index(kind) + 4
    for place, other in changes.items():
        data[start + place : start + place + len(other)] = other
    return bytes(data)


def coded_as(units: bytes) -> bytes:
    """The AVIF with `units` as its picture."""
    place = struct.pack(">II", len(WHOLE) + 8, len(units))
    return spoilt(b"iloc", {14: place}) + box(b"mdat", units)


def test_an_avif_counts_as_large_as_it_is_coded() -> None:
    data = avif_that_tells(64, 64, 1_000)
    with pytest.raises(PictureError) as caught:
        decode(data, Limits(max_pixels=999_999))
    assert caught.value.reason == "too_many_pixels"


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_an_avif_that_tells_the_truth_counts_as_that(mode: str) -> None:
    data = encode(draw_lesion(1, 300, 200).convert(mode), "AVIF", speed=10)
    assert decode(data, Limits(max_pixels=60_000)).width == 300


@pytest.mark.parametrize(
    ("said", "data"),
    [
        ("is animated", WHOLE + box(b"moov")),
        ("has no pictures", WHOLE.replace(b"meta", b"free")),
        ("does not tell where its pictures are", WHOLE.replace(b"iloc", b"free")),
        ("does not tell where its pictures are", WHOLE.replace(b"iinf", b"free")),
        ("has too many parts", WHOLE + box(b"free") * 20_000),
        ("ends where more was told", WHOLE + struct.pack(">I4s", 7, b"free")),
        ("ends where more was told", WHOLE + struct.pack(">I4s", 9, b"free")),
        ("ends where more was told", WHOLE + struct.pack(">I4s", 1, b"free")),
        ("ends where more was told", box(b"meta", bytes(4) + box(b"iloc") + box(b"iinf"))),
        ("ends where more was told", box(b"meta", bytes(4) + NO_ITEMS + box(b"iloc", bytes(6)))),
        ("describes its pictures in an unknown way", spoilt(b"infe", {0: b"\x01"})),
        ("describes its pictures in an unknown way", WHOLE.replace(b"infe", b"free")),
        ("describes its pictures in an unknown way", spoilt(b"iloc", {0: b"\x03"})),
        ("describes its pictures in an unknown way", spoilt(b"iloc", {4: b"\x54"})),
        ("has pictures that overlap or lie elsewhere", spoilt(b"iloc", {18: b"\x7f"})),
        # In version 1 two bytes that tell where pictures lie stand before all that follows.
        (
            "has pictures that overlap or lie elsewhere",
            spoilt(b"iloc", {0: b"\x01", 11: b"\x02", 14: b"\x00\x01"}),
        ),
        ("does not tell its pictures' size", spoilt(b"iloc", {12: b"\x00\x00"})),
        ("does not tell its pictures' size", coded_as(b"\x12\x00")),
        ("has too many parts", coded_as(b"\x12\x00" * 20_001)),
        ("ends where more was told", coded_as(b"\x0a")),
        ("ends where more was told", coded_as(b"\x0a\x01\x00")),
    ],
)
def test_an_avif_that_cannot_be_followed_is_refused(said: str, data: bytes) -> None:
    assert coded_pixels(WHOLE) == [64 * 48]
    with pytest.raises(AvifError, match=f"^{said}$"):
        coded_pixels(data)


def test_what_cannot_be_followed_is_not_decoded() -> None:
    data = coded_as(b"\x12\x00")
    with pytest.raises(PictureError, match="The AVIF does not tell its pictures' size") as caught:
        decode(data, LIMITS)
    assert caught.value.reason == "not_a_picture"


def test_an_animated_avif_is_refused_with_what_to_do() -> None:
    frames = [draw_lesion(seed, 64, 48) for seed in (1, 2)]
    data = encode(frames[0], "AVIF", save_all=True, append_images=frames[1:], speed=10)
    with pytest.raises(PictureError, match="is animated, which is not read here"):
        decode(data, LIMITS)
