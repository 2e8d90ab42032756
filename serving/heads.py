"""What a file's head may ask of Pillow before a pixel is decoded.

Pillow reads a head in Python: each of its parts takes a turn of a loop and some two hundred bytes
of memory, and may take two to twelve bytes of the file.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import IO

from PIL import TiffImagePlugin

MOST_PARTS = 20_000
"""of a file beside its pixels, and bytes between them that belong to none"""

_MOST_EXIF = 16
"""Exif segments of a JPEG: Pillow copies all that came before with each. Programs write one."""

_MOST_NUMBERS = 600_000
"""bytes of numbers in a directory of TIFF or Exif, of which Pillow makes Python's own, up to thirty
times as large; enough for the places and lengths of 65,535 strips"""

_BYTES = (1, 2, 7)
"""types of values that stay bytes: bytes, text, undefined"""

_JPEG, _PNG, _GIF = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", (b"GIF87a", b"GIF89a")

_SEGMENT = re.compile(rb"\xff[\xc0-\xc7\xc9-\xcf\xda-\xef\xfe]")
"""A marker of a JPEG with a segment behind it that Pillow steps over; it goes through all else."""

_SOS, _APP1 = 0xDA, 0xE1


class HeadError(ValueError):
    """A head of more parts than are read; the message says so."""


def check(data: bytes) -> None:
    """Makes sure that reading the head of the file `data` costs little.

    Raises:
        HeadError: where it has too many parts.
    """
    parts: Callable[[bytes], None] | None = None
    if data.startswith(_JPEG):
        parts = _check_jpeg
    elif data.startswith(_PNG):
        parts = _check_png
    elif data.startswith(_GIF):
        parts = _check_gif
    if parts:
        try:
            parts(data)
        except IndexError:
            return  # it ends within its head, which the decoder refuses


def limit_directories() -> None:
    """Has Pillow refuse directories of TIFF and Exif with too many numbers, wherever they stand."""
    directory = TiffImagePlugin.ImageFileDirectory_v2
    # Pillow has no limit to set here. Its readers make these directories themselves, also those
    # within others, so that a class of ours would not be asked; mypy minds any method put over one.
    directory.load = _load  # type: ignore[method-assign]


_pillows_load = TiffImagePlugin.ImageFileDirectory_v2.load


def _load(self: TiffImagePlugin.ImageFileDirectory_v2, fp: IO[bytes]) -> None:
    _pillows_load(self, fp)
    numbers = sum(
        len(data) for tag, data in self._tagdata.items() if self.tagtype[tag] not in _BYTES
    )
    if numbers > _MOST_NUMBERS:
        self.reset()
        raise SyntaxError(f"{numbers} bytes of numbers in its metadata")


def _check_jpeg(data: bytes) -> None:
    count = exif = 0
    place = 2
    while found := _SEGMENT.search(data, place):
        count += 1 + found.start() - place
        marker, place = data[found.end() - 1], found.end()
        if marker == _SOS:
            break
        if marker == _APP1 and data[place + 2 : place + 8] == b"Exif\0\0":
            exif += 1
        refuse_above(exif, _MOST_EXIF)
        refuse_above(count, MOST_PARTS)
        place += int.from_bytes(data[place : place + 2], "big")
    else:
        count += len(data) - place
    refuse_above(count, MOST_PARTS)


def _check_png(data: bytes) -> None:
    count, place = 0, len(_PNG)
    while place < len(data) and data[place + 4 : place + 8] != b"IEND":
        refuse_above(count := count + 1, MOST_PARTS)
        place += 12 + int.from_bytes(data[place : place + 4], "big")


def _check_gif(data: bytes) -> None:
    count, place = 0, 13
    if data[10] & 128:
        place += 3 << (data[10] & 7) + 1
    while data[place] not in b",;":
        refuse_above(count := count + 1, MOST_PARTS)
        if data[place] != ord("!"):
            place += 1
            continue
        place += 2
        while length := data[place]:
            refuse_above(count := count + 1, MOST_PARTS)
            place += 1 + length
        place += 1


def refuse_above(count: int, most: int) -> None:
    """Makes sure that `count` parts are no more than `most`.

    Raises:
        HeadError: where they are.
    """
    if count > most:
        raise HeadError(f"has more than {most:,} parts beside its pixels, and programs write tens")
