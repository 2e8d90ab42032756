"""From a checkpoint to an artifact: `python -m training.export model=mobilenet`.

In this order, because what was fitted on another graph does not hold: a float graph is exported and
checked against the network; an 8-bit graph is made from it and checked against the float graph; and
everything else is fitted on the answers of the one that serves, run through serving's own code.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import hydra
import msgspec
import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import torch
from omegaconf import DictConfig
from tqdm import tqdm

from serving import manifest as contract
from serving.manifest import (
    ArtifactError,
    Conformal,
    Dataset,
    Manifest,
    OperatingPoint,
    Parity,
    Quality,
    Quantisation,
    Training,
)
from serving.pictures import PictureError, Prepared
from training import gate, preprocess
from training.calibration import Targets
from training.candidate import Candidate, open_candidate
from training.choices import made_by
from training.data import splits
from training.data.module import CachedPictures
from training.data.sets import PictureSet
from training.data.splits import Part
from training.finished import RunError, learned_before, sets_of
from training.fitting import (
    PreparedPart,
    batches,
    fit,
    fitted_with,
    open_as_served,
    put_in_place,
)
from training.gate import GateLimits
from training.graph import (
    ExportError,
    Network,
    ServedGraph,
    reference,
    scale,
    to_onnx,
)
from training.inputs import as_input
from training.labels import DataError, LabelledPicture
from training.novelty import NoveltySettings
from training.novelty import fit as fit_novelty
from training.novelty import shown as shown_to_novelty
from training.quantise import QuantiseSettings, quantise
from training.scaling import Scaling
from training.train import plain, quieten, read_preprocessing

FLOAT_FILE = "model.float.onnx"
"""In a run's folder: the float graph, whichever serves."""

_NUMBERS = (
    *("Two", "Three", "Four", "Five", "Six", "Seven"),
    *("Eight", "Nine", "Ten", "Eleven", "Twelve"),
)


def export(config: DictConfig) -> Path:
    """Makes the artifact that `config` asks for; returns its folder.

    Raises:
        RunError: where there is no run.
        ExportError: where the graph is not what the network is.
        DataError: where the run's pictures cannot be read any more, or are not those it was split
            from.
    """
    quieten()
    candidate = open_candidate(config)
    run, others, trained = candidate.run, candidate.others, candidate.trained
    pictures, answers, cached = candidate.pictures, candidate.answers, candidate.cached
    before = learned_before([run, *others], sets_of(trained))
    network = cast(Network, candidate.network)
    learned_from = cached.part("train")
    asked = msgspec.convert(plain(config.novelty), NoveltySettings)
    listed = cached.listed("train")
    shown = shown_to_novelty(listed, read_preprocessing(trained), asked, config.seed)
    novelty = fit_novelty(network, shown, asked)
    graph = ServedGraph(network, novelty, len(answers.classes)).eval()
    model = to_onnx(graph, trained.model.preprocessing.size)

    def read(name: Part) -> PreparedPart:
        listed = cached.kept(pictures.parts[name])
        labels = answers.indices([picture.label for picture in listed])
        unreadable = trained.data.get("unreadable", "fail")
        return PreparedPart.read(name, listed, read_preprocessing(trained), labels, unreadable)

    calibrating = read("calibration")
    targets = msgspec.convert(plain(config.targets), Targets)
    folder = Path(config.artifacts) / str(trained.model.name)
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Written beside and then moved, so that an export which fails leaves the old artifact alone.
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as name:
        made = Path(name) / folder.name
        made.mkdir()
        onnx.save(preprocess.build(read_preprocessing(trained)), made / contract.PREPROCESS_FILE)
        config_of_runs = {
            **made_by(run, candidate.checkpoints),
            "averaged_with": [made_by(other, candidate.checkpoints) for other in others],
            "start_share": float(config.start_share),
            "fitted": fitted_with(config),
            splits.KEY: pictures.parts["train"][0].unit,
        }
        manifest = _unfitted(candidate, config_of_runs, before)
        manifest = fit(model, manifest, made, calibrating, targets)
        graph.scale(Scaling.of(manifest))
        parity = _compare(config, graph, made / contract.MODEL_FILE, calibrating.prepared)
        manifest = msgspec.structs.replace(manifest, parity=parity)
        onnx.save(model, run / FLOAT_FILE)
        if config.quantise.enabled:
            settings = msgspec.convert(plain(config.quantise), QuantiseSettings)
            measured_on = _augmented(config, trained, learned_from) if settings.activations else []
            integers = quantise(model, list(measured_on), settings)
            held_out = read("validation")
            quantisation = _pass_gate(config, model, integers, manifest, made, held_out)
            if quantisation.passed:
                manifest = fit(integers, manifest, made, calibrating, targets)
                # A scaling of its own may take some bytes more or fewer.
                size = (made / contract.MODEL_FILE).stat().st_size
                quantisation = msgspec.structs.replace(quantisation, integer_bytes=size)
            manifest = msgspec.structs.replace(manifest, quantisation=quantisation)
        manifest = contract.save(manifest, made)
        put_in_place(made, folder)
    print(_summary(folder, manifest))
    return folder


