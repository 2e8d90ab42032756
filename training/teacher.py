"""Trained networks as the teacher of another, which learns from what they answer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import onnx
import torch
from torch import Tensor, nn

from serving.manifest import MODEL_FILE, Dataset
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
from training.inputs import at_side
from training.networks import MobileNetV2
from training.start import fill, read_artifact

OPTION = "model.teacher.networks"


class Member(NamedTuple):
    """One of the networks that teach together, in evaluation mode."""

    network: nn.Module
    """from `[N, 3, side, side] float32` in [0, 1] to logits `[N, K]`"""
    joined: Tensor
    """which of the learner's C classes each of its K belongs to, `[K] int64`"""
    side: int
    """of the pictures that it takes, in pixels"""
    origin: str
    """what to write down about it"""
    runs: Sequence[Path] = ()
    """that its weights are of"""
    datasets: Sequence[Dataset] = ()
    """what it learned from, where no run tells"""
    holds: Sequence[str] = ()
    """sets whose pictures are among those, where no run tells"""


class Teacher:
    """Trained networks, whose mean answer in the classes of the one that learns is taught.

    Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", arXiv:1503.02531; that
    all look at the very same augmented picture: Beyer et al., "Knowledge distillation: A good
    teacher is patient and consistent", CVPR 2022. It is no module, so that no checkpoint of the
    learner holds it.
    """

    def __init__(self, members: Sequence[Member]) -> None:
        """Takes the `members`, at least one."""
        self.members = members
        for each in members:
            each.network.requires_grad_(False)
        self._classes = max(int(each.joined.max()) for each in members) + 1

    @property
    def side(self) -> int:
        """The largest that one of the members takes, in pixels."""
        return max(each.side for each in self.members)

    @property
    def origin(self) -> str:
        """What to write down about it."""
        return "; ".join(each.origin for each in self.members)

    @torch.no_grad()
    def answer(self, pictures: Tensor) -> Tensor:
        """Probabilities `[N, C] float32` of `pictures` `[N, 3, S, S] float32` in [0, 1].

        Each member is shown them at its own side.
        """
        answers = [self._answer(each, pictures) for each in self.members]
        return torch.stack(answers).mean(dim=0)

    def _answer(self, member: Member, pictures: Tensor) -> Tensor:
        network = member.network.to(pictures.device)
        own: Tensor = network(at_side(member.side, pictures)).float().softmax(dim=1)
        joined = own.new_zeros(len(own), self._classes)
        return joined.index_add_(1, member.joined.to(own.device), own)


def load_teacher(
    networks: object, pictures: Pictures, answers: Answers, fit: str
) -> Teacher | None:
    """The teacher whose members are `networks`; None where there are none.

    Args:
        networks: A list, of which each is the file of a finished run's checkpoint, or several
            whose weights' mean it has, or the folder of a MobileNetV2's artifact.
        pictures: What the learner learns from.
        answers: How the classes of those pictures become the learner's.
        fit: How pictures are made square for the learner, and so for all.

    Raises:
        RunError: where `networks` are no such list; or where a run has not finished, answers other
            classes, takes pictures of another fit, learned from a set that the learner does not,
            or from pictures that it is to be validated or tested on; or where the checkpoints are
            of networks that cannot be averaged.
        WeightsError: where a folder holds no artifact, or one that learned from such pictures.
    """
    try:
        listed = msgspec.convert(networks or [], list[str | list[str]])
    except msgspec.ValidationError as error:
        raise RunError(
            f"{OPTION}: {error}. It is a list, as [RUN/checkpoints/best.ckpt,artifacts/mobilenet]."
        ) from error
    ids = [c.id for c in pictures.classes]
    joined = torch.from_numpy(answers.indices(ids))
    members = []
    for each in listed:
        files = [Path(file).expanduser() for file in ([each] if isinstance(each, str) else each)]
        if isinstance(each, str) and files[0].is_dir():
            members.append(_of_artifact(files[0], pictures, ids, joined, fit))
        elif files:
            members.append(_of_runs(files, pictures, joined, fit))
    return Teacher(members) if members else None


def _of_runs(files: Sequence[Path], pictures: Pictures, joined: Tensor, fit: str) -> Member:
    for file in files:
        if not file.is_file():
            raise RunError(
                f"{OPTION}: {file} is neither a checkpoint nor the folder of an artifact."
            )
    runs = runs_of(files, digest(pictures.parts))
    refuse_more_sets(runs, [each.name for each in pictures.sets])
    for run in runs:
        if read_config(run).model.target != "classes":
            raise RunError(f"{run}: {_OTHER_CLASSES}")
    trained = read_config(runs[0])
    _refuse_other_fit(runs[0], trained.model.preprocessing.fit, fit)
    return Member(
        network=load_network(trained, files, len(joined)),
        joined=joined,
        side=int(trained.model.preprocessing.size),
        origin=f"{trained.model.name}, {mean_of(files)}",
        runs=runs,
    )


def _of_artifact(
    folder: Path, pictures: Pictures, ids: list[str], joined: Tensor, fit: str
) -> Member:
    manifest = read_artifact(folder, pictures.sets[0], digest(pictures.parts), OPTION)
    _refuse_other_fit(folder, manifest.preprocessing.fit, fit)
    if manifest.class_ids != ids:
        raise RunError(f"{folder}: {_OTHER_CLASSES}")
    network = MobileNetV2(len(ids)).eval()
    try:
        fill(network, onnx.load(folder / MODEL_FILE).graph)
    except ValueError as error:
        raise RunError(f"{folder}: {error}. Only a MobileNetV2's artifact can teach.") from error
    return Member(
        network=network,
        joined=joined,
        side=manifest.preprocessing.size,
        origin=f"{manifest.name}, graph of SHA-256 {manifest.digest[:16]}",
        datasets=manifest.training.datasets,
        holds=manifest.training.config.get("holds", []),
    )


def _refuse_other_fit(place: Path, own: str, fit: str) -> None:
    if own != fit:
        raise RunError(
            f"{place}: takes pictures of fit {own}, the learner of fit {fit}. Set "
            f"model.preprocessing.fit={own}, or name another teacher."
        )


_OTHER_CLASSES = "a teacher answers the data set's classes; this one does not."
