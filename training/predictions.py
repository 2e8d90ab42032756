"""What an artifact predicts for labelled pictures, through the very code that serves it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import msgspec
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from serving.classifier import Classifier
from serving.cores import available_cores
from serving.manifest import ClassInfo
from serving.pictures import PictureError, Prepared, prepare
from serving.prediction import Prediction, predict
from training.labels import DataError, LabelledPicture

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_BATCH = 16
_NAMED_AT_MOST = 10


class Predictions(msgspec.Struct, frozen=True, kw_only=True):
    """A model's predictions for N labelled pictures, C classes in the order of its outputs.

    `truth` and `prediction` `[N] int64` index `classes`; `probability` `[N, C]` is calibrated;
    `malignant_probability` `[N]` and `suspicious` `[N] bool` are None for a model without a
    malignant class; `sets` `[N, C] bool` are the prediction sets; `groups` names each picture's
    lesion.
    """

    classes: list[ClassInfo]
    groups: list[str]
    truth: Integers
    probability: Floats
    prediction: Integers
    malignant_probability: Floats | None
    suspicious: Bools | None
    sets: Bools
    novelty: Floats
    refused: Bools
    warnings: dict[str, Bools]

    @property
    def malignant(self) -> Bools:
        """Whether each picture's true class counts as malignant, `[N] bool`."""
        return np.array([c.malignant for c in self.classes])[self.truth]


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
    workers = workers or available_cores()
    batches = [pictures[start : start + _BATCH] for start in range(0, len(pictures), _BATCH)]
    found: list[LabelledPicture] = []
    predictions: list[Prediction] = []
    failures: list[str] = []
    with (
        ThreadPoolExecutor(workers) as pool,
        tqdm(total=len(pictures), unit="picture", desc=model.manifest.name) as progress,
    ):
        futures: list[Future[_Batch]] = [
            pool.submit(_predict_batch, model, batch) for batch in batches
        ]
        for batch, future in zip(batches, futures, strict=True):
            result = future.result()
            found += result.pictures
            predictions += result.predictions
            failures += result.failures
            progress.update(len(batch))
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


def collect(
    classes: Sequence[ClassInfo],
    pictures: Sequence[LabelledPicture],
    predictions: Sequence[Prediction],
) -> Predictions:
    """The predictions for N pictures as arrays, beside the truth.

    Raises:
        DataError: where there is no picture at all.
    """
    if not pictures:
        raise DataError("No picture is left to evaluate. Name a table and folders that have some.")
    place = {c.id: index for index, c in enumerate(classes)}
    has_verdict = any(c.malignant for c in classes)
    kinds = sorted({kind for each in predictions for kind in each.warnings})
    return Predictions(
        classes=list(classes),
        # Two data sets may use the same lesion id for different lesions.
        groups=[f"{picture.source}/{picture.group}" for picture in pictures],
        truth=np.array([place[picture.label] for picture in pictures]),
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
    )


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
                prepare(picture.path.read_bytes(), model.manifest.preprocessing),
            )
        except OSError as error:
            failures.append(f"{picture.path}: {error.strerror}")
        except PictureError as error:
            failures.append(f"{picture.path}: {error}")
