from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest
from litestar.testing import TestClient

from serving.app import create_app
from serving.settings import Settings
from tests.artifact_factory import make_artifact

Client = TestClient[Any]
FILES = "/api/v1/models/mobilenet/files"


@pytest.mark.parametrize("name", ["model.onnx", "preprocess.onnx"])
def test_a_file_is_sent_byte_for_byte_as_the_manifest_says(
    client: Client, artifacts: Path, name: str
) -> None:
    response = client.get(f"{FILES}/{name}", headers={"accept-encoding": "gzip"})
    assert response.status_code == 200
    assert response.content == (artifacts / "mobilenet" / name).read_bytes()
    assert response.headers["content-type"] == "application/octet-stream"
    # Its length is told, so that who fetches it can show how much is still to come.
    assert int(response.headers["content-length"]) == len(response.content)
    assert "content-encoding" not in response.headers
    listed = client.get("/api/v1/models/mobilenet").json()["files"]
    assert hashlib.sha256(response.content).hexdigest() == listed[name]


@pytest.mark.parametrize("name", ["model.onnx", "nothing.onnx"])
def test_the_head_alone_says_what_the_whole_would(client: Client, name: str) -> None:
    whole, head = (ask(f"{FILES}/{name}") for ask in (client.get, client.head))
    assert (head.status_code, head.content) == (whole.status_code, b"")
    assert head.headers["content-length"] == whole.headers["content-length"]
    assert head.headers.get("etag") == whole.headers.get("etag")
    assert head.headers["content-type"] == whole.headers["content-type"]


def test_who_has_a_file_asks_whether_it_is_still_the_one(client: Client) -> None:
    first = client.get(f"{FILES}/model.onnx")
    assert first.headers["cache-control"] == "no-cache"
    known = {"if-none-match": first.headers["etag"]}
    again = client.get(f"{FILES}/model.onnx", headers=known)
    assert (again.status_code, again.content) == (304, b"")
    assert client.head(f"{FILES}/model.onnx", headers=known).status_code == 304
    other = client.get(f"{FILES}/preprocess.onnx", headers=known)
    assert other.status_code == 200


def test_a_plot_of_the_report_is_sent_as_what_it_is(settings: Settings, tmp_path: Path) -> None:
    report = tmp_path / "made" / "report"
    report.mkdir(parents=True)
    (report / "roc.png").write_bytes(b"a plot")
    make_artifact(tmp_path / "made", name="made")
    app = create_app(Settings(artifacts=tmp_path, workers=1))
    with TestClient(app) as client:
        response = client.get("/api/v1/models/made/files/report/roc.png")
    assert response.headers["content-type"] == "image/png"
    assert response.content == b"a plot"


@pytest.mark.parametrize("how", ["other bytes", "as many bytes", "missing"])
def test_a_file_that_was_changed_is_not_sent_until_it_is_loaded(tmp_path: Path, how: str) -> None:
    make_artifact(tmp_path / "made", name="made")
    app = create_app(Settings(artifacts=tmp_path, workers=1))
    address, file = "/api/v1/models/made/files/preprocess.onnx", tmp_path / "made/preprocess.onnx"
    with TestClient(app) as client:
        first = client.get(address)
        if how == "missing":
            file.unlink()
        elif how == "other bytes":
            file.write_bytes(first.content[:100])
        else:
            times = file.stat()
            file.write_bytes(bytes(len(first.content)))
            os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
        for ask in (client.get, client.head):
            refused = ask(address)
            assert refused.status_code == 503
            assert "etag" not in refused.headers
        told = client.get(address).json()
        assert told["type"] == "/api/v1/problems#changed_file"
        assert "preprocess.onnx was changed on this server" in told["detail"]
        # Who has what was loaded has the right one.
        known = {"if-none-match": first.headers["etag"]}
        assert client.get(address, headers=known).status_code == 304
        file.write_bytes(first.content)
        assert client.get(address).content == first.content
        make_artifact(tmp_path / "made", name="made", size=32)
        assert client.get(address).status_code == 503
        app.state.inference.load()
        again = client.get(address)
        assert again.status_code == 200
        assert again.content == file.read_bytes() != first.content
        assert again.headers["etag"] != first.headers["etag"]


@pytest.mark.parametrize(
    "name",
    ["model.json", "nothing.onnx", "report", "../cnn/model.onnx", "%2e%2e/cnn/model.onnx", "%00"],
)
def test_nothing_is_sent_that_the_manifest_does_not_list(client: Client, name: str) -> None:
    response = client.get(f"{FILES}/{name}")
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"


def test_a_file_that_is_not_listed_and_a_model_that_is_not_there_are_told_apart(
    client: Client,
) -> None:
    no_file = client.get(f"{FILES}/nothing.onnx").json()
    assert no_file["type"] == "/api/v1/problems#unknown_file"
    assert "/api/v1/models/mobilenet lists" in no_file["detail"]
    no_model = client.get("/api/v1/models/nothing/files/model.onnx").json()
    assert no_model["type"] == "/api/v1/problems#unknown_model"
