"""A short run of each fuzzer; longer ones are started by hand."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import load_all_checks
from schemathesis.specs.openapi.checks import positive_data_acceptance

from serving.app import create_app
from serving.settings import Settings
from tests.serving.test_pictures import SAMPLES

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None,
    reason="atheris is published for Linux on x86-64 alone",
)
def test_the_decoder_survives_what_reaches_new_code(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.serving.fuzz_decoder", "-runs=3000", "-seed=1"]
    run = subprocess.run(
        # A process inherits the peak of memory of the one that started it, by which the fuzzer
        # would be ended under a large test run; the shell between them is small.
        [
            "sh",
            "-c",
            '"$@"; exit $?',
            "sh",
            *command,
            str(tmp_path / "corpus"),
            f"-artifact_prefix={tmp_path}/",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        errors="replace",
    )
    assert run.returncode == 0, run.stderr[-3000:]
    assert re.search(r"Done 3\d\d\d runs", run.stderr)


@pytest.fixture(scope="module")
def described(artifacts: Path) -> Any:
    """The API as its own description has it, with pictures among what is sent."""
    load_all_checks()
    files = st.one_of(st.sampled_from(sorted(SAMPLES.values())), st.binary(max_size=100))
    schemathesis.openapi.format("binary", files)
    app = create_app(Settings(artifacts=artifacts, workers=2))
    # Beside the 400, 404 and 422 of its default: a form of too many parts is wrong, too.
    refusals = {"expected-statuses": [400, 404, 405, 413, 415, 422]}
    config = schemathesis.Config.from_dict({"checks": {"negative_data_rejection": refusals}})
    return schemathesis.openapi.from_asgi("/api/openapi.json", app, config=config)


def test_the_api_is_as_it_is_described(described: Any) -> None:
    answered: dict[str, set[int]] = {}
    for result in described.get_all_operations():
        operation = result.ok()
        statuses = answered.setdefault(operation.label, set())
        _check_all(operation.as_strategy(), statuses)
        with suppress(Unsatisfiable):  # where nothing is asked for, nothing can be wrong
            wrong = operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE)
            _check_all(wrong, statuses)
    assert answered["POST /api/v1/predictions"] >= {200, 404}
    assert answered["GET /api/v1/models/{name}"] >= {404}
    assert set().union(*answered.values()) <= {200, 400, 404, 405, 413, 415, 422}


def _check_all(requests: st.SearchStrategy[schemathesis.Case[Any]], statuses: set[int]) -> None:
    """Checks the answers to `requests` against the description."""

    # What must be answered is asserted, so every run has to send the same.
    @settings(
        max_examples=40,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=requests)
    def check(case: schemathesis.Case[Any]) -> None:
        # A file that fits its description may still be no picture.
        response = case.call_and_validate(excluded_checks=[positive_data_acceptance])
        statuses.add(response.status_code)

    check()
