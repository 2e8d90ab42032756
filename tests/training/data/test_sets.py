"""Sets as the configuration describes them, those of other clinics and those with outlines."""

from pathlib import Path
from typing import Any
from unicodedata import normalize

import msgspec
import pytest

from tests.artifact_factory import SEVEN
from tests.training.drawn_sets import compose
from training.data.sets import Pictures, PictureSet, read_sets, read_travel
from training.data.splits import Split
from training.labels import DataError, LabelledPicture
from training.train import plain, read_answers

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


def test_a_class_may_be_called_by_a_number(tmp_path: Path) -> None:
    for name in ("0", "1"):
        lay_out(tmp_path / "data", name, {}, [f"{name}-{i}" for i in range(4)])
    overrides = ["data=folder", f"data.root={tmp_path / 'data'}", "data.malignant=[1]"]
    config = compose("train", tmp_path / "run", *overrides)
    pictures = read_sets(plain(config.data), seed=0)
    assert [c.id for c in pictures.classes if c.malignant] == ["1"]
    config.data.malignant = "1"
    with pytest.raises(DataError, match=r"Expected `array`, got `str`"):
        read_sets(plain(config.data), seed=0)


def test_an_own_table_may_have_its_labels_and_lesions_elsewhere(tmp_path: Path) -> None:
    names = [f"{label}{number}" for label in ("mole", "wart", "none") for number in range(4)]
    (tmp_path / "images").mkdir()
    for name in names:
        (tmp_path / "images" / f"{name}.jpg").touch()
    rows = "".join(f"{name},{name[:4].upper()}\n" for name in names)
    (tmp_path / "table.csv").write_text("image,diagnosis\n" + rows)
    (tmp_path / "lesions.csv").write_text("image,lesion_id\nmole0,L\n")
    own = ["data=folder", f"data.root={tmp_path}", "data.labels=table.csv", "data.images=[images]"]
    with pytest.raises(DataError, match=r"rename it to label, or .* data\.column=NAME"):
        read_sets(plain(compose("train", tmp_path / "run", *own).data), seed=0)
    told = ["column=diagnosis", "mapping={mole: naevus, none: null}", "lesions=lesions.csv"]
    config = compose("train", tmp_path / "run", *own, *(f"data.{each}" for each in told))
    pictures = read_sets(plain(config.data), seed=0)
    assert [c.id for c in pictures.classes] == ["WART", "naevus"]
    read = {p.image_id: p.group for part in pictures.parts.values() for p in part}
    assert set(read) == set(names[:8])
    assert read["mole0"] == "L"


def test_outlines_are_where_their_folder_is(tmp_path: Path) -> None:
    described = PictureSet(
        name="home", root=str(tmp_path), licence="none", source="drawn", masks="masks"
    )
    assert described.mask_folder is None
    (tmp_path / "masks").mkdir()
    assert described.mask_folder == tmp_path / "masks"


def own_folders(root: Path, name: str, classes: str = "mole wart") -> dict[str, Any]:
    """A set of its own pictures, each no more than a name and the set's."""
    for each in classes.split():
        for number in range(4):
            path = root / each / f"{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{name} {each} {number}")
    return {"name": name, "root": str(root), "licence": "none", "source": f"{name}'s pictures"}


def test_outlines_in_a_folder_of_classes_are_no_class(tmp_path: Path) -> None:
    described = own_folders(tmp_path, "own")
    (tmp_path / "masks" / "mole").mkdir(parents=True)
    (tmp_path / "masks" / "mole" / "1.png").touch()
    pictures = read_sets({**described, "masks": "masks"}, seed=0)
    assert [c.id for c in pictures.classes] == ["mole", "wart"]


def test_two_sets_may_call_different_pictures_alike(tmp_path: Path) -> None:
    main = own_folders(tmp_path / "main", "main")
    more = own_folders(tmp_path / "more", "more")
    pictures = read_sets({**main, "extra": {"more": more}}, seed=0)
    assert len(pictures.extra) == 8
    (away,) = read_travel({"more": more}, ["mole", "wart"], read_sets(main, seed=0))
    assert len(away[1]) == 8
    with pytest.raises(DataError, match=r"sets are called main, and 8 .* first is mole/0\. Give"):
        read_sets({**main, "extra": {"more": {**more, "name": "main"}}}, seed=0)
    (tmp_path / "more" / "wart" / "2.jpg").write_text("main wart 2")
    with pytest.raises(DataError, match=r"1 pictures of the extra sets .* \(wart/2\)"):
        read_sets({**main, "extra": {"more": more}}, seed=0)
    with pytest.raises(DataError, match=r"1 pictures of travel\.more .* \(wart/2\)"):
        read_travel({"more": more}, ["mole", "wart"], read_sets(main, seed=0))


