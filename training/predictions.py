"""What an artifact predicts for labelled pictures, through the very code that serves it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import compress
from typing import Any, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from serving.classifier import Classifier
from serving.cores import available_cores
from serving.manifest import ClassInfo, Manifest
from serving.pictures import PictureError, Prepared, prepare
from serving.prediction import Prediction, decide, predict, probabilities_of
from training.data.cache import TRUSTED
from training.labels import Background, DataError, LabelledPicture, Unit

T = TypeVar("T")
R = TypeVar("R")

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_BATCH = 16
_NAMED_AT_MOST = 10


class Diagnosis(msgspec.Struct, frozen=True):
    """What pictures were labelled with, which may say more than a model's classes do."""

    id: str
    name: str
    malignant: bool


class Predictions(msgspec.Struct, frozen=True, kw_only=True):
    """A model's predictions for N labelled pictures, C classes in the order of its outputs.

    `truth` and `prediction` `[N] int64` index `classes`, `diagnosis` `[N] int64` indexes
    `diagnoses`; `probability` `[N, C]` is calibrated; `malignant_probability` `[N]` and
    `suspicious` `[N] bool` are None for a model without a malignant class; `sets` `[N, C] bool` are
    the prediction sets; `groups` names each picture's lesion, or what else its `unit` is,
    `backgrounds` what is known of it.
    """

    classes: list[ClassInfo]
    diagnoses: list[Diagnosis]
    groups: list[str]
    backgrounds: list[Background]
    truth: Integers
    diagnosis: Integers
    probability: Floats
    prediction: Integers
    malignant_probability: Floats | None
    suspicious: Bools | None
    sets: Bools
    novelty: Floats
    refused: Bools
    warnings: dict[str, Bools]
    unit: Unit = "lesion"

    @property
    def malignant(self) -> Bools:
        """Whether each picture's true class counts as malignant, `[N] bool`."""
        return np.array([c.malignant for c in self.classes])[self.truth]

    def of(self, chosen: Bools) -> Predictions:
        """The predictions for the `chosen` pictures, `[N] bool`."""

        def kept(values: npt.NDArray[Any] | None) -> npt.NDArray[Any] | None:
            return None if values is None else values[chosen]

        arrays = ("truth", "diagnosis", "probability", "prediction", "malignant_probability")
        rest = ("suspicious", "sets", "novelty", "refused")
        return msgspec.structs.replace(
            self,
            groups=list(compress(self.groups, chosen)),
            backgrounds=list(compress(self.backgrounds, chosen)),
            warnings={kind: warned[chosen] for kind, warned in self.warnings.items()},
            **{name: kept(getattr(self, name)) for name in (*arrays, *rest)},
        )


def predict_files(
    model: Classifier,
    pictures: Sequence[LabelledPicture],
    *,
    workers: int | None = None,
    skipped: list[str] | None = None,
) -> tuple[list[LabelledPicture], list[Prediction]]:
    """Predicts from every picture's file, in order, with a progress bar on standard error.

    Each of `workers` threads (default: one a core) reads, decodes and runs a batch of its own.
    Returns the pictures and their predictions; where `skipped` is given,
    those that cannot be decoded are left out and named there.

    Raises:
        DataError: naming every picture that cannot be read or decoded, unless `skipped` is given.
    """
    found: list[LabelledPicture] = []
    predictions: list[Prediction] = []
    failures: list[str] = []
    for result in in_batches(
        pictures, partial(_predict_batch, model), model.manifest.name, workers
    ):
        found += result.pictures
        predictions += result.predictions
        failures += result.failures
    if skipped is not None:
        skipped += failures
    elif failures:
        named = "\n  ".join(failures[:_NAMED_AT_MOST])
        rest = len(failures) - _NAMED_AT_MOST
        more = f"\n  and {rest} more" if rest > 0 else ""
        raise DataError(
            f"{len(failures)} of {len(pictures)} pictures cannot be read:\n  {named}{more}\n"
            "Restore these files or take them out of the table."
        )
    return found, predictions


def in_batches(
    pictures: Sequence[T],
    work: Callable[[Sequence[T]], R],
    title: str,
    workers: int | None = None,
) -> Iterator[R]:
    """What `work` makes of each batch of `pictures`, in order, with a progress bar.

    Each of `workers` threads (default: one a core) works on a batch of its own.
    """
    batches = [pictures[start : start + _BATCH] for start in range(0, len(pictures), _BATCH)]
    with (
        ThreadPoolExecutor(workers or available_cores()) as pool,
        tqdm(total=len(pictures), unit="picture", desc=title) as progress,
    ):
        for batch, result in zip(batches, pool.map(work, batches), strict=True):
            yield result
            progress.update(len(batch))


