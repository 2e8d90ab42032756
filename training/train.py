"""From pictures to checkpoints: `python -m training.train model=mobilenet data=ham10000`."""

from __future__ import annotations

import logging
import math
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import hydra
import msgspec
import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import ModelCheckpoint, Timer
from pytorch_lightning.utilities import rank_zero_only
from torch import nn

from serving.manifest import ClassInfo, Dataset, Preprocessing
from training import record, sizes
from training.beginning import Beginning, begun_with, gone_on_from, refuse_another
from training.data.module import Answers, CachedSets, PictureData
from training.data.sets import Pictures, binary_of, read_sets
from training.data.splits import digest
from training.finished import (
    CONFIG_FILE,
    START_FILE,
    RunError,
    learned_before,
    load_network,
    mean_of,
    read_config,
    refuse_more_sets,
    runs_of,
    sets_of,
)
from training.labels import DataError
from training.learner import Learner
from training.memory import keep_what_is_freed
from training.moved import Moved
from training.start import read_artifact, start_from_artifact
from training.teacher import Member, Teacher, load_teacher
from training.weights import WeightsError, start_from

_BATCH = 64
"""Pictures that norms are restored on at a time."""


def train(config: DictConfig) -> float:
    """Trains as `config` says; returns the best checkpoint's score.

    Raises:
        DataError: where pictures are missing, unlabelled or cannot be decoded.
        WeightsError: where the weights to start from cannot be had.
        RunError: where a finished run is named, as a teacher or to start from, that cannot be used;
            where the run cannot go on from the checkpoint, or would overwrite a finished one.
    """
    # Where a sweep's jobs are processes of their own, they get this function without its module.
    register_resolvers()
    quieten()
    pl.seed_everything(config.seed, workers=True, verbose=False)
    run_dir, before = Path(config.run_dir), gone_on_from(config)
    pictures = read_config_sets(config)
    answers = read_answers(config, pictures)
    teacher = load_teacher(
        plain(config.model.teacher.networks), pictures, answers, config.model.preprocessing.fit
    )
    split_digest, origin = digest(pictures.parts), None if teacher is None else teacher.origin
    beginning = begun_with(config, split_digest, [c.id for c in answers.classes], origin)
    if before is not None:
        refuse_another(before, beginning)
    data = read_data(config, pictures, answers, teacher)
    begun = _start(config, answers, pictures, data, split_digest, before)
    picture_sizes = sizes.by_set([*pictures.parts["train"], *pictures.extra])
    # From here on a picture is a row of the cache and a class.
    del pictures
    callbacks = [hydra.utils.instantiate(each) for each in config.callbacks.values()]
    trainer: pl.Trainer = hydra.utils.instantiate(
        config.trainer,
        callbacks=[*callbacks, Beginning(beginning), Moved()],
        logger=[hydra.utils.instantiate(each) for each in config.logger.values()],
    )
    commit, start = record.commit(), time.monotonic()
    timers = [each for each in callbacks if isinstance(each, Timer)]
    learner = make_learner(config, data, begun.network, teacher)
    _begin(config, run_dir)
    trainer.fit(learner, datamodule=data, ckpt_path=before, weights_only=True)
    checkpoint = trainer.checkpoint_callback
    assert isinstance(checkpoint, ModelCheckpoint)
    score = checkpoint.best_model_score
    finished = record.Record(
        weights=begun.origin,
        split_digest=split_digest,
        commit=commit,
        hardware=record.hardware(trainer.strategy.root_device),
        seconds=timers[0].time_elapsed() if timers else time.monotonic() - start,
        epochs=trainer.current_epoch,
        best_score=float("nan") if score is None else float(score),
        scored_by=checkpoint.monitor or "",
        versions=record.versions(),
        teacher=origin,
        learned_before=_learned_before(config, begun, teacher),
        holds=_holds(config, begun, teacher),
        picture_sizes=picture_sizes,
    )
    best = Path(checkpoint.best_model_path)
    _end(finished, run_dir, config.model.name, best)
    return finished.best_score


class _Start(NamedTuple):
    """The network before its training, where its weights came from, what they had learned from."""

    network: nn.Module
    origin: str
    datasets: list[Dataset]
    holds: list[str]


