"""Labelled pictures from files: HAM10000's metadata, ISIC's ground truth, a plain CSV, folders."""

from __future__ import annotations

import csv
import io
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from posixpath import join, normpath, split, splitext
from typing import Literal, NamedTuple
from unicodedata import category, normalize

import msgspec

from serving.pictures import SUFFIXES

DIAGNOSES = {
    "akiec": True,
    "bcc": True,
    "bkl": False,
    "df": False,
    "mel": True,
    "nv": False,
    "vasc": False,
}
"""HAM10000's diagnoses, and whether each counts as malignant (akiec: pre-malignant, counted so)."""

MELANOMA = "mel"
"""Of `DIAGNOSES`, the one that is most dangerous to miss."""

BINARY = ("benign", "malignant")
"""The classes of a model that answers no more than this; diagnoses are read as one of the two."""

# ISIC 2019 gives actinic keratosis, which HAM10000 has together with Bowen's disease, its own name.
_ISIC_NAMES = {"ak": "akiec"}
_ISIC_COLUMNS = frozenset({*DIAGNOSES, *_ISIC_NAMES, "scc", "unk"})
_NAMES = ("image", "file", "image_id", "image_name", "isic_id")
Unit = Literal["lesion", "group", "patient"]
"""What pictures belong to together: those of one never stand in two parts of the split."""

_GROUPS: Mapping[str, Unit] = {"lesion_id": "lesion", "group": "group", "patient_id": "patient"}
"""Columns that tell which pictures belong together, the finest first, and by what."""
# As HAM10000 and the ISIC archive call them.
_BACKGROUND = {
    "sex": ("sex",),
    "age": ("age", "age_approx"),
    "localization": (
        *("localization", "anatom_site_general", "anatom_site_general_challenge"),
        "anatom_site_1",
    ),
    "dx_type": ("dx_type", "diagnosis_confirm_type"),
}
# As folders are called that hold classes, where somebody has split a set already.
_PARTS = ("train", "test", "val", "dev")
_UNKNOWN = frozenset({"", "unknown", "na", "nan", "none", "null"})
_DELIMITERS = ",;\t"
_NAMED_AT_MOST = 10


class DataError(Exception):
    """Labels and pictures that do not fit together; the message names them and what to do."""


