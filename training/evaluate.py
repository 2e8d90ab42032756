"""An artifact's report, over the test split or over any other labelled pictures.

`python -m training.evaluate model=mobilenet` writes `artifacts/mobilenet/report`;
`lesionlens evaluate --model mobilenet --images DIR --labels FILE --out DIR` any other.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import hydra
import msgspec
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from serving import manifest as contract
from serving.classifier import Classifier
from serving.manifest import ArtifactError, ClassInfo
from serving.settings import Settings, SettingsError
from training import comparison
from training.data.sets import Pictures, read_sets, read_travel
from training.data.splits import digest
from training.labels import BINARY, DataError, LabelledPicture, read_labels
from training.metrics import Evaluation, headline
from training.report import CARD_FILE, ReportSettings, refuse_unwritable, report

REPORT = "report"
"""The report's folder within an artifact."""

_CONF = Path(__file__).parents[1] / "conf" / "evaluate.yaml"
_NAMED_AT_MOST = 10


def evaluate_artifact(
    folder: Path,
    pictures: Pictures,
    settings: ReportSettings,
    travel: Mapping[str, Any] | None = None,
    skipped: list[str] | None = None,
    command: str | None = None,
) -> Evaluation:
    """Measures the artifact in `folder` over the test part of `pictures` and puts the report there.

    `travel` describes sets of other clinics. Where `skipped` is given, pictures that cannot be
    decoded are left out and named there. The card says that `command` made it. The headline
    figures go into the manifest, whose hashes then cover the report.

    Raises:
        ArtifactError: where the artifact cannot be served, or was trained on another split.
        DataError: where pictures cannot be read.
        OSError: where the artifact cannot be written.
    """
    model = Classifier(folder)
    manifest = model.manifest
    refuse_unwritable(folder / contract.FILE_NAME)
    found = digest(pictures.parts)
    if found != manifest.training.split_digest:
        raise ArtifactError(
            f"{folder}: was trained on the split {manifest.training.split_digest[:12]}…, but these "
            f"pictures and this seed give {found[:12]}…: their test part may hold pictures that it "
            f"learned from. Name the data set that it was trained on (this is "
            f"{pictures.sets[0].name} in {pictures.sets[0].root}) and its seed "
            f"({manifest.training.seed})."
        )
    evaluation = report(
        model,
        _as_answered(pictures.parts["test"], pictures.classes, manifest.class_ids),
        f"the test split of {pictures.sets[0].name}",
        folder / REPORT,
        [command or f"make evaluate MODEL={manifest.name}"],
        settings,
        split_digest=found,
        skipped=skipped,
        names={c.id: c.name for c in pictures.classes},
        masks=pictures.sets[0].mask_folder,
        travel=read_travel(travel or {}, manifest.class_ids, pictures),
        strangers=True,
        recipes=comparison.read(folder, found),
    )
    contract.save(msgspec.structs.replace(manifest, metrics=headline(evaluation)), folder)
    return evaluation


def _as_answered(
    pictures: Sequence[LabelledPicture], classes: Sequence[ClassInfo], ids: Sequence[str]
) -> list[LabelledPicture]:
    """The pictures labelled with the model's `ids`: the data set's `classes`, or the two kinds.

    Raises:
        DataError: where they are neither.
    """
    if {c.id for c in classes} <= set(ids):
        return list(pictures)
    if set(ids) != set(BINARY):
        raise DataError(
            f"The data set's classes are {', '.join(c.id for c in classes)}, the model's "
            f"{', '.join(ids)}. Name the data set that the model was trained on."
        )
    kind = {c.id: "malignant" if c.malignant else "benign" for c in classes}
    return [
        msgspec.structs.replace(picture, label=kind[picture.label], diagnosis=picture.label)
        for picture in pictures
    ]


