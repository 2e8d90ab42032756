"""Finished runs beside each other, on pictures that none of them learned from."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from serving import manifest as contract
from serving.manifest import ArtifactError
from tests.training.drawn_sets import CONF, compose, draw_ham10000
from training import comparison as held
from training.cameras import CameraSettings
from training.card.recipes import section
from training.compare import compare
from training.comparison import FILE, Comparison, write
from training.data import splits
from training.evaluate import evaluate_artifact
from training.export import export
from training.finished import CONFIG_FILE, RunError, load_network, read_config
from training.inputs import as_input
from training.refusals import RefusalSettings
from training.report import ReportSettings
from training.train import decode, read_answers, read_config_sets, train


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a data set, other clinics' pictures, and two finished runs."""
    root = tmp_path_factory.mktemp("recipes")
    data = draw_ham10000(root / "ham10000")
    other = draw_ham10000(root / "other", lesions=2)
    for picture in (other / "images").iterdir():
        picture.rename(picture.with_name(f"other_{picture.name}"))
    table = other / "HAM10000_metadata.csv"
    table.write_text(table.read_text().replace(",ISIC_", ",other_ISIC_"))
    train(compose("train", root / "short", f"data.root={data}", "model.epochs=1"))
    overrides = ["model.epochs=3", "model.mixup=0.2", "model.preprocessing.size=48"]
    train(compose("train", root / "long", f"data.root={data}", *overrides))
    return root


def listed(root: Path, *entries: str) -> list[str]:
    """The overrides that list recipes, each its name, its checkpoints' runs, and what else."""
    written = []
    for entry in entries:
        name, runs, *rest = entry.split(";")
        named = (run if "/" in run else f"{run}/last" for run in runs.split("+"))
        files = ",".join(f"{root}/{each.replace('/', '/checkpoints/')}.ckpt" for each in named)
        written.append("{" + ",".join([f"name:{name}", f"checkpoints:[{files}]", *rest]) + "}")
    return [
        f"recipes.mobilenet=[{','.join(written)}]",
        "resamples=200",
        f"travel.other_clinics.root={root / 'other'}",
        "travel.other_clinics.labels=HAM10000_metadata.csv",
    ]


@pytest.fixture(scope="module")
def comparison(root: Path) -> Comparison:
    entries = listed(
        root,
        "short;short",
        "long;long",
        "twice;short+short;against:short",
        "best;long/best;size:64",
    )
    akin = "travel.other_clinics.akin=[HAM10000]"
    return compare(compose("compare", root / "short", *entries, akin))


def test_what_a_recipe_does_otherwise_is_read_from_its_run(comparison: Comparison) -> None:
    short, long, twice, best = comparison.recipes
    assert "epochs 1" in short.changed
    assert set(long.changed) == {"preprocessing.size 64 → 48", "epochs 1 → 3", "mixup none → 0.2"}
    assert (long.against, twice.against) == ("short", "short")
    assert best.changed[-1] == "shown 64 pixels"
    assert twice.changed == ["the mean of short/last, short/last"]


def test_the_same_weights_differ_in_nothing(comparison: Comparison) -> None:
    short, long, twice, _ = comparison.recipes
    assert all(each.difference is None for each in short.figures)
    differences = [each.difference for each in twice.figures if each.difference]
    assert len(differences) == 4
    assert all((d.value, d.low, d.high) == (0, 0, 0) for d in differences)
    assert any(each.difference and each.difference.value for each in long.figures)


