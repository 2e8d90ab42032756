"""What is sent of a picture: a large photo shrunk, a part cut out, a small file as it came."""

from __future__ import annotations

import io
import json
import urllib.request
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any, Literal

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms
from playwright.sync_api import FilePayload, Page, Request, Route, expect

from tests.drawings import SUSPICIOUS_REDNESS, draw_lesion, encode
from tests.e2e.conftest import OpenPage
from tests.e2e.test_layout import overhang, violations
from tests.e2e.uploads import analyse, choose, jpeg, lesion
from tests.serving.test_pictures import with_red_and_blue_swapped

PREDICTIONS = "**/api/v1/predictions*"

LATE_MAPS = """
() => {
  const decode = HTMLImageElement.prototype.decode;
  const frame = () => new Promise(requestAnimationFrame);
  HTMLImageElement.prototype.decode = async function () {
    if (this.src.startsWith("data:")) {
      while (document.querySelector(".report [data-slot=picture]")) await frame();
    }
    return decode.call(this);
  };
}
"""
"""reads a heatmap once the picture that cannot be shown is out of the report"""

HOLD_BACK = """
() => {
  const { toBlob } = HTMLCanvasElement.prototype;
  const released = new Promise((resolve) => (window.release = resolve));
  HTMLCanvasElement.prototype.toBlob = function (...options) {
    released.then(() => toBlob.apply(this, options));
  };
}
"""
"""has no part cut out until `release` is called"""

MADE_UP = """
{
  const context = CanvasRenderingContext2D.prototype, canvas = HTMLCanvasElement.prototype;
  const { getImageData } = context, { toBlob } = canvas;
  context.getImageData = function (...place) {
    const given = getImageData.apply(this, place);
    given.data.forEach((level, i) => (given.data[i] = 255));
    return given;
  };
  canvas.toBlob = function (...options) {
    const { width, height } = this;
    toBlob.apply(Object.assign(document.createElement("canvas"), { width, height }), options);
  };
}
"""
"""gives other pixels than were painted, as browsers do that guard against being recognised"""

BLURRED = """
{
  const context = CanvasRenderingContext2D.prototype;
  const { getImageData } = context;
  context.getImageData = function (...place) {
    const given = getImageData.apply(this, place);
    given.data.forEach((level, i) => (given.data[i] = level + (level < 128 ? 2 : -2)));
    return given;
  };
}
"""
"""gives nearly the pixels that were painted"""


def test_a_photo_of_48_megapixels_goes_through_shrunk_and_upright(
    open_page: OpenPage, address: str
) -> None:
    upright = draw_lesion(4, 750, 1000, redness=SUSPICIOUS_REDNESS)
    # As a phone stores it: lying on its side, in colours of its own.
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    lying = Image.merge("RGB", upright.transpose(Image.Transpose.ROTATE_90).split()[::-1])
    photo = encode(
        lying.resize((8000, 6000)),
        quality=95,
        exif=exif,
        icc_profile=with_red_and_blue_swapped(srgb),
    )
    page, _ = open_page()
    page.set_default_timeout(60_000)
    choose(page, jpeg(photo, "IMG_2041.jpg"))
    expect(page.locator("[data-card=note]")).to_have_text(
        f"{pixels(6000, 8000)}, shrunk to {pixels(1024, 1365)}", timeout=60_000
    )
    sent = send(page)
    assert len(sent) < len(photo) / 4
    assert len(sent) < 1_000_000
    with Image.open(io.BytesIO(sent)) as image:
        assert image.size == (1024, 1365)
        assert image.getexif().get(ExifTags.Base.Orientation, 1) == 1
        assert difference(image, upright.resize(image.size)) < 4

    page.wait_for_selector("#answers article")
    whole, shrunk = (predictions(address, data) for data in (photo, sent))
    for id, probability in whole["probabilities"].items():
        assert shrunk["probabilities"][id] == pytest.approx(probability, abs=0.02)


