"""The pages to read: what each diagnosis is, and each model with its card and its plots."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import msgspec
from litestar import get
from litestar.connection import Request
from litestar.di import NamedDependency
from litestar.enums import MediaType
from litestar.exceptions import NotFoundException
from litestar.params import FromPath
from litestar.response import Response

from serving import reports
from serving.api import find_model
from serving.diagnoses import DIAGNOSES
from serving.inference import Inference
from serving.languages import Language, language_of
from serving.model_files import FILES
from serving.pages import Page, to_read
from serving.reports import Figure
from serving.routers import ReadingRouter


class Row(msgspec.Struct, frozen=True):
    """How one model does on one diagnosis."""

    name: str
    title: str
    named: Figure
    alarmed: Figure | None


@get("/diagnoses", media_type=MediaType.HTML, include_in_schema=False)
async def list_diagnoses(
    request: Request[Any, Any, Any],
    page: NamedDependency[Page],
    inference: NamedDependency[Inference],
) -> Response[str]:
    """All diagnoses that have a page."""
    language = language_of(request)
    content = page.render("diagnoses.html.jinja", language, taught=_taught(inference, language))
    return to_read(request, language, content)


@get("/diagnoses/{id:str}", media_type=MediaType.HTML, include_in_schema=False)
async def get_diagnosis(
    request: Request[Any, Any, Any],
    page: NamedDependency[Page],
    inference: NamedDependency[Inference],
    id: FromPath[str],
) -> Response[str]:
    """One diagnosis, with how well each model recognises it."""
    diagnosis = DIAGNOSES.get(id)
    if diagnosis is None:
        raise NotFoundException
    language = language_of(request)
    content = page.render(
        "diagnosis.html.jinja",
        language,
        diagnosis=diagnosis,
        rows=_rows(inference, language, id),
        datasets={set.name for m in inference.manifests for set in m.training.datasets},
    )
    return to_read(request, language, content)


@get("/models", media_type=MediaType.HTML, include_in_schema=False)
async def list_models(
    request: Request[Any, Any, Any],
    page: NamedDependency[Page],
    inference: NamedDependency[Inference],
) -> Response[str]:
    """All models that answer."""
    language = language_of(request)
    models = [language.manifest(manifest) for manifest in inference.manifests]
    return to_read(request, language, page.render("models.html.jinja", language, models=models))


@get("/models/{name:str}", media_type=MediaType.HTML, include_in_schema=False)
async def get_model(
    request: Request[Any, Any, Any],
    page: NamedDependency[Page],
    inference: NamedDependency[Inference],
    name: FromPath[str],
) -> Response[str]:
    """One model: its figures, what it was made from, and its card."""
    language = language_of(request)
    model = find_model(inference, name)
    folder = f"{FILES.format(name=quote(name, safe=''))}/{reports.FOLDER}"
    content = page.render(
        "model.html.jinja",
        language,
        model=language.manifest(model.manifest),
        card=reports.card(model, folder, language.texts["models"]["table"]),
        pages=DIAGNOSES if language.knows(model.manifest) else {},
    )
    return to_read(request, language, content)


def _taught(inference: Inference, language: Language) -> bool:
    """Whether any model tells our diagnoses apart."""
    return any(
        language.knows(manifest) and any(c.id in DIAGNOSES for c in manifest.classes)
        for manifest in inference.manifests
    )


def _rows(inference: Inference, language: Language, id: str) -> list[Row]:
    """A row for each model that knows the diagnosis and says how well."""
    rows: list[Row] = []
    for manifest in inference.manifests:
        measured = reports.measured(model := inference.model(manifest.name))
        figure = measured.named(id) if measured and language.knows(model.manifest) else None
        if measured and figure:
            title = language.manifest(manifest).title
            rows.append(Row(manifest.name, title, figure, measured.alarmed(id)))
    return rows


routes = ReadingRouter("/", route_handlers=[list_diagnoses, get_diagnosis, list_models, get_model])
