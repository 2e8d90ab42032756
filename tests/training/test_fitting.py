"""An artifact is put in place whole, or not at all."""

from pathlib import Path

import pytest

from training.fitting import put_in_place


def test_a_new_artifact_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    made, folder = tmp_path / "made" / "net", tmp_path / "net"
    for each, text in ((made, "new"), (folder, "old")):
        each.mkdir(parents=True)
        (each / "model.json").write_text(text)
    put_in_place(made, folder)
    assert (folder / "model.json").read_text() == "new"


def test_the_old_one_stays_where_the_new_one_cannot_be_moved(tmp_path: Path) -> None:
    folder = tmp_path / "net"
    folder.mkdir()
    (folder / "model.json").write_text("old")
    (tmp_path / "made").mkdir()
    with pytest.raises(FileNotFoundError):
        put_in_place(tmp_path / "made" / "net", folder)
    assert (folder / "model.json").read_text() == "old"
