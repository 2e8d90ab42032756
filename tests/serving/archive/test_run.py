"""An archive's answers in one process: what is written, what is left as it is, what is refused."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import termios
from pathlib import Path

import fsspec
import msgspec
import pytest

from serving import manifest
from serving.archive.storage import Storage
from serving.prediction import Prediction
from tests.artifact_factory import make_artifact
from tests.drawings import draw_lesion, encode
from tests.serving.archive.runs import COUNT, parts, rows, run, with_unreachable
from tests.serving.live import wait_until


def test_every_picture_is_a_row_that_says_what_json_says(archive: Path, tmp_path: Path) -> None:
    out = tmp_path / "results.parquet"
    result = run("predict", archive, "--out", out, "--part", 7)
    assert result.exit_code == 1
    assert f"{COUNT} pictures, 0 of them by an earlier run. 1 could not be read" in result.stderr
    assert result.stdout == ""
    found = {row["image"]: row for row in rows(out).to_pylist()}
    assert len(found) == rows(out).num_rows == COUNT
    lines = run("predict", "--json", archive).stdout_bytes.splitlines()
    for line in lines:
        if b'"error":' in line:
            continue
        said = msgspec.json.decode(line, type=Prediction)
        row = found[Path(said.image).relative_to(archive).as_posix()]
        assert row["error"] is None
        assert {id: row[f"probability_{id}"] for id in said.probabilities} == said.probabilities
        for field in Prediction.__struct_fields__:
            if field not in {"image", "probabilities", "view", "heatmaps"}:
                assert row[field] == getattr(said, field), field
    broken = found["clinic 1/broken.PNG"]
    assert broken["error"].startswith("The file is not a picture")
    assert {name for name, value in broken.items() if value is not None} == {
        "image",
        "model",
        "digest",
        "error",
    }
    assert len(parts(out)) == -(-COUNT // 7)


def test_a_second_run_answers_only_what_is_new(archive: Path, tmp_path: Path) -> None:
    pictures, out = tmp_path / "pictures", tmp_path / "results.parquet"
    shutil.copytree(archive, pictures)
    run("predict", pictures, "--out", out, "--part", 10)
    before = parts(out)
    told = f"{COUNT} pictures, {COUNT} of them by an earlier run"
    assert told in run("predict", pictures, "--out", out).stderr
    assert parts(out) == before
    # Between the others, so that every chunk after it holds other pictures than it did.
    (pictures / "001b.jpg").write_bytes(encode(draw_lesion(3, 120, 90)))
    run("predict", pictures, "--out", out, "--part", 9)
    names = rows(out)["image"].to_pylist()
    assert len(names) == len(set(names)) == COUNT + 1
    assert "001b.jpg" in names
    assert len(parts(out)) == len(before) + 1


def test_a_killed_run_is_gone_on_with(archive: Path, tmp_path: Path) -> None:
    whole, out = tmp_path / "whole.parquet", tmp_path / "results.parquet"
    pictures = tmp_path / "pictures"
    for name in "abcdefgh":
        shutil.copytree(archive, pictures / name)
    code = "from serving.cli import main; main()"
    options = ["predict", str(pictures), "--out", str(out), "--part", "5"]
    process = subprocess.Popen([sys.executable, "-c", code, *options], stderr=subprocess.DEVNULL)
    wait_until(lambda: len(parts(out)) >= 5)
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    before = parts(out)
    assert 5 <= len(before) < 8 * COUNT / 5
    (out / ".part-0.parquet.0.writing").write_bytes(b"what was being written")
    assert run(*options).exit_code == 1
    assert before.items() <= parts(out).items()
    run("predict", pictures, "--out", whole)
    assert rows(out).num_rows == 8 * COUNT
    assert rows(out).equals(rows(whole))
    assert {path.name for path in out.iterdir()} == parts(out).keys()


def test_a_file_that_could_not_be_reached_is_asked_for_again(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, read = tmp_path / "results.parquet", Storage.read

    def fail(storage: Storage, place: str, most: int) -> bytes:
        if place == "001.jpg":
            raise TimeoutError("the storage does not answer")
        return read(storage, place, most)

    monkeypatch.setattr(Storage, "read", fail)
    first = run("predict", archive, "--out", out)
    assert first.exit_code == 1
    assert f"{COUNT - 1} pictures" in first.stderr
    assert "1 files or folders could not be reached" in first.stderr
    assert first.stderr.endswith("again:\n  001.jpg: the storage does not answer.\n")
    monkeypatch.setattr(Storage, "read", read)
    assert "could not be reached" not in run("predict", archive, "--out", out).stderr
    assert rows(out).num_rows == COUNT


def test_what_cannot_be_reached_is_named_and_stops_nothing(archive: Path, tmp_path: Path) -> None:
    pictures, out = tmp_path / "pictures", tmp_path / "results.parquet"
    said = with_unreachable(archive, pictures)
    for _ in range(2):
        result = run("predict", pictures, "--out", out)
        assert result.exit_code == 1
        assert all(each in result.stderr for each in said)
        assert rows(out).num_rows == COUNT
    (pictures / "gone.jpg").unlink()
    (pictures / "gone.jpg").write_bytes((archive / "001.jpg").read_bytes())
    assert "\n  gone.jpg" not in run("predict", pictures, "--out", out).stderr
    assert rows(out).num_rows == COUNT + 1


def test_of_much_that_cannot_be_reached_ten_are_named(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    for index in range(12):
        (tmp_path / "pictures" / f"{index:02}.jpg").symlink_to("nowhere")
    result = run("predict", tmp_path / "pictures", "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "0 pictures" in result.stderr
    assert "12 files or folders could not be reached" in result.stderr
    names = [line.split(":")[0].strip() for line in result.stderr.splitlines()[1:]]
    assert names == [*(f"{index:02}.jpg" for index in range(10)), "and 2 more"]


def test_a_terminal_is_told_how_far_it_is(archive: Path, tmp_path: Path) -> None:
    reading, writing = os.openpty()
    termios.tcsetwinsize(writing, (24, 120))
    code = "from serving.cli import main; main()"
    options = ["predict", str(archive), "--out", str(tmp_path / "results.parquet")]
    try:
        subprocess.run([sys.executable, "-c", code, *options], stderr=writing, timeout=60)
        assert f"{COUNT}/{COUNT} [" in os.read(reading, 1 << 16).decode()
    finally:
        os.close(reading)
        os.close(writing)


def test_object_storage_is_read_and_written(archive: Path, tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.put(f"{archive}/", "/bucket/pictures/", recursive=True)
    try:
        address = "memory://bucket/pictures"
        arguments = ["predict", address, "--out", "memory://bucket/results.parquet", "--part", 9]
        assert run(*arguments).exit_code == 1
        assert f"{COUNT} of them by an earlier run" in run(*arguments).stderr
        memory.get("/bucket/results.parquet/", f"{tmp_path / 'remote'}/", recursive=True)
    finally:
        memory.rm("/bucket", recursive=True)
    run("predict", archive, "--out", tmp_path / "local")
    assert rows(tmp_path / "remote").equals(rows(tmp_path / "local"))


def test_names_that_are_no_utf8_are_told_apart(archive: Path, tmp_path: Path) -> None:
    pictures, out = tmp_path / os.fsdecode(b"pictures \xfd"), tmp_path / "results.parquet"
    try:
        pictures.mkdir()
        for name in (b"\xfe.jpg", b"\xff.jpg"):
            (pictures / os.fsdecode(name)).write_bytes((archive / "001.jpg").read_bytes())
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    run("predict", pictures, "--out", out)
    assert rows(out)["image"].to_pylist() == ["\\xfe.jpg", "\\xff.jpg"]
    assert (
        "2 pictures, 2 of them by an earlier run" in run("predict", pictures, "--out", out).stderr
    )


def test_results_of_another_model_archive_or_threshold_are_not_added_to(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, models = tmp_path / "results.parquet", tmp_path / "models"
    made = make_artifact(models / "mobilenet")
    monkeypatch.setenv("LESIONLENS_ARTIFACTS", str(models))
    run("predict", archive, "--out", out)
    before = parts(out)

    def refused(*arguments: object) -> str:
        result = run("predict", *arguments, "--out", out)
        assert result.exit_code == 1
        assert result.stderr.startswith("Error: ")
        assert result.stderr.count("\n") == 1
        assert parts(out) == before
        return result.stderr

    inside = archive / "clinic 0"
    assert f"pictures of file://{archive}, not file://{inside}" in refused(inside)
    manifest.save(msgspec.structs.replace(made, novelty_threshold=0.4), models / "mobilenet")
    assert "was made with the manifest" in refused(archive)
    make_artifact(models / "mobilenet", size=32)
    assert "was made with the graph" in refused(archive)
    make_artifact(models / "other", name="other")
    assert "was made with the model mobilenet, not other" in refused(archive, "--model", "other")


def test_a_report_that_is_made_anew_changes_no_answer(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, models = tmp_path / "results.parquet", tmp_path / "models"
    made = make_artifact(models / "mobilenet")
    monkeypatch.setenv("LESIONLENS_ARTIFACTS", str(models))
    run("predict", archive, "--out", out)
    metric = manifest.Metric(name="accuracy", value=0.5, low=0.4, high=0.6, n=100)
    manifest.save(msgspec.structs.replace(made, metrics=[metric]), models / "mobilenet")
    assert f"{COUNT} of them by an earlier run" in run("predict", archive, "--out", out).stderr


@pytest.mark.parametrize("content", [b"", b"PAR1", b"text"])
def test_a_file_that_is_no_part_is_named(archive: Path, tmp_path: Path, content: bytes) -> None:
    out = tmp_path / "results.parquet"
    run("predict", archive, "--out", out, "--part", 20)
    (out / "part-0.parquet").write_bytes(content)
    result = run("predict", archive, "--out", out)
    assert result.exit_code == 1
    assert f"{out}/part-0.parquet: is no part of an archive's results" in result.stderr


def test_what_cannot_be_an_archive_or_its_results_is_one_line(
    archive: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_bytes(b"")
    out = tmp_path / "results.parquet"
    for arguments, message in (
        ([tmp_path / "nowhere", "--out", out], "nowhere: the folder cannot be listed"),
        ([tmp_path / "empty", "--out", out], "empty: holds no picture"),
        ([archive / "001.jpg", "--out", out], "001.jpg: the folder cannot be listed"),
        ([archive, "--out", tmp_path / "file"], "file: is a file"),
        (["nothing://a", "--out", out], "nothing://a: "),
    ):
        result = run("predict", *arguments)
        assert result.exit_code == 1
        assert result.stderr.startswith("Error: ")
        assert message in result.stderr
        assert result.stderr.count("\n") == 1
        assert not out.exists()


def test_options_that_do_not_go_together_are_refused(archive: Path, tmp_path: Path) -> None:
    out = tmp_path / "results.parquet"
    for arguments in (
        [archive, archive, "--out", out],
        [archive, "--out", out, "--json"],
        [archive, "--out", out, "--heatmaps", tmp_path / "heat"],
    ):
        result = run("predict", *arguments)
        assert result.exit_code == 2
        assert "--out takes one folder" in result.stderr
    assert "--engine needs --out" in run("predict", archive, "--engine", "ray").stderr
    assert "--part needs --out" in run("predict", archive, "--part", "10").stderr


@pytest.mark.parametrize(
    ("engine", "module", "extra"),
    [("local", "serving.archive.run", "archive"), ("ray", "ray", "ray")],
)
def test_packages_that_are_missing_are_named(
    engine: str,
    module: str,
    extra: str,
    archive: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    result = run("predict", archive, "--out", tmp_path / "results", "--engine", engine)
    assert result.exit_code == 1
    assert f"pip install 'lesionlens[{extra}]'" in result.stderr
    assert result.stderr.count("\n") == 1
