"""Any camera: how a model answers when the same pictures come larger, darker or turned.

Whoever uploads a picture took it with another camera and sent it through other programs than those
of the training pictures. What the camera did is told from what the lesion is by changing the very
pictures that the report is of, so that each figure has its pair.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta
from PIL import Image, ImageEnhance, ImageFilter

from serving.classifier import Classifier
from serving.manifest import Preprocessing
from serving.pictures import Limits, PictureError, Prepared, decode, fit, prepare
from serving.prediction import predict
from training.bootstrap import Bools, Bootstrap, Figure, Floats, Measure
from training.data.cache import TRUSTED
from training.labels import DataError, LabelledPicture
from training.measures import (
    Integers,
    area_under_curve,
    balanced_accuracy,
    unseen_of_area,
    unseen_of_classes,
)
from training.predictions import Predictions, in_batches

Positive = Annotated[float, Meta(gt=0)]
Quality = Annotated[int, Meta(ge=1, le=100)]
Share = Annotated[float, Meta(ge=0, le=1)]


class CameraSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is done to the pictures, from `conf/evaluate.yaml`."""

    scales: list[Positive]
    """times which a picture's sides are enlarged, up to the most pixels that are accepted"""
    saved_at: Quality
    """JPEG quality of what was enlarged or shrunk: what programs save at"""
    qualities: list[Quality]
    """JPEG qualities at which it is compressed again"""
    turns: list[Annotated[int, Meta(multiple_of=90)]]
    """degrees by which it is turned"""
    lights: list[Positive]
    """times which it is brighter"""
    blurs: list[Positive]
    """standard deviations of a Gaussian, in shorter sides"""
    may_lose: dict[str, Share] = {}
    """what balanced accuracy may lose by a change, by the name that the change has in the report"""


