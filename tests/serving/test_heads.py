"""A file's head costs little, whatever it holds."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest
from PIL import Image

from serving.heads import MOST_PARTS
from serving.pictures import Limits, PictureError, decode
from tests.drawings import encode
from tests.serving.odd_files import (
    LESION,
    exif_in_pieces,
    exif_of_numbers,
    gif_of_comments,
    jpeg_of_many_scans,
    jpeg_with,
    png_chunk,
    png_with,
    run_length_bmp,
)

LIMITS = Limits()

MANY: dict[str, Callable[[int], bytes]] = {
    "segments of a JPEG": lambda n: jpeg_with(b"\xff\xe5\x00\x02" * n),
    "bytes of none": lambda n: jpeg_with(b"\xff\xe5\x00\x02" + bytes(n)),
    "segments between scans": lambda n: jpeg_of_many_scans(64, 1, b"\xff\xfe\x00\x02" * n),
    "chunks of a PNG": lambda n: png_with(png_chunk(b"prVt", b"") * n),
    "comments of a GIF": gif_of_comments,
}


@pytest.mark.parametrize("make", MANY.values(), ids=MANY.keys())
def test_a_file_of_too_many_parts_is_refused(make: Callable[[int], bytes]) -> None:
    assert decode(make(100), LIMITS).width > 0
    with pytest.raises(PictureError, match=f"more than {MOST_PARTS:,} parts") as caught:
        decode(make(MOST_PARTS + 1), LIMITS)
    assert caught.value.reason == "damaged"


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF"])
def test_what_stands_behind_the_end_is_of_no_account(form: str) -> None:
    data = encode(LESION, form)
    assert decode(data + bytes(2 * MOST_PARTS), LIMITS).width == LESION.width


def test_what_stands_behind_a_marker_without_length_is_counted() -> None:
    with pytest.raises(PictureError, match=f"more than {MOST_PARTS:,} parts"):
        decode(jpeg_with(b"\xff\xf0\xff\xff" + bytes(MOST_PARTS)), LIMITS)


def test_an_exif_in_too_many_pieces_is_refused() -> None:
    assert decode(exif_in_pieces(16), LIMITS).width == LESION.width
    with pytest.raises(PictureError, match="more than 16 parts"):
        decode(exif_in_pieces(17), LIMITS)


def test_numbers_by_the_thousand_are_not_made_of_a_pictures_metadata() -> None:
    few, many = exif_of_numbers(100), exif_of_numbers(400_000)
    assert decode(png_with(png_chunk(b"eXIf", few)), LIMITS).width == LESION.width
    with pytest.raises(PictureError, match="bytes of numbers in its metadata") as caught:
        decode(png_with(png_chunk(b"eXIf", many)), LIMITS)
    assert caught.value.reason == "damaged"


def test_a_tiff_of_many_strips_is_read_and_one_of_many_bits_is_not() -> None:
    tall = Image.new("L", (1, 65_535), "tan")
    data = encode(tall, "TIFF", strip_size=1)
    assert decode(data, LIMITS).height == 65_535
    place = len(data)
    bits = data.find(struct.pack("<HHI", 258, 3, 1))
    assert bits > 0
    entry = struct.pack("<HHII", 258, 3, 400_000, place)
    with pytest.raises(PictureError) as caught:
        decode(data[:bits] + entry + data[bits + 12 :] + bytes(800_000), LIMITS)
    assert caught.value.reason == "not_a_picture"


def test_a_large_run_length_bmp_is_refused() -> None:
    assert decode(run_length_bmp(1_000, 100), LIMITS).width == 1_000
    with pytest.raises(PictureError, match="run-length") as caught:
        decode(run_length_bmp(65_535, 22), LIMITS)
    assert caught.value.reason == "too_many_pixels"
