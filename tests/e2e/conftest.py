"""The page in a real browser, over a real server and models that the tests make."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from serving.pages import Assets
from tests.artifact_factory import SEVEN, make_artifact, make_artifacts
from tests.e2e.browser import find_chromium, launched
from tests.e2e.server import served

WARY = "wary"
"""A model that calls everything suspicious, also what it takes for a mole, and says that it learned
from HAM10000."""


_PATIENCE = 10_000
"""Milliseconds: a machine that also trains takes its time."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    executable = find_chromium()
    if executable is None:
        missing = "no Chromium on this machine (Debian: apt-get install chromium)"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    expect.set_options(timeout=_PATIENCE)
    with launched(executable) as browser:
        yield browser


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if not Assets().built:
        pytest.fail("the page is not built: `make serve` or `make test` builds it")
    artifacts = make_artifacts(tmp_path_factory.mktemp("artifacts"))
    manifest = make_artifact(artifacts / WARY, name=WARY, classes=SEVEN, title="Wary")
    points = [msgspec.structs.replace(manifest.operating_points[0], threshold=0.0)]
    datasets = [msgspec.structs.replace(manifest.training.datasets[0], name="HAM10000")]
    make_artifact(
        artifacts / WARY,
        name=WARY,
        classes=SEVEN,
        title="Wary",
        operating_points=points,
        training=msgspec.structs.replace(manifest.training, datasets=datasets),
    )
    with served(artifacts) as address:
        yield address


class Observer:
    """What a page must not do: log an error, break its own policy, talk to another host."""

    def __init__(self, page: Page, address: str) -> None:
        self._host = urlsplit(address).netloc
        self._forgiven: list[str] = []
        self._seen: list[str] = []
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self._seen.append(f"uncaught: {error}"))
        page.on("request", lambda request: self._on_request(request.url))

    def forgive(self, text: str) -> None:
        """An error that the test provokes: Chromium logs every answer of 400 and above."""
        self._forgiven.append(text)

    @property
    def complaints(self) -> list[str]:
        return [seen for seen in self._seen if not any(text in seen for text in self._forgiven)]

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self._seen.append(f"{message.type}: {message.text}")

    def _on_request(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"data", "blob"} and parts.netloc != self._host:
            self._seen.append(f"request to another host: {url}")


OpenPage = Callable[..., tuple[Page, Observer]]


@pytest.fixture
def open_page(browser: Browser, address: str) -> Iterator[OpenPage]:
    """Opens the page in a context of its own, with Playwright's options for one.

    At the end no page may have done what an `Observer` sees.
    """
    opened: list[tuple[Page, Observer]] = []

    def open_one(path: str = "/", **options: Any) -> tuple[Page, Observer]:
        context = browser.new_context(base_url=address, reduced_motion="reduce", **options)
        page = context.new_page()
        page.set_default_timeout(_PATIENCE)
        observer = Observer(page, address)
        opened.append((page, observer))
        page.goto(path)
        return page, observer

    yield open_one
    for page, _ in opened:
        page.context.close()
    assert [complaint for _, observer in opened for complaint in observer.complaints] == []
