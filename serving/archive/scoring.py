"""An archive answered in the threads of one process, and what other engines share with that."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

import msgspec

from serving.archive.results import Finished, Results
from serving.archive.storage import Storage, as_text
from serving.classifier import Classifier
from serving.listing import Failure
from serving.memory import Room
from serving.pictures import Limits, PictureError, prepare
from serving.prediction import Prediction, predict
from serving.workers import Workers

_READERS = 4
"""files that are read ahead for each core: from object storage one takes longer than its answer"""


class Step(msgspec.Struct, frozen=True):
    """Pictures that an engine has answered, how many of them are none, and what is left out.

    `unread` are the files and folders that the storage did not give, each with the reason.
    """

    pictures: int
    failures: int
    unread: list[str]


class Read(msgspec.Struct, frozen=True):
    """A file of the archive by its place as text: its bytes, or why it could not be read."""

    name: str
    data: bytes
    error: str = ""


class Unread(Failure, frozen=True, kw_only=True):
    """A file or folder that its storage did not give: no answer, so that another run asks again."""


class Scorer:
    """Answers pictures by their places in an archive, with one model."""

    def __init__(self, model: Classifier, pictures: Storage, limits: Limits, room: Room) -> None:
        self._model = model
        self._pictures = pictures
        self._limits = limits
        self._room = room

    def answers(self, places: Iterable[str], workers: Workers) -> Iterator[Prediction | Failure]:
        """The answers to `places` in their order; what cannot be read is an answer, too."""
        readers = Workers(_READERS * workers.count)
        try:
            yield from workers.each(self._answer, readers.each(self._read, places))
        finally:
            readers.close()

    def _read(self, place: str) -> Read:
        name = as_text(place)
        try:
            return Read(name, self._pictures.read(place, self._limits.max_bytes + 1))
        except OSError as error:
            return Read(name, b"", f"{error.strerror or error}.")

    def _answer(self, file: Read) -> Prediction | Failure:
        manifest = self._model.manifest
        if file.error:
            return Unread(image=file.name, model=manifest.name, error=file.error)
        try:
            prepared = prepare(file.data, manifest.preprocessing, self._limits, self._room)
            return predict(self._model, [file.name], [prepared])[0]
        except PictureError as error:
            return Failure(image=file.name, model=manifest.name, error=str(error))


def score(
    scorer: Scorer,
    pictures: Storage,
    results: Results,
    finished: Finished,
    workers: Workers,
    size: int,
) -> Iterator[Step]:
    """Answers what is not `finished` of `pictures`, in `workers`, `size` pictures a part.

    It holds the answers of one part, and a few pictures for each worker.

    Raises:
        ArchiveError: where the archive cannot be listed.
        OSError: where a part cannot be written.
    """
    parts: deque[int] = deque()

    def missing() -> Iterator[str]:
        for chunk in pictures.chunks(size):
            places = finished.missing(chunk)
            if places:
                parts.append(len(places))
                yield from places

    answers: list[Prediction | Failure] = []
    for answer in scorer.answers(missing(), workers):
        answers.append(answer)
        yield step([answer])
        if len(answers) == parts[0]:
            write(results, answers)
            answers.clear()
            parts.popleft()


def step(answers: Iterable[Prediction | Failure]) -> Step:
    """How many of `answers` are what."""
    unread: list[str] = []
    failures = pictures = 0
    for answer in answers:
        if isinstance(answer, Unread):
            unread.append(f"{answer.image}: {answer.error}")
            continue
        failures += isinstance(answer, Failure)
        pictures += 1
    return Step(pictures, failures, unread)


def write(results: Results, answers: Iterable[Prediction | Failure]) -> None:
    """Writes a part with `answers`, but for files that could not be read; none where that is all.

    Raises:
        OSError: where it cannot be written.
    """
    if held := [answer for answer in answers if not isinstance(answer, Unread)]:
        results.write(held)
