"""The command that checks the platforms' files finds what a schema does not allow."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.deploy.schemas import main

RENDER = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "required": ["services"],
    "properties": {
        "services": {"items": {"properties": {"runtime": {"enum": ["docker", "image"]}}}}
    },
}
RAILWAY = {
    "properties": {"deploy": {"properties": {"drainingSeconds": {"type": "number"}}}},
    "required": ["build"],
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path))) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()


def check(server: str) -> Result:
    return CliRunner().invoke(
        main, ["--render", f"{server}/render.json", "--railway", f"{server}/railway.json"]
    )


def test_files_that_are_as_the_schemas_say_pass(server: str, tmp_path: Path) -> None:
    (tmp_path / "render.json").write_text(json.dumps(RENDER))
    (tmp_path / "railway.json").write_text(json.dumps(RAILWAY))
    assert check(server).exit_code == 0


def test_what_a_schema_does_not_allow_is_named_with_its_place(server: str, tmp_path: Path) -> None:
    narrow = {"properties": {"services": {"items": {"properties": {"runtime": {"enum": ["go"]}}}}}}
    (tmp_path / "render.json").write_text(json.dumps(narrow))
    (tmp_path / "railway.json").write_text(json.dumps(RAILWAY | {"additionalProperties": False}))
    result = check(server)
    assert result.exit_code == 1
    assert "render.yaml, $.services[0].runtime: 'docker' is not one of ['go']" in result.output
    assert "railway.json, $: Additional properties are not allowed" in result.output


def test_a_schema_that_cannot_be_had_is_named(server: str) -> None:
    result = check(server)
    assert result.exit_code == 1
    assert "render.json: is no schema that can be had" in result.output
