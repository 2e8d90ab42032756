from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from litestar.testing import TestClient
from PIL import Image, ImageCms

from serving.prediction import Prediction
from tests.drawings import draw_lesion, encode
from tests.serving import odd_files
from tests.serving.odd_files import LESION

Client = TestClient[Any]
URL = "/api/v1/predictions"
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
LAB = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()


def rotated(orientation: int) -> Callable[[], bytes]:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return lambda: encode(LESION, "JPEG", exif=exif)


READ: dict[str, tuple[Callable[[], bytes], tuple[int, int]]] = {
    "one pixel": (lambda: encode(Image.new("RGB", (1, 1)), "PNG"), (1, 1)),
    "30,000 x 1": (lambda: encode(Image.new("RGB", (30_000, 1)), "PNG"), (30_000, 1)),
    "1 x 30,000": (lambda: encode(Image.new("RGB", (1, 30_000)), "JPEG"), (1, 30_000)),
    "CMYK JPEG": (lambda: encode(LESION.convert("CMYK")), (160, 120)),
    "CMYK TIFF": (lambda: encode(LESION.convert("CMYK"), "TIFF"), (160, 120)),
    "16 bits": (lambda: encode(LESION.convert("I;16"), "PNG"), (160, 120)),
    "palette": (lambda: encode(LESION.convert("P"), "PNG"), (160, 120)),
    "one bit": (lambda: encode(LESION.convert("1"), "TIFF", compression="group4"), (160, 120)),
    "Lab": (lambda: encode(LESION.convert("LAB"), "TIFF"), (160, 120)),
    "transparent": (lambda: encode(LESION.convert("RGBA"), "PNG"), (160, 120)),
    "transparent palette": (
        lambda: encode(LESION.convert("P"), "GIF", transparency=0),
        (160, 120),
    ),
    "animated GIF": (lambda: odd_files.many_frames("GIF"), (40, 30)),
    "animated WebP": (lambda: odd_files.many_frames("WEBP"), (40, 30)),
    "animated PNG": (lambda: odd_files.many_frames("PNG"), (40, 30)),
    "pages of TIFF": (lambda: odd_files.many_frames("TIFF"), (40, 30)),
    "interlaced": (odd_files.interlaced_png, (8, 8)),
    "progressive": (lambda: encode(LESION, "JPEG", progressive=True), (160, 120)),
    "profile of grey for colours": (
        lambda: encode(LESION, "PNG", icc_profile=LAB),
        (160, 120),
    ),
    "cut profile": (lambda: encode(LESION, "PNG", icc_profile=SRGB[:200]), (160, 120)),
    "EXIF that names itself": (odd_files.exif_without_end, (160, 120)),
    "XMP nested deeply": (odd_files.nested_xmp, (160, 120)),
    "many comments": (odd_files.many_comments, (160, 120)),
    "picture and archive": (odd_files.picture_and_archive, (160, 120)),
    "picture and page": (odd_files.picture_and_page, (160, 120)),
    "not too many scans": (lambda: odd_files.jpeg_of_many_scans(64, 20), (64, 64)),
    **{f"EXIF orientation {n}": (rotated(n), (160, 120)) for n in (1, 2, 3, 4)},
    **{f"EXIF orientation {n}": (rotated(n), (120, 160)) for n in (5, 6, 7, 8)},
    **{f"EXIF orientation {n}": (rotated(n), (160, 120)) for n in (0, 9, 65_535)},
}

REFUSED: dict[str, tuple[Callable[[], bytes], set[int]]] = {
    "nothing": (lambda: b"", {422}),
    "truncated": (lambda: encode(LESION)[:2_000], {422}),
    "no pixels wide": (
        lambda: encode(LESION, "PNG")[:16] + bytes(4) + encode(LESION, "PNG")[20:],
        {415, 422},
    ),
    "bomb of PNG": (lambda: odd_files.png_bomb(4_000), {413}),
    "bomb of TIFF": (lambda: odd_files.tiff_with_a_huge_tile(8_000), {413}),
    "JPEG of many scans": (lambda: odd_files.jpeg_of_many_scans(3_000, 50_000), {422}),
    "page and picture": (odd_files.page_and_picture, {415}),
    "PDF": (lambda: b"%PDF-1.7\n" + encode(LESION), {415}),
    "SVG": (lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>", {415}),
    "not on the list": (lambda: encode(LESION, "PPM"), {415}),
    "PostScript": (lambda: encode(LESION, "EPS"), {415}),
}

EITHER: dict[str, Callable[[], bytes]] = {
    "directory that names itself": odd_files.tiff_without_end,
    "value of any size": odd_files.exif_of_any_size,
    "comment of 64 MB": odd_files.text_bomb,
    "profile of 64 MB": odd_files.profile_bomb,
}


def post(client: Client, data: bytes, name: str = "picture") -> Any:
    return client.post(URL, files=[("images", (name, data))])


@pytest.mark.parametrize("kind", READ)
def test_what_is_unusual_is_answered(client: Client, kind: str) -> None:
    make, size = READ[kind]
    response = post(client, make())
    assert response.status_code == 200, response.text
    (answer,) = msgspec.json.decode(response.content, type=list[Prediction])
    assert (answer.width, answer.height) == size
    assert sum(answer.probabilities.values()) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_answered_is_refused_clearly(client: Client, kind: str) -> None:
    make, statuses = REFUSED[kind]
    response = post(client, make())
    assert response.status_code in statuses, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["detail"].startswith("picture: ")


@pytest.mark.parametrize("kind", EITHER)
def test_what_is_hostile_is_answered_or_refused(client: Client, kind: str) -> None:
    assert post(client, EITHER[kind]()).status_code in {200, 415, 422}


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is read from Linux's /proc")
@pytest.mark.parametrize("kind", [*EITHER, *(k for k in REFUSED if "bomb" in k or "scans" in k)])
def test_no_bomb_takes_more_than_its_picture_would(client: Client, kind: str) -> None:
    make = EITHER.get(kind) or REFUSED[kind][0]
    data = make()
    post(client, encode(LESION))
    before = memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    post(client, data)
    assert memory("VmHWM") - before < 20_000_000 + 4 * len(data)


def memory(what: str) -> int:
    found = re.search(rf"{what}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) * 1024


@pytest.mark.parametrize("name", ["lesion.exe", "lesion.svg", "lesion.png", "", "a\0b", "../x.jpg"])
def test_the_content_counts_and_not_the_name(client: Client, name: str) -> None:
    assert post(client, encode(LESION), name).status_code in {200, 400}
    assert post(client, b"<svg/>", "lesion.jpg").status_code == 415


def test_a_tiff_that_lies_on_its_side_is_turned(client: Client) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    response = post(client, encode(draw_lesion(1, 160, 120), "TIFF", exif=exif))
    (answer,) = msgspec.json.decode(response.content, type=list[Prediction])
    assert (answer.width, answer.height) == (120, 160)
