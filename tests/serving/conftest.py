from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from litestar.testing import TestClient

from serving.app import create_app
from serving.classifier import Classifier
from serving.settings import Settings
from tests.artifact_factory import make_artifacts


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the two shipped models, made for the tests."""
    return make_artifacts(tmp_path_factory.mktemp("artifacts"))


@pytest.fixture(scope="session")
def mobilenet(artifacts: Path) -> Classifier:
    return Classifier(artifacts / "mobilenet")


@pytest.fixture(scope="session")
def settings(artifacts: Path) -> Settings:
    return Settings(
        artifacts=artifacts,
        workers=2,
        max_bytes=8_000_000,
        max_pixels=10_000_000,
        max_files=4,
        max_request_bytes=20_000_000,
    )


@pytest.fixture(scope="session")
def client(settings: Settings) -> Iterator[TestClient[Any]]:
    """A client whose server hides its errors, as a real one does."""
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client
