"""From pictures to checkpoints: `python -m training.train model=mobilenet data=ham10000`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import hydra
import msgspec
import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, OmegaConf

from serving.manifest import ClassInfo, Preprocessing
from training.data.module import Answers, PictureData
from training.data.sets import Pictures, read_sets
from training.labels import DataError
from training.learner import Learner
from training.weights import WeightsError, start_from

CONFIG_FILE = "config.yaml"
"""In a run's folder: the resolved configuration, from which export and resumption start."""


def train(config: DictConfig) -> Path:
    """Trains as `config` says; returns the best checkpoint's path.

    Raises:
        DataError: where pictures are missing, unlabelled or cannot be decoded.
        WeightsError: where the weights to start from cannot be had.
    """
    pl.seed_everything(config.seed, workers=True, verbose=False)
    run_dir = Path(config.run_dir)
    run_dir.mkdir(parents=True, exist_ok=True)
    OmegaConf.save(OmegaConf.create(plain(config)), run_dir / CONFIG_FILE)
    pictures = read_config_sets(config)
    answers = read_answers(config, pictures)
    data = PictureData(
        pictures,
        answers,
        msgspec.convert(plain(config.model.preprocessing), Preprocessing),
        Path(config.cache_dir).expanduser(),
        batch_size=config.model.batch_size,
        sampling_power=config.model.sampling_power,
        seed=config.seed,
        workers=config.data.workers,
        limit=config.data.limit,
    )
    learner = make_learner(config, data)
    callbacks = [hydra.utils.instantiate(each) for each in config.callbacks.values()]
    loggers = [hydra.utils.instantiate(each) for each in config.logger.values()]
    trainer: pl.Trainer = hydra.utils.instantiate(
        config.trainer, callbacks=callbacks, logger=loggers
    )
    trainer.fit(learner, datamodule=data, ckpt_path=config.ckpt_path, weights_only=True)
    checkpoint = trainer.checkpoint_callback
    best = Path(getattr(checkpoint, "best_model_path", "") or run_dir)
    print(f"Best balanced accuracy on validation: {_best_score(trainer):.3f}, in {best}")
    return best


def read_config_sets(config: DictConfig) -> Pictures:
    """The pictures that `config` names, split."""
    return read_sets(plain(config.data), config.seed)


def read_answers(config: DictConfig, pictures: Pictures) -> Answers:
    """The classes that the model of `config` answers with."""
    binary = msgspec.convert(plain(config.model.binary), list[ClassInfo] | None)
    return Answers(pictures.classes, binary if config.model.target == "malignancy" else None)


def make_learner(config: DictConfig, data: PictureData) -> Learner:
    """The network of `config`, with the weights it starts from, and what trains it."""
    network = hydra.utils.instantiate(config.model.network, classes=len(data.answers.classes))
    origin = start_from(network, config.model.weights.file, config.model.weights.url)
    print(f"{config.model.architecture} starts from: {origin}")
    return Learner(
        network.to(memory_format=torch.channels_last),
        hydra.utils.instantiate(config.augmentation),
        hydra.utils.instantiate(config.model.optimizer),
        log_prior=data.log_prior,
        prior_shift=data.prior_shift,
        warm_up=config.model.warm_up,
        label_smoothing=config.model.label_smoothing,
        weight_decay=config.model.weight_decay,
        seed=config.seed,
    )


def plain(config: Any) -> Any:
    """A configuration as plain, resolved dictionaries and lists."""
    return OmegaConf.to_container(config, resolve=True) if OmegaConf.is_config(config) else config


def precision(device: str) -> str:
    """Lightning's name of the precision that suits `device` (`cpu` or `gpu`): mixed where it helps.

    Half-precision arithmetic that a processor only emulates is slower than 32 bits.
    """
    if device == "gpu":
        half = torch.cuda.is_available() and torch.cuda.is_bf16_supported()
        return "bf16-mixed" if half else "16-mixed"
    has_bfloat16 = torch.cpu.get_capabilities().get("avx512_bf16", False)
    return "bf16-mixed" if has_bfloat16 else "32-true"


def _best_score(trainer: pl.Trainer) -> float:
    score = getattr(trainer.checkpoint_callback, "best_model_score", None)
    return float("nan") if score is None else float(score)


OmegaConf.register_new_resolver("precision", precision, replace=True)


@hydra.main(version_base="1.3", config_path="../conf", config_name="train")
def main(config: DictConfig) -> None:
    """The command; errors of data and weights are told without a traceback."""
    try:
        train(config)
    except (DataError, WeightsError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
