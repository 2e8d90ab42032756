"""Answers as rows of a table, whose columns the model's manifest fixes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from serving.listing import Failure
from serving.manifest import Manifest
from serving.prediction import Prediction


def schema(manifest: Manifest) -> pa.Schema:
    """The columns, in the order of the CSV listing; a failure's are empty but for four of them."""
    text, texts = pa.string(), pa.list_(pa.string())
    return pa.schema(
        [
            pa.field("image", text, nullable=False),
            pa.field("model", text, nullable=False),
            pa.field("digest", text, nullable=False),
            pa.field("prediction", text),
            pa.field("malignant_probability", pa.float64()),
            pa.field("verdict", text),
            pa.field("prediction_set", texts),
            pa.field("novelty", pa.float32()),
            pa.field("refused", pa.bool_()),
            pa.field("warnings", texts),
            pa.field("width", pa.int32()),
            pa.field("height", pa.int32()),
            *(pa.field(f"probability_{id}", pa.float32()) for id in manifest.class_ids),
            pa.field("error", text),
        ]
    )


def table(answers: Sequence[Prediction | Failure], manifest: Manifest) -> pa.Table:
    """A row for each of `answers`, in their order."""
    rows = [_row(answer, manifest) for answer in answers]
    return pa.Table.from_pylist(rows, schema=schema(manifest))


def _row(answer: Prediction | Failure, manifest: Manifest) -> dict[str, Any]:
    common = {"image": answer.image, "model": answer.model, "digest": manifest.digest}
    if isinstance(answer, Failure):
        return {**common, "error": answer.error}
    return {
        **common,
        "prediction": answer.prediction,
        "malignant_probability": answer.malignant_probability,
        "verdict": answer.verdict,
        "prediction_set": answer.prediction_set,
        "novelty": answer.novelty,
        "refused": answer.refused,
        "warnings": answer.warnings,
        "width": answer.width,
        "height": answer.height,
        **{f"probability_{id}": p for id, p in answer.probabilities.items()},
    }
