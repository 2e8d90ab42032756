"""The API: predictions and models as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import quote

import msgspec
from litestar import get, post
from litestar.connection import Request
from litestar.di import NamedDependency
from litestar.openapi import ResponseSpec
from litestar.openapi.spec import (
    Example,
    OpenAPIFormat,
    OpenAPIMediaType,
    OpenAPIType,
    Operation,
    RequestBody,
    Schema,
)
from litestar.params import FromPath, QueryParameter
from msgspec import Meta

from serving.admission import Admission
from serving.classifier import Classifier
from serving.hosts import ANY_HOST
from serving.inference import Inference, UnknownModelError
from serving.manifest import Manifest
from serving.prediction import Prediction
from serving.problems import (
    MEDIA_TYPE,
    PROBLEM_TYPES,
    Problem,
    ProblemError,
    ProblemType,
    Reason,
    problem,
)
from serving.routers import ReadingRouter
from serving.services import Services
from serving.uploads import FIELD, Form, read_form

_EXAMPLE = Prediction(
    image="mole.jpg",
    model="mobilenet",
    width=600,
    height=450,
    prediction="nv",
    probabilities={
        "akiec": 0.01,
        "bcc": 0.02,
        "bkl": 0.08,
        "df": 0.01,
        "mel": 0.11,
        "nv": 0.76,
        "vasc": 0.01,
    },
    malignant_probability=0.14,
    verdict="suspicious",
    prediction_set=["nv", "mel"],
    novelty=12.5,
    refused=False,
    warnings=[],
    view=(0.0, 0.0, 1.0, 1.0),
)


class ModelSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A model that may be asked, in short."""

    name: Annotated[str, Meta(description="What `model=` takes.")]
    title: Annotated[str, Meta(description="Its name for people.")]
    summary: Annotated[str, Meta(description="What it tells apart.")]
    architecture: Annotated[str, Meta(description="Its network.")]
    classes: Annotated[list[str], Meta(description="The ids of its answers.")]
    default: Annotated[bool, Meta(description="Whether it answers where no model is named.")]
    digest: Annotated[str, Meta(description="SHA-256 of its graph.")]


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a probe."""

    status: Literal["ok", "ready"]


def refusals(*reasons: Reason) -> dict[int, ResponseSpec]:
    """The description of each status that these problems come with, with them as examples."""
    kinds = {reason: PROBLEM_TYPES[reason] for reason in reasons}
    return {
        status: ResponseSpec(
            Problem,
            generate_examples=False,
            description="; ".join(kind.title for kind in kinds.values() if kind.status == status),
            media_type=MEDIA_TYPE,
            examples=[
                Example(summary=kind.title, value=msgspec.to_builtins(_example(reason)))
                for reason, kind in kinds.items()
                if kind.status == status
            ],
        )
        for status in sorted({kind.status for kind in kinds.values()})
    }


def _example(reason: Reason) -> Problem:
    return problem(reason, "What was wrong with this request, and what to do.")


@dataclass
class _PredictionsOperation(Operation):
    """The description of a body that the handler reads by itself, so as not to touch the disk."""

    def __post_init__(self) -> None:
        files = Schema(
            type=OpenAPIType.ARRAY,
            items=Schema(
                type=OpenAPIType.STRING,
                format=OpenAPIFormat.BINARY,
                content_media_type="application/octet-stream",
            ),
            min_items=1,
            description="One or several pictures: JPEG, PNG, WebP, AVIF, HEIC, TIFF, BMP or GIF.",
        )
        form = Schema(type=OpenAPIType.OBJECT, properties={FIELD: files}, required=[FIELD])
        self.request_body = RequestBody(
            content={"multipart/form-data": OpenAPIMediaType(schema=form)},
            description=f"The pictures. With curl: `-F {FIELD}=@one.jpg -F {FIELD}=@two.jpg`",
            required=True,
        )


@post(
    "/predictions",
    status_code=200,
    operation_class=_PredictionsOperation,
    operation_id="predict",
    tags=["Predictions"],
    summary="Classify pictures",
    description=(
        "Answers each picture of a multipart form, in their order. Where one of them cannot be "
        "read, the whole request is refused and the problem names it."
    ),
    responses={
        200: ResponseSpec(
            list[Prediction],
            generate_examples=False,
            description="An answer for each picture, in the order of the form",
            examples=[Example(summary="A mole", value=[msgspec.to_builtins(_EXAMPLE)])],
        ),
        **refusals(
            "no_file",
            "malformed_form",
            "unknown_model",
            "too_slow",
            "too_many_files",
            "too_many_parts",
            "request_too_large",
            "too_many_bytes",
            "too_many_pixels",
            "not_multipart",
            "not_a_picture",
            "unknown_host",
            "empty",
            "damaged",
            "too_many_requests",
            "header_too_large",
            "overloaded",
            "too_late",
            "draining",
        ),
    },
)
async def post_predictions(
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
    model: Annotated[
        str,
        QueryParameter(description="The model to ask; see `/api/v1/models`. Default: the first."),
    ] = "",
    heatmaps: Annotated[
        bool,
        QueryParameter(
            description="Whether to say where the model looked: a grey PNG for each class, as a "
            "data URI, to be laid over `view`."
        ),
    ] = False,
) -> list[Prediction]:
    """Classifies the pictures of the form."""
    inference = services.inference
    classifier = find_model(inference, model)
    async with services.admission.enter(request) as entry:
        form = await read_form(request, services.settings, entry)
        _refuse_parameters(form)
        work = inference.answer_all(classifier, form.uploads, heatmaps=heatmaps)
        return await entry.finish(request.receive, work)


def _refuse_parameters(form: Form) -> None:
    """Refuses a form that asks in vain for what only the address can ask for."""
    for name in ("model", "heatmaps"):
        if name in form.fields:
            raise ProblemError(
                "malformed_form",
                f"The form has a field `{name}`. Take it out, and ask for it in the address: "
                f"/api/v1/predictions?{name}={quote(form.fields[name], safe='')}",
            )


@get(
    "/models",
    operation_id="listModels",
    tags=["Models"],
    summary="List the models",
    description="The models that may be asked, the default one first.",
)
async def list_models(inference: NamedDependency[Inference]) -> list[ModelSummary]:
    """The loaded models in short."""
    return [
        ModelSummary(
            name=manifest.name,
            title=manifest.title,
            summary=manifest.summary,
            architecture=manifest.architecture,
            classes=manifest.class_ids,
            default=manifest.name == inference.default,
            digest=manifest.digest,
        )
        for manifest in inference.manifests
    ]


@get(
    "/models/{name:str}",
    operation_id="getModel",
    tags=["Models"],
    summary="Read all about a model",
    description=(
        "Its classes with their descriptions, its thresholds, what it was trained on and how well "
        "it did on pictures that it never saw."
    ),
    responses=refusals("unknown_model"),
)
async def get_model(inference: NamedDependency[Inference], name: FromPath[str]) -> Manifest:
    """The whole manifest of a model."""
    return find_model(inference, name).manifest


@get(
    "/problems",
    operation_id="listProblems",
    tags=["Problems"],
    summary="List the kinds of problems",
    description="What the `type` of a problem may be, beside `about:blank`.",
)
async def list_problems() -> list[ProblemType]:
    """Every kind of problem."""
    return list(PROBLEM_TYPES.values())


@get(
    "/healthz",
    operation_id="isAlive",
    tags=["Probes"],
    summary="Is the server alive?",
    opt={ANY_HOST: True},
)
async def healthz() -> Health:
    """Answers as long as the process does."""
    return Health(status="ok")


@get(
    "/readyz",
    operation_id="isReady",
    tags=["Probes"],
    summary="Is the server ready for pictures?",
    responses=refusals("draining"),
    opt={ANY_HOST: True},
)
async def readyz(admission: NamedDependency[Admission]) -> Health:
    """Answers once the models are loaded, without which the server does not start."""
    admission.check()
    return Health(status="ready")


def find_model(inference: Inference, name: str) -> Classifier:
    """The model that a request names, or the default one where it names none.

    Raises:
        ProblemError: where there is none of that name.
    """
    try:
        return inference.model(name)
    except UnknownModelError as error:
        raise ProblemError("unknown_model", str(error)) from error


routes = ReadingRouter(
    "/api/v1", route_handlers=[post_predictions, list_models, get_model, list_problems]
)
probes = ReadingRouter("/", route_handlers=[healthz, readyz])
