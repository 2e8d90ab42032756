"""What an epoch shows follows from seed and epoch, and rare classes are shown more often."""

from typing import cast

import numpy as np
import pytest

from training.data.module import CachedPictures, CachedSets, PictureData
from training.data.sampling import PowerSampler, log_prior, prior_shift

LABELS = np.repeat([0, 1], [900, 100])


def shown(power: float, seed: int = 0, epoch: int = 0) -> list[int]:
    sampler = PowerSampler(LABELS, power, seed)
    sampler.set_epoch(epoch)
    return list(sampler)


def test_power_zero_shows_each_picture_once() -> None:
    assert sorted(shown(0)) == list(range(1000))


@pytest.mark.parametrize(("power", "share"), [(0.5, 0.25), (1.0, 0.5)])
def test_rare_classes_are_shown_as_often_as_the_power_says(power: float, share: float) -> None:
    drawn = [i for epoch in range(20) for i in shown(power, epoch=epoch)]
    assert np.mean(LABELS[drawn] == 1) == pytest.approx(share, abs=0.01)


@pytest.mark.parametrize("power", [0, 0.5])
def test_an_epoch_repeats_with_its_seed_and_differs_from_the_next(power: float) -> None:
    assert shown(power, seed=4, epoch=7) == shown(power, seed=4, epoch=7)
    assert shown(power, seed=4, epoch=7) != shown(power, seed=4, epoch=8)
    assert shown(power, seed=4, epoch=7) != shown(power, seed=5, epoch=7)


def test_the_shift_turns_the_classes_prior_into_the_sampled_one() -> None:
    sampled = np.exp(log_prior(LABELS) + prior_shift(LABELS, 0.5))
    assert sampled == pytest.approx([0.75, 0.25], abs=1e-6)


@pytest.mark.parametrize(("count", "of"), [(9, 2), (33, 4), (3, 2), (7, 1)])
def test_processes_validate_in_as_many_batches_and_no_picture_twice(
    monkeypatch: pytest.MonkeyPatch, count: int, of: int
) -> None:
    pictures = CachedPictures(
        [np.zeros((count, 2, 2, 3), np.uint8)],
        np.stack([np.zeros(count, np.int64), np.arange(count)], axis=1),
        np.arange(count),
    )

    class Sets:
        def part(self, _: str, outlines: bool = False) -> CachedPictures:
            return pictures

    sets = cast(CachedSets, Sets())
    seen: list[list[list[int]]] = []
    for rank in range(of):
        data = PictureData(sets, sets, batch_size=8, sampling_power=0, seed=0)
        monkeypatch.setattr(PictureData, "_place", (rank, of))
        seen.append([labels.tolist() for _, labels in data.val_dataloader()])
    assert len({len(batches) for batches in seen}) == 1
    labels = [label for batches in seen for batch in batches for label in batch]
    assert sorted(labels) == list(range(count))
    assert all(batch for batches in seen for batch in batches)
