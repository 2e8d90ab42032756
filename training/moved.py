"""A run's folder that was moved before it went on: its checkpoints are where it is now."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ModelCheckpoint

_PATHS = ("best_model_path", "kth_best_model_path", "last_model_path")


class Moved(pl.Callback):
    """Has the best checkpoint count where it lies beside the one that the run goes on from.

    Lightning writes down whole paths, and where a folder has another it forgets the best score: any
    later epoch would take the best one's place.
    """

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Called by the trainer before the other callbacks get their states."""
        here = Path(str(trainer.ckpt_path)).resolve().parent
        for each in trainer.checkpoint_callbacks:
            state = checkpoint["callbacks"].get(each.state_key)
            if state is None or not isinstance(each, ModelCheckpoint) or each.dirpath != str(here):
                continue
            if (here / os.path.basename(state["best_model_path"])).is_file():
                best = {_in(here, path): score for path, score in state["best_k_models"].items()}
                paths = {name: _in(here, state[name]) for name in _PATHS}
                state.update(paths, dirpath=str(here), best_k_models=best)


def _in(folder: Path, path: str) -> str:
    """The file of that name in `folder`; nothing for no path."""
    return str(folder / os.path.basename(path)) if path else ""
