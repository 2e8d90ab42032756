from __future__ import annotations

from pathlib import Path

import fsspec

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


def test_a_link_to_a_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"x")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "b.jpg").symlink_to("a.jpg")
    assert list(Storage(str(tmp_path)).places()) == ["a.jpg", "b.jpg"]
