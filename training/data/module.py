"""The data of a run, as Lightning wants it: cached pictures, sampled, in whole batches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from serving.manifest import ClassInfo, Preprocessing
from serving.pictures import Pixels
from training.data.cache import open_cache
from training.data.sampling import PowerSampler, log_prior, prior_shift
from training.data.sets import Pictures
from training.labels import LabelledPicture

Batch = tuple[Tensor, Tensor]
"""Pictures `[N, S, S, 3] uint8` and classes `[N] int64`."""


class CachedPictures(Dataset[Batch]):
    """Cached pictures with their classes, fetched a whole batch at a time."""

    def __init__(self, pixels: Sequence[Pixels], labels: npt.NDArray[np.int64]) -> None:
        """Takes the caches of one or several sets, `[N_i, S, S, 3] uint8`, and all labels `[N]`."""
        self._pixels = list(pixels)
        self._ends = np.cumsum([len(each) for each in pixels])
        self.labels = labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Batch:
        return self.__getitems__([index])

    def __getitems__(self, indices: list[int]) -> Batch:
        first = self._pixels[0]
        batch = np.empty((len(indices), *first.shape[1:]), np.uint8)
        for row, index in enumerate(indices):
            which = int(np.searchsorted(self._ends, index, side="right"))
            start = self._ends[which - 1] if which else 0
            batch[row] = self._pixels[which][index - start]
        return torch.from_numpy(batch), torch.from_numpy(self.labels[indices])


class PictureData(pl.LightningDataModule):
    """Train and validation pictures of a run."""

    def __init__(
        self,
        pictures: Pictures,
        answers: Answers,
        preprocessing: Preprocessing,
        cache: Path,
        *,
        batch_size: int,
        sampling_power: float,
        seed: int,
        workers: int = 0,
        limit: int | None = None,
    ) -> None:
        """Decodes what is not in the folder `cache` yet.

        Args:
            pictures: What to train on.
            answers: The classes of the model and how labels become them.
            preprocessing: The way to the network's input.
            cache: Folder of the decoded pictures.
            batch_size: Pictures a batch.
            sampling_power: See `PowerSampler`.
            seed: Of the order in which pictures are shown.
            workers: Processes that gather batches; 0 does it in the training process.
            limit: Use no more than about this many pictures of each part (for a fast trial).

        Raises:
            DataError: naming every picture that cannot be decoded.
        """
        super().__init__()
        self.answers = answers
        self._batch_size, self._power, self._seed = batch_size, sampling_power, seed
        self._workers = workers
        parts = {
            "train": [*pictures.parts["train"], *pictures.extra],
            "validation": pictures.parts["validation"],
        }
        self._sets = {
            part: self._cached(_thinned(listed, limit), preprocessing, cache)
            for part, listed in parts.items()
        }

    @property
    def prior_shift(self) -> npt.NDArray[np.float32]:
        """What sampling adds to each class's log-prior, `[C] float32`."""
        return prior_shift(self._sets["train"].labels, self._power)

    @property
    def log_prior(self) -> npt.NDArray[np.float32]:
        """The logarithm of each class's share of the training pictures, `[C] float32`."""
        return log_prior(self._sets["train"].labels)

    def train_dataloader(self) -> DataLoader[Batch]:
        """Batches of the train part, the last incomplete one left out."""
        pictures = self._sets["train"]
        sampler = PowerSampler(pictures.labels, self._power, self._seed)
        return self._loader(pictures, sampler, drop_last=len(pictures) >= self._batch_size)

    def val_dataloader(self) -> DataLoader[Batch]:
        """Batches of the validation part, in order."""
        return self._loader(self._sets["validation"], None, drop_last=False)

    def _loader(
        self, pictures: CachedPictures, sampler: PowerSampler | None, *, drop_last: bool
    ) -> DataLoader[Batch]:
        return DataLoader(
            pictures,
            batch_size=self._batch_size,
            sampler=sampler,
            drop_last=drop_last,
            collate_fn=_as_it_is,
            num_workers=self._workers,
            persistent_workers=self._workers > 0,
            pin_memory=torch.cuda.is_available(),
        )

    def _cached(
        self, listed: Sequence[LabelledPicture], preprocessing: Preprocessing, cache: Path
    ) -> CachedPictures:
        """One cache for each set, so that another set added later decodes only its own."""
        sources = list(dict.fromkeys(picture.source for picture in listed))
        by_source = [[p for p in listed if p.source == source] for source in sources]
        pixels = [open_cache(each, preprocessing, cache) for each in by_source]
        labels = self.answers.indices([p.label for each in by_source for p in each])
        return CachedPictures(pixels, labels)


class Answers:
    """The classes that a model answers with, and how a data set's labels become them."""

    def __init__(self, classes: Sequence[ClassInfo], binary: Sequence[ClassInfo] | None) -> None:
        """Takes the set's classes and, for a model that answers only benign or malignant, those two.

        Raises:
            ValueError: where `binary` is given, but not one benign and one malignant class, or the
                set has classes of only one kind.
        """
        self.classes = list(binary or classes)
        self._index = {c.id: i for i, c in enumerate(classes)}
        if binary is not None:
            if [c.malignant for c in binary] != [False, True]:
                raise ValueError("a model of malignancy answers a benign and a malignant class")
            if len({c.malignant for c in classes}) < 2:
                raise ValueError(
                    "the data set has no malignant or no benign class; name the malignant ones in "
                    "`data.malignant`, or train model=cnn with model.target=classes"
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
