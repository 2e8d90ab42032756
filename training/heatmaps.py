"""Where a model looked: whether its heatmaps point at the lesion, and at what decided.

Two measures, each beside guesses that know nothing of the picture: how much of a heatmap's weight
lies inside the lesion's outline, and how much of the predicted class's probability is lost where
the hottest part of the picture is blurred away (as in Fong and Vedaldi, "Interpretable Explanations
of Black Boxes by Meaningful Perturbation", ICCV 2017).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta
from PIL import Image, ImageFilter

from serving.classifier import Classifier
from serving.pictures import PictureError, Pixels, Prepared, prepare
from training.bootstrap import Bools, Bootstrap, Figure, Floats
from training.data.cache import TRUSTED
from training.data.outlines import outline_of, refuse_other_proportions
from training.labels import DataError, LabelledPicture
from training.measures import mean
from training.predictions import decisions, in_batches

_Map = npt.NDArray[np.float32]


class HeatmapSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The guess at the middle and the blur, from `conf/evaluate.yaml`; lengths in sides."""

    centre: Annotated[float, Meta(gt=0)]
    """standard deviation of the Gaussian in the middle"""
    hottest: Annotated[float, Meta(gt=0, lt=1)]
    """share of the square that is blurred away"""
    blur: Annotated[float, Meta(gt=0)]
    """standard deviation of the blur"""


