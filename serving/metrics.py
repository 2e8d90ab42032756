"""What Prometheus is told: load, latency by stage, refusals, and what was answered."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from itertools import product
from typing import Any, get_args

from litestar import get
from litestar.connection import Request
from litestar.di import NamedDependency
from litestar.exceptions import NotAuthorizedException, NotFoundException
from litestar.response import Response
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from serving.admission import Admission
from serving.hosts import ANY_HOST
from serving.inference import Inference
from serving.problems import PROBLEM_TYPES
from serving.routers import ReadingRouter
from serving.settings import Settings
from serving.stages import Stage, StageName
from serving.visits import Answer, Visit

_METHODS = frozenset(("GET", "HEAD", "POST", "OPTIONS"))

_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)

_COUNTS = (1, 2, 4, 8, 16, 32)

_NOVELTY = (0.25, 0.5, 0.75, 0.9, 1, 1.1, 1.25, 1.5, 2, 4)


class Metrics:
    """Everything that is counted."""

    def __init__(self, inference: Inference, admission: Admission) -> None:
        self._inference = inference
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._requests = Counter(
            "lesionlens_requests",
            "Answers, by method, route and status.",
            ["method", "route", "status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "lesionlens_request_seconds",
            "From a request's head to the head of its answer.",
            ["route"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._problems = Counter(
            "lesionlens_problems",
            "Requests that were refused, by reason.",
            ["reason"],
            registry=self._registry,
        )
        self._stages = Histogram(
            "lesionlens_stage_seconds",
            "Each stage of an answer: turn, until a request may send its pictures, and of each "
            "picture wait, decode, infer, render. Pictures that share a run of the model have the "
            "last three in common.",
            ["stage"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._pictures = Histogram(
            "lesionlens_request_pictures",
            "Pictures in one request.",
            buckets=_COUNTS,
            registry=self._registry,
        )
        self._batch = Histogram(
            "lesionlens_batch_size",
            "Pictures that went through the model together, once for each of them.",
            buckets=_COUNTS,
            registry=self._registry,
        )
        self._predictions = Counter(
            "lesionlens_predictions",
            "Pictures answered, by model, predicted class and whether they were refused as unlike "
            "the training pictures.",
            ["model", "prediction", "refused"],
            registry=self._registry,
        )
        self._novelty = Histogram(
            "lesionlens_novelty_ratio",
            "A picture's novelty over its model's threshold: refused above 1.",
            ["model"],
            buckets=_NOVELTY,
            registry=self._registry,
        )
        for reason in PROBLEM_TYPES:
            self._problems.labels(reason)
        for stage in get_args(StageName):
            self._stages.labels(stage)
        self._watch(
            "lesionlens_pictures_waiting",
            "Pictures that wait for a worker, or that one has taken along with another.",
            lambda: inference.workers.waiting,
        )
        self._watch(
            "lesionlens_pictures_in_work",
            "Workers that are busy with pictures.",
            lambda: inference.workers.running,
        )
        self._watch(
            "lesionlens_requests_waiting",
            "Requests that wait unread until the workers are about to need their pictures.",
            lambda: admission.turns.waiting,
        )
        self._watch(
            "lesionlens_requests_taken",
            "Requests with pictures that are being sent or answered.",
            lambda: admission.taken,
        )
        self._watch(
            "lesionlens_sent_bytes",
            "Memory that is held by what was sent.",
            lambda: admission.room.used,
        )
        self._watch(
            "lesionlens_decoded_bytes",
            "Memory that is set aside for pictures being decoded.",
            lambda: inference.room.used,
        )

    def count(self, visit: Visit) -> None:
        """Counts an answered request."""
        method = visit.method if visit.method in _METHODS else "other"
        self._requests.labels(method, visit.route, visit.status).inc()
        self._seconds.labels(visit.route).observe(visit.seconds)
        if visit.problem:
            self._problems.labels(visit.problem).inc()
        if visit.answers:
            self._pictures.observe(len(visit.answers))
        self._count_stages(visit.stages)
        for answer in visit.answers:
            self._count_answer(answer)

    def exposition(self) -> bytes:
        """All of it in Prometheus's text format.

        What may be counted of the models is there from 0: of a first that comes from nowhere
        Prometheus sees no rise.
        """
        for manifest in self._inference.manifests:  # which may be others than at the start
            for id, refused in product(manifest.class_ids, ("false", "true")):
                self._predictions.labels(manifest.name, id, refused)
            if manifest.novelty_threshold > 0:
                self._novelty.labels(manifest.name)
        return generate_latest(self._registry)

    def _count_answer(self, answer: Answer) -> None:
        prediction, manifest = answer.prediction, answer.manifest
        self._batch.observe(answer.batch)
        refused = str(prediction.refused).lower()
        self._predictions.labels(manifest.name, prediction.prediction, refused).inc()
        if manifest.novelty_threshold > 0:
            self._novelty.labels(manifest.name).observe(
                prediction.novelty / manifest.novelty_threshold
            )
        self._count_stages(answer.stages)

    def _count_stages(self, stages: Iterable[Stage]) -> None:
        for stage in stages:
            self._stages.labels(stage.name).observe((stage.end - stage.start) / 1e9)

    def _watch(self, name: str, what: str, read: Callable[[], float]) -> None:
        Gauge(name, what, registry=self._registry).set_function(read)


@get("/metrics", include_in_schema=False, opt={ANY_HOST: True})
async def get_metrics(
    request: Request[Any, Any, Any],
    metrics: NamedDependency[Metrics],
    settings: NamedDependency[Settings],
) -> Response[bytes]:
    """The metrics, for whoever has the token: they tell what visitors were answered."""
    if not settings.metrics_token:
        raise NotFoundException
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    known = secrets.compare_digest(token.strip().encode(), settings.metrics_token.encode())
    if scheme.lower() != "bearer" or not known:
        raise NotAuthorizedException(
            "Send the token of LESIONLENS_METRICS_TOKEN as `Authorization: Bearer TOKEN`.",
            headers={"www-authenticate": "Bearer"},
        )
    return Response(metrics.exposition(), media_type=CONTENT_TYPE_LATEST)


routes = ReadingRouter("/", route_handlers=[get_metrics])
