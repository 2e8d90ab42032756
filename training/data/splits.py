"""The split that no lesion crosses: four parts, stratified by diagnosis, the same everywhere."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import msgspec

from training.labels import DataError, LabelledPicture, Unit

Part = Literal["train", "validation", "calibration", "test"]
PARTS: tuple[Part, ...] = get_args(Part)
SHARES: Mapping[Part, float] = {
    "train": 0.65,
    "validation": 0.10,
    "calibration": 0.10,
    "test": 0.15,
}

Split = dict[Part, list[LabelledPicture]]

KEY = "split_by"
"""Under which a manifest's configuration tells what the split goes by."""


def split(pictures: Sequence[LabelledPicture], seed: int) -> Split:
    """Splits `pictures` by lesion into the parts of `SHARES`, each diagnosis in those shares.

    A lesion's place follows from the seed and its id alone, by a hash: neither the order of the
    table, nor the machine, nor a library's version moves it. Where several diagnoses go by one
    group, as that of a patient, the rarest is shared out first: Sechidis, Tsoumakas, Vlahavas, "On
    the stratification of multi-label data", ECML PKDD 2011.

    Raises:
        DataError: where a class has too few lesions for one in each part.
    """
    lesions = _by_diagnosis(pictures)
    part_of: dict[str, Part] = {}
    for label in sorted(lesions, key=lambda label: (len(lesions[label]), label)):
        groups = lesions[label]
        there = Counter(part_of[group] for group in groups if group in part_of)
        ordered = sorted(groups - part_of.keys(), key=lambda group: _rank(seed, group))
        start = 0
        for part, count in _counts(len(groups), there).items():
            part_of.update(dict.fromkeys(ordered[start : start + count], part))
            start += count
    few = {
        label: len(groups)
        for label, groups in lesions.items()
        if {part_of[group] for group in groups} != set(PARTS)
    }
    if few:
        unit = pictures[0].unit
        named = ", ".join(f"{label} ({count})" for label, count in sorted(few.items()))
        raise DataError(
            f"Too few {unit}s in {named}: each class needs at least {len(PARTS)}, one for each of "
            f"{', '.join(PARTS)}. Add pictures, or leave the class out."
        )
    parts: Split = {part: [] for part in PARTS}
    for picture in sorted(pictures, key=lambda picture: picture.image_id):
        parts[part_of[picture.group]].append(picture)
    return parts


def digest(parts: Split) -> str:
    """SHA-256 over which picture, with which label, stands in which part."""
    lines = (
        f"{part},{picture.image_id},{picture.group},{picture.label}\n"
        for part in PARTS
        for picture in parts[part]
    )
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def goes_by(config: Mapping[str, Any]) -> Unit:
    """What a manifest's configuration tells that the split goes by; lesions where it tells none."""
    try:
        unit: Unit = msgspec.convert(config.get(KEY, "lesion"), Unit)
    except msgspec.ValidationError:
        # What a manifest tells of its training is anyone's own.
        return "lesion"
    return unit


def _by_diagnosis(pictures: Sequence[LabelledPicture]) -> dict[str, set[str]]:
    """The lesions of each diagnosis; one with several is among those of each."""
    lesions: defaultdict[str, set[str]] = defaultdict(set)
    for picture in pictures:
        lesions[picture.label].add(picture.group)
    return lesions


def _rank(seed: int, group: str) -> bytes:
    return hashlib.sha256(f"{seed}:{group}".encode()).digest()


def _counts(lesions: int, there: Mapping[Part, int]) -> dict[Part, int]:
    """How many of a class's lesions go into each part: its share, but where possible not none.

    Those that are `there` already, as another class's, count; the other lesions are shared out.
    """
    counts = {part: max(1, round(share * lesions)) for part, share in SHARES.items()}
    counts["train"] = max(1, lesions - sum(counts[part] for part in PARTS if part != "train"))
    counts = {part: max(0, count - there.get(part, 0)) for part, count in counts.items()}
    # Where a part has more than its share, the rest have less; those that have none come last.
    for _ in range(sum(counts.values()) - (lesions - sum(there.values()))):
        most = max(PARTS, key=lambda part: (counts[part], there.get(part, 0)))
        counts[most] -= 1
    return counts
