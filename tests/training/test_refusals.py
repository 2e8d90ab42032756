"""What is measured as refused is what the server would refuse."""

from pathlib import Path

import msgspec
import pytest

from serving.classifier import Classifier
from tests.artifact_factory import make_artifact
from tests.drawings import draw_flat, draw_lesion, encode
from training.labels import DataError
from training.refusals import RefusalSettings, measure
from training.strangers import KINDS

SETTINGS = RefusalSettings(drawings=3, photographs=None)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    """Refuses what has no contrast, and nothing else."""
    folder = tmp_path_factory.mktemp("artifact")
    make_artifact(folder)
    return Classifier(folder)


def test_each_kind_of_stranger_is_counted(model: Classifier) -> None:
    figures = measure(model, SETTINGS, resamples=100, seed=0)
    share = {each.name: each.share for each in figures.strangers}
    assert list(share) == list(KINDS)
    assert (share["blank"].value, share["blank"].n) == (1, 3)
    assert share["face"].value == 0
    assert share["blank"].low < 1  # three of three are no certainty
    assert figures.photographs is None


def test_photographs_are_taken_from_their_folder(model: Classifier, tmp_path: Path) -> None:
    folder = tmp_path / "photographs" / "more"
    folder.mkdir(parents=True)
    for number in range(2):
        (folder / f"{number}.jpg").write_bytes(encode(draw_flat()))
    (folder / "2.png").write_bytes(encode(draw_lesion(1), "PNG"))
    settings = msgspec.structs.replace(SETTINGS, photographs=str(folder.parent))
    share = measure(model, settings, resamples=100, seed=0).photographs
    assert share is not None
    assert share.value == pytest.approx(2 / 3)
    (folder / "3.jpg").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"3\.jpg"):
        measure(model, settings, resamples=100, seed=0)


def test_a_folder_without_pictures_is_an_error(model: Classifier, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    settings = msgspec.structs.replace(SETTINGS, photographs=str(tmp_path / "empty"))
    with pytest.raises(DataError, match="OUTLIERS_DIR"):
        measure(model, settings, resamples=100, seed=0)
