"""Recipes beside each other: what each run did otherwise than another, and whether it helped.

`python -m training.compare model=mobilenet` measures finished runs on the validation split and on
other clinics' pictures, not on the test split, and puts the figures into the artifact, for the
card that `make evaluate` writes.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from training.bootstrap import Bootstrap, Measure, Unseen
from training.choices import changes, choices
from training.comparison import FILE, Compared, Comparison, RecipeFigures, read, write
from training.data.cache import describe, open_cache
from training.data.sampling import log_prior
from training.data.sets import read_travel
from training.data.splits import digest
from training.finished import (
    RunError,
    learned_before,
    load_network,
    read_config,
    refuse_unfinished,
    resize,
    runs_of,
    sets_of,
)
from training.inputs import as_input
from training.labels import MELANOMA, DataError, LabelledPicture, Unit
from training.measures import (
    area_under_curve,
    balanced_accuracy,
    mean,
    unseen_of_area,
    unseen_of_classes,
)
from training.norms import renew
from training.train import (
    decode,
    plain,
    quieten,
    read_answers,
    read_config_sets,
    read_preprocessing,
)

_TOLD_OF_THE_FIRST = ("data", "architecture", "preprocessing.size", "epochs", "optimizer.lr")
"""Choices of the recipe that is compared with none."""

_TOLD_OF_THE_NEXT = (
    "preprocessing.size",
    "epochs",
    "mixup",
    "optimizer.lr",
    "teacher.networks",
    "teacher.share",
    "outline_weight",
)
"""Choices of one that is compared with its start."""

_BATCH = 64
_SEED = 0
"""Of what is drawn by chance: the same runs give the same figures."""

_VISIBLE = 5e-4
"""A difference between figures from which on a card would show two."""

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.int64]


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of conf/compare.yaml."""

    name: str
    checkpoints: Annotated[list[str], Meta(min_length=1)]
    start_share: Annotated[float, Meta(ge=0, le=1)] = 0.0
    size: Annotated[int, Meta(ge=1)] | None = None
    against: str | None = None


def compare(config: DictConfig) -> Comparison:
    """Measures the recipes that `config` lists for its model.

    Raises:
        RunError: where a run is missing or unfinished, a recipe is none, or two cannot be compared.
        DataError: where pictures cannot be read.
        ArtifactError: where the comparison that it continues cannot be read.
    """
    quieten()
    recipes = _read(config)
    measured: dict[str, _Measured] = {}
    found: list[RecipeFigures] = []
    for recipe in recipes:
        against = recipe.against or (found[-1].name if found else None)
        own = measured[recipe.name] = _measured(recipe, config)
        _refuse_unlike(own, measured[recipes[0].name])
        other = measured[against] if against else None
        found.append(
            RecipeFigures(
                name=recipe.name,
                changed=_changed(own, other),
                hours=sum(record.read(run).seconds for run in own.runs) / 3600,
                figures=_figures(own, other, config.resamples),
                against=against,
                chosen_here=_was_chosen_here(own),
                akin=own.akin,
                renewed=own.renewed,
            )
        )
    one = measured[recipes[0].name]
    comparison = Comparison(
        split_digest=one.split_digest,
        tilt=config.tilt,
        pictures=len(one.home.labels),
        lesions=len(set(one.home.groups)),
        unit=one.home.unit,
        recipes=found,
        away=len(one.away.labels) if one.away else 0,
        away_name=one.away_name,
    )
    if config.before is not None:
        comparison = _continued(Path(config.before).expanduser(), comparison)
    return comparison


