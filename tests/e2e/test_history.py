"""What the browser keeps of the answers, and the report to print."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Download, FilePayload, Page, Route, expect

from tests.artifact_factory import MEASURED, make_artifact
from tests.drawings import HARMLESS_REDNESS, SUSPICIOUS_REDNESS, draw_lesion, encode
from tests.e2e.conftest import OpenPage
from tests.e2e.server import served
from tests.e2e.test_layout import overhang, violations
from tests.e2e.test_picture import MADE_UP
from tests.e2e.uploads import analyse, choose, lesion, no_lesion


def keep(
    page: Page,
    spot: str,
    redness: float = SUSPICIOUS_REDNESS,
    minutes_later: int = 0,
    picture: FilePayload | None = None,
) -> None:
    """Has a picture read, by default a drawn one of `redness`, and kept under a spot's name."""
    page.goto("/")
    choose(page, picture or lesion(redness))
    analyse(page)
    if minutes_later:
        page.clock.fast_forward(minutes_later * 60_000)
    page.get_by_role("button", name="Keep").click()
    page.get_by_label("Which spot is it?").fill(spot)
    page.get_by_role("button", name="Keep in this browser").click()
    expect(page.get_by_role("link", name="Kept. To your history")).to_be_focused()


def export(page: Page) -> str:
    """The text of the file that the history is exported to."""
    page.goto("/history")
    with page.expect_download() as download:
        page.get_by_role("button", name="Export").click()
    return Path(download.value.path()).read_text("utf-8")


def test_nothing_is_kept_until_the_person_asks(open_page: OpenPage) -> None:
    page, _ = open_page(locale="en-GB")
    choose(page, lesion())
    analyse(page)
    page.get_by_role("button", name="Keep").click()
    expect(page.get_by_role("dialog")).to_contain_text("never sent anywhere")
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("button", name="Keep")).to_be_focused()
    page.goto("/history")
    expect(page.get_by_text("Nothing is kept yet")).to_be_visible()


def test_what_keeps_and_prints_is_here_once_the_network_is_gone(open_page: OpenPage) -> None:
    page, _ = open_page(locale="en-GB")
    page.evaluate("() => { window.print = () => { window.isPrinted = true; }; }")
    expected: set[str] = set()
    page.on("request", lambda request: expected.add(request.url))
    for end in ("requestfinished", "requestfailed"):
        page.on(end, lambda request: expected.discard(request.url))
    choose(page, lesion())
    analyse(page)
    expect(page.get_by_role("button", name="Keep")).to_be_visible()
    while expected:
        page.wait_for_timeout(50)
    page.context.set_offline(True)
    page.get_by_role("button", name="Keep").click()
    page.get_by_role("button", name="Keep in this browser").click()
    expect(page.get_by_role("link", name="Kept. To your history")).to_be_focused()
    page.get_by_role("button", name="Print or save as PDF").click()
    page.wait_for_function("() => window.isPrinted")


def test_where_what_keeps_or_prints_does_not_come_the_storage_is_not_blamed(
    open_page: OpenPage,
) -> None:
    page, observer = open_page(locale="en-GB")
    observer.forgive("ERR_FAILED")
    for script in ("report", "result"):
        page.route(f"**/assets/{script}-*.js", lambda route: route.abort())
    choose(page, lesion())
    analyse(page)
    page.get_by_role("button", name="Print or save as PDF").click()
    expect(page.get_by_role("alert")).to_contain_text("could not be fetched")
    assert violations(page) == []
    page.get_by_role("button", name="Keep").click()
    page.get_by_role("button", name="Keep in this browser").click()
    expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("could not be fetched")


def test_where_there_is_no_storage_keeping_says_so(open_page: OpenPage) -> None:
    page, _ = open_page(locale="en-GB")
    page.evaluate("() => { IDBFactory.prototype.open = () => { throw new Error(); }; }")
    choose(page, lesion())
    analyse(page)
    page.get_by_role("button", name="Keep").click()
    page.get_by_role("button", name="Keep in this browser").click()
    expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("storage is full")


def test_a_kept_result_stays_in_the_browser_and_is_never_sent(open_page: OpenPage) -> None:
    page, _ = open_page(locale="en-GB")
    keep(page, "left shoulder")
    sent: list[str] = []
    page.on("request", lambda request: sent.append(f"{request.method} {request.url}"))
    page.goto("/history")
    expect(page.get_by_role("heading", name="left shoulder")).to_be_visible()
    expect(page.get_by_role("listitem").filter(has_text="Chance of")).to_contain_text("Melanoma")
    thumbnail = page.locator("[data-slot=thumbnail]")
    expect(thumbnail).to_have_js_property("complete", True)
    assert thumbnail.evaluate("(image) => image.naturalWidth") == 240
    assert [request for request in sent if not request.startswith("GET ")] == []


