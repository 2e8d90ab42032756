"""Small but honest artifacts for the tests: real graphs and manifests, made without torch.

The network looks at two features of each patch, how much redder than green it is and how dark, and
has a linear head over their means; so its Grad-CAM is the head's weights over the patches, exactly.
Redness alone decides between malignant and benign, and a picture without contrast is novel:
`drawings.draw_lesion(redness=...)` and `drawings.draw_flat` force each kind of answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from serving import manifest as contract
from serving.languages import LANGUAGES
from serving.manifest import ClassInfo, Manifest

PATCHES = 8
NOVELTY_THRESHOLD = 0.5
SUSPICIOUS_FROM = 0.4
"""The malignant probability from which the verdict is suspicious."""

_REDNESS_BETWEEN = 0.21
_DRAWN = "made up for the tests"


def class_info(id: str, name: str, malignant: bool) -> ClassInfo:
    """A class with a made-up description."""
    description = f"{name}, as the tests know it."
    return ClassInfo(id=id, name=name, description=description, source=_DRAWN, malignant=malignant)


def _ours(id: str, malignant: bool) -> ClassInfo:
    """A class of the models that are shipped, in their words."""
    told = LANGUAGES["en"].words["diagnoses"][id]
    return ClassInfo(id=id, source=_DRAWN, malignant=malignant, **told)


SEVEN = [
    _ours("akiec", True),
    _ours("bcc", True),
    _ours("bkl", False),
    _ours("df", False),
    _ours("mel", True),
    _ours("nv", False),
    _ours("vasc", False),
]
TWO = [
    _ours("benign", False),
    _ours("malignant", True),
]

MEASURED = [
    contract.Metric(name=name, value=value, low=value - 0.05, high=value + 0.05, n=100)
    for name, value in {
        "malignant_sensitivity": 0.81,
        "malignant_specificity": 0.58,
        "heatmap_inside_over_centre": -0.1,
    }.items()
]
"""Figures of test pictures: worse than those of the operating point, and than a guess."""


def make_artifact(
    folder: Path,
    *,
    name: str = "mobilenet",
    classes: Sequence[ClassInfo] = SEVEN,
    size: int = 64,
    fit: Literal["squash", "crop", "pad"] = "squash",
    **changes: Any,
) -> Manifest:
    """Writes a whole artifact into `folder`, making it where needed; returns its manifest.

    The input is `[N, size, size, 3]` with `size` a multiple of 8. `changes` replace fields of the
    manifest.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_graph(classifier_graph(classes, size), folder / contract.MODEL_FILE)
    write_graph(preprocess_graph(size), folder / contract.PREPROCESS_FILE)
    return contract.save(
        msgspec.structs.replace(_manifest(name, classes, size, fit), **changes), folder
    )


def add_report(folder: Path, card: str, **figures: Any) -> Manifest:
    """Adds a report to the artifact in `folder`: the card, a plot and `figures` as its metrics."""
    report = folder / "report"
    report.mkdir()
    (report / "README.md").write_text(card, "utf-8")
    (report / "metrics.json").write_bytes(msgspec.json.encode(figures))
    Image.new("RGB", (60, 40), "white").save(report / "roc.png")
    return contract.save(contract.load(folder), folder)


def make_artifacts(root: Path) -> Path:
    """Writes the two models that LesionLens ships, `cnn` and `mobilenet`; returns `root`."""
    make_artifact(root / "cnn", name="cnn", classes=TWO, architecture="cnn", title="Small CNN")
    make_artifact(root / "mobilenet", name="mobilenet", classes=SEVEN)
    return root


