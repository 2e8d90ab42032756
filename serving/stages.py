"""How long each stage of an answer takes."""

from __future__ import annotations

import time
from typing import Literal

import msgspec

StageName = Literal["turn", "wait", "decode", "infer", "render"]
"""`turn` is of a request: until it may send its pictures. The others are of each picture."""


class Stage(msgspec.Struct, frozen=True):
    """A part of the way to an answer, from `start` to `end` in nanoseconds since 1970."""

    name: StageName
    start: int
    end: int


class Stages:
    """The stages of one picture, each of which begins as the one before it ends; the first now.

    `together` is how many pictures went through the model at one go, it among them.
    """

    def __init__(self) -> None:
        self.done: list[Stage] = []
        self.together = 1
        self._begun = time.time_ns()

    def end(self, name: StageName) -> None:
        """Ends the stage that was begun last, which was `name`."""
        now = time.time_ns()
        self.done.append(Stage(name, self._begun, now))
        self._begun = now
