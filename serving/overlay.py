"""A heatmap laid over its picture, as the page shows it, for the command line's files."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from serving.pictures import Limits, View, thumbnail
from serving.ramp import RAMP

_SIDE = 1024
"""pixels, longer side of what is drawn"""


def overlay(data: bytes, heatmap: str, view: View, limits: Limits) -> Image.Image:
    """The upright picture of the file `data` with `heatmap`, a grey PNG as a data URI, over `view`.

    Raises:
        PictureError: where `data` is no usable picture.
    """
    image = thumbnail(data, _SIDE, limits)
    evidence = _over_picture(heatmap, view, image.size)
    steps = np.linspace(0, 1, len(RAMP.colours))
    *colours, opacity = (np.interp(evidence, steps, channel) * 255 for channel in RAMP.channels)
    heat = Image.fromarray(np.stack(colours, axis=-1).round().astype(np.uint8))
    mask = Image.fromarray((opacity * RAMP.strength).round().astype(np.uint8))
    return Image.composite(heat, image, mask)


def _over_picture(
    heatmap: str, view: View, size: tuple[int, int]
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """The heatmap at each pixel of a picture of `size`, `[H, W]` in [0, 1], 0 outside `view`."""
    with Image.open(io.BytesIO(base64.b64decode(heatmap.partition(",")[2]))) as grey:
        grey.load()
    (width, height), (left, top, right, bottom) = size, view
    box = (round(left * width), round(top * height), round(right * width), round(bottom * height))
    seen = (max(1, box[2] - box[0]), max(1, box[3] - box[1]))
    whole = Image.new("L", size)
    whole.paste(grey.resize(seen, Image.Resampling.BICUBIC), box[:2])
    return np.asarray(whole, np.float64) / 255
