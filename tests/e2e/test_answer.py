"""What the answer says and shows, with scripts and without."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import numpy as np
import pytest
from playwright.sync_api import Browser, FilePayload, Locator, Page, expect

from serving.ramp import RAMP
from tests.artifact_factory import MEASURED, SEVEN, make_artifact
from tests.drawings import HARMLESS_REDNESS, SUSPICIOUS_REDNESS, draw_lesion, encode
from tests.e2e.conftest import WARY, OpenPage
from tests.e2e.server import served
from tests.e2e.uploads import analyse, choose, jpeg, lesion, no_lesion

ANSWERS = {
    "suspicious": ("mobilenet", lesion(SUSPICIOUS_REDNESS), "Suspicious: signs of "),
    "harmless": ("mobilenet", lesion(HARMLESS_REDNESS), "Not suspicious to this model: most like "),
    "mole, but suspicious": (
        WARY,
        lesion(HARMLESS_REDNESS),
        "Most like melanocytic naevus (mole), but not enough to rule out melanoma",
    ),
    "two classes, suspicious": (
        "cnn",
        lesion(SUSPICIOUS_REDNESS),
        "Suspicious: signs of a malignant lesion",
    ),
    "two classes, harmless": (
        "cnn",
        lesion(HARMLESS_REDNESS),
        "Not suspicious to this model: looks benign",
    ),
    "no lesion": (
        "mobilenet",
        no_lesion(),
        "No answer: this picture is unlike those the model learned from",
    ),
}


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
@pytest.mark.parametrize(("model", "file", "headline"), ANSWERS.values(), ids=ANSWERS)
def test_the_verdict_comes_first_in_the_same_words_with_and_without_scripts(
    open_page: OpenPage, scripts: bool, model: str, file: FilePayload, headline: str
) -> None:
    page, _ = open_page(java_script_enabled=scripts)
    ask(page, model, file)
    article = page.locator("#answers article")
    expect(article.get_by_role("heading").first).to_contain_text(headline)
    expect(article).to_contain_text("never for diagnosis")


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_a_rare_benign_prediction_hides_no_likelier_malignant_one(
    browser: Browser, tmp_path: Path, scripts: bool
) -> None:
    even = dict.fromkeys((c.id for c in SEVEN), 1.0)
    make_artifact(tmp_path / "rare", name="rare", decision_offsets={**even, "df": 1e9})
    with served(tmp_path) as address, browser.new_page(java_script_enabled=scripts) as page:
        page.goto(address)
        choose(page, lesion(SUSPICIOUS_REDNESS))
        analyse(page)
        headline = page.locator("#answers article").get_by_role("heading").first
        expect(headline).to_have_text("Suspicious: signs of melanoma")
        # All that follows is of the same diagnosis; that the model would choose another is said.
        answer = page.locator("#answers")
        named = answer.locator("[data-slot=confidence-name]")
        expect(named).to_have_text("Confidence in melanoma")
        expect(answer.locator("[data-slot=about-name]")).to_have_text("Melanoma")
        expect(answer.locator("[data-slot=offset]")).to_contain_text("names dermatofibroma")
        expect(answer.locator("[data-slot=set-list]")).not_to_contain_text("Melanoma")
        if scripts:
            expect(answer.locator("[data-slot=map-class]")).to_have_value("mel")


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_what_the_test_pictures_said_is_told(
    browser: Browser, tmp_path: Path, scripts: bool
) -> None:
    make_artifact(tmp_path / "measured", name="measured", metrics=MEASURED)
    with served(tmp_path) as address, browser.new_page(java_script_enabled=scripts) as page:
        page.goto(address)
        choose(page, lesion(HARMLESS_REDNESS))
        analyse(page)
        answer = page.locator("#answers")
        expect(answer.locator("header [data-slot=text]")).to_contain_text("misses about 19.")
        doubt = answer.locator("[data-slot=map-doubt]")
        expect(doubt).to_contain_text("less well than a mere guess at the middle")
        expect(doubt).to_be_visible()
        reading = page.locator("#reading")
        expect(reading).to_contain_text("catches about 81 of 100")
        expect(reading).to_contain_text("calls about 42 suspicious")


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_a_heatmap_of_which_nothing_is_known_is_not_doubted(
    open_page: OpenPage, scripts: bool
) -> None:
    page, _ = open_page(java_script_enabled=scripts)
    ask(page, "mobilenet", lesion())
    expect(page.locator("#answers [data-part=map]")).to_contain_text("The map is coarse")
    expect(page.locator("#answers [data-slot=map-doubt]").locator("visible=true")).to_have_count(0)


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_what_the_model_does_not_see_is_dimmed_and_said(
    browser: Browser, tmp_path: Path, scripts: bool
) -> None:
    make_artifact(tmp_path / "cropping", name="cropping", fit="crop")
    square = jpeg(encode(draw_lesion(4, 450, 450)), "square.jpg")
    with served(tmp_path) as address:
        for file, is_part in ((lesion(), True), (square, False)):
            with browser.new_page(java_script_enabled=scripts) as page:
                page.goto(address)
                choose(page, file)
                analyse(page)
                section = page.locator("#answers [data-part=map]")
                note = section.locator("p", has_text="The model sees the bright square only.")
                expect(note.locator("visible=true")).to_have_count(int(is_part))


SPOKEN = (
    "tone",
    "headline",
    "text",
    "confidence",
    "malignant",
    "line",
    "set-why",
    "about-name",
    "about-text",
    "about-common",
    "about-source",
)


def test_both_ways_say_the_same_of_one_picture(open_page: OpenPage) -> None:
    said = []
    for scripts in (True, False):
        page, _ = open_page(java_script_enabled=scripts)
        ask(page, WARY, lesion())
        said.append(
            [page.locator(f"#answers [data-slot={slot}]").all_inner_texts() for slot in SPOKEN]
        )
    assert said[0] == said[1]


@pytest.mark.parametrize(
    ("threshold", "line", "novelty", "limit"),
    [(0.0625, "6.3%", 2.0, "2.00"), (0.06, "6%", 100.0, "100"), (0.125, "13%", 12.34, "12.3")],
)
def test_figures_are_written_alike_with_and_without_scripts(
    browser: Browser, tmp_path: Path, threshold: float, line: str, novelty: float, limit: str
) -> None:
    (point,) = make_artifact(tmp_path / "model").operating_points
    points = [msgspec.structs.replace(point, threshold=threshold)]
    make_artifact(tmp_path / "model", operating_points=points, novelty_threshold=novelty)
    told = []
    with served(tmp_path) as address:
        for scripts in (True, False):
            with browser.new_page(java_script_enabled=scripts) as page:
                page.goto(address)
                choose(page, lesion())
                analyse(page)
                answer = page.locator("#answers")
                expect(answer.locator("[data-slot=line]")).to_have_text(f"Alarm line at {line}")
                detail = answer.locator("[data-slot=detail-novelty]")
                expect(detail).to_have_text(re.compile(rf", refused above {limit}$"))
                told.append(detail.text_content())
    assert told[0] == told[1]


def test_the_chart_is_drawn_with_one_bar_a_class(open_page: OpenPage) -> None:
    page, _ = open_page()
    ask(page, "mobilenet", lesion(SUSPICIOUS_REDNESS))
    chart = page.locator("[data-slot=chart] canvas")
    expect(chart).to_be_visible()
    page.wait_for_function("() => document.querySelector('[data-slot=chart] canvas').width > 400")
    expect(chart).to_have_accessible_name(containing("Melanoma (malignant) "))
    colours = page.evaluate(COLOURS_IN, chart.element_handle())
    assert len(colours) > 20


def test_where_the_chart_does_not_arrive_its_numbers_stand_as_a_list(open_page: OpenPage) -> None:
    page, observer = open_page()
    observer.forgive("ERR_FAILED")
    page.route("**/assets/chart-*.js", lambda route: route.abort())
    ask(page, "mobilenet", lesion(SUSPICIOUS_REDNESS))
    rows = page.locator("[data-slot=rows]")
    expect(rows.get_by_role("meter", name="Melanoma")).to_be_visible()
    expect(rows.locator("li")).to_have_count(7)
    expect(page.locator("[data-slot=chart]")).to_be_hidden()


def test_the_heatmap_lies_over_the_picture_and_fades_with_the_slider(open_page: OpenPage) -> None:
    page, _ = open_page()
    ask(page, "mobilenet", lesion(SUSPICIOUS_REDNESS))
    heatmap = page.locator("canvas[data-slot=map]")
    expect(heatmap).to_be_visible()
    expect(heatmap).to_have_css("opacity", "0.6")
    assert len(page.evaluate(COLOURS_IN, heatmap.element_handle())) > 20
    assert covers(heatmap, page.locator("[data-slot=map-picture]"))

    slider = page.get_by_label("Strength of the map")
    slider.focus()
    page.keyboard.press("End")
    expect(heatmap).to_have_css("opacity", "1")
    page.keyboard.press("Home")
    expect(heatmap).to_have_css("opacity", "0")


def test_the_heatmap_has_the_ramps_colours_with_and_without_scripts(open_page: OpenPage) -> None:
    page, _ = open_page()
    ask(page, "mobilenet", lesion(SUSPICIOUS_REDNESS))
    legend = page.locator("canvas[data-slot=map-legend]").evaluate(
        "(canvas) => [...canvas.getContext('2d').getImageData(0, 0, 256, 1).data]"
    )
    evidence, steps = np.linspace(0, 1, 256), np.linspace(0, 1, len(RAMP.colours))
    for channel, levels in enumerate(RAMP.channels[:3]):
        expected = 255 * np.interp(evidence, steps, levels)
        np.testing.assert_allclose(legend[channel::4], expected, atol=1)
    expect(page.get_by_label("Strength of the map")).to_have_value(f"{RAMP.strength * 100:.0f}")

    page, _ = open_page(java_script_enabled=False)
    ask(page, "mobilenet", lesion(SUSPICIOUS_REDNESS))
    for letter, levels in zip("RGBA", RAMP.channels, strict=True):
        table = page.locator(f"#ramp-1 feFunc{letter}").get_attribute("tableValues") or ""
        np.testing.assert_allclose([float(level) for level in table.split()], levels, atol=1e-3)
    strength = page.locator("image[filter]").get_attribute("opacity")
    assert strength == str(RAMP.strength)


def test_the_heatmap_of_another_diagnosis_can_be_chosen(open_page: OpenPage) -> None:
    page, _ = open_page()
    ask(page, "mobilenet", lesion(SUSPICIOUS_REDNESS))
    heatmap = page.locator("canvas[data-slot=map]")
    page.get_by_role("combobox", name="Evidence for").select_option("mel")
    expect(heatmap).to_have_accessible_name(containing("evidence for melanoma"))
    melanoma = picture_of(heatmap)
    page.get_by_role("combobox", name="Evidence for").select_option("nv")
    expect(heatmap).to_have_accessible_name(containing("evidence for melanocytic naevus (mole)"))
    assert picture_of(heatmap) != melanoma


def test_a_refused_picture_gets_help_and_no_diagnosis(open_page: OpenPage) -> None:
    for scripts in (True, False):
        page, _ = open_page(java_script_enabled=scripts)
        ask(page, "mobilenet", no_lesion())
        article = page.locator("#answers article")
        expect(article).to_contain_text("through a dermatoscope")
        for part in ("confidence", "map", "set", "chart", "about"):
            expect(article.locator(f"[data-part={part}]")).to_have_count(0)
        expect(article.get_by_text("Melanoma")).to_have_count(0)


def test_a_poor_picture_is_named_as_one(open_page: OpenPage) -> None:
    page, _ = open_page()
    ask(page, "mobilenet", no_lesion())
    expect(page.locator("[data-part=warnings]")).to_contain_text("blurred")


def test_changing_the_model_answers_with_that_model(open_page: OpenPage) -> None:
    page, _ = open_page()
    ask(page, "mobilenet", lesion())
    expect(page.locator("[data-slot=model]").first).to_have_text("Read by MobileNetV2")
    page.check("input[name=model][value=cnn]")
    page.click("#analyse")
    expect(page.locator("[data-slot=model]").first).to_have_text("Read by Small CNN")
    expect(page.locator("[data-slot=others] dt")).to_have_count(1)


def test_a_limit_of_a_data_set_is_named_only_of_models_that_learned_from_it(
    open_page: OpenPage,
) -> None:
    for scripts in (True, False):
        page, _ = open_page(java_script_enabled=scripts)
        limit = page.locator("#limits").get_by_text("fair skin")
        expect(limit).to_be_hidden()
        ask(page, WARY, lesion())
        expect(limit).to_be_visible()
        page.goto("/")
        ask(page, "mobilenet", lesion())
        expect(limit).to_be_hidden()


def test_without_scripts_the_answer_shows_picture_map_and_probabilities(
    open_page: OpenPage,
) -> None:
    page, _ = open_page(java_script_enabled=False)
    ask(page, "mobilenet", lesion())
    article = page.locator("#answers article")
    expect(
        article.get_by_role("img", name="The picture that was analysed: spot.jpg")
    ).to_be_visible()
    expect(article.locator("[data-part=map] image")).to_have_count(2)
    expect(article.locator("[data-slot=rows] > li")).to_have_count(7)
    expect(
        article.locator("[data-slot=rows]").get_by_role("meter", name="Melanoma")
    ).to_be_visible()


def test_without_scripts_an_unreadable_file_is_named(open_page: OpenPage) -> None:
    page, observer = open_page(java_script_enabled=False)
    observer.forgive("status of 4")
    broken: FilePayload = {"name": "broken.jpg", "mimeType": "image/jpeg", "buffer": b"nothing"}
    choose(page, broken)
    page.click("#analyse")
    expect(page.get_by_role("alert")).to_contain_text("broken.jpg")


COLOURS_IN = """(canvas) => {
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    const seen = new Set();
    for (let i = 0; i < data.length; i += 4) seen.add(data.slice(i, i + 4).join());
    return [...seen];
}"""


def ask(page: Page, model: str, file: FilePayload) -> None:
    page.check(f"input[name=model][value={model}]")
    choose(page, file)
    analyse(page)


def containing(text: str) -> re.Pattern[str]:
    return re.compile(re.escape(text))


def picture_of(canvas: Locator) -> str:
    return str(canvas.evaluate("(canvas) => canvas.toDataURL()"))


def covers(top: Locator, below: Locator) -> bool:
    """Whether two elements have one place and size, to a pixel."""
    one, other = top.bounding_box(), below.bounding_box()
    assert one is not None
    assert other is not None
    return all(abs(one[side] - other[side]) < 1 for side in ("x", "y", "width", "height"))
