"""Several pictures at once: a card each, the table of them, and what becomes of those that fail."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from playwright.sync_api import Locator, Page, Route, expect

from tests.drawings import SUSPICIOUS_REDNESS
from tests.e2e.conftest import OpenPage
from tests.e2e.test_layout import overhang, violations
from tests.e2e.uploads import analyse, choose, drop, jpeg, lesion, no_lesion

PREDICTIONS = "**/api/v1/predictions*"
THREE = (
    lesion(name="a.jpg"),
    lesion(SUSPICIOUS_REDNESS, name="b.jpg"),
    no_lesion(),
)


def test_each_of_several_pictures_gets_its_card_and_its_own_answer(open_page: OpenPage) -> None:
    page, _ = open_page()
    page.set_input_files("#file", files=THREE)
    expect(page.locator("#analyse")).to_have_text("Analyse 3 pictures")
    page.click("#analyse")
    for name, headline in (
        ("a.jpg", "Not suspicious"),
        ("b.jpg", "Suspicious: signs of"),
        ("wall.jpg", "No answer"),
    ):
        expect(card(page, name).locator("[data-card=verdict]")).to_contain_text(headline)
        expect(card(page, name).locator("article")).to_be_hidden()
        card(page, name).get_by_role("button", name="Whole answer").click()
        expect(card(page, name).get_by_role("heading", name=headline)).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)


def test_one_broken_picture_fails_alone_and_in_its_own_place(open_page: OpenPage) -> None:
    page, observer = open_page()
    observer.forgive("status of 4")
    drop(page, "#dropzone", lesion(name="good.jpg"), jpeg(b"nothing", "broken.jpg"))
    page.click("#analyse")
    expect(card(page, "broken.jpg").get_by_role("alert")).to_contain_text("not a picture")
    expect(card(page, "good.jpg")).to_have_attribute("data-state", "answered")
    expect(card(page, "good.jpg").get_by_role("alert")).to_be_hidden()
    assert violations(page) == []


def test_a_second_picture_leaves_the_first_ones_answer(open_page: OpenPage) -> None:
    page, _ = open_page()
    choose(page, lesion(name="first.jpg"))
    analyse(page)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    choose(page, lesion(SUSPICIOUS_REDNESS, name="second.jpg"))
    page.click("#analyse")
    expect(card(page, "second.jpg")).to_have_attribute("data-state", "answered")
    expect(card(page, "first.jpg")).to_have_attribute("data-state", "answered")
    assert len([url for url in asked if "predictions" in url]) == 1


def test_no_more_than_a_few_pictures_are_on_their_way_at_once(open_page: OpenPage) -> None:
    page, _ = open_page()
    held: list[Route] = []
    page.route(PREDICTIONS, lambda route: held.append(route))
    page.set_input_files("#file", files=[lesion(name=f"{i}.jpg") for i in range(8)])
    page.click("#analyse")
    done = 0
    while done < 8:
        while not held:
            page.wait_for_timeout(50)
        page.wait_for_timeout(150)
        assert len(held) <= 3
        for route in held:
            route.continue_()
        done += len(held)
        held.clear()
    expect(page.locator("[data-state=answered]")).to_have_count(8)


def test_a_busy_server_is_asked_again_when_it_said(open_page: OpenPage) -> None:
    page, observer = open_page()
    observer.forgive("status of 503")
    turned_away: list[Route] = []

    def answer(route: Route) -> None:
        if turned_away:
            route.continue_()
            return
        turned_away.append(route)
        route.fulfill(
            status=503,
            headers={"retry-after": "2", "content-type": "application/problem+json"},
            body='{"detail": "More pictures wait than this server can hold."}',
        )

    page.route(PREDICTIONS, answer)
    choose(page, lesion())
    page.click("#analyse")
    expect(page.locator("[data-card=note]")).to_have_text(
        "The server has much to do. Trying again in 2 s"
    )
    expect(page.get_by_role("alert")).to_be_hidden()
    expect(page.locator("#answers article")).to_be_visible()


def test_a_server_that_fails_without_a_word_on_when_is_asked_again_by_hand(
    open_page: OpenPage,
) -> None:
    page, observer = open_page()
    observer.forgive("status of 5")
    page.route(PREDICTIONS, lambda route: route.fulfill(status=500, body="oops"))
    choose(page, lesion())
    page.click("#analyse")
    expect(page.get_by_role("alert")).to_contain_text("no usable answer (status 500)")
    expect(page.get_by_alt_text("The picture you chose")).to_be_visible()
    page.unroute(PREDICTIONS)
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#answers article")).to_be_visible()


def test_progress_is_told_while_the_picture_waits(open_page: OpenPage) -> None:
    page, _ = open_page()
    held: list[Route] = []
    page.route(PREDICTIONS, lambda route: held.append(route))
    choose(page, lesion())
    page.click("#analyse")
    bar = page.get_by_role("progressbar", name="Progress")
    expect(bar).to_be_visible()
    expect(page.locator("#analyse")).to_have_text("Analysing")
    expect(page.locator("#analyse")).to_have_attribute("aria-disabled", "true")
    assert violations(page) == []
    held[0].continue_()
    expect(page.locator("#answers article")).to_be_visible()
    expect(bar).to_be_hidden()


def test_a_card_without_its_models_manifest_fails_for_good_and_can_be_tried_again(
    open_page: OpenPage,
) -> None:
    page, observer = open_page()
    observer.forgive("ERR_FAILED")
    page.route("**/api/v1/predictions*", lambda _: None)
    page.route("**/api/v1/models/*", lambda route: route.abort())
    choose(page, lesion())
    with page.expect_event("requestfailed", lambda request: request.method == "POST"):
        page.click("#analyse")
    expect(page.locator("[data-state=failed]")).to_have_count(1)
    page.unroute("**/api/v1/predictions*")
    page.unroute("**/api/v1/models/*")
    page.get_by_role("button", name="Try again").click()
    page.wait_for_selector("#answers article")


def test_a_card_that_is_taken_away_gives_the_focus_on_and_up_its_request(
    open_page: OpenPage,
) -> None:
    page, observer = open_page()
    observer.forgive("ERR_ABORTED")
    page.set_input_files("#file", files=THREE[:2])
    page.route(PREDICTIONS, lambda route: None)
    failed: list[str] = []
    page.on("requestfailed", lambda request: failed.append(request.url))
    page.click("#analyse")
    page.wait_for_selector("[data-state=waiting], [data-state=sending]")
    page.get_by_role("button", name="Remove a.jpg").press("Enter")
    expect(card(page, "b.jpg")).to_be_focused()
    page.get_by_role("button", name="Remove b.jpg").press("Enter")
    expect(page.locator("#file")).to_be_focused()
    expect(page.locator("#need-title")).to_be_visible()
    page.wait_for_timeout(100)
    assert len(failed) == 2


def test_the_table_sorts_by_its_heads_with_the_keyboard_and_says_how(open_page: OpenPage) -> None:
    page, _ = open_page()
    answer_three(page)
    assert names(page) == ["a.jpg", "b.jpg", "wall.jpg"]
    head = page.get_by_role("columnheader", name="Malignant")
    head.get_by_role("button").press("Enter")
    expect(head).to_have_attribute("aria-sort", "descending")
    assert names(page) == ["b.jpg", "a.jpg", "wall.jpg"]
    head.get_by_role("button").press("Enter")
    expect(head).to_have_attribute("aria-sort", "ascending")
    # What has no figure stays last.
    assert names(page) == ["a.jpg", "b.jpg", "wall.jpg"]
    reading = page.get_by_role("columnheader", name="Reading")
    reading.get_by_role("button").press("Space")
    expect(reading).to_have_attribute("aria-sort", "ascending")
    expect(head).not_to_have_attribute("aria-sort", "ascending")
    assert names(page) == ["b.jpg", "a.jpg", "wall.jpg"]
    assert violations(page) == []


def test_a_row_leads_to_its_card(open_page: OpenPage) -> None:
    page, _ = open_page()
    answer_three(page)
    page.locator("#summary tbody").get_by_role("button", name="b.jpg").press("Enter")
    expect(card(page, "b.jpg")).to_be_focused()
    expect(card(page, "b.jpg").locator("article")).to_be_visible()


def test_the_table_is_saved_as_csv_in_the_order_that_is_shown(
    open_page: OpenPage, tmp_path: Path
) -> None:
    page, _ = open_page()
    page.set_input_files(
        "#file",
        files=[lesion(name='=1+1, "quoted".jpg'), lesion(SUSPICIOUS_REDNESS, name="b.jpg")],
    )
    page.click("#analyse")
    expect(page.locator("[data-state=answered]")).to_have_count(2)
    page.get_by_role("columnheader", name="Malignant").get_by_role("button").click()
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save as CSV").click()
    assert saved.value.suggested_filename == "lesionlens.csv"
    saved.value.save_as(tmp_path / "saved.csv")
    text = (tmp_path / "saved.csv").read_bytes().decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text)))
    # A spreadsheet would run what begins like a formula.
    assert [row["picture"] for row in rows] == ["b.jpg", '\'=1+1, "quoted".jpg']
    assert [row["verdict"] for row in rows] == ["suspicious", "not_suspicious"]
    assert rows[0]["prediction_set"].split(";")[0] == "mel"
    for row in rows:
        probabilities = [float(row[key]) for key in row if key.startswith("probability_")]
        assert len(probabilities) == 7
        assert abs(sum(probabilities) - 1) < 1e-4


def test_several_pictures_fit_a_phone(open_page: OpenPage) -> None:
    page, _ = open_page(viewport={"width": 375, "height": 812}, color_scheme="dark")
    answer_three(page, "a very long name of a picture " * 4 + ".jpg")
    for toggle in page.get_by_role("button", name="Whole answer").all():
        toggle.click()
    assert overhang(page) == []
    assert violations(page) == []


def test_without_scripts_each_of_several_pictures_is_answered(open_page: OpenPage) -> None:
    page, _ = open_page(java_script_enabled=False)
    page.set_input_files("#file", files=THREE)
    page.click("#analyse")
    expect(page.locator("#answers article")).to_have_count(3)
    articles = page.locator("#answers article").all()
    for article, name in zip(articles, ("a", "b", "wall"), strict=True):
        expect(article).to_contain_text(f"{name}.jpg")
        expect(
            article.get_by_role("img", name=f"The picture that was analysed: {name}.jpg")
        ).to_be_visible()
    found = [element.get_attribute("id") for element in page.locator("[id]").all()]
    assert len(found) == len(set(found))


def answer_three(page: Page, name: str = "a.jpg") -> None:
    page.set_input_files("#file", files=[lesion(name=name), *THREE[1:]])
    page.click("#analyse")
    expect(page.locator("[data-state=answered]")).to_have_count(3)


def card(page: Page, name: str) -> Locator:
    return page.get_by_role("region", name=f"Picture: {name}")


def names(page: Page) -> list[str]:
    return page.locator("#summary tbody [data-column=picture]").all_inner_texts()
