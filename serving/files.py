"""The pictures that a command is given, as files and folders, answered one after another."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path

import msgspec

from serving.classifier import Classifier
from serving.inference import Inference, Upload
from serving.listing import Failure
from serving.overlay import overlay
from serving.pictures import Limits, PictureError
from serving.prediction import Prediction

SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".avif", ".tif", ".tiff", ".bmp", ".gif")
)
"""What is taken from a folder; a file that is named is taken whatever its ending."""


class File(msgspec.Struct, frozen=True):
    """A file to answer: its path as given or walked to, and its place in the folder given."""

    path: Path
    place: Path


def find(paths: Sequence[Path]) -> list[File]:
    """The files of `paths`, with those of folders and all below them in alphabetical order.

    Folders and files whose name begins with a dot are passed over.
    """
    found: list[File] = []
    for path in paths:
        if not path.is_dir():
            found.append(File(path, Path(path.name)))
            continue
        below = sorted(file for file in path.rglob("*") if _is_taken(file, path))
        found.extend(File(file, file.relative_to(path.parent)) for file in below)
        if not below:
            found.append(File(path, Path(path.name)))
    return found


def answers(
    inference: Inference,
    model: Classifier,
    files: Sequence[File],
    limits: Limits,
    heatmaps: Path | None = None,
) -> Iterator[Prediction | Failure]:
    """An answer for each of `files`, in their order, a few files ahead at a time.

    Where `heatmaps` is given, the picture with the heatmap of the predicted class over it is
    written into that folder, as `<place>.<class>.png`.
    """

    def answer(file: File) -> Prediction | Failure:
        try:
            data = _read(file.path, limits)
            upload = Upload(str(file.path), data)
            prediction = inference.answer(model, upload, heatmaps=heatmaps is not None)
            if heatmaps is None or prediction.heatmaps is msgspec.UNSET:
                return prediction
            return _write_overlay(heatmaps / file.place, data, prediction, limits)
        except PictureError as error:
            return Failure(image=str(file.path), model=model.manifest.name, error=str(error))
        except OSError as error:
            reason = f"{error.strerror or error} ({error.filename})."
            return Failure(image=str(file.path), model=model.manifest.name, error=reason)

    ahead: deque[Future[Prediction | Failure]] = deque()
    try:
        for file in files:
            ahead.append(inference.pool.submit(answer, file))
            if len(ahead) > 2 * inference.workers:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        for future in ahead:
            future.cancel()


def _is_taken(file: Path, root: Path) -> bool:
    hidden = any(part.startswith(".") for part in file.relative_to(root).parts)
    return not hidden and file.suffix.lower() in SUFFIXES and file.is_file()


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
    path = target.with_name(f"{target.name}.{prediction.prediction}.png")
    path.parent.mkdir(parents=True, exist_ok=True)
    overlay(data, heatmap, prediction.view, limits).save(path)
    return msgspec.structs.replace(prediction, heatmaps=msgspec.UNSET)
