"""The figures of one comparison of servers, as they are kept."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence

import msgspec
from scipy.stats import t

from benchmarks.load import Sent

CLIENTS = (1, 8, 32)

RATIO_CLIENTS = 8
"""with how many clients throughputs are compared"""

FEWEST = 50
"""answers that a throughput must be told from, or it is measured anew"""

LONGER = 5
"""times as long"""


class Cell(msgspec.Struct, frozen=True):
    """What one system answered to one kind of pictures from so many clients, in one round."""

    system: str
    kind: str
    clients: int
    sent: Sent


class Start(msgspec.Struct, frozen=True):
    """From the start of a server's process to its first answer, in seconds: computed and passed."""

    system: str
    cpu: float
    passed: float


class Agreement(msgspec.Struct, frozen=True):
    """The most that any probability of a system's answers differs from LesionLens's."""

    system: str
    difference: float


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """Resident memory under `seconds` of load, in bytes.

    `end` is the median of the last tenth of the samples, `most` the largest, `shared` the median
    that counts what processes share once.
    """

    system: str
    seconds: float
    end: int
    most: int
    shared: int
    answers: int
    refused: int


class Size(msgspec.Struct, frozen=True):
    """Bytes of packages that a system needs, without Python itself and pip."""

    system: str
    bytes: int


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """Where LesionLens's milliseconds go, for one kind of picture: medians in seconds."""

    kind: str
    stages: dict[str, float]
    answers: int


class Held(msgspec.Struct, frozen=True):
    """What a step of the server's start adds to its resident memory, in bytes."""

    step: str
    bytes: int


class Profile(msgspec.Struct, frozen=True):
    """Where LesionLens's milliseconds and megabytes go."""

    spent: list[Spent]
    held: list[Held]


class Comparison(msgspec.Struct, kw_only=True):
    """All that was measured, on which machine and how."""

    machine: str
    cores: int
    generator_core: bool
    seconds: float
    rounds: int
    versions: str
    cells: list[Cell] = []
    starts: list[Start] = []
    agreements: list[Agreement] = []
    memory: list[Memory] = []
    sizes: list[Size] = []
    spent: list[Spent] = []
    held: list[Held] = []


class Estimate(msgspec.Struct, frozen=True):
    """A figure and half the width of its 95 % interval."""

    value: float
    error: float

    @classmethod
    def of(cls, rounds: Sequence[float]) -> Estimate:
        """The mean over rounds, by Student's t: what differs within a round tells nothing of them.

        Of fewer than two, or where one found nothing, both are nan.
        """
        if len(rounds) < 2 or not all(map(math.isfinite, rounds)):
            return cls(math.nan, math.nan)
        deviations = float(t.ppf(0.975, len(rounds) - 1)) / math.sqrt(len(rounds))
        return cls(statistics.mean(rounds), deviations * statistics.stdev(rounds))


def rate(cells: Iterable[Cell]) -> Estimate:
    """Answers a second, over the rounds."""
    return Estimate.of([cell.sent.rate for cell in cells])


def median(cells: Iterable[Cell]) -> Estimate:
    """The median time of an answer in seconds, over the rounds."""
    return Estimate.of([_median(cell) for cell in cells])


def ratio(ours: Iterable[Cell], theirs: Iterable[Cell]) -> Estimate:
    """How many times the answers a second, each round by itself: what differs hits both alike."""
    pairs = zip(ours, theirs, strict=True)
    return Estimate.of([a.sent.rate / b.sent.rate if b.sent.rate else math.nan for a, b in pairs])


def added(ours: Iterable[Cell], limit: Iterable[Cell]) -> Estimate:
    """Seconds by which the median is longer, of each round by itself."""
    return Estimate.of([_median(a) - _median(b) for a, b in zip(ours, limit, strict=True)])


def _median(cell: Cell) -> float:
    return math.nan if cell.sent.median is None else cell.sent.median
