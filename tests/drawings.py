"""Pictures for the tests, drawn so that no data set is needed: dermoscopy-like, and others."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

Floats = npt.NDArray[np.float64]

SUSPICIOUS_REDNESS = 0.9
"""`draw_lesion`'s redness that `artifact_factory`'s models call malignant whatever the seed."""

HARMLESS_REDNESS = 0.1
"""`draw_lesion`'s redness that `artifact_factory`'s models call benign whatever the seed."""


def draw_lesion(
    seed: int, width: int = 600, height: int = 450, redness: float = HARMLESS_REDNESS
) -> Image.Image:
    """An RGB picture of `width` x `height` pixels that looks as if taken through a dermatoscope.

    Skin with a gradient and a fine relief, an irregular darker mottled blob with a network of
    pigment, noise, a few hairs and a vignette; the same for the same arguments. `redness`, 0 to 1,
    reddens lesion and skin.
    """
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    scale = min(width, height)
    inside = _blob(random, x, y, scale)

    light = 1 + 0.06 * ((x / width - 0.5) * random.normal() + (y / height - 0.5) * random.normal())
    skin = np.array([0.84, 0.66, 0.62]) + redness * np.array([0.04, -0.20, -0.14])
    brown = np.array([0.46, 0.36, 0.27]) + redness * np.array([0.08, -0.22, -0.13])
    period = scale / random.uniform(18, 30)
    network = 0.05 * np.sin(x / period * math.tau) * np.sin(y / period * math.tau)
    mottled = _layered_noise(random, width, height, {7: 0.16, 22: 0.1, 70: 0.05})

    lesion = brown * (1 + network + mottled)[..., None]
    picture = skin * light[..., None] * (1 - inside[..., None]) + lesion * inside[..., None]
    relief = _layered_noise(random, width, height, {9: 0.02, 60: 0.012})
    picture *= (1 + relief)[..., None]
    radius = np.hypot(x / width - 0.5, y / height - 0.5) / math.hypot(0.5, 0.5)
    picture *= (1 - 0.45 * np.clip(radius - 0.55, 0, None) ** 1.2)[..., None]
    picture += random.normal(0, 0.012, picture.shape)

    image = Image.fromarray((picture.clip(0, 1) * 255).round().astype(np.uint8))
    return _with_hairs(random, image, scale)


def draw_flat(
    width: int = 600, height: int = 450, colour: tuple[int, int, int] = (120, 130, 150)
) -> Image.Image:
    """An RGB picture of one colour: `artifact_factory`'s models refuse it as unlike any lesion."""
    return Image.new("RGB", (width, height), colour)


def encode(image: Image.Image, format: str = "JPEG", **options: Any) -> bytes:
    """The bytes of `image` as a file of Pillow's `format`, saved with Pillow's `options`."""
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def _blob(random: np.random.Generator, x: Floats, y: Floats, scale: int) -> Floats:
    """How much each pixel belongs to the lesion, 0 to 1 `[H, W]`, with an irregular soft edge."""
    height, width = x.shape
    centre_x = width * random.uniform(0.44, 0.56)
    centre_y = height * random.uniform(0.44, 0.56)
    angle = np.arctan2(y - centre_y, x - centre_x)
    edge = np.full_like(x, random.uniform(0.24, 0.32))
    for waves in range(2, 8):
        edge += 0.05 / waves * random.normal() * np.cos(waves * angle + random.uniform(0, math.tau))
    distance = np.hypot(x - centre_x, (y - centre_y) * random.uniform(1.0, 1.25)) / scale
    inside: Floats = 1 / (1 + np.exp(np.clip((distance - edge) / 0.012, -40, 40)))
    return inside


def _layered_noise(
    random: np.random.Generator, width: int, height: int, shares: dict[int, float]
) -> Floats:
    """Noise of mean 0 in patches of several sizes, `[H, W]`: for each count of cells its share."""
    layers = [s * _smooth_noise(random, width, height, cells) for cells, s in shares.items()]
    noise: Floats = np.sum(layers, axis=0)
    return noise


def _smooth_noise(random: np.random.Generator, width: int, height: int, cells: int) -> Floats:
    """Noise of mean 0 with `cells` patches along each side, `[H, W]`."""
    coarse = Image.fromarray(random.normal(0, 1, (cells, cells)).astype(np.float32))
    resized = coarse.resize((width, height), Image.Resampling.BICUBIC)
    fine: Floats = np.array(resized, np.float64)
    fine -= fine.mean()
    return fine


def _with_hairs(random: np.random.Generator, image: Image.Image, scale: int) -> Image.Image:
    """A few dark, slightly bent hairs over `image`."""
    width, height = image.size
    hairs = Image.new("L", image.size)
    pen = ImageDraw.Draw(hairs)
    for _ in range(int(random.integers(2, 6))):
        start = random.uniform(0, 1, 2) * (width, height)
        heading, bend = random.uniform(0, math.tau), random.normal(0, 0.6)
        along = np.linspace(0, 1, 24)
        length = scale * random.uniform(0.3, 0.8)
        points = start + length * np.stack(
            [along * np.cos(heading + bend * along), along * np.sin(heading + bend * along)], axis=1
        )
        pen.line([(px, py) for px, py in points], fill=150, width=max(1, scale // 220))
    hairs = hairs.filter(ImageFilter.GaussianBlur(scale / 900))
    return Image.composite(Image.new("RGB", image.size, (44, 30, 24)), image, hairs)
