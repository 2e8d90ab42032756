"""Which epoch's weights a run keeps."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from training.checkpoints import BestCheckpoint


class Scored(pl.LightningModule):
    """Scores what it is told, epoch by epoch."""

    def __init__(self, scores: Sequence[float]) -> None:
        super().__init__()
        self.layer, self._scores = nn.Linear(1, 1), scores

    def training_step(self, batch: list[Tensor], _index: int) -> Tensor:
        loss: Tensor = self.layer(batch[0]).mean()
        return loss

    def validation_step(self, _batch: list[Tensor], _index: int) -> None:
        self.log("val/auroc", self._scores[self.current_epoch])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.parametrize(
    ("mode", "scores", "kept"),
    [
        ("max", [0.5, 0.9, 0.8], 1),
        ("max", [0.5, 1.0, 1.0], 2),
        ("max", [1.0, 1.0, 0.9], 1),
        ("min", [0.2, 0.1, 0.1], 2),
        ("max", [0.5, float("nan"), 0.4], 0),
    ],
)
def test_of_epochs_that_score_the_same_the_last_is_kept(
    tmp_path: Path, mode: str, scores: list[float], kept: int
) -> None:
    best = BestCheckpoint(
        dirpath=tmp_path,
        filename="best",
        monitor="val/auroc",
        mode=mode,
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=3,
        num_sanity_val_steps=0,
        callbacks=[best],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    batches = DataLoader(TensorDataset(torch.zeros(1, 1)))
    trainer.fit(Scored(scores), batches, batches)
    assert [file.name for file in tmp_path.iterdir()] == ["best.ckpt"]
    assert torch.load(tmp_path / "best.ckpt", weights_only=True)["epoch"] == kept
    assert best.best_model_score == scores[kept]
