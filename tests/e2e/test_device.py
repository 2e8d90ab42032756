"""Pictures read in the browser itself: the server's answer, without the server."""

from __future__ import annotations

import base64
import io
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter
from playwright.sync_api import Browser, FilePayload, Page, Request, Route, expect

from serving import manifest as contract
from serving.settings import CHECKOUT
from tests.artifact_factory import make_artifact, make_artifacts, write_graph
from tests.drawings import SUSPICIOUS_REDNESS, draw_flat, draw_lesion, encode
from tests.e2e.conftest import Observer, OpenPage
from tests.e2e.server import served
from tests.e2e.uploads import analyse, choose, lesion, stored
from training import preprocess

PADDED = "padded"
"""A model that sees the whole of a picture between bars."""

PATIENCE = 60_000
"""milliseconds for the runtime to start, which a busy machine takes long over"""

# What the worker is given and what it answers: the page shrinks large pictures, and shows whole
# percents.
LISTEN = """
window.given = [];
window.answers = [];
window.Worker = class extends Worker {
    constructor(...options) {
        super(...options);
        this.addEventListener("message", ({ data }) => {
            if (data.done) window.answers.push(data.done);
        });
    }
    postMessage(message) {
        if (message.task.kind === "read") window.given.push(message.task.picture);
        super.postMessage(message);
    }
};
"""

ASK_SERVER = """async (model) => {
    const body = new FormData();
    body.append("images", given.pop());
    const query = new URLSearchParams({ model, heatmaps: "true" });
    const response = await fetch(`/api/v1/predictions?${query}`, { method: "POST", body });
    return (await response.json())[0];
}"""

KEPT = """async () => {
    const caches_ = await Promise.all((await caches.keys()).map((name) => caches.open(name)));
    const requests = await Promise.all(caches_.map((cache) => cache.keys()));
    return requests.flat().map((request) => request.url);
}"""


def turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encode(draw_lesion(7, 900, 640), exif=exif, quality=92)


def transparent() -> bytes:
    picture = draw_lesion(5, redness=SUSPICIOUS_REDNESS)
    y, x = np.mgrid[0:450, 0:600]
    distance = np.hypot(x - 300, y - 225)
    alpha = Image.fromarray(np.clip(320 - distance, 0, 255).astype(np.uint8))
    picture.putalpha(alpha)
    return encode(picture, "PNG")


def deep_grey() -> bytes:
    levels = np.asarray(draw_lesion(3).convert("L"), np.uint16) * 257
    return encode(Image.fromarray(levels), "PNG")


def blurred(radius: float) -> bytes:
    return encode(draw_lesion(6).filter(ImageFilter.GaussianBlur(radius)), quality=95)