def test_what_is_transparent_is_kept_on_white(open_page: OpenPage) -> None:
    seen = draw_lesion(4)
    seen.putalpha(0)
    cut_out: FilePayload = {
        "name": "cut out.png",
        "mimeType": "image/png",
        "buffer": encode(seen, "PNG"),
    }
    page, _ = open_page(locale="en-GB")
    keep(page, "arm", picture=cut_out)
    (written,) = json.loads(export(page))["results"]
    data = base64.b64decode(written["picture"].partition(",")[2])
    with Image.open(io.BytesIO(data)) as kept:
        assert kept.convert("L").getextrema() == (255, 255)


def test_two_results_of_a_spot_stand_side_by_side(open_page: OpenPage) -> None:
    page, _ = open_page(locale="en-GB")
    keep(page, "knee", HARMLESS_REDNESS)
    keep(page, "knee", SUSPICIOUS_REDNESS)
    page.goto("/history")
    page.get_by_role("button", name="Compare").click()
    left, right = page.locator("[data-side=left]"), page.locator("[data-side=right]")
    expect(left.locator("[data-slot=headline]")).to_contain_text("mole")
    expect(right.locator("[data-slot=headline]")).to_contain_text("Melanoma")
    expect(page.get_by_text("Two different models")).to_be_hidden()
    page.get_by_label("Show where the model looked").check()
    expect(left.locator("canvas")).to_be_visible()
    right.get_by_role("combobox").select_option(index=0)
    expect(right.locator("[data-slot=headline]")).to_contain_text("mole")
    assert violations(page) == []


def test_what_is_known_of_heatmaps_stands_beside_each(browser: Browser, tmp_path: Path) -> None:
    worse = "less well than a mere guess at the middle"
    make_artifact(tmp_path / "measured", name="measured", metrics=MEASURED)
    with (
        served(tmp_path) as address,
        browser.new_context(base_url=address, locale="en-GB") as context,
    ):
        page = context.new_page()
        keep(page, "knee")
        page.wait_for_selector("#reports [data-ready]", state="attached")
        expect(page.locator("#reports figure").last).to_contain_text(worse)
        keep(page, "knee")
        texts = [export(page)]
        page.get_by_role("button", name="Compare").click()
        notes = page.locator("[data-slot=map-notes]")
        expect(notes.first).to_be_hidden()
        page.get_by_label("Show where the model looked").check()
        for side in (notes.first, notes.last):
            expect(side).to_be_visible()
            expect(side).to_contain_text(worse)
        with browser.new_context(base_url=address, locale="en-GB") as elsewhere:
            other = elsewhere.new_page()
            other.goto("/history")
            other.set_input_files("#import", files=[exported(texts[0].encode())])
            expect(other.get_by_role("status")).to_contain_text("2 ")
            texts.append(export(other))
    for text in texts:
        for result in json.loads(text)["results"]:
            (metric,) = result["manifest"]["metrics"]
            assert metric["name"] == "heatmap_inside_over_centre"


def test_what_was_exported_can_be_imported_elsewhere(open_page: OpenPage) -> None:
    page, _ = open_page(locale="en-GB")
    keep(page, "back")
    text = export(page)
    (written,) = json.loads(text)["results"]
    assert written["picture"].startswith("data:image/jpeg;base64,")

    other, _ = open_page("/history", locale="de-DE")
    file = exported(text.encode())
    for said in ("1 übernommen, 0 waren schon da.", "0 übernommen, 1 waren schon da."):
        other.set_input_files("#import", files=[file])
        expect(other.get_by_role("status")).to_have_text(said)
    expect(other.get_by_role("heading", name="back")).to_be_visible()
    expect(other.locator("#spots li").first).to_contain_text("Melanom")


def test_more_than_a_file_can_hold_goes_into_several(open_page: OpenPage) -> None:
    page, _ = open_page(locale="en-GB")
    for spot in ("arm", "leg", "toe"):
        keep(page, spot)
    whole = export(page)

    def narrow(route: Route) -> None:
        body = route.fetch().text().replace('"256000000"', f'"{len(whole) - 1}"')
        route.fulfill(body=body, content_type="text/html")

    page.route("**/history", narrow)
    page.goto("/history")
    files: list[Download] = []
    page.on("download", lambda file: files.append(file))
    page.get_by_role("button", name="Export").click()
    page.wait_for_timeout(1000)
    assert [file.suggested_filename[-7:] for file in files] == ["-1.json", "-2.json"]
    assert all(Path(file.path()).stat().st_size < len(whole) for file in files)

    other, _ = open_page("/history", locale="en-GB")
    other.set_input_files("#import", files=[exported(file.path().read_bytes()) for file in files])
    expect(other.get_by_role("status")).to_have_text("3 brought in, 0 were there already.")


