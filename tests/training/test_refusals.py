"""What is measured as refused is what the server would refuse."""

import io
from pathlib import Path

import msgspec
import pytest
from PIL import Image

from serving.classifier import Classifier
from tests.artifact_factory import make_artifact
from tests.drawings import draw_flat, draw_lesion, encode
from training.labels import DataError, LabelledPicture
from training.refusals import RefusalSettings, compressed, enlarged, measure
from training.strangers import KINDS

SETTINGS = RefusalSettings(drawings=3, photographs=None, scales=[0.5, 2], qualities=[40])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    """Refuses what has no contrast, and nothing else."""
    folder = tmp_path_factory.mktemp("artifact")
    make_artifact(folder)
    return Classifier(folder)


@pytest.fixture
def lesions(tmp_path: Path) -> list[LabelledPicture]:
    """Four lesions, the last of which is a picture of nothing."""
    pictures = [draw_lesion(number, 120, 90) for number in range(3)] + [draw_flat(120, 90)]
    found = []
    for number, picture in enumerate(pictures):
        path = tmp_path / f"{number}.png"
        path.write_bytes(encode(picture, "PNG"))
        found.append(LabelledPicture(path, f"{number}", "nv", f"lesion {number}", "drawn"))
    return found


def test_each_kind_of_stranger_is_counted(model, lesions) -> None:
    figures = measure(model, lesions, SETTINGS, resamples=100, seed=0)
    share = {each.name: each.share for each in figures.strangers}
    assert list(share) == list(KINDS)
    assert (share["blank"].value, share["blank"].n) == (1, 3)
    assert share["face"].value == 0
    assert share["blank"].low < 1  # three of three are no certainty
    assert figures.photographs is None


def test_changed_lesions_are_counted_beside(model, lesions) -> None:
    figures = measure(model, lesions, SETTINGS, resamples=100, seed=0)
    assert [each.name for each in figures.lesions] == [
        "enlarged x0.5",
        "enlarged x2",
        "JPEG quality 40",
    ]
    assert [each.share.value for each in figures.lesions] == [0.25] * 3


def test_photographs_are_taken_from_their_folder(model, lesions, tmp_path) -> None:
    folder = tmp_path / "photographs" / "more"
    folder.mkdir(parents=True)
    for number in range(2):
        (folder / f"{number}.jpg").write_bytes(encode(draw_flat()))
    (folder / "2.png").write_bytes(encode(draw_lesion(1), "PNG"))
    settings = msgspec.structs.replace(SETTINGS, photographs=str(folder.parent))
    share = measure(model, lesions, settings, resamples=100, seed=0).photographs
    assert share is not None
    assert share.value == pytest.approx(2 / 3)
    (folder / "3.jpg").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"3\.jpg"):
        measure(model, lesions, settings, resamples=100, seed=0)


def test_a_folder_without_pictures_is_an_error(model, lesions, tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    settings = msgspec.structs.replace(SETTINGS, photographs=str(tmp_path / "empty"))
    with pytest.raises(DataError, match="OUTLIERS_DIR"):
        measure(model, lesions, settings, resamples=100, seed=0)


def test_an_enlarged_picture_has_longer_sides_and_a_compressed_one_fewer_bytes() -> None:
    data = encode(draw_lesion(1, 120, 90), quality=95)
    with Image.open(io.BytesIO(enlarged(data, 2.5))) as image:
        assert image.size == (300, 225)
    assert len(compressed(data, 30)) < len(compressed(data, 75)) < len(data)
