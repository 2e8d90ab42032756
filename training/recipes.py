"""Recipes beside each other: what each run did otherwise than another, and whether it helped.

`python -m training.recipes model=mobilenet` measures finished runs on the validation split and on
other clinics' pictures, never on the test split, and puts the figures into the artifact, for the
card that `make evaluate` writes.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import hydra
import msgspec
import numpy as np
import numpy.typing as npt
import torch
from msgspec import Meta
from omegaconf import DictConfig
from torch import nn
from tqdm import tqdm

from serving import manifest as contract
from serving.manifest import ArtifactError
from serving.pictures import Pixels
from training import record
from training.bootstrap import Bootstrap, Figure, Measure
from training.choices import changes, choices
from training.data.cache import describe, open_cache
from training.data.sampling import log_prior
from training.data.sets import read_travel
from training.data.splits import digest
from training.finished import (
    RunError,
    find_run,
    load_network,
    read_config,
    runs_of,
)
from training.labels import MELANOMA, DataError, LabelledPicture
from training.learner import as_input
from training.measures import area_under_curve, balanced_accuracy, mean
from training.norms import renew
from training.train import (
    decode,
    plain,
    quieten,
    read_answers,
    read_config_sets,
    read_preprocessing,
)

FILE = Path("report") / "recipes.json"
"""The comparison within an artifact."""

_TOLD_OF_THE_FIRST = ("sets", "architecture", "preprocessing.size", "epochs", "optimizer.lr")
"""Choices of the recipe that is compared with none."""

_BATCH = 64
_SEED = 0
"""Of what is drawn by chance: the same runs give the same figures."""

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.int64]


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of conf/recipes.yaml."""

    name: str
    checkpoints: Annotated[list[str], Meta(min_length=1)]
    against: str | None = None


