"""Lesions' outlines, decoded once beside the pictures that they belong to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from serving.manifest import Preprocessing
from serving.pictures import Pixels
from training.data.cache import describe, open_cache
from training.labels import DataError, LabelledPicture


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
        masks: For each set that has outlines, the folder with its `<image_id>.png`, black and
            white and of the picture's proportions.
        preprocessing: Of the pictures.
        folder: Of the caches.

    Raises:
        DataError: where no picture has an outline, or one cannot be decoded.
    """
    found = {
        (picture.source, picture.image_id): msgspec.structs.replace(
            picture, path=path, source=f"the outlines of {picture.source}"
        )
        for picture in pictures
        if picture.source in masks
        and (path := masks[picture.source] / f"{picture.image_id}.png").is_file()
    }
    if not found:
        raise DataError(
            "model.outline_weight asks for lesions' outlines, and no training picture has one. "
            "Name the folder of <image_id>.png in data.masks, or set model.outline_weight=0."
        )
    # In an order that does not hang on what else is left out of training.
    listed = dict(sorted(found.items()))
    cache = open_cache(list(listed.values()), preprocessing, folder, channels=1)
    if cache.problems:
        raise DataError(
            f"{describe(list(cache.problems.values()))}\nOutlines are black and white PNGs. Get "
            "these files again, or take them out of the folder."
        )
    row_of = {name: row for row, name in enumerate(listed)}
    rows = [row_of.get((picture.source, picture.image_id), -1) for picture in pictures]
    return Outlines(cache.pixels, np.array(rows, np.int64))
