"""What made a model: what its run chose, and what another run chose otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from omegaconf import OmegaConf

from training import record, sizes
from training.finished import RunError, read_config, sets_of

_OUTCOMES = (
    *("checkpoints", "commit", "hardware", "seconds", "best_score", "scored_by"),
    sizes.KEY,
)
"""Of what made a model, what nobody chose."""

_NAMES = ("name", "title", "summary")


def made_by(run: Path, checkpoints: Sequence[Path]) -> dict[str, Any]:
    """What made a model from the `checkpoints` of `run`, without the places of its machine.

    A run that went on from others names what made those.

    Raises:
        RunError: where one of those is not there any more.
    """
    trained, history = read_config(run), record.read(run)
    config: Any = OmegaConf.to_container(trained, resolve=True)
    model = {key: value for key, value in config["model"].items() if key not in ("binary", "float")}
    share = model.pop("teacher", {}).get("share")
    teacher = {"networks": history.teacher, "share": share} if history.teacher else None
    weights = model.pop("weights", {})
    trainer = {k: v for k, v in config["trainer"].items() if k != "default_root_dir"}
    told = {
        "data": sets_of(trained),
        "model": {
            **model,
            "weights": history.weights,
            "weights_scale": None if weights.get("checkpoints") else weights.get("scale"),
            "teacher": teacher,
        },
        "augmentation": config["augmentation"],
        "trainer": trainer,
        "averaging": config["callbacks"].get("averaging"),
        "checkpoints": [file.stem for file in checkpoints if file.parent.parent == run],
        "commit": history.commit,
        "hardware": history.hardware,
        "seconds": history.seconds,
        "best_score": history.best_score,
        "scored_by": history.scored_by,
    }
    if history.picture_sizes:
        told[sizes.KEY] = msgspec.to_builtins(history.picture_sizes)
    if history.holds:
        told["holds"] = history.holds
    if before := [Path(file) for file in weights.get("checkpoints") or ()]:
        told["gone_on_from"] = [made_by(_there(each, run), before) for each in _runs(before)]
    elif weights.get("artifact"):
        told["gone_on_from_artifact"] = history.weights
    return told


def choices(run: Path) -> dict[str, Any]:
    """What `run` chose, by name."""
    told, data = made_by(run, []), read_config(run).data
    chosen = {key: value for key, value in told.items() if key not in _OUTCOMES}
    # The model's epochs again.
    chosen["trainer"] = {k: v for k, v in chosen["trainer"].items() if k != "max_epochs"}
    chosen["data"] = " + ".join(chosen["data"])
    chosen |= {f"data.{name}": data.get(name) for name in ("duplicates", "unreadable", "limit")}
    chosen["model"] = {k: v for k, v in chosen["model"].items() if k not in _NAMES}
    for name in ("gone_on_from", "gone_on_from_artifact", "holds"):
        # Told by hashes and sets above.
        chosen.pop(name, None)
    return {name.removeprefix("model."): value for name, value in flat(chosen).items()}


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """What is otherwise in the choices `after`, a line each."""
    return [
        f"{name} {_told(before.get(name))} \N{RIGHTWARDS ARROW} {_told(after.get(name))}"
        for name in dict.fromkeys([*after, *before])
        if _told(before.get(name)) != _told(after.get(name))
    ]


def flat(values: Any, name: str = "") -> dict[str, Any]:
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
        found |= flat(value, f"{name}.{key}" if name else str(key))
    return found


def _runs(checkpoints: Sequence[Path]) -> list[Path]:
    return list(dict.fromkeys(file.parent.parent for file in checkpoints))


def _there(parent: Path, run: Path) -> Path:
    if not (parent / record.FILE_NAME).exists():
        raise RunError(
            f"{parent}: is not there any more, and {run} went on from it: what made a model is "
            "told with the model. Put the folder back."
        )
    return parent


def _told(value: Any) -> str:
    return "none" if value is None or value == 0 else str(value)
