"""Traces for OpenTelemetry; needs the packages of the extra `traces`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from serving.settings import Settings
from serving.stages import Stage
from serving.visits import Visit

_PATIENCE = 2
"""seconds for sending spans, after which they are given up; the server's end waits for the last"""


class Traces:
    """Sends each visit as a span, with one below it for each of its stages and of its pictures'.

    They name the route and the status; no picture, file or address, and no answer.
    """

    def __init__(self, settings: Settings) -> None:
        named = Resource.create({"service.name": "lesionlens"})
        # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES
        resource = named.merge(OTELResourceDetector().detect())
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        address = settings.traces_endpoint.rstrip("/") + "/v1/traces"
        exporter = OTLPSpanExporter(address, timeout=_PATIENCE)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("lesionlens")

    def send(self, visit: Visit) -> None:
        """Hands the spans of an answered request over to be sent."""
        span = self._tracer.start_span(
            f"{visit.method} {visit.route}",
            context=TraceContextTextMapPropagator().extract({"traceparent": visit.parent}),
            kind=SpanKind.SERVER,
            start_time=visit.start,
            attributes={
                "http.request.method": visit.method,
                "http.route": visit.route,
                "http.response.status_code": visit.status,
                "lesionlens.request_id": visit.id,
                "lesionlens.pictures": len(visit.answers),
            },
        )
        if visit.problem:
            span.set_attribute("error.type", visit.problem)
        if visit.status >= 500:
            span.set_status(Status(StatusCode.ERROR))
        below = set_span_in_context(span)
        self._send_stages(visit.stages, below, {})
        for answer in visit.answers:
            self._send_stages(answer.stages, below, {"lesionlens.model": answer.manifest.name})
        span.end(visit.end)

    def _send_stages(
        self, stages: Iterable[Stage], below: Context, attributes: Mapping[str, str]
    ) -> None:
        for stage in stages:
            self._tracer.start_span(
                stage.name, context=below, start_time=stage.start, attributes=attributes
            ).end(stage.end)

    def close(self) -> None:
        """Sends what is left."""
        self._provider.shutdown()
