"""A picture's ways in, and what stands on the page when one fails."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Dialog, expect

from tests.e2e.conftest import OpenPage
from tests.e2e.uploads import analyse, choose, drop, jpeg, lesion, paste, stored, text_file


def test_a_chosen_picture_is_shown_and_answered(open_page: OpenPage) -> None:
    page, _ = open_page()
    choose(page, lesion(name="left arm.jpg"))
    expect(page.get_by_alt_text("The picture you chose: left arm.jpg")).to_be_visible()
    expect(page.locator("[data-card=note]")).to_have_text(re.compile("600 . 450 pixels"))
    analyse(page)
    expect(page.locator("#answers h2")).to_contain_text("mole")
    expect(page.locator("#status")).to_contain_text("Done.")


@pytest.mark.parametrize("target", ["#dropzone", "footer"])
def test_a_dropped_picture_is_answered_wherever_it_is_let_go(
    open_page: OpenPage, target: str
) -> None:
    page, _ = open_page()
    drop(page, target, lesion())
    expect(page.get_by_alt_text("The picture you chose")).to_be_visible()
    analyse(page)


def test_a_pasted_picture_is_answered(open_page: OpenPage) -> None:
    page, _ = open_page()
    paste(page, "body", lesion())
    expect(page.get_by_alt_text("The picture you chose")).to_be_visible()
    analyse(page)


@pytest.mark.parametrize(
    ("hand_over", "is_left"), [(paste, True), (drop, False)], ids=["pasted", "dropped"]
)
def test_what_is_pasted_or_dropped_onto_a_dialog_is_no_picture_to_read(
    open_page: OpenPage, hand_over: Callable[..., bool], is_left: bool
) -> None:
    page, _ = open_page(locale="en-GB")
    choose(page, lesion())
    analyse(page)
    page.get_by_role("button", name="Keep").click()
    # Left to the browser, a file that is dropped would replace the page.
    assert hand_over(page, "[data-keep=spot]", lesion(name="cells.png")) == is_left
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#answers [data-card=name]")).to_have_text(["spot.jpg"])


def test_a_folder_that_is_dropped_is_named_and_the_picture_beside_it_taken(
    open_page: OpenPage, tmp_path: Path
) -> None:
    folder = tmp_path / "my pictures"
    folder.mkdir()
    picture = stored(tmp_path)
    page, _ = open_page()
    box = page.locator("#dropzone").bounding_box()
    assert box is not None
    mouse = page.context.new_cdp_session(page)
    held = {"items": [], "files": [str(folder), str(picture)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        at = {"x": box["x"] + 20, "y": box["y"] + 20}
        mouse.send("Input.dispatchDragEvent", {"type": kind, **at, "data": held})
    expect(page.get_by_role("alert")).to_contain_text("my pictures is a folder")
    expect(page.locator("#answers [data-card=name]")).to_have_text(["spot.jpg"])


def test_a_phone_is_offered_its_camera(open_page: OpenPage) -> None:
    page, _ = open_page(has_touch=True, is_mobile=True, viewport={"width": 390, "height": 844})
    camera = page.get_by_label("Take a photo")
    expect(camera).to_be_visible()
    expect(camera).to_have_attribute("capture", "environment")
    camera.set_input_files(files=[lesion()])
    expect(page.get_by_alt_text("The picture you chose")).to_be_visible()
    analyse(page)
    expect(page.locator("#answers h2")).to_be_in_viewport()


def test_the_keyboard_alone_gets_an_answer(open_page: OpenPage) -> None:
    page, _ = open_page()
    # The browser holds its own dialogue back only once somebody listens; a key comes too soon.
    page.on("filechooser", lambda _: None)
    while page.evaluate("document.activeElement.id") != "file":
        page.keyboard.press("Tab")
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(files=[lesion()])
    expect(page.get_by_alt_text("The picture you chose")).to_be_visible()
    while page.evaluate("document.activeElement.id") != "analyse":
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#answers article")).to_be_visible()
    assert page.evaluate("document.activeElement.id") == "analyse"


def test_a_text_file_is_refused_in_words_and_can_be_exchanged(open_page: OpenPage) -> None:
    page, _ = open_page()
    choose(page, text_file())
    expect(page.get_by_role("alert")).to_contain_text("notes.txt is not a picture")
    choose(page, lesion())
    expect(page.get_by_role("alert")).to_be_hidden()
    analyse(page)


def test_what_the_server_cannot_read_is_said_in_its_words_and_can_be_exchanged(
    open_page: OpenPage,
) -> None:
    page, observer = open_page()
    observer.forgive("status of 4")
    choose(page, jpeg(b"no picture at all", "broken.jpg"))
    page.click("#analyse")
    expect(page.get_by_role("alert")).to_contain_text("broken.jpg")
    expect(page.locator("#answers article")).to_have_count(0)
    page.get_by_role("button", name="Remove broken.jpg").click()
    expect(page.get_by_role("alert")).to_be_hidden()
    drop(page, "#dropzone", lesion())
    analyse(page)


def test_analyse_pressed_before_the_picture_is_open_waits_for_it(open_page: OpenPage) -> None:
    page, _ = open_page()
    page.evaluate(
        """() => {
            const decode = HTMLImageElement.prototype.decode;
            HTMLImageElement.prototype.decode = async function () {
                await new Promise((resolve) => setTimeout(resolve, 500));
                return decode.call(this);
            };
        }"""
    )
    choose(page, lesion())
    analyse(page)


def test_a_server_that_falls_silent_is_given_up(open_page: OpenPage) -> None:
    page, _ = open_page()
    page.clock.install()
    page.route("**/api/v1/predictions*", lambda _: None)
    choose(page, lesion())
    with page.expect_request("**/api/v1/predictions*"):
        page.click("#analyse")
    page.clock.run_for(80_000)
    expect(page.get_by_text("silent")).to_be_hidden()
    page.clock.run_for(20_000)
    expect(page.get_by_text("has been silent")).to_be_visible()
    page.unroute("**/api/v1/predictions*")
    page.get_by_role("button", name="Try again").click()
    page.wait_for_selector("#answers article")


def test_a_server_that_never_describes_its_model_is_given_up(open_page: OpenPage) -> None:
    page, _ = open_page()
    page.clock.install()
    page.route("**/api/v1/models/*", lambda _: None)
    choose(page, lesion())
    with page.expect_response("**/api/v1/predictions*"):
        page.click("#analyse")
    page.clock.run_for(100_000)
    expect(page.get_by_text("has been silent")).to_be_visible()


@pytest.mark.parametrize("link", ["More about this diagnosis", "Models", "History"])
def test_another_page_opens_beside_the_answers(open_page: OpenPage, link: str) -> None:
    page, _ = open_page(locale="en-GB")
    choose(page, lesion())
    analyse(page)
    with page.expect_popup() as opened:
        page.get_by_role("link", name=link).first.click()
    expect(opened.value.locator("main h1")).to_be_visible()
    expect(page.locator("#answers article")).to_have_count(1)


def test_without_pictures_another_page_takes_the_place_of_this_one(open_page: OpenPage) -> None:
    page, _ = open_page(locale="en-GB")
    choose(page, lesion())
    page.get_by_role("button", name="Remove spot.jpg").click()
    page.get_by_role("link", name="Models").first.click()
    expect(page).to_have_url(re.compile("/models$"))


def test_how_to_read_it_is_on_this_page_in_every_language(open_page: OpenPage) -> None:
    page, _ = open_page("/?lang=de")
    choose(page, lesion())
    page.get_by_role("link", name="So liest man").first.click()
    expect(page.locator("#reading")).to_be_in_viewport()
    expect(page.locator("#answers [data-card=name]")).to_have_text("spot.jpg")


@pytest.mark.parametrize("link", ["Deutsch", "LesionLens"])
def test_loading_the_page_anew_asks_before_pictures_are_lost(
    open_page: OpenPage, link: str
) -> None:
    page, _ = open_page(locale="en-GB")
    choose(page, lesion())
    asked: list[str] = []

    def stay(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    page.on("dialog", stay)
    page.get_by_role("button", name="English").click()
    page.get_by_role("link", name=link).click(no_wait_after=True)
    page.wait_for_function("() => true")
    expect(page.locator("#answers [data-card=name]")).to_have_text("spot.jpg")
    assert asked == ["beforeunload"]


def test_without_a_picture_the_page_asks_for_one(open_page: OpenPage) -> None:
    page, _ = open_page()
    page.click("#analyse")
    expect(page.get_by_role("alert")).to_contain_text("Choose a picture first")


def test_after_a_lost_connection_the_picture_is_still_there(open_page: OpenPage) -> None:
    page, observer = open_page()
    observer.forgive("ERR_FAILED")
    choose(page, lesion())
    page.route("**/api/v1/predictions*", lambda route: route.abort())
    page.click("#analyse")
    expect(page.get_by_role("alert")).to_contain_text("cannot be reached")
    expect(page.get_by_alt_text("The picture you chose")).to_be_visible()
    page.unroute("**/api/v1/predictions*")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#answers article")).to_be_visible()
    expect(page.get_by_role("alert")).to_be_hidden()


def test_a_file_that_is_gone_since_is_not_taken_for_a_lost_connection(
    open_page: OpenPage, tmp_path: Path
) -> None:
    page, observer = open_page()
    observer.forgive("ERR_FILE_NOT_FOUND")
    picture = stored(tmp_path)
    page.set_input_files("#file", files=[picture])
    expect(page.get_by_alt_text("The picture you chose")).to_be_visible()
    picture.unlink()
    page.click("#analyse")
    expect(page.get_by_role("alert")).to_contain_text("spot.jpg can no longer be read")
