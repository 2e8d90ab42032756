"""The heatmap's colours, read by the command line, the page's templates and its scripts alike."""

from __future__ import annotations

from pathlib import Path

import msgspec


class Ramp(msgspec.Struct, frozen=True):
    """How evidence is shown over a picture.

    `colours` are red, green, blue and opacity from 0 to 255 at equal steps of evidence from 0 to 1,
    straight lines between them. They go from deep violet over teal to yellow in equal steps of
    lightness and hue in OKLCH, so that equal steps of evidence look equal, also to eyes that
    confuse red and green; the opacity rises smoothly, so that weak evidence leaves the picture as
    it is. `strength` is the opacity of the whole, which the page lets a person change.
    """

    strength: float
    colours: list[tuple[int, int, int, int]]

    @property
    def channels(self) -> list[list[float]]:
        """The colours by channel (red, green, blue, opacity), from 0 to 1."""
        return [[level / 255 for level in channel] for channel in zip(*self.colours, strict=True)]


RAMP = msgspec.json.decode(Path(__file__).with_name("ramp.json").read_bytes(), type=Ramp)
