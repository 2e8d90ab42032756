"""A heatmap laid over its picture, as the page shows it, for the command line's files."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from serving.pictures import Limits, View, decode

_SIDE = 1024
"""pixels, longer side of what is drawn"""

_STRONGEST = 0.6
"""how much of the picture the strongest evidence covers"""

# From weak to strong evidence; dark at the weak end, so that skin shows through unchanged.
_COLOURS = np.array([[60, 0, 90], [200, 30, 90], [250, 130, 40], [255, 235, 120]], np.float64)


def overlay(data: bytes, heatmap: str, view: View, limits: Limits) -> Image.Image:
    """The upright picture of the file `data` with `heatmap`, a grey PNG as a data URI, over `view`.

    Raises:
        PictureError: where `data` is no usable picture.
    """
    image = decode(data, limits, least_side=_SIDE // 2).image
    image.thumbnail((_SIDE, _SIDE))
    evidence = _over_picture(heatmap, view, image.size)
    places = np.linspace(0, 1, len(_COLOURS))
    colours = np.stack([np.interp(evidence, places, _COLOURS[:, i]) for i in range(3)], axis=-1)
    heat = Image.fromarray(colours.round().astype(np.uint8))
    opacity = Image.fromarray((evidence * _STRONGEST * 255).round().astype(np.uint8))
    return Image.composite(heat, image, opacity)


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
