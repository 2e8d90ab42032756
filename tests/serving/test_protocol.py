from __future__ import annotations

import asyncio
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from serving.inference import Inference
from serving.protocol import LARGE_PIECE, PIECE, AnswerTransport, RequestProtocol
from serving.settings import Settings
from tests.drawings import draw_lesion, encode
from tests.serving.live import Live, serving, wait_until

MOST_HEAD = 2_000
GET = b"GET /healthz HTTP/1.1\r\nHost: here\r\n\r\n"
LAST = b"GET /healthz HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n"
FORM = (
    b'--x\r\nContent-Disposition: form-data; name="images"; filename="a"\r\n\r\n'
    + encode(draw_lesion(1))
    + b"\r\n--x--\r\n"
)
POST = b"POST /api/v1/predictions HTTP/1.1\r\nHost: here\r\nContent-Type: %b\r\n" % (
    b"multipart/form-data; boundary=x"
)
LENGTH = b"Content-Length: %d\r\n" % len(FORM)
UNREAD = 18_000_000
CHUNKED = b"Transfer-Encoding: chunked\r\n"


@pytest.fixture(scope="module")
def live(settings: Settings, static: Path) -> Iterator[Live]:
    small = msgspec.structs.replace(
        settings,
        port=0,
        max_header_bytes=MOST_HEAD,
        body_seconds=5,
        # Enough for the largest pieces.
        memory_bytes=2_000_000_000,
    )
    with serving(small, static) as live:
        yield live


def chunks(body: bytes, size: int) -> bytes:
    pieces = (body[i : i + size] for i in range(0, len(body), size))
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n"


def to_the_end(connection: socket.socket) -> bytes:
    received = b""
    while piece := connection.recv(65536):
        received += piece
    return received


def ask(live: Live, *pieces: bytes) -> bytes:
    """All that comes for `pieces` until the server closes the connection."""
    with live.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            connection.sendall(piece)
        return to_the_end(connection)


def statuses(answers: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) [A-Z]", answers)]