def _start(
    config: DictConfig,
    answers: Answers,
    pictures: Pictures,
    data: PictureData,
    split_digest: str,
    before: Path | None,
) -> _Start:
    weights = plain(config.model.weights)
    files = [Path(each) for each in weights.pop("checkpoints", None) or ()]
    artifact = weights.pop("artifact", None)
    ids = [c.id for c in answers.classes]
    if files:
        runs = runs_of(files, split_digest)
        refuse_more_sets(runs, sets_of(config))
        if any(read_config(run).model.target != config.model.target for run in runs):
            raise RunError(
                f"{', '.join(map(str, runs))}: tell other classes apart than {config.model.name}. "
                "Name runs with the same model.target in model.weights.checkpoints."
            )
        return _Start(load_network(config, files, len(ids)).train(), mean_of(files), [], [])
    network: nn.Module = hydra.utils.instantiate(config.model.network, classes=len(ids))
    if artifact is None:
        return _Start(network, start_from(network, **weights), [], [])
    kept = Path(config.run_dir) / START_FILE
    if before is not None and (start := before.parent.parent / START_FILE).exists():
        return _read_start(network, start, kept)
    folder = Path(artifact).expanduser()
    manifest = read_artifact(folder, pictures.sets[0], split_digest)
    seen = data.train
    if seen.side != config.model.preprocessing.size:
        seen = decode(config, pictures, answers).part("train")
    shown = seen.drawn(config.norms.pictures, _BATCH, config.seed, "restoring the norms")
    origin = start_from_artifact(network, folder, manifest, ids, shown, weights.get("scale"))
    holds = manifest.training.config.get("holds", [])
    begun = _Start(network, origin, manifest.training.datasets, holds)
    _keep(begun, kept)
    return begun


@rank_zero_only
def _keep(begun: _Start, file: Path) -> None:
    """Keeps what a run starts from as a checkpoint, since an artifact may be written anew."""
    state = {f"network.{key}": value for key, value in begun.network.state_dict().items()}
    datasets = msgspec.to_builtins(begun.datasets)
    told = {"origin": begun.origin, "datasets": datasets, "holds": begun.holds}
    _write_start(file, {"state_dict": state, **told})


def _read_start(network: nn.Module, before: Path, file: Path) -> _Start:
    """What was kept `before`, and is now in `file`; the weights are the checkpoint's."""
    kept = torch.load(before, map_location="cpu", weights_only=True)
    if not file.exists():
        _write_start(file, kept)
    datasets = msgspec.convert(kept["datasets"], list[Dataset])
    return _Start(network, kept["origin"], datasets, kept["holds"])