# There may be many of both, in which nothing can refer to itself: the garbage collector passes by.
class Background(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Whom and what part of the body a picture is of; None where its table does not say."""

    sex: str | None = None
    age: float | None = None
    """in years"""
    site: str | None = None
    """part of the body"""
    confirmation: str | None = None
    """how the diagnosis was made: HAM10000's `dx_type`"""


class LabelledPicture(msgspec.Struct, frozen=True, gc=False):
    """A picture's file and what it shows.

    `label` is a class id; `group` the lesion's id (the picture's own where that is unknown), so
    that pictures of one lesion stay together; `source` the name of the data set. `diagnosis` is
    what the picture was labelled with, where `label` is only the kind that it counts as. `unit` is
    what its table tells groups by: they may be patients, or whatever the table means by a group.
    """

    path: Path
    image_id: str
    label: str
    group: str
    source: str
    diagnosis: str | None = None
    background: Background = Background()
    unit: Unit = "lesion"


def read_labels(
    labels: Path,
    images: Sequence[Path],
    source: str,
    *,
    classes: Sequence[str] | None = None,
    column: str | None = None,
    mapping: Mapping[str, str | None] | None = None,
    lesions: Path | None = None,
    every_picture: bool = True,
    skipped: list[str] | None = None,
) -> list[LabelledPicture]:
    """Reads the table `labels`, and finds its pictures in the folders `images`, in its order.

    The header tells the format: HAM10000's metadata (`lesion_id,image_id,dx`), the ISIC challenge's
    one-hot ground truth (`image,MEL,NV,...`), or a plain table of pictures (`image`, `file`,
    `image_id`, `image_name` or `isic_id`) with `label` or the column that is named. Pictures of one
    lesion are told by the first of `lesion_id`, `group`, `patient_id` that is there and not empty,
    which is the `unit` of them all.
    Of the other columns sex, age, site and confirmation are read as HAM10000 and the ISIC archive
    call them, the rest is passed over; an age that is no number is not known, which is told on
    standard error. A picture is found by its id and any of `SUFFIXES`, or by its file name or its
    path below a folder: as written, or else whatever the case of its suffix, its Unicode normal
    form and which way its slashes lean.

    Args:
        labels: The table, separated by commas, semicolons or tabs.
        images: Folders that hold the pictures.
        source: The data set's name.
        classes: The class ids that labels must be among, whatever their case. Where they are
            `benign` and `malignant`, diagnoses are read as the one that they count as. None takes
            a plain table's labels as they are, and of the other formats the seven `DIAGNOSES`.
        column: Where a plain table has its labels, if not in `label`.
        mapping: From labels as written, whatever their case, to class ids; None leaves the row out.
            No label at all is written as "".
        lesions: Another table, of pictures' `lesion_id`, where `labels` has none.
        every_picture: Whether a picture that has no row is an error, in `images` or in a folder
            below them that a row names.
        skipped: Where given, rows whose picture is missing, that have no label or one that is not
            among `classes` are left out and named here; they are errors otherwise.

    Raises:
        DataError: naming everything that is wrong with table and pictures at once.
    """
    table = _read_table(labels, column)
    lesion_of = _read_lesions(lesions) if lesions else {}
    meant = None if mapping is None else {_caseless(k): v for k, v in mapping.items()}
    classes = table.vocabulary if classes is None else classes
    found = _Folders(images)
    as_class = _class_reader(classes)
    problems = _Problems()

    def report(kind: str, name: str) -> None:
        if skipped is None:
            problems.add(kind, name)
        else:
            skipped.append(f"{kind}: {name}")

    pictures: dict[str, LabelledPicture] = {}
    seen: set[str] = set()
    labelled: set[str] = set()
    unread: list[str] = []
    for row in table.rows:
        paths = found.of(row.name)
        image_id = _id_of(row.name)
        files = set(map(str, paths))
        repeated = image_id in seen or not labelled.isdisjoint(files)
        seen.add(image_id)
        labelled |= files
        if repeated:
            problems.add("twice in the table", row.name)
            continue
        written = row.label
        if meant is not None and (written or "").lower() in meant:
            written = meant[(written or "").lower()]
            if written is None:
                continue
        if written is None:
            report("without exactly one label", row.name)
            continue
        label = as_class(written)
        if label is None:
            report("with an unknown label", f"{row.name} ({row.label})")
            continue
        if not _names_a_class(label):
            kind = "with a slash, a semicolon or a control character in the label"
            problems.add(kind, f"{row.name} ({label!r})")
            continue
        if not paths:
            report("without a picture", row.name)
            continue
        # Two names may be links to one file.
        if len(paths) > 1 and len({path.resolve() for path in paths}) > 1:
            problems.add("with several pictures", f"{row.name} ({', '.join(map(str, paths))})")
            continue
        background = _background(row.known)
        age = row.known.get("age", "")
        if background.age is None and age.lower() not in _UNKNOWN:
            unread.append(f"{row.name} ({age})")
        pictures[image_id] = LabelledPicture(
            paths[0],
            image_id,
            label,
            row.group or lesion_of.get(image_id) or image_id,
            source,
            _as_diagnosis(written, label),
            background,
            row.unit,
        )
    if every_picture:
        for name, path in found.all():
            if str(path) not in labelled:
                problems.add("not in the table", name)
    problems.add_alike("classes", classes or {picture.label for picture in pictures.values()})
    folders = ", ".join(str(folder) for folder in images)
    advice = [f"Pictures were looked for in {folders}."]
    if classes is not None:
        advice.append(f"Labels must be among {', '.join(classes)}.")
    advice.append("Correct the table or the folders.")
    problems.raise_if_any(f"{labels}: table and pictures do not fit.", " ".join(advice))
    if not pictures:
        raise DataError(f"{labels}: no labelled picture is left. {' '.join(advice)}")
    if unread:
        told = f"{labels}: {len(unread)} with an age that is no number, which is taken as unknown"
        print(f"{told}: {_first(unread)}", file=sys.stderr)
    return list(pictures.values())


def read_folders(root: Path, source: str, masks: Path | None = None) -> list[LabelledPicture]:
    """Reads pictures from `root`, which has a sub-folder for each class, named for it.

    Sub-folders of a class's folder belong to it, but not those that programs make for themselves,
    as .Trash, @eaDir and __MACOSX. Lesions are unknown: each picture is its own. What is in the
    folder `masks`, where one is given that lies in `root`, are the lesions' outlines.

    Raises:
        DataError: naming everything that is wrong at once.
    """
    try:
        entries = sorted(p for p in root.iterdir() if not _is_a_programs(p.name))
    except OSError as error:
        raise DataError(
            f"{root}: cannot be read ({error.strerror}). Name a folder with one sub-folder a class."
        ) from error
    problems = _Problems()
    pictures: dict[str, LabelledPicture] = {}
    outlines = _within(root, masks)
    names: list[str] = []
    has_folders = False
    for entry in entries:
        if not entry.is_dir():
            if _is_picture(entry):
                problems.add("in no class's folder", entry.name)
            continue
        paths = [p for p in _pictures_below(entry) if outlines not in p.parents]
        if not paths:
            if outlines is None or entry not in (outlines, *outlines.parents):
                problems.add("a folder without a picture", entry.name)
            continue
        names.append(entry.name)
        has_folders |= any(path.parent != entry for path in paths)
        label = normalize("NFC", entry.name)
        if not _names_a_class(label):
            kind = "a folder with a semicolon or a control character in its name"
            problems.add(kind, repr(label))
        for path in paths:
            image_id = normalize("NFC", path.relative_to(root).with_suffix("").as_posix())
            if image_id in pictures:
                problems.add("several pictures of one name", image_id)
            pictures[image_id] = LabelledPicture(path, image_id, label, image_id, source)
    if has_folders and all(name.lower().startswith(_PARTS) for name in names):
        likely = max(names, key=lambda name: name.lower().startswith("train"))
        raise DataError(
            f"{root}: {' and '.join(names)} are parts of a data set, and no classes. Name the one "
            f"that holds the classes as `root` (as {root / likely}): it is split anew."
        )
    problems.add_alike("folders", names)
    advice = "Each class needs its own sub-folder with its pictures; move or rename these."
    problems.raise_if_any(f"{root}: not one folder of pictures a class.", advice)
    classes = {picture.label for picture in pictures.values()}
    if len(classes) < 2:
        raise DataError(f"{root}: holds {len(classes)} classes, at least two are needed. {advice}")
    return list(pictures.values())


class _Row(NamedTuple):
    """A row as every format reads: `label` is None where there is none or more than one."""

    name: str
    label: str | None
    group: str
    unit: Unit = "lesion"
    known: Mapping[str, str] = {}
    """the cells of `_BACKGROUND`'s columns, by column"""


class _Table(NamedTuple):
    """A table's rows, and the labels that its format knows (None: any)."""

    rows: list[_Row]
    vocabulary: Sequence[str] | None


class _Problems:
    """Everything that is wrong, by kind, so that one run shows all of it."""

    def __init__(self) -> None:
        self._named: dict[str, list[str]] = {}

    def add(self, kind: str, name: str) -> None:
        self._named.setdefault(kind, []).append(name)

    def add_alike(self, what: str, names: Iterable[str]) -> None:
        """Those of `names` that would be one class where case or Unicode form does not count."""
        for alike in _grouped(set(names), _caseless).values():
            if len(alike) > 1:
                kind = f"{what} told apart only by case or Unicode form"
                self.add(kind, " and ".join(alike))

    def raise_if_any(self, title: str, advice: str) -> None:
        if not self._named:
            return
        lines = [title]
        lines += [f"  {len(names)} {kind}: {_first(names)}" for kind, names in self._named.items()]
        raise DataError("\n".join([*lines, advice]))


class _Folder:
    """The pictures right in a folder.

    `below` is what a table writes before their names; `belongs` whether they are the table's, which
    those of a folder elsewhere are not.
    """

    def __init__(self, path: Path, below: str, belongs: bool, names: Iterable[str]) -> None:
        self.path, self.below, self.belongs = path, below, belongs
        self.names = frozenset(names)

    def alike(self, name: str) -> list[str]:
        """The pictures whose names differ from the file name `name` in their spelling only."""
        return self._by_spelling.get(_spelt(name), []) if _is_picture_name(name) else []

    @cached_property
    def by_stem(self) -> Mapping[str, list[str]]:
        """The pictures' names by what stands before their suffix."""
        return _grouped(self.names, lambda name: normalize("NFC", splitext(name)[0]))

    @cached_property
    def _by_spelling(self) -> Mapping[str, list[str]]:
        return _grouped(self.names, _spelt)


class _Folders:
    """The pictures in some folders, and in those below them that a table names."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._open: dict[Path, _Folder] = {}
        given = dict.fromkeys(folder.resolve() for folder in folders)
        self._top = [self._read(path, "", True) for path in given]
        self._below = {"": self._top}

    def all(self) -> Iterator[tuple[str, Path]]:
        """Every picture that belongs to the table, and its name as that would write it."""
        for folder in self._open.values():
            for name in sorted(folder.names) if folder.belongs else ():
                yield join(folder.below, name), folder.path / name

    def of(self, name: str) -> list[Path]:
        """The pictures that `name` (an id, a file name, a path below a folder) may mean."""
        exact = [folder.path / name for folder in self._top if name in folder.names]
        if exact:
            return exact
        below, file = split(_with_slashes(name))
        folders = self._in(below)
        exact = [folder.path / file for folder in folders if file in folder.names]
        alike = exact or [folder.path / each for folder in folders for each in folder.alike(file)]
        if alike or below:
            return alike
        return [folder.path / each for folder in folders for each in folder.by_stem.get(file, ())]

    def _in(self, below: str) -> list[_Folder]:
        """The folders `below` those given, or the one that it is the whole path of."""
        if below not in self._below:
            found: dict[Path, _Folder] = {}
            for top in self._top:
                forms = (top.path / below, top.path / normalize("NFD", below))
                place = next((form for form in forms if os.path.isdir(form)), None)
                if place is not None:
                    belongs = Path(normpath(place)).is_relative_to(top.path)
                    found[place.resolve()] = self._read(place.resolve(), below, belongs)
            self._below[below] = list(found.values())
        return self._below[below]

    def _read(self, path: Path, below: str, belongs: bool) -> _Folder:
        if path not in self._open:
            try:
                self._open[path] = _Folder(path, below, belongs, _pictures_in(path))
            except OSError as error:
                raise DataError(
                    f"{path}: cannot be read ({error.strerror}). Name the folder that holds the "
                    "pictures."
                ) from error
        return self._open[path]


def _grouped(names: Iterable[str], key: Callable[[str], str]) -> Mapping[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for name in sorted(names):
        grouped.setdefault(key(name), []).append(name)
    return grouped


def _within(root: Path, masks: Path | None) -> Path | None:
    """`masks` as a path below `root`; None where it is none."""
    if masks is None:
        return None
    below = Path(os.path.relpath(masks, root))
    return root / below if below.parts and below.parts[0] != os.pardir else None


def _pictures_in(folder: Path) -> list[str]:
    """The names of the pictures right in `folder`, sorted; raises OSError."""
    with os.scandir(folder) as entries:
        return sorted(e.name for e in entries if _is_picture_name(e.name) and e.is_file())


def _pictures_below(folder: Path) -> list[Path]:
    """The pictures in `folder` and its sub-folders, sorted."""
    return sorted(
        path
        for path in folder.rglob("*")
        if _is_picture(path) and not any(map(_is_a_programs, path.relative_to(folder).parts[:-1]))
    )


def _is_a_programs(name: str) -> bool:
    """Whether a file or folder of this name is hidden, or a program's own."""
    return name.startswith((".", "@")) or name == "__MACOSX"


def _is_picture(path: Path) -> bool:
    return _is_picture_name(path.name) and path.is_file()


def _is_picture_name(name: str) -> bool:
    return splitext(name)[1].lower() in SUFFIXES and not name.startswith(".")


def _id_of(name: str) -> str:
    """The picture's id: its name as the table has it, without a picture's suffix."""
    name = _with_slashes(name)
    stem, suffix = splitext(name)
    return normpath(stem) if suffix.lower() in SUFFIXES else name


def _with_slashes(name: str) -> str:
    """A path of any system as it is written here."""
    return name.replace("\\", "/")


def _spelt(name: str) -> str:
    """What file names have in common that are told apart by no more than their spelling."""
    stem, suffix = splitext(normalize("NFC", name))
    return stem + suffix.lower()


def _caseless(text: str) -> str:
    return normalize("NFC", text).lower()


def _names_a_class(label: str) -> bool:
    """Whether files can be named for it, and lists of ids, joined by semicolons, hold it."""
    return not {"/", ";"} & {*label} and all(category(each) not in ("Cc", "Cs") for each in label)


def _first(names: Sequence[str]) -> str:
    """The first of `names`, and how many more there are."""
    rest = len(names) - _NAMED_AT_MOST
    return ", ".join(names[:_NAMED_AT_MOST]) + (f" and {rest} more" if rest > 0 else "")


def _class_reader(classes: Sequence[str] | None) -> Callable[[str], str | None]:
    """From a label as written to a class id, None where it is none of `classes`."""
    if classes is None:
        return lambda label: normalize("NFC", label)
    known = {_caseless(id): id for id in classes}
    if set(known) == set(BINARY):
        for diagnosis, malignant in DIAGNOSES.items():
            known[diagnosis] = known["malignant" if malignant else "benign"]
    return lambda label: known.get(_caseless(label))


def _as_diagnosis(written: str, label: str) -> str | None:
    """The diagnosis behind a label that is only one of `BINARY`, where a table gave one."""
    diagnosis = written.lower()
    return diagnosis if diagnosis in DIAGNOSES and diagnosis != label.lower() else None


def _read_table(labels: Path, column: str | None) -> _Table:
    columns, iterated = _read_cells(labels)
    cells = list(iterated)
    read_row, vocabulary = _format(labels, columns, column, _grouping(columns, cells))
    known = {
        kind: columns.index(written)
        for kind, names in _BACKGROUND.items()
        for written in names
        if written in columns
    }
    rows = [
        read_row(row)._replace(known={kind: row[at] for kind, at in known.items()}) for row in cells
    ]
    if not rows:
        raise DataError(f"{labels}: has a header and no row. Give each picture a row.")
    return _Table(rows, vocabulary)


def _read_lesions(path: Path) -> dict[str, str]:
    """The lesion of each picture of which the table `path` knows one."""
    columns, rows = _read_cells(path)
    name = next((columns.index(c) for c in _NAMES if c in columns), None)
    if name is None or "lesion_id" not in columns:
        raise DataError(
            f"{path}: its first line has the columns {', '.join(columns) or '(none)'}. A table of "
            f"lesions needs lesion_id and one of {', '.join(_NAMES)}."
        )
    lesion = columns.index("lesion_id")
    return {_id_of(row[name]): row[lesion] for row in rows if row[lesion]}


def _read_cells(labels: Path) -> tuple[list[str], Iterator[list[str]]]:
    """The columns of a table, in lower case, and its rows, each with a cell for every column."""
    try:
        text = labels.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(
            f"{labels}: cannot be read ({error.strerror}). Name the table of labels."
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(f"{labels}: not a text file in UTF-8 ({error}). Save it as CSV.") from error
    header, _, _ = text.partition("\n")
    try:
        delimiter = max(_DELIMITERS, key=partial(_cut, header))
        first, *rest = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)) or [[]]
    except csv.Error as error:
        raise DataError(f"{labels}: not a table ({error}). Save it as CSV.") from error
    columns = [_caseless(column.strip()) for column in first]
    # A row may be short where its last cells are empty.
    return columns, (
        [
            *(normalize("NFC", cell.strip()) for cell in cells),
            *[""] * (len(columns) - len(cells)),
        ]
        for cells in filter(any, rest)
    )