def _augmented(
    config: DictConfig, trained: DictConfig, pictures: CachedPictures
) -> Iterator[npt.NDArray[np.uint8]]:
    """Batches of training pictures as the run saw them, `[N, S, S, 3]`."""
    torch.manual_seed(config.seed)
    augmentation = hydra.utils.instantiate(trained.augmentation)
    wanted = config.quantise
    title = "augmenting pictures"
    for batch in pictures.drawn(wanted.pictures, wanted.batch_size, config.seed, title):
        changed = (augmentation(as_input(batch)) * 255).round().to(torch.uint8)
        yield changed.permute(0, 2, 3, 1).contiguous().numpy()


def _pass_gate(
    config: DictConfig,
    model: onnx.ModelProto,
    integers: onnx.ModelProto,
    manifest: Manifest,
    made: Path,
    held_out: PreparedPart,
) -> Quantisation:
    """Whether `integers` may serve instead of `model`, both with what was fitted to `model`."""
    beside = made.with_name(f"{made.name}-integers")
    shutil.copytree(made, beside)
    scale(integers, Scaling.of(manifest))
    figures = gate.compare(
        open_as_served(model, manifest, made),
        open_as_served(integers, manifest, beside),
        np.stack([each.pixels for each in held_out.prepared]),
        held_out.labels,
        held_out.groups,
        msgspec.convert(plain(config.gate), GateLimits),
        config.seed,
    )
    return Quantisation(
        passed=all(figure.passed for figure in figures),
        figures=figures,
        views=config.gate.views,
        float_bytes=(made / contract.MODEL_FILE).stat().st_size,
        integer_bytes=(beside / contract.MODEL_FILE).stat().st_size,
        settings=_settings(plain(config.quantise)),
    )


def _settings(quantise: dict[str, Any]) -> dict[str, Any]:
    """Those that made the graph."""
    made_by = quantise.keys() - {"enabled"} if quantise["activations"] else {"activations", "float"}
    return {name: value for name, value in quantise.items() if name in made_by}


def _compare(
    config: DictConfig, graph: ServedGraph, path: Path, prepared: Sequence[Prepared]
) -> Parity:
    """The largest differences between the graph in `path` and the network, on real pictures.

    Raises:
        ExportError: where they are above what `config.parity` allows.
    """
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    chosen = prepared[: config.parity.pictures]
    probability = heatmap = 0.0
    for size in config.parity.batch_sizes:
        for image in tqdm(list(batches(chosen, size)), f"comparing, batch {size}", unit="batch"):
            got = session.run(["probability", "heatmap"], {"image": image})
            wanted = reference(graph, image)
            probability = max(probability, float(np.abs(got[0] - wanted[0]).max()))
            heatmap = max(heatmap, float(np.abs(got[1] - wanted[1]).max()))
    parity = Parity(
        pictures=len(chosen),
        batch_sizes=list(config.parity.batch_sizes),
        probability=probability,
        heatmap=heatmap,
    )
    if probability > config.parity.probability or heatmap > config.parity.heatmap:
        raise ExportError(
            f"the graph differs from the network by {probability:.2g} in a probability (allowed "
            f"{config.parity.probability:.2g}) and {heatmap:.2g} in a heatmap (allowed "
            f"{config.parity.heatmap:.2g}). Nothing was exported."
        )
    return parity


def _title(classes: int) -> str:
    """Of a model whose configuration gives it none."""
    number = _NUMBERS[classes - 2] if classes - 2 < len(_NUMBERS) else str(classes)
    return f"{number} diagnoses"


