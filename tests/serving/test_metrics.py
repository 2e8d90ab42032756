from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from litestar.testing import TestClient
from prometheus_client.parser import text_string_to_metric_families

from serving.app import create_app
from serving.settings import Settings
from tests.artifact_factory import SEVEN
from tests.drawings import SUSPICIOUS_REDNESS, draw_flat, draw_lesion, encode

URL = "/api/v1/predictions"
MOLE = encode(draw_lesion(1))
MELANOMA = encode(draw_lesion(2, redness=SUSPICIOUS_REDNESS))
TOKEN = {"authorization": "Bearer token"}

Client = TestClient[Any]


@pytest.fixture
def measured(settings: Settings) -> Iterator[Client]:
    app = create_app(msgspec.structs.replace(settings, metrics_token="token"))
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def value(client: Client, name: str, **labels: str) -> float:
    """The sum of all samples of that name with these labels."""
    text = client.get("/metrics", headers=TOKEN).text
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def post(client: Client, *pictures: bytes) -> None:
    client.post(URL, files=[("images", ("a.jpg", data)) for data in pictures])


def test_answers_and_refusals_are_counted(measured: Client) -> None:
    post(measured, MOLE)
    post(measured, b"bad")
    measured.get("/nothing")
    assert value(measured, "lesionlens_requests_total", route=URL, status="200") == 1
    assert value(measured, "lesionlens_requests_total", route=URL, status="415") == 1
    assert value(measured, "lesionlens_requests_total", route="(no such address)") == 1
    assert value(measured, "lesionlens_problems_total", reason="not_a_picture") == 1
    assert value(measured, "lesionlens_request_seconds_count", route=URL) == 2


def test_each_stage_of_each_picture_is_timed(measured: Client) -> None:
    post(measured, MOLE, MELANOMA, MOLE)
    for stage in ("wait", "decode", "infer", "render"):
        assert value(measured, "lesionlens_stage_seconds_count", stage=stage) == 3
        assert value(measured, "lesionlens_stage_seconds_sum", stage=stage) > 0
    assert value(measured, "lesionlens_stage_seconds_count", stage="turn") == 1
    assert value(measured, "lesionlens_request_pictures_sum") == 3
    assert value(measured, "lesionlens_batch_size_count") == 3


def test_what_a_refused_picture_cost_is_timed(measured: Client) -> None:
    post(measured, MOLE[: len(MOLE) // 2])
    assert value(measured, "lesionlens_problems_total", reason="damaged") == 1
    for stage, times in {"wait": 1, "decode": 1, "infer": 0, "render": 0}.items():
        assert value(measured, "lesionlens_stage_seconds_count", stage=stage) == times
    assert value(measured, "lesionlens_stage_seconds_sum", stage="decode") > 0


def test_what_was_answered_is_counted_so_that_drift_can_be_seen(measured: Client) -> None:
    post(measured, MOLE, MELANOMA)
    post(measured, encode(draw_flat()))
    predictions = "lesionlens_predictions_total"
    assert value(measured, predictions, model="mobilenet", refused="false") == 2
    assert value(measured, predictions, prediction="mel", refused="false") == 1
    assert value(measured, predictions, refused="true") == 1
    assert value(measured, "lesionlens_novelty_ratio_bucket", le="1.0") == 2
    assert value(measured, "lesionlens_novelty_ratio_count") == 3


def test_what_may_be_counted_is_there_from_the_start(measured: Client) -> None:
    def series(name: str) -> set[tuple[str, ...]]:
        families = text_string_to_metric_families(measured.get("/metrics", headers=TOKEN).text)
        samples = [s for family in families for s in family.samples if s.name == name]
        assert all(sample.value == 0 for sample in samples)
        return {tuple(sample.labels.values()) for sample in samples}

    classes = {"cnn": ("benign", "malignant"), "mobilenet": tuple(c.id for c in SEVEN)}
    assert series("lesionlens_predictions_total") == {
        (model, id, refused)
        for model, ids in classes.items()
        for id in ids
        for refused in ("false", "true")
    }
    assert series("lesionlens_novelty_ratio_count") == {("cnn",), ("mobilenet",)}
    assert {("overloaded",), ("damaged",)} < series("lesionlens_problems_total")
    assert ("infer",) in series("lesionlens_stage_seconds_count")


def test_what_is_under_way_can_be_seen(measured: Client) -> None:
    text = measured.get("/metrics", headers=TOKEN).text
    for name in (
        "pictures_waiting",
        "pictures_in_work",
        "requests_taken",
        "requests_waiting",
        "sent_bytes",
    ):
        assert f"\nlesionlens_{name} 0.0\n" in text
    assert "process_resident_memory_bytes" in text


def test_no_client_can_make_new_labels(measured: Client) -> None:
    for i in range(3):
        measured.request(f"METHOD{i}", f"/nothing{i}")
        measured.request(f"METHOD{i}", "/healthz")
    text = measured.get("/metrics", headers=TOKEN).text
    assert "METHOD" not in text
    assert "nothing" not in text


@pytest.mark.parametrize("authorization", ["", "Bearer other", "Basic token", "Bearer"])
def test_only_who_has_the_token_may_read(measured: Client, authorization: str) -> None:
    response = measured.get("/metrics", headers={"authorization": authorization})
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert "lesionlens_requests" not in response.text


def test_without_a_token_there_are_no_metrics(client: Client) -> None:
    for headers in ({}, TOKEN, {"authorization": "Bearer "}):
        assert client.get("/metrics", headers=headers).status_code == 404
