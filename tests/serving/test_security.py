from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from litestar.testing import TestClient

from serving.app import create_app
from serving.inference import Inference
from serving.settings import Settings
from tests.drawings import draw_lesion, encode

Client = TestClient[Any]
URL = "/api/v1/predictions"
MOLE = encode(draw_lesion(1))


def changed(settings: Settings, **changes: Any) -> Client:
    app = create_app(msgspec.structs.replace(settings, **changes))
    return TestClient(app, raise_server_exceptions=False)


def check(headers: Mapping[str, str]) -> None:
    """Checks the headers of an answer."""
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy == {
        "default-src": "'self'",
        "img-src": "'self' data: blob:",
        "object-src": "'none'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
        "form-action": "'self'",
    }
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["x-permitted-cross-domain-policies"] == "none"
    assert headers["x-dns-prefetch-control"] == "off"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["cross-origin-embedder-policy"] == "require-corp"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "geolocation=()" in headers["permissions-policy"]
    assert "server" not in headers


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/healthz",
        "/nothing",
        "/api",
        "/api/openapi.json",
        "/api/v1/models",
        "/static/favicon.svg",
        "/static/nothing.js",
    ],
)
def test_every_answer_carries_the_security_headers(client: Client, method: str, path: str) -> None:
    check(client.request(method, path).headers)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "path", ["/static/favicon.svg", "/api/v1/models/mobilenet/files/model.onnx"]
)
def test_an_answer_without_the_file_carries_them_too(
    client: Client, method: str, path: str
) -> None:
    known = {"if-none-match": client.get(path).headers["etag"]}
    response = client.request(method, path, headers=known)
    assert response.status_code == 304
    check(response.headers)


@pytest.mark.parametrize("path", [URL, "/"])
def test_an_error_of_the_servers_own_carries_them_too(
    client: Client, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(Inference, "answer_each", None)
    response = client.post(path, files=[("images", ("a.jpg", MOLE))])
    assert response.status_code == 500
    check(response.headers)


def test_the_worker_that_runs_models_alone_may_compile_webassembly(client: Client) -> None:
    def policy(path: str) -> str:
        response = client.get(path)
        assert response.status_code == 200
        return response.headers["content-security-policy"]

    assert "script-src 'self' 'wasm-unsafe-eval'" in policy("/static/assets/device/worker-1c2d.js")
    for path in ("/", "/static/assets/main-1a2b.js", "/service-worker.js"):
        assert "unsafe" not in policy(path)


def test_a_refused_post_carries_them_too(client: Client) -> None:
    for response in (client.post(URL), client.post("/"), client.put(URL)):
        assert response.status_code >= 400
        assert "frame-ancestors 'none'" in response.headers["content-security-policy"]


def test_what_is_said_of_a_picture_is_kept_nowhere(client: Client) -> None:
    response = client.post(URL, files=[("images", ("a.jpg", MOLE))])
    assert response.headers["cache-control"] == "no-store"


def test_only_over_https_a_browser_is_told_to_stay_there(settings: Settings) -> None:
    with changed(settings, hsts_seconds=1000) as client:
        over_https = client.get("https://testserver.local/healthz").headers
        assert over_https["strict-transport-security"] == "max-age=1000"
        assert "strict-transport-security" not in client.get("/healthz").headers
    with changed(settings, hsts_seconds=0) as client:
        silent = client.get("https://testserver.local/healthz").headers
        assert "strict-transport-security" not in silent


def test_other_sites_may_use_the_api_only_where_they_are_named(settings: Settings) -> None:
    origin = {"origin": "https://clinic.example"}
    with changed(settings) as client:
        assert "access-control-allow-origin" not in client.get("/healthz", headers=origin).headers
    with changed(settings, origins=("https://clinic.example",)) as client:
        allowed = client.get("/healthz", headers=origin).headers
        assert allowed["access-control-allow-origin"] == "https://clinic.example"
        other = client.get("/healthz", headers={"origin": "https://other.example"}).headers
        assert "access-control-allow-origin" not in other
        asked = client.options(URL, headers={**origin, "access-control-request-method": "POST"})
        assert asked.headers["access-control-allow-origin"] == "https://clinic.example"


@pytest.mark.parametrize("host", ["lesions.example", "LESIONS.example.", "lesions.example:8443"])
def test_the_server_answers_to_its_names(settings: Settings, host: str) -> None:
    with changed(settings, hosts=("lesions.example",)) as client:
        assert client.get("/api/v1/models", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "a.lesions.example", "lesions.example.evil.example", ""]
)
def test_it_answers_to_no_other_name(settings: Settings, host: str) -> None:
    with changed(settings, hosts=("lesions.example",)) as client:
        for path in ("/", "/api", "/api/v1/models", "/static/favicon.svg"):
            response = client.get(path, headers={"host": host})
            assert response.status_code == 421
        details = response.json()
        assert details["type"] == "/api/v1/problems#unknown_host"
        assert "LESIONLENS_HOSTS" in details["detail"]


def test_a_star_stands_for_all_names_below_one(settings: Settings) -> None:
    with changed(settings, hosts=("*.lesions.example",)) as client:
        answers = [
            client.get("/api/v1/models", headers={"host": host}).status_code
            for host in (
                "a.lesions.example",
                "b.a.lesions.example",
                "lesions.example",
                "xlesions.example",
            )
        ]
    assert answers == [200, 200, 421, 421]


def test_a_platforms_probe_may_come_by_any_name(settings: Settings) -> None:
    with changed(settings, hosts=("lesions.example",)) as client:
        for path in ("/healthz", "/readyz"):
            assert client.get(path, headers={"host": "10.1.2.3:8000"}).status_code == 200