def test_folders_of_other_classes_are_named(tmp_path: Path) -> None:
    main = own_folders(tmp_path / "main", "main")
    more = own_folders(tmp_path / "more", "more", "mole scar")
    with pytest.raises(DataError, match="the folders scar are none of the classes mole, wart"):
        read_sets({**main, "extra": {"more": more}}, seed=0)


def test_a_published_picture_is_the_same_at_any_size(tmp_path: Path) -> None:
    main = own_folders(tmp_path / "main", "main")
    more = own_folders(tmp_path / "more", "more")
    for root in (tmp_path / "main", tmp_path / "more"):
        (root / "mole" / "ISIC_0024306.jpg").write_text(root.name)
    with pytest.raises(DataError, match=r"1 pictures of the extra sets .* \(mole/ISIC_0024306\)"):
        read_sets({**main, "extra": {"more": more}}, seed=0)


def test_a_published_picture_is_the_same_in_any_folder(tmp_path: Path) -> None:
    lay_out(
        tmp_path,
        "main",
        {"main/labels.csv": ["image,label", *(f"ISIC_000000{i},{'mw'[i % 2]}" for i in range(8))]},
        [f"ISIC_000000{i}" for i in range(8)],
    )
    main = {"name": "main", "root": str(tmp_path / "main"), "licence": "none", "source": "drawn"}
    main["labels"] = "labels.csv"
    more = own_folders(tmp_path / "more", "more", "m w")
    assert len(read_sets({**main, "extra": {"more": more}}, seed=0).extra) == 8
    (tmp_path / "more" / "m" / "2.jpg").rename(tmp_path / "more" / "m" / "ISIC_0000001.jpg")
    (tmp_path / "more" / "w" / "ISIC_0000004_downsampled.png").touch()
    repeated = r"\(m/ISIC_0000001, w/ISIC_0000004_downsampled\)"
    with pytest.raises(DataError, match=rf"2 pictures of the extra sets .* {repeated}"):
        read_sets({**main, "extra": {"more": more}}, seed=0)
    with pytest.raises(DataError, match=rf"2 pictures of travel\.more .* {repeated}"):
        read_travel({"more": more}, ["m", "w"], read_sets(main, seed=0))


def test_malignant_classes_are_named_in_either_normal_form(tmp_path: Path) -> None:
    described = own_folders(tmp_path, "own", normalize("NFD", "mélanome naevus"))
    for form in ("NFC", "NFD"):
        pictures = read_sets({**described, "malignant": [normalize(form, "mélanome")]}, seed=0)
        assert [c.malignant for c in pictures.classes] == [True, False]


def test_folders_that_are_not_there_are_named(tmp_path: Path) -> None:
    described = own_folders(tmp_path, "own")
    table = {**described, "labels": "labels.csv", "images": ["pictures", "more"]}
    with pytest.raises(DataError, match=r"/pictures, .*/more: no such folder.*data\.images"):
        read_sets(table, seed=0)


def test_a_set_that_is_not_where_it_was_looked_for_is_told_how_to_find(tmp_path: Path) -> None:
    described = own_folders(tmp_path, "own")
    with pytest.raises(DataError, match=r"/none: no such folder .* data\.root=.* `make data`"):
        read_sets({**described, "root": str(tmp_path / "none")}, seed=0)
    config = compose("train", tmp_path / "run", "model=cnn", "data=folder")
    with pytest.raises(DataError, match=r"not named. Name it: data\.root="):
        read_sets(plain(config.data), seed=0)


