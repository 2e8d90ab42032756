"""The data of a run, as Lightning wants it: cached pictures, sampled, in whole batches."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from serving.manifest import ClassInfo, Preprocessing
from serving.pictures import Pixels
from training.data.cache import Cache, describe, open_cache
from training.data.duplicates import Hashes, find_known, open_hashes
from training.data.outlines import Outlines, open_outlines
from training.data.sampling import PowerSampler, log_prior, prior_shift
from training.data.sets import Pictures
from training.data.splits import PARTS, Part
from training.labels import BINARY, DataError, LabelledPicture

Batch = tuple[Tensor, Tensor]
"""Pictures `[N, S, S, 3] uint8` and classes `[N] int64`; pictures with their outlines have two more
channels, `Outlines.take`'s."""

Unreadable = Literal["fail", "skip"]

_NAMED_AT_MOST = 10


class CachedPictures(Dataset[Batch]):
    """Cached pictures with their classes, fetched a whole batch at a time."""

    def __init__(
        self,
        pixels: Sequence[Pixels],
        places: npt.NDArray[np.int64],
        labels: npt.NDArray[np.int64],
        outlines: Outlines | None = None,
    ) -> None:
        """Takes the caches of one or several sets, and where each picture lies in them.

        Args:
            pixels: The caches, each `[M, S, S, 3] uint8`.
            places: Of each picture the cache and the row, `[N, 2] int64`.
            labels: The class of each picture, `[N] int64`.
            outlines: Of the lesions, where they are to be fetched with the pictures.
        """
        self._pixels, self._places = list(pixels), places
        self._outlines = outlines
        self.labels = labels

    @property
    def side(self) -> int:
        """Of the pictures, S, in pixels."""
        return int(self._pixels[0].shape[1])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Batch:
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        places = self._places[indices]
        batch = np.empty((len(places), *self._pixels[0].shape[1:]), np.uint8)
        for cache, pixels in enumerate(self._pixels):
            in_cache = places[:, 0] == cache
            batch[in_cache] = pixels[places[in_cache, 1]]
        if self._outlines is not None:
            batch = np.concatenate([batch, self._outlines.take(indices)], axis=-1)
        return torch.from_numpy(batch), torch.from_numpy(self.labels[indices])

    def drawn(self, count: int, size: int, seed: int, title: str) -> Iterator[Tensor]:
        """`count` of the pictures, or all there are, in random order, with progress under `title`.

        Yields:
            Batches of `size`, `[N, S, S, 3] uint8`.
        """
        order = np.random.default_rng(seed).permutation(len(self))[:count].tolist()
        for start in tqdm(range(0, len(order), size), title, unit="batch"):
            yield self.__getitems__(order[start : start + size])[0][..., :3]