class Compared(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A figure of one recipe, and how much larger it is than the other's on the same pictures."""

    measure: str
    figure: Figure
    difference: Figure | None = None


class RecipeFigures(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One recipe: `changed` is what it does otherwise than the recipe `against`."""

    name: str
    changed: list[str]
    hours: float
    hardware: str
    figures: list[Compared]
    against: str | None = None


class Comparison(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All recipes of a model, over `pictures` of the validation split and `away` of others."""

    split_digest: str
    tilt: float
    pictures: int
    lesions: int
    recipes: list[RecipeFigures]
    away: int = 0
    away_name: str = ""


def compare(config: DictConfig) -> Comparison:
    """Measures the recipes that `config` lists for its model.

    Raises:
        RunError: where a run is missing or unfinished, or a recipe is none.
        DataError: where pictures cannot be read, or the runs learned from another split.
    """
    quieten()
    recipes = _read(config)
    measured: dict[str, _Measured] = {}
    found: list[RecipeFigures] = []
    for recipe in recipes:
        against = recipe.against or (found[-1].name if found else None)
        own = measured[recipe.name] = _measured(recipe, config)
        other = measured[against] if against else None
        history = record.read(own.run)
        found.append(
            RecipeFigures(
                name=recipe.name,
                changed=_changed(own, other),
                hours=history.seconds / 3600,
                hardware=history.hardware,
                figures=_figures(own, other, config.resamples),
                against=against,
            )
        )
    one = measured[recipes[0].name]
    if len({each.split_digest for each in measured.values()}) > 1:
        raise RunError("The recipes' runs learned from different splits, and cannot be compared.")
    return Comparison(
        split_digest=one.split_digest,
        tilt=config.tilt,
        pictures=len(one.home.labels),
        lesions=len(set(one.home.groups)),
        recipes=found,
        away=len(one.away.labels) if one.away else 0,
        away_name=one.away_name,
    )


def write(comparison: Comparison, folder: Path) -> None:
    """Puts `comparison` into the artifact in `folder`, whose hashes then cover it.

    Raises:
        ArtifactError: where there is none, or one of another split.
    """
    manifest = contract.load(folder)
    if manifest.training.split_digest != comparison.split_digest:
        raise ArtifactError(
            f"{folder}: was trained on another split than these runs. Export one of them first."
        )
    file = folder / FILE
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(msgspec.json.format(msgspec.json.encode(comparison), indent=2) + b"\n")
    contract.save(manifest, folder)


def read(folder: Path, split_digest: str | None) -> Comparison | None:
    """The comparison in the artifact `folder`; None where there is none of this split."""
    try:
        found = msgspec.json.decode((folder / FILE).read_bytes(), type=Comparison)
    except FileNotFoundError:
        return None
    return found if found.split_digest == split_digest else None


class _Answered(msgspec.Struct, frozen=True):
    """What a network says of N pictures, and what they are."""

    groups: list[str]
    labels: Labels
    is_malignant: Bools
    is_melanoma: Bools
    decision: Labels
    malignant: Floats
    """probability, `[N]`"""


class _Measured(msgspec.Struct, frozen=True):
    """A recipe's network at work: on the validation split and, where there is one, elsewhere."""

    run: Path
    trained: DictConfig
    checkpoints: int
    split_digest: str
    home: _Answered
    away: _Answered | None
    away_name: str


def _measured(recipe: Recipe, config: DictConfig) -> _Measured:
    files = [Path(each) for each in recipe.checkpoints]
    run = files[0].parent.parent
    trained = read_config(find_run(str(run), config.model.name))
    pictures = read_config_sets(trained)
    split_digest = digest(pictures.parts)
    runs_of(files, split_digest)
    answers = read_answers(trained, pictures)
    cached = decode(trained, pictures, answers)
    learned_from = cached.part("train")
    network = load_network(trained, files, len(answers.classes))
    title = f"{recipe.name}: renewing the norms"
    renew(network, learned_from.drawn(config.norms, _BATCH, _SEED, title))
    prior = np.exp(log_prior(learned_from.labels))
    flags = np.array([each.malignant for each in answers.classes])

    def answer(listed: Sequence[LabelledPicture], pixels: Pixels, title: str) -> _Answered:
        probability = _probabilities(network, pixels, f"{recipe.name}: {title}")
        labels = answers.indices([picture.label for picture in listed])
        return _Answered(
            groups=[picture.group for picture in listed],
            labels=labels,
            is_malignant=flags[labels],
            is_melanoma=np.array([picture.label == MELANOMA for picture in listed]),
            decision=np.argmax(probability / prior**config.tilt, axis=1),
            malignant=probability[:, flags].sum(axis=1),
        )

    validation = cached.part("validation")
    shown, _ = validation.__getitems__(range(len(validation)))
    home = answer(cached.listed("validation"), shown.numpy(), "validation")
    away, away_name = None, ""
    for described, listed in read_travel(
        plain(config.travel), [each.id for each in pictures.classes], pictures
    )[:1]:
        cache = open_cache(listed, read_preprocessing(trained), Path(config.cache_dir).expanduser())
        if cache.problems:
            raise DataError(f"{describe(cache.problems.values())}\nTake them out of the table.")
        away_name = described.name
        away = answer(listed, cache.pixels, away_name)
    return _Measured(run, trained, len(files), split_digest, home, away, away_name)


def _probabilities(network: nn.Module, pixels: Pixels, title: str) -> Floats:
    """What `network` says of `pixels` `[N, S, S, 3]`, as `[N, C]`."""
    starts = tqdm(range(0, len(pixels), _BATCH), title, unit="batch")
    with torch.no_grad():
        scores = [
            network(as_input(torch.from_numpy(np.array(pixels[i : i + _BATCH])))) for i in starts
        ]
    found: Floats = torch.cat(scores).double().softmax(dim=1).numpy()
    return found


def _figures(own: _Measured, other: _Measured | None, resamples: int) -> list[Compared]:
    found = []
    at_home = Bootstrap(own.home.groups, resamples, _SEED)
    for name, measure in _measures(own.home).items():
        beside = _measures(other.home).get(name) if other else None
        found.append(_compared(name, at_home, measure, beside))
    if own.away is not None:
        elsewhere = Bootstrap(own.away.groups, resamples, _SEED)
        beside = _melanoma(other.away) if other and other.away else None
        found.append(_compared("melanoma_auc_away", elsewhere, _melanoma(own.away), beside))
    return [each for each in found if each is not None]


def _compared(
    name: str, bootstrap: Bootstrap, own: Measure, other: Measure | None
) -> Compared | None:
    figure = bootstrap.figure(own, bootstrap.pictures)
    if figure is None:
        return None
    difference = bootstrap.difference(own, other, bootstrap.pictures) if other else None
    return Compared(measure=name, figure=figure, difference=difference)


def _measures(answered: _Answered) -> Mapping[str, Measure]:
    hit = (answered.decision == answered.labels).astype(np.float64)
    return {
        "balanced_accuracy": balanced_accuracy(answered.labels, answered.decision),
        "accuracy": mean(hit),
        "malignant_auc": area_under_curve(answered.is_malignant, answered.malignant),
    }


def _melanoma(answered: _Answered) -> Measure:
    return area_under_curve(answered.is_melanoma, answered.malignant)


def _changed(own: _Measured, other: _Measured | None) -> list[str]:
    mine = {**choices(own.trained), "checkpoints averaged": own.checkpoints}
    if other is None:
        return [f"{name} {mine[name]}" for name in _TOLD_OF_THE_FIRST]
    return changes({**choices(other.trained), "checkpoints averaged": other.checkpoints}, mine)


def _read(config: DictConfig) -> list[Recipe]:
    """The recipes of the model, each with the one that it is compared with."""
    listed = plain(config.recipes).get(config.model.name) or []
    if not listed:
        raise RunError(
            f"conf/recipes.yaml lists no recipe for {config.model.name}. Name some, as "
            f"'recipes.{config.model.name}=[{{name:plain,checkpoints:[FILE]}}]'."
        )
    try:
        recipes = msgspec.convert(listed, list[Recipe])
    except msgspec.ValidationError as error:
        raise RunError(f"conf/recipes.yaml: {error}") from error
    before: list[str] = []
    for recipe in recipes:
        if recipe.name in before:
            raise RunError(f"conf/recipes.yaml: two recipes are named {recipe.name}.")
        if recipe.against is not None and recipe.against not in before:
            raise RunError(
                f"conf/recipes.yaml: {recipe.name} is compared with {recipe.against}, which is no "
                f"recipe before it. There are: {', '.join(before) or 'none'}."
            )
        before.append(recipe.name)
    return recipes


@hydra.main(version_base="1.3", config_path="../conf", config_name="recipes")
def main(config: DictConfig) -> None:
    """The command; errors of runs and data are told without a traceback."""
    folder = Path(config.artifacts) / config.model.name
    try:
        write(compare(config), folder)
    except (ArtifactError, DataError, RunError) as error:
        sys.exit(f"error: {error}")
    print(f"{folder / FILE}: `make evaluate MODEL={config.model.name}` puts it into the card.")


if __name__ == "__main__":
    main()