def hold_answers(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Until it is set, no picture is answered."""
    opened, quick = threading.Event(), Inference.answer_each

    def held(*arguments: Any, **options: Any) -> Any:
        assert opened.wait(60)
        return quick(*arguments, **options)

    monkeypatch.setattr(Inference, "answer_each", held)
    return opened


def bytewise(data: bytes) -> list[bytes]:
    return [bytes((byte,)) for byte in data]


@pytest.mark.parametrize("in_pieces", [False, True])
def test_a_head_may_be_as_large_as_is_said_and_no_larger(live: Live, in_pieces: bool) -> None:
    def head(size: int) -> bytes:
        return LAST[:-2] + b"X: " + b"a" * (size - len(LAST) - 5) + b"\r\n\r\n"

    for size, status in ((MOST_HEAD, 200), (MOST_HEAD + 1, 431)):
        sent = head(size)
        assert len(sent) == size
        pieces = [sent[i : i + 90] for i in range(0, size, 90)] if in_pieces else [sent]
        assert statuses(ask(live, *pieces)) == [status]


@pytest.mark.parametrize("path", [b"/", b"/static/favicon.svg", b"/nothing"])
def test_a_head_alone_has_no_body(live: Live, path: bytes) -> None:
    answers = ask(live, b"HEAD " + path + b" HTTP/1.1\r\nHost: here\r\n\r\n", LAST)
    head, _, rest = answers.partition(b"\r\n\r\n")
    assert b"content-length: 0\r\n" not in head
    assert rest.startswith(b"HTTP/1.1 200 OK\r\n")


def test_many_small_headers_count_together(live: Live) -> None:
    assert statuses(ask(live, GET[:-2], *[b"X: a\r\n" * 20] * 17)) == [431]


def test_a_head_is_measured_anew_for_each_request(live: Live) -> None:
    many = [GET] * 200
    assert statuses(ask(live, *many, LAST)) == [200] * 201
    assert statuses(ask(live, b"".join(many) + LAST)) == [200] * 201


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"3;" + b"a" * 5_000, id="extension"),
        pytest.param(b"3\r\nabc\r\n0\r\nX: " + b"a" * 5_000, id="trailer"),
        pytest.param(b"3\r\nabc\r\n0\r\n" + b"X: a\r\n" * 900, id="trailers"),
    ],
)
def test_what_is_between_chunks_is_limited_like_a_head(live: Live, sent: bytes) -> None:
    assert statuses(ask(live, POST + CHUNKED + b"\r\n" + sent)) == [431]


def test_a_trailer_is_no_header(live: Live) -> None:
    page = b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n"
    german = b"Accept-Language: de\r\n"
    chunk = CHUNKED + b"\r\n1\r\na\r\n0\r\n"
    assert b"content-language: de" in ask(live, page + german + chunk + b"\r\n")
    assert b"content-language: en" in ask(live, page + chunk + german + b"\r\n")
    # A server that took it for one would refuse the second.
    answer = ask(live, LAST[:-2] + CHUNKED + b"\r\n0\r\nHost: other\r\n\r\n")
    assert statuses(answer) == [200]


@pytest.mark.parametrize(
    "head",
    [
        b"Host: here\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Host: here\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        b"Host: here\r\nContent-Length: 5\r\nContent-Length: 6\r\n",
        b"Host: here\r\nContent-Length: 5, 6\r\n",
        b"Host: here\r\nContent-Length: +5\r\n",
        b"Host: here\r\nContent-Length: 0x5\r\n",
        b"Host: here\r\nContent-Length: 5_0\r\n",
        b"Host: here\r\nContent-Length: -5\r\n",
        b"Host: here\r\nContent-Length:\r\n",
        b"Host: here\r\nContent-Length: 99999999999999999999999\r\n",
        b"Host: here\r\nContent-Length : 5\r\n",
        b"Host: here\r\nTransfer-Encoding: gzip\r\n",
        b"Host: here\r\nTransfer-Encoding: gzip, chunked\r\n",
        b"Host: here\r\nTransfer-Encoding: chunked, identity\r\n",
        b"Host: here\r\nTransfer-Encoding: xchunked\r\n",
        b"Host: here\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        b"Host: here\r\nTransfer-Encoding : chunked\r\n",
        b"Host: here\r\nTransfer-Encoding:\x0bchunked\r\n",
        b"Host: here\r\nX: a\r\n Transfer-Encoding: chunked\r\n",
        b"Host: here\r\nX: a\nTransfer-Encoding: chunked\r\n",
        b"Host: here\r\nX: a\rb\r\n",
        b"Host: here\r\nX: a\0b\r\n",
        b"Host: here\r\nX\0: a\r\n",
        b"Host: here\r\n: a\r\n",
        b"Host: here\r\nX\r\n",
        b"Host: here\n",
        b"Host: here\r\nHost: there\r\n",
        b"Host: here: 80\r\n",
        b"Host: here/there\r\n",
        b"Host: here@there\r\n",
        b"Host: [here\r\n",
        b"Host: h\xc3\xa9\r\n",
        b"X: a\r\n",
    ],
)
def test_a_head_that_could_be_read_in_two_ways_is_refused(live: Live, head: bytes) -> None:
    answer = ask(live, b"POST /healthz HTTP/1.1\r\n" + head + b"\r\n0\r\n\r\n" + GET)
    assert statuses(answer) == [400]
    assert b"content-type: application/problem+json" in answer


@pytest.mark.parametrize("host", [b"here", b"HERE.:80", b"[::1]:8000", b"10.0.0.1", b"a_b:", b""])
def test_any_name_of_a_host_is_taken(live: Live, host: bytes) -> None:
    assert statuses(ask(live, LAST.replace(b"here", host))) == [200]


@pytest.mark.parametrize("accept", [b"text/html", b"*/*"])
def test_no_name_of_a_host_is_an_error_of_the_servers(live: Live, accept: bytes) -> None:
    head = b"Host: here:99999\r\nAccept: %b\r\nConnection: close\r\n\r\n" % accept
    assert statuses(ask(live, b"GET /nothing HTTP/1.1\r\n" + head)) == [404]


@pytest.mark.parametrize(
    "line",
    [
        b"GET /healthz HTTP/1.1\n",
        b"GET /healthz HTTP/0.9\r\n",
        b"GET /healthz HTTP/2.0\r\n",
        b"GET /healthz HTTP/1.2\r\n",
        b"GET /healthz\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"CONNECT here:80 HTTP/1.1\r\n",
        b"OPTIONS * HTTP/1.1\r\n",
        b"GET http://here/healthz HTTP/1.1\r\n",
        b"GET /healthz#there HTTP/1.1\r\n",
        b"GET /health z HTTP/1.1\r\n",
        b"GET /\xff HTTP/1.1\r\n",
        b"GET /\0 HTTP/1.1\r\n",
        b"get /healthz HTTP/1.1\r\n",
    ],
)
def test_a_request_line_that_is_none_of_http_1_1_is_refused(live: Live, line: bytes) -> None:
    assert statuses(ask(live, line + b"Host: here\r\n\r\n")) == [400]


@pytest.mark.parametrize(
    "body",
    [
        b"3\nabc\r\n0\r\n\r\n",
        b"3\r\nabcd\r\n0\r\n\r\n",
        b"0x3\r\nabc\r\n0\r\n\r\n",
        b" 3\r\nabc\r\n0\r\n\r\n",
        b"3 \r\nabc\r\n0\r\n\r\n",
        b"-3\r\nabc\r\n0\r\n\r\n",
        b"ffffffffffffffffff\r\nabc",
        b"3;a\nb\r\nabc\r\n0\r\n\r\n",
        b"3\r\nabc\n0\r\n\r\n",
        b"3\r\nabc\r\n0\r\nX: a\r\nb\r\n\r\n",
    ],
)
def test_a_chunk_that_could_be_read_in_two_ways_is_refused(live: Live, body: bytes) -> None:
    assert statuses(ask(live, POST + CHUNKED + b"\r\n" + body + GET)) == [400]


def test_after_an_answer_what_is_wrong_behind_it_is_told_no_more(live: Live) -> None:
    with live.connect() as connection:
        connection.sendall(b"POST /nothing HTTP/1.1\r\nHost: here\r\n" + CHUNKED + b"\r\n")
        answer = connection.recv(65536)
        connection.sendall(b"not a chunk\r\n")
        assert statuses(answer + to_the_end(connection)) == [404]


@pytest.mark.parametrize("protocol", [b"h2c", b"websocket", b"anything"])
def test_an_offer_to_upgrade_is_passed_over(live: Live, protocol: bytes) -> None:
    offer = (
        b"Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: a\r\nUpgrade: %b\r\n" % protocol
    )
    answers = ask(live, GET[:-2] + offer + b"\r\n", POST + offer + LENGTH + b"\r\n" + FORM + LAST)
    assert statuses(answers) == [200, 200, 200]


def test_the_body_behind_an_offer_to_upgrade_is_no_request(live: Live) -> None:
    offer = b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: %d\r\n\r\n" % len(GET)
    answers = ask(live, b"POST /nothing HTTP/1.1\r\nHost: here\r\n" + offer + GET + LAST)
    assert statuses(answers) == [404, 200]


def test_who_waits_for_a_word_before_the_body_gets_it(live: Live) -> None:
    with live.connect() as connection:
        connection.sendall(POST + LENGTH + b"Expect: 100-continue\r\nConnection: close\r\n\r\n")
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(FORM)
        assert statuses(to_the_end(connection)) == [200]


def test_nor_is_it_asked_for_a_body_that_is_refused(live: Live) -> None:
    with live.connect() as connection:
        connection.sendall(POST + b"Content-Length: 99000000\r\nExpect: 100-continue\r\n\r\n")
        assert statuses(connection.recv(65536)) == [413]


@pytest.mark.parametrize("bytes_at_a_time", [False, True])
@pytest.mark.parametrize("size", [0, 500, 1])
def test_requests_that_are_sent_ahead_are_answered_in_turn(
    live: Live, bytes_at_a_time: bool, size: int
) -> None:
    if size:
        body = (
            CHUNKED + b"\r\n" + chunks(b"\r\n\r\n".join((FORM[:600], GET)), size) + b"X: a\r\n\r\n"
        )
    else:
        body = b"Content-Length: %d\r\n\r\n" % len(GET) + GET
    missing = b"POST /nothing HTTP/1.1\r\nHost: here\r\n" + body
    sent = GET + missing + GET + missing + LAST
    answers = ask(live, *(bytewise(sent) if bytes_at_a_time else [sent]))
    assert statuses(answers) == [200, 404, 200, 404, 200]


def test_a_request_is_begun_once_the_one_before_it_is_answered(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = hold_answers(monkeypatch)
    with serving(msgspec.structs.replace(settings, port=0)) as live, live.connect() as connection:
        admission = live.app.state.admission
        connection.sendall((POST + LENGTH + b"\r\n" + FORM) * 3 + LAST)
        wait_until(lambda: live.app.state.inference.workers.running == 1)
        assert admission.taken == 1
        opened.set()
        assert statuses(to_the_end(connection)) == [200, 200, 200, 200]


@pytest.mark.parametrize("in_pieces", [False, True])
def test_behind_the_last_request_nothing_is_read(live: Live, in_pieces: bool) -> None:
    sent = [LAST, b"\x16\x03\x01", GET]
    received = b""
    with live.connect() as connection, suppress(ConnectionError):  # closed while we sent
        connection.sendall(sent[0] if in_pieces else b"".join(sent))
        received += connection.recv(65536)
        for piece in sent[1:] if in_pieces else []:
            connection.sendall(piece)
        received += to_the_end(connection)
    assert statuses(received) == [200]


def test_blank_lines_behind_a_body_begin_no_request(settings: Settings) -> None:
    hasty = msgspec.structs.replace(settings, port=0, header_seconds=0.2, idle_seconds=0.6)
    with serving(hasty) as live:
        assert statuses(ask(live, POST + LENGTH + b"\r\n" + FORM + b"\r\n")) == [200]
        assert statuses(ask(live, GET + b"\r\n", b"\r\n" + LAST)) == [200, 200]


def test_a_body_that_ends_with_every_few_bytes_is_refused(live: Live) -> None:
    begun = POST.replace(b"predictions", b"nothing") + CHUNKED + b"\r\n"
    with live.connect() as connection:
        connection.sendall(begun + chunks(b"\r\n" * 5_000, 2))
        assert statuses(to_the_end(connection)) in ([400], [404])
    assert statuses(ask(live, begun + chunks(b"\r\n" * 2_000, 2) + b"\r\n" + LAST)) == [404, 200]


@pytest.mark.parametrize("path", [b"/", b"/healthz", b"/static/favicon.svg", b"/api/openapi.json"])
def test_an_older_client_is_answered_and_let_go(live: Live, path: bytes) -> None:
    asked = b"GET %b HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n" % path
    head, _, body = ask(live, asked + GET).partition(b"\r\n\r\n")
    assert statuses(head) == [200]
    lines = head.lower().split(b"\r\n")
    assert b"connection: close" in lines
    # It knows no chunks.
    assert b"content-length: %d" % len(body) in lines


def test_an_older_client_gets_no_word_before_its_answer(live: Live) -> None:
    old = POST.replace(b"1.1", b"1.0") + LENGTH + b"Expect: 100-continue\r\n\r\n" + FORM
    assert ask(live, old).startswith(b"HTTP/1.1 200 OK\r\n")


def test_space_around_a_header_is_no_part_of_it(live: Live) -> None:
    with live.connect() as connection:
        connection.sendall(POST + LENGTH + b"Expect: \t 100-continue \t\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 100 ")


@pytest.mark.parametrize(("sent", "most"), [("whole", LARGE_PIECE), ("in chunks", PIECE)])
def test_a_body_that_is_taken_as_it_comes_is_read_in_larger_pieces(
    live: Live, monkeypatch: pytest.MonkeyPatch, sent: str, most: int
) -> None:
    pieces, get = list[int](), RequestProtocol.get_buffer

    def note(connection: RequestProtocol, hint: int) -> memoryview:
        buffer = get(connection, hint)
        pieces.append(len(buffer))
        return buffer

    monkeypatch.setattr(RequestProtocol, "get_buffer", note)
    head, end = FORM.split(b"\r\n\r\n")[0] + b"\r\n\r\n", b"\r\n--x--\r\n"
    body = head + bytes(2_000_000) + end
    length = b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
    chunked = b"Connection: close\r\n" + CHUNKED + b"\r\n"
    whole = POST + length + body
    answers = ask(
        live, whole if sent == "whole" else POST + chunked + chunks(body, 100_000) + b"\r\n"
    )
    assert statuses(answers) == [415]
    # With the head, nobody has taken anything yet.
    assert pieces[0] == PIECE
    assert max(pieces) == most


def test_a_body_that_nobody_reads_is_not_taken(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = hold_answers(monkeypatch)
    monkeypatch.setattr("serving.turns.Turns.__init__.__defaults__", (1, 60.0))
    one = msgspec.structs.replace(settings, port=0, workers=1, memory_bytes=400_000_000)
    with serving(one) as live, live.connect() as first, live.connect() as second:
        first.sendall(POST + LENGTH + b"\r\n" + FORM)
        wait_until(lambda: live.app.state.inference.workers.running == 1)
        second.sendall(POST + b"Content-Length: %d\r\n\r\n" % UNREAD)
        wait_until(lambda: live.app.state.admission.turns.waiting == 1)
        second.settimeout(0.5)
        sent = 0
        with suppress(TimeoutError):
            while sent < UNREAD:
                sent += second.send(bytes(100_000))
        # The network's own buffers take some megabytes.
        assert sent < UNREAD / 2
        opened.set()


@pytest.mark.parametrize("sent", ["a body", "behind a request"])
def test_what_lies_unread_has_its_share_of_the_memory(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, sent: str
) -> None:
    opened, held = hold_answers(monkeypatch), set[RequestProtocol]()
    monkeypatch.setattr("serving.turns.Turns.__init__.__defaults__", (1, 60.0))
    update = RequestProtocol.buffer_updated

    def note(connection: RequestProtocol, count: int) -> None:
        held.add(connection)
        update(connection, count)

    monkeypatch.setattr(RequestProtocol, "buffer_updated", note)
    small = msgspec.structs.replace(
        settings, port=0, workers=1, memory_bytes=400_000_000, max_connections=1_000
    )
    length = b"Content-Length: %d\r\n\r\n" % UNREAD
    with serving(small) as live, live.connect() as first, live.connect() as second:
        first.sendall(POST + LENGTH + b"\r\n" + FORM)
        wait_until(lambda: live.app.state.inference.workers.running == 1)
        second.sendall(POST + (length if sent == "a body" else LENGTH + b"\r\n" + FORM))
        second.sendall(bytes(500_000) if sent == "a body" else GET * 12_000)
        wait_until(lambda: any(each.flow.read_paused for each in held))
        unread = [len(each._behind) + len(each.cycle.body) for each in held]
        assert max(unread) <= small.unread_bytes // small.max_connections
        opened.set()


def test_what_nobody_asked_for_is_not_kept_behind_its_answer(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, update = set[RequestProtocol](), RequestProtocol.buffer_updated

    def note(connection: RequestProtocol, count: int) -> None:
        held.add(connection)
        update(connection, count)

    monkeypatch.setattr(RequestProtocol, "buffer_updated", note)
    body = b"Content-Length: 50000\r\n\r\n" + bytes(50_000)
    with live.connect() as connection:
        connection.sendall(POST.replace(b"predictions", b"nothing") + body)
        assert statuses(connection.recv(65536)) == [404]
        (answered,) = held
        wait_until(lambda: answered.part == "head")
        assert answered.cycle.body == b""


class Written:
    """In the place of a transport."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.pieces.append(data)

    def is_closing(self) -> bool:
        return False

    def get_protocol(self) -> None:
        return None

    def close(self) -> None:
        self.pieces.append(b"(closed)")


def test_the_head_of_an_answer_goes_out_with_what_follows() -> None:
    written = Written()
    answer = AnswerTransport(cast("asyncio.Transport", written))
    for piece in (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"one", b"two"):
        answer.write(piece)
    answer.flush()
    answer.close()
    assert written.pieces == [
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\none",
        b"two",
        b"(closed)",
    ]


@pytest.mark.parametrize("end", ["flush", "close"])
def test_a_head_that_nothing_follows_is_sent_at_the_end(end: str) -> None:
    written = Written()
    answer = AnswerTransport(cast("asyncio.Transport", written))
    answer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert written.pieces == []
    getattr(answer, end)()
    answer.flush()
    assert written.pieces[0] == b"HTTP/1.1 204 No Content\r\n\r\n"
    assert len(written.pieces) == 1 + (end == "close")