def _continued(folder: Path, comparison: Comparison) -> Comparison:
    """`comparison` behind that of the artifact in `folder`, whose own recipes stay as they are."""
    before = read(folder, comparison.split_digest)
    if before is None:
        raise RunError(
            f"{folder / FILE}: is not there, or of another split, and cannot be continued. Leave "
            "`before` out."
        )
    # One from before the unit was told is of the same.
    alike = msgspec.structs.replace(before, recipes=comparison.recipes, unit=comparison.unit)
    if alike != comparison:
        raise RunError(
            f"{folder / FILE}: has {before.pictures} pictures, {before.away} elsewhere and a tilt "
            f"of {before.tilt:g}; here there are {comparison.pictures}, {comparison.away} and "
            f"{comparison.tilt:g}. Compare on the same, or leave `before` out."
        )
    known = {each.name: each for each in before.recipes}
    for each in comparison.recipes:
        kept = known.get(each.name, each)
        if not _is_the_same(kept, each):
            raise RunError(
                f"{folder / FILE}: has other figures of {each.name} than {each.name} has here, and "
                "what is compared with it would be compared with another. Give it another name."
            )
    new = [each for each in comparison.recipes if each.name not in known]
    return msgspec.structs.replace(comparison, recipes=[*before.recipes, *new])


def _is_the_same(one: RecipeFigures, other: RecipeFigures) -> bool:
    """Whether two measurements of a recipe are of one network, as far as a card would show."""
    values = [{each.measure: each.figure.value for each in r.figures} for r in (one, other)]
    return values[0].keys() == values[1].keys() and all(
        abs(value - values[1][name]) < _VISIBLE for name, value in values[0].items()
    )


class _Answered(msgspec.Struct, frozen=True):
    """What a network says of N pictures, and what they are."""

    images: list[str]
    groups: list[str]
    unit: Unit
    labels: Labels
    is_malignant: Bools
    is_melanoma: Bools
    decision: Labels
    malignant: Floats
    """probability, `[N]`"""


class _Measured(msgspec.Struct, frozen=True):
    """A recipe's network at work: on the validation split and, where there is one, elsewhere."""

    recipe: Recipe
    runs: list[Path]
    checkpoints: list[Path]
    split_digest: str
    classes: list[str]
    home: _Answered
    away: _Answered | None
    away_name: str
    akin: list[str]
    renewed: bool


def _measured(recipe: Recipe, config: DictConfig) -> _Measured:
    files = [Path(each) for each in recipe.checkpoints]
    first = files[0].parent.parent
    refuse_unfinished(first)
    trained = read_config(first)
    resized = resize(trained, recipe.size)
    pictures = read_config_sets(trained)
    split_digest = digest(pictures.parts)
    runs = runs_of(files, split_digest)
    sets = {name for run in runs for name in sets_of(read_config(run))}
    sets |= {each.name for each in learned_before(runs, [])}
    sets |= {name for run in runs for name in record.read(run).holds}
    answers = read_answers(trained, pictures)
    cached = decode(trained, pictures, answers)
    learned_from = cached.part("train")
    network = load_network(trained, files, len(answers.classes), recipe.start_share)
    if resized:
        title = f"{recipe.name}: renewing the norms"
        renew(network, learned_from.drawn(config.norms.pictures, _BATCH, _SEED, title))
    prior = np.exp(log_prior(learned_from.labels))
    flags = np.array([each.malignant for each in answers.classes])

    def answer(
        listed: Sequence[LabelledPicture], batches: Iterable[Pixels], title: str
    ) -> _Answered:
        steps = tqdm(batches, f"{recipe.name}: {title}", math.ceil(len(listed) / _BATCH))
        probability = _probabilities(network, steps)
        labels = answers.indices([picture.label for picture in listed])
        return _Answered(
            images=[picture.image_id for picture in listed],
            groups=[picture.group for picture in listed],
            unit=listed[0].unit,
            labels=labels,
            is_malignant=flags[labels],
            is_melanoma=np.array([(p.diagnosis or p.label) == MELANOMA for p in listed]),
            decision=np.argmax(probability / prior**config.tilt, axis=1),
            malignant=probability[:, flags].sum(axis=1),
        )

    validation = cached.part("validation")
    shown = (validation.__getitems__(places)[0].numpy() for places in _batches(len(validation)))
    home = answer(cached.listed("validation"), shown, "validation")
    away, away_name, akin = None, "", list[str]()
    for described, listed in read_travel(
        plain(config.travel), [each.id for each in pictures.classes], pictures
    )[:1]:
        cache = open_cache(listed, read_preprocessing(trained), Path(config.cache_dir).expanduser())
        if cache.problems:
            raise DataError(f"{describe(cache.problems.values())}\nTake them out of the table.")
        away_name, akin = described.name, [n for n in described.akin if n in sets]
        away = answer(listed, (cache.pixels[p] for p in _batches(len(listed))), away_name)
    classes = [each.id for each in answers.classes]
    return _Measured(
        recipe, runs, files, split_digest, classes, home, away, away_name, akin, resized
    )


