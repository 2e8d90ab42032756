"""The pictures of a multipart request, read into memory and never to disk.

Litestar's own parser writes every part above one megabyte to a temporary file and has no setting
against it, so the request's stream goes straight through the parser that Litestar uses.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any

import msgspec
from litestar.connection import Request
from litestar.exceptions import HTTPException
from multipart import (
    MultipartSegment,
    ParserError,
    ParserLimitReached,
    PushMultipartParser,
    parse_options_header,
)

from serving.admission import Entry
from serving.inference import Upload
from serving.problems import ProblemError
from serving.settings import Settings

FIELD = "images"

_MOST_TEXT = 1_000
"""bytes of a field that holds no picture"""

_AS_BYTES = "latin-1"
"""what a part's head is read as: any byte is a letter there, whatever its name was written in"""

_PIECE = 65_536
"""bytes; smaller ones are put together as they come, or many would take more room than they hold"""


class Form(msgspec.Struct, frozen=True):
    """What a multipart request holds: the files of the field `images`, and the other fields."""

    uploads: list[Upload]
    fields: dict[str, str]


async def read_form(request: Request[Any, Any, Any], settings: Settings, entry: Entry) -> Form:
    """Reads the multipart form of `request` into memory, within the limits of `settings`.

    Raises:
        ProblemError: where it is no multipart form, is malformed, holds no file, is sent too
            slowly, is beyond a limit, or `entry` has no room for it.
    """
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != "multipart/form-data" or not options.get("boundary"):
        sent = f"{kind} without a boundary" if kind == "multipart/form-data" else kind
        raise ProblemError(
            "not_multipart",
            f"Send the pictures as multipart/form-data in the field `{FIELD}`, not as "
            f"{sent or 'a body without a type'}. With curl: -F {FIELD}=@picture.jpg",
        )
    if (request.content_length or 0) > settings.request_bytes:
        raise _too_large(settings)
    try:
        async with asyncio.timeout(settings.body_seconds):
            await entry.wait()
            form = await _collect(request, options["boundary"], settings, entry)
            entry.was_sent()
            return form
    except TimeoutError as error:
        raise ProblemError(
            "too_slow",
            f"The pictures were not sent within {settings.body_seconds:g} seconds. Send fewer or "
            "smaller ones, or over a faster connection.",
            {"connection": "close"},
        ) from error
    except ParserLimitReached as error:
        raise ProblemError(
            "header_too_large",
            f"The head of a part of the form is larger than {settings.max_header_bytes} bytes, or "
            "has too many lines. Give the file a shorter name.",
        ) from error
    except ParserError as error:
        raise ProblemError(
            "malformed_form",
            f"The multipart form is incomplete or malformed ({error}). Send it again.",
        ) from error
    except HTTPException as error:
        if error.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            raise _too_large(settings) from error
        raise ProblemError(
            "malformed_form", "The request ended before the form did. Send it again."
        ) from error


def _too_large(settings: Settings) -> ProblemError:
    return ProblemError(
        "request_too_large",
        f"At most {settings.request_bytes / 1e6:g} MB are accepted in one request. "
        "Send fewer or smaller pictures.",
    )


async def _collect(
    request: Request[Any, Any, Any], boundary: str, settings: Settings, entry: Entry
) -> Form:
    form = _Collector(settings)
    with PushMultipartParser(
        boundary, max_header_size=settings.max_header_bytes, header_charset=_AS_BYTES
    ) as parser:
        async for chunk in _chunks(request):
            entry.hold(len(chunk))
            for event in parser.parse(chunk):
                form.take(event)
    return form.finish()


async def _chunks(request: Request[Any, Any, Any]) -> AsyncIterator[bytes]:
    """The body piece by piece, without the empty piece that ends Litestar's stream."""
    async for chunk in request.stream():
        if chunk:
            yield chunk


class _Collector:
    """Gathers the parser's events, and refuses as soon as a limit is passed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._segment: MultipartSegment | None = None
        self._pieces: list[bytes | bytearray] = []
        self._others = 0
        self._uploads: list[Upload] = []
        self._fields: dict[str, str] = {}

    def take(self, event: MultipartSegment | bytes | None) -> None:
        """Takes the parser's next event: the head of a part, a piece of it, or its end (None)."""
        if event is None:
            self._end()
        elif isinstance(event, MultipartSegment):
            self._begin(event)
        else:
            self._keep(event)
            self._check_size()

    def finish(self) -> Form:
        """What was gathered, once the form has ended."""
        if not self._uploads:
            sent = ", ".join(sorted(self._fields)) or "nothing"
            raise ProblemError(
                "no_file",
                f"Send one or more pictures in the field `{FIELD}`; this form has {sent}.",
            )
        return Form(self._uploads, self._fields)

    def _begin(self, segment: MultipartSegment) -> None:
        self._segment, self._pieces = segment, []
        if segment.name != FIELD:
            self._count_other()

    def _count_other(self) -> None:
        """Counts a part that holds no picture."""
        self._others += 1
        if self._others > self._settings.max_parts:
            raise ProblemError(
                "too_many_parts",
                f"Send at most {self._settings.max_parts} parts beside the pictures.",
            )

    def _keep(self, piece: bytes) -> None:
        last = self._pieces[-1] if self._pieces else b""
        if len(piece) >= _PIECE:
            self._pieces.append(piece)
        elif isinstance(last, bytearray) and len(last) < _PIECE:
            last += piece
        else:
            self._pieces.append(bytearray(piece))

    def _check_size(self) -> None:
        assert self._segment is not None
        received = self._segment.bytes_received
        if self._segment.name != FIELD:
            if received > _MOST_TEXT:
                raise ProblemError(
                    "no_file",
                    f"The field `{_text(self._segment.name)}` holds more than a few words. Send "
                    f"pictures in the field `{FIELD}`.",
                )
        elif received > self._settings.max_bytes:
            raise ProblemError(
                "too_many_bytes",
                f"{self._name()}: The file is larger than {self._settings.max_bytes / 1e6:g} MB, "
                "the most that is accepted. Save the picture smaller or as JPEG.",
            )

    def _end(self) -> None:
        assert self._segment is not None
        data = b"".join(self._pieces)
        if self._segment.name != FIELD:
            self._fields[_text(self._segment.name)] = data.decode("utf-8", "replace")
        elif data or self._segment.filename:
            if len(self._uploads) == self._settings.max_files:
                raise ProblemError(
                    "too_many_files",
                    f"Send at most {self._settings.max_files} pictures in one request.",
                )
            self._uploads.append(Upload(self._name(), data))
        else:
            # A browser sends a part without name and bytes where no file was chosen.
            self._count_other()
        self._segment, self._pieces = None, []

    def _name(self) -> str:
        assert self._segment is not None
        return _text(self._segment.filename) or f"picture {len(self._uploads) + 1}"


def _text(told: str | None) -> str:
    """What a part's head tells, which is UTF-8; what is not is shown as unknown letters."""
    return (told or "").encode(_AS_BYTES).decode("utf-8", "replace")
