"""Outlines are decoded once, go with their own pictures, and every bad one is named."""

from pathlib import Path
from unicodedata import normalize

import numpy as np
import pytest
from PIL import ExifTags, Image

from serving.manifest import Preprocessing
from tests.drawings import encode
from training.data.module import CachedPictures
from training.data.outlines import open_outlines, outline_of
from training.labels import DataError, LabelledPicture

SIZE = 8
CROP = Preprocessing(fit="crop", size=SIZE)


def pictures(folder: Path, *names: str) -> list[LabelledPicture]:
    """Square pictures in `folder`."""
    for name in names:
        (folder / f"{name}.jpg").write_bytes(encode(Image.new("RGB", (SIZE, SIZE))))
    return [LabelledPicture(folder / f"{n}.jpg", n, "nv", n, "drawn") for n in names]


def outline(folder: Path, name: str, columns: int) -> None:
    """The outline of a lesion that fills so many of eight columns from the left."""
    folder.mkdir(exist_ok=True)
    mask = Image.new("L", (SIZE, SIZE))
    mask.paste(255, (0, 0, columns, SIZE))
    (folder / f"{name}.png").write_bytes(encode(mask, "PNG"))


def test_each_picture_comes_with_its_own_outline(tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    outline(masks, "b", 2)
    outline(masks, "a", 6)
    listed = pictures(tmp_path, "b", "unknown", "a")
    outlines = open_outlines(listed, {"drawn": masks}, CROP, tmp_path / "cache")
    assert outlines.pixels.shape == (2, SIZE, SIZE, 1)
    pixels = np.full((3, SIZE, SIZE, 3), 7, np.uint8)
    places = np.array([[0, 0], [0, 1], [0, 2]])
    cached = CachedPictures([pixels], places, np.array([0, 1, 2]), outlines)
    batch, labels = cached.__getitems__([2, 1, 0])
    assert batch.shape == (3, SIZE, SIZE, 5)
    assert labels.tolist() == [2, 1, 0]
    assert (batch[..., :3] == 7).all()
    inside, known = batch[..., 3], batch[..., 4]
    assert known[:, 0, 0].tolist() == [255, 0, 255]
    assert [(row > 127).sum().item() for row in inside[:, 0]] == [6, 0, 2]
    [drawn] = cached.drawn(3, 3, 0, "drawing")
    assert drawn.shape == (3, SIZE, SIZE, 3)


def test_another_set_has_no_outlines_of_this_one(tmp_path: Path) -> None:
    outline(tmp_path / "masks", "a", 4)
    own, [other] = pictures(tmp_path, "a"), pictures(tmp_path, "a")
    listed = [*own, LabelledPicture(other.path, "a", "nv", "a", "other")]
    outlines = open_outlines(listed, {"drawn": tmp_path / "masks"}, CROP, tmp_path / "cache")
    assert outlines.rows.tolist() == [0, -1]


def test_what_cannot_be_decoded_is_named(tmp_path: Path) -> None:
    outline(tmp_path / "masks", "a", 4)
    (tmp_path / "masks" / "b.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"b\.png: .*\nOutlines are black and white PNGs"):
        open_outlines(
            pictures(tmp_path, "a", "b"), {"drawn": tmp_path / "masks"}, CROP, tmp_path / "cache"
        )


def test_outlines_may_bear_the_names_that_they_are_published_under(tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    outline(masks, "a_segmentation", 4)
    outlines = open_outlines(
        pictures(tmp_path, "b", "a"), {"drawn": masks}, CROP, tmp_path / "cache"
    )
    assert outlines.rows.tolist() == [-1, 0]


def test_an_outline_is_found_in_either_normal_form(tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    outline(masks, normalize("NFD", "größe_segmentation"), 4)
    found = outline_of(normalize("NFC", "größe"), masks)
    assert found is not None
    assert found.is_file()


def test_an_outline_of_another_picture_is_refused(tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    [picture] = pictures(tmp_path, "a")
    outline(masks, "a", 4)
    # Stored lying, to be shown standing: one and a half times as high as it is wide.
    lying, orientation = Image.new("RGB", (24, 16)), Image.Exif()
    orientation[ExifTags.Base.Orientation] = 6
    lying.save(picture.path, exif=orientation)
    with pytest.raises(DataError, match=r"a\.png: has 8 x 8 pixels, its picture 16 x 24\."):
        open_outlines([picture], {"drawn": masks}, CROP, tmp_path / "cache")
    (masks / "a.png").write_bytes(encode(Image.new("1", (2 * SIZE, 3 * SIZE)), "PNG"))
    assert len(open_outlines([picture], {"drawn": masks}, CROP, tmp_path / "cache").pixels) == 1


def test_without_any_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data\.masks, or set model\.outline_weight=0"):
        open_outlines(pictures(tmp_path, "a"), {}, CROP, tmp_path)
