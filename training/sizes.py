"""How many pixels pictures have: what is learned from and measured on may be smaller copies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from PIL import ExifTags, Image

from serving.pictures import FORMATS
from training.labels import LabelledPicture

KEY = "picture_sizes"
"""Under which a manifest's configuration tells what the model learned from, by set."""

_LOOKED_AT = 1000
"""Of each set, at most: a set has one size, or many that a thousand tell of."""


class PictureSize(msgspec.Struct, frozen=True, kw_only=True):
    """The commonest size of upright pictures, and the `share` of them that have it."""

    width: int
    height: int
    share: float


def commonest(sizes: Iterable[tuple[int, int]]) -> PictureSize | None:
    """The size that most pictures have, given as width and height; None of none."""
    counts = Counter(sizes)
    if not counts:
        return None
    [((width, height), count)] = counts.most_common(1)
    return PictureSize(width=width, height=height, share=count / counts.total())


def by_set(pictures: Sequence[LabelledPicture]) -> dict[str, PictureSize]:
    """The commonest size in each set, from the files' heads; those without a size are passed over.

    Of a large set a thousand pictures are looked at, evenly through it.
    """
    files: dict[str, list[Path]] = {}
    for picture in pictures:
        files.setdefault(picture.source, []).append(picture.path)
    found = {
        name: commonest(_read(paths[:: -(-len(paths) // _LOOKED_AT)]))
        for name, paths in files.items()
    }
    return {name: size for name, size in found.items() if size is not None}


def learned_from(config: Mapping[str, Any]) -> dict[str, PictureSize]:
    """The sizes that a manifest's configuration tells, by set; empty where it tells none."""
    try:
        return msgspec.convert(config.get(KEY, {}), dict[str, PictureSize])
    except msgspec.ValidationError:
        # What a manifest tells of its training is anyone's own.
        return {}


def _read(files: Iterable[Path]) -> Iterator[tuple[int, int]]:
    for file in files:
        try:
            with Image.open(file, formats=FORMATS) as image:
                width, height = image.size
                # Pillow tells a TIFF's size as it is when turned.
                orientation = image.getexif().get(ExifTags.Base.Orientation)
                turned = orientation in (5, 6, 7, 8) and image.format != "TIFF"
        except Exception:  # a decoder may raise anything over damaged bytes
            continue
        yield (height, width) if turned else (width, height)