@rank_zero_only
def _write_start(file: Path, kept: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_suffix(".part")
    torch.save(kept, beside)
    beside.replace(file)


def _learned_before(config: DictConfig, begun: _Start, teacher: Teacher | None) -> list[Dataset]:
    """The sets that are not the run's own, and that its start or its teacher had learned from."""
    own = sets_of(config)
    through = learned_before(_runs_behind(config, teacher), own)
    taught = [each for member in _members(teacher) for each in member.datasets]
    every = [*begun.datasets, *taught, *through]
    return list({each.name: each for each in every if each.name not in own}.values())


def _holds(config: DictConfig, begun: _Start, teacher: Teacher | None) -> list[str]:
    """Sets whose pictures are among those of all that the run learned from."""
    own = [config.data, *(config.data.get("extra") or {}).values()]
    named = [name for each in own for name in each.get("holds") or ()]
    behind = [name for run in _runs_behind(config, teacher) for name in record.read(run).holds]
    taught = [name for member in _members(teacher) for name in member.holds]
    return sorted({*named, *behind, *taught, *begun.holds})


def _runs_behind(config: DictConfig, teacher: Teacher | None) -> list[Path]:
    """The runs that it goes on from, and that teach it."""
    before = [Path(file).parents[1] for file in config.model.weights.get("checkpoints") or ()]
    teaching = [run for member in _members(teacher) for run in member.runs]
    return list(dict.fromkeys([*before, *teaching]))


def _members(teacher: Teacher | None) -> Sequence[Member]:
    return teacher.members if teacher is not None else ()


@rank_zero_only
def _begin(config: DictConfig, run_dir: Path) -> None:
    """Of several processes only the first writes; what goes on has not finished any more."""
    run_dir.mkdir(parents=True, exist_ok=True)
    (run_dir / record.FILE_NAME).unlink(missing_ok=True)
    OmegaConf.save(OmegaConf.create(plain(config)), run_dir / CONFIG_FILE)


@rank_zero_only
def _end(finished: record.Record, run_dir: Path, name: str, best: Path) -> None:
    record.write(finished, run_dir)
    print(
        f"{name} started from {finished.weights}; the best checkpoint has {finished.scored_by} "
        f"{finished.best_score:.3f}: {best}"
    )


def read_config_sets(config: DictConfig) -> Pictures:
    """The pictures that `config` names, split."""
    return read_sets(plain(config.data), config.seed)


def read_answers(config: DictConfig, pictures: Pictures) -> Answers:
    """The classes that the model of `config` answers with."""
    binary = msgspec.convert(plain(config.model.binary), list[ClassInfo] | None)
    if binary is not None and config.model.target == "malignancy":
        return Answers(pictures.classes, binary_of(pictures, binary))
    return Answers(pictures.classes, None)


def decode(
    config: DictConfig, pictures: Pictures, answers: Answers, side: int | None = None
) -> CachedSets:
    """The pictures of a run, decoded as its network takes them, or at another `side` in pixels."""
    preprocessing = read_preprocessing(config)
    return CachedSets(
        pictures,
        answers,
        msgspec.structs.replace(preprocessing, size=side or preprocessing.size),
        Path(config.cache_dir).expanduser(),
        config.data.limit,
        # Runs from before these were choices have no such entries.
        config.data.get("unreadable", "fail"),
        config.data.get("duplicates", False),
    )


def read_data(
    config: DictConfig, pictures: Pictures, answers: Answers, teacher: Teacher | None = None
) -> PictureData:
    """The pictures decoded, sampled and batched as `config` says.

    What a teacher is shown beside the network has the larger size of the two.

    Raises:
        DataError: where pictures cannot be decoded, or a class has none in one of the parts.
    """
    cached = decode(config, pictures, answers)
    cached.refuse_absent_classes()
    larger = teacher is not None and teacher.side > read_preprocessing(config).size
    return PictureData(
        decode(config, pictures, answers, teacher.side) if teacher and larger else cached,
        cached,
        batch_size=config.model.batch_size,
        sampling_power=config.model.sampling_power,
        seed=config.seed,
        workers=config.data.workers,
        outlines=config.model.outline_weight > 0,
    )


def read_preprocessing(config: DictConfig) -> Preprocessing:
    """The way to the network's input that the model of `config` takes."""
    return msgspec.convert(plain(config.model.preprocessing), Preprocessing)


def make_learner(
    config: DictConfig, data: PictureData, network: nn.Module, teacher: Teacher | None = None
) -> Learner:
    """What trains `network` as `config` says."""
    return Learner(
        network,
        hydra.utils.instantiate(config.augmentation),
        hydra.utils.instantiate(config.model.optimizer),
        log_prior=data.log_prior,
        prior_shift=data.prior_shift,
        warm_up=config.model.warm_up,
        label_smoothing=config.model.label_smoothing,
        mixup=config.model.mixup,
        weight_decay=config.model.weight_decay,
        teacher=teacher,
        teacher_share=config.model.teacher.share,
        outline_weight=config.model.outline_weight,
        side=config.model.preprocessing.size,
        seed=config.seed,
    )


def plain(config: Any) -> Any:
    """A configuration as plain, resolved dictionaries and lists."""
    return OmegaConf.to_container(config, resolve=True) if OmegaConf.is_config(config) else config


def half_precision() -> str:
    """Lightning's name of the half precision that this machine's GPU computes in."""
    has_bfloat16 = torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    return "bf16-mixed" if has_bfloat16 else "16-mixed"


def quieten() -> None:
    """Silences what libraries say of themselves: the forecast is the first line one reads."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    # The exporter says that it does without torchvision, which is as it should be.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    # Gathering a batch from the memory map takes a millisecond: workers would only cost.
    warnings.filterwarnings("ignore", message=".*does not have many workers")
    warnings.filterwarnings("ignore", message=".*isinstance\\(treespec, LeafSpec\\)")
    warnings.filterwarnings("ignore", message=".*smaller than the logging interval")


def register_resolvers() -> None:
    """Makes known to OmegaConf what `conf` asks of the machine."""
    OmegaConf.register_new_resolver("half_precision", half_precision, replace=True)


register_resolvers()


@hydra.main(version_base="1.3", config_path="../conf", config_name="train")
def main(config: DictConfig) -> float:
    """The command; errors of data, weights, teachers and files are told without a traceback.

    A job of a sweep raises them instead, so that only this job ends, and returns its score.
    """
    sweeps = HydraConfig.get().mode == RunMode.MULTIRUN
    keep_what_is_freed()
    try:
        if sweeps and "strategy" in config.trainer:
            raise RunError(
                "A job of a sweep trains in one process; several would each start the whole sweep. "
                "Take trainer=cpu or trainer=gpu, and let the launcher run several jobs at a time."
            )
        score = train(config)
        if sweeps and not math.isfinite(score):
            raise RunError("Validation gave no number in any epoch; the rate may be too high.")
    except (DataError, RunError, WeightsError, OSError) as error:
        if sweeps:
            raise
        sys.exit(f"error: {error}")
    return score


if __name__ == "__main__":
    main()
