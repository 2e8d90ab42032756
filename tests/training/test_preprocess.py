"""`preprocess.onnx` and Pillow agree within one grey level, on any size and fit."""

from typing import Literal

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from serving.manifest import Preprocessing
from serving.pictures import fit
from tests.drawings import draw_lesion
from training.preprocess import build

SIZES = [(600, 450), (450, 600), (200, 150), (61, 97), (32, 32), (301, 200), (1999, 1501), (40, 7)]


@pytest.mark.parametrize("kind", ["squash", "crop", "pad"])
@pytest.mark.parametrize("size", [32, 45])
def test_the_graph_is_pillow_within_one_grey_level(
    kind: Literal["squash", "crop", "pad"], size: int
) -> None:
    preprocessing = Preprocessing(fit=kind, size=size)
    session = onnxruntime.InferenceSession(build(preprocessing).SerializeToString())
    for width, height in SIZES:
        noise = np.random.default_rng(width).integers(0, 255, (height, width, 3), np.uint8)
        lesion = np.asarray(draw_lesion(width, width, height))
        for picture in (noise, lesion):
            wanted, _ = fit(Image.fromarray(picture), preprocessing)
            (got,) = session.run(["pixels"], {"image": picture})
            difference = np.abs(got.astype(int) - wanted.astype(int))
            assert difference.max() <= 1, f"{width} x {height}: {difference.max()}"