def test_the_figures_are_those_of_the_validation_split(root: Path, comparison: Comparison) -> None:
    trained = read_config(root / "short")
    pictures = read_config_sets(trained)
    answers = read_answers(trained, pictures)
    cached = decode(trained, pictures, answers)
    learned_from, held_out = cached.part("train"), cached.part("validation")
    network = load_network(trained, [root / "short" / "checkpoints" / "last.ckpt"], 7)
    shown, labels = held_out.__getitems__(range(len(held_out)))
    with torch.no_grad():
        probability = network(as_input(shown)).softmax(dim=1).double().numpy()
    prior = np.bincount(learned_from.labels, minlength=7) / len(learned_from)
    hit = np.argmax(probability / np.sqrt(prior), axis=1) == labels.numpy()
    figures = {each.measure: each.figure for each in comparison.recipes[0].figures}
    assert figures["accuracy"].value == pytest.approx(hit.mean())
    recalls = [hit[labels.numpy() == c].mean() for c in np.unique(labels.numpy())]
    assert figures["balanced_accuracy"].value == pytest.approx(np.mean(recalls))
    assert comparison.pictures == figures["accuracy"].n == len(held_out)
    assert comparison.away == figures["melanoma_auc_away"].n == 21


def test_the_card_has_a_row_for_each_recipe(root: Path, comparison: Comparison) -> None:
    artifacts = f"artifacts={root / 'artifacts'}"
    quick = ["quantise.enabled=false", "parity.pictures=10", f"run={root / 'short'}", artifacts]
    export(compose("export", root / "short", f"data.root={root / 'ham10000'}", *quick))
    folder = root / "artifacts" / "mobilenet"
    write(comparison, folder)
    assert str(FILE) in contract.load(folder).files
    found = held.read(folder, comparison.split_digest)
    assert found == comparison
    assert held.read(folder, "another") is None
    rows = [line for line in section(found).splitlines() if line.startswith("| ")]
    assert [row.split(" | ")[0] for row in rows[2:]] == ["| short", "| long", "| twice", "| best ‡"]
    assert "mixup none → 0.2" in rows[3]
    assert section(None) == ""
    assert "with the norms of “best” renewed, before" in section(found)
    assert f"({found.pictures} pictures of {found.lesions} lesions) and 21 pictures" in section(
        found
    )
    unknown = msgspec.structs.replace(found, lesions=found.pictures)
    assert f"({found.pictures} pictures, each counted as another lesion)" in section(unknown)
    of_patients = msgspec.structs.replace(found, unit="patient")
    assert f"({found.pictures} pictures of {found.lesions} patients)" in section(of_patients)
    kept = [msgspec.structs.replace(each, renewed=False) for each in found.recipes]
    assert "renewed" not in section(msgspec.structs.replace(found, recipes=kept))

    assert "‡ One of its checkpoints" in section(found)
    assert "**“short”, “long”, “twice” and “best” learned from HAM10000, whose" in section(found)
    # The page of a model shows the card, too, and no HTML in it.
    assert "<" not in section(found)
    settings = ReportSettings.read(OmegaConf.load(CONF / "evaluate.yaml"))
    settings = msgspec.structs.replace(
        settings,
        resamples=100,
        refusals=RefusalSettings(drawings=1, photographs=None),
        cameras=CameraSettings(
            scales=[], saved_at=92, qualities=[50], turns=[], lights=[], blurs=[]
        ),
    )
    pictures = read_config_sets(read_config(root / "short"))
    evaluate_artifact(folder, pictures, settings)
    assert section(found) in (folder / "report" / "README.md").read_text(encoding="utf-8")
    (folder / FILE).write_text("{}")
    with pytest.raises(ArtifactError, match="Make it again with `make compare`"):
        held.read(folder, comparison.split_digest)


def test_what_a_set_holds_is_learned_from_too(root: Path) -> None:
    holding = ["model.epochs=1", "+data.holds=[Kin]"]
    train(compose("train", root / "holding", f"data.root={root / 'ham10000'}", *holding))
    entries = listed(root, "short;short", "holding;holding")
    akin = "travel.other_clinics.akin=[Kin]"
    found = compare(compose("compare", root / "short", *entries, akin))
    assert [each.akin for each in found.recipes] == [[], ["Kin"]]


