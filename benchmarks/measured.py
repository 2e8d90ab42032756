"""The figures of one comparison of servers, as they are kept.

Needs no more than serving does: `benchmarks.spent` runs among its packages alone.
"""

from __future__ import annotations

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
    """All that was measured, on which machine and how.

    What is `ASKED` is known before anything is measured.
    """

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


ASKED = ("machine", "cores", "generator_core", "seconds", "rounds", "versions")
