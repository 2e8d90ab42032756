"""An artifact's report, over the test split or over any other labelled pictures.

`python -m training.evaluate model=mobilenet` writes `artifacts/mobilenet/report`;
`lesionlens evaluate --model mobilenet --images DIR --labels FILE --out DIR` any other.
"""

from __future__ import annotations

import csv
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import hydra
import msgspec
from omegaconf import DictConfig, OmegaConf

from serving import manifest as contract
from serving.classifier import Classifier
from serving.manifest import ArtifactError, ClassInfo
from serving.prediction import Prediction
from serving.settings import Settings, SettingsError
from training import card, plots
from training.data.sets import Pictures, read_sets
from training.data.splits import digest
from training.labels import BINARY, DataError, LabelledPicture, read_labels
from training.metrics import Evaluation, headline
from training.metrics import evaluate as measure
from training.predictions import collect, predict_files

METRICS_FILE = "metrics.json"
CARD_FILE = "README.md"
REPORT = "report"
"""The report's folder within an artifact."""

_RESAMPLES = 2000
_NAMED_AT_MOST = 10
_COLUMNS = (
    *("image", "group", "label"),
    *("prediction", "malignant_probability", "verdict"),
    *("prediction_set", "novelty", "refused"),
)
"""Of the table of predictions, before one for each class's probability."""


def evaluate(
    model: Classifier,
    pictures: Sequence[LabelledPicture],
    dataset: str,
    out: Path,
    command: Sequence[str],
    *,
    split_digest: str | None = None,
    skipped: list[str] | None = None,
    resamples: int = _RESAMPLES,
    predictions_file: Path | None = None,
) -> Evaluation:
    """Measures `model` over `pictures` and writes card, figures and plots into the folder `out`.

    Args:
        model: The artifact.
        pictures: Labelled with the model's class ids.
        dataset: What the pictures are called in the report.
        out: Made where needed; of what is in it only the report's own files are replaced.
        command: The lines that make this report again.
        split_digest: Of the split that the pictures are the test part of.
        skipped: What was left out already; pictures that cannot be decoded join it, where it is
            given.
        resamples: How often lesions are drawn for the intervals.
        predictions_file: Where each picture's prediction goes as a row of CSV; None for nowhere.

    Raises:
        DataError: naming every picture that cannot be read, or where none is left.
    """
    read, predictions = predict_files(model, pictures, skipped=skipped)
    collected = collect(model.manifest.classes, read, predictions)
    evaluation = measure(
        collected,
        model.manifest,
        dataset,
        split_digest=split_digest,
        left_out=len(skipped or ()),
        resamples=resamples,
    )
    out.mkdir(parents=True, exist_ok=True)
    # Written beside and then moved in, so that a report is never half old and half new.
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as name:
        folder = Path(name)
        drawn = plots.draw(collected, evaluation, model.manifest, folder)
        text = card.write(model.manifest, evaluation, drawn, command)
        (folder / CARD_FILE).write_text(text, encoding="utf-8")
        encoded = msgspec.json.format(msgspec.json.encode(evaluation), indent=2)
        (folder / METRICS_FILE).write_bytes(encoded + b"\n")
        for path in folder.iterdir():
            shutil.move(path, out / path.name)
    if predictions_file is not None:
        _write_predictions(predictions_file, read, predictions)
    return evaluation


def evaluate_artifact(
    folder: Path, pictures: Pictures, *, resamples: int = _RESAMPLES
) -> Evaluation:
    """Measures the artifact in `folder` over the test part of `pictures` and puts the report there.

    The headline figures go into the manifest, whose hashes then cover the report.

    Raises:
        ArtifactError: where the artifact cannot be served, or was trained on another split.
        DataError: where pictures cannot be read.
    """
    model = Classifier(folder)
    manifest = model.manifest
    found = digest(pictures.parts)
    if found != manifest.training.split_digest:
        raise ArtifactError(
            f"{folder}: was trained on the split {manifest.training.split_digest[:12]}…, but these "
            f"pictures and this seed give {found[:12]}…: their test part may hold pictures that it "
            f"learned from. Name the data set that it was trained on (this is "
            f"{pictures.sets[0].name} in {pictures.sets[0].root}) and its seed "
            f"({manifest.training.seed})."
        )
    evaluation = evaluate(
        model,
        _as_answered(pictures.parts["test"], pictures.classes, manifest.class_ids),
        f"the test split of {pictures.sets[0].name}",
        folder / REPORT,
        [f"make evaluate MODEL={manifest.name}"],
        split_digest=found,
        resamples=resamples,
    )
    contract.save(msgspec.structs.replace(manifest, metrics=headline(evaluation)), folder)
    return evaluation


def _as_answered(
    pictures: Sequence[LabelledPicture], classes: Sequence[ClassInfo], ids: Sequence[str]
) -> list[LabelledPicture]:
    """The pictures labelled with the model's `ids`: the data set's `classes`, or the two kinds."""
    if {c.id for c in classes} <= set(ids):
        return list(pictures)
    if set(ids) != set(BINARY):
        raise DataError(
            f"The data set's classes are {', '.join(c.id for c in classes)}, the model's "
            f"{', '.join(ids)}. Name the data set that the model was trained on."
        )
    kind = {c.id: "malignant" if c.malignant else "benign" for c in classes}
    return [msgspec.structs.replace(picture, label=kind[picture.label]) for picture in pictures]


