"""Changed pictures are what they are called, and each is measured beside itself unchanged."""

import io
from pathlib import Path

import msgspec
import numpy as np
import pytest
from omegaconf import OmegaConf
from PIL import Image

from serving.classifier import Classifier
from serving.pictures import Limits
from tests.artifact_factory import make_artifact
from tests.drawings import draw_flat, draw_lesion, encode
from tests.training.drawn_sets import CONF
from training.bootstrap import Bootstrap
from training.cameras import (
    CameraSettings,
    blurred,
    compressed,
    enlarged,
    lit,
    measure,
    turned,
)
from training.labels import DataError, LabelledPicture
from training.predictions import Predictions, collect, predict_files
from training.report import ReportSettings

SETTINGS = CameraSettings(
    scales=[0.5, 2], saved_at=92, qualities=[40], turns=[90], lights=[0.1], blurs=[0.01]
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    """Tells by the colour, and refuses what has no contrast."""
    folder = tmp_path_factory.mktemp("artifact")
    make_artifact(folder)
    return Classifier(folder)


@pytest.fixture
def lesions(tmp_path: Path) -> list[LabelledPicture]:
    """Six lesions, and a picture of nothing."""
    pictures = [draw_lesion(i, 120, 90, redness=0.9 * (i % 2)) for i in range(6)]
    found = []
    for number, picture in enumerate([*pictures, draw_flat(120, 90)]):
        path = tmp_path / f"{number}.png"
        path.write_bytes(encode(picture, "PNG"))
        label = "mel" if number % 2 else "nv"
        found.append(LabelledPicture(path, f"{number}", label, f"lesion {number}", "drawn"))
    return found


def as_they_are(model: Classifier, lesions: list[LabelledPicture]) -> Predictions:
    return collect(model.manifest.classes, *predict_files(model, lesions))


def size(data: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(data)) as image:
        return image.size


def test_a_figure_stands_beside_that_of_the_same_pictures(
    model: Classifier, lesions: list[LabelledPicture]
) -> None:
    plain = as_they_are(model, lesions)
    bootstrap = Bootstrap(plain.groups, 100, 0)
    figures = measure(model, lesions, plain, SETTINGS, bootstrap).changes
    assert [each.name for each in figures] == [
        "shrunk x0.5",
        "enlarged x2",
        "JPEG quality 40",
        "turned by 90 degrees",
        "brightness x0.1",
        "blurred by 1 %",
    ]
    hit = plain.prediction == plain.truth
    expected = np.mean([hit[plain.truth == c].mean() for c in np.unique(plain.truth)])
    kept, dark = figures[3], figures[4]
    assert kept.balanced_accuracy is not None
    assert kept.balanced_accuracy_gained is not None
    assert kept.balanced_accuracy.value == pytest.approx(expected)
    assert kept.balanced_accuracy_gained.value == kept.balanced_accuracy_gained.high == 0
    assert kept.refused.value == pytest.approx(1 / 7)
    # Nothing is told apart where all is nearly black.
    assert dark.balanced_accuracy_gained is not None
    assert dark.balanced_accuracy is not None
    assert dark.balanced_accuracy.value - expected == pytest.approx(
        dark.balanced_accuracy_gained.value
    )
    assert dark.balanced_accuracy_gained.value < -0.2


def test_a_picture_that_cannot_be_read_is_named(
    model: Classifier, lesions: list[LabelledPicture]
) -> None:
    plain = as_they_are(model, lesions)
    lesions[3].path.write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"3\.png"):
        measure(model, lesions, plain, SETTINGS, Bootstrap(plain.groups, 100, 0))


def test_changes_are_what_they_are_called() -> None:
    image = draw_lesion(1, 120, 90)
    data, before = encode(image, "PNG"), np.asarray(image, float)
    assert size(enlarged(data, 2.5, 92)) == (300, 225)
    assert len(compressed(data, 30)) < len(compressed(data, 75)) < len(data)
    np.testing.assert_array_equal(np.asarray(turned(image, 90)), np.rot90(before))
    np.testing.assert_allclose(np.asarray(lit(image, 0.8)), 0.8 * before, atol=1)
    np.testing.assert_allclose(np.asarray(lit(image, 1.2)), (1.2 * before).clip(0, 255), atol=1)
    soft = np.asarray(blurred(image, 0.02), float)
    assert np.abs(np.diff(soft, axis=1)).mean() < 0.7 * np.abs(np.diff(before, axis=1)).mean()


def test_a_large_picture_is_enlarged_to_what_is_accepted() -> None:
    width, height = size(enlarged(encode(draw_flat(4000, 3000)), 4, 50))
    assert width / height == pytest.approx(4 / 3, abs=1e-3)
    assert width * height == pytest.approx(Limits().max_pixels, rel=1e-3)


def test_a_large_picture_turned_is_told_the_same(
    model: Classifier, lesions: list[LabelledPicture]
) -> None:
    # As with an upload, its decoder shrinks it.
    large = lesions[0].path.with_name("large.jpg")
    large.write_bytes(encode(draw_lesion(0, 1600, 1200)))
    lesions[0] = msgspec.structs.replace(lesions[0], path=large)
    plain = as_they_are(model, lesions)
    only = msgspec.structs.replace(SETTINGS, scales=[], qualities=[], lights=[], blurs=[])
    [turned_by] = measure(model, lesions, plain, only, Bootstrap(plain.groups, 100, 0)).changes
    assert turned_by.balanced_accuracy_gained is not None
    assert turned_by.balanced_accuracy_gained.value == 0


def test_only_quarters_are_turned_by() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({**msgspec.to_builtins(SETTINGS), "turns": [45]}, CameraSettings)


def test_the_limits_that_are_set_are_of_changes_that_are_tried(
    model: Classifier, lesions: list[LabelledPicture]
) -> None:
    settings = ReportSettings.read(OmegaConf.load(CONF / "evaluate.yaml")).cameras
    plain = as_they_are(model, lesions)
    tried = measure(model, lesions, plain, settings, Bootstrap(plain.groups, 100, 0)).changes
    assert set(settings.may_lose) < {each.name for each in tried}
