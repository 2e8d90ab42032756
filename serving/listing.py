"""Answers on a terminal: a table to read, JSON lines or CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Protocol

import msgspec

from serving.manifest import Manifest
from serving.prediction import Prediction

_WIDEST_NAME = 48


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A file that could not be answered, and why."""

    image: str
    model: str
    error: str


class Listing(Protocol):
    """A way to write answers, a line at a time."""

    def head(self) -> str:
        """What comes before the first answer, without the line's end; empty for nothing."""

    def line(self, answer: Prediction | Failure) -> str:
        """An answer, without the line's end."""


class JsonLines:
    """One JSON object a line, as the API answers it."""

    def head(self) -> str:
        """Nothing."""
        return ""

    def line(self, answer: Prediction | Failure) -> str:
        """The object."""
        return msgspec.json.encode(answer).decode()


class Csv:
    """Comma-separated values, with a column for each class's probability."""

    def __init__(self, manifest: Manifest) -> None:
        self._ids = manifest.class_ids

    def head(self) -> str:
        """The columns' names."""
        return _csv_line(
            (
                "image",
                "model",
                "prediction",
                "malignant_probability",
                "verdict",
                "prediction_set",
                "novelty",
                "refused",
                "warnings",
                "width",
                "height",
                *(f"probability_{id}" for id in self._ids),
                "error",
            )
        )

    def line(self, answer: Prediction | Failure) -> str:
        """The row; lists are joined by semicolons, as a class's id may hold spaces."""
        if isinstance(answer, Failure):
            empty = [""] * (9 + len(self._ids))
            return _csv_line((answer.image, answer.model, *empty, answer.error))
        return _csv_line(
            (
                answer.image,
                answer.model,
                answer.prediction,
                answer.malignant_probability,
                answer.verdict,
                ";".join(answer.prediction_set),
                answer.novelty,
                str(answer.refused).lower(),
                ";".join(answer.warnings),
                answer.width,
                answer.height,
                *(answer.probabilities[id] for id in self._ids),
                "",
            )
        )


class Table:
    """Columns to read."""

    def __init__(self, images: Sequence[str], manifest: Manifest) -> None:
        self._names = min(_WIDEST_NAME, max((len(name) for name in images), default=0))
        self._ids = max(len(id) for id in manifest.class_ids)

    def head(self) -> str:
        """The columns' names."""
        image, answer = "image".ljust(self._names), "answer".ljust(self._ids + 5)
        return f"{image}  {answer}  malignant  verdict         could be; remarks"

    def line(self, answer: Prediction | Failure) -> str:
        """The row."""
        name = _shorten(answer.image, self._names).ljust(self._names)
        if isinstance(answer, Failure):
            return f"{name}  error: {answer.error}"
        probability = _percent(answer.probabilities[answer.prediction])
        likely = f"{answer.prediction.ljust(self._ids)} {probability}"
        malignant = _percent(answer.malignant_probability)
        verdict = "refused" if answer.refused else (answer.verdict or "-").replace("_", " ")
        remarks = [warning.replace("_", " ") for warning in answer.warnings]
        if answer.refused:
            remarks.insert(0, "unlike the training pictures")
        notes = "; ".join([", ".join(answer.prediction_set), *remarks])
        return f"{name}  {likely}  {malignant.rjust(9)}  {verdict.ljust(14)}  {notes}"


def columns(rows: Iterable[Sequence[str]]) -> str:
    """Rows of text set in columns as wide as they need."""
    rows = list(rows)
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
    return "\n".join(lines)


def _csv_line(values: Iterable[object]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="").writerow(values)
    return buffer.getvalue()


def _percent(probability: float | None) -> str:
    return "   -" if probability is None else f"{probability:4.0%}"


def _shorten(name: str, width: int) -> str:
    return name if len(name) <= width else "…" + name[len(name) - width + 1 :]