def _write_predictions(
    path: Path, pictures: Sequence[LabelledPicture], predictions: Sequence[Prediction]
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    ids = list(predictions[0].probabilities)
    header = [*_COLUMNS, *ids]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        for picture, each in zip(pictures, predictions, strict=True):
            told = (picture.image_id, picture.group, picture.label)
            answer = (each.prediction, each.malignant_probability, each.verdict)
            rest = (" ".join(each.prediction_set), each.novelty, each.refused)
            writer.writerow([*told, *answer, *rest, *(each.probabilities[id] for id in ids)])


def _summary(evaluation: Evaluation) -> str:
    lines = [f"{evaluation.model} on {evaluation.dataset}: {evaluation.pictures} pictures"]
    lines += [
        f"  {m.name:<22} {m.value:.3f}  ({m.low:.3f} to {m.high:.3f}), n = {m.n}"
        for m in headline(evaluation)
    ]
    return "\n".join(lines)


@click.command()
@click.option("--model", "name", required=True, help="The model's name, as `lesionlens models`.")
@click.option(
    "--images",
    required=True,
    multiple=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="A folder that holds the pictures; may be given several times.",
)
@click.option(
    "--labels",
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="HAM10000's metadata, ISIC's one-hot ground truth, or a CSV of image,label[,group].",
)
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder that the report goes into.",
)
@click.option("--name", "dataset", help="What the pictures are called in the report.")
@click.option(
    "--partial",
    is_flag=True,
    help="Leave out, and count, rows without a readable picture or with a label that the model "
    "does not know; they are errors otherwise.",
)
@click.option(
    "--predictions",
    "predictions_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also write each picture's prediction into this CSV file.",
)
@click.option(
    "--resamples",
    default=_RESAMPLES,
    show_default=True,
    type=click.IntRange(min=100),
    help="How often lesions are drawn again for the intervals.",
)
def command(
    name: str,
    images: tuple[Path, ...],
    labels: Path,
    out: Path,
    dataset: str | None,
    partial: bool,
    predictions_file: Path | None,
    resamples: int,
) -> None:
    """Measure a model over labelled pictures and write a report.

    The report is a model card with plots (README.md) and every figure with its interval
    (metrics.json). A model of benign and malignant takes HAM10000's diagnoses as labels, too.
    """
    dataset = dataset or f"{labels.resolve().parent.name}/{labels.name}"
    try:
        model = _open(Settings.from_environment().artifacts, name)
        classes = model.manifest.class_ids
        skipped: list[str] | None = [] if partial else None
        # Folders often hold more than the table at hand speaks of.
        pictures = read_labels(
            labels, images, dataset, classes=classes, every_picture=False, skipped=skipped
        )
        line = _line(name, len(images), labels, partial)
        evaluation = evaluate(
            model,
            pictures,
            dataset,
            out,
            [line],
            skipped=skipped,
            resamples=resamples,
            predictions_file=predictions_file,
        )
    except (ArtifactError, DataError, SettingsError) as error:
        raise click.ClickException(str(error)) from error
    if skipped:
        shown = [*skipped[:_NAMED_AT_MOST], *(["…"] if len(skipped) > _NAMED_AT_MOST else [])]
        click.echo("\n  ".join([f"Left out {len(skipped)}:", *shown]), err=True)
    click.echo(_summary(evaluation))
    click.echo(f"Report: {out / CARD_FILE}")


def _line(name: str, folders: int, labels: Path, partial: bool) -> str:
    """The command as the card tells it, without the paths of the machine that ran it."""
    images = " --images DIR" * folders
    rest = " --partial" if partial else ""
    return f"lesionlens evaluate --model {name}{images} --labels {labels.name} --out DIR{rest}"


def _open(artifacts: Path, name: str) -> Classifier:
    """The model called `name` in the folder `artifacts`."""
    folders = sorted(path.parent for path in artifacts.glob(f"*/{contract.FILE_NAME}"))
    names = [folder.name for folder in folders]
    if name not in names:
        raise ArtifactError(
            f"{artifacts}: holds no model {name}. There are: {', '.join(names) or 'none'}. "
            "LESIONLENS_ARTIFACTS names the folder of models."
        )
    return Classifier(artifacts / name)


@hydra.main(version_base="1.3", config_path="../conf", config_name="evaluate")
def main(config: DictConfig) -> None:
    """The line that `make evaluate` uses; errors are told without a traceback."""
    try:
        folder = Path(config.artifacts) / config.model.name
        seed = contract.load(folder).training.seed if config.seed is None else config.seed
        # Extra sets are for training only: the test part is there without them.
        config.data.extra = {}
        data: Any = OmegaConf.to_container(config.data, resolve=True)
        evaluation = evaluate_artifact(folder, read_sets(data, seed), resamples=config.resamples)
    except (ArtifactError, DataError) as error:
        sys.exit(f"error: {error}")
    print(_summary(evaluation))
    print(f"Report: {folder / REPORT / CARD_FILE}")


if __name__ == "__main__":
    main()
