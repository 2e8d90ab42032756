from __future__ import annotations

import html
import io
import re
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from litestar.testing import TestClient
from PIL import Image

from serving.app import create_app
from serving.inference import Upload
from serving.languages import CODES, LANGUAGES
from serving.pages import Assets, PageNotBuiltError, preview
from serving.pictures import Limits
from serving.settings import Settings
from tests.artifact_factory import MEASURED, make_artifact
from tests.drawings import SUSPICIOUS_REDNESS, draw_flat, draw_lesion, encode
from tests.serving.live import serving, wait_until

Client = TestClient[Any]
MELANOMA = encode(draw_lesion(2, redness=SUSPICIOUS_REDNESS))


def test_the_page_loads_what_was_built_and_nothing_from_elsewhere(client: Client) -> None:
    response = client.get("/")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/html")
    loaded = re.findall(r'<(?:script|link|img)[^>]*(?:src|href)="([^"]*)"', response.text)
    assert "/static/assets/main-1a2b.js" in loaded
    assert "/static/assets/main-3c4d.css" in loaded
    assert all(address.startswith(("/", "data:")) for address in loaded)


def test_the_page_offers_every_model(client: Client) -> None:
    page = client.get("/").text
    assert "MobileNetV2" in page
    assert "Small CNN" in page


def test_figures_are_rounded_as_the_scripts_round_them(tmp_path: Path, static: Path) -> None:
    manifest = make_artifact(tmp_path / "model")
    (point,) = manifest.operating_points
    halves = msgspec.structs.replace(point, sensitivity=0.945, specificity=0.875)
    make_artifact(tmp_path / "model", operating_points=[halves])
    with TestClient(create_app(Settings(artifacts=tmp_path, workers=1), static)) as client:
        page = client.get("/").text
    assert "catches about 95 of 100" in page
    assert "about 13 suspicious" in page


def test_the_page_tells_what_the_test_pictures_said(tmp_path: Path, static: Path) -> None:
    make_artifact(tmp_path / "model", metrics=MEASURED)
    with TestClient(create_app(Settings(artifacts=tmp_path, workers=1), static)) as client:
        mole = [("images", ("mole.jpg", encode(draw_lesion(1))))]
        pages = {code: client.post(f"/?lang={code}", files=mole).text for code in CODES}
    page = html.unescape(pages["en"])
    assert "catches about 81 of 100" in page
    assert "about 42 suspicious" in page
    assert "misses about 19" in page
    for code, shown in pages.items():
        assert LANGUAGES[code].words["heatmap"]["worse"] in html.unescape(shown)


def test_a_heatmap_of_which_nothing_is_known_is_not_doubted(client: Client) -> None:
    page = html.unescape(client.post("/", files=[("images", ("mole.jpg", MELANOMA))]).text)
    assert LANGUAGES["en"].words["heatmap"]["note"] in page
    assert "middle of the picture" not in page


def test_a_posted_form_is_answered_by_the_whole_page(client: Client) -> None:
    response = client.post(
        "/", data={"model": "mobilenet"}, files=[("images", ("mole.jpg", MELANOMA))]
    )
    assert response.status_code == 200
    assert "melanoma" in response.text.lower()
    assert "data:image/jpeg;base64," in response.text
    assert "data:image/png;base64," in response.text
    assert response.headers["cache-control"] == "no-store"


