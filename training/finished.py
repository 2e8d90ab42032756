"""Finished runs: where they are, and the networks that they left."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import hydra
import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from serving.manifest import Dataset
from training import record

CONFIG_FILE = "config.yaml"
"""In a run's folder: the resolved configuration, from which export and resumption start."""

START_FILE = "start.ckpt"
"""In a run's folder: the weights of the artifact that it started from, where it did."""

_HYDRA_FILE = ".hydra/hydra.yaml"


class RunError(Exception):
    """A run that is not there, has not finished, or cannot be used; the message says what to do."""


def find_run(config: DictConfig) -> Path:
    """The folder of the finished run that the overrides of `config` mean.

    That is `run`, or the one that training would have written to (hydra.run.dir), or else the
    newest among `runs` of the same kind of network.

    Raises:
        RunError: where no run has finished there, or it is of another kind of network.
    """
    written, kind = Path(config.run_dir), config.model.network._target_
    if config.run is not None or written.resolve() != Path.cwd():
        run = written if config.run is None else Path(config.run).expanduser()
        refuse_unfinished(run)
        if (other := read_config(run).model.network._target_) != kind:
            raise RunError(
                f"{run}: is a run of a {_name(other)}, and {config.model.name} here one of a "
                f"{_name(kind)}. Name the model that it was trained as: MODEL={model_of(run)} for "
                f"make, else model={model_of(run)}."
            )
        return run
    root = Path(config.runs)
    finished = sorted(root.glob(f"*/{record.FILE_NAME}"), key=lambda path: path.stat().st_mtime)
    for file in reversed(finished):
        if read_config(file.parent).model.network._target_ == kind:
            return file.parent
    raise RunError(
        f"{root}: holds no finished run of a {_name(kind)}. Train first, with the same "
        "overrides and `make train`, or name a run's folder with run=..."
    )


def refuse_unfinished(run: Path) -> None:
    """Makes sure that there is a finished run in the folder `run`.

    Raises:
        RunError: where there is none.
    """
    if not (run / record.FILE_NAME).exists():
        raise RunError(
            f"{run}: holds no {record.FILE_NAME}, so no run has finished there. Name a finished "
            "run's folder, or its checkpoint, as runs/mobilenet/TIME/checkpoints/best.ckpt."
        )


def read_config(run: Path) -> DictConfig:
    """The resolved configuration of `run`."""
    trained = OmegaConf.load(run / CONFIG_FILE)
    assert isinstance(trained, DictConfig)
    return trained


def resize(trained: DictConfig, size: int | None) -> bool:
    """Makes `trained` that of a network which is shown `size` pixels; whether it was another's.

    None leaves it as it is.

    Raises:
        RunError: where the network was made for one size.
    """
    if size in (None, trained.model.preprocessing.size):
        return False
    if "size" in trained.model.network:
        raise RunError(
            f"size={size}: {trained.model.name} was made for {trained.model.network.size} pixels "
            "and takes no others. Train it with that model.preprocessing.size, or leave size out."
        )
    trained.model.preprocessing.size = size
    return True


def model_of(run: Path) -> str:
    """The file of conf/model that `run` was trained with, which model.name need not tell."""
    if (told := run / _HYDRA_FILE).exists():
        chosen = OmegaConf.select(OmegaConf.load(told), "hydra.runtime.choices.model")
        if chosen is not None:
            return str(chosen)
    return str(read_config(run).model.name)


def checkpoint_files(run: Path, names: str | Iterable[str]) -> list[Path]:
    """The files of the checkpoints that `names` is, or lists.

    A name is best or last, and is of `run`; with a slash it is the file of another run.
    """
    listed = [names] if isinstance(names, str) else names
    return [Path(name) if "/" in name else run / "checkpoints" / f"{name}.ckpt" for name in listed]


def runs_of(checkpoints: Sequence[Path], split_digest: str) -> list[Path]:
    """The runs whose `checkpoints` are to be averaged, for a model of this split.

    Raises:
        RunError: where one has not finished, learned from pictures that are held out, or started
            from other weights or takes other pictures than the rest.
    """
    runs = list(dict.fromkeys(file.parent.parent for file in checkpoints))
    for run in runs:
        refuse_unfinished(run)
        if record.read(run).split_digest != split_digest:
            raise RunError(
                f"{run}: learned from another split, and so perhaps from pictures that are held "
                "out here. Train it on the same data with the same seed."
            )
    starts = {(record.read(run).weights, str(read_config(run).model.preprocessing)) for run in runs}
    if len(starts) > 1:
        raise RunError(
            f"{', '.join(map(str, runs))}: started from different weights, or take pictures of "
            "different sizes or fits. The mean of such weights is no network."
        )
    return runs


