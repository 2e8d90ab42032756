"""What may be wrong with a picture, told from its pixels: blur, darkness, size, a tiny lesion."""

from __future__ import annotations

import math
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt

from serving.manifest import Quality
from serving.pictures import Prepared

QualityWarning = Literal["blurred", "dark", "few_pixels", "small_lesion"]

Floats = npt.NDArray[np.float32]

_LUMA = np.array([0.299, 0.587, 0.114], np.float32) / np.float32(255)
"""ITU-R BT.601's weights of red, green and blue, from levels of 8 bits to [0, 1]"""

_LEVELS = 64
"""of grey, that a threshold is sought among"""


class Measures(msgspec.Struct, frozen=True):
    """The figures that `Quality` holds thresholds for."""

    side: int
    sharpness: float
    luminance: float
    lesion_share: float


def measure(prepared: Prepared) -> Measures:
    """Measures a prepared picture: array operations on `[S, S] float32`.

    As few as it takes: each gives up the interpreter's lock and waits for it again, in turn with
    every other thread of the server.
    """
    grey: Floats = prepared.pixels.astype(np.float32) @ _LUMA
    return Measures(
        side=min(prepared.width, prepared.height),
        sharpness=_sharpness(grey),
        luminance=_median(grey),
        lesion_share=_dark_share(grey),
    )


def warnings(measures: Measures, quality: Quality) -> list[QualityWarning]:
    """The warnings for a picture with these measures, worst first."""
    found: list[tuple[bool, QualityWarning]] = [
        (measures.luminance < quality.min_luminance, "dark"),
        (measures.sharpness < quality.min_sharpness, "blurred"),
        (measures.lesion_share < quality.min_lesion_share, "small_lesion"),
        (measures.side < quality.min_side, "few_pixels"),
    ]
    return [warning for is_so, warning in found if is_so]


def _sharpness(grey: Floats) -> float:
    """Standard deviation of the Laplacian over that of the picture, so that contrast cancels.

    Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy", ICPR 2000.
    """
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1]
    laplacian += grey[1:-1, :-2]
    laplacian += grey[1:-1, 2:]
    laplacian -= 4 * grey[1:-1, 1:-1]
    return _deviation(laplacian) / max(_deviation(grey), 1e-3)


def _deviation(values: Floats) -> float:
    away = values.ravel() - values.mean()
    return math.sqrt(float(away @ away) / away.size)


def _median(values: Floats) -> float:
    # numpy's own looks for numbers that are none, too, and takes twice as long.
    middle = (values.size - 1) // 2, values.size // 2
    return float(np.partition(values, middle, axis=None)[list(middle)].mean())


def _dark_share(grey: Floats) -> float:
    """Share of the picture below Otsu's threshold: a lesion is darker than the skin around it.

    Otsu, "A threshold selection method from gray-level histograms", IEEE Trans. SMC 9 (1979).
    """
    levels = np.minimum((grey * _LEVELS).astype(np.uint8), _LEVELS - 1)
    histogram = np.bincount(levels.ravel(), minlength=_LEVELS)
    share = np.cumsum(histogram) / grey.size
    centres = (np.arange(_LEVELS) + 0.5) / _LEVELS
    mean = np.cumsum(histogram * centres) / grey.size
    inside = np.maximum(share * (1 - share), 1e-9)
    between = (mean[-1] * share - mean) ** 2 / inside
    return float(share[int(np.argmax(between))])
