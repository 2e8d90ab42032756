from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from litestar.testing import TestClient

from serving.app import create_app
from serving.classifier import Classifier
from serving.languages import CODES
from serving.pages import RUNTIME
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
def static(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What Vite leaves behind, in small."""
    folder = tmp_path_factory.mktemp("static")
    files = {
        ".vite/manifest.json": json.dumps(
            {
                "src/early.ts": {"file": "assets/early-5a6b.js", "isEntry": True},
                "src/main.ts": {
                    "file": "assets/main-1a2b.js",
                    "css": ["assets/main-3c4d.css"],
                    "imports": ["_shared.js"],
                    "isEntry": True,
                },
                **{f"../words/{code}.json": {"file": f"assets/{code}-9c0d.js"} for code in CODES},
                "src/history/page.ts": {"file": "assets/page-ab12.js", "isEntry": True},
                RUNTIME: {"file": "assets/runtime-9a0b.wasm"},
                "_shared.js": {"file": "assets/shared-5e6f.js", "css": ["assets/shared-7a8b.css"]},
            }
        ),
        "assets/main-1a2b.js": "export {};",
        "assets/runtime-9a0b.wasm": "\0asm",
        "assets/device/worker-1c2d.js": "export {};",
        "service-worker.js": "export {};",
        "favicon.svg": "<svg xmlns='http://www.w3.org/2000/svg'/>",
    }
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder


@pytest.fixture(scope="session")
def client(settings: Settings, static: Path) -> Iterator[TestClient[Any]]:
    """A client whose server hides its errors, as a real one does."""
    with TestClient(create_app(settings, static), raise_server_exceptions=False) as client:
        yield client