@pytest.mark.parametrize(
    "file",
    [
        lesion(),
        # Of many bytes and few pixels, and the other way round.
        {
            "name": "noise.png",
            "mimeType": "image/png",
            "buffer": encode(
                Image.fromarray(
                    np.random.default_rng(1).integers(0, 256, (800, 900, 3), dtype=np.uint8)
                ),
                "PNG",
            ),
        },
        jpeg(encode(Image.new("RGB", (2400, 1800), "tan")), "flat.jpg"),
    ],
    ids=["small", "few pixels", "few bytes"],
)
def test_a_small_file_is_sent_as_it_came(open_page: OpenPage, file: FilePayload) -> None:
    page, _ = open_page()
    choose(page, file)
    assert send(page) == file["buffer"]


def test_what_the_browser_cannot_decode_is_sent_as_it_came_and_answered(
    open_page: OpenPage,
) -> None:
    page, _ = open_page()
    choose(page, heic())
    expect(page.get_by_text("This browser cannot show this file")).to_be_visible()
    expect(page.get_by_role("button", name="Crop", exact=True)).to_be_hidden()
    assert send(page) == heic()["buffer"]
    expect(page.locator("#answers h2")).to_contain_text("mole")
    # The server showed what the browser could not.
    picture = page.get_by_alt_text("The picture that was analysed: IMG_0007.HEIC")
    expect(picture).to_be_visible()
    assert picture.evaluate("(image) => image.decode().then(() => image.naturalWidth)") == 600
    expect(page.locator("canvas[data-slot=map]")).to_be_visible()
    expect(page.locator("[data-card=note]")).to_have_text(pixels(600, 450))
    assert violations(page) == []


def test_the_answer_waits_for_no_preview(open_page: OpenPage) -> None:
    page, _ = open_page(locale="en-GB")
    held: list[Route] = []
    page.route("**/preview", lambda route: held.append(route))
    choose(page, heic())
    with page.expect_request("**/preview"):
        analyse(page)
    expect(page.locator("#answers h2")).to_contain_text("mole")
    expect(page.locator("canvas[data-slot=map]")).to_be_hidden()
    for route in held:
        route.continue_()
    expect(page.locator("canvas[data-slot=map]")).to_be_visible()
    expect(page.locator("[data-card=thumb]")).to_be_visible()
    page.get_by_role("button", name="Keep").click()
    page.get_by_role("button", name="Keep in this browser").click()
    expect(page.get_by_role("link", name="Kept. To your history")).to_be_focused()


def test_a_preview_is_called_back_and_the_answer_stays(open_page: OpenPage) -> None:
    page, _ = open_page(locale="en-GB")
    page.route("**/preview", lambda _: None)
    choose(page, heic())
    with page.expect_request("**/preview"):
        analyse(page)
    with page.expect_event("requestfailed", lambda request: request.url.endswith("/preview")):
        page.get_by_role("switch", name="On this device").check()
    expect(page.get_by_role("button", name="Print")).to_be_visible()
    expect(page.locator("#answers h2")).to_contain_text("mole")


def test_a_preview_that_fails_leaves_the_answer(open_page: OpenPage) -> None:
    page, observer = open_page(locale="en-GB")
    observer.forgive("ERR_FAILED")
    page.route("**/preview", lambda route: route.abort())
    page.evaluate(LATE_MAPS)
    choose(page, heic())
    analyse(page)
    expect(page.get_by_role("button", name="Print")).to_be_visible()
    expect(page.locator(".report[data-ready]")).to_have_count(1)
    expect(page.get_by_role("button", name="Keep")).to_be_hidden()


def test_an_avif_is_shown_and_answered(open_page: OpenPage) -> None:
    page, _ = open_page()
    data = encode(draw_lesion(4), "AVIF")
    choose(page, {"name": "spot.avif", "mimeType": "image/avif", "buffer": data})
    expect(page.get_by_alt_text("The picture you chose: spot.avif")).to_be_visible()
    assert send(page) == data
    expect(page.locator("#answers h2")).to_contain_text("mole")