def _summary(evaluation: Evaluation) -> str:
    lines = [f"{evaluation.model} on {evaluation.dataset}: {evaluation.pictures} pictures"]
    lines += [
        f"  {m.name:<26} {m.value:.3f}  ({m.low:.3f} to {m.high:.3f}), n = {m.n}"
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
    "--masks",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="A folder with the lesions' outlines, black and white, each <image>.png "
    "or <image>_segmentation.png.",
)
@click.option(
    "--partial",
    is_flag=True,
    help="Leave out, and count, rows without a readable picture or without a label that the model "
    "knows; they are errors otherwise.",
)
@click.option(
    "--predictions",
    "predictions_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also write each picture's prediction into this CSV file.",
)
@click.option(
    "--resamples",
    type=click.IntRange(min=100),
    help="How often lesions are drawn again for the intervals. Default: that of conf/evaluate.yaml",
)
def command(
    name: str,
    images: tuple[Path, ...],
    labels: Path,
    out: Path,
    dataset: str | None,
    masks: Path | None,
    partial: bool,
    predictions_file: Path | None,
    resamples: int | None,
) -> None:
    """Measure a model over labelled pictures and write a report.

    The report is a model card with plots (README.md) and every figure with its interval
    (metrics.json). A model of benign and malignant takes HAM10000's diagnoses as labels, too.
    """
    dataset = dataset or f"{labels.resolve().parent.name}/{labels.name}"
    try:
        settings = _settings(resamples)
        model = _open(Settings.from_environment().artifacts, name)
        classes = model.manifest.class_ids
        skipped: list[str] | None = [] if partial else None
        # Folders often hold more than the table at hand speaks of.
        pictures = read_labels(
            labels, images, dataset, classes=classes, every_picture=False, skipped=skipped
        )
        line = _line(name, len(images), labels, masks, partial)
        evaluation = report(
            model,
            pictures,
            dataset,
            out,
            [line],
            settings,
            skipped=skipped,
            masks=masks,
            predictions_file=predictions_file,
        )
    except (ArtifactError, DataError, SettingsError, OSError) as error:
        raise click.ClickException(_told(error)) from error
    if skipped:
        click.echo(_left_out(skipped), err=True)
    click.echo(_summary(evaluation))
    click.echo(f"Report: {out / CARD_FILE}")


def _settings(resamples: int | None) -> ReportSettings:
    """The checkout's settings, with `resamples` in place of theirs where it is given."""
    try:
        config = OmegaConf.load(_CONF)
    except OSError as error:
        raise DataError(
            f"{_CONF}: cannot be read ({error.strerror}). The settings of a report are the "
            "checkout's: install it from there, with `pip install -e '.[train]'`."
        ) from error
    settings = ReportSettings.read(config)
    if resamples is None:
        return settings
    return msgspec.structs.replace(settings, resamples=resamples)


def _is_there(extra: Mapping[str, Any]) -> bool:
    return extra.get("root") is not None and Path(extra["root"]).expanduser().exists()


def _told(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: cannot be read or written ({error.strerror})."
    return str(error)


def _left_out(skipped: Sequence[str]) -> str:
    shown = [*skipped[:_NAMED_AT_MOST], *(["…"] if len(skipped) > _NAMED_AT_MOST else [])]
    return "\n  ".join([f"Left out {len(skipped)}:", *shown])


def _line(name: str, folders: int, labels: Path, masks: Path | None, partial: bool) -> str:
    """The command as the card tells it, without the paths of the machine that ran it."""
    images = " --images DIR" * folders
    rest = (" --masks DIR" if masks else "") + (" --partial" if partial else "")
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


def _command(chosen: str, name: str) -> str:
    """What makes the report of the model `name`, which has the settings `chosen`, without paths."""
    own = "" if chosen == name else f' ARGS="model.name={name} ..."'
    return f"make evaluate MODEL={chosen}{own}"


@hydra.main(version_base="1.3", config_path="../conf", config_name="evaluate")
def main(config: DictConfig) -> None:
    """The line that `make evaluate` uses; errors are told without a traceback."""
    try:
        folder = Path(config.artifacts) / config.model.name
        seed = contract.load(folder).training.seed if config.seed is None else config.seed
        data: Any = OmegaConf.to_container(config.data, resolve=True)
        # The test part is there without them; who has them is told where they are measured, too.
        data["extra"] = {
            name: extra for name, extra in (data.get("extra") or {}).items() if _is_there(extra)
        }
        travel: Any = OmegaConf.to_container(config.travel, resolve=True)
        settings = ReportSettings.read(config)
        skipped: list[str] | None = [] if data["unreadable"] == "skip" else None
        command = _command(HydraConfig.get().runtime.choices["model"], config.model.name)
        evaluation = evaluate_artifact(
            folder, read_sets(data, seed), settings, travel, skipped, command
        )
    except (ArtifactError, DataError, OSError) as error:
        sys.exit(f"error: {_told(error)}")
    if skipped:
        print(_left_out(skipped), file=sys.stderr)
    print(_summary(evaluation))
    print(f"Report: {folder / REPORT / CARD_FILE}")


if __name__ == "__main__":
    main()
