"""The answers to an archive: a folder of Parquet files, each written whole or not at all.

A Parquet file cannot grow, so that one file would be lost with the run that writes it. A folder of
parts is read as one table by whatever reads Parquet, and whoever goes on leaves out what is there.
A part tells in its footer what it is of, and its name follows from the pictures in it: written
twice, by a worker that was thought dead, it is still there once.
"""

from __future__ import annotations

import hashlib
import io
import os
import uuid
from bisect import bisect_right
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate

import msgspec
import pyarrow as pa
from pyarrow import parquet

from serving.archive.columns import table
from serving.archive.storage import ArchiveError, Storage, as_text
from serving.listing import Failure
from serving.manifest import MODEL_FILE, Manifest
from serving.prediction import Prediction

_KEY = b"lesionlens"
_ENDING = ".parquet"
_UNFINISHED = ".writing"
_READERS = 16
"""footers that are read at a time, which in object storage is waiting"""


class Run(msgspec.Struct, frozen=True):
    """What all rows of one folder of results have in common; `rules` are the manifest's."""

    root: str
    model: str
    digest: str
    rules: str


class Part(msgspec.Struct, frozen=True):
    """What a part says of itself: its run, its first and last picture as text, and how many."""

    run: Run
    first: str
    last: str
    pictures: int
    failures: int


class Finished:
    """The pictures that parts answer, told without holding their names."""

    def __init__(self, storage: Storage, parts: dict[str, Part]) -> None:
        self._storage = storage
        self._parts = sorted(parts.items(), key=lambda named: named[1].first)
        self._firsts = [part.first for _, part in self._parts]
        # The last picture of each part or any before it: where that is too early, all are.
        self._lasts = list(accumulate((part.last for _, part in self._parts), max))
        self.pictures = sum(part.pictures for part in parts.values())
        self.failures = sum(part.failures for part in parts.values())

    def missing(self, places: Sequence[str]) -> list[str]:
        """Those of `places` that no part answers, in their order."""
        texts = [as_text(place) for place in places]
        done = self._between(min(texts), max(texts))
        return [place for place, text in zip(places, texts, strict=True) if text not in done]

    def _between(self, first: str, last: str) -> set[str]:
        """The pictures of all parts that have some between `first` and `last`."""
        done: set[str] = set()
        for index in range(bisect_right(self._firsts, last) - 1, -1, -1):
            if self._lasts[index] < first:
                break
            name, part = self._parts[index]
            if part.last >= first:
                with self._storage.system.open(self._storage.at(name), "rb") as file:
                    done.update(parquet.read_table(file, columns=["image"])["image"].to_pylist())
        return done


class Results:
    """The folder of parts at `address`, for what `manifest` answers to the pictures of `root`."""

    def __init__(self, address: str, manifest: Manifest, root: str) -> None:
        self._storage = Storage(address)
        self._manifest = manifest
        self._run = Run(root, manifest.name, manifest.digest, rules(manifest))

    @property
    def protocol(self) -> str:
        """What the address begins with, as of `Storage`."""
        return self._storage.protocol

    def open(self) -> Finished:
        """Makes the folder where it is not there, and tells what it holds already.

        Raises:
            ArchiveError: where it holds anything but parts of the same run.
        """
        made = self._storage.made()
        names = [name for name in made if not name.startswith(".")]
        with ThreadPoolExecutor(_READERS) as readers:
            parts = dict(zip(names, readers.map(self._part, names), strict=True))
        for name in made:
            if name.startswith(".part-") and name.endswith(_UNFINISHED):  # its run was killed
                self._storage.system.rm_file(self._storage.at(name))
        return Finished(self._storage, parts)

    def write(self, answers: Sequence[Prediction | Failure]) -> Part:
        """Writes a part with `answers`; it is there once it is whole.

        Raises:
            OSError: where it cannot be written.
        """
        images = [answer.image for answer in answers]
        failures = sum(isinstance(answer, Failure) for answer in answers)
        part = Part(self._run, min(images), max(images), len(images), failures)
        rows = table(answers, self._manifest)
        rows = rows.replace_schema_metadata({_KEY: msgspec.json.encode(part)})
        buffer = io.BytesIO()
        parquet.write_table(rows, buffer)
        name = hashlib.sha256("\0".join(images).encode()).hexdigest()[:32]
        self._put(f"part-{name}{_ENDING}", buffer.getvalue())
        return part

    def _put(self, name: str, data: bytes) -> None:
        if not self._storage.is_local:  # object storage shows nothing before all of it is there
            self._storage.system.pipe_file(self._storage.at(name), data)
            return
        unfinished = self._storage.at(f".{name}.{uuid.uuid4().hex}{_UNFINISHED}")
        with open(unfinished, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, self._storage.at(name))

    def _part(self, name: str) -> Part:
        """What a part says of itself, checked to be of this run."""
        path = self._storage.at(name)
        part = _described(self._storage, name)
        if part is None:
            raise ArchiveError(
                f"{path}: is no part of an archive's results. Name a folder for them alone, or "
                "remove the file; what it answered is then answered again."
            )
        for what, found, asked in (
            ("pictures of", part.run.root, self._run.root),
            ("the model", part.run.model, self._run.model),
            ("the graph", part.run.digest[:12], self._run.digest[:12]),
            ("the manifest", part.run.rules[:12], self._run.rules[:12]),
        ):
            if found != asked:
                raise ArchiveError(
                    f"{path}: was made with {what} {found}, not {asked}. One folder holds the "
                    "answers of one model to one archive; name another for these."
                )
        return part


def rules(manifest: Manifest) -> str:
    """SHA-256 of all that the manifest says, but for how good its answers were found to be."""
    answering = msgspec.structs.replace(manifest, metrics=[], files={MODEL_FILE: manifest.digest})
    return hashlib.sha256(msgspec.json.encode(answering)).hexdigest()


def _described(storage: Storage, name: str) -> Part | None:
    """What the footer of a part says; nothing for any other file, or one that is not whole."""
    if not name.endswith(_ENDING):
        return None
    try:
        with storage.system.open(storage.at(name), "rb") as file:
            metadata = parquet.read_schema(file).metadata or {}
        return msgspec.json.decode(metadata[_KEY], type=Part)
    except (pa.ArrowInvalid, KeyError, IsADirectoryError, msgspec.DecodeError):
        return None