def decisions(probability: npt.NDArray[np.float32], manifest: Manifest) -> Integers:
    """The index of each row's predicted class, `[N] int64`, for `probability` `[N, C]`."""
    ids = manifest.class_ids
    decided = [decide(probabilities_of(row, manifest), manifest) for row in probability]
    return np.array([ids.index(id) for id in decided], np.int64)


def collect(
    classes: Sequence[ClassInfo],
    pictures: Sequence[LabelledPicture],
    predictions: Sequence[Prediction],
    names: Mapping[str, str] | None = None,
) -> Predictions:
    """The predictions for N pictures as arrays, beside the truth.

    `names` are those of diagnoses that are no classes of the model, by id.

    Raises:
        DataError: where there is no picture at all.
    """
    if not pictures:
        raise DataError("No picture is left to evaluate. Name a table and folders that have some.")
    diagnoses = _diagnoses(classes, pictures, names or {})
    row = {each.id: index for index, each in enumerate(diagnoses)}
    place = {c.id: index for index, c in enumerate(classes)}
    has_verdict = any(c.malignant for c in classes)
    kinds = sorted({kind for each in predictions for kind in each.warnings})
    return Predictions(
        classes=list(classes),
        diagnoses=diagnoses,
        # Two data sets may use the same lesion id for different lesions.
        groups=[f"{picture.source}/{picture.group}" for picture in pictures],
        backgrounds=[picture.background for picture in pictures],
        truth=np.array([place[picture.label] for picture in pictures]),
        diagnosis=np.array([row[picture.diagnosis or picture.label] for picture in pictures]),
        probability=np.array([[each.probabilities[c.id] for c in classes] for each in predictions]),
        prediction=np.array([place[each.prediction] for each in predictions]),
        malignant_probability=np.array(
            [each.malignant_probability for each in predictions], np.float64
        )
        if has_verdict
        else None,
        suspicious=np.array([each.verdict == "suspicious" for each in predictions])
        if has_verdict
        else None,
        sets=np.array([[c.id in each.prediction_set for c in classes] for each in predictions]),
        novelty=np.array([each.novelty for each in predictions]),
        refused=np.array([each.refused for each in predictions]),
        warnings={
            kind: np.array([kind in each.warnings for each in predictions]) for kind in kinds
        },
        # One table is read at a time.
        unit=pictures[0].unit,
    )


def _diagnoses(
    classes: Sequence[ClassInfo], pictures: Sequence[LabelledPicture], names: Mapping[str, str]
) -> list[Diagnosis]:
    """The classes, or where the labels say more the diagnoses, in alphabetical order."""
    kind = {picture.diagnosis or picture.label: picture.label for picture in pictures}
    if set(kind) <= {c.id for c in classes}:
        return [Diagnosis(c.id, c.name, c.malignant) for c in classes]
    named = {**names, **{c.id: c.name for c in classes}}
    malignant = {c.id: c.malignant for c in classes}
    return [Diagnosis(id, named.get(id, id), malignant[kind[id]]) for id in sorted(kind)]


class _Batch(msgspec.Struct, frozen=True):
    pictures: list[LabelledPicture]
    predictions: list[Prediction]
    failures: list[str]


def _predict_batch(model: Classifier, batch: Sequence[LabelledPicture]) -> _Batch:
    failures: list[str] = []
    readable = list(_read(model, batch, failures))
    pictures = [picture for picture, _ in readable]
    if not readable:
        return _Batch([], [], failures)
    names = [picture.image_id for picture in pictures]
    predictions = predict(model, names, [prepared for _, prepared in readable])
    return _Batch(pictures, predictions, failures)


def _read(
    model: Classifier, batch: Sequence[LabelledPicture], failures: list[str]
) -> Iterator[tuple[LabelledPicture, Prepared]]:
    """Each readable picture with its pixels; the others are added to `failures`."""
    for picture in batch:
        try:
            yield (
                picture,
                prepare(picture.path.read_bytes(), model.manifest.preprocessing, TRUSTED),
            )
        except OSError as error:
            failures.append(f"{picture.path}: {error.strerror}")
        except PictureError as error:
            failures.append(f"{picture.path}: {error}")
