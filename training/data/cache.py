"""Pictures decoded once, then memory-mapped: one array on disk for each data set and size."""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from filelock import FileLock
from tqdm import tqdm

from serving.manifest import Preprocessing
from serving.pictures import Limits, PictureError, Pixels, prepare
from training.data.portions import on_all_cores
from training.labels import DataError, LabelledPicture

VERSION = 1
"""Part of every key: raise it where the way from bytes to pixels changes."""

_AT_ONCE = 2048
"""Pictures decoded between one note of how far a build is and the next, at least."""

_NAMED_AT_MOST = 10
# Training pictures are trusted more than uploads: only what no camera makes is refused.
TRUSTED = Limits(max_bytes=500_000_000, max_pixels=250_000_000)


class Cache(msgspec.Struct, frozen=True):
    """Decoded pictures, and what was wrong with those that could not be."""

    pixels: Pixels
    """A read-only memory map, `[N, S, S, 3] uint8`, or of one channel where no more were asked for;
    black where a picture could not be decoded."""
    problems: dict[int, str]
    """By the picture's place."""
    path: Path
    """Where the pixels are."""


def open_cache(
    pictures: Sequence[LabelledPicture],
    preprocessing: Preprocessing,
    folder: Path,
    channels: int = 3,
) -> Cache:
    """The pixels of `pictures`, in their order; the first `channels` of red, green and blue.

    What is not yet in `folder` is decoded on all cores, with a progress bar; a build that was
    broken off goes on where it stopped, and of several processes one builds while the others wait.
    A cache is found again by its pictures' names, sizes and times of change and by how they were
    prepared.

    Raises:
        DataError: where a picture's file is missing or cannot be read, or the cache not be written.
    """
    path = folder / f"{_key(pictures, preprocessing, channels)}.npy"
    if not path.exists():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with FileLock(path.with_suffix(".lock")):
                if not path.exists():
                    _build(path, pictures, preprocessing, channels)
        except OSError as error:
            size = len(pictures) * preprocessing.size**2 * channels / 1e6
            raise DataError(
                f"{path}: {size:,.0f} MB of decoded pictures cannot be written ({error.strerror}). "
                "Make room there, or name another folder: PICTURE_CACHE, or the override cache_dir."
            ) from error
    pixels: Pixels = np.load(path, mmap_mode="r")
    return Cache(pixels, _Progress.read(path).problems, path)


def describe(problems: Collection[str]) -> str:
    """Names pictures that cannot be decoded, the first of them one by one."""
    rest = len(problems) - _NAMED_AT_MOST
    return "\n".join(
        [
            f"{len(problems)} picture{'s' * (len(problems) != 1)} cannot be decoded:",
            *(f"  {line}" for line in itertools.islice(problems, _NAMED_AT_MOST)),
            *([f"  and {rest} more"] if rest > 0 else []),
        ]
    )


class _Progress(msgspec.Struct):
    """How far a build is: so many pictures from the first on are decoded and on disk."""

    decoded: int = 0
    problems: dict[int, str] = {}

    @classmethod
    def read(cls, cache: Path) -> _Progress:
        try:
            return msgspec.json.decode(cache.with_suffix(".json").read_bytes(), type=cls)
        except FileNotFoundError:
            return cls()

    def write(self, cache: Path) -> None:
        """Writes it beside `cache`, whole or not at all."""
        new = cache.with_suffix(".json.new")
        new.write_bytes(msgspec.json.encode(self))
        new.replace(cache.with_suffix(".json"))


def _key(
    pictures: Sequence[LabelledPicture], preprocessing: Preprocessing, channels: int
) -> str:
    told = [VERSION, preprocessing] if channels == 3 else [VERSION, preprocessing, channels]
    hash = hashlib.sha256(msgspec.json.encode(told))
    for picture in pictures:
        try:
            status = picture.path.stat()
        except OSError as error:
            raise DataError(
                f"{picture.path}: cannot be read ({error.strerror}). Put it back, or take "
                f"{picture.image_id} out of the table."
            ) from error
        hash.update(f"{picture.path.name},{status.st_size},{status.st_mtime_ns}\n".encode())
    return hash.hexdigest()[:24]


def _build(
    path: Path, pictures: Sequence[LabelledPicture], preprocessing: Preprocessing, channels: int
) -> None:
    size = preprocessing.size
    unfinished = path.with_suffix(".part")
    if unfinished.exists():
        pixels, progress = np.lib.format.open_memmap(unfinished, mode="r+"), _Progress.read(path)
    else:
        progress = _Progress()
        # What a finished build wrote, whose pixels were deleted since, is not how far this one is.
        progress.write(path)
        shape = (len(pictures), size, size, channels)
        pixels = np.lib.format.open_memmap(unfinished, mode="w+", dtype=np.uint8, shape=shape)
    try:
        _reserve(unfinished)
    except OSError:
        if not progress.decoded:
            unfinished.unlink()
        raise

    bar = tqdm(
        desc=f"decoding {pictures[0].source}",
        total=len(pictures),
        initial=progress.decoded,
        unit="picture",
    )
    paths = [picture.path for picture in pictures[progress.decoded :]]
    decode, decoded = partial(_decode, _Room.of(pixels), preprocessing, progress.decoded), 0
    with bar, on_all_cores(len(paths)) as in_portions:
        for count, problems in in_portions(decode, paths):
            progress.problems.update(problems)
            bar.update(count)
            decoded += count
            if decoded >= _AT_ONCE or progress.decoded + decoded == len(pictures):
                # First the pixels, then that they are there.
                pixels.flush()
                progress.decoded += decoded
                progress.write(path)
                decoded = 0
    unfinished.replace(path)


def _reserve(file: Path) -> None:
    """Takes the room that `file` will need: on a full disk, writing to the map would be a crash."""
    if not hasattr(os, "posix_fallocate"):
        return
    with file.open("r+b") as opened:
        try:
            os.posix_fallocate(opened.fileno(), 0, file.stat().st_size)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
            # Not every file system can.


class _Room(msgspec.Struct):
    """Where in which file the pixels belong.

    Known without a look at the file's head, which numpy reads by `ast`: Python 3.11 before 3.11.8
    fails now and then where threads do so at once (python/cpython#106905).
    """

    file: Path
    offset: int
    shape: tuple[int, ...]

    @classmethod
    def of(cls, pixels: np.memmap[Any, Any]) -> _Room:
        return cls(Path(str(pixels.filename)), pixels.offset, pixels.shape)

    def open(self) -> Pixels:
        return np.memmap(self.file, np.uint8, "r+", self.offset, self.shape)


def _decode(
    room: _Room, preprocessing: Preprocessing, first: int, at: int, paths: Sequence[Path]
) -> tuple[int, dict[int, str]]:
    """Decodes pictures into the rows from `first` + `at` on; how many, and those that it cannot."""
    pixels = room.open()
    problems = {}
    for row, path in enumerate(paths, first + at):
        try:
            prepared = prepare(path.read_bytes(), preprocessing, TRUSTED)
            pixels[row] = prepared.pixels[..., : pixels.shape[-1]]
        except PictureError as error:
            problems[row] = f"{path}: {error}"
        except OSError as error:
            # Not the picture's fault, and perhaps over the next time: what is decoded is kept.
            raise DataError(
                f"{path}: cannot be read ({error.strerror}). Make it readable, then run "
                "this again: it goes on here."
            ) from error
    return len(paths), problems
