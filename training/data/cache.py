"""Pictures decoded once, then memory-mapped: one array on disk for each data set and size."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import numpy as np
from tqdm import tqdm

from serving.manifest import Preprocessing
from serving.pictures import Limits, PictureError, Pixels, prepare
from training.labels import DataError, LabelledPicture

VERSION = 1
"""Part of every key: raise it where the way from bytes to pixels changes."""

_NAMED_AT_MOST = 10
# Training pictures are trusted more than uploads: only what no camera makes is refused.
_LIMITS = Limits(max_bytes=500_000_000, max_pixels=250_000_000)


def open_cache(
    pictures: Sequence[LabelledPicture], preprocessing: Preprocessing, folder: Path
) -> Pixels:
    """The pixels of `pictures` as a read-only memory map `[N, S, S, 3] uint8`, in their order.

    What is not yet in `folder` is decoded on all cores, with a progress bar. A cache is found again
    by its pictures' names, sizes and times of change and by how they were prepared.

    Raises:
        DataError: naming every picture that cannot be decoded; nothing is kept then.
    """
    path = folder / f"{_key(pictures, preprocessing)}.npy"
    if not path.exists():
        _build(path, pictures, preprocessing)
    pixels: Pixels = np.load(path, mmap_mode="r")
    return pixels


def _key(pictures: Sequence[LabelledPicture], preprocessing: Preprocessing) -> str:
    hash = hashlib.sha256(msgspec.json.encode([VERSION, preprocessing]))
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


def _build(path: Path, pictures: Sequence[LabelledPicture], preprocessing: Preprocessing) -> None:
    size = preprocessing.size
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.stem}.{os.getpid()}.part")
    shape = (len(pictures), size, size, 3)
    pixels = np.lib.format.open_memmap(unfinished, mode="w+", dtype=np.uint8, shape=shape)
    bad: list[str] = []

    def decode(index: int) -> str | None:
        picture = pictures[index]
        try:
            pixels[index] = prepare(picture.path.read_bytes(), preprocessing, _LIMITS).pixels
        except (PictureError, OSError) as error:
            return f"{picture.path}: {error}"
        return None

    try:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            title = f"decoding {pictures[0].source}"
            results = pool.map(decode, range(len(pictures)))
            for problem in tqdm(results, title, len(pictures), unit="picture"):
                if problem is not None:
                    bad.append(problem)
        if bad:
            raise DataError(_describe(bad))
        pixels.flush()
        unfinished.replace(path)
    finally:
        del pixels
        unfinished.unlink(missing_ok=True)


def _describe(bad: list[str]) -> str:
    rest = len(bad) - _NAMED_AT_MOST
    lines = [
        f"{len(bad)} pictures cannot be decoded:",
        *(f"  {line}" for line in bad[:_NAMED_AT_MOST]),
        *([f"  and {rest} more"] if rest > 0 else []),
        "Get these files again, or take them out of the table.",
    ]
    return "\n".join(lines)
