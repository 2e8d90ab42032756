"""How many pixels an AVIF's pictures really have, which its head may tell otherwise.

The head is ISO/IEC 14496-12's and 23008-12's boxes, what is decoded AV1's units (AV1 Bitstream and
Decoding Process Specification, 5.3 to 5.5). The decoder takes the size that the units tell, and as
much memory.
"""

from __future__ import annotations

from collections.abc import Iterator

_MOST_PIECES = 20_000
"""that all pictures may lie in"""

_SEQUENCE_HEADER = 1
"""The kind of unit that tells a size."""

_LONGEST_HEADER = 1024
"""bytes; it has 32 operating points of at most 20 bytes"""


class AvifError(ValueError):
    """An AVIF that cannot be followed, or of a kind that is not read; the message says which."""


def coded_pixels(data: bytes) -> list[int]:
    """The pixels of each picture that the AVIF file `data` holds: tiles and masks are some, too.

    Raises:
        AvifError: where it cannot be followed, or is animated.
    """
    try:
        return _coded_pixels(data)
    except (IndexError, RecursionError) as error:
        raise AvifError("ends where more was told") from error


def _coded_pixels(data: bytes) -> list[int]:
    meta = None
    for kind, start, end in _boxes(data, 0, len(data)):
        if kind == b"moov":
            raise AvifError("is animated")
        if kind == b"meta":
            meta = start + 4, end
    if meta is None:
        raise AvifError("has no pictures")
    found = {kind: (start, end) for kind, start, end in _boxes(data, *meta)}
    if b"iloc" not in found or b"iinf" not in found:
        raise AvifError("does not tell where its pictures are")
    coded = _coded_items(data, *found[b"iinf"])
    inner = found.get(b"idat", (0, 0))
    return [
        _largest(payload)
        for item, payload in _payloads(data, found[b"iloc"][0], inner)
        if item in coded
    ]


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Each box from `start` to `end`: its kind, and where its content begins and ends."""
    count = 0
    while start + 8 <= end:
        if (count := count + 1) > _MOST_PIECES:
            raise AvifError("has too many parts")
        size, kind, head = _number(data, start, 4), data[start + 4 : start + 8], 8
        if size == 1:
            size, head = _number(data, start + 8, 8), 16
        size = size or end - start
        if size < head or start + size > end:
            raise AvifError("ends where more was told")
        yield kind, start + head, start + size
        start += size


def _coded_items(data: bytes, start: int, end: int) -> set[int]:
    """The numbers of what is coded as AV1."""
    first = start + (6 if data[start] == 0 else 8)
    items = set()
    for kind, place, _ in _boxes(data, first, end):
        if kind != b"infe" or data[place] not in (2, 3):
            raise AvifError("describes its pictures in an unknown way")
        width = 2 if data[place] == 2 else 4
        if data[place + 6 + width : place + 10 + width] == b"av01":
            items.add(_number(data, place + 4, width))
    return items


def _payloads(data: bytes, place: int, inner: tuple[int, int]) -> Iterator[tuple[int, bytes]]:
    """Each item's number and bytes; `inner` is where those lie that are kept in the head itself."""
    version, sizes = data[place], _number(data, place + 4, 2)
    offset_size, length_size, base_size = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15
    index_size = sizes & 15 if version else 0
    width = 4 if version == 2 else 2
    if version > 2 or {offset_size, length_size, base_size, index_size} - {0, 4, 8}:
        raise AvifError("describes its pictures in an unknown way")
    place += 6
    items, place = _number(data, place, width), place + width
    pieces = total = 0
    for _ in range(items):
        item, place = _number(data, place, width), place + width
        method = 0
        if version:
            method, place = data[place + 1] & 15, place + 2
        base, place = _number(data, place + 2, base_size), place + 2 + base_size
        count, place = _number(data, place, 2), place + 2
        payload = []
        for _ in range(count):
            place += index_size
            offset, place = _number(data, place, offset_size), place + offset_size
            length, place = _number(data, place, length_size), place + length_size
            begin, end = (0, len(data)) if method == 0 else inner
            begin += base + offset
            end = begin + length if length else end
            payload.append(data[begin:end])
            pieces, total = pieces + 1, total + max(0, end - begin)
            if method > 1 or total > len(data) or pieces > _MOST_PIECES:
                raise AvifError("has pictures that overlap or lie elsewhere")
        yield item, b"".join(payload)


def _largest(payload: bytes) -> int:
    """The most pixels that any of the headers in a picture's units tells."""
    place = largest = count = 0
    while place < len(payload):
        if (count := count + 1) > _MOST_PIECES:
            raise AvifError("has too many parts")
        head = payload[place]
        place += 2 if head & 4 else 1
        size = len(payload) - place
        if head & 2:
            size = 0
            for shift in range(0, 56, 7):
                byte, place = payload[place], place + 1
                size |= (byte & 127) << shift
                if byte < 128:
                    break
        if head >> 3 & 15 == _SEQUENCE_HEADER:
            unit = payload[place : min(place + size, place + _LONGEST_HEADER)]
            largest = max(largest, _pixels(_Bits(unit)))
        place += size
    if not largest:
        raise AvifError("does not tell its pictures' size")
    return largest


class _Bits:
    """Bytes read bit by bit, the highest first; noughts follow them."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = 8 * len(data)

    def take(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise AvifError("ends where more was told")
        return self._value >> self._left & (1 << count) - 1

    def skip_variable(self) -> None:
        """A number of variable length (uvlc)."""
        zeros = 0
        while not self.take(1):
            zeros += 1
        if zeros < 32:
            self.take(zeros)


def _pixels(bits: _Bits) -> int:
    """What a sequence header tells of the size of its frames, 5.5.1."""
    bits.take(4)  # profile, still picture
    if bits.take(1):  # a reduced header
        bits.take(5)
    else:
        _skip_timing_and_points(bits)
    across, down = bits.take(4) + 1, bits.take(4) + 1
    return (bits.take(across) + 1) * (bits.take(down) + 1)


def _skip_timing_and_points(bits: _Bits) -> None:
    delay = 0
    has_model = False
    if bits.take(1):  # timing
        bits.take(64)
        if bits.take(1):
            bits.skip_variable()
        if has_model := bool(bits.take(1)):
            delay = bits.take(5) + 1
            bits.take(42)
    has_display_delay = bits.take(1)
    for _ in range(bits.take(5) + 1):  # operating points
        bits.take(12)
        if bits.take(5) > 7:
            bits.take(1)
        if has_model and bits.take(1):
            bits.take(2 * delay + 1)
        if has_display_delay and bits.take(1):
            bits.take(4)


def _number(data: bytes, place: int, size: int) -> int:
    """An unsigned number of `size` bytes, the highest first."""
    if place + size > len(data):
        raise AvifError("ends where more was told")
    return int.from_bytes(data[place : place + size], "big")
