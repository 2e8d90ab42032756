"""Pictures are decoded once, as serving decodes them, and every bad one is named."""

from pathlib import Path

import numpy as np
import pytest

from serving.manifest import Preprocessing
from serving.pictures import prepare
from tests.drawings import draw_lesion, encode
from training.data import cache
from training.data.cache import open_cache
from training.labels import DataError, LabelledPicture

SQUASH = Preprocessing(fit="squash", size=24)


def written(folder: Path, count: int = 3) -> list[LabelledPicture]:
    folder.mkdir(exist_ok=True)
    listed = []
    for i in range(count):
        path = folder / f"{i}.jpg"
        path.write_bytes(encode(draw_lesion(i, 60, 45)))
        listed.append(LabelledPicture(path, str(i), "nv", str(i), "drawn"))
    return listed


def test_the_cache_holds_what_serving_would_see(tmp_path: Path) -> None:
    listed = written(tmp_path / "pictures")
    pixels = open_cache(listed, SQUASH, tmp_path / "cache")
    assert isinstance(pixels, np.memmap)
    for row, picture in zip(pixels, listed, strict=True):
        np.testing.assert_array_equal(row, prepare(picture.path.read_bytes(), SQUASH).pixels)


def test_a_second_run_decodes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = written(tmp_path / "pictures")
    first = np.array(open_cache(listed, SQUASH, tmp_path / "cache"))
    monkeypatch.setattr(cache, "prepare", lambda *_: pytest.fail("decoded again"))
    np.testing.assert_array_equal(open_cache(listed, SQUASH, tmp_path / "cache"), first)


def test_a_changed_picture_or_another_size_is_decoded_anew(tmp_path: Path) -> None:
    listed = written(tmp_path / "pictures")
    before = np.array(open_cache(listed, SQUASH, tmp_path / "cache"))
    listed[1].path.write_bytes(encode(draw_lesion(9, 80, 60)))
    after = open_cache(listed, SQUASH, tmp_path / "cache")
    assert (after[1] != before[1]).any()
    larger = open_cache(listed, Preprocessing(fit="squash", size=32), tmp_path / "cache")
    assert larger.shape == (3, 32, 32, 3)


def test_every_bad_picture_is_named_and_nothing_is_kept(tmp_path: Path) -> None:
    listed = written(tmp_path / "pictures", 4)
    listed[0].path.write_bytes(b"not a picture")
    listed[3].path.write_bytes(listed[3].path.read_bytes()[:300])
    with pytest.raises(DataError, match="2 pictures cannot be decoded") as error:
        open_cache(listed, SQUASH, tmp_path / "cache")
    assert "0.jpg" in str(error.value)
    assert "3.jpg" in str(error.value)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_picture_that_went_missing_is_named(tmp_path: Path) -> None:
    listed = written(tmp_path / "pictures")
    listed[2].path.unlink()
    with pytest.raises(DataError, match=r"2\.jpg"):
        open_cache(listed, SQUASH, tmp_path / "cache")
