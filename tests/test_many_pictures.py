"""The benchmark of many pictures draws what it needs and says what it measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.many_pictures import COUNTS, Begun, Built, Fed, Row, _draw, report
from serving.manifest import Preprocessing
from training.data.cache import open_cache
from training.data.duplicates import find_known, open_hashes
from training.labels import read_labels


def test_drawn_pictures_are_all_of_their_own(tmp_path: Path) -> None:
    """What looked like another would be left out of training, and be measured nowhere."""
    for label in ("benign", "malignant"):
        (tmp_path / label).mkdir()
    rows = _draw(tmp_path, 300, 0)
    (tmp_path / "labels.csv").write_text("\n".join(["file,label,group", *rows]))
    listed = read_labels(tmp_path / "labels.csv", [tmp_path], "drawn")
    assert (len(listed), len({picture.group for picture in listed})) == (300, 150)
    cache = open_cache(listed, Preprocessing(fit="crop", size=32), tmp_path / "cache")
    hashes = np.array(open_hashes(cache.pixels, cache.path))
    alone = [str(number) for number in range(300)]
    assert find_known(hashes, alone, hashes, alone) == []


def test_the_report_says_what_a_picture_takes() -> None:
    def row(count: int) -> Row:
        fed = Fed(rate=100, first=1, own=10_000_000)
        return Row(
            count=count,
            noted=count // 2,
            built=Built(read=1, decoded=count // 2, decode=2, duplicates=3, alone=count / 8),
            start=9,
            begun=Begun(moment=0, own=300_000_000 + 50 * count, mapped=1_000_000),
            most=300_000_000 + 700 * count,
            cache=Fed(rate=1000, first=2, own=20_000_000),
            files=fed,
        )

    said = report([row(count) for count in COUNTS])
    assert "grows by 50 bytes a picture, at most by 700." in said
    assert "| 400,000 | 200,000 | 200,000 | 100,000 | 2.00 | 3.0 s |" in said
    assert "| 400,000 | the cache | 1,000 | 10.0 | 2.0 s | 20 MB |" in said
