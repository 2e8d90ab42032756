"""Pictures are decoded once, as serving decodes them, and every bad one is named."""

import ast
import errno
import os
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serving.manifest import ClassInfo, Preprocessing
from serving.pictures import Prepared, prepare
from tests.drawings import draw_lesion, encode
from training.data import cache, portions
from training.data.cache import open_cache
from training.data.duplicates import _hash, open_hashes
from training.data.module import Answers, CachedSets, Unreadable
from training.data.sets import Pictures
from training.data.splits import Split
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
    pixels = open_cache(listed, SQUASH, tmp_path / "cache").pixels
    assert isinstance(pixels, np.memmap)
    for row, picture in zip(pixels, listed, strict=True):
        np.testing.assert_array_equal(row, prepare(picture.path.read_bytes(), SQUASH).pixels)


def test_threads_that_decode_read_no_head_of_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # numpy reads it by `ast`, which fails where threads meet there (Python before 3.11.8).
    parse, parsing = ast.parse, set()

    def watched(*args: Any, **options: Any) -> ast.AST:
        parsing.add(threading.current_thread())
        return parse(*args, **options)

    monkeypatch.setattr(ast, "parse", watched)
    open_cache(written(tmp_path / "pictures", 12), SQUASH, tmp_path / "cache")
    assert parsing == {threading.main_thread()}


def test_a_second_run_decodes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = written(tmp_path / "pictures")
    first = np.array(open_cache(listed, SQUASH, tmp_path / "cache").pixels)
    monkeypatch.setattr(cache, "prepare", lambda *_: pytest.fail("decoded again"))
    np.testing.assert_array_equal(open_cache(listed, SQUASH, tmp_path / "cache").pixels, first)


def test_a_changed_picture_or_another_size_is_decoded_anew(tmp_path: Path) -> None:
    listed = written(tmp_path / "pictures")
    before = np.array(open_cache(listed, SQUASH, tmp_path / "cache").pixels)
    listed[1].path.write_bytes(encode(draw_lesion(9, 80, 60)))
    after = open_cache(listed, SQUASH, tmp_path / "cache").pixels
    assert (after[1] != before[1]).any()
    larger = open_cache(listed, Preprocessing(fit="squash", size=32), tmp_path / "cache").pixels
    assert larger.shape == (3, 32, 32, 3)


def test_every_bad_picture_is_named(tmp_path: Path) -> None:
    listed = written(tmp_path / "pictures", 4)
    listed[0].path.write_bytes(b"not a picture")
    listed[3].path.write_bytes(listed[3].path.read_bytes()[:300])
    for _ in range(2):  # the second time nothing is decoded
        problems = open_cache(listed, SQUASH, tmp_path / "cache").problems
        assert sorted(problems) == [0, 3]
        assert "0.jpg" in problems[0]
        assert "3.jpg" in problems[3]


def test_a_build_that_was_broken_off_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = written(tmp_path / "pictures", 7)
    listed[1].path.write_bytes(b"not a picture")
    monkeypatch.setattr(cache, "_AT_ONCE", 2)
    monkeypatch.setattr(portions, "_PORTION", 2)
    monkeypatch.setattr(portions, "available_cores", lambda: 1)
    decoded: list[bytes] = []

    def decode(data: bytes, *rest: Any) -> Prepared:
        decoded.append(data)
        if len(decoded) == 6:
            raise KeyboardInterrupt
        return prepare(data, *rest)

    monkeypatch.setattr(cache, "prepare", decode)
    with pytest.raises(KeyboardInterrupt):
        open_cache(listed, SQUASH, tmp_path / "cache")
    broken_off_after = len(decoded)
    opened = open_cache(listed, SQUASH, tmp_path / "cache")
    # The four that were noted down as done are not decoded again.
    assert len(decoded) - broken_off_after == 3
    assert list(opened.problems) == [1]
    for row, picture in zip(opened.pixels[2:], listed[2:], strict=True):
        np.testing.assert_array_equal(row, prepare(picture.path.read_bytes(), SQUASH).pixels)
    assert not list((tmp_path / "cache").glob("*.part"))


