"""The figures of one comparison of servers, as they are kept."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable

import msgspec

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

    def over(self, other: Estimate) -> Estimate:
        """The ratio; the errors are of measurements apart from each other."""
        if not self.value or not other.value:
            return Estimate(math.nan, math.nan)
        ratio = self.value / other.value
        error = math.hypot(self.error / self.value, other.error / other.value)
        return Estimate(ratio, ratio * error)

    def less(self, other: Estimate) -> Estimate:
        """The difference."""
        return Estimate(self.value - other.value, math.hypot(self.error, other.error))


def rate(cells: Iterable[Cell]) -> Estimate:
    """Answers a second, from the slices of the time of all `cells`."""
    counts = [count * len(c.sent.slices) / c.sent.seconds for c in cells for count in c.sent.slices]
    # Two deviations of the mean, and a little more for being few.
    return Estimate(
        statistics.mean(counts), 2.1 * statistics.stdev(counts) / math.sqrt(len(counts))
    )


def median(cells: Iterable[Cell]) -> Estimate:
    """The median time of an answer in seconds, over the rounds."""
    found = [(each.low, each.median, each.high) for each in (cell.sent for cell in cells)]
    known = [
        (median, (high - low) / 2)
        for low, median, high in found
        if low is not None and median is not None and high is not None
    ]
    if not known:
        return Estimate(math.nan, math.nan)
    error = statistics.mean(half for _, half in known) / math.sqrt(len(known))
    return Estimate(statistics.mean(median for median, _ in known), error)
