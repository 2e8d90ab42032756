"""The page: its templates, its built files, and the form that works without JavaScript."""

from __future__ import annotations

import asyncio
import base64
import io
import math
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2
import msgspec
from litestar import get, post
from litestar.connection import Request
from litestar.di import NamedDependency
from litestar.enums import MediaType
from litestar.response import Response

from serving.api import find_model
from serving.built_files import STATIC, STATIC_URL, sent_bytes
from serving.diagnoses import DIAGNOSES
from serving.inference import Inference, Upload
from serving.languages import (
    LANGUAGES,
    PARAMETER,
    Language,
    headers_for,
    language_of,
    remembering,
)
from serving.manifest import Manifest
from serving.memory import Room
from serving.pictures import Limits, thumbnail
from serving.prediction import Prediction
from serving.problems import Problem, ProblemError, from_exception, headers_of, note
from serving.ramp import RAMP
from serving.routers import ReadingRouter
from serving.services import Services
from serving.uploads import Form, read_form

PACKAGE = Path(__file__).resolve().parent

RUNTIME = "node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded.wasm"
"""what runs the models in a browser, as Vite's manifest names it"""

_PREVIEW_SIDE = 960
"""pixels, longer side of what is shown of a picture that the browser itself does not show"""


class PageNotBuiltError(ProblemError):
    """The page's files are missing from this checkout."""

    def __init__(self) -> None:
        super().__init__(
            "page_not_built",
            "The page's files are missing. Run `make serve`, which builds them once. The API under "
            "/api works without them.",
        )


class Chunk(msgspec.Struct, frozen=True):
    """A file that Vite built, as its manifest describes it."""

    file: str
    css: list[str] = []
    imports: list[str] = []


class Assets:
    """The addresses of the built files, by the source that they were built from."""

    def __init__(self, folder: Path = STATIC) -> None:
        self._folder = folder
        self._path = folder / ".vite" / "manifest.json"
        self._chunks: dict[str, Chunk] | None = None

    @property
    def built(self) -> bool:
        """Whether the page's files are there."""
        return self._path.is_file()

    def asset(self, source: str) -> str:
        """The address of the file that `source` was built into.

        Raises:
            PageNotBuiltError: where the files are missing.
        """
        return f"{STATIC_URL}/{self._chunk(source).file}"

    def styles(self, source: str) -> list[str]:
        """The addresses of the style sheets of `source` and of all it imports.

        Raises:
            PageNotBuiltError: where the files are missing.
        """
        return [f"{STATIC_URL}/{css}" for css in dict.fromkeys(self._styles(source, set()))]

    def bytes_sent(self, source: str) -> int:
        """How many bytes the built file of `source` is sent in.

        Raises:
            PageNotBuiltError: where the files are missing.
        """
        file = self._folder / self._chunk(source).file
        try:
            return sent_bytes(file)
        except OSError as error:
            raise PageNotBuiltError from error

    def _styles(self, source: str, seen: set[str]) -> Iterator[str]:
        if source not in seen:
            seen.add(source)
            chunk = self._chunk(source)
            for imported in chunk.imports:
                yield from self._styles(imported, seen)
            yield from chunk.css

    def _chunk(self, source: str) -> Chunk:
        if self._chunks is None:
            try:
                data = self._path.read_bytes()
            except OSError as error:
                raise PageNotBuiltError from error
            self._chunks = msgspec.json.decode(data, type=dict[str, Chunk])
        try:
            return self._chunks[source]
        except KeyError as error:
            raise PageNotBuiltError from error


class Page:
    """The page's templates with what they need."""

    def __init__(self, inference: Inference, assets: Assets) -> None:
        self._inference = inference
        self._assets = assets
        self._environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(PACKAGE / "templates"), autoescape=True
        )
        self._environment.filters["whole_percent"] = _whole_percent
        self._environment.globals.update(
            asset=assets.asset,
            styles=assets.styles,
            ramp=RAMP,
            diagnoses=DIAGNOSES,
            languages=list(LANGUAGES.values()),
            language_parameter=PARAMETER,
            version=version("lesionlens"),
        )

    def index(
        self,
        language: Language,
        *,
        results: Sequence[Prediction] = (),
        manifest: Manifest | None = None,
        pictures: Sequence[str] = (),
        problem: Problem | None = None,
        chosen: str = "",
    ) -> str:
        """The upload page, with the answers or the problem of a form that was just posted.

        `pictures` are previews of what `results` answer, each a data URI. `chosen` is the name of
        the model that the form asked for.
        """
        manifests = {manifest.name: manifest for manifest in self._inference.manifests}
        return self.render(
            "index.html.jinja",
            language,
            models=[language.manifest(manifest) for manifest in manifests.values()],
            default_model=chosen if chosen in manifests else self._inference.default,
            device_bytes=self._inference.bytes + self._assets.bytes_sent(RUNTIME),
            results=list(results),
            manifest=manifest and language.manifest(manifest),
            pages=DIAGNOSES if manifest and language.knows(manifest) else {},
            pictures=list(pictures),
            problem=problem and language.problem(problem),
        )

    def problem(self, language: Language, problem: Problem) -> str:
        """The page that a browser shows for an address that fails."""
        return self.render("problem.html.jinja", language, problem=language.problem(problem))

    def render(self, template: str, language: Language, **values: Any) -> str:
        """The page that `template` makes of `values` and the words of `language`."""
        return self._environment.get_template(template).render(
            language=language, words=language.words, texts=language.texts, **values
        )


