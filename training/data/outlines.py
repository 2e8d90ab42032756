"""Lesions' outlines, decoded once beside the pictures that they belong to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from unicodedata import normalize

import msgspec
import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image

from serving.manifest import Preprocessing
from serving.pictures import Pixels
from training.data.cache import describe, open_cache
from training.labels import DataError, LabelledPicture


_ASPECT = 0.02
"""An outline whose proportions differ by more from its picture's is of another picture."""

_ON_ITS_SIDE = range(5, 9)
"""EXIF orientations of pictures whose rows are stored as columns."""


class Outlines(msgspec.Struct, frozen=True):
    """The outlines of some of N pictures.

    `pixels` `[M, S, S, 1] uint8` is white where the lesion is; `rows` `[N] int64` is each picture's
    row in it, -1 where its outline is not known.
    """

    pixels: Pixels
    rows: npt.NDArray[np.int64]

    def take(self, indices: Sequence[int]) -> Pixels:
        """How much of each pixel is lesion, and whether that is known, `[B, S, S, 2] uint8`."""
        rows = self.rows[indices]
        known = rows >= 0
        taken = np.zeros((len(rows), *self.pixels.shape[1:3], 2), np.uint8)
        taken[known, ..., :1] = self.pixels[rows[known]]
        taken[known, ..., 1] = 255
        return taken


def open_outlines(
    pictures: Sequence[LabelledPicture],
    masks: Mapping[str, Path],
    preprocessing: Preprocessing,
    folder: Path,
) -> Outlines:
    """The outlines of `pictures`, decoded into `folder` as the pictures themselves are.

    Args:
        pictures: Whose outlines are asked for.
        masks: For each set that has outlines, the folder where `outline_of` finds them, black and
            white.
        preprocessing: Of the pictures.
        folder: Of the caches.

    Raises:
        DataError: where no picture has an outline, or one cannot be decoded or is of other
            proportions than its picture.
    """
    found = {}
    for picture in pictures:
        path = outline_of(picture.image_id, masks.get(picture.source))
        if path is not None:
            found[picture.source, picture.image_id] = msgspec.structs.replace(
                picture, path=path, source=f"the outlines of {picture.source}"
            )
    if not found:
        raise DataError(
            "model.outline_weight asks for lesions' outlines, and no training picture has one. "
            "Name the folder of <image_id>.png or <image_id>_segmentation.png in data.masks, or set "
            "model.outline_weight=0."
        )
    # In an order that does not hang on what else is left out of training.
    listed = dict(sorted(found.items()))
    cache = open_cache(list(listed.values()), preprocessing, folder, channels=1)
    if cache.problems:
        raise DataError(
            f"{describe(list(cache.problems.values()))}\nOutlines are black and white PNGs. Get "
            "these files again, or take them out of the folder."
        )
    for picture in pictures:
        if (outlined := found.get((picture.source, picture.image_id))) is not None:
            refuse_other_proportions(outlined.path, _size(outlined.path), _size(picture.path))
    row_of = {name: row for row, name in enumerate(listed)}
    rows = [row_of.get((picture.source, picture.image_id), -1) for picture in pictures]
    return Outlines(cache.pixels, np.array(rows, np.int64))


def outline_of(image_id: str, folder: Path | None) -> Path | None:
    """The outline of the lesion in a picture; None where `folder` has none, or is None.

    It is `<image_id>.png`, or as the masks of HAM10000 and the ISIC challenges are published,
    `<image_id>_segmentation.png`.
    """
    if folder is None:
        return None
    # A Mac may have written the file's name in the other normal form than ids are in.
    for id in dict.fromkeys((image_id, normalize("NFD", image_id))):
        for name in (f"{id}.png", f"{id}_segmentation.png"):
            if (path := folder / name).is_file():
                return path
    return None


def refuse_other_proportions(path: Path, outline: tuple[int, int], picture: tuple[int, int]) -> None:
    """Compares the sizes, width and height, of the outline at `path` and of its upright picture.

    Raises:
        DataError: where they differ in more than scale.
    """
    (width, height), (across, down) = outline, picture
    if abs(width / height * down / across - 1) > _ASPECT:
        raise DataError(
            f"{path}: has {width} x {height} pixels, its picture {across} x {down}. An outline may "
            "be larger or smaller, but of the same proportions."
        )


def _size(path: Path) -> tuple[int, int]:
    """Width and height of an upright picture that can be decoded, from its header."""
    with Image.open(path) as image:
        width, height = image.size
        # Pillow would decode a PNG to look for EXIF data behind its pixels; the header has none.
        told = image.getexif() if "exif" in image.info else {}
        on_its_side = told.get(ExifTags.Base.Orientation) in _ON_ITS_SIDE
    return (height, width) if on_its_side else (width, height)