def test_the_previews_of_a_form_are_made_at_a_time(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = threading.Barrier(2)

    def meet(*arguments: Any) -> bytes:
        together.wait(30)
        return preview(*arguments)

    monkeypatch.setattr("serving.pages.preview", meet)
    response = client.post("/", files=[("images", ("mole.jpg", MELANOMA))] * 2)
    assert response.status_code == 200
    assert response.text.count("data:image/jpeg;base64,") == 2


def test_the_form_asks_the_model_that_it_names(client: Client) -> None:
    files = [("images", ("mole.jpg", MELANOMA))]
    of_two = client.post("/", data={"model": "cnn"}, files=files).text
    assert "Small CNN" in of_two
    assert "Basal cell carcinoma" not in of_two


@pytest.mark.parametrize(
    ("files", "data", "status", "words"),
    [
        ([("images", ("mole.jpg", b""))], {}, 422, "The file is empty"),
        ([("images", ("notes.txt", b"hello"))], {}, 415, "not a picture"),
        ([("images", ("", b""))], {"model": "cnn"}, 400, "Send one or more pictures"),
        ([("images", ("a.jpg", MELANOMA))], {"model": "none"}, 404, "no model named none"),
    ],
)
def test_a_bad_form_is_answered_by_the_page_with_the_reason(
    client: Client, files: Any, data: dict[str, str], status: int, words: str
) -> None:
    response = client.post("/", files=files, data=data)
    assert response.status_code == status
    assert response.headers["content-type"].startswith("text/html")
    assert words in html.unescape(response.text)
    assert 'name="images"' in response.text


@pytest.mark.parametrize("picture", [MELANOMA, b"bad"])
def test_a_posted_form_still_has_the_model_that_was_chosen(client: Client, picture: bytes) -> None:
    files = [("images", ("a.jpg", picture))]
    for model, checked in (("cnn", "cnn"), ("mobilenet", "mobilenet"), ("none", "mobilenet")):
        page = client.post("/", files=files, data={"model": model}).text
        assert re.findall(r'value="(\w+)" checked', page) == [checked]


def test_a_file_name_is_no_markup(client: Client) -> None:
    name = "<img src=x onerror=alert(1)>.jpg"
    for data in (MELANOMA, b"bad"):
        page = client.post("/", files=[("images", (name, data))]).text
        assert "<img src=x" not in page


def test_a_browser_that_follows_a_wrong_link_gets_a_page(client: Client) -> None:
    response = client.get("/nothing", headers={"accept": "text/html,*/*;q=0.8"})
    assert response.status_code == 404
    assert response.headers["content-type"].startswith("text/html")
    assert "There is nothing at this address" in html.unescape(response.text)


def test_files_named_by_their_hash_are_kept_for_a_year(client: Client) -> None:
    hashed = client.get("/static/assets/main-1a2b.js").headers["cache-control"]
    assert "immutable" in hashed
    assert "max-age=31536000" in hashed
    assert "immutable" not in client.get("/static/favicon.svg").headers["cache-control"]


@pytest.mark.parametrize("path", ["../settings.py", "%2e%2e/settings.py", "assets/../../app.py"])
def test_nothing_beside_the_built_files_is_served(client: Client, path: str) -> None:
    assert client.get(f"/static/{path}").status_code == 404


@pytest.mark.parametrize("name", ["%00", "a%00.js", "a" * 1000, "%ff", "a/" * 100])
def test_a_name_that_no_file_can_have_is_not_found(client: Client, name: str) -> None:
    for folder in ("/static", "/static/assets"):
        assert client.get(f"{folder}/{name}").status_code == 404


def test_without_the_built_files_the_page_says_what_to_run(
    settings: Settings, tmp_path: Path
) -> None:
    with TestClient(create_app(settings, tmp_path), raise_server_exceptions=False) as client:
        for accept in ("*/*", "text/html"):
            response = client.get("/", headers={"accept": accept})
            assert response.status_code == 503
            assert "make serve" in response.json()["detail"]
        files = [("images", ("mole.jpg", MELANOMA))]
        assert client.post("/", files=files).status_code == 503
        assert client.post("/api/v1/predictions", files=files).status_code == 200


def test_styles_come_with_those_of_what_is_imported(static: Path) -> None:
    assert Assets(static).styles("src/main.ts") == [
        "/static/assets/shared-7a8b.css",
        "/static/assets/main-3c4d.css",
    ]
    with pytest.raises(PageNotBuiltError):
        Assets(static).asset("src/other.ts")


def test_pages_that_nobody_takes_hold_only_so_much_memory(settings: Settings, static: Path) -> None:
    noise = encode(Image.effect_noise((960, 960), 200))
    form = httpx.Request("POST", "http://here/", files=[("images", ("a.jpg", noise))] * 4)
    body = form.read()
    head = "\r\n".join(f"{name}: {value}" for name, value in form.headers.items())
    # Room for about four such pages, each of which the system alone would take in whole.
    few = msgspec.structs.replace(settings, port=0, idle_seconds=600, memory_bytes=16_000_000)
    with serving(few, static) as live, ExitStack() as waiting:
        for _ in range(9):
            connection = waiting.enter_context(live.connect())
            connection.sendall(f"POST / HTTP/1.1\r\n{head}\r\n\r\n".encode() + body)
            assert connection.recv(64).startswith(b"HTTP/1.1 200")
        wait_until(lambda: live.connections < 7)


def test_a_preview_is_small_however_large_the_picture() -> None:
    large = Upload("large.png", encode(draw_flat(3000, 2000), "PNG"))
    assert len(preview(large, Limits())) < 75_000


def test_a_picture_that_the_browser_cannot_show_is_shown_as_a_jpeg(client: Client) -> None:
    heic = encode(draw_lesion(2, 1920, 1440), "HEIF")
    response = client.post("/preview", files=[("images", ("IMG_0007.HEIC", heic))])
    assert response.status_code == 200
    assert response.headers["content-type"] == "image/jpeg"
    assert response.headers["cache-control"] == "no-store"
    with Image.open(io.BytesIO(response.content)) as shown:
        assert (shown.format, shown.size) == ("JPEG", (960, 720))
    refused = client.post("/preview", files=[("images", ("notes.txt", b"nothing"))])
    assert refused.status_code == 415
    assert "not a picture" in refused.json()["detail"]
