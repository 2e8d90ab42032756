"""Recipes beside each other, as an artifact's report holds them."""

from __future__ import annotations

from pathlib import Path

import msgspec

from serving import manifest as contract
from serving.manifest import ArtifactError
from training.bootstrap import Figure
from training.labels import Unit

FILE = Path("report") / "recipes.json"
"""The comparison within an artifact."""


class Compared(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A figure of one recipe, and how much larger it is than the other's on the same pictures."""

    measure: str
    figure: Figure
    difference: Figure | None = None


class RecipeFigures(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One recipe: `changed` is what it does otherwise than the recipe `against`.

    `hours` are of its own runs, without those that they went on from; `chosen_here` says that one
    of its checkpoints was chosen on the very pictures of the validation split; `akin` are the sets
    that it learned from which come from the same clinics as the pictures elsewhere; `renewed` says
    whether its norms were renewed.
    """

    name: str
    changed: list[str]
    hours: float
    figures: list[Compared]
    against: str | None = None
    chosen_here: bool = False
    akin: list[str] = []
    renewed: bool = True


class Comparison(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All recipes of a model, over `pictures` of the validation split and `away` of other clinics.

    A decision is the class whose probability over its prior to the power of `tilt` is the largest.
    `lesions` counts what `unit` says.
    """

    split_digest: str
    tilt: float
    pictures: int
    lesions: int
    unit: Unit = "lesion"
    recipes: list[RecipeFigures]
    away: int = 0
    away_name: str = ""


def write(comparison: Comparison, folder: Path) -> None:
    """Puts `comparison` into the artifact in `folder`, whose hashes then cover it."""
    manifest = contract.load(folder)
    file = folder / FILE
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(msgspec.json.format(msgspec.json.encode(comparison), indent=2) + b"\n")
    contract.save(manifest, folder)


def read(folder: Path, split_digest: str) -> Comparison | None:
    """The comparison in the artifact `folder`; None where there is none of this split.

    Raises:
        ArtifactError: where the file is not one.
    """
    file = folder / FILE
    try:
        found = msgspec.json.decode(file.read_bytes(), type=Comparison)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise ArtifactError(
            f"{file}: is no comparison of recipes: {error}. Make it again with `make compare`, or "
            "delete it."
        ) from error
    return found if found.split_digest == split_digest else None
