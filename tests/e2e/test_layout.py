"""Widths, colour schemes, and what a screen reader or a slow eye would stumble over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, FilePayload, Page, ViewportSize, expect

from tests.artifact_factory import make_artifacts
from tests.drawings import SUSPICIOUS_REDNESS
from tests.e2e.conftest import OpenPage
from tests.e2e.server import served
from tests.e2e.uploads import analyse, choose, jpeg, lesion, no_lesion

AXE = Path(__file__).parents[2] / "serving/web/node_modules/axe-core/axe.min.js"

SHIFTS = """
window.shifts = [];
new PerformanceObserver((list) => {
    for (const shift of list.getEntries()) {
        if (!shift.hadRecentInput) window.shifts.push(shift.value);
    }
}).observe({ type: "layout-shift", buffered: true });
"""


@pytest.mark.parametrize("width", [320, 768, 1440])
@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_nothing_scrolls_sideways(open_page: OpenPage, width: int, scripts: bool) -> None:
    viewport = {"width": width, "height": 800}
    page, _ = open_page(viewport=viewport, java_script_enabled=scripts)
    assert overhang(page) == []
    choose(page, lesion(SUSPICIOUS_REDNESS, name="a rather long name " * 8 + ".jpg"))
    analyse(page)
    assert overhang(page) == []


@pytest.mark.parametrize(("width", "height"), [(1366, 650), (1280, 720)])
@pytest.mark.parametrize("locale", ["en-GB", "de-DE", "es-ES"])
def test_the_form_stays_in_sight_beside_an_answer(
    browser: Browser, tmp_path: Path, locale: str, width: int, height: int
) -> None:
    viewport = ViewportSize(width=width, height=height)
    with (
        served(make_artifacts(tmp_path)) as address,
        browser.new_page(base_url=address, viewport=viewport, locale=locale) as page,
    ):
        page.goto("/")
        choose(page, lesion())
        analyse(page)
        page.locator("[data-part=chart]").first.scroll_into_view_if_needed()
        for part in ("#dropzone", "#analyse", "#privacy"):
            expect(page.locator(part)).to_be_in_viewport(ratio=1)


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
@pytest.mark.parametrize(
    "file",
    [None, lesion(SUSPICIOUS_REDNESS), lesion(), no_lesion()],
    ids=["idle", "suspicious", "harmless", "refused"],
)
def test_axe_finds_nothing(
    open_page: OpenPage, scheme: str, width: int, file: FilePayload | None
) -> None:
    page, _ = open_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    if file:
        choose(page, file)
        analyse(page)
        for details in page.locator("#answers summary").all():
            details.click()
    assert violations(page) == []


def test_axe_finds_nothing_where_something_failed(open_page: OpenPage) -> None:
    page, observer = open_page()
    observer.forgive("status of 4")
    choose(page, jpeg(b"nothing", "broken.jpg"))
    page.click("#analyse")
    expect(page.get_by_role("alert")).to_be_visible()
    assert violations(page) == []


def test_axe_finds_nothing_without_scripts(open_page: OpenPage) -> None:
    page, _ = open_page(java_script_enabled=False)
    choose(page, lesion(SUSPICIOUS_REDNESS))
    analyse(page)
    content, address = page.content(), page.url
    reader, _ = open_page()
    # axe is a script: it reads what the browser without scripts was given.
    reader.route(address, lambda route: route.fulfill(body=content, content_type="text/html"))
    reader.goto(address)
    assert violations(reader) == []


def test_an_unknown_address_gets_a_page_that_leads_back(open_page: OpenPage) -> None:
    page, observer = open_page()
    observer.forgive("status of 404")
    page.goto("/nowhere")
    assert violations(page) == []
    page.get_by_role("link", name="Choose a picture").click()
    expect(page.locator("#dropzone")).to_be_visible()


def test_nothing_jumps_while_loading_or_answering(open_page: OpenPage) -> None:
    page, _ = open_page()
    page.add_init_script(SHIFTS)
    page.goto("/")
    assert shifted(page) < 0.02
    choose(page, lesion())
    # The form makes room for the picture that was chosen.
    shifted(page)
    analyse(page)
    assert shifted(page) < 0.02


def shifted(page: Page) -> float:
    """How far things moved by themselves since this was asked last."""
    page.wait_for_timeout(300)
    moved: float = page.evaluate("shifts.splice(0).reduce((sum, shift) => sum + shift, 0)")
    return moved


def overhang(page: Page) -> list[str]:
    """What is wider than the room it has: the page, or a part of the answer that would be cut."""
    found: list[str] = page.evaluate(
        """() => [document.documentElement, ...document.querySelectorAll("article, article *")]
            .filter((e) => e.scrollWidth > e.clientWidth && e.clientWidth > 0)
            .filter((e) => getComputedStyle(e).display !== "inline" && !e.closest("svg, .sr-only"))
            .map((e) => e.outerHTML.slice(0, 120))"""
    )
    return found


def violations(page: Page) -> list[Any]:
    page.evaluate(AXE.read_text("utf-8"))
    found = page.evaluate("async () => (await axe.run()).violations")
    return [(v["id"], [node["html"][:160] for node in v["nodes"]]) for v in found]
