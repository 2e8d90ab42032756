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
Counts = npt.NDArray[np.int64]

_LEVELS = 256
"""of grey, from black to white; a pixel lies between them where its colours do"""

_LUMA = np.array([0.299, 0.587, 0.114], np.float32) * np.float32(_LEVELS / 255)
"""ITU-R BT.601's weights of red, green and blue, from 8 bits to levels"""

_CENTRES = np.arange(_LEVELS) + 0.5

_THRESHOLDS = 64
"""that the lesion may be told from the skin by"""

_FLAT = 1e-3
"""of white; what deviates by less is noise, and no contrast"""


class Measures(msgspec.Struct, frozen=True):
    """The figures that `Quality` holds thresholds for."""

    side: int
    sharpness: float
    luminance: float
    lesion_share: float


def measure(prepared: Prepared) -> Measures:
    """Measures a prepared picture.

    With as few operations on all its pixels as it takes, and the rest on a histogram: each gives up
    the interpreter's lock and waits for it again, in turn with every other thread of the server.
    """
    grey: Floats = prepared.pixels.astype(np.float32) @ _LUMA
    counts = np.bincount(grey.astype(np.intp).ravel(), minlength=_LEVELS + 1)
    counts[_LEVELS - 1] += counts[_LEVELS]  # white itself
    counts = counts[:_LEVELS]
    return Measures(
        side=min(prepared.width, prepared.height),
        sharpness=_deviation_of_laplacian(grey) / max(_deviation(counts), _FLAT * _LEVELS),
        luminance=_median(counts) / _LEVELS,
        lesion_share=_dark_share(counts),
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


def _deviation_of_laplacian(grey: Floats) -> float:
    """Over that of the picture itself it is its sharpness: contrast cancels.

    Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy", ICPR 2000.
    """
    # Whole rows first: what lies in one piece is added in a third of the time.
    rows = grey[:-2] + grey[2:]
    rows -= 4 * grey[1:-1]
    laplacian = rows[:, 1:-1] + grey[1:-1, :-2]
    laplacian += grey[1:-1, 2:]
    values = laplacian.ravel()
    # Its mean is next to nothing, so that the difference loses no digits.
    return math.sqrt(max(0.0, float(values @ values) / values.size - float(values.mean()) ** 2))


def _deviation(counts: Counts) -> float:
    """The standard deviation in levels."""
    shares = counts / counts.sum()
    mean = float(shares @ _CENTRES)
    return math.sqrt(float(shares @ (_CENTRES - mean) ** 2))


def _median(counts: Counts) -> float:
    """The median to the nearest level's middle."""
    below = np.cumsum(counts)
    middle = (below[-1] + 1) // 2, below[-1] // 2 + 1
    return float(np.searchsorted(below, middle).mean()) + 0.5


def _dark_share(counts: Counts) -> float:
    """Share of the picture below Otsu's threshold: a lesion is darker than the skin around it.

    Otsu, "A threshold selection method from gray-level histograms", IEEE Trans. SMC 9 (1979).
    """
    bins = counts.reshape(_THRESHOLDS, -1).sum(axis=1)
    centres = (np.arange(_THRESHOLDS) + 0.5) / _THRESHOLDS
    share = np.cumsum(bins) / bins.sum()
    mean = np.cumsum(bins * centres) / bins.sum()
    inside = np.maximum(share * (1 - share), 1e-9)
    between = (mean[-1] * share - mean) ** 2 / inside
    return float(share[int(np.argmax(between))])
