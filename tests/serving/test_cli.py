from __future__ import annotations

import csv
import errno
import io
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import IO, Any
from unittest.mock import ANY

import msgspec
import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from onnx import helper, numpy_helper
from onnx.external_data_helper import set_external_data
from PIL import Image

from serving import cli, manifest
from serving.listing import Failure
from serving.manifest import Manifest
from serving.prediction import Prediction
from tests.artifact_factory import SEVEN, TWO, class_info, classifier_graph, make_artifact
from tests.drawings import SUSPICIOUS_REDNESS, draw_flat, draw_lesion, encode


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder as people have them: pictures in several places, one bad, and other files."""
    folder = tmp_path / "pictures"
    files = {
        "a.jpg": encode(draw_lesion(1)),
        "b/c.PNG": encode(draw_lesion(2, redness=SUSPICIOUS_REDNESS), "PNG"),
        "b/flat.webp": encode(draw_flat(), "WEBP", lossless=True),
        "b/broken.jpg": b"not a picture",
        "notes.csv": b"not,a,picture",
        ".hidden/d.jpg": encode(draw_lesion(1)),
    }
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


@pytest.fixture(autouse=True)
def environment(artifacts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("LESIONLENS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("LESIONLENS_ARTIFACTS", str(artifacts))
    monkeypatch.setenv("LESIONLENS_WORKERS", "2")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli.main, [str(argument) for argument in arguments])


def lines(result: Result) -> list[Prediction | Failure]:
    """The JSON lines of standard output."""
    return [
        msgspec.json.decode(line, type=Failure)
        if b'"error":' in line
        else msgspec.json.decode(line, type=Prediction)
        for line in result.stdout_bytes.splitlines()
    ]


def test_a_folder_is_walked_and_answered_as_json_lines(pictures: Path) -> None:
    answers = lines(result := run("predict", "--json", pictures))
    assert [Path(answer.image).name for answer in answers] == [
        "a.jpg",
        "broken.jpg",
        "c.PNG",
        "flat.webp",
    ]
    healthy = [answer for answer in answers if isinstance(answer, Prediction)]
    assert [(a.prediction, a.verdict, a.refused) for a in healthy] == [
        ("nv", "not_suspicious", False),
        ("mel", "suspicious", False),
        ("nv", "not_suspicious", True),
    ]
    (failure,) = (answer for answer in answers if isinstance(answer, Failure))
    assert failure.model == "mobilenet"
    assert failure.error.startswith("The file is not a picture")
    assert result.exit_code == 1


def test_without_a_bad_file_the_exit_status_is_0(pictures: Path) -> None:
    result = run("predict", "--json", pictures / "a.jpg", pictures / "b" / "c.PNG")
    assert result.exit_code == 0
    assert len(lines(result)) == 2


def test_a_json_line_is_what_the_api_answers(pictures: Path) -> None:
    (answer,) = lines(run("predict", "--json", "--model", "cnn", pictures / "a.jpg"))
    assert isinstance(answer, Prediction)
    assert answer.image == str(pictures / "a.jpg")
    assert answer.model == "cnn"
    assert set(answer.probabilities) == {"benign", "malignant"}
    assert answer.heatmaps is msgspec.UNSET


def test_a_missing_file_and_an_empty_folder_do_not_stop_the_others(
    pictures: Path, tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    result = run("predict", "--json", tmp_path / "none.jpg", empty, pictures / "a.jpg")
    missing, nothing, answer = lines(result)
    assert isinstance(missing, Failure)
    assert "No such file" in missing.error
    assert isinstance(nothing, Failure)
    assert "holds no picture" in nothing.error
    assert isinstance(answer, Prediction)
    assert result.exit_code == 1


def test_what_cannot_be_looked_at_is_an_error_line_and_stops_nothing(pictures: Path) -> None:
    # None of it hangs on permissions, which do not bind the tests' user where that is root.
    for name in ("round", "round.jpg"):
        (pictures / name).symlink_to(name)
    (pictures / "gone.jpg").symlink_to("nowhere.jpg")
    (pictures / "gone.txt").symlink_to("nowhere.txt")
    too_long = pictures / ("x" * 300 + ".jpg")
    result = run("predict", "--json", too_long, pictures)
    assert {
        Path(answer.image).name: answer.error
        for answer in lines(result)
        if isinstance(answer, Failure)
    } == {
        too_long.name: f"File name too long ({too_long}).",
        "broken.jpg": ANY,
        "gone.jpg": f"No such file or directory ({pictures / 'gone.jpg'}).",
        "round": f"Too many levels of symbolic links ({pictures / 'round'}).",
        "round.jpg": f"Too many levels of symbolic links ({pictures / 'round.jpg'}).",
    }
    assert sum(isinstance(answer, Prediction) for answer in lines(result)) == 3
    assert result.exit_code == 1


def test_a_folder_that_cannot_be_listed_is_an_error_line(pictures: Path) -> None:
    # So deep that its path is longer than the system takes.
    above = os.open(pictures / "b", os.O_RDONLY)
    for _ in range(20):
        os.mkdir("d" * 250, dir_fd=above)
        below = os.open("d" * 250, os.O_RDONLY, dir_fd=above)
        os.close(above)
        above = below
    os.close(above)
    answers = lines(result := run("predict", "--json", pictures))
    assert len(answers) == 5
    (deep,) = (answer for answer in answers if answer.image.endswith("/" + "d" * 250))
    assert isinstance(deep, Failure)
    assert deep.error.startswith("File name too long")
    assert result.exit_code == 1


def test_links_to_folders_are_followed_but_not_in_circles(pictures: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "e.jpg").write_bytes(encode(draw_lesion(3)))
    (elsewhere / "back").symlink_to(pictures)
    (pictures / "link").symlink_to(elsewhere)
    (pictures / "b" / "up").symlink_to("..")
    answers = lines(run("predict", "--json", pictures))
    assert [Path(answer.image).relative_to(pictures).as_posix() for answer in answers] == [
        "a.jpg",
        "b/broken.jpg",
        "b/c.PNG",
        "b/flat.webp",
        "link/e.jpg",
    ]


def test_a_file_beyond_the_limit_is_an_error_line(
    pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LESIONLENS_MAX_BYTES", "1000")
    (failure,) = lines(run("predict", "--json", pictures / "a.jpg"))
    assert isinstance(failure, Failure)
    assert "larger than 0.001 MB" in failure.error


def test_csv_has_a_column_for_each_class_and_one_for_errors(pictures: Path) -> None:
    result = run("predict", "--csv", pictures)
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    by_name = {Path(row["image"]).name: row for row in rows}
    assert by_name["c.PNG"]["prediction"] == "mel"
    assert float(by_name["c.PNG"]["probability_mel"]) > 0.5
    assert by_name["c.PNG"]["prediction_set"] == "mel;bcc;akiec"
    assert by_name["c.PNG"]["error"] == ""
    assert by_name["flat.webp"]["refused"] == "true"
    assert by_name["flat.webp"]["warnings"] == "blurred;small_lesion"
    assert by_name["broken.jpg"]["error"].startswith("The file is not a picture")
    assert by_name["broken.jpg"]["prediction"] == ""


def test_the_table_is_for_reading(pictures: Path) -> None:
    result = run("predict", pictures)
    table = result.stdout.splitlines()
    assert table[0].split()[:4] == ["image", "answer", "malignant", "verdict"]
    flat = next(line for line in table if "flat.webp" in line)
    assert "refused" in flat
    assert "unlike the training pictures; blurred; small lesion" in flat
    assert "error: The file is not a picture" in result.stdout


def test_heatmaps_are_written_over_their_pictures(pictures: Path, tmp_path: Path) -> None:
    target = tmp_path / "heat"
    result = run("predict", "--json", "--heatmaps", target, pictures)
    written = sorted(path.relative_to(target).as_posix() for path in target.rglob("*.png"))
    assert written == [
        "pictures/a.jpg.nv.png",
        "pictures/b/c.PNG.mel.png",
        "pictures/b/flat.webp.nv.png",
    ]
    with Image.open(target / "pictures/b/c.PNG.mel.png") as overlay:
        assert overlay.mode == "RGB"
        assert overlay.size == (600, 450)
        assert overlay.tobytes() != Image.open(pictures / "b/c.PNG").tobytes()
    assert all(isinstance(a, Failure) or a.heatmaps is msgspec.UNSET for a in lines(result))


def test_no_heatmap_takes_anothers_place_or_leaves_its_folder(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pictures / "b" / "a.jpg").write_bytes(encode(draw_lesion(3)))
    target = tmp_path / "heat"
    run("predict", "--heatmaps", target, pictures / "a.jpg", pictures / "b" / "a.jpg")
    assert {path.relative_to(target).as_posix() for path in target.rglob("*.png")} == {
        "a.jpg.nv.png",
        "b/a.jpg.nv.png",
    }
    before = set(pictures.rglob("*"))
    monkeypatch.chdir(pictures / "b")
    run("predict", "--heatmaps", target, "..", "../a.jpg")
    assert set(pictures.rglob("*")) == before
    assert (target / "pictures" / "b" / "c.PNG.mel.png").is_file()


def test_a_class_may_be_called_what_no_file_may_be(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = [
        class_info("nævus/mole no. 1", "Mole", False),
        class_info("basal cell carcinoma", "Basal cell carcinoma", True),
    ]
    make_artifact(tmp_path / "models" / "own", name="own", classes=kinds)
    monkeypatch.setenv("LESIONLENS_ARTIFACTS", str(tmp_path / "models"))
    target = tmp_path / "heat"
    result = run("predict", "--csv", "--heatmaps", target, pictures / "a.jpg", pictures / "b")
    assert {path.relative_to(target).as_posix() for path in target.rglob("*.png")} == {
        "a.jpg.nævus%2Fmole no%2E 1.png",
        "b/c.PNG.basal cell carcinoma.png",
        "b/flat.webp.nævus%2Fmole no%2E 1.png",
    }
    sets = [row["prediction_set"].split(";") for row in csv.DictReader(io.StringIO(result.stdout))]
    assert sets[0] == [kind.id for kind in kinds]


def test_a_name_that_is_no_utf8_is_answered_as_json(pictures: Path) -> None:
    name = os.fsencode(pictures) + b"/\xff.jpg"
    try:
        with open(name, "wb") as file:
            file.write(b"not a picture")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    (failure,) = lines(run("predict", "--json", os.fsdecode(name)))
    assert failure.image == str(pictures / "\N{REPLACEMENT CHARACTER}.jpg")
    missing = os.fsdecode(os.fsencode(pictures) + b"/\xfe.jpg")
    assert len(lines(run("predict", "--json", missing))) == 1


def test_models_are_listed_the_default_first() -> None:
    head, *rows = run("models").stdout.splitlines()
    assert head.split() == ["name", "title", "answers", "digest"]
    assert [row.split()[0] for row in rows] == ["mobilenet", "cnn"]
    manifests = [
        msgspec.json.decode(line, type=Manifest)
        for line in run("models", "--json").stdout_bytes.splitlines()
    ]
    assert [manifest.name for manifest in manifests] == ["mobilenet", "cnn"]


def test_the_version_is_told() -> None:
    assert run("--version").stdout.startswith("lesionlens ")


@pytest.mark.parametrize(
    ("arguments", "variables", "message"),
    [
        (["predict", "--model", "resnet", "a.jpg"], {}, "no model named resnet"),
        (["models"], {"LESIONLENS_ARTIFACTS": "nowhere"}, "nowhere: holds no model"),
        (["serve"], {"LESIONLENS_ARTIFACTS": "nowhere"}, "nowhere: holds no model"),
        (["serve"], {"LESIONLENS_PORT": "eighty"}, "LESIONLENS_PORT='eighty'"),
        (["serve"], {"LESIONLENS_MODEL": "resnet"}, "no model named resnet"),
        (["models"], {"LESIONLENS_PROT": "80"}, "LESIONLENS_PROT is no setting"),
    ],
)
def test_what_a_person_can_put_right_is_one_line(
    arguments: list[str],
    variables: dict[str, str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    result = run(*arguments)
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def _swap_hash(folder: Path) -> None:
    with (folder / "preprocess.onnx").open("ab") as file:
        file.write(b"\0")


def _remove(folder: Path) -> None:
    (folder / "model.onnx").unlink()


def _put(graph: onnx.ModelProto) -> Callable[[Path], None]:
    def put(folder: Path) -> None:
        loaded = manifest.load(folder)
        (folder / "model.onnx").write_bytes(graph.SerializeToString())
        manifest.save(loaded, folder)

    return put


def _from_the_future(folder: Path) -> None:
    path = folder / "model.json"
    path.write_text(path.read_text().replace('"schema_version": 1', '"schema_version": 2'))


def _with_an_unknown_operator(domain: str) -> onnx.ModelProto:
    graph = classifier_graph(SEVEN, 64)
    graph.graph.node.append(helper.make_node("Magic", ["image"], ["spell"], domain=domain))
    return graph


def _that_cannot_run() -> onnx.ModelProto:
    """It loads, but asks for the hundredth picture of one."""
    model = classifier_graph(SEVEN, 64)
    (last,) = (node for node in model.graph.node if "novelty" in node.output)
    last.output[:] = ["found"]
    model.graph.initializer.append(numpy_helper.from_array(np.array([99]), "hundredth"))
    model.graph.node.append(helper.make_node("Gather", ["found", "hundredth"], ["more"], axis=0))
    model.graph.node.append(helper.make_node("Add", ["found", "more"], ["novelty"]))
    return model


def _with_weights_elsewhere() -> onnx.ModelProto:
    graph = classifier_graph(SEVEN, 64)
    (tensor,) = (t for t in graph.graph.initializer if t.name == "head")
    set_external_data(tensor, location="../../secret", length=4)
    tensor.ClearField("raw_data")
    return graph


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_swap_hash, "preprocess.onnx: its SHA-256 is"),
        (_remove, "model.onnx: listed in model.json, but missing"),
        (_put(classifier_graph(SEVEN, 32)), "model.onnx: image is"),
        (_put(classifier_graph(TWO, 64)), "but mobilenet's manifest asks for"),
        (_put(_with_an_unknown_operator("elsewhere")), "model.onnx: has operators of 'elsewhere'"),
        (_put(_with_an_unknown_operator("")), "model.onnx: onnxruntime cannot load it"),
        (_put(_with_weights_elsewhere()), "model.onnx: keeps weights in another file"),
        (_put(_that_cannot_run()), "model.onnx: onnxruntime cannot run it"),
        (_from_the_future, "schema version 2, but this program reads 1"),
    ],
)
def test_a_bad_model_is_refused_at_start_in_one_line(
    spoil: Callable[[Path], None], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_artifact(tmp_path / "mobilenet")
    spoil(tmp_path / "mobilenet")
    monkeypatch.setenv("LESIONLENS_ARTIFACTS", str(tmp_path))
    result = run("serve")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("hidden", ["model.onnx", "preprocess.onnx"])
def test_a_file_that_the_servers_user_may_not_read_is_named(
    hidden: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_artifact(tmp_path / "mobilenet")
    monkeypatch.setenv("LESIONLENS_ARTIFACTS", str(tmp_path))
    really = Path.open

    def opened(path: Path, *args: Any, **options: Any) -> Any:
        # The tests' own user may be root, who may read everything.
        if path.name == hidden:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return really(path, *args, **options)

    monkeypatch.setattr(Path, "open", opened)
    result = run("serve")
    assert result.exit_code == 1
    assert f"{hidden}: cannot be read (Permission denied)" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_command_whose_packages_are_missing_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lacking = EntryPoint("evaluate", "a_package_that_is_not_there:command", cli.PLUGINS)
    monkeypatch.setattr(cli, "_plugins", lambda: {"evaluate": lacking})
    assert "evaluate" in run("--help").stdout
    result = run("evaluate", "--model", "cnn", "--anything")
    assert result.exit_code == 1
    assert "pip install -c constraints.txt -e '.[train]'" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_command_of_another_package_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    borrowed = EntryPoint("list", "serving.cli:models", cli.PLUGINS)
    monkeypatch.setattr(cli, "_plugins", lambda: {"list": borrowed})
    assert "mobilenet" in run("list").stdout


def python(code: str, stdout: int | IO[str] = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    """Runs `code` in a fresh interpreter, which buffers what it writes as it does by default."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    return subprocess.run(
        [sys.executable, "-c", code],
        text=True,
        timeout=60,
        stdout=stdout,
        stderr=subprocess.PIPE,
        env=environment,
    )


def test_a_full_disk_is_one_line(pictures: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    code = f"from serving.cli import main; main(['predict', '--json', {str(pictures / 'a.jpg')!r}])"
    with open("/dev/full", "w") as full:
        result = python(code, full)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert "The answers cannot be written" in result.stderr


def test_only_what_is_written_is_said_not_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    result = run("predict", "a.jpg")
    assert result.exit_code == 1
    assert result.stderr == "Error: [Errno 2] No such file or directory.\n"


def test_a_closed_standard_output_is_one_line() -> None:
    code = "import sys; sys.stdout = None; from serving.cli import main; main(['models'])"
    result = python(code)
    assert result.returncode == 1
    assert result.stderr.startswith("Error: The standard output is closed")
