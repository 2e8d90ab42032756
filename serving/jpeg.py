"""What a JPEG's markers tell of the work and memory that decoding it takes, before any is done.

ITU-T T.81, annex B.
"""

from __future__ import annotations

import re

import msgspec

from serving.heads import MOST_PARTS, refuse_above

_EOI, _SOS = 0xD9, 0xDA
_PROGRESSIVE = frozenset((0xC2, 0xC6, 0xCA, 0xCE))
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}

_MARKER = re.compile(rb"\xff[\xc0-\xcf\xd9-\xfe]")
"""The end, or one with a segment behind it; what else stands between them is passed over."""


class Layout(msgspec.Struct, frozen=True):
    """How a JPEG is laid out.

    `scans` is how often its pixels are gone over. With more than one scan the decoder keeps every
    coefficient until the last: `coefficient_bytes` for each pixel, else 0.
    """

    scans: int
    coefficient_bytes: float


def layout(data: bytes) -> Layout:
    """The layout of the JPEG file `data`; of one that cannot be followed, what it takes at most.

    Raises:
        HeadError: where it has too many parts.
    """
    try:
        return _layout(data)
    except IndexError:  # it ends within its head, which the decoder will refuse
        return Layout(scans=1, coefficient_bytes=6)


def _layout(data: bytes) -> Layout:
    scans, components, progressive, samples = 0, 0, False, 3.0
    place = 2
    markers = 0
    while found := _MARKER.search(data, place):
        refuse_above(markers := markers + 1, MOST_PARTS)
        place = found.end()
        marker = data[place - 1]
        if marker == _EOI:
            return Layout(scans=scans, coefficient_bytes=2 * samples if scans else 0)
        if marker in _FRAMES and not scans:
            progressive = marker in _PROGRESSIVE
            components = data[place + 7]
            samples = _samples(data[place + 8 : place + 8 + 3 * components])
        if marker == _SOS:
            if not scans and not progressive and data[place + 2] >= components:
                return Layout(scans=1, coefficient_bytes=0)
            scans += 1
        place += int.from_bytes(data[place : place + 2], "big")
    if not scans:
        raise IndexError("the file ends within its head")
    return Layout(scans=scans, coefficient_bytes=2 * samples)


def _samples(components: bytes) -> float:
    """Samples for each pixel, over all components: 3 of full colour, 1.5 of halved chroma."""
    factors = [(factor >> 4, factor & 15) for factor in components[1::3]]
    widest, highest = (max((f[axis] for f in factors), default=1) or 1 for axis in (0, 1))
    return sum(across * down for across, down in factors) / (widest * highest)
