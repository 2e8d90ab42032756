"""How unlike the training pictures a picture is, told in the graph by what the network sees."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Protocol

import msgspec
import numpy as np
import numpy.typing as npt
import torch
from msgspec import Meta
from torch import Tensor, nn
from tqdm import tqdm

from serving.manifest import Preprocessing
from serving.pictures import PictureError, prepare
from training.cameras import sent_on
from training.data.cache import TRUSTED
from training.inputs import as_input
from training.labels import DataError, LabelledPicture
from training.networks.description import Description

Floats = npt.NDArray[np.float64]

_BATCH = 64

_COPIED = 4
"""times the network's size, that a copy of a large picture is shrunk to"""


class Describing(Protocol):
    """A network that can describe a picture."""

    def feature_maps(self, pictures: Tensor) -> list[Tensor]:
        """Maps `[N, K, h, w]` of `pictures` `[N, 3, S, S] float32` in [0, 1]."""
        ...

    def describe(self, maps: list[Tensor]) -> Description:
        """The description of the pictures that have these feature maps."""
        ...


class NoveltySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How novelty is fitted, from `conf/export.yaml`."""

    pictures: Annotated[int, Meta(ge=2)]
    """training pictures it is fitted to, or all where they are fewer"""
    copies: Annotated[int, Meta(ge=0)]
    """so many of them it is fitted to once more, in other lights and compressed"""
    qualities: tuple[Annotated[int, Meta(ge=1, le=95)], Annotated[int, Meta(ge=1, le=95)]]
    """the lowest and the highest of a copy's JPEG"""
    lights: tuple[Annotated[float, Meta(gt=0)], Annotated[float, Meta(gt=0)]]
    """times as bright as the picture a copy is, at least and at most"""
    components: Annotated[int, Meta(ge=1)]
    """directions of a layer with a variance of their own"""
    shrinkage: Annotated[float, Meta(gt=0, le=1)]
    """share of the features' correlations that is given up"""
    least_deviation: Annotated[float, Meta(gt=0, lt=1)]
    """the smallest deviation of a feature, in root mean squares of its layer's"""
    unit: Annotated[float, Meta(gt=0.5, lt=1)]
    """quantile of the training pictures whose score is one"""
    corner: Annotated[float, Meta(gt=0, lt=0.5)]
    """side of a corner that is taken for bare skin, in sides of the picture"""

    def __post_init__(self) -> None:
        for name, (least, most) in (("qualities", self.qualities), ("lights", self.lights)):
            if least > most:
                raise ValueError(f"{name}: {least} is more than {most}")


class Novelty(nn.Module):
    """The larger of two scores: how far from the training pictures, and how much like bare skin.

    Either is nought for a training picture in the middle and one at their quantile `unit`. The
    distance is the sum of Mahalanobis distances in several layers (Lee et al., "A Simple Unified
    Framework for Detecting Out-of-Distribution Samples", NeurIPS 2018), each layer in such a unit
    of its own, so that none drowns the others: early ones know colour and texture, late ones what
    makes a lesion. Skin without a lesion lies in between all lesions, where no distance finds it.
    So a linear discriminant (Fisher, Annals of Eugenics 7, 1936) tells the training pictures from
    their own corners.
    """

    skin: Tensor
    skin_offset: Tensor

    def __init__(self, lesions: Description, bare: Description, settings: NoveltySettings) -> None:
        """Fits both scores to descriptions of training pictures and of `bare` skin.

        Raises:
            ValueError: where there are too few pictures to fit to.
        """
        super().__init__()
        if min(len(lesions.skin), len(bare.skin)) < 2:
            raise ValueError("novelty needs at least two pictures to be fitted to")
        layers = [_Gaussian(each.double().numpy(), settings) for each in lesions.layers]
        self.layers = nn.ModuleList(layers)
        with torch.no_grad():
            distance = self._distance(lesions.layers).double().numpy()
        typical, unit = _scale(distance, settings.unit)
        for layer in layers:
            layer.rescale(typical / len(layers), unit)
        weight = _discriminant(lesions.skin.double().numpy(), bare.skin.double().numpy(), settings)
        typical, unit = _scale(lesions.skin.double().numpy() @ weight, settings.unit)
        self.register_buffer("skin", _tensor(weight / unit))
        self.register_buffer("skin_offset", _tensor(typical / unit))

    def forward(self, description: Description) -> Tensor:
        """The score `[N]` of described pictures."""
        bareness = description.skin @ self.skin - self.skin_offset
        return torch.maximum(self._distance(description.layers), bareness)

    def _distance(self, layers: Sequence[Tensor]) -> Tensor:
        scores = [layer(each) for layer, each in zip(self.layers, layers, strict=True)]
        return torch.stack(scores).sum(dim=0)