def _cut(header: str, delimiter: str) -> tuple[bool, int]:
    """How well `delimiter` cuts a header: whether out comes a column of pictures, and how many."""
    cells = next(csv.reader(io.StringIO(header, newline=""), delimiter=delimiter), [])
    return not {_caseless(cell.strip()) for cell in cells}.isdisjoint(_NAMES), len(cells)


class _Grouping(NamedTuple):
    """How a table tells which pictures belong together: from a row to its group, and by what."""

    of: Callable[[list[str]], str]
    unit: Unit


def _grouping(columns: list[str], rows: Sequence[list[str]]) -> _Grouping:
    """From a row to its group, empty where none is known.

    That is its cell in the finest of `_GROUPS`. Where a row has only a coarser one, that one is
    taken for all rows that have it: of a patient whose lesions have names only here and there, some
    pictures would otherwise be in one part of the split, and some in another.
    """
    groups = [columns.index(c) for c in _GROUPS if c in columns]
    units = [unit for c, unit in _GROUPS.items() if c in columns]
    first = {next((i for i, at in enumerate(groups) if row[at]), -1) for row in rows}
    coarsest = max(first, default=-1)
    if coarsest < 0:
        return _Grouping(lambda _: "", "lesion")
    ordered = [*groups[coarsest:], *groups[:coarsest]]
    return _Grouping(
        lambda cells: next((cells[at] for at in ordered if cells[at]), ""), units[coarsest]
    )


