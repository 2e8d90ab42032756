from __future__ import annotations

import gzip
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from litestar.testing import TestClient

from serving.app import create_app
from serving.settings import Settings

Client = TestClient[Any]
SCRIPT = "export const lesions = 1;\n" * 100


@pytest.fixture
def client(settings: Settings, tmp_path: Path) -> Iterator[Client]:
    (tmp_path / "assets").mkdir()
    for name in ("assets/main-1a2b.js", "favicon.svg", "plain.css", "service-worker.js"):
        (tmp_path / name).write_text(SCRIPT)
    for name in ("assets/main-1a2b.js", "favicon.svg"):
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(SCRIPT.encode()))
    (tmp_path / ".vite").mkdir()
    (tmp_path / ".vite" / "manifest.json").write_text("{}")
    with TestClient(create_app(settings, tmp_path)) as client:
        yield client


@pytest.mark.parametrize(
    ("name", "kind"),
    [("assets/main-1a2b.js", "text/javascript"), ("favicon.svg", "image/svg+xml")],
)
def test_a_file_is_sent_compressed_to_whoever_takes_it(
    client: Client, name: str, kind: str
) -> None:
    url = f"/static/{name}"
    small = client.get(url, headers={"accept-encoding": "gzip, br"})
    assert small.headers["content-encoding"] == "gzip"
    assert int(small.headers["content-length"]) < 200
    assert small.text == SCRIPT
    plain = client.get(url, headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.text == SCRIPT
    for response in (small, plain):
        assert response.headers["content-type"].partition(";")[0] == kind
        assert response.headers["vary"] == "accept-encoding"
        assert ".gz" not in response.headers.get("content-disposition", "")


def test_a_file_that_is_not_compressed_is_sent_as_it_is(client: Client) -> None:
    response = client.get("/static/plain.css", headers={"accept-encoding": "gzip"})
    assert "content-encoding" not in response.headers
    assert response.text == SCRIPT


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
def test_who_has_a_file_is_not_sent_it_again(client: Client, encoding: str) -> None:
    headers = {"accept-encoding": encoding}
    first = client.get("/static/favicon.svg", headers=headers)
    known = headers | {"if-none-match": f'"other", W/{first.headers["etag"]}'}
    again = client.get("/static/favicon.svg", headers=known)
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert "max-age=3600" in again.headers["cache-control"]
    changed = client.get("/static/favicon.svg", headers=headers | {"if-none-match": '"other"'})
    assert (changed.status_code, changed.text) == (200, SCRIPT)


def test_the_head_alone_is_answered(client: Client) -> None:
    headers = {"accept-encoding": "gzip"}
    whole = client.get("/static/favicon.svg", headers=headers)
    head = client.head("/static/favicon.svg", headers=headers)
    assert (head.status_code, head.content) == (200, b"")
    for name in ("etag", "content-type", "content-encoding", "cache-control", "content-length"):
        assert head.headers[name] == whole.headers[name]
    known = headers | {"if-none-match": head.headers["etag"]}
    assert client.head("/static/favicon.svg", headers=known).status_code == 304


def test_the_service_worker_is_at_the_root_and_asked_for_anew_each_time(client: Client) -> None:
    response = client.get("/service-worker.js")
    assert response.text == SCRIPT
    # A browser takes no service worker of another type.
    assert response.headers["content-type"].partition(";")[0] == "text/javascript"
    assert response.headers["cache-control"] == "no-cache"


def test_the_service_worker_is_compressed_once(client: Client, tmp_path: Path) -> None:
    # So long that the server would compress it again.
    script = f"// {random.Random(1).randbytes(4000).hex()}"
    (tmp_path / "service-worker.js").write_text(script)
    (tmp_path / "service-worker.js.gz").write_bytes(gzip.compress(script.encode()))
    response = client.get("/service-worker.js", headers={"accept-encoding": "gzip"})
    assert response.headers["content-encoding"] == "gzip"
    assert response.text == script


@pytest.mark.parametrize("name", ["favicon.svg.gz", ".vite/manifest.json", "assets", ""])
def test_only_files_that_are_meant_to_be_are_sent(client: Client, name: str) -> None:
    assert client.get(f"/static/{name}").status_code == 404


def test_the_two_forms_of_a_file_are_told_apart(client: Client) -> None:
    tags = {
        client.get("/static/favicon.svg", headers={"accept-encoding": encoding}).headers["etag"]
        for encoding in ("gzip", "identity")
    }
    assert len(tags) == 2


def test_answers_in_text_are_compressed(client: Client) -> None:
    takes = {"accept-encoding": "gzip"}
    for url in ("/api/openapi.json", "/api/v1/models/mobilenet"):
        assert client.get(url, headers=takes).headers["content-encoding"] == "gzip"
    assert "content-encoding" not in client.get("/healthz", headers=takes).headers
