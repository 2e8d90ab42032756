"""The page of the API's description, in a real browser under the strict policy."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.drawings import SUSPICIOUS_REDNESS, draw_lesion, encode
from tests.e2e.conftest import OpenPage
from tests.e2e.test_layout import violations


def test_the_api_can_be_read_and_tried(open_page: OpenPage, tmp_path: Path) -> None:
    picture = tmp_path / "mole.jpg"
    picture.write_bytes(encode(draw_lesion(1, redness=SUSPICIOUS_REDNESS)))
    page, observer = open_page("/api")
    # Swagger UI's own grumble about the format of a file, for which it shows the right field.
    observer.forgive("JsonSchema_string_binary")
    operation = page.locator("#operations-Predictions-predict")
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Try it out").click()
    operation.locator("input[type=file]").set_input_files(picture)
    operation.get_by_role("button", name="Execute").click()
    answer = operation.locator(".live-responses-table")
    expect(answer).to_contain_text('"verdict": "suspicious"')


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_the_api(open_page: OpenPage, scheme: str) -> None:
    page, observer = open_page("/api", color_scheme=scheme)
    observer.forgive("JsonSchema_string_binary")
    operation = page.locator("#operations-Predictions-predict")
    expect(operation).to_be_visible()
    assert violations(page) == []
    operation.locator(".opblock-summary-control").click()
    expect(operation.locator(".microlight").first).to_be_visible()
    assert violations(page) == []
    operation.get_by_role("button", name="Try it out").click()
    expect(operation.get_by_role("button", name="Execute")).to_be_visible()
    assert violations(page) == []
