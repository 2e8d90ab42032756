from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import msgspec
import pytest
from litestar.testing import TestClient
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from serving.app import create_app
from serving.settings import OTLP_ENDPOINT, Settings, SettingsError
from tests.drawings import draw_lesion, encode

URL = "/api/v1/predictions"
MOLE = encode(draw_lesion(1))
SECRET = "my-secret.jpg"


class Collector:
    """Takes spans as OpenTelemetry's collector does."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        bodies = self.bodies

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                assert self.path == "/v1/traces"
                bodies.append(self.rfile.read(int(self.headers["content-length"])))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"

    @property
    def spans(self) -> list[Any]:
        return [span for sent in self._sent for scope in sent.scope_spans for span in scope.spans]

    @property
    def resources(self) -> list[Any]:
        return [sent.resource for sent in self._sent]

    @property
    def _sent(self) -> list[Any]:
        return [
            sent
            for body in self.bodies
            for sent in ExportTraceServiceRequest.FromString(body).resource_spans
        ]


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    thread = threading.Thread(target=collector.server.serve_forever)
    thread.start()
    yield collector
    collector.server.shutdown()
    thread.join()
    collector.server.server_close()


def attributes(of: Any) -> dict[str, Any]:
    return {a.key: a.value.string_value or a.value.int_value for a in of.attributes}


def test_a_request_is_a_span_with_one_for_each_stage(
    settings: Settings, collector: Collector
) -> None:
    app = create_app(msgspec.structs.replace(settings, traces_endpoint=collector.endpoint))
    parent = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}
    with TestClient(app) as client:
        response = client.post(URL, files=[("images", (SECRET, MOLE))], headers=parent)
        client.get(f"/{SECRET}")
    by_name = {span.name: span for span in collector.spans}
    whole = by_name[f"POST {URL}"]
    assert whole.trace_id.hex() == "a" * 32
    assert whole.parent_span_id.hex() == "b" * 16
    told = attributes(whole)
    assert told["http.response.status_code"] == 200
    assert told["lesionlens.request_id"] == response.headers["x-request-id"]
    for stage in ("turn", "wait", "decode", "infer", "render"):
        part = by_name[stage]
        assert part.parent_span_id == whole.span_id
        assert whole.start_time_unix_nano <= part.start_time_unix_nano
        assert part.end_time_unix_nano <= whole.end_time_unix_nano
    refused = attributes(by_name["GET (no such address)"])
    assert refused["error.type"] == "status_404"
    assert SECRET.encode() not in b"".join(collector.bodies)


@pytest.mark.parametrize(
    ("sampler", "kept"),
    [("", {"GET /readyz"}), ("always_on", {f"POST {URL}", "GET /readyz"}), ("always_off", set())],
)
def test_a_trace_that_is_not_kept_elsewhere_is_not_sent_unless_the_environment_asks(
    settings: Settings,
    collector: Collector,
    monkeypatch: pytest.MonkeyPatch,
    sampler: str,
    kept: set[str],
) -> None:
    monkeypatch.delenv("OTEL_TRACES_SAMPLER", raising=False)
    if sampler:
        monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    app = create_app(msgspec.structs.replace(settings, traces_endpoint=collector.endpoint))
    parent = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-00"}
    with TestClient(app) as client:
        client.post(URL, files=[("images", ("a", MOLE))], headers=parent)
        client.get("/readyz")
    stages = {"turn", "wait", "decode", "infer", "render"} if f"POST {URL}" in kept else set()
    assert {span.name for span in collector.spans} == kept | stages


@pytest.mark.parametrize(
    ("variable", "content"),
    [("OTEL_SERVICE_NAME", "moles"), ("OTEL_RESOURCE_ATTRIBUTES", "service.name=moles"), ("", "")],
)
def test_the_environment_may_name_the_service(
    settings: Settings,
    collector: Collector,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    content: str,
) -> None:
    for other in ("OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"):
        monkeypatch.delenv(other, raising=False)
    if variable:
        monkeypatch.setenv(variable, content)
    app = create_app(msgspec.structs.replace(settings, traces_endpoint=collector.endpoint))
    with TestClient(app) as client:
        client.get("/healthz")
    named = {attributes(resource)["service.name"] for resource in collector.resources}
    assert named == {"moles" if variable else "lesionlens"}


def test_a_collector_that_is_not_there_is_no_ones_problem(settings: Settings) -> None:
    app = create_app(msgspec.structs.replace(settings, traces_endpoint="http://127.0.0.1:9"))
    with TestClient(app) as client:
        assert client.post(URL, files=[("images", ("a", MOLE))]).status_code == 200


@pytest.fixture
def without_packages(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings that ask for traces, where nothing of OpenTelemetry is installed."""
    monkeypatch.delenv("LESIONLENS_TRACES_ENDPOINT", raising=False)
    monkeypatch.delenv(OTLP_ENDPOINT, raising=False)
    monkeypatch.delitem(sys.modules, "serving.traces", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    return msgspec.structs.replace(settings, traces_endpoint="http://collector:4318")


def test_our_own_variable_without_the_packages_is_refused(
    without_packages: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = without_packages.traces_endpoint
    monkeypatch.setenv("LESIONLENS_TRACES_ENDPOINT", endpoint)
    monkeypatch.setenv(OTLP_ENDPOINT, endpoint)
    told = r"LESIONLENS_TRACES_ENDPOINT .*-c constraints.txt '\.\[traces\]'"
    with pytest.raises(SettingsError, match=told):
        create_app(without_packages)


def test_a_platforms_variable_without_the_packages_is_a_warning(
    without_packages: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(OTLP_ENDPOINT, without_packages.traces_endpoint)
    with TestClient(create_app(without_packages)) as client:
        assert client.get("/healthz").status_code == 200
    (warning,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert f"{OTLP_ENDPOINT} is set" in warning.getMessage()
    assert "\n" not in warning.getMessage()
