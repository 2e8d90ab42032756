"""Sets as the configuration describes them, those of other clinics and those with outlines."""

from pathlib import Path
from typing import Any

import pytest

from tests.artifact_factory import SEVEN
from training.data.sets import Pictures, PictureSet, read_travel
from training.data.splits import Split
from training.labels import DataError, LabelledPicture

IDS = [c.id for c in SEVEN]


@pytest.fixture
def elsewhere(tmp_path: Path) -> dict[str, Any]:
    """Two labelled pictures; labels are read without opening one."""
    root = tmp_path / "elsewhere"
    root.mkdir()
    for name in ("a", "b"):
        (root / f"{name}.jpg").touch()
    (root / "labels.csv").write_text("image,label\na,mel\nb,nv\n")
    return {
        "name": "elsewhere",
        "root": str(root),
        "labels": "labels.csv",
        "licence": "none",
        "source": "drawn",
        "akin": ["Kin"],
    }


def learned_from(*ids: str) -> Pictures:
    pictures = [LabelledPicture(Path(f"{id}.jpg"), id, "nv", id, "home") for id in ids]
    described = PictureSet(name="home", root="data", licence="none", source="drawn")
    parts: Split = {"train": pictures, "validation": [], "calibration": [], "test": []}
    return Pictures(parts, [], SEVEN, [described])


def test_a_set_of_other_clinics_is_read_with_the_models_classes(elsewhere: dict[str, Any]) -> None:
    ((described, pictures),) = read_travel({"one": elsewhere}, IDS, learned_from("x"))
    assert (described.name, described.akin) == ("elsewhere", ["Kin"])
    assert [(p.image_id, p.label) for p in pictures] == [("a", "mel"), ("b", "nv")]


def test_a_set_without_a_root_is_left_out(elsewhere: dict[str, Any]) -> None:
    assert read_travel({"one": {**elsewhere, "root": None}}, IDS, learned_from("x")) == []


def test_pictures_that_the_model_may_have_learned_from_are_refused(
    elsewhere: dict[str, Any],
) -> None:
    with pytest.raises(DataError, match=r"1 pictures of travel\.one are in home too \(b\)"):
        read_travel({"one": elsewhere}, IDS, learned_from("b"))


def test_what_is_wrong_with_a_set_of_other_clinics_is_named(elsewhere: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"travel\.one: .*colour"):
        read_travel({"one": {**elsewhere, "colour": "red"}}, IDS, learned_from("x"))
    with pytest.raises(DataError, match=r"travel\.one\.root=null"):
        read_travel({"one": elsewhere}, ["cat", "dog"], learned_from("x"))


def test_outlines_are_where_their_folder_is(tmp_path: Path) -> None:
    described = PictureSet(
        name="home", root=str(tmp_path), licence="none", source="drawn", masks="masks"
    )
    assert described.mask_folder is None
    (tmp_path / "masks").mkdir()
    assert described.mask_folder == tmp_path / "masks"
