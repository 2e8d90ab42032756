"""What every plot shares: its colours, its style, and how it becomes a file."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import PercentFormatter
from PIL import Image

# Okabe and Ito, "Color Universal Design" (2008)
BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, INK, GREY = "#CC79A7", "#56B4E9", "#22272E", "#8A929B"
CLASS_COLOURS = (BLUE, ORANGE, GREEN, SKY, RED, GREY, PURPLE)

_STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": "#C4CAD0",
    "axes.labelcolor": INK,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#E6E9EC",
    "xtick.color": "#59626B",
    "ytick.color": "#59626B",
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.6,
}


class Plot(msgspec.Struct, frozen=True):
    """A picture file of the report: `alt` says what it is, `caption` how to read it."""

    file: str
    alt: str
    caption: str


def save(folder: Path, plot: Plot, paint: Callable[[], Canvas]) -> Plot:
    """Paints `plot` and writes it into `folder`; returns it."""
    with style.context(_STYLE):
        canvas = paint()
        FigureCanvasAgg(canvas)
        drawn = io.BytesIO()
        canvas.savefig(drawn, dpi=150)
    # A palette halves the file, and none of it but the picture: it changes where a figure does.
    Image.open(drawn).convert("RGB").quantize(96, dither=Image.Dither.NONE).save(
        folder / plot.file, optimize=True
    )
    return plot


def percent(axes: Axes, which: str) -> None:
    """Ticks in percent on the axes that `which` names, of x and y."""
    for name in which:
        axis = axes.xaxis if name == "x" else axes.yaxis
        axis.set_major_formatter(PercentFormatter(1, decimals=0))
