"""How a prediction reads: from the graph's outputs to the answer that API and command line give."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta
from PIL import Image

from serving import quality
from serving.classifier import Classifier, Floats, Outputs
from serving.manifest import Manifest
from serving.pictures import Prepared, View

Verdict = Literal["suspicious", "not_suspicious"]


class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to one picture."""

    image: Annotated[str, Meta(description="The file's name as it was sent.")]
    model: Annotated[str, Meta(description="The model that answered.")]
    width: Annotated[int, Meta(description="Pixels of the upright picture from left to right.")]
    height: Annotated[int, Meta(description="Pixels of the upright picture from top to bottom.")]
    prediction: Annotated[
        str,
        Meta(
            description="The id of the class that fits best, once rare classes got their due: the "
            "largest probability times its decision offset. It need not be the likeliest."
        ),
    ]
    probabilities: Annotated[
        dict[str, float],
        Meta(description="Each class's calibrated probability, by its id; they sum to 1."),
    ]
    malignant_probability: Annotated[
        float | None,
        Meta(description="The sum over the malignant classes; null for a model that has none."),
    ]
    verdict: Annotated[
        Verdict | None,
        Meta(
            description="Whether malignant_probability reaches the threshold of the model's first "
            "operating point. Often suspicious where the likeliest class is benign."
        ),
    ]
    prediction_set: Annotated[
        list[str],
        Meta(
            description="The classes that cannot be ruled out, by falling probability: a conformal "
            "set, which should miss the truth in a share of `conformal.alpha` at most."
        ),
    ]
    novelty: Annotated[
        float, Meta(description="How unlike the training pictures it is; larger is less alike.")
    ]
    refused: Annotated[
        bool,
        Meta(
            description="Whether novelty is above the model's threshold: then nothing else here "
            "should be believed."
        ),
    ]
    warnings: Annotated[
        list[quality.QualityWarning],
        Meta(description="What is wrong with the picture and may mislead the model."),
    ]
    view: Annotated[
        View,
        Meta(
            description="What part of the upright picture the model saw: left, top, right, bottom "
            "as fractions, beyond 0 and 1 where the picture was padded."
        ),
    ]
    heatmaps: Annotated[
        dict[str, str] | msgspec.UnsetType,
        Meta(
            description="Where the evidence for each class is: an 8-bit grey PNG as a data URI, to "
            "be laid over view. Only where asked for."
        ),
    ] = msgspec.UNSET


def predict(
    model: Classifier, names: Sequence[str], prepared: Sequence[Prepared], *, heatmaps: bool = False
) -> list[Prediction]:
    """Runs `model` over prepared pictures in one batch; one answer each, in their order."""
    measures = [quality.measure(picture) for picture in prepared]
    outputs = infer(model, prepared)
    return read(model.manifest, names, prepared, measures, outputs, heatmaps=heatmaps)


def infer(model: Classifier, prepared: Sequence[Prepared]) -> Outputs:
    """What the graph of `model` answers for prepared pictures, in one batch."""
    return model.run(np.array([picture.pixels for picture in prepared]))


def read(
    manifest: Manifest,
    names: Sequence[str],
    prepared: Sequence[Prepared],
    measures: Sequence[quality.Measures],
    outputs: Outputs,
    *,
    heatmaps: bool = False,
) -> list[Prediction]:
    """What `outputs` say of the pictures that they were made from; one answer each.

    `measures` are theirs. They are taken before the network runs, while the pixels are still in the
    processor's cache, and as little as can be is done behind it, where all else has left the cache.
    """
    rows = zip(
        names,
        prepared,
        measures,
        outputs.probability,
        outputs.heatmap,
        outputs.novelty.tolist(),
        strict=True,
    )
    return [
        _read(manifest, name, picture, measured, probability, novelty, maps if heatmaps else None)
        for name, picture, measured, probability, maps, novelty in rows
    ]


def probabilities_of(row: Floats, manifest: Manifest) -> dict[str, float]:
    """The probabilities of one picture, `[C] float32`, by their classes' ids."""
    return dict(zip(manifest.class_ids, row.tolist(), strict=True))


def decide(probabilities: Mapping[str, float], manifest: Manifest) -> str:
    """The id of the predicted class: the largest of `probabilities` times its decision offset."""
    offsets = manifest.decision_offsets
    return max(probabilities, key=lambda id: probabilities[id] * offsets[id])


def malignant_probability(probabilities: Mapping[str, float], manifest: Manifest) -> float:
    """The sum of `probabilities` over the malignant classes, in [0, 1]."""
    total = 0.0
    for id in manifest.malignant_ids:  # as the browser adds: `sum` rounds otherwise from 3.12 on
        total += probabilities[id]
    return 1.0 if total > 1 else total


def prediction_set(probabilities: Mapping[str, float], manifest: Manifest) -> list[str]:
    """The ids in the conformal set, by falling probability; the likeliest is always in it."""
    quantiles = manifest.conformal.quantiles
    likeliest, *others = sorted(probabilities, key=lambda id: -probabilities[id])
    # In 32 bits, as the quantiles were found.
    missing = {id: float(np.float32(1 - probabilities[id])) for id in others}
    return [likeliest, *(id for id in others if missing[id] <= quantiles[id])]


def verdict(malignant: float, manifest: Manifest) -> Verdict:
    """The verdict at the first operating point for a malignant probability."""
    point = manifest.operating_points[0]
    return "suspicious" if malignant >= point.threshold else "not_suspicious"


def _read(
    manifest: Manifest,
    name: str,
    picture: Prepared,
    measures: quality.Measures,
    probability: Floats,
    novelty: float,
    maps: Floats | None,
) -> Prediction:
    probabilities = probabilities_of(probability, manifest)
    malignant = malignant_probability(probabilities, manifest) if manifest.malignant_ids else None
    return Prediction(
        image=name,
        model=manifest.name,
        width=picture.width,
        height=picture.height,
        prediction=decide(probabilities, manifest),
        probabilities=probabilities,
        malignant_probability=malignant,
        verdict=None if malignant is None else verdict(malignant, manifest),
        prediction_set=prediction_set(probabilities, manifest),
        novelty=novelty,
        # Written so that a score that is not a number refuses.
        refused=not novelty <= manifest.novelty_threshold,
        warnings=quality.warnings(measures, manifest.quality),
        view=picture.view,
        heatmaps=msgspec.UNSET
        if maps is None
        else {id: _as_data_uri(each) for id, each in zip(probabilities, maps, strict=True)},
    )


def _as_data_uri(heatmap: Floats) -> str:
    """An 8-bit grey PNG of `heatmap` `[h, w]` in [0, 1] as a data URI."""
    buffer = io.BytesIO()
    levels = np.rint(np.nan_to_num(heatmap).clip(0, 1) * 255)
    Image.fromarray(levels.astype(np.uint8)).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