def test_a_cache_without_room_is_an_error_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = written(tmp_path / "pictures")

    def fill_up(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as context:
        context.setattr(os, "posix_fallocate", fill_up)
        with pytest.raises(DataError, match=r"cache.* MB .*No space left.*PICTURE_CACHE"):
            open_cache(listed, SQUASH, tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*.part"))
    assert all(row.any() for row in open_cache(listed, SQUASH, tmp_path / "cache").pixels)
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"cannot be written \(Not a directory\)"):
        open_cache(listed, SQUASH, tmp_path / "file" / "cache")


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="this system reserves no room")
def test_the_room_is_taken_before_the_first_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cache, "prepare", interrupt)
    with pytest.raises(KeyboardInterrupt):
        large = Preprocessing(fit="squash", size=512)
        open_cache(written(tmp_path / "pictures"), large, tmp_path / "cache")
    (begun,) = (path.stat() for path in (tmp_path / "cache").glob("*.part"))
    assert begun.st_blocks * 512 >= begun.st_size > 3 * 512 * 512 * 3


def test_processes_decode_what_threads_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = written(tmp_path / "pictures", 9)
    listed[4].path.write_bytes(b"not a picture")
    few = open_cache(listed, SQUASH, tmp_path / "few")
    monkeypatch.setattr(portions, "_FEW", 0)
    monkeypatch.setattr(portions, "_PORTION", 2)
    many = open_cache(listed, SQUASH, tmp_path / "many")
    np.testing.assert_array_equal(many.pixels, few.pixels)
    assert many.problems == few.problems
    assert list(many.problems) == [4]
    np.testing.assert_array_equal(
        open_hashes(many.pixels, many.path), [_hash(row) for row in few.pixels]
    )
    listed[7].path.unlink()
    listed[7].path.mkdir()
    with pytest.raises(DataError, match=r"7\.jpg: cannot be read \(Is a directory\)"):
        open_cache(listed, SQUASH, tmp_path / "again")


def test_what_a_finished_build_wrote_is_not_how_far_another_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = written(tmp_path / "pictures", 3)
    open_cache(listed, SQUASH, tmp_path / "cache")
    for path in (tmp_path / "cache").glob("*.npy"):
        path.unlink()  # to make room

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(cache, "prepare", interrupt)
        with pytest.raises(KeyboardInterrupt):
            open_cache(listed, SQUASH, tmp_path / "cache")
    pixels = open_cache(listed, SQUASH, tmp_path / "cache").pixels
    assert all(row.any() for row in pixels)


def test_a_file_that_cannot_be_read_is_no_bad_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = written(tmp_path / "pictures", 3)

    def refuse(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as context:
        context.setattr(Path, "read_bytes", refuse)
        with pytest.raises(DataError, match=r"0\.jpg: cannot be read \(Permission denied\)"):
            open_cache(listed[:1], SQUASH, tmp_path / "cache")
    assert open_cache(listed[:1], SQUASH, tmp_path / "cache").problems == {}


def test_of_two_processes_one_builds_and_the_other_waits(tmp_path: Path) -> None:
    listed = written(tmp_path / "pictures", 20)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        opening = [pool.submit(open_cache, listed, SQUASH, tmp_path / "cache") for _ in range(2)]
        one, other = (each.result().pixels for each in opening)
    np.testing.assert_array_equal(one, other)
    assert len(list((tmp_path / "cache").glob("*.npy"))) == 1


@pytest.mark.parametrize("unreadable", ["fail", "skip"])
def test_bad_pictures_fail_or_are_left_out_as_asked(
    tmp_path: Path, unreadable: Unreadable, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = written(tmp_path / "pictures", 5)
    listed[1].path.write_bytes(b"not a picture")
    mole = ClassInfo(id="nv", name="Mole", description="", source="", malignant=False)
    parts: Split = {"train": listed[:3], "validation": listed[3:4], "calibration": [], "test": []}
    pictures = Pictures({**parts, "test": listed[4:]}, [], [mole], [])

    def decoded() -> CachedSets:
        answers = Answers([mole], None)
        return CachedSets(pictures, answers, SQUASH, tmp_path / "cache", unreadable=unreadable)

    if unreadable == "fail":
        with pytest.raises(DataError, match=r"(?s)1 picture cannot.*1\.jpg.*unreadable=skip"):
            decoded()
        return
    cached = decoded()
    assert len(cached.part("train")) == 2
    assert cached.kept(listed) == [listed[0], *listed[2:]]
    assert "1.jpg" in capsys.readouterr().err


def test_a_picture_that_went_missing_is_named(tmp_path: Path) -> None:
    listed = written(tmp_path / "pictures")
    listed[2].path.unlink()
    with pytest.raises(DataError, match=r"2\.jpg"):
        open_cache(listed, SQUASH, tmp_path / "cache")