def test_a_result_has_the_date_of_its_answer(open_page: OpenPage) -> None:
    page, _ = open_page(locale="en-GB", timezone_id="UTC")
    page.clock.install(time="2026-03-04T09:10:00Z")
    keep(page, "arm", minutes_later=70)
    page.goto("/history")
    expect(page.locator("[data-slot=date]")).to_have_text(re.compile(r"\b9:10\b"))


@pytest.mark.parametrize("is_promised", [False, True])
def test_where_the_browser_may_forget_the_history_says_so(
    open_page: OpenPage, is_promised: bool
) -> None:
    page, _ = open_page(locale="en-GB")
    promise = f"StorageManager.prototype.persisted = async () => {json.dumps(is_promised)}"
    page.context.add_init_script(promise)
    page.goto("/history")
    expect(page.get_by_text("Nothing is kept yet")).to_be_visible()
    expect(page.get_by_text("may forget")).to_be_hidden()
    keep(page, "arm")
    page.goto("/history")
    expect(page.locator("#count")).to_have_text("1 result")
    expect(page.get_by_text("may forget")).to_be_visible(visible=not is_promised)


SPOILT = {
    "no JSON": b"hello",
    "another file": b'{"format": "other", "version": 1, "results": []}',
    "a value of another kind": b'{"format": "lesionlens-history", "version": 1, "results": [{}]}',
}


@pytest.mark.parametrize("data", SPOILT.values(), ids=SPOILT)
def test_a_file_that_is_no_export_changes_nothing(open_page: OpenPage, data: bytes) -> None:
    page, _ = open_page("/history", locale="en-GB")
    page.set_input_files("#import", files=[exported(data)])
    expect(page.get_by_role("alert")).to_contain_text("no export of LesionLens")
    expect(page.get_by_text("Nothing is kept yet")).to_be_visible()


def test_of_pixels_that_the_browser_makes_up_the_history_shows_none(open_page: OpenPage) -> None:
    page, _ = open_page(locale="en-GB")
    for _ in range(2):
        keep(page, "knee")
    file = exported(export(page).encode())
    other, _ = open_page(locale="en-GB")
    other.context.add_init_script(MADE_UP)
    other.goto("/history")
    other.set_input_files("#import", files=[file])
    expect(other.get_by_role("status")).to_have_text("2 brought in, 0 were there already.")
    thumbnail = other.locator("[data-slot=thumbnail]").first
    assert thumbnail.evaluate("(image) => image.decode().then(() => image.naturalWidth)") == 600
    other.get_by_role("button", name="Compare").click()
    other.get_by_label("Show where the model looked").check()
    for side in ("left", "right"):
        notes = other.locator(f"[data-side={side}] [data-slot=map-notes]")
        expect(notes).to_contain_text("The map is left out")
        expect(other.locator(f"[data-side={side}] canvas")).to_have_js_property("width", 0)


def test_a_file_that_breaks_off_midway_brings_in_nothing(open_page: OpenPage) -> None:
    page, _ = open_page(locale="en-GB")
    keep(page, "back")
    whole = json.loads(export(page))
    (known,) = whole["results"]
    whole["results"] = [{**known, "id": "other"}, {**known, "id": "broken", "picture": "none"}]
    page.set_input_files("#import", files=[exported(json.dumps(whole).encode())])
    expect(page.get_by_text("no export of LesionLens")).to_be_visible()
    page.reload()
    expect(page.locator("#count")).to_have_text("1 result")


def test_what_is_kept_in_one_page_shows_in_another(open_page: OpenPage) -> None:
    page, observer = open_page("/history", locale="en-GB")
    expect(page.get_by_text("Nothing is kept yet")).to_be_visible()
    other = page.context.new_page()
    keep(other, "elbow")
    expect(page.get_by_role("heading", name="elbow")).to_be_visible()
    assert observer.complaints == []


def test_one_and_all_are_deleted_only_once_that_was_confirmed(open_page: OpenPage) -> None:
    page, _ = open_page(locale="en-GB")
    for spot in ("arm", "leg"):
        keep(page, spot)
    page.goto("/history")
    items = page.locator("#spots li[tabindex]")
    expect(items).to_have_count(2)
    page.get_by_role("button", name=re.compile("Delete the result")).first.click()
    page.get_by_role("button", name="Cancel").click()
    expect(items).to_have_count(2)
    page.get_by_role("button", name=re.compile("Delete the result")).first.click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(items).to_have_count(1)
    page.get_by_role("button", name="Delete all").click()
    expect(page.get_by_role("dialog")).to_contain_text("Delete this result")
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_text("Nothing is kept yet")).to_be_visible()
    page.reload()
    expect(page.get_by_text("Nothing is kept yet")).to_be_visible()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (320, "dark")])
