"""How a prediction reads: from the graph's outputs to the answer that API and command line give."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
import numpy as np
import numpy.typing as npt
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
            "set, which holds the truth as often as the model's `conformal.alpha` says."
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
    return read(model.manifest, names, prepared, infer(model, prepared), heatmaps=heatmaps)


def infer(model: Classifier, prepared: Sequence[Prepared]) -> Outputs:
    """What the graph of `model` answers for prepared pictures, in one batch."""
    return model.run(np.stack([picture.pixels for picture in prepared]))


def read(
    manifest: Manifest,
    names: Sequence[str],
    prepared: Sequence[Prepared],
    outputs: Outputs,
    *,
    heatmaps: bool = False,
) -> list[Prediction]:
    """What `outputs` say of the pictures that they were made from; one answer each."""
    return [
        _read(manifest, name, picture, probability, float(novelty), maps if heatmaps else None)
        for name, picture, probability, maps, novelty in zip(
            names, prepared, outputs.probability, outputs.heatmap, outputs.novelty, strict=True
        )
    ]


def decide(probability: Floats, manifest: Manifest) -> npt.NDArray[np.int64]:
    """The index of each row's predicted class, `[N] int64`, for `probability` `[N, C]`.

    It is the class with the largest probability times its decision offset.
    """
    offsets = np.array([manifest.decision_offsets[id] for id in manifest.class_ids])
    decided: npt.NDArray[np.int64] = np.argmax(probability * offsets, axis=-1)
    return decided


def malignant_probability(probability: Floats, manifest: Manifest) -> npt.NDArray[np.float64]:
    """The sum over the malignant classes, `[N] float64` in [0, 1], for `probability` `[N, C]`."""
    malignant = np.array([c.malignant for c in manifest.classes])
    total: npt.NDArray[np.float64] = probability[:, malignant].sum(axis=-1, dtype=np.float64)
    return total.clip(0.0, 1.0)


def prediction_sets(probability: Floats, manifest: Manifest) -> npt.NDArray[np.bool_]:
    """Which classes each row's conformal set holds, `[N, C] bool`; the likeliest always."""
    quantiles = np.array([manifest.conformal.quantiles[id] for id in manifest.class_ids])
    sets: npt.NDArray[np.bool_] = 1 - probability <= quantiles
    sets[np.arange(len(sets)), probability.argmax(axis=-1)] = True
    return sets


def verdict(malignant: float, manifest: Manifest) -> Verdict:
    """The verdict at the first operating point for a malignant probability."""
    point = manifest.operating_points[0]
    return "suspicious" if malignant >= point.threshold else "not_suspicious"


def _read(
    manifest: Manifest,
    name: str,
    picture: Prepared,
    probability: Floats,
    novelty: float,
    maps: Floats | None,
) -> Prediction:
    row, ids = probability[None], manifest.class_ids
    malignant = float(malignant_probability(row, manifest)[0]) if manifest.malignant_ids else None
    members = prediction_sets(row, manifest)[0]
    return Prediction(
        image=name,
        model=manifest.name,
        width=picture.width,
        height=picture.height,
        prediction=ids[int(decide(row, manifest)[0])],
        probabilities={id: float(p) for id, p in zip(ids, probability, strict=True)},
        malignant_probability=malignant,
        verdict=None if malignant is None else verdict(malignant, manifest),
        prediction_set=[ids[i] for i in np.argsort(-probability) if members[i]],
        novelty=novelty,
        # Written so that a score that is not a number refuses.
        refused=not novelty <= manifest.novelty_threshold,
        warnings=quality.warnings(quality.measure(picture), manifest.quality),
        view=picture.view,
        heatmaps=msgspec.UNSET
        if maps is None
        else {id: _as_data_uri(heatmap) for id, heatmap in zip(ids, maps, strict=True)},
    )


def _as_data_uri(heatmap: Floats) -> str:
    """An 8-bit grey PNG of `heatmap` `[h, w]` in [0, 1] as a data URI."""
    buffer = io.BytesIO()
    levels = np.rint(np.nan_to_num(heatmap).clip(0, 1) * 255)
    Image.fromarray(levels.astype(np.uint8)).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