def test_the_part_that_was_cut_out_with_keys_is_what_is_sent(open_page: OpenPage) -> None:
    picture = draw_lesion(4)
    page, _ = open_page()
    choose(page, jpeg(encode(picture, quality=95), "spot.jpg"))
    page.get_by_role("button", name="Crop", exact=True).press("Enter")
    dialog = page.get_by_role("dialog", name="Put the lesion in the middle")
    expect(dialog.get_by_role("application")).to_be_focused()
    assert violations(page) == []
    for _ in range(3):
        page.keyboard.press("+")
    for _ in range(20):
        page.keyboard.press("Shift+ArrowLeft")
        page.keyboard.press("Shift+ArrowUp")
    dialog.get_by_role("button", name="Use this part").press("Enter")
    expect(dialog).to_be_hidden()
    expect(page.get_by_role("button", name="Crop", exact=True)).to_be_focused()
    # The largest square has 450 pixels a side; it was zoomed three times, into the corner.
    side = round(450 / 1.1**3)
    expect(page.locator("[data-card=note]")).to_have_text(
        f"Cropped from {pixels(600, 450)} to {pixels(side, side)}"
    )
    with Image.open(io.BytesIO(send(page))) as sent:
        assert sent.size == (side, side)
        assert difference(sent, picture.crop((0, 0, side, side))) < 4
    page.wait_for_selector("#answers article")
    expect(page.locator("[data-slot=detail-pixels]")).to_have_text(pixels(side, side))


def test_the_pointer_drags_and_the_wheel_zooms_towards_it(open_page: OpenPage) -> None:
    page, _ = open_page()
    choose(page, lesion())
    page.get_by_role("button", name="Crop", exact=True).click()
    image = page.locator("[data-crop=image]")
    frame = page.locator("[data-crop=frame]").bounding_box()
    before = image.bounding_box()
    assert frame is not None
    assert before is not None
    page.mouse.move(frame["x"] + 100, frame["y"] + 100)
    page.mouse.down()
    page.mouse.move(frame["x"] + 130, frame["y"] + 160)
    page.mouse.up()
    dragged = image.bounding_box()
    assert dragged is not None
    assert dragged["x"] == pytest.approx(before["x"] + 30, abs=1)
    # There is nothing above the picture to be seen.
    assert dragged["y"] == pytest.approx(before["y"], abs=1)
    page.mouse.wheel(0, -200)
    page.wait_for_timeout(100)
    zoomed = image.bounding_box()
    assert zoomed is not None
    scale = zoomed["width"] / dragged["width"]
    assert scale == pytest.approx(np.exp(0.5), rel=0.01)
    across, down = frame["x"] + 130, frame["y"] + 160
    assert across - zoomed["x"] == pytest.approx(scale * (across - dragged["x"]), abs=1)
    assert down - zoomed["y"] == pytest.approx(scale * (down - dragged["y"]), abs=1)


@pytest.mark.parametrize("button", ["right", "left"], ids=["another button", "capture lost"])
def test_the_picture_does_not_stick_to_a_pointer_that_does_not_drag(
    open_page: OpenPage, button: Literal["left", "right"]
) -> None:
    page, _ = open_page()
    choose(page, lesion())
    page.get_by_role("button", name="Crop", exact=True).click()
    stage, image = page.locator("[data-crop=stage]"), page.locator("[data-crop=image]")
    stage.evaluate("(stage) => stage.addEventListener('pointerdown', (e) => (window.down = e))")
    frame = page.locator("[data-crop=frame]").bounding_box()
    assert frame is not None
    x, y = frame["x"] + 100, frame["y"] + 100
    page.mouse.move(x, y)
    page.mouse.down(button=button)
    if button == "left":
        # The capture begins with the first move.
        page.mouse.move(x + 10, y)
        stage.evaluate("(stage) => stage.releasePointerCapture(down.pointerId)")
    before = image.bounding_box()
    page.mouse.move(x + 40, y)
    page.mouse.move(x + 60, y)
    assert image.bounding_box() == before


