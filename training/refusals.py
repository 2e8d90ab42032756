"""What a model refuses that it should, and what it should not.

Drawn strangers of every kind and, where a folder of them is named, photographs of other things
should be refused; lesions whose pictures were enlarged, shrunk or compressed again should not be.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec
import numpy as np
from msgspec import Meta
from PIL import Image

from serving.classifier import Classifier
from serving.pictures import SUFFIXES, Limits, PictureError, decode, prepare
from serving.prediction import predict
from training import strangers
from training.bootstrap import Bools, Bootstrap, Figure
from training.labels import DataError, LabelledPicture
from training.predictions import in_batches

_SAVED_AT = 92
"""JPEG quality of a lesion's picture that was enlarged or shrunk: what programs save at."""


class RefusalSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is tried, from `conf/evaluate.yaml`."""

    drawings: Annotated[int, Meta(ge=1)]
    """strangers drawn of each kind"""
    photographs: str | None
    """a folder of photographs that show no lesion; None leaves them out"""
    scales: list[Annotated[float, Meta(gt=0)]]
    """times which a lesion's picture is enlarged"""
    qualities: list[Annotated[int, Meta(ge=1, le=100)]]
    """JPEG qualities at which it is compressed again"""


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """The share of some pictures that was refused."""

    name: str
    share: Figure


class RefusalFigures(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was refused: of `strangers` as much as can be should be, of `lesions` little.

    `photographs` is None where no folder was named.
    """

    strangers: list[Refused]
    photographs: Figure | None = None
    lesions: list[Refused]


def measure(
    model: Classifier,
    pictures: Sequence[LabelledPicture],
    settings: RefusalSettings,
    resamples: int,
    seed: int,
) -> RefusalFigures:
    """Tries strangers, photographs and changed `pictures` of lesions on `model`.

    Of lesions the intervals are over lesions drawn again, of all else over pictures.

    Raises:
        DataError: where the folder of photographs holds none, or a file cannot be read.
    """
    name = model.manifest.name

    def tried(title: str, files: Sequence[_File], groups: Sequence[str]) -> Refused:
        parts = list(in_batches(files, partial(_refuse_batch, model), f"{name}, {title}"))
        share = Bootstrap(groups, resamples, seed).share(np.concatenate(parts))
        assert share is not None
        return Refused(name=title, share=share)

    drawn = []
    for kind in strangers.KINDS:
        seeds = range(settings.drawings)
        files = [_File(f"{kind} {i}", partial(strangers.draw, kind, i)) for i in seeds]
        drawn.append(tried(kind, files, [file.name for file in files]))
    others = None
    if settings.photographs is not None:
        paths = photographs(Path(settings.photographs).expanduser())
        files = [_File(str(path), path.read_bytes) for path in paths]
        others = tried("photographs", files, [file.name for file in files]).share
    groups = [f"{picture.source}/{picture.group}" for picture in pictures]
    lesions = []
    for title, change in _changes(settings):
        files = [_File(str(p.path), partial(_changed, p.path, change)) for p in pictures]
        lesions.append(tried(title, files, groups))
    return RefusalFigures(strangers=drawn, photographs=others, lesions=lesions)


def enlarged(data: bytes, scale: float) -> bytes:
    """The picture in the file `data` with its sides `scale` times as long, as a JPEG."""
    image = decode(data, Limits()).image
    width, height = (max(1, round(side * scale)) for side in image.size)
    return _as_jpeg(image.resize((width, height), Image.Resampling.BICUBIC), _SAVED_AT)


def compressed(data: bytes, quality: int) -> bytes:
    """The picture in the file `data` as a JPEG of `quality`, as a messenger hands it on."""
    return _as_jpeg(decode(data, Limits()).image, quality)


def photographs(folder: Path) -> list[Path]:
    """The files of pictures in `folder` and below.

    Raises:
        DataError: where there is none.
    """
    found = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in SUFFIXES]
    if not found:
        raise DataError(
            f"{folder}: holds no picture. `refusals.photographs` (OUTLIERS_DIR) names a folder of "
            "photographs that show no lesion; null leaves them out."
        )
    return found


class _File(NamedTuple):
    name: str
    read: Callable[[], bytes]


def _changes(settings: RefusalSettings) -> Iterable[tuple[str, Callable[[bytes], bytes]]]:
    """What is done to a lesion's picture, each with its name."""
    for scale in settings.scales:
        yield f"enlarged x{scale:g}", partial(enlarged, scale=scale)
    for quality in settings.qualities:
        yield f"JPEG quality {quality}", partial(compressed, quality=quality)


def _changed(path: Path, change: Callable[[bytes], bytes]) -> bytes:
    return change(path.read_bytes())


def _refuse_batch(model: Classifier, files: Sequence[_File]) -> Bools:
    """Whether each of the pictures in `files` is refused, `[N] bool`."""
    prepared = []
    for file in files:
        try:
            prepared.append(prepare(file.read(), model.manifest.preprocessing))
        except (OSError, PictureError) as error:
            raise DataError(f"{file.name}: {error}") from error
    answers = predict(model, [file.name for file in files], prepared)
    return np.array([answer.refused for answer in answers])


def _as_jpeg(image: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