def _format(
    labels: Path,
    columns: list[str],
    column: str | None,
    grouping: _Grouping,
) -> tuple[Callable[[list[str]], _Row], Sequence[str] | None]:
    """How to read a row and which labels it may have, told by the header's `columns`."""
    at = {column: index for index, column in enumerate(columns)}
    name = next((at[c] for c in _NAMES if c in at), -1)
    labelled = at.get(_caseless(column) if column else "label")
    if column is not None and labelled is None:
        raise DataError(f"{labels}: has no column {column}; it has {', '.join(columns)}.")
    if name >= 0 and labelled is not None:
        return lambda cells: _Row(
            cells[name],
            cells[labelled] or None,
            grouping.of(cells),
            grouping.unit,
        ), None
    if {"lesion_id", "image_id", "dx"} <= set(columns):
        id, dx, lesion = at["image_id"], at["dx"], at["lesion_id"]
        return lambda cells: _Row(cells[id], cells[dx] or None, cells[lesion]), list(DIAGNOSES)
    one_hot = {_ISIC_NAMES.get(c, c): i for c, i in at.items() if c in _ISIC_COLUMNS}
    if name >= 0 and len(one_hot) >= 2:
        return lambda cells: _Row(cells[name], _hot(one_hot, cells), ""), list(DIAGNOSES)
    raise DataError(
        f"{labels}: its first line has the columns {', '.join(columns) or '(none)'}. Expected are "
        "HAM10000's metadata (lesion_id,image_id,dx), the ISIC challenge's ground truth "
        "(image,MEL,NV,BCC,AKIEC,BKL,DF,VASC), or image,label or file,label, with group where "
        "lesions are known. Where labels stand in another column, rename it to label, or to train "
        "name it (data=folder data.column=NAME)."
    )


def _background(known: Mapping[str, str]) -> Background:
    """What the cells of `_BACKGROUND`'s columns say."""
    said = {c: cell.lower() for c, cell in known.items() if cell.lower() not in _UNKNOWN}
    return Background(
        sex=said.get("sex"),
        age=_years(said.get("age", "")),
        site=said.get("localization"),
        confirmation=said.get("dx_type"),
    )


def _years(age: str) -> float | None:
    """An age as it is written, also with a decimal comma; None where that is no number."""
    try:
        years = float(age.replace(",", "."))
    except ValueError:
        return None
    return years if math.isfinite(years) else None


def _hot(columns: dict[str, int], cells: list[str]) -> str | None:
    """The one column that is 1, None where that is not exactly one."""
    hot = [label for label, index in columns.items() if cells[index] in {"1", "1.0"}]
    return hot[0] if len(hot) == 1 else None
