"""Errors as problem details (RFC 9457): what was wrong, and what to do."""

from __future__ import annotations

import logging
import traceback
from http import HTTPStatus
from typing import Annotated, Any, Literal

import msgspec
from litestar.exceptions import HTTPException
from litestar.response import Response
from msgspec import Meta

from serving.pictures import PictureError

MEDIA_TYPE = "application/problem+json"
TYPES_PATH = "/api/v1/problems"

Reason = Literal[
    "no_file",
    "not_multipart",
    "malformed_form",
    "too_many_files",
    "request_too_large",
    "unknown_model",
    "page_not_built",
    "empty",
    "too_many_bytes",
    "not_a_picture",
    "too_many_pixels",
    "damaged",
]

_log = logging.getLogger("lesionlens")


class ProblemType(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of problem that this server may answer with."""

    type: Annotated[str, Meta(description="The URI reference that names this kind of problem.")]
    title: Annotated[str, Meta(description="The kind of problem in a few words.")]
    status: Annotated[int, Meta(description="The status that comes with it.")]


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Problem details as in RFC 9457."""

    type: Annotated[
        str,
        Meta(
            description=f"What kind of problem it is: one of `{TYPES_PATH}`, or `about:blank` "
            "where the status says it all."
        ),
    ]
    title: Annotated[str, Meta(description="The kind of problem in a few words.")]
    status: Annotated[int, Meta(description="The status of the answer.")]
    detail: Annotated[str, Meta(description="What was wrong this time, and what to do.")]


class ProblemError(Exception):
    """A request that is refused with `problem`."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.problem = problem(reason, detail)


_TYPES: tuple[tuple[Reason, int, str], ...] = (
    ("no_file", 400, "No picture was sent"),
    ("malformed_form", 400, "The form cannot be read"),
    ("unknown_model", 404, "There is no such model"),
    ("too_many_files", 413, "Too many pictures at once"),
    ("request_too_large", 413, "The request is too large"),
    ("too_many_bytes", 413, "The file is too large"),
    ("too_many_pixels", 413, "The picture has too many pixels"),
    ("not_multipart", 415, "The request is not a multipart form"),
    ("not_a_picture", 415, "The file is not a picture"),
    ("empty", 422, "The file is empty"),
    ("damaged", 422, "The picture is damaged"),
    ("page_not_built", 503, "The page was not built"),
)

PROBLEM_TYPES: dict[Reason, ProblemType] = {
    reason: ProblemType(type=f"{TYPES_PATH}#{reason}", title=title, status=status)
    for reason, status, title in _TYPES
}


def problem(reason: Reason, detail: str) -> Problem:
    """The problem of a known kind with what was wrong this time."""
    kind = PROBLEM_TYPES[reason]
    return Problem(type=kind.type, title=kind.title, status=kind.status, detail=detail)


def from_exception(error: Exception) -> Problem:
    """The problem that `error` is to a caller; of an unexpected one it tells nothing."""
    if isinstance(error, ProblemError):
        return error.problem
    if isinstance(error, PictureError):
        return problem(error.reason, str(error))
    if isinstance(error, HTTPException) and error.status_code < 500:
        return _plain(error.status_code, _detail(error))
    return _plain(500, "Something went wrong here, not with your request. Try again in a while.")


def respond(error: Exception) -> Response[Problem]:
    """The answer to a request that failed with `error`, which is logged where it is ours."""
    answer = from_exception(error)
    log_unexpected(error, answer)
    headers = error.headers if isinstance(error, HTTPException) else None
    return Response(answer, status_code=answer.status, media_type=MEDIA_TYPE, headers=headers or {})


def log_unexpected(error: Exception, answer: Problem) -> None:
    """Logs where an unexpected error came from; not its message, which may name a file."""
    if answer.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        frames = "".join(traceback.format_tb(error.__traceback__))
        _log.error("%s in a request\n%s", type(error).__name__, frames.rstrip())


def _plain(status: int, detail: str) -> Problem:
    return Problem(
        type="about:blank", title=HTTPStatus(status).phrase, status=status, detail=detail
    )


def _detail(error: HTTPException) -> str:
    """Litestar's words where it tells which value was wrong, else ours."""
    if error.status_code == HTTPStatus.NOT_FOUND:
        return "There is nothing at this address. The page is at /, the API's description at /api."
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = (error.headers or {}).get("allow", "")
        return f"This address takes {allowed or 'another method'}."
    if isinstance(error.extra, list):
        wrong = [_invalid(value) for value in error.extra if isinstance(value, dict)]
        return "; ".join(wrong) + ". Correct it and send the request again."
    return error.detail


def _invalid(value: dict[str, Any]) -> str:
    source = value.get("source", "value")
    where = getattr(source, "value", source)
    return f"{where} {value.get('key', '')}: {value.get('message', '')}"
