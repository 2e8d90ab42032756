"""Card and plots: what they say is what was measured."""

import re
from pathlib import Path

import msgspec
import pytest
from PIL import Image

from serving.manifest import Dataset, Manifest
from tests.artifact_factory import SEVEN, TWO, make_artifact
from tests.training.answered import calibrated_predictions
from training import card, plots
from training.bootstrap import Figure
from training.metrics import Evaluation, evaluate
from training.plots.canvas import Plot
from training.predictions import Predictions


@pytest.fixture(scope="module")
def predictions() -> Predictions:
    return calibrated_predictions(900, pictures_per_lesion=2)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return make_artifact(tmp_path_factory.mktemp("artifact"), temperature=1.5)


@pytest.fixture(scope="module")
def evaluation(predictions: Predictions, manifest: Manifest) -> Evaluation:
    return evaluate(predictions, manifest, "the drawn set", resamples=200)


@pytest.fixture(scope="module")
def drawn(
    predictions: Predictions,
    evaluation: Evaluation,
    manifest: Manifest,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, dict[str, Plot]]:
    folder = tmp_path_factory.mktemp("report")
    return folder, plots.draw(predictions, evaluation, manifest, folder)


@pytest.fixture(scope="module")
def text(manifest: Manifest, evaluation: Evaluation, drawn: tuple[Path, dict[str, Plot]]) -> str:
    return card.write(manifest, evaluation, drawn[1], ["make evaluate MODEL=mobilenet"])


def told(figure: Figure | None) -> str:
    assert figure is not None
    return f"{figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})"


def test_the_plots_are_small_pictures_with_something_on_them(
    drawn: tuple[Path, dict[str, Plot]],
) -> None:
    folder, by_name = drawn
    assert set(by_name) == {
        "confusion",
        "roc",
        "reliability",
        "confidence",
        "novelty",
        "operating_point",
    }
    for plot in by_name.values():
        path = folder / plot.file
        assert path.stat().st_size < 80_000
        with Image.open(path) as image:
            assert min(image.size) > 300
            assert len(image.convert("RGB").getcolors(100_000) or []) > 8


def test_a_plot_is_the_same_bytes_for_the_same_figures(
    predictions: Predictions,
    evaluation: Evaluation,
    manifest: Manifest,
    drawn: tuple[Path, dict[str, Plot]],
    tmp_path: Path,
) -> None:
    plots.draw(predictions, evaluation, manifest, tmp_path)
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (drawn[0] / path.name).read_bytes()


def test_the_card_says_what_was_measured(text: str, evaluation: Evaluation) -> None:
    malignant = evaluation.malignant
    assert malignant is not None
    assert f"balanced accuracy **{told(evaluation.balanced_accuracy)}**".lower() in text.lower()
    assert f"missed {malignant.missed} of {malignant.pictures} malignant" in text
    assert f"called {malignant.alarmed} suspicious" in text
    assert told(evaluation.calibration.error) in text
    assert told(evaluation.uncalibrated.error) in text
    for figures in evaluation.classes:
        row = next(line for line in text.splitlines() if f"`{figures.id}`" in line)
        assert f"| {figures.pictures} | {figures.lesions} |" in row
        assert told(figures.sensitivity) in row
        assert told(figures.auc) in row
    assert f"{evaluation.pictures} pictures of {evaluation.lesions} lesions" in text


def test_the_card_says_where_the_model_comes_from(text: str, manifest: Manifest) -> None:
    for said in (
        manifest.digest,
        manifest.training.split_digest,
        manifest.training.commit,
        manifest.training.datasets[0].licence,
        "never for diagnosis",
        "make evaluate MODEL=mobilenet",
    ):
        assert said in text


def test_the_card_says_what_trained_it_and_for_how_long(
    manifest: Manifest, evaluation: Evaluation
) -> None:
    config = {"hardware": "a drawn card", "seconds": 7500.0, "best_score": 0.8125}
    training = msgspec.structs.replace(
        manifest.training, config={**config, "scored_by": "val/auroc", "epochs": 30}
    )
    told_of = msgspec.structs.replace(manifest, training=training)
    text = card.write(told_of, evaluation, {}, ["again"])
    for row in (
        "Trained on | a drawn card",
        "Time of training | 2 h 5 min",
        "Best val/auroc | 0.812",
    ):
        assert row in text
    assert "epochs: 30" in text


def test_classes_with_few_pictures_are_marked(text: str, evaluation: Evaluation) -> None:
    few = [c for c in evaluation.classes if c.pictures < 30]
    many = [c for c in evaluation.classes if c.pictures >= 30]
    assert few
    assert many
    rows = [line for line in text.splitlines() if line.startswith("|")]
    for figures in few:
        assert all("†" in row for row in rows if f"`{figures.id}`" in row)
    for figures in many:
        assert not any("†" in row for row in rows if f"`{figures.id}`" in row)


def test_every_picture_of_the_card_is_there_and_described(
    text: str, drawn: tuple[Path, dict[str, Plot]]
) -> None:
    shown = re.findall(r"!\[(.+?)\]\((.+?)\)", text)
    assert sorted(file for _, file in shown) == sorted(p.name for p in drawn[0].glob("*.png"))
    assert all(alt for alt, _ in shown)


def test_the_card_tells_who_is_on_the_pictures_of_a_known_set(
    manifest: Manifest, evaluation: Evaluation
) -> None:
    ham = Dataset(name="HAM10000", licence="CC BY-NC 4.0", source="published", pictures=10015)
    training = msgspec.structs.replace(manifest.training, datasets=[ham])
    known = msgspec.structs.replace(manifest, training=training)
    assert "light-skinned" in card.write(known, evaluation, {}, ["again"])
    assert "light-skinned" not in card.write(manifest, evaluation, {}, ["again"])


@pytest.mark.parametrize("malignant", [True, False])
def test_a_model_of_two_classes_and_one_without_malignant_ones_have_a_card(
    tmp_path: Path, malignant: bool
) -> None:
    classes = TWO if malignant else [msgspec.structs.replace(c, malignant=False) for c in SEVEN]
    manifest = make_artifact(tmp_path / "model", classes=classes)
    predictions = calibrated_predictions(300, classes=classes)
    if not malignant:
        predictions = msgspec.structs.replace(
            predictions, malignant_probability=None, suspicious=None
        )
    evaluation = evaluate(predictions, manifest, "drawn", resamples=200)
    drawn = plots.draw(predictions, evaluation, manifest, tmp_path)
    text = card.write(manifest, evaluation, drawn, ["again"])
    assert ("## The verdict" in text) == malignant
    assert "None" not in text
    assert not re.search(r"\bnan\b", text)
    assert ("malignant against benign" in text) == malignant
