from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter

from serving.manifest import Preprocessing, Quality
from serving.pictures import prepare
from serving.quality import Measures, measure, warnings
from tests.drawings import draw_flat, draw_lesion, encode

THRESHOLDS = Quality(min_side=200, min_sharpness=0.1, min_luminance=0.25, min_lesion_share=0.05)
GOOD = Measures(side=450, sharpness=0.3, luminance=0.6, lesion_share=0.3)


def measured(picture: Image.Image) -> Measures:
    return measure(prepare(encode(picture, "PNG"), Preprocessing(fit="squash", size=128)))


def test_a_good_picture_gets_no_warning() -> None:
    assert warnings(GOOD, THRESHOLDS) == []


def test_each_figure_below_its_threshold_warns_worst_first() -> None:
    bad = Measures(side=199, sharpness=0.09, luminance=0.24, lesion_share=0.04)
    assert warnings(bad, THRESHOLDS) == ["dark", "blurred", "small_lesion", "few_pixels"]


def test_a_figure_at_its_threshold_is_good_enough() -> None:
    just = Measures(side=200, sharpness=0.1, luminance=0.25, lesion_share=0.05)
    assert warnings(just, THRESHOLDS) == []


@pytest.mark.parametrize("brightness", [0.1, 0.3, 1, 3])
def test_the_histogram_tells_what_every_pixel_does(brightness: float) -> None:
    drawn = ImageEnhance.Brightness(draw_lesion(0, 129, 129)).enhance(brightness)
    found = measure(prepare(encode(drawn, "PNG"), Preprocessing(fit="squash", size=129)))
    grey = np.asarray(drawn) @ np.array([0.299, 0.587, 0.114]) / 255
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    laplacian = around - 4 * grey[1:-1, 1:-1]
    assert found.luminance == pytest.approx(np.median(grey), abs=0.5 / 256 + 1e-6)
    assert found.sharpness == pytest.approx(laplacian.std() / grey.std(), rel=0.02)


@pytest.mark.parametrize("level", [0, 127, 255])
def test_a_picture_of_one_grey_has_no_sharpness(level: int) -> None:
    flat = measured(Image.new("RGB", (128, 128), (level, level, level)))
    assert flat.sharpness == pytest.approx(0, abs=0.01)
    assert flat.luminance == pytest.approx(level / 255, abs=0.5 / 256 + 1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_blur_lowers_sharpness_and_only_that(seed: int) -> None:
    sharp = draw_lesion(seed)
    before, after = measured(sharp), measured(sharp.filter(ImageFilter.GaussianBlur(12)))
    assert after.sharpness < 0.6 * before.sharpness
    assert after.luminance == pytest.approx(before.luminance, abs=0.02)
    assert after.lesion_share == pytest.approx(before.lesion_share, abs=0.03)


@pytest.mark.parametrize("seed", range(3))
def test_darkness_lowers_luminance_and_not_sharpness(seed: int) -> None:
    bright = draw_lesion(seed)
    before, after = measured(bright), measured(ImageEnhance.Brightness(bright).enhance(0.3))
    assert after.luminance == pytest.approx(0.3 * before.luminance, abs=0.02)
    assert after.sharpness == pytest.approx(before.sharpness, rel=0.2)


@pytest.mark.parametrize("seed", range(3))
def test_the_share_of_the_lesion_follows_its_size(seed: int) -> None:
    near = draw_lesion(seed, 480, 480)
    far = Image.new("RGB", (1440, 1440), near.getpixel((240, 10)))
    far.paste(near, (480, 480))
    assert measured(far).lesion_share < 0.5 * measured(near).lesion_share


def test_the_side_is_the_upright_pictures_shorter_one() -> None:
    assert measured(draw_flat(300, 170)).side == 170
    assert measured(draw_flat(170, 300)).side == 170


def test_a_picture_of_one_colour_has_figures() -> None:
    flat = measured(draw_flat())
    assert flat.sharpness == 0
    assert flat.lesion_share == pytest.approx(0, abs=1e-6) or flat.lesion_share == 1


def of_levels(*shares: tuple[int, int], size: int = 128) -> Image.Image:
    """A square whose first pixels have the first level, and so on; the last fills it."""
    levels = np.full(size * size, shares[-1][0], np.uint8)
    start = 0
    for level, count in shares:
        levels[start : start + count] = level
        start += count
    return Image.fromarray(levels.reshape(size, size)).convert("RGB")


@pytest.mark.parametrize("dark", [60, 64, 100])
def test_a_lesion_a_shade_darker_than_its_skin_has_its_share(dark: int) -> None:
    found = measured(of_levels((dark, 4096), (dark + 4, 0)))
    assert found.lesion_share == 0.25


@pytest.mark.parametrize("count", [82, 328])
def test_a_tiny_lesion_is_told_from_two_tones_of_skin(count: int) -> None:
    found = measured(of_levels((20, count), (150, 8100), (165, 0)))
    assert found.lesion_share == count / 128**2


def test_between_two_equally_common_levels_the_median_is_in_the_middle() -> None:
    found = measured(of_levels((100, 8192), (140, 0)))
    assert found.luminance == pytest.approx(120 / 255, abs=1 / 256)


def test_what_deviates_by_less_than_a_thousandth_is_noise_and_no_contrast() -> None:
    picture = of_levels((120, 0))
    picture.putpixel((64, 64), (121, 121, 121))
    # Of one pixel's laplacian, over a thousandth of white.
    expected = np.sqrt(20) * 256 / 255 / 126 / 0.256
    assert measured(picture).sharpness == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("bend", [1, 2, 3])
def test_brightness_that_bends_evenly_is_no_sharpness(bend: int) -> None:
    level = (bend * np.arange(9) ** 2).astype(np.uint8)
    drawn = Image.fromarray(np.tile(level, (9, 1))).convert("RGB")
    found = measure(prepare(encode(drawn, "PNG"), Preprocessing(fit="squash", size=9)))
    assert found.sharpness == pytest.approx(0, abs=1e-3)
