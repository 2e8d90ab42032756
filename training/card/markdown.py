"""Markdown for the card: tables, pictures, and figures in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from training.bootstrap import Figure
from training.labels import Unit
from training.measures import FEW
from training.plots.canvas import Plot
from training.sizes import PictureSize

MINUS = "\N{MINUS SIGN}"
DASH = "-"
"""Where a table has nothing to say."""


def figure_rows(figures: Sequence[tuple[str, Figure | None]]) -> list[list[str]]:
    """A row for each figure that was measured: name, value, interval, pictures."""
    return [
        [name, f"{f.value:.3f}", f"{f.low:.3f} to {f.high:.3f}", f"{f.n}"]
        for name, f in figures
        if f is not None
    ]


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of `rows` under `header`."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
    )


def images(plots: Mapping[str, Plot], *names: str) -> list[str]:
    """Those plots that were drawn, each with its caption."""
    return [
        f"![{plots[name].alt}]({plots[name].file})\n\n*{plots[name].caption}*"
        for name in names
        if name in plots
    ]


def interval(figure: Figure | None, digits: int = 3, *, brackets: bool = True) -> str:
    """A value with its interval, in brackets or after a comma."""
    if figure is None:
        return "unknown"
    bounds = f"{figure.low:.{digits}f} to {figure.high:.{digits}f}"
    text = f"{figure.value:.{digits}f}" + (f" ({bounds})" if brackets else f", {bounds}")
    return text.replace("-", MINUS)


def signed(figure: Figure | None, digits: int = 3) -> str:
    """A difference with its interval, each with its sign."""
    if figure is None:
        return DASH
    value, low, high = (f"{x:+.{digits}f}" for x in (figure.value, figure.low, figure.high))
    return f"{value} ({low} to {high})".replace("-", MINUS)


def mark(pictures: int) -> str:
    """What follows a figure over too few pictures to say much; nothing where there are enough."""
    return " †" if pictures < FEW else ""


def note(counts: Iterable[int]) -> list[str]:
    """What the mark means, for a table with a row over each of `counts` pictures; or nothing."""
    marked = any(pictures < FEW for pictures in counts)
    return [f"† Fewer than {FEW} pictures: such a figure says little."] if marked else []


def percent(share: float, digits: int = 0) -> str:
    """A share in percent."""
    return f"{100 * share:.{digits}f} %"


def pixels(size: PictureSize) -> str:
    """The size of pictures, and of how many of them where it is not that of all."""
    sides = f"{size.width} x {size.height}"
    if size.share == 1:
        return sides
    share = "less than 1 %" if size.share < 0.01 else percent(min(size.share, 0.99))
    return f"{sides} ({share} of them)"


def either(names: Sequence[str], word: str = "or") -> str:
    """The names as a list within a sentence, `word` before the last."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {word} {names[-1]}"


def counted(pictures: int, lesions: int, unit: Unit) -> str:
    """How many pictures, and of how many lesions where it is known that some have several.

    Patients and groups, where one of them is the `unit`, are known in any case.
    """
    if unit != "lesion" or lesions < pictures:
        return f"{pictures} pictures of {lesions} {unit}s"
    return f"{pictures} pictures, each counted as another lesion"


def sentence(text: str) -> str:
    """`text` with a capital at its beginning and a full stop at its end."""
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")
