"""Pictures that are no lesion, drawn: what an upload page gets by mistake or for fun.

Each kind is drawn in many colours, sizes and layouts, the same for the same seed, and saved as the
file that a browser would send. They measure what a model refuses and are never fitted to.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter, ImageFont

Random = np.random.Generator
Floats = npt.NDArray[np.float64]
Colour = tuple[int, int, int]


def draw(kind: str, seed: int) -> bytes:
    """A file (PNG or JPEG) with a picture of `kind`, one of `KINDS`; the same for the same seed.

    Raises:
        ValueError: where there is no such kind.
    """
    if kind not in KINDS:
        raise ValueError(f"no kind of strangers is called {kind}; there are: {', '.join(KINDS)}")
    random = np.random.default_rng([*kind.encode(), seed])
    return _as_file(random, _DRAWERS[kind](random, *_size(random)))


def _blank(random: Random, width: int, height: int) -> Image.Image:
    """One colour, as from a covered camera; half of them with a sensor's faint noise."""
    plain = Image.new("RGB", (width, height), _colour(random, grey=0.5))
    if random.random() < 0.5:
        return plain
    return _image(np.asarray(plain) + random.normal(0, random.uniform(1, 4), (height, width, 3)))


def _gradient(random: Random, width: int, height: int) -> Image.Image:
    """Two or three colours that run into one another, along a line or from a centre."""
    x, y = _places(width, height)
    if random.random() < 0.6:
        angle = random.uniform(0, math.tau)
        along = x * math.cos(angle) + y * math.sin(angle)
    else:
        centre = random.uniform(0.2, 0.8, 2) * (width, height)
        along = np.hypot(x - centre[0], y - centre[1])
    along = (along - along.min()) / max(np.ptp(along), 1)
    stops = np.array([_colour(random, grey=0.2) for _ in range(int(random.integers(2, 4)))])
    at = np.linspace(0, 1, len(stops))
    return _image(np.stack([np.interp(along, at, stops[:, c]) for c in range(3)], axis=2))