class CachedSets:
    """All pictures of all sets, decoded: also those of the parts that training does not look at.

    So a picture that cannot be decoded is named before the first epoch, whichever part it is in.
    """

    def __init__(
        self,
        pictures: Pictures,
        answers: Answers,
        preprocessing: Preprocessing,
        folder: Path,
        limit: int | None = None,
        unreadable: Unreadable = "fail",
        duplicates: bool = False,
    ) -> None:
        """Decodes what is not yet in `folder`; one cache a set, so that a set more decodes only it.

        Args:
            pictures: The sets.
            answers: How their labels become classes.
            preprocessing: The way to the network's input.
            folder: Of the caches.
            limit: Take no more than about this many pictures of each part (for a fast trial).
            unreadable: Whether pictures that cannot be decoded are an error, or named and left out.
            duplicates: Whether to leave out of a part what is in a later one of `PARTS`, too, under
                another lesion's name; the test part keeps its own.

        Raises:
            DataError: where they are an error, naming them.
        """
        self._answers, self._preprocessing, self._folder = answers, preprocessing, folder
        self._masks = {s.name: s.mask_folder for s in pictures.sets if s.mask_folder is not None}
        self._parts = {part: _thinned(each, limit) for part, each in pictures.parts.items()}
        self._parts["train"] = [*self._parts["train"], *_thinned(pictures.extra, limit)]
        listed = [picture for part in PARTS for picture in self._parts[part]]
        self._pixels: list[Pixels] = []
        self._place_of: dict[tuple[str, str], tuple[int, int]] = {}
        self._unreadable: set[tuple[str, str]] = set()
        self._duplicates: set[tuple[str, str]] = set()
        problems: list[str] = []
        caches: list[Cache] = []
        for index, source in enumerate(dict.fromkeys(picture.source for picture in listed)):
            of_set = sorted(
                (p for p in listed if p.source == source), key=lambda picture: picture.image_id
            )
            cache = open_cache(of_set, preprocessing, folder)
            self._pixels.append(cache.pixels)
            caches.append(cache)
            problems += cache.problems.values()
            self._unreadable |= {(source, of_set[row].image_id) for row in cache.problems}
            self._place_of |= {(source, p.image_id): (index, row) for row, p in enumerate(of_set)}
        if problems and unreadable == "fail":
            raise DataError(
                f"{describe(problems)}\nGet these files again, take them out of the table, or "
                "leave them out with data.unreadable=skip."
            )
        if problems:
            print(f"{describe(problems)}\nThey are left out.", file=sys.stderr)
        if duplicates:
            self._leave_out_duplicates([open_hashes(c.pixels, c.path) for c in caches])

    def kept(self, pictures: Iterable[LabelledPicture]) -> list[LabelledPicture]:
        """Those of `pictures` that were not left out."""
        left_out = self._unreadable | self._duplicates
        return [p for p in pictures if (p.source, p.image_id) not in left_out]

    def _leave_out_duplicates(self, hashes: Sequence[Hashes]) -> None:
        def hashed(pictures: Sequence[LabelledPicture]) -> Hashes:
            places = [self._place_of[p.source, p.image_id] for p in pictures]
            return np.array([hashes[index][row] for index, row in places], np.uint64).reshape(-1, 4)

        def groups(pictures: Sequence[LabelledPicture]) -> list[str]:
            return [f"{picture.source} {picture.group}" for picture in pictures]

        for place, part in enumerate(PARTS[:-1], 1):
            own = self.listed(part)
            later = [picture for other in PARTS[place:] for picture in self.listed(other)]
            found = find_known(hashed(own), groups(own), hashed(later), groups(later))
            self._duplicates |= {(own[i].source, own[i].image_id) for i in found}
            if found:
                named = ", ".join(own[i].image_id for i in found[:_NAMED_AT_MOST])
                rest = len(found) - _NAMED_AT_MOST
                print(
                    f"{len(found)} pictures of the {part} part are left out, because they are in "
                    f"{' or '.join(PARTS[place:])} as another {later[0].unit}'s: {named}"
                    + (f" and {rest} more" if rest > 0 else ""),
                    file=sys.stderr,
                )

    def listed(self, name: Part) -> list[LabelledPicture]:
        """The pictures of a part without those left out; those of extra sets belong to `train`."""
        return self.kept(self._parts[name])

    def refuse_absent_classes(self) -> None:
        """Makes sure that each class of the model has a picture in every part.

        A class that is not learned from has no prior, and one that is not calibrated on no threshold.

        Raises:
            DataError: naming each that has none, and where.
        """
        absent: dict[str, list[Part]] = {}
        for part in PARTS:
            there = set(self._answers.indices([picture.label for picture in self.listed(part)]))
            for index, each in enumerate(self._answers.classes):
                if index not in there:
                    absent.setdefault(each.id, []).append(part)
        if absent:
            named = "; ".join(f"{id}: none in {', '.join(parts)}" for id, parts in absent.items())
            raise DataError(
                f"Classes without a picture, after what was left out: {named}. Each class needs one "
                "in every part. Add pictures of other lesions, repair those that cannot be decoded, "
                "or leave the class out (of data.classes, too)."
            )

    def part(self, name: Part, outlines: bool = False) -> CachedPictures:
        """The pixels and classes of `listed`, with their `outlines` where these are asked for.

        Raises:
            DataError: where there are none, or one cannot be decoded.
        """
        listed = self.listed(name)
        known = (
            open_outlines(listed, self._masks, self._preprocessing, self._folder)
            if outlines
            else None
        )
        places = np.array([self._place_of[p.source, p.image_id] for p in listed], np.int64)
        labels = self._answers.indices([picture.label for picture in listed])
        return CachedPictures(self._pixels, places.reshape(-1, 2), labels, known)


