"""HTTP/1.1 as this server takes it: what uvicorn and llhttp read, within limits and one by one.

Uvicorn reads all requests that a client sends ahead, takes a trailer for a header, the body behind
an offer to upgrade for another request, a head of any size, and answers in plain text what it
cannot read. Here a request is read once the one before it is answered, what goes to the parser ends
where a head or a body may end, and refusals are problem details.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Literal

import httptools
import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from serving.following import ID_HEADER, Note
from serving.problems import MEDIA_TYPE, Problem, plain, problem

PIECE = 128 << 10
"""bytes that are taken from a connection at a time, and may wait to be asked for: twice as much at
most, where nobody asks; fewer where many connections share little memory"""

LARGE_PIECE = 512 << 10
"""the same of a body that somebody takes as it comes: each piece costs a turn of the loop"""

Carried = Callable[[Mapping[str, Any] | None], dict[str, str]]
"""The headers that every answer carries, to a request of that ASGI scope; None where none began."""

Part = Literal["head", "body", "answer"]
"""What comes next of a request: more of its head or body, or its answer."""

_END = b"\r\n\r\n"
"""ends a head, and a body in chunks"""

_MOST_ENDS = 4_096
"""in one body: a picture's pieces hold one now and then, and each takes a turn of the parser"""

_CONTINUE = b"HTTP/1.1 100 "

_VERSIONS = ("1.0", "1.1")

_HOST = re.compile(rb"([\w.~%!$&'()*+,;=-]*|\[[0-9A-Fa-f:.]+\])(:[0-9]*)?")


class _MalformedError(Exception):
    """A request that the parser takes, and this server does not."""


_REFUSALS = (_MalformedError, httptools.HttpParserError, UnicodeDecodeError)
"""what a callback of the parser raises over a request, and not because of an error of its own"""