PICTURES: dict[str, Callable[[], bytes]] = {
    "lesion.jpg": lambda: encode(draw_lesion(4), quality=90),
    "red.jpg": lambda: encode(draw_lesion(8, redness=SUSPICIOUS_REDNESS), quality=90),
    "huge.jpg": lambda: encode(draw_lesion(2, 2900, 2100), quality=90),
    "portrait.png": lambda: encode(draw_lesion(9, 431, 777), "PNG"),
    "large.png": lambda: encode(draw_lesion(1, 1501, 1203), "PNG"),
    "transparent.png": transparent,
    "grey.jpg": lambda: encode(draw_lesion(3).convert("L"), quality=90),
    "deep.png": deep_grey,
    "palette.png": lambda: encode(draw_lesion(3).convert("P"), "PNG"),
    "lossy.webp": lambda: encode(draw_lesion(6), "WEBP", quality=90),
    "new.avif": lambda: encode(draw_lesion(6), "AVIF", quality=90),
    **{f"turned {i}.jpg": partial(turned, i) for i in range(2, 9)},
    "tiny.jpg": lambda: encode(draw_lesion(6, 90, 70), quality=95),
    "blurred.jpg": lambda: blurred(12),
    "dark.jpg": lambda: encode(draw_lesion(6).point(lambda level: level // 6), quality=95),
    "flat.png": lambda: encode(draw_flat(), "PNG"),
    "sky.png": lambda: encode(draw_flat(colour=(40, 90, 220)), "PNG"),
}


@pytest.fixture(scope="module")
def real(browser: Browser) -> Iterator[Page]:
    with served(CHECKOUT / "artifacts") as address, switched_on(browser, address) as page:
        yield page


@pytest.fixture(scope="module")
def made(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    artifacts = make_artifacts(tmp_path_factory.mktemp("artifacts"))
    folder = artifacts / PADDED
    manifest = make_artifact(folder, name=PADDED, fit="pad")
    write_graph(preprocess.build(manifest.preprocessing), folder / contract.PREPROCESS_FILE)
    contract.save(manifest, folder)
    with served(artifacts) as address, switched_on(browser, address) as page:
        yield page


@contextmanager
def switched_on(browser: Browser, address: str) -> Iterator[Page]:
    """A page that reads on the device and holds what it answered in `answers`."""
    with browser.new_context(base_url=address, reduced_motion="reduce") as context:
        context.add_init_script(LISTEN)
        page = context.new_page()
        observer = Observer(page, address)
        page.goto("/")
        switch_on(page)
        yield page
        assert observer.complaints == []


def switch_on(page: Page) -> None:
    page.set_default_timeout(PATIENCE)
    page.get_by_role("switch", name="On this device").check()
    expect(page.locator("#device-note")).to_contain_text("without a network", timeout=PATIENCE)


def payload(name: str) -> FilePayload:
    kind = name.rpartition(".")[2].replace("jpg", "jpeg")
    return {"name": name, "mimeType": f"image/{kind}", "buffer": PICTURES[name]()}


def both(page: Page, model: str, file: FilePayload) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the device and what the server answers to the very same bytes."""
    remove_cards(page)
    page.check(f"input[name=model][value={model}]")
    choose(page, file)
    page.click("#analyse")
    page.wait_for_function("() => answers.length > 0")
    return page.evaluate("answers.pop()"), page.evaluate(ASK_SERVER, model)


def assert_same(device: dict[str, Any], server: dict[str, Any]) -> None:
    """One answer is the other's, within 0.02 of every probability."""
    assert set(device) == set(server)
    same = ("image", "model", "width", "height", "prediction", "verdict", "refused", "warnings")
    assert {said: device[said] for said in same} == {said: server[said] for said in same}
    assert device["prediction_set"] == server["prediction_set"]
    assert device["probabilities"] == pytest.approx(server["probabilities"], abs=0.02)
    malignant = server["malignant_probability"]
    assert device["malignant_probability"] == pytest.approx(malignant, abs=0.02)
    assert device["novelty"] == pytest.approx(server["novelty"], rel=0.05, abs=0.01)
    assert device["view"] == pytest.approx(server["view"], abs=0.005)
    assert set(device["heatmaps"]) == set(server["heatmaps"])
    for id, heatmap in server["heatmaps"].items():
        here, there = evidence(device["heatmaps"][id]), evidence(heatmap)
        assert np.abs(here - there).mean() < 0.05


def evidence(uri: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    with Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as picture:
        return np.asarray(picture.convert("L"), np.float64) / 255


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_gets_the_servers_answer(real: Page, name: str) -> None:
    assert_same(*both(real, "mobilenet", payload(name)))


@pytest.mark.parametrize("name", ["huge.jpg", "turned 6.jpg", "transparent.png", "sky.png"])
@pytest.mark.parametrize(
    ("models", "model"),
    [("real", "cnn"), ("made", "cnn"), ("made", "mobilenet"), ("made", PADDED)],
)
def test_every_model_gives_the_servers_answer(
    request: pytest.FixtureRequest, models: str, model: str, name: str
) -> None:
    assert_same(*both(request.getfixturevalue(models), model, payload(name)))


def test_nothing_is_fetched_for_it_before_the_switch_is_on(open_page: OpenPage) -> None:
    page, _ = open_page()
    fetched = listen(page)
    page.reload()
    choose(page, lesion())
    analyse(page)
    needed = re.compile(r"\.(wasm|onnx)|/device/")
    assert not [request.url for request in fetched if needed.search(request.url)]
    switch_on(page)
    found = [needed.search(request.url) for request in fetched]
    assert {match.group() for match in found if match} == {".wasm", ".onnx", "/device/"}


def test_the_picture_leaves_the_browser_in_no_request(open_page: OpenPage) -> None:
    page, _ = open_page()
    switch_on(page)
    sent = listen(page)
    choose(page, lesion(name="private.jpg"))
    analyse(page)
    expect(page.locator("#answers h2").first).to_contain_text("mole")
    assert {request.method for request in sent} <= {"GET"}
    assert not [request.url for request in sent if "private" in request.url]


def test_neither_picture_nor_answer_is_kept(open_page: OpenPage) -> None:
    page, _ = open_page()
    switch_on(page)
    choose(page, lesion(name="private.jpg"))
    analyse(page)
    kept = page.evaluate(KEPT)
    assert any(".wasm" in address for address in kept)
    assert any(address.endswith("/") for address in kept)
    assert not [address for address in kept if re.search("predictions|private|blob", address)]


def test_after_the_switch_everything_works_without_a_server(
    browser: Browser, tmp_path: Path
) -> None:
    with browser.new_context(reduced_motion="reduce") as context:
        page = context.new_page()
        with served(make_artifacts(tmp_path)) as address:
            page.goto(address)
            switch_on(page)
        observer = Observer(page, address)
        observer.forgive("ERR_CONNECTION_REFUSED")
        page.goto(address)
        expect(page.get_by_role("switch", name="On this device")).to_be_checked()
        for model in ("mobilenet", "cnn"):
            remove_cards(page)
            page.check(f"input[name=model][value={model}]")
            choose(page, lesion(SUSPICIOUS_REDNESS))
            analyse(page)
            expect(page.locator("#answers h2").first).to_contain_text("Suspicious")
            expect(page.locator("[data-slot=chart] canvas")).to_be_visible()
        for path in ("/history", "/diagnoses", "/diagnoses/mel", "/models", "/models/cnn"):
            page.goto(address + path)
            # What there is no page of at all is answered with the main one.
            expect(page.locator("#dropzone")).to_have_count(0)
            expect(page.locator("main h1")).to_be_visible()
        page.goto(address + "/api")
        expect(page.locator("#operations-Predictions-predict")).to_be_visible()
        assert observer.complaints == []


def test_a_picture_given_while_it_still_fetches_waits_and_is_not_sent(open_page: OpenPage) -> None:
    page, _ = open_unkept(open_page)
    held: list[Route] = []
    page.route("**/*.wasm", lambda route: held.append(route))
    page.get_by_role("switch", name="On this device").check()
    sent = listen(page)
    choose(page, lesion())
    page.click("#analyse")
    expect(page.locator("#device-fetching")).to_be_visible()
    page.wait_for_timeout(500)
    expect(page.locator("#answers article")).to_have_count(0)
    for route in held:
        route.continue_()
    page.wait_for_selector("#answers article")
    assert "POST" not in {request.method for request in sent}


def test_what_is_on_its_way_to_the_server_is_called_back(open_page: OpenPage) -> None:
    page, _ = open_page()
    held: list[Route] = []
    page.route("**/api/v1/predictions*", lambda route: held.append(route))
    choose(page, lesion())
    with page.expect_request("**/api/v1/predictions*"):
        page.click("#analyse")
    with page.expect_event("requestfailed"):
        switch_on(page)
    expect(page.locator("[data-state=answered]")).to_have_count(1)
    assert len(held) == 1


def test_where_fetching_fails_it_says_so_and_still_sends_nothing(open_page: OpenPage) -> None:
    page, observer = open_unkept(open_page)
    observer.forgive("ERR_FAILED")
    page.route("**/*.wasm", lambda route: route.abort())
    page.get_by_role("switch", name="On this device").check()
    expect(page.locator("#device-problem")).to_contain_text(
        "could not be fetched", timeout=PATIENCE
    )
    sent = listen(page)
    choose(page, lesion())
    page.click("#analyse")
    failed = page.locator("[role=alert]:not(#device-problem)").filter(
        has_text="could not be fetched"
    )
    expect(failed).to_be_visible(timeout=PATIENCE)
    page.unroute("**/*.wasm")
    page.click("#analyse")
    page.wait_for_selector("#answers article")
    assert "POST" not in {request.method for request in sent}


def test_a_worker_that_cannot_be_fetched_is_no_fault_of_the_browser(open_page: OpenPage) -> None:
    page, observer = open_unkept(open_page)
    observer.forgive("ERR_FAILED")
    page.route("**/assets/device/worker-*.js", lambda route: route.abort())
    page.get_by_role("switch", name="On this device").check()
    expect(page.locator("#device-problem")).to_contain_text(
        "could not be fetched", timeout=PATIENCE
    )
    page.unroute("**/assets/device/worker-*.js")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#device-problem")).to_be_hidden()
    expect(page.get_by_role("button", name="Try again")).to_be_hidden()
    choose(page, lesion())
    analyse(page)


def test_a_download_that_falls_silent_is_given_up(open_page: OpenPage) -> None:
    page, _ = open_unkept(open_page)
    page.route("**/assets/device/worker-*.js", hasten)
    page.route("**/*.wasm", lambda _: None)
    page.get_by_role("switch", name="On this device").check()
    expect(page.locator("#device-problem")).to_contain_text(
        "could not be fetched", timeout=PATIENCE
    )


def test_a_network_that_hangs_is_not_waited_for(browser: Browser, tmp_path: Path) -> None:
    with browser.new_context(reduced_motion="reduce") as context:
        page = context.new_page()
        with served(make_artifacts(tmp_path)) as address:
            page.goto(address)
            switch_on(page)
        # Whoever connects is never answered.
        with socket.create_server(("127.0.0.1", int(address.rpartition(":")[2]))):
            page.goto(address, timeout=PATIENCE)
            expect(page.locator("#dropzone")).to_be_visible()
            expect(page.locator("#device-note")).to_contain_text(
                "without a network", timeout=PATIENCE
            )


def test_a_model_that_was_altered_on_the_way_is_not_run(open_page: OpenPage) -> None:
    page, _ = open_unkept(open_page)
    page.route("**/model.onnx*", lambda route: route.fulfill(body=b"another graph"))
    page.get_by_role("switch", name="On this device").check()
    expect(page.locator("#device-problem")).to_contain_text(
        "not what the server says", timeout=PATIENCE
    )
    assert not [address for address in page.evaluate(KEPT) if "model.onnx" in address]


def test_what_the_browser_cannot_open_is_said_with_what_to_do(open_page: OpenPage) -> None:
    page, _ = open_page()
    switch_on(page)
    tiff = encode(draw_lesion(4), "TIFF")
    choose(page, {"name": "scan.tiff", "mimeType": "image/tiff", "buffer": tiff})
    expect(page.get_by_text("cannot be read on this device")).to_be_visible()
    expect(page.get_by_text("The server may still be able")).to_be_hidden()
    page.click("#analyse")
    expect(page.get_by_text("cannot open scan.tiff")).to_be_visible(timeout=PATIENCE)
    page.get_by_role("switch", name="On this device").uncheck()
    analyse(page)


def test_a_file_that_is_gone_since_is_not_one_that_the_browser_cannot_open(
    open_page: OpenPage, tmp_path: Path
) -> None:
    page, _ = open_page()
    switch_on(page)
    picture = stored(tmp_path)
    page.set_input_files("#file", files=[picture])
    expect(page.get_by_alt_text("The picture you chose")).to_be_visible()
    picture.unlink()
    page.click("#analyse")
    expect(page.get_by_text("can no longer be read")).to_be_visible(timeout=PATIENCE)


def test_the_switch_is_remembered_and_what_it_needs_comes_with_the_first_picture(
    open_page: OpenPage,
) -> None:
    page, _ = open_page()
    switch_on(page)
    fetched = listen(page)
    page.reload()
    expect(page.get_by_role("switch", name="On this device")).to_be_checked()
    expect(page.locator("#privacy")).to_contain_text("stays on this device")
    assert not [request.url for request in fetched if "/device/" in request.url]
    choose(page, lesion())
    analyse(page)
    assert "POST" not in {request.method for request in fetched}


def test_a_form_whose_scripts_have_not_come_sends_nothing(open_page: OpenPage) -> None:
    page, _ = open_unkept(open_page)
    page.evaluate("localStorage.setItem('on-device', 'wanted')")
    page.route("**/assets/main-*.js", lambda _: None)
    page.goto("/", wait_until="commit")
    sent = listen(page)
    choose(page, lesion())
    page.click("#analyse")
    expect(page.get_by_text("has not come yet")).to_be_visible()
    page.wait_for_timeout(500)
    assert "POST" not in {request.method for request in sent}


@pytest.mark.parametrize("script", ["main", "en"])
def test_a_page_whose_scripts_cannot_be_fetched_is_one_without_scripts(
    open_page: OpenPage, script: str
) -> None:
    page, observer = open_unkept(open_page)
    observer.forgive("ERR_FAILED")
    observer.forgive("Failed to fetch dynamically imported module")
    page.route(f"**/assets/{script}-*.js", lambda route: route.abort())
    page.reload()
    expect(page.get_by_role("switch", name="On this device")).to_be_hidden()
    expect(page.get_by_text("Drop pictures here")).to_be_hidden()
    choose(page, lesion())
    analyse(page)
    expect(page.locator("#answers h2")).to_contain_text("mole")


def test_what_is_new_on_the_server_is_fetched_before_it_says_to_need_no_network(
    open_page: OpenPage,
) -> None:
    page, _ = open_page()
    switch_on(page)
    page.evaluate(
        """async () => {
            const cache = await caches.open("lesionlens-device");
            const [graph] = (await cache.keys()).filter(({ url }) => url.includes("model.onnx"));
            await cache.delete(graph);
        }"""
    )
    with page.expect_request(re.compile(r"model\.onnx")):
        page.reload()
    expect(page.locator("#device-note")).to_contain_text("without a network", timeout=PATIENCE)


def test_a_picture_can_be_cropped_and_its_answer_kept(open_page: OpenPage) -> None:
    page, _ = open_page(locale="en-GB")
    switch_on(page)
    choose(page, lesion())
    page.get_by_role("button", name="Crop").click()
    page.get_by_role("button", name="Whole picture").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    analyse(page)
    page.get_by_role("button", name="Keep").click()
    page.get_by_role("button", name="Keep in this browser").click()
    expect(page.get_by_role("link", name="Kept. To your history")).to_be_focused()


def test_switched_off_while_it_looks_what_is_kept_it_stays_off(open_page: OpenPage) -> None:
    page, observer = open_unkept(open_page)
    observer.forgive("ERR_FAILED")
    page.evaluate("localStorage.setItem('on-device', 'kept')")
    held: list[Route] = []
    page.route("**/api/v1/models", lambda route: held.append(route))
    with page.expect_request("**/api/v1/models"):
        page.reload()
    page.get_by_role("switch", name="On this device").uncheck()
    for route in held:
        route.abort()
    page.wait_for_timeout(300)
    expect(page.locator("#privacy")).to_contain_text("The server keeps nothing")
    assert page.evaluate("localStorage.getItem('on-device')") is None


def test_what_was_fetched_can_be_deleted(open_page: OpenPage) -> None:
    page, _ = open_page()
    delete = page.get_by_role("button", name="Delete the")
    expect(delete).to_be_hidden()
    switch_on(page)
    page.get_by_role("switch", name="On this device").uncheck()
    delete.click()
    expect(page.locator("#device-note")).to_contain_text("is deleted")
    expect(delete).to_be_hidden()
    assert not [address for address in page.evaluate(KEPT) if re.search(r"wasm|onnx", address)]


def test_what_was_deleted_stays_so_until_it_is_fetched_anew(
    browser: Browser, tmp_path: Path
) -> None:
    with browser.new_context(reduced_motion="reduce") as context:
        page = context.new_page()
        with served(make_artifacts(tmp_path)) as address:
            page.goto(address)
            switch_on(page)
            switch = page.get_by_role("switch", name="On this device")
            delete = page.get_by_role("button", name="Delete the")
            switch.uncheck()
            delete.click()
            expect(delete).to_be_hidden()
            page.goto(address + "/models")
            page.goto(address)
            assert page.evaluate(KEPT) == []
            assert page.evaluate("navigator.serviceWorker.getRegistration()") is None
            switch_on(page)
            switch.uncheck()
            delete.click()
            expect(delete).to_be_hidden()
            # On the same page, whose service worker still sees its requests.
            switch_on(page)
        page.goto(address)
        expect(page.locator("#dropzone")).to_be_visible()
        choose(page, lesion())
        analyse(page)


def test_switched_on_in_vain_there_is_nothing_to_delete(open_page: OpenPage) -> None:
    page, observer = open_unkept(open_page)
    observer.forgive("ERR_FAILED")
    for file in ("**/*.wasm", "**/*.onnx*"):
        page.route(file, lambda route: route.abort())
    page.get_by_role("switch", name="On this device").check()
    expect(page.locator("#device-problem")).to_be_visible(timeout=PATIENCE)
    page.get_by_role("switch", name="On this device").uncheck()
    page.wait_for_timeout(300)
    expect(page.get_by_role("button", name="Delete the")).to_be_hidden()


def test_switched_off_again_the_server_reads(open_page: OpenPage) -> None:
    page, _ = open_page()
    switch_on(page)
    page.get_by_role("switch", name="On this device").uncheck()
    expect(page.locator("#privacy")).to_contain_text("The server keeps nothing")
    choose(page, lesion())
    with page.expect_request("**/api/v1/predictions*"):
        analyse(page)


def test_the_page_can_be_installed(open_page: OpenPage) -> None:
    page, _ = open_page()
    session = page.context.new_cdp_session(page)
    assert session.send("Page.getAppManifest")["errors"] == []
    found = session.send("Page.getInstallabilityErrors")["installabilityErrors"]
    # As every page of a test is.
    assert [error for error in found if error["errorId"] != "in-incognito"] == []
    address = page.locator("link[rel=apple-touch-icon]").get_attribute("href")
    with Image.open(io.BytesIO(page.request.get(str(address)).body())) as icon:
        assert (icon.format, icon.size) == ("PNG", (180, 180))


def hasten(route: Route) -> None:
    """Has the worker wait for half a second where it would for a minute and a half."""
    response = route.fetch()
    headers = {k: v for k, v in response.headers.items() if k != "content-encoding"}
    assert "9e4" in response.text()
    body = response.text().replace("9e4", "500")
    route.fulfill(status=200, headers=headers, body=body)


def remove_cards(page: Page) -> None:
    for remove in page.locator("#answers [data-card=remove]").all():
        remove.click()


def listen(page: Page) -> list[Request]:
    """The requests from now on, those of workers and of the service worker among them."""
    sent: list[Request] = []
    page.context.on("request", lambda request: sent.append(request))
    return sent


def open_unkept(open_page: OpenPage) -> tuple[Page, Observer]:
    """A page without its service worker, whose requests no test could hold back."""
    page, observer = open_page(service_workers="block")
    page.set_default_timeout(PATIENCE)
    observer.forgive("Service Worker registration blocked")
    return page, observer
