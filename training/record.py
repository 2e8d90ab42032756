"""What is written down about a run beside its configuration: from what, on what, how long."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import msgspec
import torch

from serving.manifest import Dataset
from training.sizes import PictureSize

FILE_NAME = "run.json"
_PACKAGES = ("torch", "pytorch-lightning", "kornia", "numpy", "pillow", "onnx", "onnxruntime")


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A finished run: `seconds` of wall-clock time and the best checkpoint's score included.

    `learned_before` are the sets beside its own that its start or its teacher had learned from;
    `holds` are others whose pictures all of these, and its own, have among theirs. `picture_sizes`
    are those of its own sets' pictures that it learned from.
    """

    weights: str
    split_digest: str
    commit: str
    hardware: str
    seconds: float
    epochs: int
    best_score: float
    scored_by: str
    versions: dict[str, str]
    teacher: str | None = None
    learned_before: list[Dataset] = []
    holds: list[str] = []
    picture_sizes: dict[str, PictureSize] = {}


def write(record: Record, run: Path) -> None:
    """Writes `record` into the folder of its run."""
    encoded = msgspec.json.format(msgspec.json.encode(record), indent=2)
    (run / FILE_NAME).write_bytes(encoded + b"\n")


def read(run: Path) -> Record:
    """The record in the folder `run`.

    Raises:
        FileNotFoundError: where the run has not finished.
    """
    return msgspec.json.decode((run / FILE_NAME).read_bytes(), type=Record)


def versions() -> dict[str, str]:
    """Python's version and those of the packages that decide what comes out."""
    return {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}}


def hardware(device: torch.device) -> str:
    """What trains: the graphics card's name, or the processor's with the threads in use."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    name = torch.cpu.get_capabilities().get("cpu_name", platform.processor() or "CPU")
    return f"{name}, {torch.get_num_threads()} threads"


def commit() -> str:
    """The checkout's commit, marked where files were changed since; `unknown` outside of one."""
    folder = Path(__file__).parent
    try:
        name = _git(folder, "rev-parse", "--short=12", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--", "../training", "../conf")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{name}, with changes" if changed else name


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
