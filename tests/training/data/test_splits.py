"""No lesion crosses the split, every diagnosis keeps its shares, and nothing but the seed moves it."""

import random
from pathlib import Path

import pytest

from training.data.splits import PARTS, SHARES, digest, split
from training.labels import DataError, LabelledPicture


def pictures(lesions_of: dict[str, int], pictures_a_lesion: int = 2) -> list[LabelledPicture]:
    return [
        LabelledPicture(
            Path(f"{label}-{i}-{j}.jpg"), f"{label}-{i}-{j}", label, f"{label}-{i}", "s"
        )
        for label, lesions in lesions_of.items()
        for i in range(lesions)
        for j in range(pictures_a_lesion)
    ]


def test_no_lesion_stands_in_two_parts() -> None:
    parts = split(pictures({"nv": 90, "mel": 40, "df": 5}, pictures_a_lesion=3), seed=1)
    part_of: dict[str, str] = {}
    for part in PARTS:
        for picture in parts[part]:
            assert part_of.setdefault(picture.group, part) == part
    assert sum(len(parts[part]) for part in PARTS) == 3 * (90 + 40 + 5)


@pytest.mark.parametrize("label", ["nv", "mel"])
def test_each_diagnosis_has_its_shares_in_every_part(label: str) -> None:
    parts = split(pictures({"nv": 1000, "mel": 200}), seed=2)
    total = sum(picture.label == label for part in PARTS for picture in parts[part])
    for part in PARTS:
        share = sum(picture.label == label for picture in parts[part]) / total
        assert share == pytest.approx(SHARES[part], abs=0.005)


def test_the_rarest_diagnosis_is_in_every_part() -> None:
    parts = split(pictures({"nv": 100, "df": 4}), seed=0)
    assert all(any(p.label == "df" for p in parts[part]) for part in PARTS)


def of_patients(*diagnoses: str) -> list[LabelledPicture]:
    """Pictures of patients, of whom each has a picture for every letter of its diagnoses."""
    return [
        LabelledPicture(
            Path(f"{i}-{j}.jpg"), f"{i}-{j}", label, f"patient{i}", "s", unit="patient"
        )
        for i, each in enumerate(diagnoses)
        for j, label in enumerate(each)
    ]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "diagnoses",
    [
        ["bbbm"] * 4 + ["bb"] * 30,
        ["bbm"] * 8 + ["m"] * 30 + ["bbk"] * 4 + ["k"] * 5,
        ["bm"] * 10,
        ["bmk"] * 3 + ["b", "m", "k"],
    ],
)
def test_of_groups_with_several_diagnoses_each_is_in_every_part(
    diagnoses: list[str], seed: int
) -> None:
    listed = of_patients(*diagnoses)
    parts = split(listed, seed)
    for part in PARTS:
        assert {picture.label for picture in parts[part]} == {p.label for p in listed}
    assert sum(len(parts[part]) for part in PARTS) == len(listed)


def test_a_diagnosis_beside_others_keeps_its_shares() -> None:
    parts = split(of_patients(*["bm"] * 100, *["b"] * 900), seed=0)
    for part in PARTS:
        groups = {p.group for p in parts[part]}
        assert len(groups) == pytest.approx(1000 * SHARES[part], abs=2)
        malignant = {p.group for p in parts[part] if p.label == "m"}
        assert len(malignant) == pytest.approx(100 * SHARES[part], abs=1)


def test_a_diagnosis_beside_others_with_too_few_groups_is_named() -> None:
    with pytest.raises(DataError, match=r"Too few patients in m \(3\):"):
        split(of_patients(*["bm"] * 3, *["b"] * 30), seed=0)
    with pytest.raises(DataError, match=r"Too few lesions in m \(3\):"):
        split(pictures({"m": 3, "b": 30}), seed=0)


def test_the_split_stays_what_it_was() -> None:
    """Models are measured on the split that they were trained on, however long ago."""
    found = digest(split(pictures({"nv": 90, "mel": 40, "df": 5}), seed=1))
    assert found == "71275a3ede6e68d42a0723cadeff670737e6c535b51cff9f31392b69432e3dc3"


def test_a_split_of_patients_stays_what_it_was() -> None:
    diagnoses = ["b"] * 4 + ["mc"] * 9 + ["bm"] * 5 + ["abc"] * 5 + ["m"] * 4
    found = digest(split(of_patients(*diagnoses), seed=1))
    assert found == "b3fa53fc0a0183dd394b8a458dca7e4787e5fd026d40cc9df5332727cc20fe2c"


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_the_table_moves_nothing_where_diagnoses_are_equally_common(
    seed: int,
) -> None:
    listed = of_patients(*["bm"] * 6, *["b"] * 4, *["m"] * 4)
    assert digest(split(listed, seed)) == digest(split(listed[::-1], seed))


def test_a_diagnosis_with_too_few_lesions_is_named() -> None:
    with pytest.raises(DataError, match=r"df \(3\)"):
        split(pictures({"nv": 100, "df": 3}), seed=0)


def test_the_order_of_the_table_moves_nothing() -> None:
    listed = pictures({"nv": 50, "mel": 20})
    shuffled = random.Random(0).sample(listed, len(listed))
    assert digest(split(listed, seed=3)) == digest(split(shuffled, seed=3))


def test_the_seed_moves_it() -> None:
    listed = pictures({"nv": 50, "mel": 20})
    assert digest(split(listed, seed=3)) != digest(split(listed, seed=4))


def test_a_changed_label_changes_the_digest() -> None:
    listed = pictures({"nv": 50, "mel": 20})
    changed = [*listed[:-2], *pictures({"mel": 20})[-2:-1], listed[-1]]
    assert digest(split(listed, seed=3)) == digest(split(changed, seed=3))
    relabelled = [*listed[:-1], LabelledPicture(listed[-1].path, "mel-19-1", "nv", "mel-19", "s")]
    assert digest(split(relabelled, seed=3)) != digest(split(listed, seed=3))
