"""What stands behind a graph: all that is fitted to its answers, run through serving's own code."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import onnx
import torch
from omegaconf import DictConfig, OmegaConf
from tqdm import tqdm

from serving import manifest as contract
from serving import quality
from serving.classifier import Classifier, Outputs
from serving.manifest import Manifest, Preprocessing
from serving.pictures import PictureError, Prepared, prepare
from serving.prediction import malignant_probability, probabilities_of
from training import calibration, record
from training.calibration import Targets
from training.data.cache import TRUSTED, describe
from training.data.module import Unreadable
from training.data.splits import Part
from training.graph import check, scale
from training.labels import DataError, LabelledPicture
from training.scaling import Scaling
from training.scaling import fit as fit_scaling

_BATCH = 64


class PreparedPart(msgspec.Struct, frozen=True):
    """A part of the split, prepared by serving's own code from the files' bytes."""

    pictures: list[LabelledPicture]
    prepared: list[Prepared]
    labels: npt.NDArray[np.int64]

    @classmethod
    def read(
        cls,
        name: Part,
        listed: Sequence[LabelledPicture],
        preprocessing: Preprocessing,
        labels: npt.NDArray[np.int64],
        unreadable: Unreadable,
    ) -> PreparedPart:
        """Reads the pictures `listed`, whose classes are `labels` `[N]`.

        Those that are `unreadable` are an error, or named and left out.

        Raises:
            DataError: where they are an error.
        """
        prepared, kept, problems = list[Prepared](), list[int](), list[str]()
        for place, picture in enumerate(tqdm(listed, f"reading the {name} split", unit="picture")):
            try:
                prepared.append(prepare(picture.path.read_bytes(), preprocessing, TRUSTED))
                kept.append(place)
            except (OSError, PictureError) as error:
                problem = f"{picture.path}: cannot be read: {error}"
                if unreadable == "fail":
                    raise DataError(problem) from error
                problems.append(problem)
        if problems:
            print(f"{describe(problems)}\nThey are left out.", file=sys.stderr)
        return cls([listed[place] for place in kept], prepared, labels[kept])

    @property
    def groups(self) -> list[str]:
        """The lesion of each picture."""
        return [picture.group for picture in self.pictures]

    def run(self, model: Classifier, title: str) -> Outputs:
        """What `model` answers for all of them."""
        each_batch = list(batches(self.prepared, _BATCH))
        outputs = [model.run(each) for each in tqdm(each_batch, title, unit="batch")]
        return Outputs(
            np.concatenate([each.probability for each in outputs]),
            np.concatenate([each.heatmap for each in outputs]),
            np.concatenate([each.novelty for each in outputs]),
        )


def open_as_served(model: onnx.ModelProto, manifest: Manifest, made: Path) -> Classifier:
    """The artifact in the folder `made` with `model` as its graph, opened as serving opens it.

    Raises:
        ExportError: where onnx or serving would not take the graph.
    """
    check(model, forbidden=(str(Path.cwd()), str(Path.home()), "site-packages", '.py"'))
    onnx.save(model, made / contract.MODEL_FILE)
    contract.save(manifest, made)
    return Classifier(made, torch.get_num_threads())


def fit(
    model: onnx.ModelProto,
    manifest: Manifest,
    made: Path,
    calibrating: PreparedPart,
    targets: Targets,
) -> Manifest:
    """Writes `model` into `made` with its scaling; the manifest with all that is fitted.

    Raises:
        ExportError: where the graph cannot be served, or has no scaling.
    """
    scale(model, Scaling.none(len(manifest.classes)))
    raw = calibrating.run(open_as_served(model, manifest, made), "fitting the calibration")
    scaling = fit_scaling(raw.probability, calibrating.labels, targets.least_pictures)
    scale(model, scaling)
    final = calibrating.run(open_as_served(model, manifest, made), "fitting the rest")
    manifest = msgspec.structs.replace(
        manifest,
        temperature=scaling.temperature,
        logit_biases=dict(zip(manifest.class_ids, map(float, scaling.biases), strict=True)),
    )
    return _fitted(manifest, final, calibrating, targets)


def fitted_with(config: DictConfig, *, anew: bool = False) -> dict[str, Any]:
    """What a manifest tells of how all this was fitted; `anew` around weights that were there."""
    asked = {"novelty": config.novelty, "targets": config.targets}
    told = {name: OmegaConf.to_container(each, resolve=True) for name, each in asked.items()}
    return {"commit": record.commit(), "anew": anew, **told}


def batches(prepared: Sequence[Prepared], size: int) -> Iterator[npt.NDArray[np.uint8]]:
    """The pictures in batches `[size, S, S, 3]`; the last may be smaller."""
    for start in range(0, len(prepared), size):
        yield np.stack([each.pixels for each in prepared[start : start + size]])


def _fitted(
    manifest: Manifest, final: Outputs, calibrating: PreparedPart, targets: Targets
) -> Manifest:
    """The manifest with everything that the final graph's answers give."""
    labels, probability = calibrating.labels, final.probability
    classes = len(manifest.classes)
    offsets = calibration.decision_offsets(labels, classes, targets.accuracy_share)
    malignant = np.array([c.malignant for c in manifest.classes])
    points = []
    if malignant.any():
        found = [probabilities_of(row, manifest) for row in probability]
        score = np.array([malignant_probability(each, manifest) for each in found])
        points = [
            calibration.fit_operating_point(
                score, malignant[labels], calibrating.groups, targets.sensitivity
            )
        ]
    measures = [quality.measure(each) for each in calibrating.prepared]
    return msgspec.structs.replace(
        manifest,
        decision_offsets=dict(zip(manifest.class_ids, map(float, offsets), strict=True)),
        operating_points=points,
        conformal=calibration.fit_conformal(probability, labels, manifest.class_ids, targets),
        novelty_threshold=calibration.fit_novelty_threshold(final.novelty, targets.accepted),
        quality=calibration.fit_quality(measures, targets.warned),
    )


def put_in_place(made: Path, folder: Path) -> None:
    """Moves the artifact `made` to `folder`; what is there stays where that fails.

    `made` lies in a temporary folder of the same file system, which takes the old one.
    """
    aside = made.with_name(f"{made.name}-before")
    if folder.exists():
        folder.replace(aside)
    try:
        made.replace(folder)
    except BaseException:
        if aside.exists():
            aside.replace(folder)
        raise
