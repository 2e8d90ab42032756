from __future__ import annotations

import errno
import os
from pathlib import Path

import fsspec
import pytest

from serving.archive.storage import Storage

NAMES = ["a-b.jpg", "a.jpg", "a/1.jpg", "a/b/2.JPG", "a0.jpg", "z/3.tiff"]
OTHERS = ["a/notes.txt", "a/.4.jpg", ".b/5.jpg", "jpg"]


def test_places_come_in_the_order_of_their_text_from_every_storage(tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    for name in reversed(NAMES + OTHERS):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
        memory.pipe_file(f"/places/{name}", b"x")
    (tmp_path / "folder.jpg").mkdir()
    try:
        for address in (str(tmp_path), f"file://{tmp_path}/", "memory://places"):
            storage = Storage(address)
            assert list(storage.places()) == NAMES == sorted(NAMES)
            assert list(storage.chunks(4)) == [NAMES[:4], NAMES[4:]]
            assert storage.read("a/b/2.JPG", 10) == b"x"
    finally:
        memory.rm("/places", recursive=True)


def test_an_archive_has_one_root_however_it_is_written(tmp_path: Path) -> None:
    root = f"file://{tmp_path}"
    assert {Storage(a).root for a in (root, f"{root}/", str(tmp_path), f"{tmp_path}/")} == {root}


def test_no_more_is_read_than_asked_for(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"0123456789")
    assert Storage(str(tmp_path)).read("a.jpg", 4) == b"0123"


def test_links_to_folders_elsewhere_are_followed_once(tmp_path: Path) -> None:
    elsewhere, root = tmp_path / "elsewhere", tmp_path / "root"
    for folder in (elsewhere, root):
        folder.mkdir()
        (folder / "a.jpg").write_bytes(b"x")
    (root / "loop").symlink_to(root)
    (root / "link").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(root)
    (root / "link again").symlink_to(elsewhere)
    for index in range(8):
        (root / f"visit{index}").mkdir()
        (root / f"visit{index}" / "c.jpg").write_bytes(b"x")
        (root / f"visit{index}" / "previous").symlink_to(root / f"visit{index - 1}")
    (root / "b.jpg").symlink_to("a.jpg")
    visits = [f"visit{index}/c.jpg" for index in range(8)]
    assert list(Storage(str(root)).places()) == ["a.jpg", "b.jpg", "link again/a.jpg", *visits]


def test_what_cannot_be_reached_is_a_place_that_tells_why(tmp_path: Path) -> None:
    """None of it hangs on permissions, which do not bind the tests' user where that is root."""
    for name in ("round", "round.jpg"):
        (tmp_path / name).symlink_to(name)
    for name in ("gone.jpg", "gone.txt", "gone"):
        (tmp_path / name).symlink_to("nowhere")
    (tmp_path / "through a file").symlink_to("gone.jpg/x")
    (tmp_path / "long").symlink_to("x" * 300)
    os.mkfifo(tmp_path / "pipe.jpg")
    storage = Storage(str(tmp_path))
    assert list(storage.places()) == ["gone.jpg", "round.jpg", "round/"]
    for place, code in (("gone.jpg", errno.ENOENT), ("round.jpg", errno.ELOOP)):
        with pytest.raises(OSError, match=os.strerror(code)):
            storage.read(place, 4)
    with pytest.raises(OSError, match=os.strerror(errno.ELOOP)):
        storage.read("round/", 4)
    (tmp_path / "round").unlink()
    (tmp_path / "round").mkdir()
    with pytest.raises(OSError, match="could not be listed before"):
        storage.read("round/", 4)
