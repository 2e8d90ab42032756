"""Pictures that are in the data twice under different names are found by how they look."""

from __future__ import annotations

import io
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

from serving.manifest import ClassInfo, Preprocessing
from tests.drawings import draw_lesion, encode
from training.data import duplicates
from training.data.duplicates import SAME, find_known, open_hashes
from training.data.module import Answers, CachedSets
from training.data.sets import Pictures
from training.data.splits import Split
from training.labels import LabelledPicture

CROP = Preprocessing(fit="crop", size=96)
MOLE = ClassInfo(id="nv", name="Mole", description="", source="", malignant=False)


def picture(folder: Path, name: str, group: str, data: bytes, source: str) -> LabelledPicture:
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.jpg"
    path.write_bytes(data)
    return LabelledPicture(path, name, "nv", group, source)


def saved_again(data: bytes, width: int, height: int, quality: int) -> bytes:
    with Image.open(io.BytesIO(data)) as image:
        return encode(image.resize((width, height)), quality=quality)


def test_what_is_held_out_as_another_lesions_is_left_out_of_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn = [encode(draw_lesion(i, 200, 150)) for i in range(6)]
    home, away = tmp_path / "home", tmp_path / "away"
    parts: Split = {
        "train": [
            picture(home, "own", "L0", drawn[0], "home"),
            picture(home, "sister", "L1", saved_again(drawn[1], 200, 150, 60), "home"),
            picture(home, "twin", "L7", saved_again(drawn[2], 150, 112, 80), "home"),
        ],
        "validation": [picture(home, "one", "L1", drawn[1], "home")],
        "calibration": [picture(home, "two", "L2", drawn[2], "home")],
        "test": [picture(home, "three", "L3", drawn[3], "home")],
    }
    extra = [
        picture(away, "again", "L3", saved_again(drawn[3], 400, 300, 50), "away"),
        picture(away, "another", "L3", drawn[4], "away"),
    ]

    def shown(*, look: bool) -> int:
        pictures, answers = Pictures(parts, extra, [MOLE], []), Answers([MOLE], None)
        cached = CachedSets(pictures, answers, CROP, tmp_path / "cache", duplicates=look)
        assert len(cached.part("test")) == 1
        return len(cached.part("train"))

    assert shown(look=False) == 5
    # The picture of one lesion twice is no duplicate: the split keeps lesions together. That two
    # sets call different lesions by one name does not make them one.
    assert shown(look=True) == 3
    assert "2 pictures of the train part are left out" in (said := capsys.readouterr().err)
    assert "as another lesion's: twin, again" in said


def test_what_is_held_out_twice_is_left_out_of_the_earlier_part(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn = [encode(draw_lesion(i, 200, 150)) for i in range(4)]
    smaller = [saved_again(each, 150, 112, 80) for each in drawn]

    def named(*entries: tuple[str, bytes]) -> list[LabelledPicture]:
        home = tmp_path / "home"
        found = [picture(home, name, f"of {name}", data, "home") for name, data in entries]
        return [msgspec.structs.replace(each, unit="patient") for each in found]

    parts: Split = {
        "train": named(("shown", drawn[0])),
        "validation": named(("v1", drawn[1]), ("v2", drawn[2]), ("v3", drawn[3])),
        "calibration": named(("c1", smaller[1]), ("c2", encode(draw_lesion(9, 200, 150)))),
        "test": named(("t1", saved_again(drawn[1], 400, 300, 60)), ("t2", smaller[2])),
    }
    pictures, answers = Pictures(parts, [], [MOLE], []), Answers([MOLE], None)
    cached = CachedSets(pictures, answers, CROP, tmp_path / "cache", duplicates=True)
    kept = {part: [p.image_id for p in cached.kept(listed)] for part, listed in parts.items()}
    assert kept == {
        "train": ["shown"],
        "validation": ["v3"],
        "calibration": ["c2"],
        "test": ["t1", "t2"],
    }
    assert [p.image_id for p in cached.listed("validation")] == ["v3"]
    said = capsys.readouterr().err
    assert "2 pictures of the validation part are left out" in said
    calibration = "1 pictures of the calibration part are left out, because they are in test"
    assert f"{calibration} as another patient's: c1" in said


def test_hashes_are_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.stack([np.asarray(draw_lesion(i, 64, 64)) for i in range(3)])
    first = open_hashes(pixels, tmp_path / "cache.npy")
    assert first.shape == (3, 4)
    monkeypatch.setattr(duplicates, "_hash", lambda _: pytest.fail("hashed again"))
    np.testing.assert_array_equal(open_hashes(pixels, tmp_path / "cache.npy"), first)


def test_no_pair_is_overlooked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever bits differ: the search must find what comparing every pair finds."""
    random = np.random.default_rng(0)
    known = random.integers(0, 2**64, (40, 4), dtype=np.uint64)
    bits = np.unpackbits(known[random.integers(0, 40, 400)].view(np.uint8), axis=1)
    for row in bits:
        row[random.choice(256, random.integers(SAME - 6, SAME + 7), replace=False)] ^= 1
    among = np.packbits(bits, axis=1).view(np.uint64)
    # As most of a dark set's hashes are alike.
    among[:50], known[:10] = 0, 0
    groups, known_groups = [f"{i % 60}" for i in range(400)], [f"{i}" for i in range(40)]
    differing = np.bitwise_count(among[:, None] ^ known).sum(axis=2)
    other = np.array(groups)[:, None] != np.array(known_groups)
    expected = np.flatnonzero(((differing <= SAME) & other).any(axis=1)).tolist()
    assert 100 < len(expected) < 300
    for pairs in (1, 100, 1 << 18):
        monkeypatch.setattr(duplicates, "_PAIRS", pairs)
        assert find_known(among, groups, known, known_groups) == expected


def test_bits_are_counted_up_to_the_limit() -> None:
    known = np.zeros((1, 4), np.uint64)
    among = np.zeros((2, 4), np.uint64)
    among[0, 2] = 2**SAME - 1
    among[1, 2] = 2 ** (SAME + 1) - 1
    assert find_known(among, ["a", "b"], known, ["c"]) == [0]
    assert find_known(among, ["c", "b"], known, ["c"]) == []
    assert find_known(among, ["a", "b"], known[:0], []) == []
