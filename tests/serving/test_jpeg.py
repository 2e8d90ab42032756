from __future__ import annotations

import io

import pytest
from PIL import Image

from serving.jpeg import Layout, layout
from tests.drawings import draw_lesion, encode
from tests.serving.odd_files import jpeg_of_many_scans

LESION = draw_lesion(1, 160, 120)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_plain_jpeg_is_gone_over_once_and_keeps_nothing(mode: str) -> None:
    assert layout(encode(LESION.convert(mode))) == Layout(scans=1, coefficient_bytes=0)


@pytest.mark.parametrize(("subsampling", "kept"), [("4:4:4", 6), ("4:2:2", 4), ("4:2:0", 3)])
def test_a_progressive_one_keeps_every_coefficient(subsampling: str, kept: int) -> None:
    found = layout(encode(LESION, progressive=True, subsampling=subsampling))
    assert found.coefficient_bytes == kept
    assert 5 <= found.scans <= 12


def test_one_whose_colours_come_one_after_the_other_keeps_them_too() -> None:
    data = encode(LESION)
    start = data.index(b"\xff\xda")
    length = int.from_bytes(data[start + 2 : start + 4], "big")
    only_first = b"\xff\xda\0\x08\x01\x01\0\0\x3f\0"
    assert layout(data[:start] + only_first + data[start + 2 + length :]).coefficient_bytes == 3
    assert layout(data[:start] + only_first + data[start:]) == Layout(scans=2, coefficient_bytes=3)


@pytest.mark.parametrize("marker", [0xC6, 0xCA, 0xCE])
def test_every_kind_of_progressive_one_counts_as_such(marker: int) -> None:
    data = encode(LESION, progressive=True)
    assert layout(data.replace(b"\xff\xc2", bytes((0xFF, marker)))) == layout(data)


def test_what_is_told_of_the_frame_behind_a_scan_counts_for_nothing() -> None:
    data = encode(LESION, progressive=True)
    grey = b"\xff\xc2\0\x0b\x08\0\x78\0\xa0\x01\x01\x11\0"
    assert layout(data[:-2] + grey + data[-2:]) == layout(data)


def test_factors_of_nought_are_followed() -> None:
    data = encode(LESION, progressive=True)
    frame = data.index(b"\xff\xc2")
    factors = bytearray(data)
    factors[frame + 11 : frame + 20 : 3] = bytes(3)
    assert layout(bytes(factors)).coefficient_bytes == 0


@pytest.mark.parametrize("scans", [1, 20, 500])
def test_every_scan_is_counted(scans: int) -> None:
    assert layout(jpeg_of_many_scans(64, scans)).scans == 1 + scans


@pytest.mark.parametrize("marker", [0xE5, 0xFE])
def test_an_end_within_a_segment_hides_no_scan(marker: int) -> None:
    comment = bytes((0xFF, marker)) + b"\0\x04\xff\xd9"
    assert layout(jpeg_of_many_scans(64, 20, before_each=comment)).scans == 21


def test_a_length_where_no_segment_is_hides_no_scan() -> None:
    # Where the decoder looks for a restart it passes over such a marker, and not over a segment.
    reserved = b"\xff\x02\xff\xff"
    assert layout(jpeg_of_many_scans(64, 20, before_each=reserved)).scans == 21


def test_a_thumbnail_is_no_scan_of_the_picture() -> None:
    small = io.BytesIO()
    LESION.resize((32, 24)).save(small, "JPEG", progressive=True)
    exif = b"Exif\0\0" + small.getvalue()
    assert layout(encode(LESION, exif=exif)) == Layout(scans=1, coefficient_bytes=0)


def test_what_follows_the_picture_is_no_scan_of_it() -> None:
    data = encode(LESION, progressive=True)
    assert layout(data + b"\xff\xda" * 1_000) == layout(data)


@pytest.mark.parametrize("data", [b"", b"\xff\xd8", b"\xff\xd8\xff\xc0\0\x11", b"\xff" * 50])
def test_what_cannot_be_followed_is_taken_for_the_worst(data: bytes) -> None:
    assert layout(data) == Layout(scans=1, coefficient_bytes=6)


def test_one_without_its_end_is_as_laid_out_as_it_came() -> None:
    data = encode(LESION, progressive=True)
    assert layout(data[:-2]) == layout(data)


def test_a_jpeg_without_pixels_has_no_scan() -> None:
    assert layout(b"\xff\xd8\xff\xd9") == Layout(scans=0, coefficient_bytes=0)


def test_no_cut_or_change_stops_it() -> None:
    data = encode(Image.new("RGB", (8, 8)), progressive=True)
    for end in range(len(data)):
        layout(data[:end])
        layout(data[:end] + b"\0" + data[end + 1 :])
