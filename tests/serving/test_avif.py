"""An AVIF is taken for as large as it is coded, whatever its head tells."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import pytest

from serving.avif import AvifError, coded_pixels
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


def test_what_cannot_be_followed_is_not_decoded() -> None:
    whole = encode(draw_lesion(1, 64, 48), "AVIF", speed=10)
    # Its picture is a unit of no kind that has a size.
    other = bytearray(whole + box(b"mdat", b"\x12\x00"))
    place = whole.index(b"iloc") + 4 + 14
    other[place : place + 8] = struct.pack(">II", len(whole) + 8, 2)
    with pytest.raises(PictureError, match="The AVIF does not tell its pictures' size") as caught:
        decode(bytes(other), LIMITS)
    assert caught.value.reason == "not_a_picture"


def test_an_animated_avif_is_refused_with_what_to_do() -> None:
    frames = [draw_lesion(seed, 64, 48) for seed in (1, 2)]
    data = encode(frames[0], "AVIF", save_all=True, append_images=frames[1:], speed=10)
    with pytest.raises(PictureError, match="is animated, which is not read here"):
        decode(data, LIMITS)


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + kind + content


def number(value: int, size: int) -> bytes:
    return value.to_bytes(size, "big")


def information(item: int, kind: bytes = b"av01", version: int = 2) -> bytes:
    """What is told of an item: its number and kind."""
    width = 2 if version == 2 else 4
    return box(b"infe", number(version, 1) + bytes(3) + number(item, width) + bytes(2) + kind)


def kinds(*items: bytes, version: int = 0) -> bytes:
    head = number(version, 1) + bytes(3) + number(len(items), 4 if version else 2)
    return box(b"iinf", head + b"".join(items))


def places(
    *items: Sequence[tuple[int, int]],
    version: int = 0,
    sizes: tuple[int, int, int, int] = (4, 4, 0, 0),
    base: int = 0,
    method: int = 0,
) -> bytes:
    """Where the pieces of each item, of one number more than the last, begin and how long they are.

    `sizes` are the bytes of an offset, a length, a base and an index.
    """
    offset_size, length_size, base_size, index_size = sizes
    width = 4 if version == 2 else 2
    told = (
        number(version, 1)
        + bytes(3)
        + bytes((offset_size << 4 | length_size, base_size << 4 | index_size))
    )
    told += number(len(items), width)
    for item, pieces in enumerate(items, 1):
        told += number(item, width) + (number(method, 2) if version else b"") + bytes(2)
        told += number(base, base_size) + number(len(pieces), 2)
        for start, length in pieces:
            told += b"\xff" * index_size + number(start, offset_size) + number(length, length_size)
    return box(b"iloc", told)


def avif(data: bytes, *boxes: bytes) -> bytes:
    """An AVIF whose `data` begins at its eighth byte."""
    return box(b"mdat", data) + box(b"meta", bytes(4) + b"".join(boxes))


def unit(content: bytes, kind: int = 1, extended: bool = False, sized: bool = True) -> bytes:
    head = bytes((kind << 3 | extended << 2 | sized << 1,)) + b"\0" * extended
    size = len(content)
    while sized and size > 127:
        head, size = head + bytes((size & 127 | 128,)), size >> 7
    return head + bytes((size,)) * sized + content


def header(*before: str, width: int = 1_000, height: int = 700) -> bytes:
    """A sequence header with the bits `before` the size of its frames."""
    size = f"{9:04b}{9:04b}{width - 1:010b}{height - 1:010b}"
    bits = "1111" + "".join(before) + size
    return int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")


ONE_POINT = "0" + "00000" + "1" * 12 + "00111"
TICKS = "01" * 32
LARGE, SMALL = unit(header("1", "10101")), unit(header("1", "10101", width=600, height=600))


def one(data: bytes, **changes: Any) -> bytes:
    """An AVIF of one picture, whose place is told with `changes`."""
    return avif(data, kinds(information(1)), places([(8, len(data))], **changes))


@pytest.mark.parametrize(
    "before",
    [
        ["1", "10101"],
        ["0", "0", ONE_POINT],
        ["0", "1", TICKS, "0", "0", ONE_POINT],
        ["0", "1", TICKS, "1", "0001101", "0", ONE_POINT],
        ["0", "1", TICKS, "1", "0" * 31 + "1" * 32, "0", ONE_POINT],
        ["0", "1", TICKS, "1", "0" * 32 + "1", "0", ONE_POINT],
        ["0", "1", TICKS, "0", "1", "00110", "01" * 21, ONE_POINT, "0"],
        ["0", "1", TICKS, "0", "1", "00110", "01" * 21, ONE_POINT, "1", "10" * 7, "1"],
        ["0", "0", "0", "00010", *["1" * 12 + "11111" + "1"] * 3],
        ["0", "0", "0", "00001", "1" * 12 + "01000" + "1", "1" * 12 + "00111"],
        ["0", "0", "1", "00001", "1" * 12 + "00111" + "1" + "1010", "10" * 6 + "00111" + "0"],
    ],
)
def test_a_frames_size_is_found_behind_all_that_may_stand_before_it(before: list[str]) -> None:
    assert coded_pixels(one(unit(header(*before)))) == [700_000]


@pytest.mark.parametrize(
    "data",
    [
        SMALL + LARGE,
        LARGE + SMALL,
        unit(b"", kind=2) + LARGE,
        unit(bytes(20_000), kind=6) + LARGE,
        unit(b"\xff", kind=9) + LARGE,
        unit(header("1", "10101"), extended=True),
        SMALL + unit(header("1", "10101"), sized=False),
        unit(header("1", "10101") + bytes(2_000)),
    ],
)
def test_the_largest_of_a_pictures_frames_counts(data: bytes) -> None:
    assert coded_pixels(one(data)) == [700_000]


@pytest.mark.parametrize("version", [0, 1, 2])
@pytest.mark.parametrize("sizes", [(4, 4, 0, 0), (8, 8, 0, 0), (4, 8, 4, 0), (8, 4, 8, 0)])
def test_where_a_picture_lies_may_be_told_in_many_ways(
    version: int, sizes: tuple[int, int, int, int]
) -> None:
    assert coded_pixels(one(LARGE, version=version, sizes=sizes)) == [700_000]


def test_a_picture_lies_as_far_behind_its_base_as_is_told() -> None:
    told = places([(3, len(LARGE))], sizes=(4, 4, 4, 0), base=5)
    assert coded_pixels(avif(LARGE, kinds(information(1)), told)) == [700_000]


def test_an_index_of_a_piece_is_passed_over() -> None:
    told = places([(8, len(LARGE))], version=1, sizes=(4, 4, 0, 4))
    assert coded_pixels(avif(LARGE, kinds(information(1)), told)) == [700_000]


@pytest.mark.parametrize("length", [len(LARGE), 0], ids=["told", "to the end"])
def test_a_picture_may_lie_in_the_head_itself(length: int) -> None:
    told = places([(0, length)], version=1, method=1)
    inner = box(b"idat", LARGE)
    assert coded_pixels(avif(SMALL, kinds(information(1)), told, inner)) == [700_000]


def test_a_picture_in_pieces_is_put_together() -> None:
    told = places([(8, 3), (11, len(LARGE) - 3)])
    assert coded_pixels(avif(LARGE, kinds(information(1)), told)) == [700_000]


@pytest.mark.parametrize(("version", "listed"), [(2, 0), (3, 1)])
def test_each_coded_picture_counts_and_nothing_else(version: int, listed: int) -> None:
    data = LARGE + b"Exif" + SMALL
    first, last = len(LARGE), len(LARGE) + 4
    pieces = [(8, first)], [(8 + first, 4)], [(8 + last, len(SMALL))]
    told = [
        information(item, kind, version) for item, kind in enumerate((b"av01", b"Exif", b"av01"), 1)
    ]
    found = coded_pixels(avif(data, kinds(*told, version=listed), places(*pieces)))
    assert found == [700_000, 360_000]


def test_a_boxs_size_may_have_eight_bytes_or_reach_to_the_end() -> None:
    whole = one(LARGE)
    meta = whole.index(b"meta") - 4
    content = whole[meta + 8 :]
    wide = struct.pack(">I4sQ", 1, b"meta", 16 + len(content)) + content
    assert coded_pixels(whole[:meta] + wide + box(b"free", b"")) == [700_000]
    assert coded_pixels(whole[:meta] + bytes(4) + b"meta" + content) == [700_000]


INFORMATION = kinds(information(1))
PLACE = places([(8, len(LARGE))])


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "no pictures"),
        (avif(LARGE, INFORMATION), "does not tell where"),
        (avif(LARGE, PLACE), "does not tell where"),
        (avif(LARGE, kinds(information(1, version=1)), PLACE), "unknown way"),
        (avif(LARGE, kinds(box(b"free", b"\2")), PLACE), "unknown way"),
        (one(LARGE, version=3), "unknown way"),
        (one(LARGE, sizes=(2, 4, 0, 0)), "unknown way"),
        (one(LARGE, version=1, method=2), "lie elsewhere"),
        (avif(LARGE, INFORMATION, places([(0, 60), (0, 60)])), "overlap"),
        (avif(LARGE, INFORMATION, places([(8, 1)] * 20_001)), "overlap"),
        (one(unit(b"", kind=2) * 20_001 + LARGE), "too many parts"),
        (avif(LARGE, box(b"free", b"") * 20_000, INFORMATION, PLACE), "too many parts"),
        (one(unit(b"", kind=2)), "does not tell its pictures' size"),
        (one(unit(header("1", "10101")[:-1])), "ends where more was told"),
        (one(LARGE)[:-1], "ends where more was told"),
        (one(LARGE) + struct.pack(">I4s", 7, b"free"), "ends where more was told"),
        (one(LARGE) + struct.pack(">I4s", 9, b"free"), "ends where more was told"),
        (avif(LARGE, INFORMATION, box(b"iloc", PLACE[8:-1])), "ends where more was told"),
    ],
)
def test_what_cannot_be_followed_is_refused_by_why(data: bytes, why: str) -> None:
    with pytest.raises(AvifError, match=why):
        coded_pixels(data)
