"""Errors as problem details (RFC 9457): what was wrong, and what to do."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any, Literal

import msgspec
from litestar.exceptions import HTTPException, TooManyRequestsException
from litestar.response import Response
from msgspec import Meta

from serving import visits
from serving.pictures import PictureError
from serving.workers import QueueFullError

MEDIA_TYPE = "application/problem+json"
TYPES_PATH = "/api/v1/problems"

Reason = Literal[
    "no_file",
    "not_multipart",
    "malformed_form",
    "too_many_files",
    "too_many_parts",
    "request_too_large",
    "header_too_large",
    "too_slow",
    "too_many_requests",
    "unknown_host",
    "unknown_model",
    "unknown_file",
    "changed_file",
    "page_not_built",
    "overloaded",
    "too_late",
    "draining",
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
    """A request that is refused with `problem`, and with `headers` beside it."""

    def __init__(
        self, reason: Reason, detail: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.problem = problem(reason, detail)
        self.headers = dict(headers or {})


class OverloadedError(ProblemError):
    """A request that is turned away because there is too much to do."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(
            "overloaded",
            f"More pictures wait than this server can hold. Send yours again in {retry_after} "
            "seconds.",
            {"retry-after": str(retry_after)},
        )


class ClientGoneError(HTTPException):
    """A client that did not wait for its answer, which therefore nobody reads."""

    status_code = 499

    def __init__(self) -> None:
        # Litestar looks up the words for a status that has none.
        super().__init__(detail="The client did not wait for its answer.")


_TYPES: tuple[tuple[Reason, int, str], ...] = (
    ("no_file", 400, "No picture was sent"),
    ("malformed_form", 400, "The form cannot be read"),
    ("unknown_model", 404, "There is no such model"),
    ("unknown_file", 404, "The model has no such file"),
    ("too_slow", 408, "The request was sent too slowly"),
    ("too_many_files", 413, "Too many pictures at once"),
    ("too_many_parts", 413, "The form has too many parts"),
    ("request_too_large", 413, "The request is too large"),
    ("too_many_bytes", 413, "The file is too large"),
    ("too_many_pixels", 413, "The picture has too many pixels"),
    ("not_multipart", 415, "The request is not a multipart form"),
    ("not_a_picture", 415, "The file is not a picture"),
    ("unknown_host", 421, "The server does not answer to this name"),
    ("empty", 422, "The file is empty"),
    ("damaged", 422, "The picture is damaged"),
    ("too_many_requests", 429, "Too many requests from one client"),
    ("header_too_large", 431, "The head of the request is too large"),
    ("changed_file", 503, "The file was changed and is not loaded"),
    ("page_not_built", 503, "The page was not built"),
    ("overloaded", 503, "The server has too much to do"),
    ("too_late", 503, "The answer took too long"),
    ("draining", 503, "The server is stopping"),
)

PROBLEM_TYPES: dict[Reason, ProblemType] = {
    reason: ProblemType(type=f"{TYPES_PATH}#{reason}", title=title, status=status)
    for reason, status, title in _TYPES
}


def problem(reason: Reason, detail: str) -> Problem:
    """The problem of a known kind with what was wrong this time."""
    kind = PROBLEM_TYPES[reason]
    return Problem(type=kind.type, title=kind.title, status=kind.status, detail=detail)


def plain(status: int, detail: str) -> Problem:
    """The problem that `status` says all of."""
    title = HTTPStatus(status).phrase if status in set(HTTPStatus) else "No answer"
    return Problem(type="about:blank", title=title, status=status, detail=detail)


def from_exception(error: Exception) -> Problem:
    """The problem that `error` is to a caller; of an unexpected one it tells nothing."""
    if isinstance(error, ProblemError):
        return error.problem
    if isinstance(error, PictureError):
        return problem(error.reason, str(error))
    if isinstance(error, TooManyRequestsException):
        return problem(
            "too_many_requests",
            "This server answers only so many requests a minute from one client. Send yours again "
            f"in {_reset(error)} seconds.",
        )
    if isinstance(error, QueueFullError):
        return OverloadedError(error.retry_after).problem
    if isinstance(error, HTTPException) and error.status_code < 500:
        return plain(error.status_code, _detail(error))
    return plain(500, "Something went wrong here, not with your request. Try again in a while.")


def respond(error: Exception) -> Response[Problem]:
    """The answer to a request that failed with `error`, which is noted."""
    answer = from_exception(error)
    note(error, answer)
    return Response(
        answer, status_code=answer.status, media_type=MEDIA_TYPE, headers=headers_of(error)
    )


def headers_of(error: Exception) -> dict[str, str]:
    """The headers that the answer to `error` carries beside its problem."""
    if isinstance(error, QueueFullError):
        error = OverloadedError(error.retry_after)
    if isinstance(error, TooManyRequestsException):
        return {**(error.headers or {}), "retry-after": _reset(error)}
    if isinstance(error, HTTPException | ProblemError):
        return dict(error.headers or {})
    return {}


def note(error: Exception, answer: Problem) -> None:
    """Notes the problem for whoever watches; logs where one that was not foreseen came from.

    Its message is not logged, which may name a file.
    """
    visits.current().problem = reason_of(answer)
    if answer.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        frames = "".join(traceback.format_tb(error.__traceback__))
        _log.error("%s in a request\n%s", type(error).__name__, frames.rstrip())


def reason_of(answer: Problem) -> str:
    """The problem in one word; where its status says all, that."""
    return answer.type.rpartition("#")[2] if "#" in answer.type else f"status_{answer.status}"


def _reset(error: TooManyRequestsException) -> str:
    """Seconds until the client may ask again."""
    return {k.lower(): v for k, v in (error.headers or {}).items()}.get("ratelimit-reset", "60")


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