class CameraFigures(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Figures of the pictures under one change, and what each `gained` over those as they are.

    The intervals of all that was gained, under any change, hold together in 95 of 100.
    """

    name: str
    refused: Figure
    balanced_accuracy: Figure | None = None
    balanced_accuracy_gained: Figure | None = None
    malignant_auc: Figure | None = None
    malignant_auc_gained: Figure | None = None


class Cameras(msgspec.Struct, frozen=True, kw_only=True):
    """What was done to the pictures, and what came of it."""

    settings: CameraSettings
    changes: list[CameraFigures]


def measure(
    model: Classifier,
    pictures: Sequence[LabelledPicture],
    as_they_are: Predictions,
    settings: CameraSettings,
    bootstrap: Bootstrap,
) -> Cameras:
    """Changes `pictures`, whose predictions are `as_they_are`, in every way of `settings`.

    Raises:
        DataError: where a picture cannot be read.
    """
    count, truth = bootstrap.pictures, as_they_are.truth
    figures: list[CameraFigures] = []
    gained: list[tuple[int, str, Measure]] = []
    accuracy = balanced_accuracy(truth, as_they_are.prediction)
    for place, (name, change) in enumerate(_changes(settings)):
        title = f"{model.manifest.name}, {name}"
        parts = list(in_batches(pictures, partial(_answer, model, change), title))
        refused = bootstrap.share(np.concatenate([part.refused for part in parts]))
        assert refused is not None
        prediction = np.concatenate([part.prediction for part in parts])
        changed = balanced_accuracy(truth, prediction)
        gained.append((place, "balanced_accuracy_gained", _less(changed, accuracy)))
        area_figure = None
        if as_they_are.malignant_probability is not None:
            score = np.concatenate([part.malignant for part in parts])
            area = area_under_curve(as_they_are.malignant, score)
            before = area_under_curve(as_they_are.malignant, as_they_are.malignant_probability)
            gained.append((place, "malignant_auc_gained", _less(area, before)))
            unseen = unseen_of_area(bootstrap, as_they_are.malignant, score)
            area_figure = bootstrap.figure(area, count, unseen=unseen)
        figures.append(
            CameraFigures(
                name=name,
                refused=refused,
                balanced_accuracy=bootstrap.figure(
                    changed, count, unseen=unseen_of_classes(bootstrap, truth, prediction)
                ),
                malignant_auc=area_figure,
            )
        )
    together = bootstrap.simultaneous([measure for *_, measure in gained], [count] * len(gained))
    for (place, name, _), figure in zip(gained, together, strict=True):
        if not np.isnan(figure.value):
            figures[place] = msgspec.structs.replace(figures[place], **{name: figure})
    return Cameras(settings=settings, changes=figures)


def enlarged(data: bytes, scale: float, quality: int) -> bytes:
    """The picture in the file `data` with its sides `scale` times as long, as a JPEG.

    It is enlarged to no more pixels than are accepted of an upload.
    """
    image = decode(data, TRUSTED).image
    most = max(1.0, math.sqrt(Limits().max_pixels / (image.width * image.height)))
    width, height = (max(1, int(side * min(scale, most) + 0.5)) for side in image.size)
    return _as_jpeg(image.resize((width, height), Image.Resampling.BICUBIC), quality)


def compressed(data: bytes, quality: int) -> bytes:
    """The picture in the file `data` as a JPEG of `quality`, as a messenger hands it on."""
    return _as_jpeg(decode(data, TRUSTED).image, quality)


def sent_on(data: bytes, quality: int, light: float, least_side: int) -> bytes:
    """The same with its levels times `light`: what another lamp and a messenger made of it.

    A messenger shrinks photographs, too: here to no side below `least_side` pixels.
    """
    return _as_jpeg(lit(decode(data, TRUSTED, least_side).image, light), quality)


def turned(image: Image.Image, degrees: int) -> Image.Image:
    """`image` turned by quarters, no pixel changed."""
    return image.rotate(degrees, expand=True)


def lit(image: Image.Image, light: float) -> Image.Image:
    """`image` with its levels times `light`, cut at the highest."""
    return ImageEnhance.Brightness(image).enhance(light)


def blurred(image: Image.Image, deviation: float) -> Image.Image:
    """`image` under a Gaussian of `deviation` shorter sides."""
    return image.filter(ImageFilter.GaussianBlur(deviation * min(image.size)))


_Change = Callable[[bytes, Preprocessing], Prepared]
"""From a picture's file to what the network is shown of it once it was changed."""


def _changes(settings: CameraSettings) -> Iterable[tuple[str, _Change]]:
    """What is done to a picture, each with its name."""
    for scale in settings.scales:
        word = "enlarged" if scale > 1 else "shrunk"
        changed = partial(enlarged, scale=scale, quality=settings.saved_at)
        yield f"{word} x{scale:g}", partial(_through_a_file, changed)
    for quality in settings.qualities:
        changed = partial(compressed, quality=quality)
        yield f"JPEG quality {quality}", partial(_through_a_file, changed)
    for degrees in settings.turns:
        yield f"turned by {degrees} degrees", partial(_direct, partial(turned, degrees=degrees))
    for light in settings.lights:
        yield f"brightness x{light:g}", partial(_direct, partial(lit, light=light))
    for deviation in settings.blurs:
        shown = partial(blurred, deviation=deviation)
        yield f"blurred by {100 * deviation:g} %", partial(_direct, shown)


def _through_a_file(
    change: Callable[[bytes], bytes], data: bytes, preprocessing: Preprocessing
) -> Prepared:
    return prepare(change(data), preprocessing, TRUSTED)


def _direct(
    change: Callable[[Image.Image], Image.Image], data: bytes, preprocessing: Preprocessing
) -> Prepared:
    # Shrunk by the decoder as far as `prepare` has it shrunk.
    upright = decode(data, TRUSTED, 2 * preprocessing.size)
    image = change(upright.image)
    pixels, view = fit(image, preprocessing)
    same = (image.width > image.height) == (upright.width > upright.height)
    sides = (upright.width, upright.height) if same else (upright.height, upright.width)
    return Prepared(pixels, view, *sides)


class _Answers(msgspec.Struct, frozen=True):
    prediction: Integers
    malignant: Floats
    refused: Bools


def _answer(model: Classifier, change: _Change, pictures: Sequence[LabelledPicture]) -> _Answers:
    prepared = []
    for picture in pictures:
        try:
            prepared.append(change(picture.path.read_bytes(), model.manifest.preprocessing))
        except (OSError, PictureError) as error:
            raise DataError(f"{picture.path}: {error}") from error
    answers = predict(model, [picture.image_id for picture in pictures], prepared)
    places = {id: place for place, id in enumerate(model.manifest.class_ids)}
    return _Answers(
        np.array([places[each.prediction] for each in answers], np.int64),
        np.array([each.malignant_probability or 0.0 for each in answers]),
        np.array([each.refused for each in answers]),
    )


def _less(changed: Measure, as_it_is: Measure) -> Measure:
    return lambda weights: changed(weights) - as_it_is(weights)


def _as_jpeg(image: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
