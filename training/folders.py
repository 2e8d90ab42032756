"""The folder of a run or a sweep, made before Hydra does, which would end in a traceback."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig


class FolderCallback(Callback):
    """Makes the folder that Hydra writes to, or says why that cannot be."""

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        """Called before a run."""
        _make(Path(config.hydra.run.dir))

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Called before a sweep, in whose folder Optuna keeps its study."""
        _make(Path(config.hydra.sweep.dir))


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        sys.exit(
            f"error: {folder}: cannot be made ({error.strerror}). Choose another place with "
            "hydra.run.dir, or hydra.sweep.dir for a sweep."
        )
