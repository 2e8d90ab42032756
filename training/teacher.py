"""Finished runs as the teacher of another, which learns from its answers beside the labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from training.data.module import Answers
from training.data.sets import Pictures
from training.data.splits import digest
from training.finished import (
    RunError,
    load_network,
    mean_of,
    read_config,
    refuse_more_sets,
    runs_of,
)


class Teacher:
    """A trained network, which answers in the classes of the one that learns.

    Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", arXiv:1503.02531; that
    both look at the very same augmented picture: Beyer et al., "Knowledge distillation: A good
    teacher is patient and consistent", CVPR 2022. It is no module, so that no checkpoint of the
    learner holds it.
    """

    def __init__(self, network: nn.Module, joined: Tensor, side: int, origin: str) -> None:
        """Takes a network in evaluation mode.

        Args:
            network: From `[N, 3, side, side] float32` in [0, 1] to logits `[N, K]`.
            joined: Which of the learner's C classes each of its K belongs to, `[K] int64`.
            side: Of the pictures that it takes, in pixels.
            origin: What to write down about it.
        """
        self.network, self.side, self.origin = network.requires_grad_(False), side, origin
        self._joined, self._classes = joined, int(joined.max()) + 1

    @torch.no_grad()
    def answer(self, pictures: Tensor) -> Tensor:
        """Probabilities `[N, C] float32` of `pictures` `[N, 3, side, side] float32` in [0, 1]."""
        own: Tensor = self.network.to(pictures.device)(pictures).float().softmax(dim=1)
        joined = own.new_zeros(len(own), self._classes)
        return joined.index_add_(1, self._joined.to(own.device), own)


def load_teacher(
    checkpoints: Sequence[str], pictures: Pictures, answers: Answers
) -> Teacher | None:
    """The teacher with the mean of the weights in `checkpoints`; None where none is named.

    Its norms are to be renewed before it teaches.

    Args:
        checkpoints: Files, each in its run's folder of checkpoints.
        pictures: What the learner learns from.
        answers: How the classes of those pictures become the learner's.

    Raises:
        RunError: where a run has not finished, answers other classes, learned from a set that the
            learner does not, or from pictures that it is to be validated or tested on; or where
            the checkpoints are of networks that cannot be averaged.
    """
    files = [Path(each) for each in checkpoints]
    if not files:
        return None
    runs = runs_of(files, digest(pictures.parts))
    refuse_more_sets(runs, [each.name for each in pictures.sets])
    for run in runs:
        if read_config(run).model.target != "classes":
            raise RunError(f"{run}: a teacher answers the data set's classes; this one does not.")
    trained = read_config(runs[0])
    network = load_network(trained, files, len(pictures.classes))
    origin = f"{trained.model.name}, {mean_of(files)}"
    joined = torch.from_numpy(answers.indices([c.id for c in pictures.classes]))
    return Teacher(network, joined, int(trained.model.preprocessing.size), origin)
