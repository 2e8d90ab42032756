from __future__ import annotations

import base64

import numpy as np
import pytest
from PIL import Image

from serving.overlay import overlay
from serving.pictures import Limits, View
from serving.ramp import RAMP
from tests.drawings import encode

GREY = Image.new("RGB", (400, 300), (100, 100, 100))


def uri(heatmap: np.ndarray) -> str:
    return "data:image/png;base64," + base64.b64encode(
        encode(Image.fromarray(heatmap.astype(np.uint8)), "PNG")
    ).decode("ascii")


def changed(heatmap: np.ndarray, view: View) -> np.ndarray:
    """Which pixels of the grey picture the overlay colours."""
    over = overlay(encode(GREY, "PNG"), uri(heatmap), view, Limits())
    assert over.size == GREY.size
    return np.any(np.asarray(over) != 100, axis=-1)


def test_no_evidence_leaves_the_picture_as_it_is() -> None:
    assert not changed(np.zeros((8, 8)), (0, 0, 1, 1)).any()


def test_evidence_everywhere_colours_the_whole_view() -> None:
    assert changed(np.full((8, 8), 255), (0, 0, 1, 1)).all()


def test_only_the_part_that_the_model_saw_is_coloured() -> None:
    coloured = changed(np.full((8, 8), 255), (0.125, 0, 0.875, 1))
    assert coloured[:, 50:350].all()
    assert not coloured[:, :50].any()
    assert not coloured[:, 350:].any()


@pytest.mark.parametrize("row", [0, 7])
def test_evidence_in_the_bars_of_a_padded_picture_is_not_drawn(row: int) -> None:
    heatmap = np.zeros((8, 8))
    heatmap[row] = 255
    coloured = changed(heatmap, (0, -0.1667, 1, 1.1667))
    assert not coloured[60:240].any()


@pytest.mark.parametrize("step", [0, 1, 8, 13, 16])
def test_evidence_has_the_ramps_colours_at_its_strength(step: int) -> None:
    evidence = round(255 * step / (len(RAMP.colours) - 1))
    over = overlay(encode(GREY, "PNG"), uri(np.full((8, 8), evidence)), (0, 0, 1, 1), Limits())
    *colour, opacity = RAMP.colours[step]
    share = RAMP.strength * opacity / 255
    expected = [share * level + (1 - share) * 100 for level in colour]
    np.testing.assert_allclose(np.asarray(over)[150, 200], expected, atol=1.5)