def test_axe_finds_nothing_in_the_history_and_its_dialogs(
    open_page: OpenPage, width: int, scheme: str
) -> None:
    page, _ = open_page(
        "/history",
        locale="en-GB",
        viewport={"width": width, "height": 800},
        color_scheme=scheme,
    )
    assert violations(page) == []
    for _ in range(2):
        keep(page, "a rather long name for a spot " * 2)
    page.goto("/history")
    page.get_by_role("button", name="Compare").click()
    assert overhang(page) == []
    assert violations(page) == []
    page.get_by_role("button", name="Delete all").click()
    assert violations(page) == []
    page.goto("/")
    choose(page, lesion())
    analyse(page)
    page.get_by_role("button", name="Keep").click()
    assert violations(page) == []


def test_without_scripts_the_history_says_what_it_needs(open_page: OpenPage) -> None:
    page, _ = open_page("/history", java_script_enabled=False, locale="en-GB")
    expect(page.get_by_text("needs JavaScript")).to_be_visible()
    expect(page.get_by_text("Delete all")).to_be_hidden()


@pytest.mark.parametrize("paper", ["A4", "Letter"])
@pytest.mark.parametrize("locale", ["en-GB", "de-DE"])
def test_the_report_is_one_page_with_all_that_it_must_say(
    open_page: OpenPage, paper: str, locale: str
) -> None:
    page, _ = open_page(locale=locale)
    choose(page, lesion(SUSPICIOUS_REDNESS, name="left shoulder.jpg"))
    analyse(page)
    page.wait_for_selector("#reports [data-ready]", state="attached")
    digest = page.request.get("/api/v1/models/mobilenet").json()["files"]["model.onnx"]
    page.emulate_media(media="print")
    report = page.locator("#reports .report")
    expect(report).to_be_visible()
    expect(page.locator("main")).to_be_hidden()
    english = locale == "en-GB"
    for said in (
        "never for diagnosis" if english else "niemals zur Diagnose",
        "Suspicious: signs of melanoma" if english else "Verdächtig: Anzeichen für Melanom",
        "Chance of something malignant" if english else "Wahrscheinlichkeit für etwas Bösartiges",
        "MobileNetV2",
        digest,
        "left shoulder.jpg",
    ):
        expect(report).to_contain_text(said)
    expect(report.locator("[data-slot=date]")).to_contain_text(re.compile(r"20\d\d"))
    expect(report.locator("[data-slot=picture]")).to_have_js_property("naturalWidth", 600)
    assert report.locator("canvas").evaluate("(canvas) => canvas.width") > 0
    expect(report.locator("[data-slot=rows] tr")).to_have_count(7)
    assert pages(page.pdf(format=paper)) == 1


def test_a_refused_picture_is_reported_without_numbers(open_page: OpenPage) -> None:
    page, _ = open_page(locale="en-GB")
    choose(page, no_lesion())
    analyse(page)
    page.wait_for_selector("#reports [data-ready]", state="attached")
    page.emulate_media(media="print")
    report = page.locator("#reports .report")
    expect(report).to_contain_text("No answer")
    expect(report).not_to_contain_text("Probabilities")
    expect(report.locator("[data-slot=picture]")).to_be_visible()
    expect(report.locator("[data-slot=heatmap]")).to_have_count(0)


def test_the_button_prints_one_of_several_and_the_browsers_menu_all(open_page: OpenPage) -> None:
    page, _ = open_page(locale="en-GB")
    page.set_input_files("#file", files=[lesion(name="one.jpg"), lesion(name="two.jpg")])
    page.click("#analyse")
    expect(page.locator("#reports [data-ready]")).to_have_count(2)
    assert pages(page.pdf(format="A4")) == 2
    page.evaluate(
        """() => {
            window.print = () => {
                const all = [...document.querySelectorAll("#reports > *")];
                const shown = all.filter((report) => !report.hidden);
                window.printed = shown.map((r) => r.textContent);
            };
        }"""
    )
    card = page.get_by_label("Picture: two.jpg")
    card.get_by_role("button", name="Whole answer").click()
    card.get_by_role("button", name="Print or save as PDF").click()
    page.wait_for_function("() => window.printed")
    (printed,) = page.evaluate("window.printed")
    assert "two.jpg" in printed


def test_what_left_the_page_is_no_longer_printed(open_page: OpenPage) -> None:
    page, _ = open_page(locale="en-GB")
    choose(page, lesion())
    analyse(page)
    page.wait_for_selector("#reports [data-ready]", state="attached")
    page.get_by_role("button", name="Remove spot.jpg").click()
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    expect(page.locator("#reports > *")).to_have_count(0)


def exported(data: bytes) -> FilePayload:
    return {"name": "mine.json", "mimeType": "application/json", "buffer": data}


def pages(pdf: bytes) -> int:
    return len(re.findall(rb"/Type\s*/Page\b(?!s)", pdf))