@get("/", media_type=MediaType.HTML, include_in_schema=False)
async def get_page(request: Request[Any, Any, Any], page: NamedDependency[Page]) -> Response[str]:
    """The upload page."""
    language = language_of(request)
    return to_read(request, language, page.index(language))


@get("/history", media_type=MediaType.HTML, include_in_schema=False)
async def get_history(
    request: Request[Any, Any, Any], page: NamedDependency[Page]
) -> Response[str]:
    """The page of the results that the browser keeps; the server has none of them."""
    language = language_of(request)
    return to_read(request, language, page.render("history.html.jinja", language))


@post("/", media_type=MediaType.HTML, include_in_schema=False, status_code=200)
async def post_page(
    request: Request[Any, Any, Any],
    page: NamedDependency[Page],
    services: NamedDependency[Services],
) -> Response[str]:
    """The whole page with the answers to a posted form, for browsers without JavaScript."""
    language = language_of(request)
    inference, settings = services.inference, services.settings
    chosen = ""

    async def answer(form: Form) -> str:
        model = find_model(inference, chosen)
        results = await inference.answer_all(model, form.uploads, heatmaps=True)
        # All at a time, or each would wait behind whoever else came meanwhile.
        previews = await asyncio.gather(
            *(
                inference.workers.run(preview, upload, settings.limits, inference.room)
                for upload in form.uploads
            )
        )
        pictures = [_as_data_uri(jpeg) for jpeg in previews]
        return page.index(language, results=results, manifest=model.manifest, pictures=pictures)

    try:
        async with services.admission.enter(request) as entry:
            form = await read_form(request, settings, entry)
            chosen = form.fields.get("model", "")
            content = await entry.finish(request.receive, answer(form))
            return Response(content, headers=headers_for(language))
    except Exception as error:
        problem = from_exception(error)
        note(error, problem)
        return Response(
            page.index(language, problem=problem, chosen=chosen),
            status_code=problem.status,
            headers={**headers_of(error), **headers_for(language)},
        )


@post("/preview", include_in_schema=False, status_code=200)
async def post_preview(
    request: Request[Any, Any, Any],
    services: NamedDependency[Services],
) -> Response[bytes]:
    """A picture that the browser itself cannot show, as a small JPEG: a HEIC in most of them."""
    inference, settings = services.inference, services.settings
    async with services.admission.enter(request) as entry:
        form = await read_form(request, settings, entry)
        inference.workers.check()
        work = inference.workers.run(preview, form.uploads[0], settings.limits, inference.room)
        return Response(await entry.finish(request.receive, work), media_type="image/jpeg")


def to_read(request: Request[Any, Any, Any], language: Language, content: str) -> Response[str]:
    """The answer that is a page, which a browser may keep if it asks whether it still holds."""
    return Response(
        content,
        headers={"cache-control": "no-cache", **headers_for(language)},
        cookies=remembering(request, language),
    )


def preview(upload: Upload, limits: Limits, room: Room | None = None) -> bytes:
    """A small JPEG of the upright picture.

    Raises:
        PictureError: where `upload` is no usable picture.
    """
    image = thumbnail(upload.data, _PREVIEW_SIDE, limits, room)
    buffer = io.BytesIO()
    # What its sender wrote into it stays out: it may be too long for a JPEG.
    image.save(buffer, "JPEG", quality=85, comment=b"")
    return buffer.getvalue()


def _as_data_uri(jpeg: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")


def _whole_percent(share: float) -> int:
    """A share in whole percent; halves go up, as they do in JavaScript and not in Python."""
    return math.floor(share * 100 + 0.5)


routes = ReadingRouter("/", route_handlers=[get_page, get_history, post_page, post_preview])