class PictureData(pl.LightningDataModule):
    """Train and validation pictures of a run."""

    def __init__(
        self,
        train: CachedSets,
        validation: CachedSets,
        *,
        batch_size: int,
        sampling_power: float,
        seed: int,
        workers: int = 0,
        outlines: bool = False,
    ) -> None:
        """Takes the decoded pictures.

        Args:
            train: Those whose train part is shown.
            validation: Those whose validation part is looked at: the same, or of another size.
            batch_size: Pictures a batch, of all processes that train together.
            sampling_power: See `PowerSampler`.
            seed: Of the order in which pictures are shown.
            workers: Processes that gather batches; 0 does it in the training process.
            outlines: Whether lesions' outlines are learned from, too.

        Raises:
            DataError: where they are, and there are none.
        """
        super().__init__()
        self._batch_size, self._power, self._seed = batch_size, sampling_power, seed
        self._workers = workers
        self._train = train.part("train", outlines)
        self._validation = validation.part("validation")

    @property
    def train(self) -> CachedPictures:
        """The pictures of the train part, of the size that is shown."""
        return self._train

    @property
    def prior_shift(self) -> npt.NDArray[np.float32]:
        """What sampling adds to each class's log-prior, `[C] float32`."""
        return prior_shift(self._train.labels, self._power)

    @property
    def log_prior(self) -> npt.NDArray[np.float32]:
        """The logarithm of each class's share of the training pictures, `[C] float32`."""
        return log_prior(self._train.labels)

    def train_dataloader(self) -> DataLoader[Batch]:
        """Batches of the train part, the last incomplete one left out.

        Raises:
            DataError: where a batch cannot be shared out evenly.
        """
        pictures, (rank, of) = self._train, self._place
        if self._batch_size % of:
            raise DataError(
                f"A batch of {self._batch_size} pictures cannot be shared out to {of} processes. "
                "Set model.batch_size to a multiple of their number."
            )
        return self._loader(
            pictures,
            sampler=PowerSampler(pictures.labels, self._power, self._seed, rank, of),
            batch_size=self._batch_size // of,
            drop_last=len(pictures) >= self._batch_size,
        )

    def val_dataloader(self) -> DataLoader[Batch]:
        """Batches of the validation part, in order; each picture is one process's.

        All processes have as many batches, for they wait for one another.
        """
        rank, of = self._place
        count = len(self._validation)
        batches = max(1, min(math.ceil(count / self._batch_size), count // of))
        shared_out = np.array_split(np.arange(rank, count, of), batches)
        return self._loader(self._validation, batch_sampler=[part.tolist() for part in shared_out])

    @property
    def _place(self) -> tuple[int, int]:
        """Which of how many processes this is."""
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    def _loader(self, pictures: CachedPictures, **batching: Any) -> DataLoader[Batch]:
        return DataLoader(
            pictures,
            collate_fn=_as_it_is,
            num_workers=self._workers,
            persistent_workers=self._workers > 0,
            pin_memory=torch.cuda.is_available(),
            **batching,
        )


class Answers:
    """The classes that a model answers with, and how a data set's labels become them."""

    def __init__(self, classes: Sequence[ClassInfo], binary: Sequence[ClassInfo] | None) -> None:
        """Takes the set's classes and, for a model that answers only benign or malignant, those two.

        Raises:
            DataError: where `binary` is given, but not one benign and one malignant class, or the
                set has classes of only one kind.
        """
        self.classes = list(binary or classes)
        self._index = {c.id: i for i, c in enumerate(classes)}
        if binary is not None:
            if [(c.id, c.malignant) for c in binary] != [(BINARY[0], False), (BINARY[1], True)]:
                raise DataError(
                    "A model of malignancy answers two classes: set model.binary to these, in this "
                    f"order, with the ids {BINARY[0]} and {BINARY[1]}; their names are yours."
                )
            if len({c.malignant for c in classes}) < 2:
                raise DataError(
                    f"None or all of the classes ({', '.join(c.id for c in classes)}) are malignant, "
                    "and this model tells benign from malignant. Name the malignant ones in "
                    "data.malignant, train only MODEL=mobilenet, or set model.target=classes."
                )
            self._index = {c.id: int(c.malignant) for c in classes}

    def indices(self, labels: Sequence[str]) -> npt.NDArray[np.int64]:
        """The index of each label's class in `classes`, `[N] int64`."""
        return np.array([self._index[label] for label in labels], np.int64)


def _as_it_is(batch: Any) -> Any:
    """The data set gathers whole batches, so there is nothing left to collate."""
    return batch


def _thinned(listed: Sequence[LabelledPicture], limit: int | None) -> list[LabelledPicture]:
    """At most about `limit` pictures, as many of each class as there are."""
    if limit is None or len(listed) <= limit:
        return list(listed)
    labels = sorted({picture.label for picture in listed})
    each = max(1, limit // len(labels))
    return [p for label in labels for p in [q for q in listed if q.label == label][:each]]
