"""The languages, and the pages to read."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec
import pytest
from playwright.sync_api import Browser, Route, ViewportSize, expect

from serving.diagnoses import DIAGNOSES
from serving.problems import from_exception
from serving.settings import CHECKOUT
from tests.artifact_factory import SEVEN, make_artifact
from tests.drawings import HARMLESS_REDNESS, SUSPICIOUS_REDNESS
from tests.e2e.conftest import OpenPage
from tests.e2e.server import served
from tests.e2e.test_layout import overhang, violations
from tests.e2e.uploads import analyse, choose, jpeg, lesion

PAGES = ["/diagnoses", "/diagnoses/mel", "/diagnoses/akiec", "/models", "/models/mobilenet"]


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize(
    ("width", "scheme", "locale"), [(1280, "light", "de-DE"), (320, "dark", "es-ES")]
)
def test_axe_finds_nothing_on_the_pages_to_read(
    open_page: OpenPage, path: str, width: int, scheme: str, locale: str
) -> None:
    page, _ = open_page(
        path, viewport={"width": width, "height": 800}, color_scheme=scheme, locale=locale
    )
    assert page.locator("html").get_attribute("lang") == locale[:2]
    assert overhang(page) == []
    assert violations(page) == []
    page.locator("[popovertarget=menu]").click()
    assert violations(page) == []


@pytest.mark.parametrize(("width", "scheme"), [(1280, "dark"), (375, "light")])
def test_axe_finds_nothing_in_the_cards_that_ship(
    browser: Browser, width: int, scheme: Literal["dark", "light"]
) -> None:
    with served(CHECKOUT / "artifacts") as address:
        for path in ("/models/mobilenet", "/models/cnn"):
            viewport = ViewportSize(width=width, height=800)
            with browser.new_page(viewport=viewport, color_scheme=scheme) as page:
                page.goto(address + path)
                expect(page.locator("main table").first).to_be_visible()
                assert overhang(page) == []
                assert violations(page) == []


@pytest.mark.parametrize("locale", ["en-GB", "de-DE", "es-ES"])
def test_nothing_scrolls_sideways_at_320_pixels(browser: Browser, locale: str) -> None:
    paths = ["/", "/history", "/diagnoses", "/models", "/models/cnn", "/models/mobilenet"]
    paths += [f"/diagnoses/{id}" for id in DIAGNOSES]
    with (
        served(CHECKOUT / "artifacts") as address,
        browser.new_page(
            base_url=address, locale=locale, viewport={"width": 320, "height": 800}
        ) as page,
    ):
        for path in paths:
            page.goto(path)
            assert {path: overhang(page)} == {path: []}


@pytest.mark.parametrize("width", [1280, 375])
@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_the_language_is_switched_and_remembered(
    open_page: OpenPage, scripts: bool, width: int
) -> None:
    page, _ = open_page(
        java_script_enabled=scripts, viewport={"width": width, "height": 800}, locale="en-GB"
    )
    expect(page.get_by_role("heading", level=1)).to_contain_text("An honest reading")
    page.locator("[popovertarget=menu]").click()
    page.get_by_role("link", name="Deutsch").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("ehrlich gelesen")
    page.goto("/diagnoses")
    expect(page.get_by_role("heading", level=1)).to_have_text("Sieben Diagnosen")


@pytest.mark.parametrize("width", [1280, 320])
def test_a_browser_without_popovers_has_the_menu_in_the_header(
    open_page: OpenPage, width: int
) -> None:
    page, _ = open_page(viewport={"width": width, "height": 800}, locale="en-GB")

    def without(known: str, instead: str, kind: str) -> Callable[[Route], None]:
        def answer(route: Route) -> None:
            body = route.fetch().text()
            assert known in body
            route.fulfill(body=body.replace(known, instead), content_type=kind)

        return answer

    page.route("**/models", without('id="menu" popover', 'id="menu"', "text/html"))
    popovers = "selector(:popover-open)"
    page.route("**/*.css", without(f"not {popovers}", popovers, "text/css"))
    page.goto("/models")
    expect(page.locator("[popovertarget=menu]")).to_be_hidden()
    menu, header, below = (
        page.locator(part).first.bounding_box() for part in ("#menu", "header", "aside")
    )
    assert menu is not None
    assert header is not None
    assert below is not None
    assert header["y"] < menu["y"]
    assert menu["y"] + menu["height"] < below["y"]
    assert overhang(page) == []
    assert violations(page) == []
    page.get_by_role("link", name="Deutsch").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Die Modelle")


def test_the_keyboard_alone_switches_the_language(open_page: OpenPage) -> None:
    page, _ = open_page("/models", locale="en-GB")
    while page.evaluate("document.activeElement.getAttribute('popovertarget')") != "menu":
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    while page.evaluate("document.activeElement.hreflang") != "es":
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Los modelos")


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
@pytest.mark.parametrize(
    ("locale", "redness", "headline"),
    [
        ("de-DE", SUSPICIOUS_REDNESS, "Verdächtig: Anzeichen für Melanom"),
        ("de-DE", HARMLESS_REDNESS, "Für dieses Modell nicht verdächtig: am ehesten"),
        ("es-ES", SUSPICIOUS_REDNESS, "Sospechoso: indicios de melanoma"),
    ],
)
def test_an_answer_is_in_the_readers_language(
    open_page: OpenPage, scripts: bool, locale: str, redness: float, headline: str
) -> None:
    page, _ = open_page(java_script_enabled=scripts, locale=locale)
    choose(page, lesion(redness))
    analyse(page)
    article = page.locator("#answers article")
    expect(article.get_by_role("heading").first).to_contain_text(headline)
    expect(article).to_contain_text(re.compile(r"\d\u00a0%"))
    expect(article).not_to_contain_text("Basal cell carcinoma")


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
@pytest.mark.parametrize("own", [True, False], ids=["of other pictures", "as it ships"])
def test_only_what_is_said_of_our_classes_is_translated_and_leads_to_their_pages(
    browser: Browser, tmp_path: Path, scripts: bool, own: bool
) -> None:
    classes = list(SEVEN)
    if own:
        melanoma = next(c for c in classes if c.id == "mel")
        told = msgspec.structs.replace(melanoma, name="Mela", description="As we label it.")
        classes[classes.index(melanoma)] = told
    make_artifact(tmp_path / "model", name="model", classes=classes)
    with (
        served(tmp_path) as address,
        browser.new_context(
            base_url=address, locale="de-DE", java_script_enabled=scripts
        ) as context,
    ):
        page = context.new_page()
        page.goto("/")
        choose(page, lesion(SUSPICIOUS_REDNESS))
        analyse(page)
        about = page.locator("#answers [data-part=about]")
        expect(about).to_contain_text("As we label it." if own else "Ein Krebs der Pigmentzellen")
        expect(about.locator("[data-slot=about-more]")).to_be_visible(visible=not own)


def test_a_failure_is_told_in_the_readers_language(open_page: OpenPage) -> None:
    page, observer = open_page(locale="de-DE")
    observer.forgive("status of 4")
    choose(page, jpeg(b"no picture at all", "broken.jpg"))
    page.click("#analyse")
    expect(page.get_by_role("alert")).to_contain_text("Die Datei ist kein Bild")


@pytest.mark.parametrize(
    ("locale", "said"), [("de-DE", "Hier ist etwas schiefgegangen"), ("es-ES", "Algo ha fallado")]
)
def test_a_failure_that_nobody_foresaw_is_told_in_it_too(
    open_page: OpenPage, locale: str, said: str
) -> None:
    page, observer = open_page(locale=locale)
    observer.forgive("status of 500")
    problem = msgspec.json.encode(from_exception(RuntimeError()))
    page.route("**/api/v1/predictions*", lambda route: route.fulfill(status=500, body=problem))
    choose(page, lesion())
    page.click("#analyse")
    expect(page.get_by_role("alert")).to_contain_text(said)


def test_only_the_words_of_one_language_are_loaded(open_page: OpenPage) -> None:
    page, _ = open_page(locale="es-ES")
    loaded = page.evaluate("performance.getEntriesByType('resource').map((e) => e.name)")
    words = {Path(url).name[:2] for url in loaded if re.search(r"/(en|de|es)-[\w-]+\.js$", url)}
    assert words == {"es"}


def test_from_a_diagnosis_to_the_model_that_knows_it(open_page: OpenPage) -> None:
    page, _ = open_page("/diagnoses", locale="en-GB")
    page.get_by_role("link", name="Melanoma").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Melanoma")
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Models").click()
    page.get_by_role("link", name="Wary").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Wary")


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_an_answer_leads_to_the_page_of_its_diagnosis(open_page: OpenPage, scripts: bool) -> None:
    page, _ = open_page(java_script_enabled=scripts, locale="en-GB")
    choose(page, lesion(SUSPICIOUS_REDNESS))
    analyse(page)
    more = page.get_by_role("link", name="More about this diagnosis")
    if scripts:
        with page.expect_popup() as opened:
            more.click()
        page = opened.value
    else:
        more.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Melanoma")
