"""For whom a model works: its figures by sex, age, part of the body and kind of confirmation.

Groups with too few pictures to say are told by the counts of their figures, and are not compared.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

from training.bootstrap import Bools, Bootstrap, Figure, Floats, Measure, ratio
from training.labels import Background
from training.measures import FEW, balanced_accuracy, unseen_of_classes
from training.predictions import Predictions

ATTRIBUTES = ("sex", "age", "site", "confirmation")
"""What pictures are grouped by: the fields of `Background`."""


_CONFIRMATIONS = {
    "histo": "histology",
    "follow_up": "follow-up",
    "consensus": "consensus of experts",
    "confocal": "confocal microscopy",
}
"""HAM10000's words in plain ones."""


class GroupSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How groups are made, from `conf/evaluate.yaml`."""

    age_bands: Annotated[list[int], Meta(min_length=1)]
    """years from which a band begins, but the first, which begins at birth"""
    least_of_class: Annotated[int, Meta(ge=1)]
    """pictures of a class, in the group and among all others, for its balanced accuracy"""


class Compared(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A figure of a group beside that of all others whose group is known.

    `difference` is the group's less the others', with an interval so wide that those of all
    comparisons hold together; None where one of the two has too few pictures to say. `classes` are
    those of a balanced accuracy, on both sides.
    """

    own: Figure
    others: Figure | None = None
    difference: Figure | None = None
    classes: list[str] = []

    @property
    def is_worse(self) -> bool:
        """Whether the group is clearly worse off than all others."""
        return self.difference is not None and self.difference.high < 0

    @property
    def is_better(self) -> bool:
        """Whether the group is clearly better off than all others."""
        return self.difference is not None and self.difference.low > 0


