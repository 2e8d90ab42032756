"""The contract between training and serving: an artifact's `model.json` and the files beside it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

SCHEMA_VERSION = 1
FILE_NAME = "model.json"
MODEL_FILE = "model.onnx"
PREPROCESS_FILE = "preprocess.onnx"

NO_SUCH_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""what msgspec raises over a file that is not as its type says, in text or in how deep it goes"""


class ArtifactError(Exception):
    """A model's folder that cannot be served; the message names the file and what to do."""


class Struct(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A typed record that refuses fields it does not know."""


class ClassInfo(Struct, frozen=True):
    """One answer of a model, in the order of its outputs."""

    id: Annotated[str, Meta(description="What the answers call it.")]
    name: Annotated[str, Meta(description="Its name for people.")]
    description: Annotated[str, Meta(description="What it is, in plain words.")]
    source: Annotated[str, Meta(description="Where the description comes from.")]
    malignant: Annotated[
        bool, Meta(description="Whether it counts towards the malignant probability.")
    ]


class Preprocessing(Struct, frozen=True):
    """The way from an upright RGB picture to the network's square input of `size` pixels."""

    fit: Annotated[
        Literal["squash", "crop", "pad"],
        Meta(
            description="How a picture becomes square: the whole of it out of proportion, its "
            "central square, or the whole of it between bars."
        ),
    ]
    size: Annotated[int, Meta(description="Pixels of the network's input from side to side.")]
    resampling: Annotated[Literal["bicubic"], Meta(description="Antialiased.")] = "bicubic"


class OperatingPoint(Struct, frozen=True):
    """A threshold on a score, and what it reached on the calibration split."""

    name: str
    score: Annotated[
        Literal["malignant_probability"], Meta(description="The figure that is compared.")
    ]
    threshold: Annotated[float, Meta(description="The verdict is suspicious from here.")]
    sensitivity: Annotated[float, Meta(description="The share of the malignant that it caught.")]
    specificity: Annotated[float, Meta(description="The share of the benign that it let pass.")]
    interval: Annotated[tuple[float, float], Meta(description="95 % interval of the sensitivity.")]
    n: Annotated[int, Meta(description="The malignant pictures behind it.")]


class Conformal(Struct, frozen=True):
    """Class-conditional conformal sets: class c is in the set where 1 - p_c <= quantiles[c].

    Sadinle, Lei, Wasserman, "Least ambiguous set-valued classifiers with bounded error levels",
    JASA 114 (2019). `counts` says how many calibration pictures stand behind each quantile; classes
    with too few of them share one.
    """

    method: Literal["class_conditional_lac"]
    alpha: Annotated[float, Meta(description="The share of pictures whose set may miss the truth.")]
    quantiles: Annotated[
        dict[str, float],
        Meta(description="A class is in the set where 1 minus its probability is at most this."),
    ]
    counts: Annotated[
        dict[str, int], Meta(description="The calibration pictures behind each quantile.")
    ]


class Quality(Struct, frozen=True):
    """Below these figures an answer comes with a warning; set from the calibration split."""

    min_side: Annotated[int, Meta(description="Pixels, shorter side of the upright picture.")]
    min_sharpness: Annotated[
        float, Meta(description="Standard deviation of the Laplacian over that of the greys.")
    ]
    min_luminance: Annotated[float, Meta(description="Median over the picture, 0 to 1.")]
    min_lesion_share: Annotated[
        float, Meta(description="Share of the picture that is darker than its surroundings.")
    ]


class Metric(Struct, frozen=True):
    """A figure of the evaluation with its 95 % interval, over `n` pictures."""

    name: str
    value: float
    low: Annotated[float, Meta(description="Lower end of the 95 % interval.")]
    high: Annotated[float, Meta(description="Upper end of the 95 % interval.")]
    n: Annotated[int, Meta(description="The pictures behind it.")]


class Parity(Struct, frozen=True):
    """The largest difference between the exported graph and the network it was made from."""

    pictures: Annotated[int, Meta(description="How many were compared.")]
    batch_sizes: Annotated[list[int], Meta(description="How many at a time.")]
    probability: Annotated[float, Meta(description="The largest difference in a probability.")]
    heatmap: Annotated[float, Meta(description="The largest difference in a heatmap.")]


GateName = Literal["balanced_accuracy", "probability", "heatmap", "agreement"]


class GateFigure(Struct, frozen=True):
    """A figure of the 8-bit graph beside the float graph with its 95 % interval."""

    name: Annotated[
        GateName,
        Meta(
            description="The 8-bit graph's balanced accuracy less the float graph's; over the "
            "pictures, the median of the largest difference of a class's probability, and of the "
            "correlation of the likeliest class's heatmaps; the share of equal predictions."
        ),
    ]
    value: float
    low: Annotated[float, Meta(description="Lower end of the 95 % interval.")]
    high: Annotated[float, Meta(description="Upper end of the 95 % interval.")]
    n: Annotated[int, Meta(description="The pictures behind it.")]
    limit: Annotated[
        float | None,
        Meta(
            description="What had to be reached: by balanced accuracy at the interval's lower end; "
            "null for what is only told."
        ),
    ]
    passed: Annotated[bool, Meta(description="Whether the limit was kept.")]


class Quantisation(Struct, frozen=True):
    """What came of 8-bit integers: the graph that serves has passed, or is in float.

    Its weights alone may be integers, or all that its layers compute with: `settings` say which.

    The two graphs were compared on pictures that neither was made from, before anything else was
    fitted.
    """

    passed: Annotated[
        bool, Meta(description="Whether the 8-bit graph serves; the float graph does otherwise.")
    ]
    figures: list[GateFigure]
    views: Annotated[
        int, Meta(description="How often each picture was looked at, turned and mirrored.")
    ]
    float_bytes: Annotated[int, Meta(description="Size of the float graph.")]
    integer_bytes: Annotated[int, Meta(description="Size of the 8-bit graph.")]
    settings: Annotated[dict[str, Any], Meta(description="How the 8-bit graph was made.")]


class Dataset(Struct, frozen=True):
    """A set of pictures that the model learned from."""

    name: str
    licence: str
    source: str
    pictures: int


class Training(Struct, frozen=True):
    """How the model came about."""

    datasets: list[Dataset]
    split_digest: Annotated[str, Meta(description="SHA-256 of which picture went into which part.")]
    seed: int
    config: Annotated[dict[str, Any], Meta(description="What its run chose, and what came of it.")]
    versions: Annotated[dict[str, str], Meta(description="The packages that it was trained with.")]
    commit: Annotated[str, Meta(description="The revision of the code.")]


class Manifest(Struct, frozen=True):
    """Everything that serving knows about a model."""

    schema_version: Annotated[int, Meta(description="The version of this contract.")]
    name: Annotated[str, Meta(description="What `model=` takes.")]
    architecture: str
    title: Annotated[str, Meta(description="Its name for people.")]
    summary: Annotated[str, Meta(description="What it tells apart.")]
    classes: Annotated[
        list[ClassInfo], Meta(description="Its answers in the order of its outputs.")
    ]
    preprocessing: Preprocessing
    temperature: Annotated[
        float,
        Meta(
            description="What the logits are divided by, so that the probabilities are calibrated."
        ),
    ]
    decision_offsets: Annotated[
        dict[str, float],
        Meta(
            description="What each class's probability is multiplied by before the largest of "
            "them is the prediction."
        ),
    ]
    operating_points: Annotated[
        list[OperatingPoint],
        Meta(description="Thresholds on the malignant probability; the first decides the verdict."),
    ]
    conformal: Conformal
    novelty_threshold: Annotated[
        float, Meta(description="A picture whose novelty is above it is refused.")
    ]
    quality: Annotated[
        Quality, Meta(description="Below these figures an answer comes with a warning.")
    ]
    parity: Parity
    training: Training
    logit_biases: Annotated[
        dict[str, float],
        Meta(
            description="What is added to each class's logit behind the temperature; empty where "
            "nothing is."
        ),
    ] = {}
    quantisation: Annotated[
        Quantisation | None,
        Meta(description="Whether it is one of 8-bit integers; null where that was not tried."),
    ] = None
    metrics: Annotated[
        list[Metric], Meta(description="How it did on pictures that it never saw.")
    ] = []
    files: Annotated[
        dict[str, str],
        Meta(description="SHA-256 of every file of the artifact, by its relative path."),
    ] = {}

    @property
    def class_ids(self) -> list[str]:
        """The classes' ids in output order."""
        return [c.id for c in self.classes]

    @property
    def malignant_ids(self) -> list[str]:
        """The ids of the classes that count as malignant, in output order."""
        return [c.id for c in self.classes if c.malignant]

    @property
    def heatmap_doubt(self) -> Literal["no_better", "worse"] | None:
        """How the heatmaps pointed at the lesion beside a guess at the picture's middle.

        None where they did better, or where that was not measured. `web/src/reading.ts` says the
        same.
        """
        gain = self._metric("heatmap_inside_over_centre")
        if gain is None or gain.low > 0:
            return None
        return "worse" if gain.high < 0 else "no_better"

    def of_verdict(self, share: Literal["sensitivity", "specificity"]) -> float | None:
        """The verdict's sensitivity or specificity; None where there is no verdict.

        On the test pictures; where that was not measured, on the calibration split, which set the
        threshold. `web/src/reading.ts` chooses the same.
        """
        if measured := self._metric(f"malignant_{share}"):
            return measured.value
        if not self.operating_points:
            return None
        point = self.operating_points[0]
        return point.sensitivity if share == "sensitivity" else point.specificity

    @property
    def digest(self) -> str:
        """SHA-256 of the graph that answers: what a report or a bug should name."""
        return self.files[MODEL_FILE]

    def _metric(self, name: str) -> Metric | None:
        return next((metric for metric in self.metrics if metric.name == name), None)


@contextmanager
def telling_what_cannot_be_read() -> Iterator[None]:
    """Turns a file of an artifact that cannot be read into an ArtifactError that names it."""
    try:
        yield
    except OSError as error:
        raise ArtifactError(
            f"{error.filename}: cannot be read ({error.strerror}). Whoever this program runs as "
            "must be allowed to read every file of an artifact."
        ) from error


def load(folder: Path) -> Manifest:
    """Reads and checks the manifest of the artifact in `folder`.

    Raises:
        ArtifactError: where the manifest is missing or wrong, or a file that it lists is missing,
            changed or cannot be read.
    """
    path = folder / FILE_NAME
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ArtifactError(
            f"{path}: cannot be read ({error.strerror}). An artifact is a folder that "
            "`make export` wrote; LESIONLENS_ARTIFACTS names the folder of such folders."
        ) from error
    _check_version(path, data)
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except NO_SUCH_JSON as error:
        raise ArtifactError(
            f"{path}: not a manifest of schema {SCHEMA_VERSION}: {error}. Export the model again."
        ) from error
    _check_consistency(path, manifest)
    _check_files(folder, manifest)
    return manifest


def save(manifest: Manifest, folder: Path) -> Manifest:
    """Writes `manifest` into `folder` with the hashes of all files there; returns what it wrote."""
    manifest = msgspec.structs.replace(
        manifest, schema_version=SCHEMA_VERSION, files=hashes(folder)
    )
    _check_consistency(folder / FILE_NAME, manifest)
    encoded = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
    (folder / FILE_NAME).write_bytes(encoded + b"\n")
    return manifest


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file in `folder` and below but the manifest itself, by relative path."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p != folder / FILE_NAME)
    return {p.relative_to(folder).as_posix(): sha256(p) for p in files}


def sha256(path: Path) -> str:
    """SHA-256 of the file at `path`, of which only a piece is held at a time."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_version(path: Path, data: bytes) -> None:
    """The version is read first, so that a manifest of another one is not called malformed."""

    class Version(msgspec.Struct):
        schema_version: int

    try:
        version = msgspec.json.decode(data, type=Version).schema_version
    except NO_SUCH_JSON as error:
        raise ArtifactError(f"{path}: not a manifest: {error}. Export the model again.") from error
    if version != SCHEMA_VERSION:
        raise ArtifactError(
            f"{path}: schema version {version}, but this program reads {SCHEMA_VERSION}. "
            "Export the model again with this version, or install the one that wrote it."
        )


def _check_consistency(path: Path, manifest: Manifest) -> None:
    ids = manifest.class_ids
    if len(ids) < 2 or len(set(ids)) != len(ids):
        raise ArtifactError(f"{path}: classes must be two or more with different ids, not {ids}")
    if any(";" in id for id in ids):
        raise ArtifactError(f"{path}: ids of classes go without semicolons, which join them: {ids}")
    for field, keys in (
        ("logit_biases", manifest.logit_biases),
        ("decision_offsets", manifest.decision_offsets),
        ("conformal.quantiles", manifest.conformal.quantiles),
        ("conformal.counts", manifest.conformal.counts),
    ):
        if set(keys) != set(ids) and (keys or field != "logit_biases"):
            raise ArtifactError(f"{path}: {field} must name each of {ids}, not {sorted(keys)}")
    if manifest.preprocessing.size < 1:
        raise ArtifactError(f"{path}: preprocessing.size is {manifest.preprocessing.size}")
    if not manifest.temperature > 0:
        raise ArtifactError(f"{path}: temperature is {manifest.temperature}, must be above 0")
    if manifest.malignant_ids and not manifest.operating_points:
        raise ArtifactError(f"{path}: malignant classes, but no operating point for the verdict")


def _check_files(folder: Path, manifest: Manifest) -> None:
    for needed in (MODEL_FILE, PREPROCESS_FILE):
        if needed not in manifest.files:
            raise ArtifactError(f"{folder / FILE_NAME}: lists no {needed}. Export the model again.")
    with telling_what_cannot_be_read():
        found = hashes(folder)
    for name, expected in manifest.files.items():
        if name not in found:
            raise ArtifactError(f"{folder / name}: listed in {FILE_NAME}, but missing")
        if found[name] != expected:
            raise ArtifactError(
                f"{folder / name}: its SHA-256 is {found[name][:12]}…, {FILE_NAME} says "
                f"{expected[:12]}…. The file was changed after the export; restore it or export "
                "the model again."
            )
