"""The size of pictures is told from their files, upright."""

from pathlib import Path

import pytest
from PIL import ExifTags, Image

from training.labels import LabelledPicture
from training.sizes import KEY, PictureSize, by_set, commonest, learned_from


def draw(folder: Path, number: int, size: tuple[int, int], orientation: int = 1) -> LabelledPicture:
    path = folder / f"{number}.jpg"
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    Image.new("RGB", size).save(path, exif=exif)
    return LabelledPicture(path, path.stem, "nv", path.stem, "drawn")


def test_the_commonest_size_is_told_with_its_share() -> None:
    sizes = [(200, 150), (600, 450), (200, 150), (150, 200)]
    assert commonest(sizes) == PictureSize(width=200, height=150, share=0.5)
    assert commonest([]) is None


def test_each_set_has_its_own_size_upright_and_without_what_cannot_be_read(tmp_path: Path) -> None:
    lying = [draw(tmp_path, number, (40, 30)) for number in range(2)]
    standing = [draw(tmp_path, number, (30, 40), orientation=6) for number in range(2, 5)]
    (tmp_path / "5.jpg").write_bytes(b"no picture")
    damaged = LabelledPicture(tmp_path / "5.jpg", "5", "nv", "5", "drawn")
    other = LabelledPicture(draw(tmp_path, 6, (8, 9)).path, "6", "nv", "6", "other")
    assert by_set([*lying, *standing, damaged, other]) == {
        "drawn": PictureSize(width=40, height=30, share=1.0),
        "other": PictureSize(width=8, height=9, share=1.0),
    }


@pytest.mark.parametrize("count", [999, 1000, 1001, 2500])
def test_of_a_large_set_no_more_than_a_thousand_are_looked_at(tmp_path: Path, count: int) -> None:
    looked_at, passed_over = draw(tmp_path, 0, (4, 3)), draw(tmp_path, 1, (8, 6))
    step = -(-count // 1000)
    pictures = [passed_over if number % step else looked_at for number in range(count)]
    assert by_set(pictures) == {"drawn": PictureSize(width=4, height=3, share=1.0)}


def test_a_set_of_which_nothing_can_be_read_has_no_size(tmp_path: Path) -> None:
    (tmp_path / "0.jpg").write_bytes(b"no picture")
    assert by_set([LabelledPicture(tmp_path / "0.jpg", "0", "nv", "0", "drawn")]) == {}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["jpg", "tif"])
def test_four_of_eight_orientations_turn_a_picture(
    tmp_path: Path, kind: str, orientation: int
) -> None:
    lying = draw(tmp_path, 0, (40, 30), orientation).path
    with Image.open(lying) as image:
        image.save(tmp_path / f"1.{kind}", exif=image.getexif())
    found = by_set([LabelledPicture(tmp_path / f"1.{kind}", "1", "nv", "1", "drawn")])["drawn"]
    turned = orientation >= 5
    assert (found.width, found.height) == ((30, 40) if turned else (40, 30))


def test_a_manifest_tells_the_sizes_or_anything_else() -> None:
    told = {"drawn": {"width": 40, "height": 30, "share": 0.5}}
    assert learned_from({KEY: told}) == {"drawn": PictureSize(width=40, height=30, share=0.5)}
    assert learned_from({KEY: "large"}) == learned_from({}) == {}
