"""One training step for all networks, as a Lightning module."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torchmetrics.classification import MulticlassAccuracy, MulticlassAUROC

from training.data.module import Batch
from training.inputs import as_input, at_side
from training.outlines import Mapped, OutlineTask
from training.teacher import Teacher


class Learner(pl.LightningModule):
    """Trains a network on pictures, and scores it on the validation split.

    The logits learn the classes' own frequencies, however the pictures are sampled. Validation
    scores the decision that balanced accuracy asks for: the class whose probability most exceeds
    its prior.
    """

    log_prior: Tensor
    prior_shift: Tensor

    def __init__(
        self,
        network: nn.Module,
        augmentation: nn.Module,
        optimizer: Callable[[Iterable[dict[str, Any]]], Optimizer],
        *,
        log_prior: npt.NDArray[np.float32],
        prior_shift: npt.NDArray[np.float32],
        warm_up: float = 0.05,
        label_smoothing: float = 0.0,
        mixup: float = 0.0,
        weight_decay: float = 0.0,
        teacher: Teacher | None = None,
        teacher_share: float = 0.0,
        outline_weight: float = 0.0,
        side: int | None = None,
        seed: int = 0,
    ) -> None:
        """Puts together what a run needs.

        Args:
            network: From `[N, 3, S, S] float32` in [0, 1] to logits or log-probabilities `[N, C]`.
            augmentation: Over batches `[N, 3, S, S]`, on the device that trains.
            optimizer: Made from parameter groups; its rate is the highest, after the warm-up.
            log_prior: Logarithm of each class's share of the training pictures, `[C]`.
            prior_shift: What the sampling adds to it, `[C]`.
            warm_up: Share of all steps in which the rate rises; then it falls as a cosine.
            label_smoothing: Share of each label that is spread over all classes.
            mixup: Parameter of the Beta distribution of the shares in which pictures and labels of
                a batch are mixed in pairs; 0 mixes none. Zhang et al., "mixup: Beyond Empirical
                Risk Minimization", ICLR 2018.
            weight_decay: On weights of convolutions and linear layers; not on norms and biases.
            teacher: Whose answers it learns from beside the labels.
            teacher_share: Of the loss; the rest is the labels'.
            outline_weight: By which what `OutlineTask` says of batches with outlines is added to
                the loss; 0 where they have none.
            side: Of the pictures that the network takes, in pixels, where it is shown larger ones
                because its teacher takes them; None takes them as they are. A teacher that takes
                smaller ones gets them shrunk.
            seed: Of what is random in a step, so that a resumed run repeats.
        """
        super().__init__()
        self.network = network
        self.augmentation = augmentation
        self._optimizer = optimizer
        self._warm_up, self._label_smoothing = warm_up, label_smoothing
        self._mixup, self._weight_decay, self._seed = mixup, weight_decay, seed
        self._teacher, self._teacher_share, self._side = teacher, teacher_share, side
        self._outline_weight = outline_weight
        self.outlines = OutlineTask(cast(Mapped, network).map_channels) if outline_weight else None
        self.register_buffer("log_prior", torch.from_numpy(log_prior))
        self.register_buffer("prior_shift", torch.from_numpy(prior_shift))
        classes = len(log_prior)
        self.balanced_accuracy = MulticlassAccuracy(classes, average="macro")
        self.accuracy = MulticlassAccuracy(classes, average="micro")
        self.auroc = MulticlassAUROC(classes)

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits or log-probabilities `[N, C]` of `pictures` `[N, S, S, 3] uint8`."""
        scores: Tensor = self.network(as_input(pictures))
        return scores

    def on_train_batch_start(self, _batch: Batch, index: int) -> None:
        """Seeds what is random in a step (augmentation, dropout) by its place in the run.

        Data loaders draw from the same generator when they start, which a resumed run does at
        another moment than one that went through.
        """
        place = (self._seed * 100_003 + self.current_epoch) * 1_000_003 + index
        torch.manual_seed((place * 1_009 + self.global_rank) % 2**63)

    def training_step(self, batch: Batch, _index: int) -> Tensor:
        """The loss of one batch, logged."""
        loss = self.loss(batch, self.network)
        self.log("train/loss", loss, prog_bar=True, sync_dist=True)
        return loss

    def loss(self, batch: Batch, network: nn.Module) -> Tensor:
        """What `network`, this learner's or a copy of it, has to learn from `batch`.

        Cross-entropy with the sampling's shift taken out; with a teacher, the mean of that and of
        the cross-entropy with what it says of the same augmented pictures, by its share; with
        outlines, those of the second task added.
        """
        pictures, labels = batch
        pictures = self.augmentation(as_input(pictures))
        if self._mixup:
            share = torch.distributions.Beta(self._mixup, self._mixup).sample().to(self.device)
            pictures = torch.lerp(pictures.roll(1, dims=0), pictures, share)
        pictures, outlines = _apart(pictures)
        shown = at_side(self._side, pictures)
        maps: list[Tensor] = []
        if self.outlines is None:
            scores = network(shown).float()
        else:
            mapped = cast(Mapped, network)
            maps = mapped.feature_maps(shown)
            scores = mapped.head(maps[-1]).float()
        loss = self._against(labels, scores)
        if self._mixup:
            loss = torch.lerp(self._against(labels.roll(1), scores), loss, share)
        if self._teacher is not None:
            taught = F.cross_entropy(scores, self._teacher.answer(pictures))
            loss = torch.lerp(loss, taught, self._teacher_share)
        if self.outlines is not None:
            loss = loss + self._outline_weight * self.outlines(maps, outlines)
        return loss

    def _against(self, labels: Tensor, scores: Tensor) -> Tensor:
        shifted = scores + self.prior_shift
        return F.cross_entropy(shifted, labels, label_smoothing=self._label_smoothing)

    def validation_step(self, batch: Batch, _index: int) -> None:
        """Scores one batch of the validation split."""
        pictures, labels = batch
        scores = self(pictures).float()
        decision = scores - self.log_prior
        self.balanced_accuracy.update(decision, labels)
        self.accuracy.update(scores, labels)
        self.auroc.update(scores.softmax(dim=1), labels)
        self.log("val/loss", F.cross_entropy(scores, labels), on_epoch=True, sync_dist=True)
        self.log("val/balanced_accuracy", self.balanced_accuracy, prog_bar=True)
        self.log("val/accuracy", self.accuracy)
        self.log("val/auroc", self.auroc)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """The optimizer, with a rate that warms up and then falls as half a cosine."""
        learning = [*self.network.parameters()]
        if self.outlines is not None:
            learning += self.outlines.parameters()
        decayed = [p for p in learning if p.ndim > 1]
        others = [p for p in learning if p.ndim <= 1]
        optimizer = self._optimizer(
            [
                {"params": decayed, "weight_decay": self._weight_decay},
                {"params": others, "weight_decay": 0.0},
            ]
        )
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = LambdaLR(optimizer, lambda step: _rate(step, steps, self._warm_up))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _apart(pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Pictures `[N, 3, S, S]`, channels last, and the outlines that came with them, if any."""
    if pictures.shape[1] == 3:
        return pictures, pictures[:, 3:]
    return pictures[:, :3].contiguous(memory_format=torch.channels_last), pictures[:, 3:]


def _rate(step: int, steps: int, warm_up: float) -> float:
    """The share of the highest rate at `step` of `steps`."""
    rising = max(1, round(warm_up * steps))
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))
