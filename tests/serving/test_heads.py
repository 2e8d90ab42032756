"""A file's head costs little, whatever it holds."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable

import numpy as np
import pytest
from PIL import ExifTags, Image

from serving.heads import MOST_PARTS, HeadError, check
from serving.pictures import Limits, PictureError, decode
from tests.drawings import encode
from tests.serving.odd_files import (
    LESION,
    exif_in_pieces,
    exif_of_numbers,
    gif_of_comments,
    gif_with,
    jpeg_of_many_scans,
    jpeg_with,
    png_chunk,
    png_with,
    run_length_bmp,
)

LIMITS = Limits()


def before_the_pixels(data: bytes) -> bytes:
    jpeg = encode(LESION)
    start = jpeg.index(b"\xff\xda")
    return jpeg[:start] + data + jpeg[start:]


MANY: dict[str, Callable[[int], bytes]] = {
    "segments of a JPEG": lambda n: jpeg_with(b"\xff\xe5\x00\x02" * n),
    "bytes of none": lambda n: jpeg_with(b"\xff\xe5\x00\x02" + bytes(n)),
    "bytes before the pixels": lambda n: before_the_pixels(bytes(n)),
    "segments between scans": lambda n: jpeg_of_many_scans(64, 1, b"\xff\xfe\x00\x02" * n),
    "chunks of a PNG": lambda n: png_with(png_chunk(b"prVt", b"") * n),
    "comments of a GIF": gif_of_comments,
    "comments of nothing": lambda n: gif_with(b"!\xfe\0" * n),
    "pieces of a comment": lambda n: gif_with(b"!\xfe" + b"\x01x" * n + b"\0"),
    "bytes of none in a GIF": lambda n: gif_with(bytes(n)),
}


@pytest.mark.parametrize("make", MANY.values(), ids=MANY.keys())
def test_a_file_of_too_many_parts_is_refused(make: Callable[[int], bytes]) -> None:
    assert decode(make(100), LIMITS).width > 0
    with pytest.raises(PictureError, match=f"more than {MOST_PARTS:,} parts") as caught:
        decode(make(MOST_PARTS + 1), LIMITS)
    assert caught.value.reason == "damaged"


@pytest.mark.parametrize("parts", [name for name in MANY if name != "segments between scans"])
def test_it_is_refused_before_anything_is_read(parts: str) -> None:
    check(MANY[parts](100))
    with pytest.raises(HeadError):
        check(MANY[parts](MOST_PARTS + 1))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF"])
def test_pixels_are_no_parts(form: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    data = encode(Image.fromarray(noise), form)
    assert len(data) > 2 * MOST_PARTS
    assert decode(data, LIMITS).width == 400


def test_what_lies_within_a_segment_is_no_part() -> None:
    within = b"\xff\xe5\xea\x62" + bytes(60_000)
    assert decode(jpeg_with(within), LIMITS).width == LESION.width


def test_a_head_without_pixels_is_counted_to_the_files_end() -> None:
    head, _, _ = encode(LESION).partition(b"\xff\xda")
    with pytest.raises(HeadError):
        check(head + bytes(MOST_PARTS + 1))


def test_colours_end_no_head() -> None:
    data = gif_of_comments(MOST_PARTS)
    colours = 3 << (data[10] & 7) + 1
    with pytest.raises(HeadError):
        check(data[:13] + b";" * colours + data[13 + colours :])


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF"])
def test_a_head_that_ends_early_is_refused_as_any_broken_file(form: str) -> None:
    data = encode(LESION, form)
    for end in range(1, 60):
        with pytest.raises(PictureError):
            decode(data[:end], LIMITS)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF"])
def test_what_stands_behind_the_end_is_of_no_account(form: str) -> None:
    data = encode(LESION, form)
    assert decode(data + bytes(20 * MOST_PARTS), LIMITS).width == LESION.width


@pytest.mark.parametrize("marker", [0xC8, 0xF0])
def test_what_stands_behind_a_marker_without_length_is_counted(marker: int) -> None:
    with pytest.raises(PictureError, match=f"more than {MOST_PARTS:,} parts"):
        decode(jpeg_with(bytes((0xFF, marker)) + b"\xff\xff" + bytes(MOST_PARTS)), LIMITS)


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


def png_with_exif(kind: int, size: int) -> bytes:
    """A PNG whose EXIF is 700,000 bytes of values of that kind and size."""
    entry = struct.pack("<HHHII", 1, 37_500, kind, 700_000 // size, 26)
    exif = b"II*\0" + struct.pack("<I", 8) + entry + bytes(4 + 700_000)
    return png_with(png_chunk(b"eXIf", exif))


@pytest.mark.parametrize("kind", [1, 2, 7], ids=["bytes", "text", "undefined"])
def test_what_stays_bytes_may_be_long(kind: int) -> None:
    assert decode(png_with_exif(kind, 1), LIMITS).width == LESION.width


@pytest.mark.parametrize(
    ("kind", "size"),
    [(3, 2), (4, 4), (5, 8), (6, 1), (8, 2), (9, 4), (10, 8), (11, 4), (12, 8), (13, 4), (16, 8)],
)
def test_numbers_of_each_kind_are_counted(kind: int, size: int) -> None:
    with pytest.raises(PictureError, match="bytes of numbers in its metadata"):
        decode(png_with_exif(kind, size), LIMITS)


def test_a_tiff_of_many_strips_is_read_and_one_of_many_bits_is_not() -> None:
    tall = Image.new("L", (1, 65_535), "tan")
    data = encode(tall, "TIFF", strip_size=1, compression="tiff_lzw")
    with Image.open(io.BytesIO(data)) as image:
        assert len(image.getexif()[ExifTags.Base.StripOffsets]) == 65_535
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
