"""What a model refuses that it should: drawn strangers, and photographs of other things."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec
import numpy as np
from msgspec import Meta

from serving.classifier import Classifier
from serving.pictures import SUFFIXES, PictureError, prepare
from serving.prediction import predict
from training import strangers
from training.bootstrap import Bools, Bootstrap, Figure
from training.labels import DataError
from training.predictions import in_batches

_FIRST_SEED = 10_000
"""of the drawings: others than those that benchmarks/novelty.py compares scores with"""


class RefusalSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is tried, from `conf/evaluate.yaml`."""

    drawings: Annotated[int, Meta(ge=1)]
    """strangers drawn of each kind"""
    photographs: str | None
    """a folder of photographs that show no lesion; None leaves them out"""


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """The share of some pictures that was refused."""

    name: str
    share: Figure


class RefusalFigures(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was refused, which should be nearly all. `photographs` is None where there were none."""

    strangers: list[Refused]
    photographs: Figure | None = None


def measure(
    model: Classifier, settings: RefusalSettings, resamples: int, seed: int
) -> RefusalFigures:
    """Tries strangers and photographs on `model`; intervals are over pictures drawn again.

    Raises:
        DataError: where the folder of photographs holds none, or a file cannot be read.
    """
    name = model.manifest.name

    def tried(title: str, files: Sequence[_File]) -> Refused:
        parts = list(in_batches(files, partial(_refuse_batch, model), f"{name}, {title}"))
        bootstrap = Bootstrap([file.name for file in files], resamples, seed)
        share = bootstrap.share(np.concatenate(parts))
        assert share is not None
        return Refused(name=title, share=share)

    drawn = []
    for kind in strangers.KINDS:
        seeds = range(_FIRST_SEED, _FIRST_SEED + settings.drawings)
        files = [_File(f"{kind} {i}", partial(strangers.draw, kind, i)) for i in seeds]
        drawn.append(tried(kind, files))
    others = None
    if settings.photographs is not None:
        paths = photographs(Path(settings.photographs).expanduser())
        files = [_File(str(path), path.read_bytes) for path in paths]
        others = tried("photographs", files).share
    return RefusalFigures(strangers=drawn, photographs=others)


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
