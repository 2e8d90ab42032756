"""A model's own files, for who runs or reads it elsewhere: a browser does both."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from litestar import get
from litestar.connection import Request
from litestar.di import NamedDependency
from litestar.openapi import ResponseSpec
from litestar.params import FromPath, PathParameter
from litestar.response import File, Response

from serving.api import find_model, refusals
from serving.built_files import stored
from serving.inference import Inference
from serving.manifest import sha256
from serving.problems import ProblemError
from serving.routers import ReadingRouter

FILES = "/api/v1/models/{name}/files"
"""where the files of the model `name` stand"""

ADDRESS = FILES.format(name="{name:str}") + "/{file:path}"

PATHS = "^" + FILES.format(name="[^/]+") + "/"
"""matches the addresses of the files: graphs and plots that no compression makes smaller"""

_KINDS = {".png": "image/png", ".json": "application/json"}
"""What comes as more than bytes: nothing that a browser would run, whoever made the model."""


@get(
    ADDRESS,
    operation_id="getModelFile",
    tags=["Models"],
    summary="Fetch a file of a model",
    description=(
        "A file that the model's `files` lists, byte for byte as its SHA-256 there says: "
        "`model.onnx` is the graph that answers, `preprocess.onnx` brings a picture to its size."
    ),
    responses={
        200: ResponseSpec(
            bytes,
            generate_examples=False,
            media_type="application/octet-stream",
            description="The bytes of the file; a plot comes as `image/png`",
        ),
        **refusals("unknown_model", "unknown_file", "changed_file"),
    },
)
async def get_model_file(
    request: Request[Any, Any, Any],
    inference: NamedDependency[Inference],
    name: FromPath[str],
    file: Annotated[
        Path,
        PathParameter(description="Its name there.", schema_extra={"format": "path"}),
    ],
) -> Response[Any]:
    """The file of the model, or 304 for who has it."""
    path, headers = _find(inference, name, file)
    kind = _KINDS.get(path.suffix, "application/octet-stream")
    answer = stored(request, path, path.name, kind, headers)
    if isinstance(answer, File):
        await _check(path, headers)
    return answer


def _find(inference: Inference, name: str, file: Path) -> tuple[Path, dict[str, str]]:
    """Where a file of a model stands, and the headers that it comes with."""
    model = find_model(inference, name)
    place = file.as_posix().lstrip("/")
    digest = model.manifest.files.get(place)
    if digest is None:
        raise ProblemError(
            "unknown_file",
            f"{model.manifest.name} has no file of this name. The `files` of "
            f"/api/v1/models/{model.manifest.name} lists those that there are.",
        )
    # The address stays when a new model comes under its name.
    return model.folder / place, {"cache-control": "no-cache", "etag": _tag(digest)}


async def _check(path: Path, headers: Mapping[str, str]) -> None:
    """That the file is the one that was loaded, as its tag says."""
    if _tag(await asyncio.to_thread(_digest, path)) != headers["etag"]:
        raise ProblemError(
            "changed_file",
            f"{path.name} was changed on this server after the model was loaded, and what it is "
            "now is not loaded. Ask again once the server has loaded its models anew.",
        )


def _digest(path: Path) -> str | None:
    """SHA-256 of the file as it is now; None where it cannot be read."""
    try:
        info = path.stat()
        mark = (info.st_mtime_ns, info.st_ctime_ns, info.st_size, info.st_ino)
        return _digest_once(path, mark)
    except OSError:
        return None


@lru_cache(maxsize=256)
def _digest_once(path: Path, mark: tuple[int, ...]) -> str:
    """SHA-256 of the file; `mark` tells one that was written again from the one before."""
    return sha256(path)


def _tag(digest: str | None) -> str:
    return f'"{digest}"'


routes = ReadingRouter("/", route_handlers=[get_model_file])
