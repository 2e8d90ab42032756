from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.drawings import SUSPICIOUS_REDNESS, draw_flat, draw_lesion, encode
from tests.serving.archive.runs import COUNT


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures in several folders, one of them broken, and what is no picture."""
    root = tmp_path_factory.mktemp("archive")
    drawn = [
        encode(draw_lesion(1, 120, 90)),
        encode(draw_lesion(2, 120, 90, redness=SUSPICIOUS_REDNESS)),
        encode(draw_flat(120, 90)),
    ]
    for index in range(COUNT - 1):
        folder = root / ("" if index % 3 else f"clinic {index % 4}/2020")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{index:03}.jpg").write_bytes(drawn[index % len(drawn)])
    (root / "clinic 1" / "broken.PNG").write_bytes(b"not a picture")
    (root / "notes.csv").write_bytes(b"not,a,picture")
    (root / ".hidden").mkdir()
    (root / ".hidden" / "a.jpg").write_bytes(drawn[0])
    return root


@pytest.fixture(autouse=True)
def environment(artifacts: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in [name for name in os.environ if name.startswith(("LESIONLENS_", "RAY_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("LESIONLENS_ARTIFACTS", str(artifacts))
    monkeypatch.setenv("LESIONLENS_WORKERS", "2")
    yield
    for name in [name for name in os.environ if name.startswith("RAY_")]:
        del os.environ[name]
