"""What an export starts from: the run that its overrides mean, its pictures, its network."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from omegaconf import DictConfig
from torch import nn

from training import record
from training.data.module import Answers, CachedSets
from training.data.sets import Pictures
from training.data.splits import digest
from training.finished import (
    checkpoint_files,
    find_run,
    load_network,
    read_config,
    refuse_more_sets,
    resize,
    runs_of,
    sets_of,
)
from training.labels import DataError
from training.norms import renew
from training.train import decode, plain, read_answers, read_config_sets

_BATCH = 64


class Candidate(NamedTuple):
    """A finished run, `trained` as its configuration says but of the size that is exported.

    `network` is the mean of `checkpoints`, some of which may be of `others` than `run`, with the
    share of what the run went on from; its norms are those of the exported size.
    """

    run: Path
    others: list[Path]
    checkpoints: list[Path]
    trained: DictConfig
    history: record.Record
    pictures: Pictures
    answers: Answers
    cached: CachedSets
    network: nn.Module


def open_candidate(config: DictConfig) -> Candidate:
    """The run and the network that the overrides `config` of an export mean.

    Raises:
        RunError: where there is no such run, or its checkpoints do not go together.
        DataError: where the run's pictures cannot be read any more, or are not those it was split
            from.
    """
    run = find_run(config)
    print(f"taking {run}", flush=True)
    trained = read_config(run)
    history = record.read(run)
    pictures = read_config_sets(trained)
    if digest(pictures.parts) != history.split_digest:
        raise DataError(
            f"{run}: was trained on another split than {trained.data.root} gives now. "
            "Pictures were added, taken away or labelled anew: train again."
        )
    answers = read_answers(trained, pictures)
    checkpoints = checkpoint_files(run, plain(config.checkpoint))
    others = [other for other in runs_of(checkpoints, history.split_digest) if other != run]
    refuse_more_sets(others, sets_of(trained))
    resized = resize(trained, config.size)
    network = load_network(trained, checkpoints, len(answers.classes), config.start_share)
    cached = decode(trained, pictures, answers)
    if resized:
        title = "renewing the norms"
        seen = cached.part("train").drawn(config.norms.pictures, _BATCH, config.seed, title)
        renew(network, seen)
    return Candidate(run, others, checkpoints, trained, history, pictures, answers, cached, network)
