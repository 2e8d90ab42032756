"""A model's graph in onnxruntime: pixels in, probabilities, heatmaps and novelty out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import onnxruntime

from serving.manifest import (
    MODEL_FILE,
    PREPROCESS_FILE,
    ArtifactError,
    Manifest,
    telling_what_cannot_be_read,
)
from serving.manifest import load as load_manifest
from serving.onnx_file import needs
from serving.pictures import Pixels

Floats = npt.NDArray[np.float32]


class Outputs(msgspec.Struct, frozen=True):
    """What the graph answers for N pictures.

    `probability` `[N, C] float32`, each row sums to 1; `heatmap` `[N, C, h, w] float32` in [0, 1];
    `novelty` `[N] float32`, larger = less like the training pictures.
    """

    probability: Floats
    heatmap: Floats
    novelty: Floats


class Classifier:
    """An artifact, loaded and checked. `run` may be called from several threads at once.

    `bytes` is the size of its two graphs, as who runs them elsewhere fetches them.
    """

    def __init__(self, folder: Path, threads: int = 1) -> None:
        """Loads the artifact in `folder`, to run each call on `threads` CPU threads.

        Raises:
            ArtifactError: where the manifest, a hash or the graph is not as the contract says, or
                a file cannot be read.
        """
        self.folder = folder
        self.manifest = load_manifest(folder)
        with telling_what_cannot_be_read():
            # The other one is for who runs them elsewhere.
            graph, other = (
                _read(folder / name, self.manifest.files[name])
                for name in (MODEL_FILE, PREPROCESS_FILE)
            )
        self.bytes = len(graph) + len(other)
        self._session = _session(folder / MODEL_FILE, graph, threads)
        _check_graph(folder / MODEL_FILE, self._session, self.manifest)

    def run(self, pixels: Pixels) -> Outputs:
        """Runs the graph over `pixels` `[N, S, S, 3] uint8` RGB."""
        probability, heatmap, novelty = self._session.run(
            ["probability", "heatmap", "novelty"], {"image": pixels}
        )
        return Outputs(probability, heatmap, novelty)

    def warm_up(self) -> None:
        """Runs one grey picture, so that the first caller does not pay for the first run.

        Raises:
            ArtifactError: where the graph can be loaded, and not run.
        """
        size = self.manifest.preprocessing.size
        try:
            self.run(np.full((1, size, size, 3), 127, np.uint8))
        except Exception as error:  # onnxruntime's own exceptions share no public base class
            reason = " ".join(str(error).split())
            raise ArtifactError(
                f"{self.folder / MODEL_FILE}: onnxruntime cannot run it: {reason}"
            ) from error


def load_all(
    root: Path, threads: int = 1, loaded: Iterable[Classifier] = ()
) -> dict[str, Classifier]:
    """Loads every artifact below `root`, by model name in alphabetical order of their folders.

    Of those `loaded` before, the ones that have not changed since are taken as they are.

    Raises:
        ArtifactError: where there is none, two have one name, or one is not as the contract says.
    """
    folders = sorted(p.parent for p in root.glob("*/model.json"))
    if not folders:
        raise ArtifactError(
            f"{root}: holds no model (a folder with model.json). LESIONLENS_ARTIFACTS names the "
            "folder of models; `make export` writes one."
        )
    before = {model.folder: model for model in loaded}
    models: dict[str, Classifier] = {}
    for folder in folders:
        model = before.get(folder)
        if model is None or model.manifest != load_manifest(folder):
            model = Classifier(folder, threads)
        if model.manifest.name in models:
            other = models[model.manifest.name].folder
            raise ArtifactError(
                f"{folder} and {other} both hold a model named {model.manifest.name}"
            )
        models[model.manifest.name] = model
    return models


def _read(path: Path, digest: str) -> bytes:
    """The graph at `path`, which needs nothing but ONNX's own operators."""
    graph = path.read_bytes()
    # The very bytes that are loaded: the file may be written anew while it is read.
    if hashlib.sha256(graph).hexdigest() != digest:
        raise ArtifactError(f"{path}: was changed while it was loaded. Load it again.")
    try:
        needed = needs(graph)
    except ValueError as error:
        raise ArtifactError(f"{path}: is no ONNX file: {error}. Export the model again.") from error
    if needed.other_file:
        raise ArtifactError(
            f"{path}: keeps weights in another file, which it names by a path. Export the model "
            "into one file."
        )
    if needed.domains or needed.functions:
        domains = ", ".join(map(repr, sorted(needed.domains)))
        found = f"operators of {domains}" if domains else "functions of its own"
        raise ArtifactError(
            f"{path}: has {found}, which not every runtime knows. Export the model with the "
            "operators of ONNX itself alone."
        )
    return graph


def _session(path: Path, graph: bytes, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Spinning threads would take the cores that decode the next picture.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions share no public base class
        reason = " ".join(str(error).split())
        raise ArtifactError(f"{path}: onnxruntime cannot load it: {reason}") from error
    # It keeps the file to make itself anew for another provider, which is never asked of it.
    session._model_bytes = None
    return session


def _check_graph(path: Path, session: onnxruntime.InferenceSession, manifest: Manifest) -> None:
    """The graph's names, types and shapes against the contract and the manifest."""
    size, classes = manifest.preprocessing.size, len(manifest.classes)
    expected: dict[str, tuple[str, list[int | None]]] = {
        "image": ("tensor(uint8)", [None, size, size, 3]),
        "probability": ("tensor(float)", [None, classes]),
        "heatmap": ("tensor(float)", [None, classes, None, None]),
        "novelty": ("tensor(float)", [None]),
    }
    values = [*session.get_inputs(), *session.get_outputs()]
    found = {value.name: (value.type, list(value.shape)) for value in values}
    if set(found) != set(expected):
        raise ArtifactError(f"{path}: has {sorted(found)}, the contract says {sorted(expected)}")
    for name, (kind, shape) in expected.items():
        found_kind, found_shape = found[name]
        fits = len(shape) == len(found_shape) and all(
            want is None or want == got for want, got in zip(shape, found_shape, strict=True)
        )
        if found_kind != kind or not fits:
            raise ArtifactError(
                f"{path}: {name} is {found_kind} {found_shape}, but {manifest.name}'s manifest "
                f"asks for {kind} {shape}"
            )
        if isinstance(found_shape[0], int):
            raise ArtifactError(f"{path}: the batch of {name} is fixed to {found_shape[0]}")