def shown(
    pictures: Sequence[LabelledPicture],
    preprocessing: Preprocessing,
    settings: NoveltySettings,
    seed: int,
) -> Iterator[Tensor]:
    """Those training pictures that novelty is fitted to, prepared by serving's own code.

    As many of each set, as far as it has them: a clinic whose pictures are fewer is no stranger.
    They are seen as they are, and some once more as another lamp and a messenger would have them:
    nobody should be told of a lesion's copy that it is none. Fitted to all that training does to
    pictures, novelty took plain skin for lesions.

    Yields:
        Batches `[N, S, S, 3] uint8`.

    Raises:
        DataError: where one cannot be read.
    """
    random = np.random.default_rng(seed)
    chosen = _evenly(pictures, settings.pictures, random)
    again = chosen[: settings.copies]
    qualities = random.integers(settings.qualities[0], settings.qualities[1] + 1, len(again))
    lights = random.uniform(*settings.lights, len(again))
    changes = zip(qualities.tolist(), lights.tolist(), strict=True)
    drawn = [*((file, None) for file in chosen), *zip(again, changes, strict=True)]
    for start in tqdm(range(0, len(drawn), _BATCH), "fitting novelty", unit="batch"):
        batch = drawn[start : start + _BATCH]
        yield torch.from_numpy(np.stack([_pixels(*each, preprocessing) for each in batch]))


def _evenly(
    pictures: Sequence[LabelledPicture], count: int, random: np.random.Generator
) -> list[Path]:
    """The files of `count` of `pictures`, drawn from their sets in turn."""
    drawn: Counter[str] = Counter()
    turns: list[tuple[int, Path]] = []
    for place in random.permutation(len(pictures)):
        picture = pictures[place]
        turns.append((drawn[picture.source], picture.path))
        drawn[picture.source] += 1
    turns.sort(key=lambda turn: turn[0])
    return [path for _, path in turns[:count]]


def _pixels(
    file: Path, change: tuple[int, float] | None, preprocessing: Preprocessing
) -> npt.NDArray[np.uint8]:
    try:
        data = file.read_bytes()
        sent = data if change is None else sent_on(data, *change, _COPIED * preprocessing.size)
        return prepare(sent, preprocessing, TRUSTED).pixels
    except (OSError, PictureError) as error:
        raise DataError(f"{file}: cannot be read: {error}") from error


def fit(network: Describing, batches: Iterable[Tensor], settings: NoveltySettings) -> Novelty:
    """The novelty of `network`, fitted to training pictures in `batches` `[N, S, S, 3] uint8`."""
    lesions: list[Description] = []
    bare: list[Description] = []
    with torch.no_grad():
        for number, batch in enumerate(batches):
            for found, pictures in ((lesions, batch), (bare, bare_skin(batch, settings, number))):
                found.append(network.describe(network.feature_maps(as_input(pictures))))
    return Novelty(_joined(lesions), _joined(bare), settings)


def bare_skin(pictures: Tensor, settings: NoveltySettings, seed: int) -> Tensor:
    """A corner of each of `pictures` `[N, S, S, 3]`, mirrored on and on until it fills the square.

    Lesions are photographed in the middle: what is in a corner is skin, of that patient and under
    that lamp, in its own sharpness.
    """
    random = np.random.default_rng(seed)
    size = pictures.shape[1]
    side = max(1, round(settings.corner * size))
    filled = []
    for picture in pictures:
        top, left = random.integers(2, size=2) * (size - side)
        corner = picture[top : top + side, left : left + side]
        rows, columns = (_mirrored(side, size, int(random.integers(2 * side))) for _ in range(2))
        filled.append(corner[rows][:, columns])
    return torch.stack(filled)


