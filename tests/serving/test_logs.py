from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest
from httpx import Response
from litestar.testing import TestClient
from PIL import Image

from serving import logs
from serving.app import create_app
from serving.inference import Inference
from serving.settings import Settings
from tests.drawings import draw_lesion, encode
from tests.serving.live import wait_until

URL = "/api/v1/predictions"
MOLE = encode(draw_lesion(1))
SECRET = "my-secret.jpg"


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What goes into a log of objects."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(logs.JsonFormatter())
    # The tests' own client names the addresses that it asks.
    handler.addFilter(lambda record: record.name != "httpx")
    root = logging.getLogger()
    root.addHandler(handler)
    level = root.level
    root.setLevel(logging.DEBUG)
    yield written
    root.setLevel(level)
    root.removeHandler(handler)


def lines(written: io.StringIO, *answers: Response) -> list[dict[str, Any]]:
    """What was written of the requests with these answers.

    Not of every request: a server of another test may still be writing its last line.
    """
    ids = {answer.headers["x-request-id"] for answer in answers}
    every = [json.loads(line) for line in written.getvalue().splitlines()]
    return [line for line in every if line.get("request_id") in ids]


def test_a_line_tells_of_its_request_by_the_id_that_the_answer_carries(
    client: TestClient[Any], written: io.StringIO
) -> None:
    response = client.post(URL, files=[("images", (SECRET, MOLE))] * 2)
    wait_until(lambda: lines(written, response))
    (line,) = lines(written, response)
    assert (line["method"], line["route"], line["status"]) == ("POST", URL, 200)
    assert line["level"] == "info"
    assert line["pictures"] == 2
    assert line["seconds"] > 0
    assert "problem" not in line
    assert SECRET not in written.getvalue()


def test_a_refusal_is_told_with_its_reason(client: TestClient[Any], written: io.StringIO) -> None:
    answers = [
        client.post(URL, files=[("images", (SECRET, b"bad"))]),
        client.post("/", files=[("images", (SECRET, b""))]),
        client.get(f"/{SECRET}"),
        client.get(f"/static/{SECRET}?name={SECRET}"),
    ]
    wait_until(lambda: len(lines(written, *answers)) == 4)
    told = [(line["problem"], line["route"]) for line in lines(written, *answers)]
    assert told == [
        ("not_a_picture", URL),
        ("empty", "/"),
        ("status_404", "(no such address)"),
        ("status_404", "/static/{file_path}"),
    ]
    assert SECRET not in written.getvalue()


def test_every_request_has_its_own_id(client: TestClient[Any]) -> None:
    forged = {"x-request-id": SECRET}
    ids = {client.get(path, headers=forged).headers["x-request-id"] for path in ("/", "/x")}
    ids |= {client.get("/healthz").headers["x-request-id"]}
    assert len(ids) == 3
    assert SECRET not in ids


def test_what_nobody_foresaw_is_found_by_the_same_id(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, written: io.StringIO
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError(SECRET)

    monkeypatch.setattr(Inference, "answer_each", fail)
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        response = client.post(URL, files=[("images", (SECRET, MOLE))])
    error, _ = lines(written, response)
    assert error["level"] == "error"
    assert "RuntimeError in a request" in error["message"]
    assert SECRET not in written.getvalue()


@pytest.mark.parametrize("formatter", [logs.TextFormatter(), logs.JsonFormatter()])
def test_an_exceptions_message_is_in_no_log(formatter: logging.Formatter) -> None:
    try:
        raise ValueError(SECRET)
    except ValueError as error:
        info = (type(error), error, error.__traceback__)
    record = logging.LogRecord("uvicorn.error", logging.ERROR, __file__, 1, "failed", (), info)
    written = formatter.format(record)
    assert "ValueError" in written
    assert "test_an_exceptions_message_is_in_no_log" in written
    assert SECRET not in written


@contextmanager
def configured(settings: Settings, form: Any) -> Iterator[logging.Handler]:
    """The handler of a log that is set up anew; afterwards all is as before.

    No fixture, since pytest's own handlers come after those.
    """
    with pytest.MonkeyPatch.context() as changes, warnings.catch_warnings():
        root = logging.getLogger()
        changes.setattr(root, "handlers", [])
        changes.setattr(root, "level", root.level)
        # Another test may have set it up in passing.
        logging.captureWarnings(False)
        logs.configure(msgspec.structs.replace(settings, log_format=form))
        (handler,) = root.handlers
        try:
            yield handler
        finally:
            logging.captureWarnings(False)


def test_a_librarys_warning_is_a_line_of_the_log(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = encode(Image.new("RGB", (8, 8)), exif=b"Exif\0\0II*\0\x08\0\0\0\x01")
    with configured(settings, "json"), Image.open(io.BytesIO(odd)) as image:
        warnings.simplefilter("always")
        image.getexif()
    (line,) = capsys.readouterr().err.splitlines()
    warning = json.loads(line)
    assert warning["level"] == "warning"
    assert "Corrupt EXIF data" in warning["message"]


@pytest.mark.parametrize(("form", "is_json"), [("auto", True), ("json", True), ("text", False)])
def test_where_nobody_reads_along_it_is_objects(
    form: Any, is_json: bool, settings: Settings
) -> None:
    with configured(settings, form) as handler:
        assert isinstance(handler.formatter, logs.JsonFormatter) is is_json
