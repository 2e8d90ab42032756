"""What the image and the commands that start it promise."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.settings import CHECKOUT, Settings
from tests.artifact_factory import make_artifacts
from tests.serving.live import serving


@pytest.fixture
def nobody() -> Iterator[int]:
    """A port at which nobody answers, and nobody else will."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def health(environment: dict[str, str]) -> int:
    """The exit status of the image's health check."""
    found = re.search(r"^HEALTHCHECK .*\\\n  CMD (.*)$", _text("Dockerfile"), re.MULTILINE)
    assert found
    _, *arguments = json.loads(found[1])
    return subprocess.run([sys.executable, *arguments], env=environment, check=False).returncode


def test_the_health_check_asks_the_server_and_no_proxy(tmp_path: Path, nobody: int) -> None:
    proxy = dict.fromkeys(("http_proxy", "HTTP_PROXY"), f"http://127.0.0.1:{nobody}")
    with serving(Settings(artifacts=make_artifacts(tmp_path), port=0)) as live:
        assert health({"PORT": str(live.port), **proxy}) == 0


def test_where_nobody_answers_it_fails(nobody: int) -> None:
    assert health({"PORT": str(nobody)}) != 0


@pytest.mark.parametrize("name", ["README.md", "deploy/README.md"])
def test_docker_leaves_the_server_the_time_that_it_takes_to_stop(name: str) -> None:
    commands = re.findall(r"docker run (?:.*\\\n)*.*", _text(name))
    assert commands
    for command in commands:
        seconds = re.search(r"--stop-timeout (\d+) ", command)
        assert seconds
        assert int(seconds[1]) > Settings().drain_seconds


def _text(name: str) -> str:
    return (CHECKOUT / name).read_text("utf-8")