def test_two_fingers_zoom(open_page: OpenPage) -> None:
    page, _ = open_page(has_touch=True, is_mobile=True, viewport={"width": 375, "height": 812})
    choose(page, lesion())
    page.get_by_role("button", name="Crop", exact=True).click()
    expect(page.get_by_role("dialog")).to_be_visible()
    assert overhang(page) == []
    image = page.locator("[data-crop=image]")
    before = image.bounding_box()
    frame = page.locator("[data-crop=frame]").bounding_box()
    assert frame is not None
    assert before is not None
    x, y = frame["x"] + frame["width"] / 2, frame["y"] + frame["height"] / 2
    touch = page.context.new_cdp_session(page)

    def fingers(kind: str, apart: float) -> None:
        points = [{"x": x - apart, "y": y, "id": 1}, {"x": x + apart, "y": y, "id": 2}]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    fingers("touchStart", 30)
    for apart in (35, 40, 50, 60):
        fingers("touchMove", apart)
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.wait_for_timeout(100)
    after = image.bounding_box()
    assert after is not None
    assert after["width"] / before["width"] == pytest.approx(2, rel=0.05)


def test_another_part_takes_the_answer_away_and_escape_leaves_it(open_page: OpenPage) -> None:
    page, _ = open_page()
    choose(page, lesion())
    analyse(page)
    crop = page.get_by_role("button", name="Crop", exact=True)
    crop.click()
    page.keyboard.press("Escape")
    expect(page.locator("#answers article")).to_be_visible()
    crop.click()
    page.keyboard.press("+")
    page.get_by_role("button", name="Use this part").click()
    expect(page.locator("#answers article")).to_have_count(0)
    expect(page.locator("[data-card=note]")).to_contain_text("Cropped from")
    analyse(page)
    crop.click()
    page.get_by_role("button", name="Whole picture").click()
    expect(page.locator("[data-card=note]")).to_have_text(pixels(600, 450))


def test_a_part_that_is_still_being_cut_out_takes_no_other_pictures_dialog(
    open_page: OpenPage,
) -> None:
    page, _ = open_page()
    page.set_input_files("#file", files=[lesion(name="one.jpg"), lesion(name="other.jpg")])
    one, other = (page.get_by_label(f"Picture: {name}.jpg") for name in ("one", "other"))
    crop = one.get_by_role("button", name="Crop", exact=True)
    crop.click()
    page.keyboard.press("+")
    page.evaluate(HOLD_BACK)
    page.get_by_role("button", name="Use this part").click()
    expect(crop).to_have_attribute("aria-disabled", "true")
    expect(crop).to_be_focused()
    page.keyboard.press("Enter")
    other.get_by_role("button", name="Crop", exact=True).click()
    shown = page.locator("[data-crop=image]")
    before = shown.get_attribute("src")
    page.evaluate("release()")
    expect(one.locator("[data-card=note]")).to_contain_text("Cropped from")
    assert shown.get_attribute("src") == before
    page.get_by_role("button", name="Use this part").click()
    expect(other.locator("[data-card=note]")).to_contain_text("Cropped from")
    expect(crop).to_have_attribute("aria-disabled", "false")


