"""What a run chose, and what another chose otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig

from training.finished import sets_of
from training.train import plain

_NO_CHOICE = ("name", "title", "summary", "binary", "float", "target")


def choices(trained: DictConfig) -> dict[str, Any]:
    """What the run of the configuration `trained` chose, without the places of its machine."""
    config = plain(trained)
    model = {key: value for key, value in config["model"].items() if key not in _NO_CHOICE}
    teacher, weights = model.pop("teacher", {}), model.pop("weights", {})
    taught = bool(teacher.get("checkpoints"))
    return {
        "sets": " + ".join(sets_of(trained)),
        **_flat(model),
        "checkpoints of teachers": len(teacher.get("checkpoints", ())),
        "share of the teachers": teacher["share"] if taught else None,
        "checkpoints gone on from": len(weights.get("checkpoints", ())),
        "precision": config["trainer"]["precision"],
        **_flat(config["augmentation"], "augmentation"),
    }


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """What is otherwise in the choices `after`, a line each."""
    return [
        f"{name} {_told(before.get(name))} \N{RIGHTWARDS ARROW} {_told(after.get(name))}"
        for name in dict.fromkeys([*after, *before])
        if _told(before.get(name)) != _told(after.get(name))
    ]


def _flat(values: Any, name: str = "") -> dict[str, Any]:
    """Nested dictionaries and lists as one, by the path to each value."""
    inner: Mapping[Any, Any]
    if isinstance(values, dict):
        inner = values
    elif isinstance(values, list):
        inner = dict(enumerate(values))
    else:
        return {name: values}
    found: dict[str, Any] = {}
    for key, value in inner.items():
        found |= _flat(value, f"{name}.{key}" if name else str(key))
    return found


def _told(value: Any) -> str:
    return "none" if value is None or value == 0 else str(value)
