"""From labelled files to a report, through serving's own code, as the command line does it."""

import csv
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result
from omegaconf import OmegaConf
from PIL import Image

from serving import manifest as contract
from serving.classifier import Classifier
from serving.manifest import ArtifactError, Manifest
from serving.pictures import Limits, prepare
from serving.prediction import predict
from tests.artifact_factory import SEVEN, TWO, make_artifacts
from tests.drawings import HARMLESS_REDNESS, SUSPICIOUS_REDNESS, draw_flat, draw_lesion, encode
from tests.training.drawn_sets import CONF
from training.cameras import CameraSettings
from training.data.sets import Pictures, PictureSet
from training.data.splits import Split, digest, split
from training.evaluate import command, evaluate_artifact
from training.groups import GroupSettings
from training.heatmaps import HeatmapSettings
from training.labels import DataError, LabelledPicture
from training.metrics import Evaluation
from training.refusals import RefusalSettings
from training.report import ReportSettings
from training.sizes import PictureSize

DIAGNOSES = [c.id for c in SEVEN]
SETTINGS = ReportSettings(
    resamples=100,
    groups=GroupSettings(age_bands=[50], least_of_class=2),
    heatmaps=HeatmapSettings(centre=0.25, hottest=0.2, blur=0.1),
    refusals=RefusalSettings(drawings=1, photographs=None),
    cameras=CameraSettings(
        scales=[2], saved_at=90, qualities=[50], turns=[90], lights=[0.8], blurs=[0.01]
    ),
)
MALIGNANT = {c.id for c in SEVEN if c.malignant}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four pictures of each diagnosis, the malignant ones red."""
    folder = tmp_path_factory.mktemp("images")
    for number, name in enumerate(LABELS):
        redness = SUSPICIOUS_REDNESS if LABELS[name] in MALIGNANT else HARMLESS_REDNESS
        picture = draw_lesion(number, 120, 90, redness)
        (folder / f"{name}.jpg").write_bytes(encode(picture, quality=95))
    return folder


LABELS = {f"{id}_{number}": id for id in DIAGNOSES for number in range(4)}


@pytest.fixture(autouse=True)
def artifacts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = make_artifacts(tmp_path / "artifacts")
    monkeypatch.setenv("LESIONLENS_ARTIFACTS", str(root))
    return root


def metadata(labels: Mapping[str, str]) -> str:
    rows = [
        f"HAM_{name[:-1]}{int(name[-1]) // 2},{name},{dx},histo,{40 + 10 * (number % 3)},"
        f"{'female' if number % 2 else 'male'},back"
        for number, (name, dx) in enumerate(labels.items())
    ]
    return "\n".join(["lesion_id,image_id,dx,dx_type,age,sex,localization", *rows])


def one_hot(labels: Mapping[str, str]) -> str:
    rows = [
        ",".join([name, *("1.0" if id == dx else "0.0" for id in DIAGNOSES)])
        for name, dx in labels.items()
    ]
    return "\n".join(["image," + ",".join(DIAGNOSES).upper(), *rows])


def plain(labels: Mapping[str, str]) -> str:
    return "\n".join(["image,label", *(f"{name},{dx}" for name, dx in labels.items())])


def run(images: Path, table: str, out: Path, *options: str, model: str = "mobilenet") -> Result:
    labels = out.parent / "labels.csv"
    labels.write_text(table, encoding="utf-8")
    given = ["--model", model, "--images", str(images), "--labels", str(labels), "--out", str(out)]
    return CliRunner().invoke(command, [*given, "--resamples", "100", *options])


def read_metrics(folder: Path) -> Evaluation:
    return msgspec.json.decode((folder / "metrics.json").read_bytes(), type=Evaluation)


@pytest.mark.parametrize(("form", "lesions"), [(metadata, 14), (one_hot, 28), (plain, 28)])
def test_any_table_of_labels_gives_the_report(images, tmp_path, form, lesions) -> None:
    out = tmp_path / "report"
    result = run(images, form(LABELS), out)
    assert result.exit_code == 0, result.output
    evaluation = read_metrics(out)
    assert (evaluation.pictures, evaluation.lesions) == (28, lesions)
    assert evaluation.picture_size == PictureSize(width=120, height=90, share=1.0)
    # The factory's model tells red from brown lesions without fail.
    assert evaluation.malignant is not None
    assert evaluation.malignant.auc is not None
    assert evaluation.malignant.auc.value == 1
    assert (evaluation.malignant.missed, evaluation.malignant.alarmed) == (0, 0)
    groups = {"groups.png"} if form is metadata else set()
    assert {p.name for p in out.iterdir()} == groups | {
        "README.md",
        "confidence.png",
        "confusion.png",
        "heatmaps.png",
        "metrics.json",
        "novelty.png",
        "operating_point.png",
        "reliability.png",
        "roc.png",
        "sets.png",
    }
    assert "missed 0 of 12 malignant" in (out / "README.md").read_text(encoding="utf-8")


def test_groups_are_those_that_the_table_knows(images, tmp_path) -> None:
    assert run(images, metadata(LABELS), tmp_path / "report").exit_code == 0
    groups = read_metrics(tmp_path / "report").groups
    assert groups is not None
    # All are of the back and by histology: there is nobody to compare with.
    assert [(each.attribute, each.group, each.pictures) for each in groups.groups] == [
        ("sex", "female", 14),
        ("sex", "male", 14),
        ("age", "30 to 44", 10),
        ("age", "45 to 59", 9),
        ("age", "60 to 74", 9),
    ]


def test_outlines_tell_how_much_of_the_heatmaps_is_inside(images, tmp_path) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    for name in list(LABELS)[:20]:
        (masks / f"{name}.png").write_bytes(encode(Image.new("1", (240, 180), 1), "PNG"))
    out = tmp_path / "report"
    assert run(images, plain(LABELS), out, "--masks", str(masks)).exit_code == 0
    heatmaps = read_metrics(out).heatmaps
    assert heatmaps is not None
    assert heatmaps.inside is not None
    assert (heatmaps.inside.heatmap.value, heatmaps.inside.heatmap.n) == (1, 20)
    assert heatmaps.drop.heatmap.n == 28
    assert "--masks DIR" in (out / "README.md").read_text(encoding="utf-8")


def test_without_outlines_the_card_says_what_is_left_out(images, tmp_path) -> None:
    out = tmp_path / "report"
    assert run(images, plain(LABELS), out).exit_code == 0
    heatmaps = read_metrics(out).heatmaps
    assert heatmaps is not None
    assert heatmaps.inside is None
    said = (out / "README.md").read_text(encoding="utf-8")
    assert "Outlines of the lesions were not at hand" in said


def test_what_is_measured_is_what_the_server_would_answer(images, artifacts, tmp_path) -> None:
    table = tmp_path / "predictions.csv"
    result = run(images, plain(LABELS), tmp_path / "report", "--predictions", str(table))
    assert result.exit_code == 0, result.output
    model = Classifier(artifacts / "mobilenet")
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == list(LABELS)
    for row in rows[::5]:
        data = (images / f"{row['image']}.jpg").read_bytes()
        prepared = prepare(data, model.manifest.preprocessing)
        (answer,) = predict(model, [row["image"]], [prepared])
        assert (row["label"], row["prediction"]) == (LABELS[row["image"]], answer.prediction)
        assert row["verdict"] == answer.verdict
        assert row["prediction_set"].split(";") == answer.prediction_set
        for id, probability in answer.probabilities.items():
            assert float(row[id]) == pytest.approx(probability, abs=1e-6)


def test_pictures_are_told_by_name_only_where_asked_for(images, tmp_path) -> None:
    out = tmp_path / "report"
    assert run(images, plain(LABELS), out).exit_code == 0
    for file in ("metrics.json", "README.md"):
        said = (out / file).read_text(encoding="utf-8")
        assert "mel_0" not in said
        assert str(tmp_path) not in said


def test_a_model_of_two_classes_takes_diagnoses(images, tmp_path) -> None:
    out = tmp_path / "report"
    result = run(images, one_hot(LABELS), out, model="cnn")
    assert result.exit_code == 0, result.output
    evaluation = read_metrics(out)
    assert [(c.id, c.pictures) for c in evaluation.classes] == [("benign", 16), ("malignant", 12)]
    assert evaluation.malignant is not None
    missed = [(each.id, each.pictures, each.missed) for each in evaluation.malignant.diagnoses]
    assert missed == [("akiec", 4, 0), ("bcc", 4, 0), ("mel", 4, 0)]
    assert evaluation.balanced_accuracy is not None
    assert evaluation.balanced_accuracy.value == 1


def test_a_set_with_three_of_the_classes_is_measured_on_those(images, tmp_path) -> None:
    out = tmp_path / "report"
    three = {name: dx for name, dx in LABELS.items() if dx in {"mel", "nv", "bkl"}}
    result = run(images, plain(three), out)
    assert result.exit_code == 0, result.output
    assert read_metrics(out).pictures == 12
    assert "No picture here is akiec, bcc, df or vasc" in (out / "README.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("column", "unit"), [("lesion_id", "lesion"), ("patient_id", "patient"), ("group", "group")]
)
def test_the_report_counts_what_the_tables_column_names(images, tmp_path, column, unit) -> None:
    rows = [f"{name},{dx},{name[:-2]}" for name, dx in LABELS.items()]
    out = tmp_path / "report"
    result = run(images, "\n".join([f"image,label,{column}", *rows]), out)
    assert result.exit_code == 0, result.output
    evaluation = read_metrics(out)
    assert (evaluation.pictures, evaluation.lesions, evaluation.unit) == (28, 7, unit)
    text = (out / "README.md").read_text(encoding="utf-8")
    assert f"28 pictures of 7 {unit}s" in text
    # What others read stays as it is, and a set of lesions says no more than it did.
    written = msgspec.json.decode((out / "metrics.json").read_bytes())
    assert {"lesions", "per_lesion"} <= written.keys()
    assert written.get("unit", "lesion") == unit
    assert ("unit" in written) == (unit != "lesion")


def test_rows_that_do_not_fit_are_an_error_that_names_them(images, tmp_path) -> None:
    labels = {**LABELS, "absent": "mel", "nv_0": "wart"}
    result = run(images, plain(labels), tmp_path / "report")
    assert result.exit_code == 1
    assert "absent" in result.output
    assert "nv_0 (wart)" in result.output
    assert not (tmp_path / "report").exists()


def test_partial_leaves_them_out_and_says_how_many(images, tmp_path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for path in images.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "bad.jpg").write_bytes(b"no picture")
    labels = {**LABELS, "absent": "mel", "bad": "nv"}
    refused = run(folder, plain({**LABELS, "bad": "nv"}), tmp_path / "report")
    assert refused.exit_code == 1
    assert "bad.jpg" in refused.output
    result = run(folder, plain(labels), tmp_path / "report", "--partial")
    assert result.exit_code == 0, result.output
    evaluation = read_metrics(tmp_path / "report")
    assert (evaluation.pictures, evaluation.left_out) == (28, 2)
    assert "Left out: 2 rows" in (tmp_path / "report" / "README.md").read_text(encoding="utf-8")


def test_pictures_unlike_a_lesion_are_counted_as_refused(tmp_path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(3):
        (folder / f"l{number}.png").write_bytes(encode(draw_lesion(number, 120, 90), "PNG"))
    (folder / "flat.png").write_bytes(encode(draw_flat(120, 90), "PNG"))
    table = plain({"l0": "nv", "l1": "nv", "l2": "mel", "flat": "nv"})
    assert run(folder, table, tmp_path / "report").exit_code == 0
    refused = read_metrics(tmp_path / "report").refused
    assert refused is not None
    assert refused.value == 0.25


def test_a_file_that_serving_would_find_too_large_is_measured(images, tmp_path) -> None:
    folder = tmp_path / "images"
    shutil.copytree(images, folder)
    with (folder / "mel_0.jpg").open("ab") as file:
        file.truncate(Limits().max_bytes + 1)
    result = run(folder, plain(LABELS), tmp_path / "report")
    assert result.exit_code == 0, result.output


def test_what_cannot_be_written_is_said_before_anything_is_measured(tmp_path) -> None:
    folder, file = tmp_path / "images", tmp_path / "file"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(b"no picture")
    file.touch()
    table, out = "image,label\na,nv\n", tmp_path / "report"
    for option, place in (("--out", file / "deep" / "report"), ("--predictions", file / "p.csv")):
        result = run(folder, table, out, option, str(place))
        assert f"{place}: cannot be read or written (Not a directory)." in result.output
        assert result.exit_code == 1
    refused = run(folder, table, out)
    assert "a.jpg" in refused.output
    assert not out.exists()


def test_a_report_needs_no_room_beside_its_folder(images, tmp_path, monkeypatch) -> None:
    here = tmp_path / "report"
    here.mkdir()
    monkeypatch.chdir(here)
    # The folder that it stands for can be written into, the one around it not even by root.
    linked = Path("/proc/self/cwd")
    if not linked.exists():
        pytest.skip("needs /proc")
    labels = tmp_path / "labels.csv"
    labels.write_text(plain(LABELS))
    given = ["--model", "cnn", "--images", str(images), "--labels", str(labels)]
    result = CliRunner().invoke(command, [*given, "--out", str(linked), "--resamples", "100"])
    assert result.exit_code == 0, result.output
    assert {"README.md", "metrics.json"} <= {path.name for path in here.iterdir()}
    assert not list(here.glob(".*"))


def test_an_unknown_model_is_told_which_there_are(images, tmp_path) -> None:
    result = run(images, plain(LABELS), tmp_path / "report", model="resnet")
    assert result.exit_code == 1
    assert "There are: cnn, mobilenet" in result.output


class TestTestSplit:
    """`make evaluate`: the artifact over the test part of what it was trained on."""

    @pytest.fixture
    def pictures(self, images: Path) -> Pictures:
        """Everything drawn is the test part; the others hold a picture each."""
        drawn = [
            LabelledPicture(images / f"{name}.jpg", name, label, name[:-1], "drawn")
            for name, label in LABELS.items()
        ]
        parts: Split = {
            "train": drawn[:1],
            "validation": drawn[1:2],
            "calibration": drawn[2:3],
            "test": drawn[3:],
        }
        described = PictureSet(name="Drawn", root="data", licence="none", source="drawn")
        return Pictures(parts, [], SEVEN, [described])

    def trained_on(self, folder: Path, pictures: Pictures) -> Manifest:
        manifest = contract.load(folder)
        training = msgspec.structs.replace(manifest.training, split_digest=digest(pictures.parts))
        return contract.save(msgspec.structs.replace(manifest, training=training), folder)

    @pytest.mark.parametrize("name", ["mobilenet", "cnn"])
    def test_the_report_and_its_headline_become_part_of_the_artifact(
        self, artifacts: Path, pictures: Pictures, name: str
    ) -> None:
        folder = artifacts / name
        before = self.trained_on(folder, pictures)
        evaluation = evaluate_artifact(folder, pictures, SETTINGS)
        after = contract.load(folder)  # which checks every hash
        assert evaluation.pictures == 25
        assert evaluation.split_digest == before.training.split_digest
        assert {"report/README.md", "report/metrics.json", "report/roc.png"} <= set(after.files)
        measured = {metric.name: metric for metric in after.metrics}
        assert measured["malignant_auc"].value == 1
        assert measured["malignant_sensitivity"].n == 9
        assert measured["heatmap_drop_over_centre"].n == 25
        assert after.files["model.onnx"] == before.files["model.onnx"]
        assert read_metrics(folder / "report") == evaluation

    def test_what_is_to_be_said_of_a_test_part_is_said_of_no_other(
        self, artifacts: Path, pictures: Pictures
    ) -> None:
        folder = artifacts / "cnn"
        split_digest = self.trained_on(folder, pictures).training.split_digest
        for known, said in ((split_digest, True), ("1" * 64, False)):
            remarked = msgspec.structs.replace(SETTINGS, remarks={known: "Seen before."})
            evaluate_artifact(folder, pictures, remarked)
            card = (folder / "report" / "README.md").read_text(encoding="utf-8")
            assert ("Seen before." in card) == said

    def test_a_second_report_replaces_the_first(self, artifacts: Path, pictures: Pictures) -> None:
        folder = artifacts / "cnn"
        self.trained_on(folder, pictures)
        evaluate_artifact(folder, pictures, SETTINGS)
        first = contract.load(folder)
        evaluate_artifact(folder, pictures, SETTINGS)
        assert contract.load(folder) == first

    @pytest.mark.parametrize("name", ["mobilenet", "cnn"])
    def test_other_clinics_stand_beside_the_test_split(
        self, artifacts: Path, images: Path, pictures: Pictures, name: str, tmp_path: Path
    ) -> None:
        folder, elsewhere = artifacts / name, tmp_path / "elsewhere"
        manifest = self.trained_on(folder, pictures)
        config = {**manifest.training.config, "holds": ["Kin"]}
        training = msgspec.structs.replace(manifest.training, config=config)
        contract.save(msgspec.structs.replace(manifest, training=training), folder)
        elsewhere.mkdir()
        for id in ("mel", "nv"):
            for number in range(4):
                data = (images / f"{id}_{number}.jpg").read_bytes()
                (elsewhere / f"{id}{number}.jpg").write_bytes(data)
        rows = "".join(f"{id}{number},{id}\n" for id in ("mel", "nv") for number in range(4))
        (elsewhere / "labels.csv").write_text("image,label\n" + rows)
        described = {
            "name": "elsewhere",
            "root": str(elsewhere),
            "labels": "labels.csv",
            "licence": "none",
            "source": "drawn",
            "remark": "Drawn elsewhere.",
            "akin": ["Drawings", "Kin"],
        }
        evaluation = evaluate_artifact(folder, pictures, SETTINGS, {"one": described})
        (travel,) = evaluation.travel
        assert (travel.pictures, travel.diagnoses) == (8, ["mel", "nv"])
        melanoma = next(each for each in travel.figures if each.measure == "melanoma_auc")
        assert melanoma.away.value == 1
        assert melanoma.at_home is not None
        assert melanoma.at_home.n == 8
        said = (folder / "report" / "README.md").read_text(encoding="utf-8")
        assert "## On pictures of other clinics" in said
        assert "Drawn elsewhere." in said
        assert "The model learned from Drawings and Kin" in said

    def test_another_split_is_refused(self, artifacts: Path, pictures: Pictures) -> None:
        with pytest.raises(ArtifactError, match="was trained on the split"):
            evaluate_artifact(artifacts / "mobilenet", pictures, SETTINGS)
        assert not (artifacts / "mobilenet" / "report").exists()

    def test_another_data_sets_classes_are_refused(
        self, artifacts: Path, pictures: Pictures
    ) -> None:
        folder = artifacts / "mobilenet"
        self.trained_on(folder, pictures)
        other = msgspec.structs.replace(pictures, classes=TWO)
        with pytest.raises(DataError, match="benign, malignant"):
            evaluate_artifact(folder, other, SETTINGS)


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("heatmaps.hottest", 1.5, "heatmaps.hottest"),
        ("groups.age_bands", [], "groups.age_bands"),
        ("resamples", "many", "resamples"),
        ("cameras.may_lose", {"enlarged x2": -1}, "cameras.may_lose"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(setting: str, value: object, said: str) -> None:
    config = OmegaConf.load(CONF / "evaluate.yaml")
    assert ReportSettings.read(config).resamples == 2000
    OmegaConf.update(config, setting, value)
    with pytest.raises(DataError, match=said):
        ReportSettings.read(config)


def test_the_line_of_make_evaluate_finds_data_split_and_artifact_by_itself(
    images: Path, artifacts: Path, tmp_path: Path
) -> None:
    root = tmp_path / "ham10000"
    root.mkdir()
    rows = [f"HAM_{name},{name},{dx}" for name, dx in LABELS.items()]
    (root / "HAM10000_metadata.csv").write_text("\n".join(["lesion_id,image_id,dx", *rows]))
    (root / "images").symlink_to(images)
    folder = shutil.copytree(artifacts / "cnn", artifacts / "mine")
    manifest = msgspec.structs.replace(contract.load(folder), name="mine")
    described = PictureSet(
        name="HAM10000",
        root=str(root),
        licence="none",
        source="drawn",
        labels="HAM10000_metadata.csv",
        images=["images"],
    )
    parts = split(described.read(DIAGNOSES), seed=7)
    training = msgspec.structs.replace(manifest.training, split_digest=digest(parts), seed=7)
    contract.save(msgspec.structs.replace(manifest, training=training), folder)
    few = "refusals.drawings=1"
    more = tmp_path / "more"
    more.mkdir()
    (more / "labels.csv").write_text("image,label\nanother,nv\n")
    (more / "another.jpg").write_bytes(encode(draw_lesion(99, 120, 90)))

    def evaluated(**variables: str) -> subprocess.CompletedProcess[str]:
        overrides = ["model=cnn", "model.name=mine", "experiment=travel", "resamples=100", few]
        return subprocess.run(
            [sys.executable, "-m", "training.evaluate", *overrides],
            env={**os.environ, "HAM10000_DIR": str(root), **variables},
            capture_output=True,
            text=True,
            check=False,
        )

    both = evaluated(ISIC2017_DIR=str(more), OTHER_CLINICS_DIR=str(more))
    assert both.returncode == 1
    assert "are in HAM10000 or ISIC 2017 too (another)" in both.stderr
    result = evaluated()
    assert result.returncode == 0, result.stderr
    assert "mine on the test split of HAM10000: 7 pictures" in result.stdout
    assert "report/README.md" in contract.load(folder).files
    card = (folder / "report/README.md").read_text(encoding="utf-8")
    assert 'make evaluate MODEL=cnn ARGS="model.name=mine ..."' in card