def classifier_graph(classes: Sequence[ClassInfo], size: int) -> onnx.ModelProto:
    """The graph of the contract for `classes`, over pictures of `size` x `size` pixels."""
    weight, bias = _head(classes)
    count = len(classes)
    constants = {
        "scale": np.float32(1 / 255),
        # Rows: redness (red - green) and darkness (1 - grey).
        "features_weight": np.array(
            [[[[1]], [[-1]], [[0]]], [[[-0.3]], [[-0.6]], [[-0.1]]]], np.float32
        ),
        "features_bias": np.array([0, 1], np.float32),
        "head": weight,
        "bias": bias,
        "cam_weight": weight.T.reshape(count, 2, 1, 1),
        "space": np.array([2, 3]),
        "tiny": np.float32(1e-6),
        "sharp": np.float32(-20),
    }
    patch = size // PATCHES
    nodes = [
        helper.make_node("Cast", ["image"], ["levels"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["levels", "scale"], ["colours"]),
        helper.make_node("Transpose", ["colours"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "features_weight", "features_bias"], ["fine"]),
        helper.make_node(
            "AveragePool", ["fine"], ["patches"], kernel_shape=[patch, patch], strides=[patch] * 2
        ),
        helper.make_node("ReduceMean", ["patches", "space"], ["means"], keepdims=0),
        helper.make_node("Gemm", ["means", "head", "bias"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probability"], axis=1),
        helper.make_node("Conv", ["patches", "cam_weight"], ["evidence"]),
        helper.make_node("Relu", ["evidence"], ["positive"]),
        helper.make_node("ReduceMax", ["positive", "space"], ["peak"], keepdims=1),
        helper.make_node("Max", ["peak", "tiny"], ["divisor"]),
        helper.make_node("Div", ["positive", "divisor"], ["heatmap"]),
        # Novelty falls from 1 as the contrast, the standard deviation of the darkness, grows.
        helper.make_node("ReduceMean", ["fine", "space"], ["middle"], keepdims=1),
        helper.make_node("Sub", ["fine", "middle"], ["offset"]),
        helper.make_node("Mul", ["offset", "offset"], ["square"]),
        helper.make_node("ReduceMean", ["square", "space"], ["variances"], keepdims=0),
        helper.make_node("Gather", ["variances", "darkness"], ["variance"], axis=1),
        helper.make_node("Sqrt", ["variance"], ["contrast"]),
        helper.make_node("Mul", ["contrast", "sharp"], ["falling"]),
        helper.make_node("Exp", ["falling"], ["novelty"]),
    ]
    constants["darkness"] = np.array(1)
    return _model(
        nodes,
        constants,
        inputs=[_value("image", TensorProto.UINT8, ["N", size, size, 3])],
        outputs=[
            _value("probability", TensorProto.FLOAT, ["N", count]),
            _value("heatmap", TensorProto.FLOAT, ["N", count, PATCHES, PATCHES]),
            _value("novelty", TensorProto.FLOAT, ["N"]),
        ],
    )


def preprocess_graph(size: int) -> onnx.ModelProto:
    """An upright picture uint8 `[H, W, 3]` squashed to `[size, size, 3]`, antialiased bicubic."""
    nodes = [
        helper.make_node("Cast", ["image"], ["levels"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["levels"], ["planes"], perm=[2, 0, 1]),
        helper.make_node("Unsqueeze", ["planes", "first"], ["batch"]),
        helper.make_node(
            "Resize",
            ["batch", "", "", "sizes"],
            ["resized"],
            mode="cubic",
            cubic_coeff_a=-0.5,
            antialias=1,
            exclude_outside=1,
        ),
        helper.make_node("Round", ["resized"], ["rounded"]),
        helper.make_node("Clip", ["rounded", "black", "white"], ["clipped"]),
        helper.make_node("Squeeze", ["clipped", "first"], ["single"]),
        helper.make_node("Transpose", ["single"], ["last"], perm=[1, 2, 0]),
        helper.make_node("Cast", ["last"], ["pixels"], to=TensorProto.UINT8),
    ]
    constants = {
        "first": np.array([0]),
        "sizes": np.array([1, 3, size, size]),
        "black": np.float32(0),
        "white": np.float32(255),
    }
    return _model(
        nodes,
        constants,
        inputs=[_value("image", TensorProto.UINT8, ["H", "W", 3])],
        outputs=[_value("pixels", TensorProto.UINT8, [size, size, 3])],
    )


def write_graph(model: onnx.ModelProto, path: Path) -> None:
    """Checks `model` and writes it to `path`."""
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def _head(
    classes: Sequence[ClassInfo],
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """The linear head over (redness, darkness): weight `[2, C]`, bias `[C]`.

    All malignant classes gain on all benign ones with redness, from equal at `_REDNESS_BETWEEN`.
    """
    likely = {"mel": 2.0, "nv": 2.4, "bkl": 1.0, "bcc": 0.6, "akiec": 0.2, "df": -0.2, "vasc": -0.6}
    redness = [50.0 if c.malignant else 4.0 for c in classes]
    darkness = [4.0 + 0.5 * place for place in range(len(classes))]
    prior = [likely.get(c.id, 0.0) for c in classes]
    bias = [
        p - r * _REDNESS_BETWEEN - d * 0.4 for p, r, d in zip(prior, redness, darkness, strict=True)
    ]
    return np.array([redness, darkness], np.float32), np.array(bias, np.float32)


def _manifest(
    name: str, classes: Sequence[ClassInfo], size: int, fit: Literal["squash", "crop", "pad"]
) -> Manifest:
    ids = [c.id for c in classes]
    return Manifest(
        schema_version=contract.SCHEMA_VERSION,
        name=name,
        architecture="mobilenetv2",
        title="MobileNetV2",
        summary=f"Tells {len(ids)} kinds of drawn lesions apart.",
        classes=list(classes),
        preprocessing=contract.Preprocessing(fit=fit, size=size),
        temperature=1.0,
        decision_offsets=dict.fromkeys(ids, 1.0),
        operating_points=[
            contract.OperatingPoint(
                name="sensitivity_95",
                score="malignant_probability",
                threshold=SUSPICIOUS_FROM,
                sensitivity=0.95,
                specificity=0.7,
                interval=(0.9, 0.98),
                n=200,
            )
        ],
        conformal=contract.Conformal(
            method="class_conditional_lac",
            alpha=0.1,
            quantiles=dict.fromkeys(ids, 0.9),
            counts=dict.fromkeys(ids, 100),
        ),
        novelty_threshold=NOVELTY_THRESHOLD,
        quality=contract.Quality(
            min_side=100, min_sharpness=0.05, min_luminance=0.2, min_lesion_share=0.03
        ),
        parity=contract.Parity(pictures=16, batch_sizes=[1, 5], probability=1e-6, heatmap=1e-6),
        training=contract.Training(
            datasets=[
                contract.Dataset(
                    name="Drawings", licence="Apache-2.0", source=_DRAWN, pictures=1000
                )
            ],
            split_digest="0" * 64,
            seed=1,
            config={"model": name},
            versions={"onnx": onnx.__version__},
            commit="0" * 40,
        ),
        metrics=[contract.Metric(name="balanced_accuracy", value=0.8, low=0.75, high=0.85, n=1500)],
    )


def _value(name: str, kind: int, shape: list[str | int]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def _model(
    nodes: list[onnx.NodeProto],
    constants: dict[str, Any],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
) -> onnx.ModelProto:
    initializers = [
        numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()
    ]
    graph = helper.make_graph(nodes, "drawn", inputs, outputs, initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
