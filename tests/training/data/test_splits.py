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