def _mirrored(side: int, size: int, start: int) -> Tensor:
    """`size` indices that go to and fro over `side` pixels."""
    place = (torch.arange(size) + start) % (2 * side)
    return torch.minimum(place, 2 * side - 1 - place)


class _Gaussian(nn.Module):
    """One layer's Gaussian: features `[N, D]` to squared distances in its unit, `[N]`.

    The correlations are shrunk towards none (Schaefer and Strimmer, Stat. Appl. Genet. Mol. Biol.
    4, 2005). Of what is left the largest directions have their own variance and all others share
    one, as in probabilistic principal components (Tipping and Bishop, J. R. Stat. Soc. B 61, 1999),
    so that a layer costs a matrix of D x `components`.
    """

    mean: Tensor
    scale: Tensor
    directions: Tensor
    rest: Tensor
    typical: Tensor

    def __init__(self, features: Floats, settings: NoveltySettings) -> None:
        super().__init__()
        mean, deviation = features.mean(axis=0), _deviation(features, settings)
        standard = (features - mean) / deviation
        variances, axes = np.linalg.eigh(_correlation(standard, settings))
        kept = min(settings.components, features.shape[1] - 1)
        own, shared = variances[-kept:], float(variances[:-kept].mean())
        # Whitened directions: the squared length of a projection is its squared distance. What the
        # residual counts too much along them, at the shared variance, comes off again.
        directions = axes[:, -kept:] * np.sqrt(np.maximum(1 / shared - 1 / own, 0.0))
        self.register_buffer("mean", _tensor(mean))
        self.register_buffer("scale", _tensor(1 / deviation))
        self.register_buffer("directions", _tensor(directions))
        self.register_buffer("rest", _tensor(1 / shared))
        self.register_buffer("typical", _tensor(0.0))
        with torch.no_grad():
            squared = self(_tensor(features)).double().numpy()
        self.rescale(*_scale(squared, settings.unit))

    def forward(self, features: Tensor) -> Tensor:
        standard = (features - self.mean) * self.scale
        everywhere = standard.square().sum(dim=1) * self.rest
        along = (standard @ self.directions).square().sum(dim=1)
        return everywhere - along - self.typical

    def rescale(self, typical: float, unit: float) -> None:
        """From now on a score is as far from `typical` as it was, in units of `unit`."""
        self.rest /= unit
        self.directions /= unit**0.5
        self.typical.add_(typical).div_(unit)


def _discriminant(lesions: Floats, bare: Floats, settings: NoveltySettings) -> Floats:
    """The direction `[D]` along which `bare` skin is told best from `lesions`, each `[N, D]`."""
    centred = np.concatenate([lesions - lesions.mean(axis=0), bare - bare.mean(axis=0)])
    deviation = _deviation(centred, settings)
    apart = (bare.mean(axis=0) - lesions.mean(axis=0)) / deviation
    weight: Floats = np.linalg.solve(_correlation(centred / deviation, settings), apart) / deviation
    return weight


def _correlation(standard: Floats, settings: NoveltySettings) -> Floats:
    """The correlations `[D, D]` of standardised features `[N, D]`, shrunk towards none."""
    found = standard.T @ standard / len(standard)
    shrunk: Floats = (1 - settings.shrinkage) * found + settings.shrinkage * np.eye(len(found))
    return shrunk


def _deviation(features: Floats, settings: NoveltySettings) -> Floats:
    """Each feature's standard deviation `[D]`.

    None is nearly nought: a feature that hardly moved in training would decide alone, by what
    rounding leaves of it.
    """
    deviation = features.std(axis=0)
    least = settings.least_deviation * np.sqrt((deviation**2).mean())
    found: Floats = np.maximum(deviation, max(float(least), 1e-6))
    return found


def _scale(scores: Floats, quantile: float) -> tuple[float, float]:
    """What is typical of `scores` `[N]`, and how far their `quantile` lies above it."""
    typical, rare = np.quantile(scores, [0.5, quantile])
    return float(typical), max(float(rare - typical), 1e-6)


def _joined(parts: Sequence[Description]) -> Description:
    layers = zip(*(part.layers for part in parts), strict=True)
    return Description(
        [torch.cat(layer) for layer in layers], torch.cat([part.skin for part in parts])
    )


def _tensor(value: Floats | float) -> Tensor:
    return torch.from_numpy(np.asarray(value, np.float32))
