"""Data sets as the configuration names them: where they lie, what their classes are."""

from __future__ import annotations

import filecmp
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from unicodedata import normalize

import msgspec
from omegaconf import MISSING

from serving.manifest import ClassInfo
from training.data.splits import Split, split
from training.labels import (
    BINARY,
    DIAGNOSES,
    DataError,
    LabelledPicture,
    read_folders,
    read_labels,
)

_PUBLISHED = re.compile(r"(ISIC_\d{7})(_downsampled)?")
"""File names of the ISIC archive, and so of HAM10000: one picture's in every set, at any size."""


class PictureSet(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One data set of `conf/data`: a table with folders of pictures, or a folder a class.

    `root` is the set's folder; `labels` its table and `images` the folders that hold pictures, both
    relative to it, and of `images` those that exist are taken. Without `labels`, each sub-folder of
    `root` is a class. `column`, `mapping` and `lesions` (relative to `root`) are `read_labels`'s.
    `masks` is a folder in it with the lesions' outlines, `<image_id>.png` or
    `<image_id>_segmentation.png`, and no class. `holds` names other sets whose pictures are among
    its own.
    """

    name: str
    root: str
    licence: str
    source: str
    labels: str | None = None
    column: str | None = None
    mapping: dict[str, str | None] | None = None
    lesions: str | None = None
    images: list[str] = msgspec.field(default_factory=lambda: ["."])
    masks: str | None = None
    classes: list[ClassInfo] | None = None
    malignant: list[str] = []
    holds: list[str] = []

    @property
    def mask_folder(self) -> Path | None:
        """Where the lesions' outlines are; None where there are none."""
        if self.masks is None:
            return None
        folder = Path(self.root).expanduser() / self.masks
        return folder if folder.is_dir() else None

    def read(self, classes: Sequence[str] | None = None) -> list[LabelledPicture]:
        """Reads the set's pictures; `classes` are the labels it may have (None: its own).

        Raises:
            DataError: where a folder is missing, or table and pictures do not fit.
        """
        if self.root == MISSING:
            raise DataError("The pictures' folder is not named. Name it: data.root=/path/to/pictures")
        root = Path(self.root).expanduser()
        if not root.is_dir():
            raise DataError(
                f"{root}: no such folder for the data set {self.name} ({self.source}). Name the "
                "one where it is with data.root=..., or as README's table of variables says; "
                "`make data` fetches HAM10000."
            )
        if self.labels is None:
            found = read_folders(root, self.name, self.mask_folder)
            if classes is not None and (others := {p.label for p in found} - set(classes)):
                raise DataError(
                    f"{root}: the folders {', '.join(sorted(others))} are none of the classes "
                    f"{', '.join(classes)}. Rename them or move them away."
                )
            return found
        named = [root / name for name in self.images]
        images = [folder for folder in named if folder.is_dir()]
        if not images:
            raise DataError(
                f"{', '.join(map(str, named)) or root}: no such folder, and so no picture for the "
                f"data set {self.name}. Name the folders that hold its pictures in `images` "
                "(data.images=[.,images])."
            )
        return read_labels(
            root / self.labels,
            images,
            self.name,
            classes=classes,
            column=self.column,
            mapping=self.mapping,
            lesions=root / self.lesions if self.lesions else None,
        )


class TravelSet(PictureSet, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A set of other clinics, which shows how a model travels; it takes no part in training.

    `remark` is what the report says of it. `akin` names sets that come from the same clinics: to a
    model that learned from one of them these are no others.
    """

    remark: str = ""
    akin: list[str] = []


class Pictures(msgspec.Struct, frozen=True):
    """Everything to train on: the split set, what is added to its train part, the classes."""

    parts: Split
    extra: list[LabelledPicture]
    classes: list[ClassInfo]
    sets: list[PictureSet]


def read_sets(data: Mapping[str, Any], seed: int) -> Pictures:
    """Reads and splits what `conf/data` names; `extra` sets go into training only.

    Raises:
        DataError: where a set is missing or not as its description says, or has the main set's
            pictures.
    """
    main, extra = (
        _as_set({k: v for k, v in data.items() if k in PictureSet.__struct_fields__}),
        [_as_set(each) for each in (data.get("extra") or {}).values()],
    )
    known = [c.id for c in main.classes] if main.classes else None
    pictures = main.read(known)
    classes = main.classes or _classes_of(pictures, main)
    ids = [c.id for c in classes]
    added = [picture for each in extra for picture in each.read(ids)]
    _refuse_repeats(pictures, added)
    return Pictures(split(pictures, seed), added, classes, [main, *extra])


def read_travel(
    sets: Mapping[str, Any], ids: Sequence[str], main: Pictures
) -> list[tuple[TravelSet, list[LabelledPicture]]]:
    """Reads the sets that conf/travel names, those whose `root` is not null.

    Args:
        sets: Their descriptions.
        ids: The model's classes, which their labels must be among.
        main: What the model was trained on; no picture of it may be in these sets.

    Raises:
        DataError: where a set is missing, not as its description says, or holds pictures of `main`.
    """
    found = []
    known = [*(picture for part in main.parts.values() for picture in part), *main.extra]
    for name, description in sets.items():
        if description.get("root") is None:
            continue
        try:
            described = msgspec.convert(dict(description), TravelSet)
        except msgspec.ValidationError as error:
            raise DataError(f"travel.{name}: {error}") from error
        try:
            pictures = described.read(ids)
        except DataError as error:
            raise DataError(f"{error} (travel.{name}.root=null leaves this set out.)") from error
        if repeated := _repeated(known, pictures):
            shared = ", ".join(repeated[:10])
            raise DataError(
                f"{len(repeated)} pictures of travel.{name} are in "
                f"{' or '.join(each.name for each in main.sets)} too ({shared}): the model may "
                "have learned from them. Take them out."
            )
        found.append((described, pictures))
    return found


def binary_of(pictures: Pictures, binary: Sequence[ClassInfo]) -> list[ClassInfo]:
    """The classes benign and malignant, `binary`, as the set's own classes tell them.

    Where those are HAM10000's diagnoses they stay as they are, for it is of these that they speak.
    """
    if {c.id for c in pictures.classes} == set(DIAGNOSES):
        return list(binary)
    return [
        _joined(kind, [c for c in pictures.classes if c.malignant == kind.malignant])
        for kind in binary
    ]


def _joined(kind: ClassInfo, classes: Sequence[ClassInfo]) -> ClassInfo:
    """`kind`, described by the `classes` that it joins."""
    names = " or ".join(f"“{c.name}”" for c in classes)
    return msgspec.structs.replace(
        kind,
        description=f"Looks like the training pictures that were labelled {names}.",
        source="; ".join(dict.fromkeys(c.source for c in classes)),
    )


def _as_set(description: Mapping[str, Any]) -> PictureSet:
    described = dict(description)
    if isinstance(malignant := described.get("malignant"), list):
        # A class may be called 1, which an override reads as a number.
        described["malignant"] = [str(each) for each in malignant]
    try:
        return msgspec.convert(described, PictureSet)
    except msgspec.ValidationError as error:
        raise DataError(f"conf/data: {error}") from error


def _classes_of(pictures: Sequence[LabelledPicture], described: PictureSet) -> list[ClassInfo]:
    """The classes that a set without a list of them has: its labels, in alphabetical order."""
    ids = sorted({picture.label for picture in pictures})
    named = {normalize("NFC", id) for id in described.malignant}
    unknown = sorted(named - set(ids))
    if unknown:
        raise DataError(f"{described.name}: malignant names {unknown}, its classes are {ids}")
    malignant = {"malignant"} if set(ids) == set(BINARY) else named
    return [
        ClassInfo(
            id=id,
            name=id.replace("_", " "),
            description=f"Pictures labelled “{id}” in the data set {described.name}.",
            source=described.source,
            malignant=id in malignant,
        )
        for id in ids
    ]


def _refuse_repeats(pictures: Sequence[LabelledPicture], added: Sequence[LabelledPicture]) -> None:
    """A picture that the split set has as well would leak its test part into training."""
    if repeated := _repeated(pictures, added):
        raise DataError(
            f"{len(repeated)} pictures of the extra sets are in the main set too "
            f"({', '.join(repeated[:10])}): they would leak into training. Take them out."
        )
    # From here on a picture is told by its set's name and its own.
    counted = Counter((p.source, p.image_id) for p in (*pictures, *added)) if added else {}
    if twice := [name for name, count in counted.items() if count > 1]:
        source, image_id = twice[0]
        raise DataError(
            f"Several sets are called {source}, and {len(twice)} of their pictures have another's "
            f"name, the first is {image_id}. Give each set a name of its own (data.name, "
            "data.extra.NAME.name)."
        )


def _repeated(known: Sequence[LabelledPicture], added: Sequence[LabelledPicture]) -> list[str]:
    """The ids of those `added` that are `known`."""
    by_id = defaultdict(list)
    for picture in known:
        by_id[_known_as(picture)].append(picture)
    return [
        picture.image_id
        for picture in added
        if any(_is_same(picture, each) for each in by_id.get(_known_as(picture), ()))
    ]


def _known_as(picture: LabelledPicture) -> str:
    """What the picture is called in every set: the archive's id, in whatever folder, or its own."""
    path = picture.path.resolve() if picture.path.is_symlink() else picture.path
    published = _PUBLISHED.fullmatch(picture.path.stem) or _PUBLISHED.fullmatch(path.stem)
    return published[1] if published else picture.image_id


def _is_same(picture: LabelledPicture, other: LabelledPicture) -> bool:
    """Whether two pictures of one id are one; what cannot be compared is taken for it."""
    if _PUBLISHED.fullmatch(picture.path.stem):
        return True
    try:
        return filecmp.cmp(picture.path, other.path, shallow=False)
    except OSError:
        return True
