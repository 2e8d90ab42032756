"""Labelled pictures from every format that is read, and what is said where one is wrong."""

from pathlib import Path
from unicodedata import normalize

import pytest

from training.labels import Background, DataError, LabelledPicture, read_folders, read_labels


def pictures(folder: Path, *names: str) -> Path:
    """Empty files: labels are read without opening a picture."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def table(folder: Path, text: str, name: str = "labels.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def summary(found: list[LabelledPicture]) -> list[tuple[str, str, str]]:
    return [(picture.image_id, picture.label, picture.group) for picture in found]


def error(labels: Path, *images: Path, **options) -> str:
    with pytest.raises(DataError) as caught:
        read_labels(labels, images, "set", **options)
    return str(caught.value)


def test_ham10000_metadata_gives_diagnoses_and_lesions(tmp_path: Path) -> None:
    images = pictures(tmp_path / "images", "ISIC_1.jpg", "ISIC_2.JPG", "ISIC_3.png")
    labels = table(
        tmp_path,
        "lesion_id,image_id,dx,dx_type,age\n"
        "HAM_1,ISIC_1,mel,histo,80.0\nHAM_1,ISIC_2,mel,histo,\nHAM_2,ISIC_3,nv,follow_up,5\n",
        "HAM10000_metadata",
    )
    found = read_labels(labels, [images], "ham10000")
    assert summary(found) == [
        ("ISIC_1", "mel", "HAM_1"),
        ("ISIC_2", "mel", "HAM_1"),
        ("ISIC_3", "nv", "HAM_2"),
    ]
    assert [picture.path.name for picture in found] == ["ISIC_1.jpg", "ISIC_2.JPG", "ISIC_3.png"]
    assert {picture.source for picture in found} == {"ham10000"}


def test_what_the_metadata_knows_of_a_picture_is_read_and_what_it_does_not_is_none(
    tmp_path: Path,
) -> None:
    images = pictures(tmp_path / "images", "ISIC_1.jpg", "ISIC_2.jpg")
    labels = table(
        tmp_path,
        "lesion_id,image_id,dx,dx_type,age,sex,localization\n"
        "HAM_1,ISIC_1,mel,histo,80.0,Male,lower extremity\nHAM_2,ISIC_2,nv,,,unknown,unknown\n",
    )
    first, second = read_labels(labels, [images], "ham10000")
    assert first.background == Background(
        sex="male", age=80, site="lower extremity", confirmation="histo"
    )
    assert second.background == Background()


def test_a_plain_table_may_say_whom_its_pictures_are_of(tmp_path: Path) -> None:
    images = pictures(tmp_path, "a.jpg", "b.jpg")
    labels = table(tmp_path, "image,label,age,sex\na,nv,55,female\nb,mel,,\n")
    first, second = read_labels(labels, [images], "set")
    assert first.background == Background(sex="female", age=55)
    assert second.background == Background()


def test_an_age_that_is_no_number_is_unknown_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = pictures(tmp_path, *(f"{id}.jpg" for id in "abcde"))
    labels = table(
        tmp_path, "image;label;age\na;nv;57,5\nb;mel;85+\nc;nv;inf\nd;nv;unknown\ne;nv;\n"
    )
    found = read_labels(labels, [images], "set")
    assert [picture.background.age for picture in found] == [57.5, None, None, None, None]
    said = capsys.readouterr().err
    assert "2 with an age that is no number, which is taken as unknown: b (85+), c (inf)" in said


def test_a_repository_may_have_made_the_metadata_tab_separated_and_quoted(tmp_path: Path) -> None:
    images = pictures(tmp_path / "images", "ISIC_1.jpg")
    labels = table(
        tmp_path, '"lesion_id"\t"image_id"\t"dx"\n"HAM_1"\t"ISIC_1"\t"bkl"\n', "metadata.tab"
    )
    assert summary(read_labels(labels, [images], "set")) == [("ISIC_1", "bkl", "HAM_1")]


def test_pictures_may_lie_in_several_folders(tmp_path: Path) -> None:
    one = pictures(tmp_path / "part_1", "a.jpg")
    two = pictures(tmp_path / "part_2", "b.jpg")
    labels = table(tmp_path, "image,label\na,x\nb,y\n")
    assert [p.path for p in read_labels(labels, [one, two, one], "set")] == [
        one / "a.jpg",
        two / "b.jpg",
    ]


def test_isic_ground_truth_is_one_hot_in_any_case(tmp_path: Path) -> None:
    images = pictures(tmp_path, "ISIC_1.jpg", "ISIC_2.jpg")
    labels = table(
        tmp_path,
        "image,MEL,NV,BCC,AKIEC,BKL,DF,VASC\n"
        "ISIC_1,0.0,0.0,0.0,1.0,0.0,0.0,0.0\nISIC_2,1,0,0,0,0,0,0\n",
    )
    found = read_labels(labels, [images], "isic2018")
    assert summary(found) == [("ISIC_1", "akiec", "ISIC_1"), ("ISIC_2", "mel", "ISIC_2")]


def test_isic_2019s_own_columns_map_to_the_seven_or_are_named(tmp_path: Path) -> None:
    images = pictures(tmp_path, "a.jpg", "b.jpg")
    labels = table(
        tmp_path,
        "image,MEL,NV,BCC,AK,BKL,DF,VASC,SCC,UNK\na,0,0,0,1,0,0,0,0,0\nb,0,0,0,0,0,0,0,1,0\n",
    )
    message = error(labels, images)
    assert "1 with an unknown label: b (scc)" in message
    assert "a (" not in message


def test_rows_that_cannot_be_used_can_be_left_out_and_are_then_named(tmp_path: Path) -> None:
    images = pictures(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    labels = table(tmp_path, "image,label\na,mel\nb,wart\nc,\ngone,nv\n")
    skipped: list[str] = []
    found = read_labels(labels, [images], "set", classes=["mel", "nv"], skipped=skipped)
    assert summary(found) == [("a", "mel", "a")]
    assert skipped == [
        "with an unknown label: b (wart)",
        "without exactly one label: c",
        "without a picture: gone",
    ]


@pytest.mark.parametrize(
    "text",
    [
        '"image";"label";"age, years"\n"a";"nv";"50"\n',
        'image,label,"site; body; part; side"\na,nv,back\n',
        "age, years;image;label\n50;a;nv\n",
        "image\tlabel\tage, years; months\na\tnv\t50\n",
    ],
)
def test_the_delimiter_is_the_one_that_cuts_out_the_column_of_pictures(
    tmp_path: Path, text: str
) -> None:
    images = pictures(tmp_path / "images", "a.jpg")
    assert summary(read_labels(table(tmp_path, text), [images], "set")) == [("a", "nv", "a")]


@pytest.mark.parametrize("header", ["image,label,group", "file,label,group", "file;label;group"])
def test_a_plain_table_takes_ids_or_file_names_and_groups(tmp_path: Path, header: str) -> None:
    images = pictures(tmp_path / "images", "a.jpg", "b.png", "deep/c.jpg")
    mark = ";" if ";" in header else ","
    rows = [header, "a,Red,1", "b.png,Blue,", "deep/c.jpg,Red,1"]
    labels = table(tmp_path, "\ufeff" + "\r\n".join(row.replace(",", mark) for row in rows))
    found = read_labels(labels, [images], "set")
    assert summary(found) == [("a", "Red", "1"), ("b", "Blue", "b"), ("deep/c", "Red", "1")]


def test_labels_match_the_models_classes_whatever_their_case(tmp_path: Path) -> None:
    images = pictures(tmp_path, "a.jpg")
    labels = table(tmp_path, "image,label\na,MEL\n")
    assert read_labels(labels, [images], "set", classes=["mel", "nv"])[0].label == "mel"


def test_diagnoses_are_read_as_benign_or_malignant_for_a_model_of_these_two(tmp_path: Path) -> None:
    ids = ["akiec", "bcc", "bkl", "df", "mel", "nv", "vasc"]
    images = pictures(tmp_path, *(f"{id}.jpg" for id in ids))
    labels = table(tmp_path, "image,label\n" + "".join(f"{id},{id}\n" for id in ids))
    found = read_labels(labels, [images], "set", classes=["benign", "malignant"])
    assert [p.image_id for p in found if p.label == "malignant"] == ["akiec", "bcc", "mel"]
    assert [p.image_id for p in found if p.label == "benign"] == ["bkl", "df", "nv", "vasc"]
    assert [p.diagnosis for p in found] == ids


def test_labels_in_another_column_are_read_as_the_mapping_says(tmp_path: Path) -> None:
    images = pictures(tmp_path / "images", *(f"ISIC_{i}.jpg" for i in range(5)))
    labels = table(
        tmp_path,
        "isic_id,age_approx,anatom_site_general,diagnosis_1,lesion_id,patient_id,sex\n"
        "ISIC_0,60,Anterior torso,Benign,IL_1,IP_1,male\n"
        "ISIC_1,,,Malignant,,IP_1,\n"
        "ISIC_2,,,Indeterminate,,,\n"
        "ISIC_3,,,,,,\n"
        "ISIC_4,,,benign,,,\n",
    )
    mapping = {"Benign": "benign", "malignant": "malignant", "indeterminate": None, "": None}
    found = read_labels(labels, [images], "isic", column="Diagnosis_1", mapping=mapping)
    assert summary(found) == [
        ("ISIC_0", "benign", "IP_1"),
        ("ISIC_1", "malignant", "IP_1"),
        ("ISIC_4", "benign", "ISIC_4"),
    ]
    assert found[0].background == Background(sex="male", age=60, site="anterior torso")
    assert "has no column dx" in error(labels, images, column="dx")


def test_where_a_lesion_has_no_name_patients_are_what_belongs_together(tmp_path: Path) -> None:
    images = pictures(tmp_path / "images", *(f"{i}.jpg" for i in range(5)))
    rows = ["0,m,IP_7,IL_1", "1,m,IP_7,IL_2", "2,n,IP_8,IL_3", "3,n,,IL_4"]
    header = "image,label,patient_id,lesion_id"
    unnamed = "4,n,IP_7,"
    all_named = table(tmp_path, "\n".join([header, *rows, f"{unnamed}IL_5"]))
    named = read_labels(all_named, [images], "set")
    assert [p.group for p in named] == ["IL_1", "IL_2", "IL_3", "IL_4", "IL_5"]
    some = read_labels(table(tmp_path, "\n".join([header, *rows, unnamed])), [images], "set")
    assert [p.group for p in some] == ["IP_7", "IP_7", "IP_8", "IL_4", "IP_7"]


@pytest.mark.parametrize(
    ("header", "rows", "unit"),
    [
        ("image,label,lesion_id", ("IL_1", "IL_2"), "lesion"),
        ("image,label,group", ("a", "b"), "group"),
        ("image,label,patient_id", ("IP_1", "IP_2"), "patient"),
        ("image,label,patient_id,lesion_id", ("IP_1,IL_1", ",IL_2"), "lesion"),
        ("image,label,patient_id,lesion_id", ("IP_1,IL_1", "IP_1,"), "patient"),
        ("image,label,group,patient_id", ("a,IP_1", ",IP_1"), "patient"),
        # Nothing is known of an empty column, and so nothing of a patient.
        ("image,label,patient_id", ("", ""), "lesion"),
        ("image,label", ("", ""), "lesion"),
        ("image_id,dx,lesion_id,patient_id", ("HAM_1,IP_1", "HAM_2,IP_1"), "lesion"),
        ("image,MEL,NV,patient_id", ("0,IP_1", "0,IP_1"), "lesion"),
    ],
)
def test_the_pictures_tell_what_their_table_groups_them_by(
    tmp_path: Path, header: str, rows: tuple[str, str], unit: str
) -> None:
    images = pictures(tmp_path / "images", "1.jpg", "2.jpg")
    label = "1" if "MEL" in header else "mel"
    lines = [header, *(f"{number},{label},{row}" for number, row in enumerate(rows, 1))]
    found = read_labels(table(tmp_path, "\n".join(lines)), [images], "set")
    assert [picture.unit for picture in found] == [unit, unit]


def test_the_lesions_may_stand_in_a_table_of_their_own(tmp_path: Path) -> None:
    images = pictures(tmp_path / "images", "ISIC_1.jpg", "ISIC_2.jpg", "ISIC_3.jpg")
    labels = table(tmp_path, "image,MEL,NV,SCC\nISIC_1,1,0,0\nISIC_2,0,1.0,0\nISIC_3,0,0,1\n")
    lesions = table(tmp_path, "image,lesion_id\nISIC_1,\nISIC_2,L_2\nISIC_9,L_9\n", "lesions.csv")
    found = read_labels(labels, [images], "isic", mapping={"scc": None}, lesions=lesions)
    assert summary(found) == [("ISIC_1", "mel", "ISIC_1"), ("ISIC_2", "nv", "L_2")]
    assert {picture.unit for picture in found} == {"lesion"}
    other = table(tmp_path, "image,patient\nISIC_1,P\n", "patients.csv")
    assert "A table of lesions needs lesion_id" in error(labels, images, lesions=other)


def test_everything_wrong_is_named_in_one_error(tmp_path: Path) -> None:
    images = pictures(tmp_path / "images", "ok.jpg", "odd.jpg", "none.jpg", "more.jpg")
    pictures(tmp_path / "images", "two.jpg", "two.png")
    labels = table(
        tmp_path,
        "image,label\nok,mel\nok,nv\nodd,wart\nnone,\ngone,mel\ntwo,nv\n",
    )
    message = error(labels, images, classes=["mel", "nv"])
    assert "1 twice in the table: ok" in message
    assert "1 with an unknown label: odd (wart)" in message
    assert "1 without exactly one label: none" in message
    assert "1 without a picture: gone" in message
    assert "1 with several pictures: two (" in message
    assert "1 not in the table: more.jpg" in message
    assert str(images) in message
    assert "mel, nv" in message


def test_rows_of_one_file_are_one_picture_twice(tmp_path: Path) -> None:
    images = pictures(tmp_path, "images/a.jpg", "images/b.jpg") / "images"
    rows = ["a.jpg", "images/a.jpg", "./a.jpg", f"{images}/a.jpg", "b.jpg", "images/b.jpg"]
    labels = table(tmp_path, "\n".join(["file,label", *(f"{row},x" for row in rows)]))
    message = error(labels, tmp_path, images)
    repeats = f"images/a.jpg, ./a.jpg, {images}/a.jpg, images/b.jpg"
    assert f"4 twice in the table: {repeats}\n" in message


def test_of_many_wrong_pictures_ten_are_named_and_the_rest_counted(tmp_path: Path) -> None:
    labels = table(tmp_path, "image,label\n" + "".join(f"p{i:02},x\n" for i in range(25)))
    message = error(labels, pictures(tmp_path, "unrelated.txt"))
    assert "25 without a picture: p00, p01" in message
    assert "p09 and 15 more" in message
    assert "p10" not in message


def test_one_hot_rows_need_exactly_one_class(tmp_path: Path) -> None:
    images = pictures(tmp_path, "a.jpg", "b.jpg")
    labels = table(tmp_path, "image,MEL,NV\na,0,0\nb,1,1\n")
    assert "2 without exactly one label: a, b" in error(labels, images)


def test_a_wrong_diagnosis_in_the_metadata_is_unknown(tmp_path: Path) -> None:
    images = pictures(tmp_path, "a.jpg")
    labels = table(tmp_path, "lesion_id,image_id,dx\nl,a,melanom\n")
    assert "a (melanom)" in error(labels, images)


def test_pictures_beside_those_of_a_row_are_named_in_folders_below_too(tmp_path: Path) -> None:
    images = pictures(tmp_path / "images", "mole/1.jpg", "mole/99.jpg", "masks/1.png", "2.jpg")
    labels = table(tmp_path, "file,label\nmole/1.jpg,mole\n2.jpg,wart\n")
    assert "1 not in the table: mole/99.jpg\n" in error(labels, images)
    (images / "mole" / "99.jpg").unlink()
    elsewhere = pictures(tmp_path / "elsewhere", "3.jpg", "4.jpg")
    with labels.open("a") as file:
        file.write(f"{elsewhere}/3.jpg,mole\n../elsewhere/4.jpg,wart\n")
    pictures(elsewhere, "5.jpg")
    assert len(read_labels(labels, [images], "set")) == 4


def test_a_picture_that_several_folders_lead_to_is_one(tmp_path: Path) -> None:
    one, two = pictures(tmp_path / "1", "a.jpg", "deep/b.jpg"), pictures(tmp_path / "2", "c.jpg")
    (two / "a.jpg").symlink_to(one / "a.jpg")
    labels = table(tmp_path, f"file,label\n{one}/a.jpg,x\n{one}/deep/b.jpg,y\n{two}/c.jpg,x\n")
    found = read_labels(labels, [one, two], "set", every_picture=False)
    assert [picture.path for picture in found] == [one / "a.jpg", one / "deep/b.jpg", two / "c.jpg"]
    by_name = table(tmp_path, "file,label\na.jpg,x\ndeep/b.jpg,y\nc.jpg,x\n", "names.csv")
    assert summary(read_labels(by_name, [one, two], "set")) == [
        ("a", "x", "a"),
        ("deep/b", "y", "deep/b"),
        ("c", "x", "c"),
    ]


def test_names_that_look_alike_are_of_one_picture(tmp_path: Path) -> None:
    names = ["1.JPG", "naevus/2.Png", "größe.jpg", "mélanome/3.jpg", "fläche.jpg"]
    images = pictures(tmp_path / "images", *(normalize("NFD", name) for name in names))
    rows = ["1.jpg", "naevus\\2.png", "größe.jpg", "mélanome\\3.JPG", "fläche"]
    labels = table(tmp_path, "\n".join(["file,label", *(f"{row},x" for row in rows)]))
    found = read_labels(labels, [images], "set")
    ids = ["1", "naevus/2", "größe", "mélanome/3", "fläche"]
    assert [picture.image_id for picture in found] == ids
    assert [picture.path.name for picture in found] == [
        normalize("NFD", Path(name).name) for name in names
    ]
    gone = table(tmp_path, "file,label\nnaevus\\5.png,x\n", "gone.csv")
    assert "1 without a picture: naevus\\5.png" in error(gone, images)


def test_a_name_as_it_is_written_goes_before_one_that_looks_alike(tmp_path: Path) -> None:
    images = pictures(tmp_path, "a.jpg", "a.JPG")
    labels = table(tmp_path, "file,label\na.JPG,x\n")
    (found,) = read_labels(labels, [images], "set", every_picture=False)
    assert found.path.name == "a.JPG"
    either = table(tmp_path, "file,label\na.Jpg,x\n", "either.csv")
    assert "1 with several pictures: a.Jpg (" in error(either, images)


@pytest.mark.parametrize("label", ["naevus/mole", "naevus;mole", "na\x07evus"])
def test_a_label_that_no_file_or_list_can_hold_is_refused(tmp_path: Path, label: str) -> None:
    images = pictures(tmp_path, "a.jpg", "b.jpg")
    message = error(table(tmp_path, f"image,label\na,x\nb,{label}\n"), images)
    kind = "with a slash, a semicolon or a control character in the label"
    assert f"1 {kind}: b ({label!r})" in message


def test_pictures_outside_the_table_can_be_passed_over(tmp_path: Path) -> None:
    images = pictures(tmp_path, "a.jpg", "b.jpg")
    labels = table(tmp_path, "image,label\na,x\n")
    assert len(read_labels(labels, [images], "set", every_picture=False)) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "(none)"),
        ("name,class\na,b\n", "name, class"),
        ("image,label\n", "no row"),
        ("image,label\ngone,x\n", "no labelled picture is left"),
    ],
)
def test_a_table_that_holds_no_labels_is_refused(tmp_path: Path, text: str, said: str) -> None:
    assert said in error(table(tmp_path, text), tmp_path, skipped=[])


def test_missing_tables_and_folders_are_named(tmp_path: Path) -> None:
    assert "absent.csv" in error(tmp_path / "absent.csv", tmp_path)
    labels = table(tmp_path, "image,label\na,x\n")
    assert "absent" in error(labels, tmp_path / "absent")


def test_folders_are_classes(tmp_path: Path) -> None:
    pictures(tmp_path, "mole/1.jpg", "mole/deep/2.jpg", "wart/1.jpg", "wart/notes.txt", ".x/3.jpg")
    assert summary(read_folders(tmp_path, "own")) == [
        ("mole/1", "mole", "mole/1"),
        ("mole/deep/2", "mole", "mole/deep/2"),
        ("wart/1", "wart", "wart/1"),
    ]


def test_what_programs_put_beside_pictures_is_none(tmp_path: Path) -> None:
    own = ["mole/1.jpg", "mole/@2.jpg", "wart/1.jpg"]
    others = [".ipynb_checkpoints/1-checkpoint.jpg", "@eaDir/1.jpg/THUMB_M.jpg", "__MACOSX/1.jpg"]
    root = pictures(tmp_path, *own, *others, *(f"mole/deep/{each}" for each in others))
    assert [f"{p.image_id}.jpg" for p in read_folders(root, "own")] == own


@pytest.mark.parametrize(
    "names",
    [
        ("train/mole/1.jpg", "train/wart/1.jpg", "test/mole/1.jpg", "test/wart/1.jpg"),
        ("Train/mole/1.jpg", "Train/wart/1.jpg", "Test/1.jpg", "Validation/mole/1.jpg"),
    ],
)
def test_parts_of_a_split_are_no_classes(tmp_path: Path, names: tuple[str, ...]) -> None:
    root = pictures(tmp_path, *names)
    with pytest.raises(DataError, match="are parts of a data set, and no classes") as caught:
        read_folders(root, "own")
    assert f"as {root / names[0].split('/')[0]})" in str(caught.value)
    # Classes may be laid out alike, as by clinic.
    own = pictures(tmp_path / "own", "mole/here/1.jpg", "wart/here/1.jpg")
    assert [p.label for p in read_folders(own, "own")] == ["mole", "wart"]


def test_folders_that_are_not_classes_are_named_in_one_error(tmp_path: Path) -> None:
    pictures(tmp_path, "stray.jpg", "mole/1.jpg", "mole/1.png", "wart/notes.txt")
    with pytest.raises(DataError) as caught:
        read_folders(tmp_path, "own")
    message = str(caught.value)
    assert "in no class's folder: stray.jpg" in message
    assert "several pictures of one name: mole/1" in message
    assert "a folder without a picture: wart" in message


@pytest.mark.parametrize("masks", ["masks", "more/masks", "mole/masks"])
def test_a_folder_of_outlines_is_no_class(tmp_path: Path, masks: str) -> None:
    ids = ["mole/1", "wart/1"]
    root = pictures(tmp_path, *(f"{i}.jpg" for i in ids), *(f"{masks}/{i}.png" for i in ids))
    assert [p.image_id for p in read_folders(root, "own", root / masks)] == ids
    assert len(read_folders(root, "own", root)) == 4


def test_a_folders_name_is_a_class_in_one_normal_form(tmp_path: Path) -> None:
    pictures(tmp_path, *(normalize("NFD", name) for name in ("mélanome/é.jpg", "naevus/1.jpg")))
    assert [p.image_id for p in read_folders(tmp_path, "own")] == ["mélanome/é", "naevus/1"]
    pictures(tmp_path, "wa\nrt/1.jpg", "wa;rt/1.jpg")
    with pytest.raises(DataError, match=r"control character in its name: 'wa\\nrt', 'wa;rt'"):
        read_folders(tmp_path, "own")


@pytest.mark.parametrize(
    ("one", "other"), [("Mole", "mole"), ("mélanome", normalize("NFD", "mélanome"))]
)
def test_folders_that_are_hardly_told_apart_are_no_two_classes(
    tmp_path: Path, one: str, other: str
) -> None:
    pictures(tmp_path, f"{one}/1.jpg", "wart/1.jpg", f"{other}/2.jpg")
    if len(list(tmp_path.iterdir())) < 3:
        pytest.skip("this file system does not tell them apart either")
    with pytest.raises(DataError, match="told apart only by case or Unicode form: ") as caught:
        read_folders(tmp_path, "own")
    assert one in str(caught.value)
    assert other in str(caught.value)


@pytest.mark.parametrize("classes", [None, ["Mole", "mole"]])
def test_classes_that_are_hardly_told_apart_are_refused(
    tmp_path: Path, classes: list[str] | None
) -> None:
    images = pictures(tmp_path, "a.jpg", "b.jpg")
    labels = table(tmp_path, "image,label\na,mole\nb,Mole\n")
    message = error(labels, images, classes=classes)
    assert "1 classes told apart only by case or Unicode form: Mole and mole" in message


@pytest.mark.parametrize("names", [(), ("mole/1.jpg",)])
def test_one_class_is_too_few(tmp_path: Path, names: tuple[str, ...]) -> None:
    with pytest.raises(DataError, match="at least two"):
        read_folders(pictures(tmp_path, *names), "own")
