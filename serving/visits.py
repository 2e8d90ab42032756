"""A request from its arrival to its answer, for whatever watches: log, metrics, traces."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable
from contextvars import ContextVar

import msgspec

from serving.manifest import Manifest
from serving.prediction import Prediction
from serving.stages import Stage, Stages


class Answer(msgspec.Struct, frozen=True):
    """What one picture was answered, by which model, and how long each stage took.

    `batch` is how many pictures went through the model together.
    """

    manifest: Manifest
    prediction: Prediction
    stages: list[Stage]
    batch: int


class Visit(msgspec.Struct, kw_only=True):
    """A request; `start` and `end` in nanoseconds since 1970.

    `route` is its address as it is declared, since the one that was asked may hold a name.
    `problem` names what was wrong, if anything; `parent` is the trace that it is a part of;
    `stages` are those of the request, and of its pictures only where it was not answered.
    """

    id: str = msgspec.field(default_factory=lambda: secrets.token_hex(8))
    start: int = msgspec.field(default_factory=time.time_ns)
    end: int = 0
    method: str = ""
    route: str = ""
    status: int = 0
    problem: str = ""
    parent: str = ""
    stages: list[Stage] = []
    answers: list[Answer] = []

    @property
    def seconds(self) -> float:
        """How long it took."""
        return (self.end - self.start) / 1e9

    def note(
        self, manifest: Manifest, predictions: Iterable[Prediction], stages: Iterable[Stages]
    ) -> None:
        """Keeps what its pictures were answered."""
        for prediction, timed in zip(predictions, stages, strict=True):
            self.answers.append(Answer(manifest, prediction, timed.done, timed.together))

    def note_stages(self, stages: Iterable[Stages]) -> None:
        """Keeps what its pictures have been through, one of which kept it from an answer."""
        for timed in stages:
            self.stages.extend(timed.done)


Watcher = Callable[[Visit], None]
"""Whatever is told of each visit once it was answered."""

_current: ContextVar[Visit] = ContextVar("visit")


def current() -> Visit:
    """The visit that is being answered; outside of one, a visit that nobody watches."""
    return _current.get(None) or Visit()


def current_id() -> str | None:
    """The id of the visit that is being answered, if any."""
    visit = _current.get(None)
    return visit.id if visit else None


def begin(visit: Visit) -> None:
    """Makes `visit` the current one of this task."""
    _current.set(visit)
