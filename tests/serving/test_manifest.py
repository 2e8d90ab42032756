from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from serving import manifest
from serving.manifest import ArtifactError, Metric
from tests.artifact_factory import MEASURED, make_artifact


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_artifact(tmp_path / "model")
    return tmp_path / "model"


def change(folder: Path, **fields: Any) -> None:
    """Writes fields into the manifest as a hand or another program would."""
    path = folder / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_what_was_saved_is_loaded(folder: Path) -> None:
    (folder / "report").mkdir()
    (folder / "report" / "README.md").write_text("How it did.")
    saved = manifest.save(manifest.load(folder), folder)
    assert manifest.load(folder) == saved
    assert set(saved.files) == {"model.onnx", "preprocess.onnx", "report/README.md"}
    assert saved.malignant_ids == ["akiec", "bcc", "mel"]


def test_a_changed_file_is_refused_by_name(folder: Path) -> None:
    with (folder / "model.onnx").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(ArtifactError, match=r"model\.onnx: its SHA-256 is .* was changed after"):
        manifest.load(folder)


def test_a_missing_file_is_refused_by_name(folder: Path) -> None:
    (folder / "preprocess.onnx").unlink()
    with pytest.raises(
        ArtifactError, match=r"preprocess\.onnx: listed in model\.json, but missing"
    ):
        manifest.load(folder)


def test_a_folder_without_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"model\.json: cannot be read .*LESIONLENS_ARTIFACTS"):
        manifest.load(tmp_path)


def test_another_schema_version_is_not_called_malformed(folder: Path) -> None:
    change(folder, schema_version=99, from_the_future=True)
    with pytest.raises(ArtifactError, match="schema version 99, but this program reads 1"):
        manifest.load(folder)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"colour": "red"}, "unknown field `colour`"),
        ({"temperature": "warm"}, r"Expected `float`, got `str` - at `\$\.temperature`"),
        ({"temperature": 0}, "temperature is 0.0, must be above 0"),
        ({"classes": []}, "classes must be two or more"),
        ({"decision_offsets": {"mel": 1.0}}, "decision_offsets must name each of"),
        ({"logit_biases": {"mel": 1.0}}, "logit_biases must name each of"),
        ({"operating_points": []}, "no operating point for the verdict"),
        ({"files": {}}, r"lists no model\.onnx"),
        ({"preprocessing": {"fit": "stretch", "size": 64}}, "Invalid enum value 'stretch'"),
        ({"preprocessing": {"fit": "squash", "size": 0}}, "preprocessing.size is 0"),
    ],
)
def test_a_wrong_manifest_is_refused_with_the_field(
    folder: Path, fields: dict[str, Any], message: str
) -> None:
    change(folder, **fields)
    with pytest.raises(ArtifactError, match=message):
        manifest.load(folder)


DEEP = b'{"name": ' + b"[" * 100_000
NOT_UTF8 = b'{"schema_version": 1, "name": "\xff"}'


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", DEEP, NOT_UTF8])
def test_what_is_no_manifest_is_refused(folder: Path, content: bytes) -> None:
    (folder / "model.json").write_bytes(content)
    with pytest.raises(ArtifactError, match="not a manifest"):
        manifest.load(folder)


@pytest.mark.parametrize(
    ("low", "high", "doubt"),
    [
        (0.01, 0.03, None),
        (0.0, 0.02, "no_better"),
        (-0.02, 0.0, "no_better"),
        (-0.2, -0.1, "worse"),
    ],
)
def test_a_heatmap_is_doubted_unless_the_whole_interval_is_above_a_guess(
    low: float, high: float, doubt: str | None, tmp_path: Path
) -> None:
    gain = Metric(
        name="heatmap_inside_over_centre", value=(low + high) / 2, low=low, high=high, n=9
    )
    assert make_artifact(tmp_path / "model", metrics=[gain]).heatmap_doubt == doubt
    assert make_artifact(tmp_path / "model").heatmap_doubt is None


def test_the_verdicts_figures_are_those_of_the_test_pictures_where_there_are_any(
    tmp_path: Path,
) -> None:
    made = make_artifact(tmp_path / "model")
    assert (made.of_verdict("sensitivity"), made.of_verdict("specificity")) == (0.95, 0.7)
    tested = make_artifact(tmp_path / "model", metrics=MEASURED)
    assert (tested.of_verdict("sensitivity"), tested.of_verdict("specificity")) == (0.81, 0.58)
    kinds = [msgspec.structs.replace(c, malignant=False) for c in made.classes]
    harmless = make_artifact(tmp_path / "model", classes=kinds, operating_points=[])
    assert harmless.of_verdict("sensitivity") is None


def test_no_id_holds_what_lists_of_ids_are_joined_by(tmp_path: Path) -> None:
    odd = [msgspec.structs.replace(c, id=f"{c.id};") for c in make_artifact(tmp_path / "a").classes]
    with pytest.raises(ArtifactError, match=r"go without semicolons.*akiec;"):
        make_artifact(tmp_path / "b", classes=odd)


def test_nothing_inconsistent_is_saved(folder: Path) -> None:
    before = (folder / "model.json").read_bytes()
    wrong = msgspec.structs.replace(manifest.load(folder), temperature=-1.0)
    with pytest.raises(ArtifactError):
        manifest.save(wrong, folder)
    assert (folder / "model.json").read_bytes() == before