def _refuse_unlike(own: _Measured, first: _Measured) -> None:
    """Only answers to the same question about the same pictures can be compared in pairs."""
    run = own.runs[0]
    if own.split_digest != first.split_digest:
        raise RunError(
            f"{run}: learned from another split than {first.runs[0]}. Train both on the same data "
            "with the same seed."
        )
    if own.classes != first.classes:
        raise RunError(
            f"{run}: tells {', '.join(own.classes)} apart, and {first.runs[0]} "
            f"{', '.join(first.classes)}."
        )
    if own.home.images != first.home.images:
        raise RunError(
            f"{run}: was validated on {len(own.home.images)} pictures of the split, and "
            f"{first.runs[0]} on {len(first.home.images)}. One of them has a data.limit, or left "
            "out pictures that could not be read."
        )


def _batches(count: int) -> Iterator[list[int]]:
    for start in range(0, count, _BATCH):
        yield list(range(start, min(start + _BATCH, count)))


def _probabilities(network: nn.Module, batches: Iterable[Pixels]) -> Floats:
    """What `network` says of `batches` `[N, S, S, 3] uint8`, as `[sum of N, C]`."""
    with torch.no_grad():
        scores = [network(as_input(torch.from_numpy(np.array(batch)))) for batch in batches]
    found: Floats = torch.cat(scores).double().softmax(dim=1).numpy()
    return found


def _figures(own: _Measured, other: _Measured | None, resamples: int) -> list[Compared]:
    found = []
    at_home = Bootstrap(own.home.groups, resamples, _SEED)
    unseen = _unseen(own.home, at_home)
    for name, measure in _measures(own.home).items():
        beside = _measures(other.home).get(name) if other else None
        found.append(_compared(name, at_home, measure, beside, unseen[name]))
    if (away := own.away) is not None:
        elsewhere = Bootstrap(away.groups, resamples, _SEED)
        beside = _melanoma(other.away) if other and other.away else None
        unseen_away = unseen_of_area(elsewhere, away.is_melanoma, away.malignant)
        found.append(
            _compared("melanoma_auc_away", elsewhere, _melanoma(away), beside, unseen_away)
        )
    return [each for each in found if each is not None]


def _compared(
    name: str, bootstrap: Bootstrap, own: Measure, other: Measure | None, unseen: Unseen
) -> Compared | None:
    figure = bootstrap.figure(own, bootstrap.pictures, unseen=unseen)
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


def _unseen(answered: _Answered, bootstrap: Bootstrap) -> Mapping[str, Unseen]:
    """What drawing again does not show of each of `_measures`."""
    labels, decision = answered.labels, answered.decision
    return {
        "balanced_accuracy": unseen_of_classes(bootstrap, labels, decision),
        "accuracy": bootstrap.unseen(decision == labels),
        "malignant_auc": unseen_of_area(bootstrap, answered.is_malignant, answered.malignant),
    }


def _melanoma(answered: _Answered) -> Measure:
    return area_under_curve(answered.is_melanoma, answered.malignant)


