"""What a run was begun with, kept in its checkpoints: it goes on as the same run or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf

from training import record
from training.choices import changes, flat
from training.finished import CONFIG_FILE, RunError, read_checkpoint, sets_of

_KEY = "begun_with"
_NAMED_AT_MOST = 10
_MAY_CHANGE = ("epochs", "title", "summary", "binary", "float")
"""Of a model's configuration."""

_OF_DATA = ("limit", "unreadable", "duplicates")
"""Of the data's configuration, what may not; the split tells the rest."""


class Beginning(pl.Callback):
    """Keeps in each checkpoint what its run was begun with."""

    def __init__(self, begun: Mapping[str, Any]) -> None:
        """Takes what `begun_with` says."""
        self._begun = dict(begun)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Called by the trainer for every checkpoint."""
        checkpoint[_KEY] = self._begun


def begun_with(
    config: DictConfig, split_digest: str, classes: Sequence[str], teacher: str | None
) -> dict[str, Any]:
    """What a run may not change on its way, by name: as far as possible that of the override.

    Args:
        config: Of the run.
        split_digest: Of the pictures that it learns from and is measured on.
        classes: The ids of those that its network answers.
        teacher: What is written down about who teaches it.
    """
    model: Any = OmegaConf.to_container(config.model, resolve=True)
    model = {key: value for key, value in model.items() if key not in _MAY_CHANGE}
    model["teacher"] = {"share": model["teacher"]["share"]}
    # Where the same weights lie on another machine.
    model["weights"] = {key: each for key, each in model["weights"].items() if key != "file"}
    told = {
        "split": split_digest[:12],
        "classes": ", ".join(classes),
        "teacher": teacher,
        # As text: the seed 0 is one, too.
        "seed": str(config.seed),
        "data": {"sets": " + ".join(sets_of(config))}
        | {name: config.data.get(name) for name in _OF_DATA},
        "model": model,
        "augmentation": OmegaConf.to_container(config.augmentation, resolve=True),
    }
    return flat(told)


def gone_on_from(config: DictConfig) -> Path | None:
    """The checkpoint that the run of `config` goes on from, if any; nothing is read of it yet.

    Raises:
        RunError: where it is no file, or the folder of the run holds another, finished run.
    """
    run, checkpoint = Path(config.run_dir).resolve(), None
    if config.ckpt_path is not None:
        checkpoint = Path(str(config.ckpt_path)).expanduser().resolve()
        if not checkpoint.is_file():
            raise RunError(
                f"{config.ckpt_path}: no such checkpoint. ckpt_path is the path of a file, as "
                "runs/mobilenet/TIME/checkpoints/last.ckpt, which a run has from the end of its "
                "first epoch on."
            )
    own = checkpoint is not None and checkpoint.parent.parent == run
    if (run / record.FILE_NAME).exists() and not own:
        raise RunError(
            f"{run}: holds a finished run, which this one would overwrite. Choose another "
            "hydra.run.dir, delete the folder, or go on with that run "
            "(ckpt_path=RUN/checkpoints/last.ckpt)."
        )
    return checkpoint


def refuse_another(checkpoint: Path, begun: Mapping[str, Any]) -> None:
    """Makes sure that the run of `checkpoint` was begun with what `begun_with` now says.

    Raises:
        RunError: where it was not, naming what is otherwise, or where the file does not tell.
    """
    kept = read_checkpoint(checkpoint).get(_KEY)
    if kept is None:
        raise RunError(
            f"{checkpoint}: does not tell what its run was begun with, so pictures that are held "
            "out here may be among those that it learned from. It is of an earlier version, or of "
            "another program: train anew."
        )
    if found := changes(kept, begun):
        rest = len(found) - _NAMED_AT_MOST
        named = "; ".join(found[:_NAMED_AT_MOST]) + (f" and {rest} more" if rest > 0 else "")
        raise RunError(
            f"{checkpoint}: its run was begun otherwise: {named}. Give the overrides "
            f"that it was begun with ({checkpoint.parents[1] / CONFIG_FILE} has all of them); only "
            "model.epochs, trainer, callbacks, logger and the places of files may be others."
        )
