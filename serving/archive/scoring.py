"""An archive answered in the threads of one process, and what other engines share with that."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import msgspec

from serving.archive.results import Finished, Results
from serving.archive.storage import Storage, as_text
from serving.classifier import Classifier
from serving.listing import Failure
from serving.memory import Room
from serving.pictures import Limits, PictureError, prepare
from serving.prediction import Prediction, predict
from serving.workers import Workers


class Step(msgspec.Struct, frozen=True):
    """Pictures that an engine has answered, and how many of them could not be read."""

    pictures: int
    failures: int


class Scorer:
    """Answers pictures by their places in an archive; several threads may ask at once."""

    def __init__(self, model: Classifier, pictures: Storage, limits: Limits, room: Room) -> None:
        self._model = model
        self._pictures = pictures
        self._limits = limits
        self._room = room

    def answer(self, place: str) -> Prediction | Failure:
        """The answer to one picture; what cannot be read is an answer, too."""
        manifest, name = self._model.manifest, as_text(place)
        try:
            data = self._pictures.read(place, self._limits.max_bytes + 1)
            prepared = prepare(data, manifest.preprocessing, self._limits, self._room)
            return predict(self._model, [name], [prepared])[0]
        except PictureError as error:
            return Failure(image=name, model=manifest.name, error=str(error))
        except OSError as error:
            reason = f"{error.strerror or error}."
            return Failure(image=name, model=manifest.name, error=reason)


def score(
    scorer: Scorer,
    pictures: Storage,
    results: Results,
    finished: Finished,
    workers: Workers,
    size: int,
) -> Iterator[Step]:
    """Answers what is not `finished` of `pictures`, in `workers`, `size` pictures a part.

    Of pictures and answers it holds those of one part and a few more.

    Raises:
        ArchiveError: where a folder cannot be listed.
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
    for answer in workers.each(scorer.answer, missing()):
        answers.append(answer)
        yield Step(1, int(isinstance(answer, Failure)))
        if len(answers) == parts[0]:
            results.write(answers)
            answers.clear()
            parts.popleft()