def test_two_kinds_are_told_by_the_classes_that_they_join(tmp_path: Path) -> None:
    root = tmp_path / "own"
    own_folders(root, "own", "melanoma mole old_wart")
    own = ["data=folder", f"data.root={root}", "data.malignant=[melanoma]", "data.source=Smith"]
    config = compose("train", tmp_path / "run", "model=cnn", *own)
    pictures = read_sets(plain(config.data), seed=0)
    told = [(c.id, c.name, c.description, c.source) for c in read_answers(config, pictures).classes]
    looks = "Looks like the training pictures that were labelled"
    assert told == [
        ("benign", "Benign", f"{looks} “mole” or “old wart”.", "Smith"),
        ("malignant", "Malignant", f"{looks} “melanoma”.", "Smith"),
    ]
    known = read_answers(config, msgspec.structs.replace(pictures, classes=SEVEN)).classes
    assert [msgspec.to_builtins(c) for c in known] == plain(config.model.binary)

    # Before the training, and not when the model is to be measured behind it.
    config.model.binary[0].id = "harmless"
    with pytest.raises(DataError, match="with the ids benign and malignant"):
        read_answers(config, pictures)


def lay_out(root: Path, folder: str, tables: dict[str, list[str]], ids: list[str]) -> None:
    for id in ids:
        path = root / folder / f"{id}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    for name, lines in tables.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("\n".join(lines) + "\n")


IMAGES = [f"ISIC_{i:07}" for i in range(40)]
HOT = [",".join(str(float(i % 8 == k)) for k in range(8)) for i in range(40)]
KINDS = ["benign", "malignant"]
LAYOUTS: dict[str, tuple[str, dict[str, list[str]], list[str]]] = {
    "isic": (
        ".",
        {
            "metadata.csv": [
                "isic_id,age_approx,diagnosis_1,lesion_id",
                *(f"{id},50,{KINDS[i % 2].title()},L{i}" for i, id in enumerate(IMAGES)),
            ]
        },
        KINDS,
    ),
    "isic2018": (
        "ISIC2018_Task3_Training_Input",
        {
            "ISIC2018_Task3_Training_GroundTruth/ISIC2018_Task3_Training_GroundTruth.csv": [
                "image,MEL,NV,BCC,AKIEC,BKL,DF,VASC",
                *(
                    f"{id}," + ",".join(str(float(i % 7 == k)) for k in range(7))
                    for i, id in enumerate(IMAGES)
                ),
            ],
            "ISIC2018_Task3_Training_LesionGroupings.csv": [
                "image,lesion_id,diagnosis_confirm_type",
                *(f"{id},HAM_{i},histopathology" for i, id in enumerate(IMAGES)),
            ],
        },
        IDS,
    ),
    "isic2019": (
        "ISIC_2019_Training_Input",
        {
            "ISIC_2019_Training_GroundTruth.csv": [
                "image,MEL,NV,BCC,AK,BKL,DF,VASC,SCC,UNK",
                *(f"{id},{hot},0.0" for id, hot in zip(IMAGES, HOT, strict=True)),
            ],
            "ISIC_2019_Training_Metadata.csv": [
                "image,age_approx,anatom_site_general,lesion_id,sex",
                *(f"{id},55.0,head/neck,," for id in IMAGES),
            ],
        },
        IDS,
    ),
    "isic2020": (
        "train",
        {
            "train.csv": [
                "image_name,patient_id,sex,age_approx,diagnosis,benign_malignant,target",
                *(
                    f"{id},IP_{i},male,45.0,unknown,{KINDS[i % 2]},{i % 2}"
                    for i, id in enumerate(IMAGES)
                ),
            ]
        },
        KINDS,
    ),
    "isic2024": (
        "train-image/image",
        {
            "train-metadata.csv": [
                "isic_id,target,patient_id,age_approx,sex,lesion_id",
                *(f"{id},{i % 2},IP_{i},60.0,male," for i, id in enumerate(IMAGES)),
            ]
        },
        KINDS,
    ),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_isic_sets_are_read_as_they_are_published(tmp_path: Path, name: str) -> None:
    folder, tables, classes = LAYOUTS[name]
    lay_out(tmp_path / "data", folder, tables, IMAGES)
    config = compose("train", tmp_path / "run", f"data={name}", f"data.root={tmp_path / 'data'}")
    pictures = read_sets(plain(config.data), seed=0)
    assert sorted(c.id for c in pictures.classes) == sorted(classes)
    assert {c.id for c in pictures.classes if c.malignant} <= {"malignant", "akiec", "bcc", "mel"}
    listed = [picture for part in pictures.parts.values() for picture in part]
    assert len(listed) == (35 if name == "isic2019" else 40)
    assert len({picture.group for picture in listed}) == len(listed)
    assert all(pictures.parts.values())
