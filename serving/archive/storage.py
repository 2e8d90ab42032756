"""Folders of this machine or of object storage, by the addresses that fsspec knows."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from itertools import islice
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from serving.pictures import SUFFIXES


class ArchiveError(Exception):
    """An archive, or results of one, that cannot be used; the message says what to do."""


class Storage:
    """A folder with all below it: a path, or an address as s3://bucket/folder or memory://folder.

    `root` is its whole address, the same for every way to write it; `protocol` is what that begins
    with: file, s3, memory.
    """

    def __init__(self, address: str) -> None:
        """Does not look yet whether the folder is there.

        Raises:
            ArchiveError: where no such kind of storage is known, or its package is not installed.
        """
        try:
            # A cache of listings would grow with the archive.
            self.system, self.path = fsspec.url_to_fs(address, use_listings_cache=False)
        except (ImportError, ValueError) as error:
            raise ArchiveError(f"{address}: {error}.") from error
        self.path = self.path.rstrip("/")
        self.root = as_text(self.system.unstrip_protocol(self.path))
        self.protocol = self.root.partition("://")[0]

    @property
    def is_local(self) -> bool:
        """Whether it is a folder of this machine's own file system."""
        return isinstance(self.system, LocalFileSystem)

    def places(self) -> Iterator[str]:
        """The pictures' paths from the root, in the order of the paths as text.

        What is hidden is passed over, and what has not a picture's ending. Links to folders
        elsewhere are followed, once for each folder. A folder that cannot be listed is a place
        itself, which ends with a slash. It holds the names of one folder at a time, and of those
        above it.

        Raises:
            ArchiveError: where the root cannot be listed.
        """
        return self._below("", set())

    def chunks(self, size: int) -> Iterator[list[str]]:
        """`places`, `size` at a time."""
        places = self.places()
        while chunk := list(islice(places, size)):
            yield chunk

    def made(self) -> list[str]:
        """Makes the folder where it is not there; the names of what is right below it.

        Raises:
            ArchiveError: where that cannot be done.
        """
        if self.system.isfile(self.path):
            raise ArchiveError(f"{self.path}: is a file. Results are a folder; name another.")
        try:
            self.system.makedirs(self.path, exist_ok=True)
            entries = self.system.ls(self.path, detail=False)
        except FileNotFoundError:  # object storage has no folders but those of files
            return []
        except Exception as error:  # each storage's library has exceptions of its own
            raise ArchiveError(f"{self.path}: the folder cannot be used ({error}).") from error
        paths = [entry.strip("/") for entry in entries]
        return [path.rpartition("/")[2] for path in paths if path != self.path.strip("/")]

    def at(self, place: str) -> str:
        """The path of `place` for `system`."""
        return f"{self.path}/{place}"

    def read(self, place: str, most: int) -> bytes:
        """The first `most` bytes of a file.

        Raises:
            OSError: where it cannot be read, or is a folder.
        """
        try:
            if place.endswith("/"):
                self._names(place)
                raise OSError("the folder could not be listed before")
            data: bytes = self.system.cat_file(self.at(place), start=0, end=most)
        except OSError:
            raise
        except Exception as error:  # each storage's library has exceptions of its own
            raise OSError(str(error)) from error
        return data

    def _below(self, folder: str, followed: set[str]) -> Iterator[str]:
        """The places below `folder`, which is empty or ends with a slash.

        `followed` gets the folders that links led to.
        """
        try:
            if folder and self._is_known(folder, followed):
                return
            names = self._names(folder)
        except Exception as error:  # each storage's library has exceptions of its own
            if folder:
                yield folder
                return
            root = self.path or "/"
            raise ArchiveError(f"{root}: the folder cannot be listed ({error}).") from error
        for name in sorted(names):
            if name.endswith("/"):
                yield from self._below(folder + name, followed)
            else:
                yield folder + name

    def _is_known(self, folder: str, followed: set[str]) -> bool:
        """Whether it is a link into the archive itself, or to what was `followed`."""
        path = self.at(folder).rstrip("/")
        if not self.is_local or not os.path.islink(path):
            return False
        target = os.path.realpath(path, strict=True)
        for each in (os.path.realpath(self.path), *followed):
            if os.path.commonpath((each, target)) == each:
                return True
        followed.add(target)
        return False

    def _names(self, folder: str) -> list[str]:
        """The pictures and folders of `folder`; folders end with a slash."""
        path = self.at(folder).rstrip("/") or "/"
        if not self.is_local:
            return list(self._listed(path))
        with os.scandir(path) as entries:  # fsspec would ask for each file's size, too
            return [name for entry in entries if (name := _taken(entry))]

    def _listed(self, path: str) -> Iterator[str]:
        entries: list[dict[str, Any]] = self.system.ls(path, detail=True)
        for entry in entries:
            # Some storages list a folder, or what is no folder, as its own only content.
            if (whole := entry["name"].rstrip("/")).strip("/") == path.strip("/"):
                continue
            name = whole.rpartition("/")[2]
            if entry["type"] == "directory" and not name.startswith("."):
                yield name + "/"
            elif entry["type"] == "file" and _is_picture(name):
                yield name


def as_text(place: str) -> str:
    """The place in UTF-8; a name may be any bytes, and others are written as their numbers."""
    return os.fsencode(place).decode("utf-8", "backslashreplace")


def _taken(entry: os.DirEntry[str]) -> str:
    """The name of a picture or folder, which ends with a slash; empty for anything else.

    Where a link leads nowhere, reading tells.
    """
    if entry.name.startswith("."):
        return ""
    picture = entry.name if _is_picture(entry.name) else ""
    try:
        if entry.is_dir():
            return entry.name + "/"
        return picture if entry.is_file() or not os.path.exists(entry.path) else ""
    except OSError as error:
        leads_nowhere = error.errno in (errno.ENOTDIR, errno.ENAMETOOLONG)
        return picture or ("" if leads_nowhere else entry.name + "/")


def _is_picture(name: str) -> bool:
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in SUFFIXES
