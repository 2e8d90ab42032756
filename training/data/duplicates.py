"""Pictures that are in the data twice, whatever their files are called, told by how they look."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import imagehash
import numpy as np
import numpy.typing as npt
from filelock import FileLock
from PIL import Image
from tqdm import tqdm

from serving.cores import available_cores
from serving.pictures import Pixels
from training.data.portions import on_all_cores

SIDE = 16
"""Of the square of frequencies whose signs are a picture's hash: 256 bits."""

SAME = 30
"""Bits in which two hashes of the same picture may differ.

Of HAM10000's pictures saved again at JPEG quality 50, at half or at three times their size, none
differed in more than 22; of two lesions' pictures (HAM10000 and ISIC 2017) no two in fewer than 44.
"""

# A hash is compared in sixteenths of 16 bits. Two within SAME differ in one bit of some sixteenth at
# most: two bits in each would be 32.
_PIECES = _BITS = 16
assert SAME < 2 * _PIECES

_PAIRS = 1 << 16
"""Compared at a time."""

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


def find_known(
    among: Hashes, groups: Sequence[str], known: Hashes, known_groups: Sequence[str]
) -> list[int]:
    """Places in `among` `[N, 4]` of pictures that are in `known` `[M, 4]`, of another group there.

    Two hashes that differ in few bits are all but equal in some sixteenth of them: only such pairs
    are compared, on all cores and with a progress bar. Norouzi, Punjani and Fleet, "Fast Search in
    Hamming Space with Multi-Index Hashing", CVPR 2012.
    """
    numbers: dict[str, int] = {}
    own, others = (
        np.array([numbers.setdefault(group, len(numbers)) for group in each], np.int64)
        for each in (groups, known_groups)
    )
    found = np.zeros(len(among), bool)
    pieces, known_pieces = _pieces(among), _pieces(known)
    halves = among[:, :2].copy()

    def look(piece: int) -> None:
        """Among the hashes that differ in at most one bit of one piece."""
        order = np.argsort(known_pieces[:, piece], kind="stable")
        begins = np.searchsorted(known_pieces[order, piece], np.arange(2**_BITS + 1))
        answers, answer_groups = known[order], others[order]
        answer_halves = answers[:, :2].copy()
        for flipped in (0, *(1 << bit for bit in range(_BITS))):
            asking = np.flatnonzero(~found)
            alike = pieces[asking, piece] ^ flipped
            first = begins[alike]
            for i, j in _pairs(asking, first, begins[alike + 1] - first):
                # Half of the bits tell nearly all pairs apart.
                differing = np.bitwise_count(halves[i] ^ answer_halves[j])
                near = differing[:, 0] + differing[:, 1] <= SAME
                i, j = i[near], j[near]
                differing = np.bitwise_count(among[i] ^ answers[j]).sum(axis=1)
                found[i[(differing <= SAME) & (own[i] != answer_groups[j])]] = True

    with ThreadPoolExecutor(available_cores()) as pool:
        looked = pool.map(look, range(_PIECES))
        for _ in tqdm(looked, "looking for duplicates", _PIECES, unit="piece"):
            pass
    return [int(place) for place in np.flatnonzero(found)]


def _pieces(hashes: Hashes) -> npt.NDArray[np.int64]:
    """`[N, 16]`: the hashes cut into sixteenths."""
    return hashes.view(np.uint16).astype(np.int64)


def _pairs(
    asking: npt.NDArray[np.int64], first: npt.NDArray[np.int64], count: npt.NDArray[np.int64]
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Each of `asking` with the `count` places from its `first` on, about `_PAIRS` at a time."""
    ends = np.cumsum(count)
    cuts = np.searchsorted(ends, np.arange(_PAIRS, ends[-1] if len(ends) else 0, _PAIRS))
    for part in np.split(np.arange(len(asking)), np.unique(cuts + 1)):
        total = count[part].sum()
        if total:
            begin = np.repeat(np.cumsum(count[part]) - count[part], count[part])
            within = np.arange(total) - begin
            yield np.repeat(asking[part], count[part]), np.repeat(first[part], count[part]) + within


def _write_hashes(pixels: Pixels, path: Path) -> None:
    with (
        on_all_cores(len(pixels)) as in_portions,
        tqdm(desc="hashing", total=len(pixels), unit="picture") as bar,
    ):
        listed = []
        for hashes in in_portions(partial(_hash_rows, pixels), range(len(pixels))):
            listed.append(hashes)
            bar.update(len(hashes))
    # np.save adds the suffix where it is missing.
    unfinished = path.with_suffix(".new.npy")
    np.save(unfinished, np.concatenate(listed))
    unfinished.replace(path)


def _hash_rows(pixels: Pixels, _at: int, rows: Sequence[int]) -> Hashes:
    return np.stack([_hash(pixels[row]) for row in rows])


def _hash(pixels: Pixels) -> Hashes:
    bits = imagehash.phash(Image.fromarray(pixels), hash_size=SIDE).hash
    packed: Hashes = np.packbits(bits.ravel()).view(np.uint64)
    return packed