def _changed(own: _Measured, other: _Measured | None) -> list[str]:
    """What was done otherwise; a mean over several runs is told by what is in it.

    What is nothing but a start is told as such, and what is compared with one by what it did.
    """
    if own.recipe.start_share == 1:
        return [f"what {_mean(own)} went on from"]
    mine = choices(own.runs[0])
    if other is not None and other.recipe.start_share == 1 and len(own.runs) == 1:
        told = [f"{name} {mine[name]}" for name in _TOLD_OF_THE_NEXT if mine.get(name)]
        return [_mean(own), *told, *_mixed(own.recipe)]
    several = any(len(each.runs) > 1 for each in (own, other) if each is not None)
    if several or (other is not None and own.runs == other.runs):
        return [_mean(own), *_mixed(own.recipe)]
    if other is None:
        told = [f"{name} {mine[name]}" for name in _TOLD_OF_THE_FIRST if name in mine]
    else:
        told = changes(choices(other.runs[0]), mine)
    return [*told, *_mixed(own.recipe)]


def _mean(measured: _Measured) -> str:
    """The checkpoints in it, each by its run's folder and its name."""
    named = [f"{file.parent.parent.name}/{file.stem}" for file in measured.checkpoints]
    return named[0] if len(named) == 1 else f"the mean of {', '.join(named)}"


def _mixed(recipe: Recipe) -> list[str]:
    """What was done to a network behind its training."""
    share = [f"{recipe.start_share:.0%} of what it went on from"] if recipe.start_share else []
    return share + ([f"shown {recipe.size} pixels"] if recipe.size else [])


def _was_chosen_here(measured: _Measured) -> bool:
    """Whether one of its checkpoints, or of those it learned from, is the best on validation.

    An artifact that it learned from may hold such a one.
    """
    behind: list[str] = []
    for run in measured.runs:
        model = plain(read_config(run).model)
        weights, teacher = model.get("weights", {}), model.get("teacher", {})
        behind += weights.get("checkpoints") or ()
        behind += [weights["artifact"]] if weights.get("artifact") else []
        # Runs from before there could be several have one, of checkpoints.
        behind += teacher.get("checkpoints") or ()
        for each in teacher.get("networks") or ():
            behind += [each] if isinstance(each, str) else each
    every = [*measured.checkpoints, *map(Path, behind)]
    return any(file.stem == "best" or file.suffix != ".ckpt" for file in every)


def _read(config: DictConfig) -> list[Recipe]:
    """The recipes of the model, each with the one that it is compared with."""
    listed = plain(config.recipes).get(config.model.name)
    if not listed:
        raise RunError(_none_listed(config.model.name))
    try:
        recipes = msgspec.convert(listed, list[Recipe])
    except msgspec.ValidationError as error:
        raise RunError(f"conf/compare.yaml: {error}") from error
    before: list[str] = []
    for recipe in recipes:
        if recipe.name in before:
            raise RunError(f"conf/compare.yaml: two recipes are named {recipe.name}.")
        if recipe.against is not None and recipe.against not in before:
            raise RunError(
                f"conf/compare.yaml: {recipe.name} is compared with {recipe.against}, which is no "
                f"recipe before it. There are: {', '.join(before) or 'none'}."
            )
        before.append(recipe.name)
    return recipes


def _none_listed(name: str) -> str:
    return (
        f"conf/compare.yaml lists no recipe for {name}, so nothing was compared. Name some there, "
        f"or as '++recipes.{name}=[{{name:plain,checkpoints:[FILE]}}]'."
    )


@hydra.main(version_base="1.3", config_path="../conf", config_name="compare")
def main(config: DictConfig) -> None:
    """The command; errors of runs and data are told without a traceback."""
    name, folder = config.model.name, Path(config.artifacts) / config.model.name
    if not config.recipes.get(name):
        print(_none_listed(name))
        return
    try:
        exported = contract.load(folder).training.split_digest
        compared = compare(config)
        if compared.split_digest != exported:
            raise ArtifactError(
                f"{folder}: was trained on another split than these runs. Export one of them first."
            )
        write(compared, folder)
    except (ArtifactError, DataError, RunError) as error:
        sys.exit(f"error: {error}")
    print(f"{folder / FILE}: `make evaluate` with the same overrides puts it into the card.")


if __name__ == "__main__":
    main()
