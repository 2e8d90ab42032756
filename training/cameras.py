"""Any camera: how a model answers when the same pictures come larger, darker or turned.

Whoever uploads a picture took it with another camera and sent it through other programs than those
of the training pictures. What the camera did is told from what the lesion is by changing the very
pictures that the report is of, so that each figure has its pair.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta
from PIL import Image, ImageEnhance, ImageFilter

from serving.classifier import Classifier
from serving.pictures import Limits, PictureError, decode, prepare
from serving.prediction import predict
from training.bootstrap import Bools, Bootstrap, Figure, Floats, Measure
from training.labels import DataError, LabelledPicture
from training.measures import Integers, area_under_curve, balanced_accuracy
from training.predictions import Predictions, in_batches

_SAVED_AT = 92
"""JPEG quality of a picture that was enlarged or shrunk: what programs save at."""

Positive = Annotated[float, Meta(gt=0)]


class CameraSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is done to the pictures, from `conf/evaluate.yaml`."""

    scales: list[Positive]
    """times which a picture's sides are enlarged"""
    qualities: list[Annotated[int, Meta(ge=1, le=100)]]
    """JPEG qualities at which it is compressed again"""
    turns: list[Annotated[int, Meta(multiple_of=90)]]
    """degrees by which it is turned"""
    lights: list[Positive]
    """times which it is brighter"""
    blurs: list[Positive]
    """standard deviations of a Gaussian, in shorter sides"""


class CameraFigures(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Figures of the pictures under one change, and what each `gained` over those as they are."""

    name: str
    refused: Figure
    balanced_accuracy: Figure | None = None
    balanced_accuracy_gained: Figure | None = None
    malignant_auc: Figure | None = None
    malignant_auc_gained: Figure | None = None


def measure(
    model: Classifier,
    pictures: Sequence[LabelledPicture],
    as_they_are: Predictions,
    settings: CameraSettings,
    bootstrap: Bootstrap,
) -> list[CameraFigures]:
    """Changes `pictures`, whose predictions are `as_they_are`, in every way of `settings`.

    Raises:
        DataError: where a picture cannot be read.
    """
    figures = []
    for name, change in _changes(settings):
        title = f"{model.manifest.name}, {name}"
        parts = list(in_batches(pictures, partial(_answer, model, change), title))
        prediction = np.concatenate([part.prediction for part in parts])
        malignant = np.concatenate([part.malignant for part in parts])
        refused = bootstrap.share(np.concatenate([part.refused for part in parts]))
        assert refused is not None
        accuracy, gained = _pair(
            bootstrap,
            balanced_accuracy(as_they_are.truth, prediction),
            balanced_accuracy(as_they_are.truth, as_they_are.prediction),
        )
        area, area_gained = None, None
        if as_they_are.malignant_probability is not None:
            area, area_gained = _pair(
                bootstrap,
                area_under_curve(as_they_are.malignant, malignant),
                area_under_curve(as_they_are.malignant, as_they_are.malignant_probability),
            )
        figures.append(
            CameraFigures(
                name=name,
                refused=refused,
                balanced_accuracy=accuracy,
                balanced_accuracy_gained=gained,
                malignant_auc=area,
                malignant_auc_gained=area_gained,
            )
        )
    return figures


def enlarged(data: bytes, scale: float) -> bytes:
    """The picture in the file `data` with its sides `scale` times as long, as a JPEG."""
    image = decode(data, Limits()).image
    width, height = (max(1, round(side * scale)) for side in image.size)
    return _saved(image.resize((width, height), Image.Resampling.BICUBIC), _SAVED_AT)


def compressed(data: bytes, quality: int) -> bytes:
    """The picture in the file `data` as a JPEG of `quality`, as a messenger hands it on."""
    return _saved(decode(data, Limits()).image, quality)


def turned(data: bytes, degrees: int) -> bytes:
    """The picture in the file `data` turned by quarters, no pixel changed."""
    return _saved(decode(data, Limits()).image.rotate(degrees, expand=True))


def lit(data: bytes, light: float) -> bytes:
    """The picture in the file `data` with its levels times `light`; what is too bright is white."""
    return _saved(ImageEnhance.Brightness(decode(data, Limits()).image).enhance(light))


def blurred(data: bytes, deviation: float) -> bytes:
    """The picture in the file `data` under a Gaussian of `deviation` shorter sides."""
    image = decode(data, Limits()).image
    return _saved(image.filter(ImageFilter.GaussianBlur(deviation * min(image.size))))


def _changes(settings: CameraSettings) -> Iterable[tuple[str, Callable[[bytes], bytes]]]:
    """What is done to a picture, each with its name."""
    for scale in settings.scales:
        yield f"enlarged x{scale:g}", partial(enlarged, scale=scale)
    for quality in settings.qualities:
        yield f"JPEG quality {quality}", partial(compressed, quality=quality)
    for degrees in settings.turns:
        yield f"turned by {degrees} degrees", partial(turned, degrees=degrees)
    for light in settings.lights:
        yield f"brightness x{light:g}", partial(lit, light=light)
    for deviation in settings.blurs:
        yield f"blurred by {100 * deviation:g} %", partial(blurred, deviation=deviation)


class _Answers(msgspec.Struct, frozen=True):
    prediction: Integers
    malignant: Floats
    refused: Bools


def _answer(
    model: Classifier, change: Callable[[bytes], bytes], pictures: Sequence[LabelledPicture]
) -> _Answers:
    prepared = []
    for picture in pictures:
        try:
            changed = change(Path(picture.path).read_bytes())
            prepared.append(prepare(changed, model.manifest.preprocessing))
        except (OSError, PictureError) as error:
            raise DataError(f"{picture.path}: {error}") from error
    answers = predict(model, [picture.image_id for picture in pictures], prepared)
    places = {id: place for place, id in enumerate(model.manifest.class_ids)}
    return _Answers(
        np.array([places[each.prediction] for each in answers], np.int64),
        np.array([each.malignant_probability or 0.0 for each in answers]),
        np.array([each.refused for each in answers]),
    )


def _pair(
    bootstrap: Bootstrap, changed: Measure, as_it_is: Measure
) -> tuple[Figure | None, Figure | None]:
    """The figure of the changed pictures, and how much larger it is."""
    count = bootstrap.pictures
    return bootstrap.figure(changed, count), bootstrap.difference(changed, as_it_is, count)


def _saved(image: Image.Image, quality: int | None = None) -> bytes:
    """A file of `image`: a JPEG of `quality`, or one that keeps every level."""
    buffer = io.BytesIO()
    if quality is None:
        image.save(buffer, "PNG", compress_level=1)
    else:
        image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