def _unfitted(candidate: Candidate, config: dict[str, Any], before: Sequence[Dataset]) -> Manifest:
    """The manifest with everything known before fitting; what is fitted later does nothing yet."""
    trained, answers, history = candidate.trained, candidate.answers, candidate.history
    learned_from = candidate.cached.listed("train")
    ids = [c.id for c in answers.classes]
    has_malignant = any(c.malignant for c in answers.classes)
    return Manifest(
        schema_version=contract.SCHEMA_VERSION,
        name=trained.model.name,
        architecture=trained.model.architecture,
        title=trained.model.title or _title(len(ids)),
        summary=trained.model.summary,
        classes=answers.classes,
        preprocessing=read_preprocessing(trained),
        temperature=1.0,
        decision_offsets=dict.fromkeys(ids, 1.0),
        operating_points=[_no_point()] if has_malignant else [],
        conformal=Conformal(
            method="class_conditional_lac",
            alpha=0.0,
            quantiles=dict.fromkeys(ids, 1.0),
            counts=dict.fromkeys(ids, 0),
        ),
        novelty_threshold=float(np.finfo(np.float32).max),
        quality=Quality(min_side=0, min_sharpness=0, min_luminance=0, min_lesion_share=0),
        parity=Parity(pictures=0, batch_sizes=[], probability=0, heatmap=0),
        training=Training(
            datasets=[*_datasets(candidate.pictures.sets, learned_from), *before],
            split_digest=history.split_digest,
            seed=trained.seed,
            config=config,
            versions=history.versions,
            commit=history.commit,
        ),
    )


def _no_point() -> OperatingPoint:
    return OperatingPoint(
        name="none",
        score="malignant_probability",
        threshold=0.0,
        sensitivity=1.0,
        specificity=0.0,
        interval=(0.0, 1.0),
        n=0,
    )


def _datasets(sets: Sequence[PictureSet], listed: Sequence[LabelledPicture]) -> list[Dataset]:
    """How many pictures of each of the `sets` are `listed`: those that the model learned from."""
    return [
        Dataset(
            name=each.name,
            licence=each.licence,
            source=each.source,
            pictures=sum(picture.source == each.name for picture in listed),
        )
        for each in sets
    ]


def _summary(folder: Path, manifest: Manifest) -> str:
    size = (folder / contract.MODEL_FILE).stat().st_size / 1e6
    parity = manifest.parity
    lines = [
        f"{folder}: {manifest.architecture}, {size:.2f} MB, digest {manifest.digest[:12]}",
        f"  parity with torch on {parity.pictures} pictures at batch sizes {parity.batch_sizes}: "
        f"probabilities within {parity.probability:.1e}, heatmaps within {parity.heatmap:.1e}",
        f"  temperature {manifest.temperature:.3f}, biases "
        f"{', '.join(f'{id} {bias:+.2f}' for id, bias in manifest.logit_biases.items())}; novelty "
        f"refused above {manifest.novelty_threshold:.2f}",
        *(
            f"  {point.name}: suspicious from {point.threshold:.3f}, sensitivity "
            f"{point.sensitivity:.3f}, specificity {point.specificity:.3f} on calibration"
            for point in manifest.operating_points
        ),
        *_told(manifest.quantisation),
    ]
    return "\n".join(lines)


def _told(quantisation: Quantisation | None) -> list[str]:
    """What the gate said, in lines."""
    if quantisation is None:
        return ["  in float: 8 bits were not tried"]
    sizes = (quantisation.integer_bytes / 1e6, quantisation.float_bytes / 1e6)
    verdict = "serves" if quantisation.passed else "MISSES A LIMIT, SO THE FLOAT GRAPH SERVES"
    lines = [f"  the 8-bit graph ({sizes[0]:.2f} MB; float {sizes[1]:.2f} MB) {verdict}:"]
    for f in quantisation.figures:
        limit = "" if f.limit is None else f", limit {f.limit:g}{'' if f.passed else ': MISSED'}"
        lines.append(f"    {f.name} {f.value:.4f} ({f.low:.4f} to {f.high:.4f}), n = {f.n}{limit}")
    return lines


@hydra.main(version_base="1.3", config_path="../conf", config_name="export")
def main(config: DictConfig) -> None:
    """The command; what goes wrong is told without a traceback."""
    try:
        export(config)
    except (
        RunError,
        ExportError,
        DataError,
        ArtifactError,
        PictureError,
        msgspec.ValidationError,
    ) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