class RequestProtocol(HttpToolsProtocol, asyncio.BufferedProtocol):
    """A connection whose requests are read one by one, each with a head within a limit."""

    max_head_bytes: int
    piece: int = PIECE
    note: Note
    carried: Carried
    received: memoryview
    """what just came: one for all connections of a server, of which each reads it at once"""
    part: Part = "head"
    lingers: bool = True
    """whether it stays, behind its last answer, until the body that was answered has come"""
    _answer: AnswerTransport
    _unread: int | None = None
    """bytes of the body that are still to come; None where it comes in chunks"""
    _has_begun: bool = False
    """whether more came of a request than the blank lines that may stand before it"""
    _begun: int = 0
    """bytes of a head, or of what is between two pieces of a body in chunks, that are read"""
    _is_taken: bool = False
    """whether a piece of the body came, which is taken once there is none left"""
    _ends: int = 0
    """how often an end was looked for in a body in chunks"""
    _tail: bytes = b""
    """the last that was read, in which an end may begin"""
    _behind: bytes = b""
    """what was sent behind the request that is being answered"""

    @property
    def is_idle(self) -> bool:
        """Whether every request that was begun has its answer."""
        return self.part == "head" and not self._has_begun

    @property
    def is_lingering(self) -> bool:
        """Whether its last answer is given, and only the rest of a body is still to come."""
        if self.part != "body" or not self.lingers:
            return False
        return bool(self.cycle.response_complete and not self.cycle.keep_alive)

    @property
    def _held(self) -> int:
        """Bytes that wait to be asked for, of a body or behind it."""
        return len(self._behind) + (0 if self.cycle is None else len(self.cycle.body))

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where to put what comes next."""
        is_announced = self.part == "body" and self._unread is not None
        if is_announced and self._is_taken and not self.cycle.body:
            return self.received
        # Whoever asks for more has it read on, though there is no room; a byte shows the end, too.
        return self.received[: min(self.piece, max(1, 2 * self.piece - self._held))]

    def buffer_updated(self, nbytes: int) -> None:
        """Reads what came."""
        self._unset_keepalive_if_required()
        if self.part == "body" and self._unread is not None and nbytes <= self._unread:
            self._feed(self.received[:nbytes])
        else:
            self._read(self._behind + bytes(self.received[:nbytes]))

    def on_message_begin(self) -> None:
        """Begins to read a request."""
        super().on_message_begin()
        self._has_begun = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """Takes a header; a trailer would count for one though it comes when all is decided."""
        if self.part == "head":
            super().on_header(name, value.strip(b" \t"))

    def on_headers_complete(self) -> None:
        """Begins to answer a request, where it is one."""
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise _MalformedError
            return
        self._unread = _announced(self.headers, self.url, self.parser.get_http_version())
        if self.parser.get_http_version() == "1.0":
            self.expect_100_continue = False
        super().on_headers_complete()
        self._answer = AnswerTransport(self.transport)
        self.cycle.transport = self._answer
        self.part, self._begun, self._ends, self._is_taken = "body", 0, 0, False

    def on_body(self, body: bytes) -> None:
        """Keeps a piece of the body until it is asked for."""
        self._begun, self._is_taken = 0, True
        if self._unread is not None:
            self._unread -= len(body)
        cycle = self.cycle
        if cycle.response_complete:
            return
        if cycle.body:
            cycle.body += body
        elif self._unread is None:
            cycle.body = bytearray(body)
        else:
            # uvicorn types it as a bytearray, of which it only asks the length and `bytes(...)`; of
            # bytes that makes no second copy of a picture.
            cycle.body = body  # type: ignore[assignment]
        if self._held > self.piece:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        """Ends a request."""
        if self.part == "body":
            self._has_begun = False
            super().on_message_complete()
            if self.is_lingering:
                self.transport.close()
            self.part, self._begun = "head" if self.cycle.response_complete else "answer", 0

    def on_response_complete(self) -> None:
        """Goes on with what was sent meanwhile; nobody asks for the rest of a body any more."""
        self.cycle.body = bytearray()
        self._answer.flush()
        if self.part == "answer":
            self.part = "head"
        super().on_response_complete()
        if self._behind:
            self._unset_keepalive_if_required()
            behind, self._behind = self._behind, b""
            self._read(behind)

    def refuse(self, details: Problem) -> None:
        """Answers with `details` where no answer was begun, and closes the connection."""
        is_answered = self.part != "head" and self.cycle.response_started
        if is_answered and not self.cycle.response_complete:
            # What was begun is sent to its end, behind which the connection is closed.
            self.part, self.cycle.keep_alive = "answer", False
            return
        if self.part != "head":
            # Its answer, where there is none yet, would follow upon this one.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if not is_answered:
            headers = {**self.carried(self.scope), ID_HEADER: self.note(details, "")}
            self.transport.write(_encoded(details, headers))
        self.transport.close()

    def _read(self, data: bytes) -> None:
        view, start = memoryview(data), 0
        while start < len(data) and not self.transport.is_closing():
            if self.part == "answer":
                # Read on up to a limit, to see the client leave.
                self._behind = data[start:] if self.cycle.keep_alive else b""
                if self._held > self.piece:
                    self.flow.pause_reading()
                return
            end = self._end(data, start)
            if start == end:
                self.refuse(_too_large(self.max_head_bytes))
                return
            if self.part == "body" and self._unread is None:
                self._ends += 1
                if self._ends > _MOST_ENDS:
                    self.refuse(_malformed())
                    return
            self._feed(view[start:end])
            start = end

    def _end(self, data: bytes, start: int) -> int:
        """How far `data` may be read at a time: no further than a request, nor than its head."""
        if self.part == "body" and self._unread is not None:
            return min(len(data), start + self._unread)
        limit = min(len(data), start + self.max_head_bytes - self._begun)
        found = (self._tail + data[start : start + len(_END) - 1]).find(_END)
        if found >= 0:
            found += start - len(self._tail)
        elif (found := data.find(_END, start, limit)) < 0:
            return limit
        return min(limit, found + len(_END))

    def _feed(self, data: memoryview) -> None:
        self._begun += len(data)
        self._tail = bytes(data[-len(_END) + 1 :])
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._pass_over_upgrade()
        except httptools.HttpParserError as error:
            cause = error.__context__
            if cause is not None and not isinstance(cause, _REFUSALS):
                self.logger.error("A request could not be read.", exc_info=cause)
            self.refuse(_malformed())

    def _pass_over_upgrade(self) -> None:
        """Reads a head anew without its offer, which a server may pass over.

        The parser would take the body for the other protocol.
        """
        target = self.url, self.parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), *target)]
        lines += [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self._feed(memoryview(b"\r\n".join([*lines, b"", b""])))


class AnswerTransport(asyncio.Transport):
    """What uvicorn writes one answer to: its head goes out with what follows upon it, at one go.

    Of a transport's methods it has those that an answer takes.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__()
        self._transport = transport
        self._head: bytes | None = None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Writes `data`, or keeps it where it is the head."""
        data = bytes(data)  # which makes no copy of bytes
        if self._head is None and data.startswith(_CONTINUE):
            self._transport.write(data)
        elif self._head is None:
            self._head = data
        else:
            self._transport.write(self._head + data)
            self._head = b""

    def flush(self) -> None:
        """Writes the head, behind which nothing follows."""
        if self._head:
            self._transport.write(self._head)
            self._head = b""

    def is_closing(self) -> bool:
        """Whether the connection is closed, or soon will be."""
        return self._transport.is_closing()

    def close(self) -> None:
        """Closes the connection behind what was written: our half where a body is still coming.

        What comes and is not read has the system reset the connection, and whoever still sends
        might never read the answer (RFC 9112, section 9.6).
        """
        self.flush()
        connection = self._transport.get_protocol()
        if isinstance(connection, RequestProtocol) and connection.is_lingering:
            with suppress(OSError):  # a client that has gone
                self._transport.write_eof()
        else:
            self._transport.close()


def _announced(headers: list[tuple[bytes, bytes]], target: bytes, version: str) -> int | None:
    """The length of the body that follows, None where it comes in chunks.

    Raises:
        _MalformedError: where the head is none of HTTP/1.1, or could be read in two ways.
    """
    hosts = [value for name, value in headers if name == b"host"]
    codings = [value.lower() for name, value in headers if name == b"transfer-encoding"]
    if version not in _VERSIONS or len(hosts) > 1 or (version == "1.1" and not hosts):
        raise _MalformedError
    if hosts and not _HOST.fullmatch(hosts[0]):
        raise _MalformedError
    if not target.startswith(b"/") or b"#" in target:
        raise _MalformedError
    if codings and (codings != [b"chunked"] or version == "1.0"):
        raise _MalformedError
    if codings:
        return None
    return next((int(value) for name, value in headers if name == b"content-length"), 0)


def _malformed() -> Problem:
    return plain(400, "What was sent is no HTTP/1.1 request. Send it again.")


def _too_large(limit: int) -> Problem:
    return problem(
        "header_too_large",
        f"The head of the request is larger than {limit} bytes. Send fewer or shorter headers.",
    )


def _encoded(details: Problem, headers: Mapping[str, str]) -> bytes:
    """A whole answer, behind which nothing follows."""
    body = msgspec.json.encode(details)
    headers = {
        **headers,
        "content-type": MEDIA_TYPE,
        "content-length": str(len(body)),
        "connection": "close",
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return b"%b%b\r\n%b" % (STATUS_LINE[details.status], lines.encode(), body)
