"""Ray Data on this machine answers as one process does, also where one of its workers dies."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from serving.archive.cluster import Job, running, score
from serving.archive.results import Results, rules
from serving.archive.storage import ArchiveError, Storage
from serving.classifier import Classifier
from serving.pictures import Limits
from tests.serving.archive.runs import COUNT, parts, rows, run, with_unreachable


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """Ray, started once for all of these tests, on this machine whatever its user has set."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("RAY_")]:
            patch.delenv(name)
        with running(workers=2):
            yield


def job(model: Classifier, archive: Path, out: Path) -> Job:
    pictures = Storage(str(archive))
    results = Results(str(out), model.manifest, pictures.root)
    return Job(
        model=model.folder,
        rules=rules(model.manifest),
        pictures=pictures,
        results=results,
        finished=results.open(),
        limits=Limits(),
        room=1 << 28,
    )


def scorers() -> list[int]:
    """The processes of this one's Ray that answer pictures."""

    def parent(pid: int) -> int:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])

    found = []
    for each in Path("/proc").iterdir():
        if not each.name.isdigit():
            continue
        try:
            if not (each / "cmdline").read_bytes().startswith(b"ray::MapWorker"):
                continue
            pid = int(each.name)
            while pid > 1 and pid != os.getpid():
                pid = parent(pid)
        except OSError:  # it has ended meanwhile
            continue
        if pid == os.getpid():
            found.append(int(each.name))
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds the workers in /proc")
def test_a_worker_that_is_killed_loses_and_doubles_nothing(
    mobilenet: Classifier, archive: Path, tmp_path: Path
) -> None:
    out, whole = tmp_path / "ray.parquet", tmp_path / "local.parquet"
    killed_at, done = 0, 0
    for step in score(job(mobilenet, archive, out), workers=2, size=2):
        if not killed_at:
            first, *_ = scorers()
            killed_at = len(parts(out))
            os.kill(first, signal.SIGKILL)
        done += step.pictures
    assert 0 < killed_at < COUNT // 2
    assert done == COUNT
    run("predict", archive, "--out", whole)
    assert rows(out).equals(rows(whole))


def test_what_one_engine_began_the_other_ends(archive: Path, tmp_path: Path) -> None:
    out, whole = tmp_path / "results.parquet", tmp_path / "whole.parquet"
    run("predict", archive, "--out", whole, "--part", 9)
    run("predict", archive, "--out", out, "--part", 9)
    for index, part in enumerate(sorted(out.iterdir())):
        if index % 2:
            part.unlink()
    result = run("predict", archive, f"--out=file://{out}", "--part", 5, "--engine", "ray")
    assert f"{COUNT} pictures" in result.stderr
    assert "0 of them by an earlier run" not in result.stderr
    assert result.exit_code == 1
    assert rows(out).equals(rows(whole))
    for index, part in enumerate(sorted(out.iterdir())):
        if not index % 2:
            part.unlink()
    run("predict", archive, "--out", out, "--part", 6)
    assert rows(out).equals(rows(whole))


def test_what_workers_cannot_reach_is_named(archive: Path, tmp_path: Path) -> None:
    said = with_unreachable(archive, tmp_path / "pictures")
    out = tmp_path / "results.parquet"
    result = run("predict", tmp_path / "pictures", "--out", out, "--part", 9, "--engine", "ray")
    assert result.exit_code == 1
    assert all(each in result.stderr for each in said)
    assert rows(out).num_rows == COUNT


def test_a_worker_with_another_model_ends_the_run_in_one_line(
    mobilenet: Classifier, archive: Path, tmp_path: Path
) -> None:
    asked = msgspec.structs.replace(job(mobilenet, archive, tmp_path / "out"), rules="0" * 64)
    with pytest.raises(ArchiveError, match="is another model on a worker's machine") as error:
        list(score(asked, workers=1, size=10))
    assert "\n" not in str(error.value)


def test_what_only_one_process_sees_is_refused(
    mobilenet: Classifier, archive: Path, tmp_path: Path
) -> None:
    asked = job(mobilenet, archive, tmp_path / "out")
    asked = msgspec.structs.replace(asked, pictures=Storage("memory://pictures"))
    with pytest.raises(ArchiveError, match="memory:// is of one process"):
        list(score(asked, workers=1, size=10))