def _noise(random: Random, width: int, height: int) -> Image.Image:
    """Grain of one pixel or of many, grey or coloured, faint or harsh."""
    grain = int(random.choice([1, 1, 2, 4, 8, 16]))
    cells = (-(-height // grain), -(-width // grain), int(random.choice([1, 3])))
    if random.random() < 0.3:
        levels = random.choice([0, 255], cells)
    else:
        levels = random.normal(random.uniform(60, 200), random.uniform(15, 90), cells)
    coarse = _image(np.broadcast_to(levels, (*cells[:2], 3)))
    way = Image.Resampling.NEAREST if random.random() < 0.5 else Image.Resampling.BICUBIC
    return coarse.resize((width, height), way)


def _pattern(random: Random, width: int, height: int) -> Image.Image:
    """Stripes, checks or dots in two colours, as of cloth, tiles or wallpaper."""
    x, y = _places(width, height)
    angle = random.choice([0, random.uniform(0, math.pi)])
    period = min(width, height) / random.uniform(3, 30)
    along = (x * math.cos(angle) + y * math.sin(angle)) / period
    across = (y * math.cos(angle) - x * math.sin(angle)) / period
    kind = random.integers(3)
    if kind == 0:
        mask = along % 1 < random.uniform(0.2, 0.8)
    elif kind == 1:
        mask = (along % 1 < 0.5) ^ (across % 1 < 0.5)
    else:
        mask = np.hypot(along % 1 - 0.5, across % 1 - 0.5) < random.uniform(0.15, 0.45)
    first, second = _two_colours(random)
    return _image(np.where(mask[..., None], first, second))


def _text(random: Random, width: int, height: int) -> Image.Image:
    """A page of text, upright or a little turned, dark on light or light on dark."""
    paper, ink = _paper_and_ink(random)
    page = Image.new("RGB", (width, height), paper)
    margin = int(width * random.uniform(0.03, 0.14))
    size = max(8, int(width * random.uniform(0.015, 0.06)))
    pen = ImageDraw.Draw(page)
    top = margin
    if random.random() < 0.6:
        pen.text((margin, top), _words(random, 3), ink, _font(2 * size))
        top += 3 * size
    _write(random, pen, (margin, top, width - margin, height - margin), ink, size)
    if random.random() < 0.3:
        turned = random.uniform(-12, 12)
        page = page.rotate(turned, Image.Resampling.BICUBIC, fillcolor=_colour(random, grey=0.6))
    return page


def _screenshot(random: Random, width: int, height: int) -> Image.Image:
    """A program's window with bars, lists, buttons and pictures; upright, it is a phone's."""
    paper, ink = _paper_and_ink(random)
    accent = _colour(random)
    bar = _between(paper, ink, random.uniform(0.06, 0.3))
    screen = Image.new("RGB", (width, height), paper)
    pen = ImageDraw.Draw(screen)
    line = max(10, int(min(width, height) * random.uniform(0.03, 0.06)))
    head = int(line * random.uniform(1.6, 3))
    pen.rectangle((0, 0, width, head), accent if random.random() < 0.4 else bar)
    for number in range(3):
        left = line * (0.6 + 0.9 * number)
        pen.ellipse((left, head / 3, left + line * 0.6, head / 3 + line * 0.6), _colour(random))
    pen.text((width * 0.3, head / 4), _words(random, 2), ink, _font(line))
    left = 0
    if width > height:
        left = int(width * random.uniform(0.15, 0.3))
        pen.rectangle((0, head, left, height), bar)
        for top in range(head + line, height - line, int(1.8 * line)):
            pen.text((line, top), _words(random, 1), ink, _font(int(0.7 * line)))
    tiled = random.random() < 0.5
    columns = int(random.integers(2, 5)) if tiled else 1
    cell = (width - left) / columns
    step = int(cell * random.uniform(0.6, 1.1)) if tiled else int(line * random.uniform(2.5, 4.5))
    for top in range(head + line, height, step + line // 2):
        for column in range(columns):
            box = (
                left + column * cell + line / 2,
                top,
                left + (column + 1) * cell - line / 2,
                top + step,
            )
            _draw_card(random, pen, box, (bar, ink, accent), line)
    return screen


def _draw_card(
    random: Random,
    pen: ImageDraw.ImageDraw,
    box: tuple[float, float, float, float],
    colours: tuple[Colour, Colour, Colour],
    line: int,
) -> None:
    """One entry of a window: a picture or a face of someone, a few words, a button."""
    left, top, right, bottom = box
    bar, ink, accent = colours
    if random.random() < 0.6:
        pen.rounded_rectangle(box, line // 3, bar)
    side = min(bottom - top, (right - left) * 0.4)
    if random.random() < 0.7:
        picture = (left + line / 4, top + line / 4, left + side - line / 4, top + side - line / 4)
        shape = pen.ellipse if random.random() < 0.5 else pen.rectangle
        shape(picture, _colour(random))
    text = (left + side + line / 3, top + line / 4, right - line / 4, bottom - line / 4)
    _write(random, pen, text, ink, max(8, int(0.6 * line)))
    if random.random() < 0.3:
        button = (right - 4 * line, bottom - 1.4 * line, right - line / 3, bottom - line / 3)
        pen.rounded_rectangle(button, line // 4, accent)


def _chart(random: Random, width: int, height: int) -> Image.Image:
    """Bars, lines, dots or a pie, with axes and words."""
    paper, ink = _paper_and_ink(random)
    chart = Image.new("RGB", (width, height), paper)
    pen = ImageDraw.Draw(chart)
    size = max(9, min(width, height) // 25)
    pen.text((width * 0.2, size / 2), _words(random, 4), ink, _font(int(1.3 * size)))
    left, top, right, bottom = width * 0.1, height * 0.12, width * 0.95, height * 0.88
    colours = [_colour(random) for _ in range(6)]
    kind = random.choice(["bars", "lines", "dots", "pie"])
    if kind == "pie":
        _draw_pie(random, pen, (left, top, right, bottom), [*colours, ink])
        return chart
    stroke = max(1, size // 8)
    for share in np.linspace(0, 1, int(random.integers(4, 9))):
        level = bottom + share * (top - bottom)
        pen.line((left, level, right, level), _between(paper, ink, 0.15), stroke)
        pen.text((left * 0.3, level - size / 2), f"{share * 100:.0f}", ink, _font(size))
    if kind == "bars":
        count = int(random.integers(3, 14))
        for index, share in enumerate(random.uniform(0.05, 1, count)):
            x = left + (index + 0.15) * (right - left) / count
            end = x + 0.7 * (right - left) / count
            colour = colours[0] if count > 6 else colours[index % 6]
            pen.rectangle((x, bottom + share * (top - bottom), end, bottom), colour)
            pen.text((x, bottom + size / 3), _words(random, 1)[:4], ink, _font(size))
    elif kind == "lines":
        for colour in colours[: int(random.integers(1, 5))]:
            shares = np.clip(np.cumsum(random.normal(0, 0.12, 24)) + random.uniform(0.2, 0.8), 0, 1)
            along, level = np.linspace(left, right, 24), bottom + shares * (top - bottom)
            pen.line(_points(along, level), colour, 3 * stroke)
    else:
        for colour in colours[: int(random.integers(1, 4))]:
            middle, spread = random.uniform(0.3, 0.7, 2), random.uniform(0.05, 0.2)
            for u, v in np.clip(random.normal(middle, spread, (60, 2)), 0, 1):
                x, y = left + u * (right - left), bottom + v * (top - bottom)
                pen.ellipse((x - size / 3, y - size / 3, x + size / 3, y + size / 3), colour)
    pen.line([(left, top), (left, bottom), (right, bottom)], ink, 2 * stroke)
    return chart


def _draw_pie(
    random: Random,
    pen: ImageDraw.ImageDraw,
    box: tuple[float, float, float, float],
    colours: Sequence[Colour],
) -> None:
    """A pie in the left of `box` and its legend beside it; the last of `colours` writes."""
    left, top, right, bottom = box
    side = min(bottom - top, 0.65 * (right - left))
    ends = np.cumsum(random.dirichlet(np.ones(len(colours) - 1)) * 360)
    start = 0.0
    for index, (colour, end) in enumerate(zip(colours, ends, strict=False)):
        pen.pieslice((left, top, left + side, top + side), start, float(end), colour)
        start = float(end)
        size = side / 14
        y = top + 1.6 * size * index
        pen.rectangle((left + 1.1 * side, y, left + 1.1 * side + size, y + size), colour)
        pen.text((left + 1.2 * side, y), _words(random, 1), colours[-1], _font(max(8, int(size))))


def _skin(random: Random, width: int, height: int) -> Image.Image:
    """Skin of any tone without a lesion: uneven light, pores, fine creases, sometimes hairs."""
    light, dark = np.array([238, 205, 184]), np.array([72, 46, 36])
    tone = light + random.beta(1, 1.6) * (dark - light) + random.normal(0, 5, 3)
    short = min(width, height)
    picture = np.ones((height, width, 1)) * tone
    picture *= 1 + random.uniform(0.01, 0.08) * _clouds(random, width, height, 3)[..., None]
    flush = np.array([0.3, -1.0, -0.8]) * random.uniform(0, 3)
    picture += flush * _clouds(random, width, height, 6)[..., None]
    strength = random.uniform(0, 0.03)
    for cells in (short // 12, short // 5):
        picture *= 1 + strength * _clouds(random, width, height, max(2, cells))[..., None]
    image = _image(picture + random.normal(0, random.uniform(0.5, 3), picture.shape))
    if random.random() < 0.6:
        image = _with_creases(random, image, tone)
    if random.random() < 0.3:
        image = _with_hairs(random, image)
    return image.filter(ImageFilter.GaussianBlur(random.uniform(0, short / 400)))


def _with_creases(random: Random, image: Image.Image, tone: Floats) -> Image.Image:
    """Two families of thin bent lines that cross, as on the back of a hand."""
    width, height = image.size
    lines = Image.new("L", image.size)
    pen = ImageDraw.Draw(lines)
    reach, step = math.hypot(width, height), min(width, height) / random.uniform(12, 40)
    first = random.uniform(0, math.pi)
    for angle in (first, first + random.uniform(0.8, 1.6)):
        way = np.array([math.cos(angle), math.sin(angle)])
        side = np.array([-way[1], way[0]])
        for offset in np.arange(-reach / 2, reach / 2, step):
            along = np.linspace(-reach / 2, reach / 2, 30)[:, None] * way
            bends = (offset + np.cumsum(random.normal(0, step / 6, 30)))[:, None] * side
            points = along + bends + (width / 2, height / 2)
            pen.line(_points(points[:, 0], points[:, 1]), int(random.integers(20, 90)))
    shade = tuple(int(c) for c in np.clip(tone * 0.75, 0, 255))
    return Image.composite(Image.new("RGB", image.size, shade), image, lines)


def _with_hairs(random: Random, image: Image.Image) -> Image.Image:
    """A few short dark hairs, most of them the same way."""
    width, height = image.size
    pen = ImageDraw.Draw(image)
    way = random.uniform(0, math.tau)
    for _ in range(int(random.integers(3, 30))):
        start = random.uniform(0, 1, 2) * (width, height)
        heading = way + random.normal(0, 0.3)
        length = min(width, height) * random.uniform(0.05, 0.25)
        end = start + length * np.array([math.cos(heading), math.sin(heading)])
        pen.line([(start[0], start[1]), (end[0], end[1])], (60, 44, 36), max(1, width // 350))
    return image


def _face(random: Random, width: int, height: int) -> Image.Image:
    """A drawn face: head, eyes, mouth, often hair and a nose, in skin's or any other colour."""
    first, second = _two_colours(random)
    drawing = Image.new("RGB", (width, height), first)
    pen = ImageDraw.Draw(drawing)
    natural = random.random() < 0.5
    skin = _between((246, 214, 190), (96, 62, 44), random.random()) if natural else second
    ink = _between(skin, (0, 0, 0), random.uniform(0.7, 1))
    radius = min(width, height) * random.uniform(0.25, 0.46)
    x, y = width * random.uniform(0.42, 0.58), height * random.uniform(0.45, 0.6)
    stroke = max(2, int(radius / random.uniform(15, 40)))
    tall = radius * random.uniform(0.95, 1.15)
    if random.random() < 0.6:
        hair = _colour(random)
        pen.ellipse((x - 1.1 * radius, y - 1.25 * tall, x + 1.1 * radius, y + 0.5 * tall), hair)
    pen.ellipse((x - radius, y - tall, x + radius, y + tall), skin, ink, stroke)
    eye, apart = radius * random.uniform(0.08, 0.2), radius * random.uniform(0.3, 0.45)
    high = y - radius * random.uniform(0.1, 0.35)
    white = random.random() < 0.6
    for centre in (x - apart, x + apart):
        box = (centre - eye, high - eye, centre + eye, high + eye)
        pen.ellipse(box, (255, 255, 255) if white else ink, ink, stroke)
        if white:
            pupil = eye * 0.5
            inner = (centre - pupil, high - pupil, centre + pupil, high + pupil)
            pen.ellipse(inner, _colour(random), ink, stroke)
        if random.random() < 0.5:
            brow = high - 1.8 * eye
            pen.line((centre - 1.3 * eye, brow, centre + 1.3 * eye, brow), ink, stroke)
    if random.random() < 0.6:
        tip = y + 0.2 * radius
        pen.line([(x, high), (x - 0.1 * radius, tip), (x, tip)], ink, stroke)
    low, wide = y + radius * random.uniform(0.2, 0.4), radius * random.uniform(0.25, 0.55)
    mouth = (x - wide, low - wide / 2, x + wide, low + wide / 2)
    if random.random() < 0.5:
        pen.chord(mouth, 0, 180, (190, 50, 60), ink, stroke)
    else:
        pen.arc(mouth, *((0, 180) if random.random() < 0.7 else (180, 360)), ink, stroke)
    return drawing


_DRAWERS: dict[str, Callable[[Random, int, int], Image.Image]] = {
    "blank": _blank,
    "gradient": _gradient,
    "noise": _noise,
    "pattern": _pattern,
    "text": _text,
    "screenshot": _screenshot,
    "chart": _chart,
    "skin": _skin,
    "face": _face,
}

KINDS = tuple(_DRAWERS)
"""What `draw` draws."""


def _size(random: Random) -> tuple[int, int]:
    """Width and height in pixels: across or upright, small or as large as a screen."""
    long = int(math.exp(random.uniform(math.log(240), math.log(1200))))
    short = int(long * random.choice([0.5, 0.5625, 0.667, 0.75, 1.0]))
    return (long, short) if random.random() < 0.6 else (short, long)


def _as_file(random: Random, image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    if random.random() < 0.5:
        image.save(buffer, "PNG", compress_level=1)
    else:
        image.save(buffer, "JPEG", quality=int(random.integers(50, 96)))
    return buffer.getvalue()


def _image(levels: npt.NDArray[np.floating | np.integer]) -> Image.Image:
    """Levels `[H, W, 3]`, 0 to 255, as a picture."""
    return Image.fromarray(np.clip(np.round(levels), 0, 255).astype(np.uint8))


def _places(width: int, height: int) -> tuple[Floats, Floats]:
    """Each pixel's x and y, `[H, W]`."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    return x, y


def _points(x: Floats, y: Floats) -> list[tuple[float, float]]:
    """Points `[N]` as Pillow takes them."""
    return list(zip(x.tolist(), y.tolist(), strict=True))


def _clouds(random: Random, width: int, height: int, cells: int) -> Floats:
    """Smooth noise of mean 0 and deviation 1, about `cells` patches a side, `[H, W]`."""
    coarse = Image.fromarray(random.normal(0, 1, (cells, cells)).astype(np.float32))
    levels = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.float64)
    standard: Floats = (levels - levels.mean()) / max(float(levels.std()), 1e-6)
    return standard


def _colour(random: Random, grey: float = 0.0) -> Colour:
    """Any colour; with the probability `grey` one without hue, often black or white."""
    if random.random() < grey:
        level = int(random.choice([0, 255, int(random.integers(256))]))
        return (level, level, level)
    red, green, blue = random.integers(0, 256, 3)
    return (int(red), int(green), int(blue))


def _two_colours(random: Random) -> tuple[Colour, Colour]:
    """Two colours that can be told apart."""
    first = _colour(random, grey=0.3)
    while True:
        second = _colour(random, grey=0.3)
        if sum(abs(a - b) for a, b in zip(first, second, strict=True)) > 120:
            return first, second


def _paper_and_ink(random: Random) -> tuple[Colour, Colour]:
    """What a page is and what it is written in; one in three is light on dark."""
    paper = _between((255, 255, 255), _colour(random), random.choice([0, 0.05, 0.15]))
    ink = _between((0, 0, 0), _colour(random), random.choice([0, 0.15, 0.3]))
    return (paper, ink) if random.random() < 0.67 else (ink, paper)


def _between(first: Colour, second: Colour, share: float) -> Colour:
    """The colour at `share` of the way from `first` to `second`."""
    red, green, blue = (round(a + share * (b - a)) for a, b in zip(first, second, strict=True))
    return (red, green, blue)


def _write(
    random: Random,
    pen: ImageDraw.ImageDraw,
    box: tuple[float, float, float, float],
    ink: Colour,
    size: int,
) -> None:
    """Fills `box` with lines of words, paragraph by paragraph."""
    left, top, right, bottom = box
    letters = int((right - left) / (0.55 * size))
    while top + size < bottom:
        if letters > 2 and random.random() < 0.9:
            length = letters if random.random() < 0.8 else int(random.integers(1, letters))
            words = _words(random, letters // 5 + 1)[:length]
            pen.text((left, top), words, ink, _font(size))
        top += 1.4 * size


def _words(random: Random, count: int) -> str:
    """Words of no language."""
    heads, tails = [*"bdfgklmnprstvw"], ["a", "e", "i", "o", "u", "an", "er", "il", "on", "us"]
    words = []
    for _ in range(count):
        syllables = range(int(random.integers(1, 4)))
        words.append("".join(random.choice(heads) + random.choice(tails) for _ in syllables))
    return " ".join(words).capitalize()


def _font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    """Pillow's own font: no file of the machine is needed."""
    return ImageFont.load_default(size)