def test_runs_over_other_pictures_or_classes_are_refused(root: Path) -> None:
    data = f"data.root={root / 'ham10000'}"
    train(compose("train", root / "seed", data, "model.epochs=1", "seed=1"))
    train(compose("train", root / "few", data, "model.epochs=1", "data.limit=5"))
    train(compose("train", root / "cnn", data, "model.epochs=1", "model=cnn"))
    for other, message in (
        ("seed", "learned from another split"),
        ("few", "was validated on .* pictures of the split, and"),
        ("cnn", "tells benign, malignant apart, and"),
    ):
        entries = listed(root, "short;short", f"other;{other}")
        with pytest.raises(RunError, match=message):
            compare(compose("compare", root / "short", *entries))


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ((), "lists no recipe for mobilenet"),
        (("short;short", "short;long"), "two recipes are named short"),
        (("short;short;against:long",), "compared with long, which is no recipe before it"),
        (("short;none",), "no run has finished there"),
        (("short;short;with:luck",), "unknown field `with`"),
        (("both;short+long",), "take pictures of different sizes"),
    ],
)
def test_recipes_that_cannot_be_compared_are_named(
    root: Path, entries: tuple[str, ...], message: str
) -> None:
    with pytest.raises(RunError, match=message):
        compare(compose("compare", root / "short", *listed(root, *entries)))


def test_a_comparison_goes_on_from_an_earlier_one(root: Path, comparison: Comparison) -> None:
    quick = ["quantise.enabled=false", "parity.pictures=10", f"run={root / 'short'}"]
    data, artifacts = f"data.root={root / 'ham10000'}", f"artifacts={root / 'before'}"
    export(compose("export", root / "short", data, *quick, artifacts))
    before = f"before={root / 'before' / 'mobilenet'}"
    entries = listed(root, "long;long", "longer;long/best")
    with pytest.raises(RunError, match="is not there, or of another split"):
        compare(compose("compare", root / "short", *entries, before))
    write(comparison, root / "before" / "mobilenet")
    found = compare(compose("compare", root / "short", *entries, before))
    assert found.recipes[:-1] == comparison.recipes
    assert (found.recipes[-1].name, found.recipes[-1].against) == ("longer", "long")
    entries_of_another = listed(root, "long;short")
    with pytest.raises(RunError, match="has other figures of long than long has here"):
        compare(compose("compare", root / "short", *entries_of_another, before))
    with pytest.raises(RunError, match=r"a tilt of 0\.5; here there are .* and 0\.4"):
        compare(compose("compare", root / "short", *entries, before, "tilt=0.4"))


def test_runs_split_by_patient_are_exported_and_compared_as_such(
    root: Path, comparison: Comparison, tmp_path: Path
) -> None:
    data = root / "ham10000"
    with (data / "HAM10000_metadata.csv").open(encoding="utf-8") as file:
        rows = [f"{row['image_id']},{row['dx']},{row['lesion_id']}" for row in csv.DictReader(file)]
    (data / "patients.csv").write_text("\n".join(["image,label,patient_id", *rows]))
    shutil.copytree(root / "short", root / "patients")
    config = OmegaConf.load(root / "patients" / CONFIG_FILE)
    config.data.labels = "patients.csv"
    OmegaConf.save(config, root / "patients" / CONFIG_FILE)
    quick = ["quantise.enabled=false", "parity.pictures=10", f"run={root / 'patients'}"]
    export(compose("export", root / "patients", *quick, f"artifacts={tmp_path}"))
    before = tmp_path / "mobilenet"
    assert splits.goes_by(contract.load(before).training.config) == "patient"
    # What was compared before the unit was told is gone on from.
    write(comparison, before)
    entries = listed(root, "patients;patients")
    found = compare(compose("compare", root / "patients", *entries, f"before={before}"))
    assert (found.unit, comparison.unit) == ("patient", "lesion")
    assert (found.split_digest, found.lesions) == (comparison.split_digest, comparison.lesions)
    assert found.recipes[:-1] == comparison.recipes