def test_of_pixels_that_the_browser_makes_up_none_are_sent_or_shown(open_page: OpenPage) -> None:
    page, _ = open_page(locale="en-GB")
    page.context.add_init_script(MADE_UP)
    page.goto("/")
    expect(page.get_by_role("switch", name="On this device")).to_be_disabled()
    expect(page.locator("#device-note")).to_contain_text("made-up pixels")
    large = encode(draw_lesion(4, 2000, 1500), "PNG")
    choose(page, {"name": "large.png", "mimeType": "image/png", "buffer": large})
    assert send(page) == large
    page.wait_for_selector("#answers article")
    section = page.locator("#answers [data-part=map]")
    expect(section).to_contain_text("The map is left out")
    expect(section.locator("canvas").locator("visible=true")).to_have_count(0)
    expect(page.get_by_role("button", name="Print")).to_be_visible()
    expect(page.get_by_role("button", name="Keep")).to_be_hidden()
    expect(page.get_by_role("button", name="Crop", exact=True)).to_be_hidden()
    report = page.locator(".report[data-ready]")
    expect(report).to_contain_text("The map is left out")
    expect(report.locator("canvas")).to_have_count(0)
    assert violations(page) == []


def test_of_pixels_that_the_browser_blurs_a_little_all_is_offered(open_page: OpenPage) -> None:
    page, _ = open_page(locale="en-GB")
    page.context.add_init_script(BLURRED)
    page.goto("/")
    expect(page.get_by_role("switch", name="On this device")).to_be_enabled()
    choose(page, lesion())
    expect(page.get_by_role("button", name="Crop", exact=True)).to_be_visible()
    analyse(page)
    expect(page.locator("canvas[data-slot=map]")).to_be_visible()
    expect(page.get_by_text("The map is left out")).to_be_hidden()
    expect(page.get_by_role("button", name="Keep")).to_be_visible()


def test_a_lesion_that_is_small_in_the_picture_is_offered_to_be_cut_out(
    open_page: OpenPage,
) -> None:
    page, _ = open_page()
    far = Image.new("RGB", (1200, 900), (219, 184, 161))
    far.paste((70, 50, 40), (580, 430, 640, 490))
    choose(page, jpeg(encode(far), "far.jpg"))
    analyse(page)
    warning = page.locator("[data-part=warnings]")
    expect(warning).to_contain_text("The lesion is small in the picture")
    warning.get_by_role("button", name="Crop the picture").click()
    expect(page.get_by_role("dialog", name="Put the lesion in the middle")).to_be_visible()


def heic() -> FilePayload:
    data = encode(draw_lesion(4), "HEIF")
    return {"name": "IMG_0007.HEIC", "mimeType": "image/heic", "buffer": data}


def pixels(width: int, height: int) -> str:
    return f"{width} \N{MULTIPLICATION SIGN} {height} pixels"


def send(page: Page) -> bytes:
    """Presses Analyse; the bytes of the picture that is sent."""
    bodies: list[Request] = []

    def note(route: Route) -> None:
        bodies.append(route.request)
        route.continue_()

    page.route(PREDICTIONS, note)
    with page.expect_response(PREDICTIONS):
        page.click("#analyse")
    page.unroute(PREDICTIONS)
    (request,) = bodies
    body = request.post_data_buffer
    assert body is not None
    head = f"content-type: {request.headers['content-type']}\r\n\r\n".encode()
    (part,) = BytesParser(policy=HTTP).parsebytes(head + body).iter_parts()
    sent = part.get_payload(decode=True)
    assert isinstance(sent, bytes)
    return sent


def predictions(address: str, data: bytes) -> Any:
    """What the server answers to a file that is sent past the page."""
    head = b'--b\r\ncontent-disposition: form-data; name="images"; filename="a.jpg"\r\n\r\n'
    request = urllib.request.Request(
        f"{address}/api/v1/predictions?model=mobilenet",
        head + data + b"\r\n--b--\r\n",
        {"content-type": "multipart/form-data; boundary=b"},
    )
    with urllib.request.urlopen(request) as response:
        return json.load(response)[0]


def difference(one: Image.Image, other: Image.Image) -> float:
    return float(np.abs(np.asarray(one, np.float64) - np.asarray(other, np.float64)).mean())
