"""The pictures that a command is given, as files and folders, answered one after another."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Sequence
from operator import itemgetter
from pathlib import Path

import msgspec

from serving.classifier import Classifier
from serving.inference import Inference, Upload
from serving.listing import Failure
from serving.overlay import overlay
from serving.pictures import SUFFIXES, Limits, PictureError
from serving.prediction import Prediction


class File(msgspec.Struct, frozen=True):
    """A file to answer: its path as given or walked to, and its place below all that was given.

    `problem` is why a file or folder that was walked to could not be looked at.
    """

    path: Path
    place: Path
    problem: OSError | None = None

    @property
    def name(self) -> str:
        """The path as it is told to people and programs."""
        return _as_text(self.path)


def find(paths: Sequence[Path]) -> list[File]:
    """The files of `paths`, with those of folders and all below them in alphabetical order.

    Folders and files whose name begins with a dot are passed over; links are followed. A file's
    place is its path from the folder that holds all of `paths`, so that no two files have one
    place.
    """
    # Absolute without `..`: a place must not lead out of the folder that is laid out by places.
    above = os.path.commonpath([Path(os.path.abspath(path)).parent for path in paths])
    found: list[tuple[Path, OSError | None]] = []
    for path in paths:
        inside = sorted(_walk(path), key=itemgetter(0)) if os.path.isdir(path) else []
        found.extend(inside or [(path, None)])
    return [
        File(path, Path(os.path.abspath(path)).relative_to(above), problem)
        for path, problem in found
    ]


def answers(
    inference: Inference,
    model: Classifier,
    files: Sequence[File],
    limits: Limits,
    heatmaps: Path | None = None,
) -> Iterator[Prediction | Failure]:
    """An answer for each of `files`, in their order, a few files ahead at a time.

    Where `heatmaps` is given, the picture with the heatmap of the predicted class over it is
    written into that folder, as `<place>.<class>.png`. What is no letter or digit of the class,
    but for spaces, `_` and `-`, is written as its bytes: `%2F` for a slash.
    """

    def answer(file: File) -> Prediction | Failure:
        try:
            if file.problem:
                raise file.problem
            data = _read(file.path, limits)
            upload = Upload(file.name, data)
            prediction = inference.answer(model, upload, heatmaps=heatmaps is not None)
            if heatmaps is None:
                return prediction
            return _write_overlay(heatmaps / file.place, data, prediction, limits)
        except PictureError as error:
            return Failure(image=file.name, model=model.manifest.name, error=str(error))
        except OSError as error:
            reason = f"{error.strerror or error} ({_as_text(error.filename or file.path)})."
            return Failure(image=file.name, model=model.manifest.name, error=reason)

    return inference.workers.each(answer, files)


def _as_text(path: str | Path) -> str:
    """The path in UTF-8, as JSON must be; a name may be any bytes, and the others are replaced."""
    return os.fsencode(path).decode("utf-8", "replace")


def _walk(root: Path) -> Iterator[tuple[Path, OSError | None]]:
    """The pictures below `root`, and what could not be looked at, with the reason.

    A link that leads back to a folder above it is passed over.
    """
    waiting: list[tuple[Path, frozenset[tuple[int, int]]]] = [(root, frozenset())]
    while waiting:
        folder, above = waiting.pop()
        try:
            status = folder.stat()
            itself = (status.st_dev, status.st_ino)
            if itself in above:
                continue
            with os.scandir(folder) as listed:
                entries = [entry for entry in listed if not entry.name.startswith(".")]
        except OSError as error:
            yield folder, error
            continue
        for entry in entries:
            path = folder / entry.name
            try:
                if entry.is_dir():
                    waiting.append((path, above | {itself}))
                elif path.suffix.lower() in SUFFIXES and stat.S_ISREG(entry.stat().st_mode):
                    yield path, None
            except OSError as error:
                yield path, error


def _read(path: Path, limits: Limits) -> bytes:
    """The bytes of a file, and no more than the limit and one, which decoding then refuses."""
    if path.is_dir():
        endings = ", ".join(sorted(SUFFIXES))
        raise PictureError("empty", f"The folder holds no picture (a file in {endings}).")
    with path.open("rb") as file:
        return file.read(limits.max_bytes + 1)


def _write_overlay(target: Path, data: bytes, prediction: Prediction, limits: Limits) -> Prediction:
    """Writes the overlay; returns the prediction without the heatmaps, which the file now shows."""
    assert prediction.heatmaps is not msgspec.UNSET
    heatmap = prediction.heatmaps[prediction.prediction]
    path = target.with_name(f"{target.name}.{_as_part(prediction.prediction)}.png")
    path.parent.mkdir(parents=True, exist_ok=True)
    overlay(data, heatmap, prediction.view, limits).save(path)
    return msgspec.structs.replace(prediction, heatmaps=msgspec.UNSET)


def _as_part(id: str) -> str:
    """`id` as a part of a file's name: free of slashes and dots, and another for each id."""
    return re.sub(r"[^\w -]", lambda odd: "".join(f"%{b:02X}" for b in odd[0].encode()), id)