class GroupFigures(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One group. `sensitivity` and `specificity` are of the verdict.

    `lesions` counts what `Evaluation.unit` says.
    """

    attribute: str
    group: str
    pictures: int
    lesions: int
    malignant: int
    balanced_accuracy: Compared | None = None
    sensitivity: Compared | None = None
    specificity: Compared | None = None

    @property
    def name(self) -> str:
        """What the group is called in plain words."""
        return _CONFIRMATIONS.get(self.group, self.group)


class Groups(msgspec.Struct, frozen=True, kw_only=True):
    """All groups, how many figures were compared, and of how many pictures a group is unknown.

    `least_of_class` is how many pictures of a class a balanced accuracy needs.
    """

    least_of_class: int
    compared: int
    unknown: dict[str, int]
    groups: list[GroupFigures]


def measure(
    predictions: Predictions, settings: GroupSettings, bootstrap: Bootstrap
) -> Groups | None:
    """Measures `predictions` by group, on `bootstrap`'s resamples of the same pictures.

    None where nothing is known of the pictures, or all of them belong to one group.
    """
    sides = [
        side
        for attribute in ATTRIBUTES
        for side in _sides(predictions.backgrounds, attribute, settings.age_bands)
    ]
    if not sides:
        return None
    rows = [_figures(predictions, side, settings, bootstrap) for side in sides]
    asked = [each for row in rows for each in row if each is not None and each.difference]
    widened = iter(
        bootstrap.simultaneous(
            [each.difference for each in asked if each.difference],
            [each.compared.own.n + each.others for each in asked],
            [each.unseen for each in asked],
        )
    )
    return Groups(
        least_of_class=settings.least_of_class,
        compared=len(asked),
        unknown={
            attribute: sum(getattr(b, attribute) is None for b in predictions.backgrounds)
            for attribute in dict.fromkeys(side.attribute for side in sides)
        },
        groups=[
            _group(predictions, side, [_settled(each, widened) for each in row])
            for side, row in zip(sides, rows, strict=True)
        ],
    )


class _Side(msgspec.Struct, frozen=True):
    """A group's pictures `own`, and all `others` whose group is known, `[N] bool` each."""

    attribute: str
    group: str
    own: Bools
    others: Bools


class _Asked(msgspec.Struct, frozen=True):
    """A figure whose interval of the difference is still to come; None where it is not compared.

    `others` is how many pictures it is compared with, `unseen` the standard error that drawing
    them again does not show.
    """

    compared: Compared
    others: int
    difference: Measure | None
    unseen: float = 0.0


def _sides(
    backgrounds: Sequence[Background], attribute: str, age_bands: Sequence[int]
) -> list[_Side]:
    if attribute == "age":
        bands = _bands(age_bands)
        names = [_band_of(b.age, age_bands) for b in backgrounds]
        ordered = [band for band in bands if band in names]
    else:
        names = [getattr(b, attribute) for b in backgrounds]
        ordered = sorted({name for name in names if name is not None})
    listed = np.array([name or "" for name in names])
    known = listed != ""
    if len(ordered) < 2:
        return []
    return [_Side(attribute, name, listed == name, known & (listed != name)) for name in ordered]


def _bands(starts: Sequence[int]) -> list[str]:
    between = [f"{low} to {high - 1}" for low, high in pairwise(starts)]
    return [f"under {starts[0]}", *between, f"{starts[-1]} and over"]


def _band_of(age: float | None, starts: Sequence[int]) -> str | None:
    return None if age is None else _bands(starts)[sum(age >= start for start in starts)]


def _figures(
    predictions: Predictions, side: _Side, settings: GroupSettings, bootstrap: Bootstrap
) -> list[_Asked | None]:
    """Balanced accuracy, sensitivity and specificity of a group."""
    suspicious, malignant = predictions.suspicious, predictions.malignant
    figures = [_balanced(predictions, side, settings.least_of_class, bootstrap)]
    if suspicious is None:
        return [*figures, None, None]
    return [
        *figures,
        _share(suspicious, malignant, side, bootstrap),
        _share(~suspicious, ~malignant, side, bootstrap),
    ]


def _share(hit: Bools, among: Bools, side: _Side, bootstrap: Bootstrap) -> _Asked | None:
    own, others = side.own & among, side.others & among
    figure = bootstrap.share(hit, own)
    if figure is None:
        return None

    def difference(weights: Floats) -> Floats:
        return ratio(weights, hit & own, own) - ratio(weights, hit & others, others)

    compared = Compared(own=figure, others=bootstrap.share(hit, others))
    enough = min(own.sum(), others.sum()) >= FEW
    # Where all or none are hit, every resample agrees, and too much would seem to differ.
    unseen = math.hypot(*(bootstrap.unseen(hit, each).error for each in (own, others)))
    return _Asked(compared, int(others.sum()), difference if enough else None, unseen)


def _balanced(
    predictions: Predictions, side: _Side, least: int, bootstrap: Bootstrap
) -> _Asked | None:
    """Over the classes that both sides have enough of, where benign and malignant are among them.

    A group in which hardly any picture is malignant is judged by its specificity.
    """
    truth, prediction = predictions.truth, predictions.prediction
    count = len(predictions.classes)
    here = np.bincount(truth[side.own], minlength=count)
    there = np.bincount(truth[side.others], minlength=count)
    chosen = np.flatnonzero(np.minimum(here, there) >= least)
    flags = np.array([c.malignant for c in predictions.classes])
    if len(chosen) < 2 or (flags.any() and len(set(flags[chosen])) < 2):
        return None
    kept = np.isin(truth, chosen)
    own, others = side.own & kept, side.others & kept
    accuracy = balanced_accuracy(truth, prediction)

    def within(pictures: Bools) -> Measure:
        return lambda weights: accuracy(weights * pictures)

    unseen = [unseen_of_classes(bootstrap, truth, prediction, each) for each in (own, others)]
    figure = bootstrap.figure(within(own), int(own.sum()), unseen=unseen[0])
    if figure is None:
        return None
    compared = Compared(
        own=figure,
        others=bootstrap.figure(within(others), int(others.sum()), unseen=unseen[1]),
        classes=[predictions.classes[i].id for i in chosen],
    )

    def difference(weights: Floats) -> Floats:
        return accuracy(weights * own) - accuracy(weights * others)

    enough = min(own.sum(), others.sum()) >= FEW
    error = math.hypot(*(each.error for each in unseen))
    return _Asked(compared, int(others.sum()), difference if enough else None, error)


def _settled(asked: _Asked | None, widened: Iterator[Figure]) -> Compared | None:
    if asked is None or asked.difference is None:
        return None if asked is None else asked.compared
    return msgspec.structs.replace(asked.compared, difference=next(widened))


def _group(
    predictions: Predictions, side: _Side, figures: Sequence[Compared | None]
) -> GroupFigures:
    balanced, sensitivity, specificity = figures
    return GroupFigures(
        attribute=side.attribute,
        group=side.group,
        pictures=int(side.own.sum()),
        lesions=len({g for g, own in zip(predictions.groups, side.own, strict=True) if own}),
        malignant=int((predictions.malignant & side.own).sum()),
        balanced_accuracy=balanced,
        sensitivity=sensitivity,
        specificity=specificity,
    )
