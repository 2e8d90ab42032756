"""Intervals: over lesions, repeatable, honest where everything is right, and true to their 95 %."""

import numpy as np
import pytest

from training.bootstrap import Bootstrap, Measure, difference_between, ratio
from training.measures import mean


def alone(count: int) -> list[str]:
    """Each picture is a lesion of its own."""
    return [str(i) for i in range(count)]


def test_a_share_has_its_value_its_count_and_a_binomial_interval() -> None:
    hit = np.arange(1000) < 800
    figure = Bootstrap(alone(1000)).share(hit)
    assert figure is not None
    assert (figure.value, figure.n) == (0.8, 1000)
    half = 1.96 * np.sqrt(0.8 * 0.2 / 1000)
    assert figure.low == pytest.approx(0.8 - half, abs=0.004)
    assert figure.high == pytest.approx(0.8 + half, abs=0.004)


def test_five_pictures_of_a_lesion_count_as_one_case() -> None:
    hit = np.repeat(np.arange(200) < 160, 5)
    by_picture = Bootstrap(alone(1000)).share(hit)
    by_lesion = Bootstrap([str(i // 5) for i in range(1000)]).share(hit)
    assert by_picture is not None
    assert by_lesion is not None
    ratio_of_widths = (by_lesion.high - by_lesion.low) / (by_picture.high - by_picture.low)
    assert ratio_of_widths == pytest.approx(np.sqrt(5), rel=0.1)


def test_the_interval_holds_the_truth_about_95_times_in_100() -> None:
    random = np.random.default_rng(0)
    held = 0
    for trial in range(300):
        figure = Bootstrap(alone(150), resamples=400, seed=trial).share(random.random(150) < 0.7)
        assert figure is not None
        held += figure.low <= 0.7 <= figure.high
    assert 0.91 <= held / 300 <= 0.98


def test_the_same_seed_gives_the_same_interval_and_another_seed_another() -> None:
    hit = np.random.default_rng(0).random(300) < 0.6
    assert Bootstrap(alone(300), seed=1).share(hit) == Bootstrap(alone(300), seed=1).share(hit)
    assert Bootstrap(alone(300), seed=1).share(hit) != Bootstrap(alone(300), seed=2).share(hit)


@pytest.mark.parametrize("hit", [True, False])
def test_eleven_of_eleven_is_no_certainty(hit: bool) -> None:
    figure = Bootstrap(alone(11)).share(np.full(11, hit))
    assert figure is not None
    # Clopper and Pearson: 1 - 0.025 ** (1 / 11)
    assert figure.high - figure.low == pytest.approx(0.2849, abs=1e-4)
    assert figure.value in (figure.low, figure.high)


def test_two_pictures_of_one_lesion_are_no_certainty() -> None:
    figure = Bootstrap(["one", "one", *alone(50)]).share(
        np.arange(52) == 0, among=np.arange(52) < 2
    )
    assert figure is not None
    assert (figure.value, figure.low, figure.high, figure.n) == (0.5, 0, 1, 2)


def test_no_picture_gives_no_figure() -> None:
    assert Bootstrap(alone(5)).share(np.ones(5, bool), np.zeros(5, bool)) is None


def test_resamples_without_a_rare_class_are_passed_over() -> None:
    hit = np.zeros(100, bool)
    among = np.zeros(100, bool)
    hit[0] = among[0] = among[1] = True
    figure = Bootstrap(alone(100)).share(hit, among)
    assert figure is not None
    assert (figure.value, figure.n) == (0.5, 2)
    assert (figure.low, figure.high) == (0.0, 1.0)


def test_a_paired_difference_is_far_narrower_than_two_intervals_apart() -> None:
    random = np.random.default_rng(0)
    first = random.random(800) < 0.8
    second = first.copy()
    second[np.flatnonzero(first)[:16]] = False
    everyone = np.ones(800)
    bootstrap = Bootstrap(alone(800))
    figure = bootstrap.difference(
        lambda weights: ratio(weights, first, everyone),
        lambda weights: ratio(weights, second, everyone),
        800,
    )
    single = bootstrap.share(first)
    assert figure is not None
    assert single is not None
    assert figure.value == pytest.approx(0.02)
    assert 0 < figure.low < 0.02 < figure.high
    assert figure.high - figure.low < 0.5 * (single.high - single.low)


def test_of_many_intervals_drawn_together_all_hold_in_about_95_of_100() -> None:
    random = np.random.default_rng(0)
    together = apart = 0
    for trial in range(150):
        values = random.normal(0, 1, (12, 120))
        measures: list[Measure] = [mean(row) for row in values]
        bootstrap = Bootstrap(alone(120), resamples=300, seed=trial)
        joint = bootstrap.simultaneous(measures, [120] * 12)
        single = [bootstrap.figure(measure, 120) for measure in measures]
        together += all(figure.low <= 0 <= figure.high for figure in joint)
        apart += all(figure is not None and figure.low <= 0 <= figure.high for figure in single)
    assert 0.89 <= together / 150 <= 0.99
    assert apart / 150 < 0.75


def test_an_interval_drawn_alone_is_as_wide_as_any() -> None:
    values = np.random.default_rng(0).normal(0, 1, 400)
    bootstrap = Bootstrap(alone(400))
    (figure,) = bootstrap.simultaneous([mean(values)], [400])
    assert figure.value == pytest.approx(values.mean())
    assert figure.n == 400
    assert (figure.high - figure.low) / 2 == pytest.approx(1.96 / 20, rel=0.1)


def test_what_never_changes_is_told_without_a_width() -> None:
    bootstrap = Bootstrap(alone(50))
    constant, moving = bootstrap.simultaneous([mean(np.ones(50)), mean(np.arange(50.0))], [50, 50])
    assert (constant.low, constant.high) == (1, 1)
    assert moving.low < moving.value < moving.high
    assert bootstrap.simultaneous([], []) == []
    (wider,) = bootstrap.simultaneous([mean(np.arange(50.0))], [50], [3.0])
    assert wider.high - wider.low > 1.2 * (moving.high - moving.low)


def test_sets_of_different_pictures_are_compared_as_independent() -> None:
    first, second = np.arange(900) < 720, np.arange(400) < 280
    everyone: list[Measure] = [mean(hit.astype(float)) for hit in (first, second)]
    figure = difference_between(
        (Bootstrap(alone(900), seed=1), everyone[0]),
        (Bootstrap(alone(400), seed=2), everyone[1]),
        1300,
    )
    assert figure is not None
    assert figure.value == pytest.approx(0.1)
    assert figure.n == 1300
    half = 1.96 * np.sqrt(0.8 * 0.2 / 900 + 0.7 * 0.3 / 400)
    assert figure.low == pytest.approx(0.1 - half, abs=0.008)
    assert figure.high == pytest.approx(0.1 + half, abs=0.008)


def test_ten_of_ten_against_twenty_of_twenty_are_no_certainty() -> None:
    bootstraps = [Bootstrap(alone(10), seed=1), Bootstrap(alone(20), seed=2)]
    shares = [np.ones(10, bool), np.ones(20, bool)]
    first, second = (
        (bootstrap, mean(hit.astype(float)))
        for bootstrap, hit in zip(bootstraps, shares, strict=True)
    )
    one, other = (bootstrap.unseen(hit) for bootstrap, hit in zip(bootstraps, shares, strict=True))
    figure = difference_between(first, second, 30, (one, other))
    assert figure is not None
    assert figure.value == 0
    # Clopper and Pearson: 1 - 0.025 ** (1 / n)
    assert figure.low == pytest.approx(-0.3085, abs=1e-4)
    assert figure.high == pytest.approx(0.1684, abs=1e-4)


def test_what_one_set_cannot_say_is_no_difference() -> None:
    def nothing(weights: np.ndarray) -> np.ndarray:
        return np.full(len(weights), np.nan)

    bootstrap = Bootstrap(alone(5))
    assert difference_between((bootstrap, nothing), (bootstrap, mean(np.ones(5))), 10) is None
