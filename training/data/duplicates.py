"""Pictures that are in the data twice, whatever their files are called, told by how they look."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import imagehash
import numpy as np
import numpy.typing as npt
from filelock import FileLock
from PIL import Image
from tqdm import tqdm

from serving.cores import available_cores
from serving.pictures import Pixels

SIDE = 16
"""Of the square of frequencies whose signs are a picture's hash: 256 bits."""

SAME = 30
"""Bits in which two hashes of the same picture may differ.

Of HAM10000's pictures saved again at JPEG quality 50, at half or at three times their size, none
differed in more than 22; of two lesions' pictures (HAM10000 and ISIC 2017) no two in fewer than 44.
"""

_AT_ONCE = 256

Hashes = npt.NDArray[np.uint64]


def open_hashes(pixels: Pixels, cache: Path) -> Hashes:
    """The perceptual hashes of `pixels` `[N, S, S, 3] uint8`, `[N, 4] uint64`.

    They are computed once, on all cores and with a progress bar, and kept beside the file `cache`.
    Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010.
    """
    path = cache.with_suffix(".hashes.npy")
    if not path.exists():
        with FileLock(path.with_suffix(".lock")):
            if not path.exists():
                _write_hashes(pixels, path)
    found: Hashes = np.load(path)
    return found


def find_known(among: Hashes, groups: Sequence[str], known: Hashes, known_groups: Sequence[str]) -> list[int]:
    """Places in `among` `[N, 4]` of pictures that are in `known` `[M, 4]`, of another group there.

    Every pair is compared, on all cores and with a progress bar.
    """
    _, numbers = np.unique([*groups, *known_groups], return_inverse=True)
    own, others = numbers[: len(groups)], numbers[len(groups) :]

    def is_known(place: int) -> bool:
        differing = np.bitwise_count(known ^ among[place]).sum(axis=1)
        return bool(((differing <= SAME) & (others != own[place])).any())

    with ThreadPoolExecutor(available_cores()) as pool:
        compared = pool.map(is_known, range(len(among)), chunksize=_AT_ONCE)
        shown = tqdm(compared, "looking for duplicates", len(among), unit="picture")
        return [place for place, found in enumerate(shown) if found]


def _write_hashes(pixels: Pixels, path: Path) -> None:
    with ThreadPoolExecutor(available_cores()) as pool:
        made = pool.map(_hash, pixels, chunksize=_AT_ONCE)
        listed = list(tqdm(made, "hashing", len(pixels), unit="picture"))
    # np.save adds the suffix where it is missing.
    unfinished = path.with_suffix(".new.npy")
    np.save(unfinished, np.stack(listed))
    unfinished.replace(path)


def _hash(pixels: Pixels) -> Hashes:
    bits = imagehash.phash(Image.fromarray(pixels), hash_size=SIDE).hash
    packed: Hashes = np.packbits(bits.ravel()).view(np.uint64)
    return packed