class Looks(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured of N pictures, each `[N] float64`.

    The weight inside the lesion of the heatmap, of a Gaussian in the middle and of the whole
    picture (NaN without an outline); the loss of probability with the hottest part blurred by the
    heatmap, by the Gaussian, by cells drawn by chance, and with everything blurred. `blank` `[N]
    bool`: maps without any evidence, which count as the whole picture.
    """

    inside: Floats
    inside_centre: Floats
    inside_picture: Floats
    drop: Floats
    drop_centre: Floats
    drop_chance: Floats
    drop_everything: Floats
    blank: Bools


class Guessed(msgspec.Struct, frozen=True, kw_only=True):
    """A figure of the heatmaps beside those of guesses, and the paired differences to them.

    `centre` is a Gaussian in the middle; `chance` looks everywhere alike.
    """

    heatmap: Figure
    centre: Figure
    chance: Figure
    over_centre: Figure
    over_chance: Figure


class HeatmapFigures(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a model looked. `drop` is of the predicted class's probability.

    `drop_everything` is what is lost where the whole picture is blurred; `inside` is None where no
    picture has an outline. Where some maps are blank, `inside_with_evidence` and
    `drop_with_evidence` leave those pictures out.
    """

    settings: HeatmapSettings
    pictures: int
    blank: int
    inside: Guessed | None = None
    drop: Guessed
    drop_everything: Figure
    inside_with_evidence: Guessed | None = None
    drop_with_evidence: Guessed | None = None


def look(
    model: Classifier,
    pictures: Sequence[LabelledPicture],
    masks: Path | None,
    settings: HeatmapSettings,
    seed: int,
) -> Looks:
    """Measures the predicted class's heatmap over `pictures`, with a progress bar.

    Args:
        model: The artifact.
        pictures: Readable ones.
        masks: The folder where `outline_of` finds lesions' outlines; None where there is none.
        settings: The guesses and the blur.
        seed: Of the cells drawn by chance.

    Raises:
        DataError: where an outline is no picture, or of other proportions than its picture.
    """
    # A picture's chance is its own, whichever batch and thread it is in.
    numbered = list(enumerate(pictures))
    work = partial(_look_at_batch, model, masks, settings, seed)
    parts = list(in_batches(numbered, work, f"{model.manifest.name}, where it looked"))
    return Looks(
        **{
            field: np.concatenate([getattr(part, field) for part in parts])
            for field in Looks.__struct_fields__
        }
    )


def measure(looks: Looks, settings: HeatmapSettings, bootstrap: Bootstrap) -> HeatmapFigures:
    """The figures of `looks`, on `bootstrap`'s resamples of the same pictures."""
    outlined = ~np.isnan(looks.inside)
    everyone = np.ones(len(outlined), bool)
    inside = (looks.inside, looks.inside_centre, looks.inside_picture)
    drop = (looks.drop, looks.drop_centre, looks.drop_chance)
    # Without blank maps these would be the same figures again.
    seen = ~looks.blank if looks.blank.any() else np.zeros(len(outlined), bool)
    lost = _guessed(*drop, everyone, bootstrap)
    assert lost is not None
    return HeatmapFigures(
        settings=settings,
        pictures=len(outlined),
        blank=int(looks.blank.sum()),
        inside=_guessed(*inside, outlined, bootstrap),
        drop=lost,
        drop_everything=_mean(looks.drop_everything, everyone, bootstrap),
        inside_with_evidence=_guessed(*inside, outlined & seen, bootstrap),
        drop_with_evidence=_guessed(*drop, seen, bootstrap),
    )


def _guessed(
    heatmap: Floats, centre: Floats, chance: Floats, among: Bools, bootstrap: Bootstrap
) -> Guessed | None:
    if not among.any():
        return None
    return Guessed(
        heatmap=_mean(heatmap, among, bootstrap),
        centre=_mean(centre, among, bootstrap),
        chance=_mean(chance, among, bootstrap),
        over_centre=_mean(heatmap - centre, among, bootstrap),
        over_chance=_mean(heatmap - chance, among, bootstrap),
    )


def _mean(values: Floats, among: Bools, bootstrap: Bootstrap) -> Figure:
    figure = bootstrap.figure(mean(values, among), int(among.sum()))
    assert figure is not None
    return figure


def _look_at_batch(
    model: Classifier,
    masks: Path | None,
    settings: HeatmapSettings,
    seed: int,
    batch: Sequence[tuple[int, LabelledPicture]],
) -> Looks:
    preprocessing = model.manifest.preprocessing
    side, count = preprocessing.size, len(batch)
    prepared = [prepare(picture.path.read_bytes(), preprocessing, TRUSTED) for _, picture in batch]
    pixels = np.stack([each.pixels for each in prepared])
    outputs = model.run(pixels)
    predicted = decisions(outputs.probability, model.manifest)
    cells = outputs.heatmap[np.arange(count), predicted]
    centre = _gaussian(side, settings.centre)
    heat = np.stack([_enlarged(each, side) for each in cells])
    chance = np.stack(
        [
            _enlarged(np.random.default_rng((seed, number)).random(cells[0].shape), side)
            for number, _ in batch
        ]
    )
    blank = cells.max(axis=(1, 2)) <= 0
    lesions = np.stack(
        [
            _outline(masks, picture, each, model)
            for (_, picture), each in zip(batch, prepared, strict=True)
        ]
    )
    blurred = np.stack([_blurred(each, settings.blur * side) for each in pixels])

    def drop(where: Bools) -> Floats:
        altered = np.where(where[..., None], blurred, pixels)
        left = model.run(altered).probability[np.arange(count), predicted]
        lost: Floats = outputs.probability[np.arange(count), predicted].astype(np.float64) - left
        return lost

    # Where a map says nothing, chance decides, and not the order of the pixels.
    hottest = np.stack(
        [_largest(h + 1e-6 * c, settings.hottest) for h, c in zip(heat, chance, strict=True)]
    )
    return Looks(
        inside=_share_inside(np.where(blank[:, None, None], 1, heat), lesions),
        inside_centre=_share_inside(np.broadcast_to(centre, heat.shape), lesions),
        inside_picture=_share_inside(np.ones_like(heat), lesions),
        drop=drop(hottest),
        drop_centre=drop(np.broadcast_to(_largest(centre, settings.hottest), heat.shape)),
        drop_chance=drop(np.stack([_largest(each, settings.hottest) for each in chance])),
        drop_everything=drop(np.ones(heat.shape, bool)),
        blank=blank,
    )


def _outline(
    masks: Path | None, picture: LabelledPicture, prepared: Prepared, model: Classifier
) -> _Map:
    """How much of each pixel belongs to the lesion, `[S, S]` in [0, 1]; NaN where none is known.

    The outline goes the picture's own way to the square.
    """
    preprocessing = model.manifest.preprocessing
    unknown = np.full((preprocessing.size, preprocessing.size), np.nan, np.float32)
    path = outline_of(picture.image_id, masks)
    if path is None:
        return unknown
    try:
        mask = prepare(path.read_bytes(), preprocessing, TRUSTED)
    except (OSError, PictureError) as error:
        raise DataError(f"{path}: {error} Outlines are black and white PNGs.") from error
    refuse_other_proportions(path, (mask.width, mask.height), (prepared.width, prepared.height))
    inside = np.divide(mask.pixels[..., 0], 255, dtype=np.float32)
    # Of a lesion that is not in view nothing can be said.
    return inside if inside.any() else unknown


def _share_inside(weights: _Map, lesions: _Map) -> Floats:
    """The share of `weights` `[N, S, S]` that lies inside `lesions` `[N, S, S]`, `[N]`."""
    total = weights.sum(axis=(1, 2), dtype=np.float64)
    share: Floats = (weights * lesions).sum(axis=(1, 2), dtype=np.float64) / total
    return share


def _enlarged(cells: npt.NDArray[np.floating], side: int) -> _Map:
    """A heatmap `[h, w]` at each pixel of the square `[S, S]`, as it is laid over the picture."""
    coarse = Image.fromarray(cells.astype(np.float32))
    fine = coarse.resize((side, side), Image.Resampling.BICUBIC)
    return np.asarray(fine).clip(0, 1)


def _gaussian(side: int, deviation: float) -> _Map:
    """A Gaussian in the middle of the square, `[S, S]`; `deviation` in sides."""
    across = (np.arange(side) + 0.5) / side - 0.5
    wave = np.exp(-0.5 * (across / deviation) ** 2)
    return np.outer(wave, wave).astype(np.float32)


def _largest(values: _Map, share: float) -> Bools:
    """The `share` of the pixels `[S, S]` with the largest values."""
    count = round(share * values.size)
    chosen = np.zeros(values.size, bool)
    chosen[np.argpartition(values, values.size - count, axis=None)[-count:]] = True
    return chosen.reshape(values.shape)


def _blurred(pixels: Pixels, radius: float) -> Pixels:
    """The square `[S, S, 3] uint8`, blurred; `radius` is a standard deviation in pixels."""
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius)))
