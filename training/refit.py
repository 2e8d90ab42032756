"""Fits anew what stands around an artifact's network: `python -m training.refit model=mobilenet`.

Novelty to the training pictures; temperature, biases, decision offsets, operating points, conformal
quantiles and the thresholds of novelty and quality to the calibration split; all as
`conf/export.yaml` asks for. It takes no run: the network's weights stay as they are.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import hydra
import msgspec
import onnx
from omegaconf import DictConfig

from serving import manifest as contract
from serving.manifest import ArtifactError, Manifest
from training import comparison
from training.calibration import Targets
from training.data.sets import Pictures
from training.data.splits import digest
from training.fitting import PreparedPart, fit, fitted_with, put_in_place
from training.graph import ExportError
from training.labels import DataError
from training.novelty import NoveltySettings
from training.novelty import fit as fit_novelty
from training.novelty import shown as shown_to_novelty
from training.train import decode, plain, read_answers, read_config_sets
from training.watched import WatchedGraph, put_novelty


def refit(config: DictConfig) -> tuple[Manifest, Manifest]:
    """Fits the artifact that `config` names anew; its manifest before and after.

    Its report is taken away, which told of other decisions; a comparison of recipes stays.

    Raises:
        ArtifactError: where there is none that can be served, or it was trained on another split.
        DataError: where the pictures are not those that it was made from, or one cannot be read.
        ExportError: where the graph is not one that export made.
    """
    folder = Path(config.artifacts) / config.model.name
    manifest = contract.load(folder)
    config.seed = manifest.training.seed
    config.model.preprocessing = msgspec.to_builtins(manifest.preprocessing)
    pictures = read_config_sets(config)
    answers = read_answers(config, pictures)
    _check(folder, manifest, pictures, [c.id for c in answers.classes])
    novelty = msgspec.convert(plain(config.novelty), NoveltySettings)
    targets = msgspec.convert(plain(config.targets), Targets)
    cached = decode(config, pictures, answers)
    learned_from = cached.listed("train")
    listed = cached.kept(pictures.parts["calibration"])
    labels = answers.indices([picture.label for picture in listed])
    calibrating = PreparedPart.read(
        "calibration", listed, manifest.preprocessing, labels, config.data.unreadable
    )
    # Written beside and then moved, so that a failure leaves the artifact as it was.
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as name:
        made = Path(name) / folder.name
        made.mkdir()
        for kept in (Path(contract.PREPROCESS_FILE), comparison.FILE):
            if (folder / kept).exists():
                (made / kept).parent.mkdir(exist_ok=True)
                shutil.copyfile(folder / kept, made / kept)
        model = onnx.load(folder / contract.MODEL_FILE)
        shown = shown_to_novelty(learned_from, manifest.preprocessing, novelty, config.seed)
        put_novelty(model, fit_novelty(WatchedGraph(model), shown, novelty))
        told = {**manifest.training.config, "fitted": fitted_with(config, anew=True)}
        made_from = msgspec.structs.replace(manifest.training, config=told)
        bare = msgspec.structs.replace(manifest, metrics=[], files={}, training=made_from)
        fitted = contract.save(fit(model, bare, made, calibrating, targets), made)
        put_in_place(made, folder)
    return manifest, fitted


def _check(folder: Path, manifest: Manifest, pictures: Pictures, ids: Sequence[str]) -> None:
    """Makes sure that the artifact was made from `pictures`, with the answers `ids`."""
    if digest(pictures.parts) != manifest.training.split_digest:
        raise ArtifactError(
            f"{folder}: was trained on another split than these pictures give, and may have "
            f"learned from some of them. Name the data set that it was trained on (this is "
            f"{pictures.sets[0].name} in {pictures.sets[0].root})."
        )
    names = [each.name for each in pictures.sets]
    own = manifest.training.config.get("data", names)
    if sorted(own) != sorted(names):
        raise DataError(
            f"{folder}: was trained on {' and '.join(own)}, and these are {' and '.join(names)}. "
            "Name the same sets (for what ships: experiment=travel)."
        )
    if manifest.class_ids != list(ids):
        raise DataError(
            f"{folder}: tells {', '.join(manifest.class_ids)} apart, and model={manifest.name} of "
            f"this data set {', '.join(ids)}. Name the model that it is."
        )


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
        before, after = refit(config)
    except (ArtifactError, ExportError, DataError, msgspec.ValidationError) as error:
        sys.exit(f"error: {error}")
    print(_summary(before, after))
    print("Its report was of what it was: `make evaluate` with the same overrides writes it anew.")


if __name__ == "__main__":
    main()
