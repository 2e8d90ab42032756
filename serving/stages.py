"""How long each stage of an answer takes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import msgspec

StageName = Literal["wait", "decode", "infer", "render"]


class Stage(msgspec.Struct, frozen=True):
    """A part of the work for one picture, from `start` to `end` in nanoseconds since 1970."""

    name: StageName
    start: int
    end: int


class Stages:
    """The stages of one picture, the first of which begins now: waiting for a worker."""

    def __init__(self) -> None:
        self.done: list[Stage] = []
        self._submitted = time.time_ns()

    def start_work(self) -> None:
        """Ends the wait."""
        self.done.append(Stage("wait", self._submitted, time.time_ns()))

    @contextmanager
    def stage(self, name: StageName) -> Iterator[None]:
        """Times what is done inside."""
        start = time.time_ns()
        yield
        self.done.append(Stage(name, start, time.time_ns()))