def refuse_more_sets(runs: Iterable[Path], own: Sequence[str]) -> None:
    """Makes sure that `runs` learned from no set but `own`, those of the run that they go into.

    A model says what it learned from by its own run's sets, whatever other runs went into it.

    Raises:
        RunError: where one did.
    """
    for run in runs:
        if not set(sets := sets_of(read_config(run))) <= set(own):
            raise RunError(
                f"{run}: learned from {', '.join(sets)}, and the run that it goes into only from "
                f"{', '.join(own)}. That one must have all sets."
            )


def sets_of(trained: DictConfig) -> list[str]:
    """The names of the sets that a run of this configuration learns from."""
    return [trained.data.name, *(each.name for each in (trained.data.get("extra") or {}).values())]


def learned_before(runs: Iterable[Path], own: Sequence[str]) -> list[Dataset]:
    """The sets but `own` that `runs` learned from through others' weights or answers."""
    found = {each.name: each for run in runs for each in record.read(run).learned_before}
    return [each for each in found.values() if each.name not in own]


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What is in a run's checkpoint, its `state_dict` at least.

    Raises:
        RunError: where the file cannot be read, or is none.
    """
    try:
        found: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        found["state_dict"]
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror})") from error
    except (EOFError, KeyError, RuntimeError, TypeError, UnpicklingError) as error:
        raise RunError(f"{path}: is no checkpoint of a run ({error})") from error
    return found


def load_network(
    trained: DictConfig, checkpoints: Sequence[Path], classes: int, start_share: float = 0.0
) -> nn.Module:
    """The network of the configuration `trained` with finished weights, in evaluation mode.

    It answers so many `classes`, and has the mean of the weights in `checkpoints`: of runs that
    started from the same weights it answers about as well as the networks together would, at the
    cost of one (Wortsman et al., "Model soups", ICML 2022). Of a run that went on from others,
    `start_share` of these weights is mixed in again, which keeps what the run forgot (Wortsman et
    al., "Robust fine-tuning of zero-shot models", CVPR 2022).
    What its norms have counted is mixed like all else, and serves better than what
    `training.norms.renew` finds on pictures without augmentation.

    Raises:
        RunError: where a checkpoint cannot be read, they are not of the same network, or the run
            went on from none.
    """
    network: nn.Module = hydra.utils.instantiate(trained.model.network, classes=classes)
    weights = _mean(trained, checkpoints, network)
    if start_share:
        start = [Path(each) for each in trained.model.weights.get("checkpoints") or ()]
        if trained.model.weights.get("artifact"):
            start = start or [checkpoints[0].parents[1] / START_FILE]
        if not start:
            raise RunError(
                f"{checkpoints[0]}: its run went on from no other (model.weights.checkpoints) and "
                "from no artifact, so there is no start to mix in. Leave start_share at 0."
            )
        before = _mean(trained, start, network)
        weights = {key: torch.lerp(weights[key], before[key], start_share) for key in weights}
    own = network.state_dict()
    network.load_state_dict({key: value.to(own[key].dtype) for key, value in weights.items()})
    return network.eval()


def _name(target: str) -> str:
    """The class that a `_target_` names, without its module."""
    return target.rpartition(".")[2]


def _mean(
    trained: DictConfig, checkpoints: Sequence[Path], network: nn.Module
) -> dict[str, Tensor]:
    """The mean of the weights in `checkpoints`, each of such a `network`, in float64."""
    states = [_weights(path) for path in checkpoints]
    expected = {key: value.shape for key, value in network.state_dict().items()}
    for path, state in zip(checkpoints, states, strict=True):
        if {key: value.shape for key, value in state.items()} != expected:
            raise RunError(
                f"{path}: holds another network than {trained.model.name} of this configuration is "
                f"({trained.model.architecture}), or than the first of the checkpoints, "
                f"{checkpoints[0]}."
            )
    return {
        key: torch.stack([state[key].double() for state in states]).mean(0) for key in states[0]
    }


def mean_of(checkpoints: Sequence[Path]) -> str:
    """What to write down about the mean of the weights in `checkpoints`: which files they are."""
    hashes = sorted(hashlib.sha256(file.read_bytes()).hexdigest()[:16] for file in checkpoints)
    return f"mean of SHA-256 {', '.join(hashes)}"


def _weights(path: Path) -> dict[str, Tensor]:
    """The (averaged) weights of the network in a checkpoint."""
    prefix, state = "network.", read_checkpoint(path)["state_dict"]
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
