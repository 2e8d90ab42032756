"""A report: every figure of an artifact over labelled pictures, its plots and its card."""

from __future__ import annotations

import csv
import errno
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from omegaconf import OmegaConf

from serving.classifier import Classifier
from serving.manifest import Manifest
from serving.prediction import Prediction
from training import cameras, card, groups, heatmaps, plots, refusals, sizes
from training.bootstrap import Bootstrap
from training.cameras import CameraSettings
from training.comparison import Comparison
from training.data.sets import TravelSet
from training.groups import GroupSettings
from training.heatmaps import HeatmapSettings
from training.labels import DataError, LabelledPicture
from training.metrics import Evaluation
from training.metrics import evaluate as measure
from training.predictions import Predictions, collect, predict_files
from training.refusals import RefusalSettings
from training.travel import TravelFigures, compare

METRICS_FILE = "metrics.json"
CARD_FILE = "README.md"

_SEED = 0
"""Of everything that is drawn by chance: the same pictures give the same figures."""

_COLUMNS = (
    *("image", "group", "label"),
    *("prediction", "malignant_probability", "verdict"),
    *("prediction_set", "novelty", "refused"),
)
"""Of the table of predictions, before one for each class's probability."""


class ReportSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How figures are made, from `conf/evaluate.yaml`."""

    resamples: Annotated[int, Meta(ge=100)]
    """how often lesions are drawn for the intervals"""
    groups: GroupSettings
    heatmaps: HeatmapSettings
    refusals: RefusalSettings
    cameras: CameraSettings
    remarks: dict[str, str] = {}
    """what is to be said of a test part, by its split's digest"""

    @classmethod
    def read(cls, config: Any) -> ReportSettings:
        """Reads what the configuration says.

        Raises:
            DataError: naming the setting that is wrong.
        """
        plain = {name: OmegaConf.select(config, name) for name in cls.__struct_fields__}
        values = {
            k: OmegaConf.to_container(v, resolve=True) if OmegaConf.is_config(v) else v
            for k, v in plain.items()
        }
        try:
            return msgspec.convert(values, cls)
        except msgspec.ValidationError as error:
            raise DataError(f"conf/evaluate.yaml: {error}") from error


def report(
    model: Classifier,
    pictures: Sequence[LabelledPicture],
    dataset: str,
    out: Path,
    command: Sequence[str],
    settings: ReportSettings,
    *,
    split_digest: str | None = None,
    skipped: list[str] | None = None,
    names: Mapping[str, str] | None = None,
    masks: Path | None = None,
    travel: Sequence[tuple[TravelSet, list[LabelledPicture]]] = (),
    strangers: bool = False,
    recipes: Comparison | None = None,
    predictions_file: Path | None = None,
) -> Evaluation:
    """Measures `model` over `pictures` and writes card, figures and plots into the folder `out`.

    Args:
        model: The artifact.
        pictures: Labelled with the model's class ids.
        dataset: What the pictures are called in the report.
        out: Made where needed; of what is in it only the report's own files are replaced.
        command: The lines that make this report again.
        settings: How figures are made.
        split_digest: Of the split that the pictures are the test part of.
        skipped: What was left out already; pictures that cannot be decoded join it, where it is
            given.
        names: Of diagnoses that are no classes of the model, by id.
        masks: The folder where `outline_of` finds the lesions' outlines.
        travel: Sets of other clinics with their pictures, labelled with the model's class ids.
        strangers: Whether to measure what is refused of pictures that are no lesion, and what
            changes where other cameras and programs give the lesions' pictures.
        recipes: Those that the model was chosen among.
        predictions_file: Where each picture's prediction goes as a row of CSV; None for nowhere.

    Raises:
        DataError: naming every picture that cannot be read, or where none is left.
        OSError: where `out` or `predictions_file` cannot be written; before anything is measured,
            as far as that can be known.
    """
    refuse_unwritable(out)
    if predictions_file is not None:
        refuse_unwritable(predictions_file)
    read, predictions = predict_files(model, pictures, skipped=skipped)
    collected = collect(model.manifest.classes, read, predictions, names)
    resamples = settings.resamples
    evaluation = measure(
        collected,
        model.manifest,
        dataset,
        split_digest=split_digest,
        left_out=len(skipped or ()),
        resamples=resamples,
        seed=_SEED,
    )
    bootstrap = Bootstrap(collected.groups, resamples, _SEED)
    looks = heatmaps.look(model, read, masks, settings.heatmaps, _SEED)
    evaluation = msgspec.structs.replace(
        evaluation,
        remark=settings.remarks.get(split_digest or "", ""),
        picture_size=sizes.commonest((each.width, each.height) for each in predictions),
        groups=groups.measure(collected, settings.groups, bootstrap),
        heatmaps=heatmaps.measure(looks, settings.heatmaps, bootstrap),
        travel=[
            _travelled(model, described, listed, collected, names, resamples)
            for described, listed in travel
        ],
        refusals=refusals.measure(model, settings.refusals, resamples, _SEED)
        if strangers
        else None,
        cameras=cameras.measure(model, read, collected, settings.cameras, bootstrap)
        if strangers
        else None,
    )
    _write_files(out, model.manifest, collected, evaluation, command, recipes)
    if predictions_file is not None:
        _write_predictions(predictions_file, read, predictions)
    return evaluation


def refuse_unwritable(path: Path) -> None:
    """Makes sure that `path`, a folder or a file that need not be there yet, can be written.

    Raises:
        OSError: where it cannot.
    """
    there = path
    while not os.path.exists(there) and there != there.parent:
        there = there.parent
    if there == path and not there.is_dir():
        # Opened for writing, a pipe would wait for a reader.
        if not os.access(there, os.W_OK):
            raise OSError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def _travelled(
    model: Classifier,
    described: TravelSet,
    pictures: Sequence[LabelledPicture],
    home: Predictions,
    names: Mapping[str, str] | None,
    resamples: int,
) -> TravelFigures:
    read, predictions = predict_files(model, pictures)
    away = collect(model.manifest.classes, read, predictions, names)
    training = model.manifest.training
    trained_on = [*(each.name for each in training.datasets), *training.config.get("holds", [])]
    return compare(described, away, home, trained_on, resamples, _SEED)


def _write_files(
    out: Path,
    manifest: Manifest,
    collected: Predictions,
    evaluation: Evaluation,
    command: Sequence[str],
    recipes: Comparison | None,
) -> None:
    out.mkdir(parents=True, exist_ok=True)
    # Written whole and then moved, so that a report is never half old and half new.
    with tempfile.TemporaryDirectory(dir=out, prefix=".new-") as name:
        folder = Path(name)
        drawn = plots.draw(collected, evaluation, manifest, folder)
        text = card.write(manifest, evaluation, drawn, command, recipes)
        (folder / CARD_FILE).write_text(text, encoding="utf-8")
        encoded = msgspec.json.format(msgspec.json.encode(evaluation), indent=2)
        (folder / METRICS_FILE).write_bytes(encoded + b"\n")
        for path in folder.iterdir():
            path.replace(out / path.name)


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
            rest = (";".join(each.prediction_set), each.novelty, each.refused)
            writer.writerow([*told, *answer, *rest, *(each.probabilities[id] for id in ids)])
