"""Fits anew what stands around an artifact's network: `python -m training.refit model=mobilenet`.

Novelty to the training pictures; temperature, biases, decision offsets, operating points, conformal
quantiles and the thresholds of novelty and quality to the calibration split; all as
`conf/export.yaml` asks for. It takes no run: the network's weights stay as they are.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import hydra
import msgspec
import numpy as np
import onnx
from omegaconf import DictConfig, OmegaConf

from serving import manifest as contract
from serving.manifest import ArtifactError, Manifest
from training import comparison
from training.calibration import Targets
from training.data.sets import Pictures, read_sets
from training.data.splits import digest
from training.evaluate import as_answered
from training.fitting import PreparedPart, fit, put_in_place
from training.graph import ExportError
from training.labels import DataError
from training.novelty import NoveltySettings
from training.novelty import fit as fit_novelty
from training.novelty import shown as shown_to_novelty
from training.train import plain
from training.watched import WatchedGraph, put_novelty


def refit(
    folder: Path,
    pictures: Pictures,
    targets: Targets,
    novelty: NoveltySettings,
    skipped: list[str] | None = None,
) -> Manifest:
    """Fits the artifact in `folder` anew to `pictures`, which it was made from; its new manifest.

    Its report is taken away, which told of other decisions; a comparison of recipes stays. Where
    `skipped` is given, calibration pictures that cannot be read are left out and named there.

    Raises:
        ArtifactError: where the artifact cannot be served, or was trained on another split.
        DataError: where the pictures' classes are not the model's, or one cannot be read.
        ExportError: where the graph is not one that export made.
    """
    manifest = contract.load(folder)
    if digest(pictures.parts) != manifest.training.split_digest:
        raise ArtifactError(
            f"{folder}: was trained on another split than these pictures give, and may have "
            f"learned from some of them. Name the data set that it was trained on (this is "
            f"{pictures.sets[0].name} in {pictures.sets[0].root})."
        )
    own = manifest.training.config.get("data", [pictures.sets[0].name])
    if sorted(own) != sorted(each.name for each in pictures.sets):
        raise DataError(
            f"{folder}: was trained on {' and '.join(own)}, and these are "
            f"{' and '.join(each.name for each in pictures.sets)}. Name the same sets (what ships: "
            "experiment=travel)."
        )
    ids = manifest.class_ids
    listed = as_answered(pictures.parts["calibration"], pictures.classes, ids)
    labels = np.array([ids.index(picture.label) for picture in listed])
    preprocessing = manifest.preprocessing
    calibrating = PreparedPart.read("calibration", listed, preprocessing, labels, skipped)
    # Written beside and then moved, so that a failure leaves the artifact as it was.
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as name:
        made = Path(name) / folder.name
        made.mkdir()
        for kept in (Path(contract.PREPROCESS_FILE), comparison.FILE):
            if (folder / kept).exists():
                (made / kept).parent.mkdir(exist_ok=True)
                shutil.copyfile(folder / kept, made / kept)
        model = onnx.load(folder / contract.MODEL_FILE)
        learned_from = [each.path for each in (*pictures.parts["train"], *pictures.extra)]
        shown = shown_to_novelty(learned_from, preprocessing, novelty, manifest.training.seed)
        put_novelty(model, fit_novelty(WatchedGraph(model), shown, novelty))
        bare = msgspec.structs.replace(manifest, metrics=[], files={})
        fitted = contract.save(fit(model, bare, made, calibrating, targets), made)
        put_in_place(made, folder)
    return fitted


def _summary(before: Manifest, after: Manifest) -> str:
    lines = [
        f"temperature {before.temperature:.3f} -> {after.temperature:.3f}",
        *(
            f"offset of {id}: {before.decision_offsets[id]:.2f} -> {after.decision_offsets[id]:.2f}"
            for id in after.class_ids
        ),
        *(
            f"suspicious from {old.threshold:.3f} -> {new.threshold:.3f}"
            for old, new in zip(before.operating_points, after.operating_points, strict=True)
        ),
        f"refused above {before.novelty_threshold:.2f} -> {after.novelty_threshold:.2f}",
    ]
    return "\n".join(["It was -> it is:", *(f"  {line}" for line in lines)])


@hydra.main(version_base="1.3", config_path="../conf", config_name="export")
def main(config: DictConfig) -> None:
    """The command; what goes wrong is told without a traceback."""
    try:
        folder = Path(config.artifacts) / config.model.name
        before = contract.load(folder)
        data: Any = OmegaConf.to_container(config.data, resolve=True)
        targets = msgspec.convert(plain(config.targets), Targets)
        skipped: list[str] | None = [] if data["unreadable"] == "skip" else None
        novelty = msgspec.convert(plain(config.novelty), NoveltySettings)
        pictures = read_sets(data, before.training.seed)
        after = refit(folder, pictures, targets, novelty, skipped)
    except (ArtifactError, ExportError, DataError) as error:
        sys.exit(f"error: {error}")
    if skipped:
        print("\n  ".join([f"Left out {len(skipped)}:", *skipped]), file=sys.stderr)
    print(_summary(before, after))
    print(f"Its report was of what it was: make evaluate MODEL={after.name} writes it anew.")


if __name__ == "__main__":
    main()
