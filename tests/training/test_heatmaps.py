"""Where a model looked: heatmaps of a real graph over drawn pictures, beside guesses."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from serving.classifier import Classifier
from serving.pictures import Limits
from tests.artifact_factory import make_artifact
from tests.drawings import encode
from training.bootstrap import Bootstrap
from training.heatmaps import Guessed, HeatmapSettings, Looks, look, measure
from training.labels import DataError, LabelledPicture

SETTINGS = HeatmapSettings(centre=0.25, hottest=0.2, blur=0.1)
WIDTH, HEIGHT = 128, 96
SKIN, RED, GREEN = (205, 180, 170), (230, 20, 60), (0, 255, 0)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    """Its maps of the malignant classes are bright where a picture is red."""
    folder = tmp_path_factory.mktemp("artifact")
    make_artifact(folder)
    return Classifier(folder)


def draw(folder: Path, name: str, box: tuple[int, int, int, int]) -> LabelledPicture:
    """A picture with a red patch in `box`, whose outline is in the folder `masks` beside it."""
    (folder / "masks").mkdir(exist_ok=True)
    picture, mask = Image.new("RGB", (WIDTH, HEIGHT), SKIN), Image.new("1", (WIDTH, HEIGHT))
    picture.paste(RED, box)
    mask.paste(1, box)
    (folder / f"{name}.png").write_bytes(encode(picture, "PNG"))
    (folder / "masks" / f"{name}.png").write_bytes(encode(mask, "PNG"))
    return LabelledPicture(folder / f"{name}.png", name, "mel", name, "drawn")


def in_corners(folder: Path, count: int = 4) -> list[LabelledPicture]:
    boxes = [(0, 0, 52, 44), (76, 0, 128, 44), (0, 52, 52, 96), (76, 52, 128, 96)]
    return [draw(folder, f"p{i}", boxes[i % 4]) for i in range(count)]


def looked(model: Classifier, pictures: list[LabelledPicture], masks: Path | None) -> Looks:
    return look(model, pictures, masks, SETTINGS, seed=0)


def test_maps_that_point_at_lesions_off_the_middle_are_above_every_guess(
    model: Classifier, tmp_path: Path
) -> None:
    pictures = in_corners(tmp_path, 12)
    looks = looked(model, pictures, tmp_path / "masks")
    figures = measure(looks, SETTINGS, Bootstrap([p.group for p in pictures], 200))
    assert figures.inside is not None
    assert figures.inside.heatmap.value > 0.5
    for guessed in (figures.inside, figures.drop):
        assert guessed.over_centre.low > 0
        assert guessed.over_chance.low > 0
        assert guessed.heatmap.n == 12
    assert figures.blank == 0


def test_a_lesion_in_the_middle_is_found_by_the_guess_as_well(
    model: Classifier, tmp_path: Path
) -> None:
    looks = looked(model, [draw(tmp_path, "p", (34, 26, 94, 70))], tmp_path / "masks")
    assert looks.inside_centre[0] > 1.5 * looks.inside_picture[0]
    assert looks.drop_centre[0] > looks.drop_chance[0]
    assert looks.drop_everything[0] > 0


def test_differences_are_of_the_same_pictures() -> None:
    random = np.random.default_rng(0)
    hard = random.normal(0, 1, 60)
    blank = np.arange(60) < 2
    looks = Looks(
        inside=np.where(np.arange(60) < 50, hard + 0.1, np.nan),
        inside_centre=hard,
        inside_picture=hard + 0.2,
        drop=hard,
        drop_centre=hard + 0.3,
        drop_chance=hard,
        drop_everything=hard,
        blank=blank,
    )
    figures = measure(looks, SETTINGS, Bootstrap([str(i) for i in range(60)], 100))
    assert isinstance(figures.inside, Guessed)
    assert (figures.inside.heatmap.n, figures.drop.heatmap.n, figures.blank) == (50, 60, 2)
    seen = figures.inside_with_evidence, figures.drop_with_evidence
    assert [each.heatmap.n for each in seen if each] == [48, 58]
    assert seen[1] is not None
    assert seen[1].heatmap.value == pytest.approx(hard[2:].mean())
    for difference, expected in (
        (figures.inside.over_centre, 0.1),
        (figures.inside.over_chance, -0.1),
        (figures.drop.over_centre, -0.3),
    ):
        assert (difference.low, difference.high) == pytest.approx((expected, expected))


def test_an_outline_goes_the_pictures_own_way_to_the_square(tmp_path: Path) -> None:
    make_artifact(tmp_path / "model", fit="crop")
    model = Classifier(tmp_path / "model")
    # The central square of 96 pixels begins at 16: this covers its left quarter.
    picture = draw(tmp_path, "p", (0, 0, 40, HEIGHT))
    small = looked(model, [picture], tmp_path / "masks")
    assert small.inside_picture[0] == pytest.approx(0.25, abs=0.01)
    path = tmp_path / "masks" / "p.png"
    with Image.open(path) as mask:
        large = mask.resize((4 * WIDTH, 4 * HEIGHT))
    path.write_bytes(encode(large, "PNG"))
    again = looked(model, [picture], tmp_path / "masks")
    assert again.inside[0] == pytest.approx(small.inside[0], abs=0.01)
    assert again.drop[0] == small.drop[0]


def test_nothing_is_said_of_a_lesion_without_an_outline_or_out_of_view(tmp_path: Path) -> None:
    make_artifact(tmp_path / "model", fit="crop")
    model = Classifier(tmp_path / "model")
    known, beyond, unknown = (
        draw(tmp_path, name, box)
        for name, box in (
            ("a", (40, 30, 80, 60)),
            ("b", (0, 0, 12, HEIGHT)),
            ("c", (40, 30, 80, 60)),
        )
    )
    (tmp_path / "masks" / "c.png").unlink()
    looks = looked(model, [known, beyond, unknown], tmp_path / "masks")
    assert np.isnan(looks.inside).tolist() == [False, True, True]
    without = looked(model, [known], None)
    figures = measure(without, SETTINGS, Bootstrap(["a"], 100))
    assert figures.inside is None
    assert figures.drop.heatmap.value == looks.drop[0]


def test_files_that_serving_would_find_too_large_are_looked_at(
    model: Classifier, tmp_path: Path
) -> None:
    picture = draw(tmp_path, "p", (34, 26, 94, 70))
    small = looked(model, [picture], tmp_path / "masks")
    for path in (picture.path, tmp_path / "masks" / "p.png"):
        with path.open("ab") as file:
            file.truncate(Limits().max_bytes + 1)
    large = looked(model, [picture], tmp_path / "masks")
    assert (large.inside[0], large.drop[0]) == (small.inside[0], small.drop[0])


def test_an_outline_of_another_picture_is_refused(model: Classifier, tmp_path: Path) -> None:
    picture = draw(tmp_path, "p", (34, 26, 94, 70))
    path = tmp_path / "masks" / "p.png"
    path.write_bytes(encode(Image.new("1", (HEIGHT, WIDTH), 1), "PNG"))
    with pytest.raises(DataError, match=r"p\.png: has 96 x 128 pixels, its picture 128 x 96"):
        looked(model, [picture], tmp_path / "masks")
    path.write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"p\.png: "):
        looked(model, [picture], tmp_path / "masks")


def test_a_map_without_evidence_counts_as_the_whole_picture(
    model: Classifier, tmp_path: Path
) -> None:
    picture = draw(tmp_path, "p", (34, 26, 94, 70))
    picture.path.write_bytes(encode(Image.new("RGB", (WIDTH, HEIGHT), GREEN), "PNG"))
    looks = looked(model, [picture], tmp_path / "masks")
    assert looks.blank.tolist() == [True]
    assert looks.inside[0] == pytest.approx(looks.inside_picture[0])


def test_a_pictures_chance_is_its_own_whatever_is_beside_it(
    model: Classifier, tmp_path: Path
) -> None:
    pictures = in_corners(tmp_path, 20)
    many, few = looked(model, pictures, None), looked(model, pictures[:3], None)
    assert many.drop_chance[:3] == pytest.approx(few.drop_chance, abs=1e-6)
    assert len(set(many.drop_chance[::4].round(6))) > 1
