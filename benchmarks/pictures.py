"""The pictures that the servers are sent: four kinds of files, and all of them in turn.

Each is drawn by the project, so that a comparison needs no data set and nobody's skin.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from tests.drawings import draw_lesion, encode

EACH = 4
"""pictures of each kind"""

KINDS = ("600x450 JPEG", "12-megapixel JPEG", "small PNG", "2-megapixel PNG")
LARGE = KINDS[1]
MIXTURE = "mixture"


def make(folder: Path) -> dict[str, list[Path]]:
    """Writes the pictures into `folder`; their files by kind, the mixture a quarter of each."""
    files: dict[str, list[Path]] = {kind: [] for kind in KINDS}
    for seed in range(EACH):
        drawn = [
            ("jpg", encode(draw_lesion(seed, redness=seed / EACH), quality=90)),
            ("jpg", encode(_photograph(seed, 4032, 3024), quality=90)),
            ("png", encode(draw_lesion(seed, 320, 240, redness=seed / EACH), "PNG")),
            ("png", encode(draw_lesion(seed, 1632, 1224, redness=seed / EACH), "PNG")),
        ]
        for number, (kind, (ending, data)) in enumerate(zip(KINDS, drawn, strict=True)):
            file = folder / f"{number}-{seed}.{ending}"
            file.write_bytes(data)
            files[kind].append(file)
    files[MIXTURE] = [file for group in zip(*files.values(), strict=True) for file in group]
    return files


def _photograph(seed: int, width: int, height: int) -> Image.Image:
    """As a phone takes it: no finer than its lens, with the grain of its sensor."""
    sharp = draw_lesion(seed, width // 3, height // 3, redness=seed / EACH)
    large = np.asarray(sharp.resize((width, height), Image.Resampling.BICUBIC), np.int16)
    grain = np.random.default_rng(seed).normal(0, 4, (height, width, 1)).astype(np.int16)
    return Image.fromarray((large + grain).clip(0, 255).astype(np.uint8))
