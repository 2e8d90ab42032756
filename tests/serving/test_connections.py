from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from serving.settings import Settings
from serving.visits import Visit
from tests.drawings import draw_lesion, encode
from tests.serving.live import Live, serving, wait_until

MOLE = encode(draw_lesion(1))
HEAD_SECONDS = 0.3
ANSWER_SECONDS = 1.0
LARGE = 20_000_000
SENT = 5_000_000
GET = b"GET /healthz HTTP/1.1\r\nHost: here\r\n\r\n"
POST = (
    b"POST /api/v1/predictions HTTP/1.1\r\nHost: here\r\n"
    b"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: %d\r\n\r\n"
)


@pytest.fixture(scope="module")
def static(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a file that no buffer holds."""
    folder = tmp_path_factory.mktemp("static")
    (folder / "large.js").write_bytes(bytes(LARGE))
    return folder


@pytest.fixture(scope="module")
def live(settings: Settings, static: Path) -> Iterator[Live]:
    impatient = msgspec.structs.replace(
        settings,
        port=0,
        header_seconds=HEAD_SECONDS,
        idle_seconds=3,
        body_seconds=ANSWER_SECONDS / 2,
        deadline_seconds=ANSWER_SECONDS / 2,
        max_header_bytes=2_000,
    )
    with serving(impatient, static) as live:
        yield live


def answer(connection: socket.socket) -> tuple[int, dict[str, str], Any]:
    """The status, headers and JSON of all that comes until the connection is closed."""
    received = b""
    while piece := connection.recv(65536):
        received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    return int(first.split()[1]), headers, json.loads(body)


def taken(connection: socket.socket) -> bytes:
    """All that comes until the connection ends, in whichever way."""
    taken = bytearray()
    with suppress(ConnectionResetError):
        while piece := connection.recv(1 << 20):
            taken += piece
    return bytes(taken)


def received(connection: socket.socket) -> bytes:
    """One whole answer to GET, in however many pieces it comes."""
    answered = b""
    while not answered.endswith(b'{"status":"ok"}'):
        answered += (piece := connection.recv(65536))
        assert piece
    return answered


def test_a_head_that_is_sent_too_slowly_is_refused(live: Live) -> None:
    with live.connect() as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: he")
        status, headers, details = answer(connection)
    assert status == 408
    assert headers["content-type"] == "application/problem+json"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert details["type"] == "/api/v1/problems#too_slow"


def test_whoever_watches_is_told_of_what_is_no_request(live: Live) -> None:
    seen: list[Visit] = []
    live.app.state.watchers.append(seen.append)
    with live.connect() as connection:
        connection.sendall(b"nonsense\r\n\r\n")
        status, headers, _ = answer(connection)
    wait_until(lambda: [visit for visit in seen if visit.id == headers["x-request-id"]])
    (visit,) = (visit for visit in seen if visit.id == headers["x-request-id"])
    assert (visit.method, visit.route, visit.status) == ("(none)", "(not read)", status)
    assert visit.problem == "status_400"


def test_sending_byte_by_byte_gains_no_time(live: Live) -> None:
    with live.connect() as connection:
        connection.settimeout(0.02)
        for byte in b"GET /" + b"a" * 495:
            connection.sendall(bytes((byte,)))
            try:
                assert connection.recv(65536).startswith(b"HTTP/1.1 408")
                break
            except TimeoutError:
                continue
        else:
            pytest.fail("the server waits as long as anything comes")


def test_a_second_request_has_no_more_time_than_the_first(live: Live) -> None:
    with live.connect() as connection:
        connection.sendall(GET + GET[:20])
        answered = b""
        while piece := connection.recv(65536):
            answered += piece
    assert answered.count(b"HTTP/1.1 200") == 1


def test_a_connection_that_sends_nothing_is_closed(live: Live) -> None:
    with live.connect() as connection:
        assert connection.recv(1) == b""


def test_a_connection_may_rest_between_two_requests(live: Live) -> None:
    with live.connect() as connection:
        for _ in range(2):
            connection.sendall(GET)
            assert b" 200 " in received(connection)
            time.sleep(3 * HEAD_SECONDS)


def test_a_connection_that_rests_too_long_is_closed(live: Live) -> None:
    with live.connect() as connection:
        connection.sendall(GET)
        assert b" 200 " in received(connection)
        assert connection.recv(65536) == b""


def test_a_body_that_is_sent_too_slowly_is_refused(live: Live) -> None:
    with live.connect() as connection:
        connection.sendall(POST % 5000 + b"--x\r\n")
        status, headers, details = answer(connection)
    assert status == 408
    assert headers["connection"] == "close"
    assert details["type"] == "/api/v1/problems#too_slow"
    assert f"{ANSWER_SECONDS / 2:g} seconds" in details["detail"]


@pytest.mark.parametrize(("why", "told"), [("too_slow", 408), ("draining", 503)])
def test_whoever_is_refused_while_it_sends_may_send_all_and_reads_why(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, why: str, told: int
) -> None:
    monkeypatch.setattr("serving.connections._LINGER_SECONDS", 600)
    seconds = 0.5 if why == "too_slow" else 600
    patient = msgspec.structs.replace(settings, port=0, idle_seconds=600, body_seconds=seconds)
    with serving(patient) as live, live.connect() as connection:
        if why == "draining":
            live.app.state.admission.drain()
        connection.sendall(POST % SENT)
        assert connection.recv(1, socket.MSG_PEEK)
        connection.sendall(bytes(SENT))
        status, headers, details = answer(connection)
        assert (status, headers["connection"]) == (told, "close")
        assert details["type"] == f"/api/v1/problems#{why}"
        # Then there is nothing left to wait for.
        wait_until(lambda: live.connections == 0)


@pytest.mark.parametrize("sent", [b"a", b""], ids=["sends on and on", "sends nothing more"])
def test_nobody_waits_for_ever_for_the_rest_of_what_is_refused(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr("serving.connections._LINGER_SECONDS", 0.5)
    hasty = msgspec.structs.replace(
        settings, port=0, idle_seconds=600, deadline_seconds=600, body_seconds=0.5
    )
    with serving(hasty) as live, live.connect() as connection:

        def is_let_go() -> bool:
            with suppress(ConnectionError):
                connection.sendall(sent)
            return live.connections == 0

        connection.sendall(POST % SENT)
        assert answer(connection)[0] == 408
        wait_until(is_let_go)


@pytest.fixture
def draining(settings: Settings) -> Iterator[Live]:
    patient = msgspec.structs.replace(settings, port=0, idle_seconds=600, body_seconds=600)
    with serving(patient) as live:
        live.app.state.admission.drain()
        yield live


def test_nor_is_it_cut_off_where_the_server_ends_behind_it(
    draining: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.connections._LAST_SECONDS", 600)
    with draining.connect() as connection:
        connection.sendall(POST % SENT)
        assert connection.recv(1, socket.MSG_PEEK)
        draining.stop()
        connection.sendall(bytes(SENT))
        assert answer(connection)[0] == 503


def test_a_server_that_ends_waits_for_nobody_whom_it_refused(draining: Live) -> None:
    with draining.connect() as connection:
        connection.sendall(POST % SENT)
        assert answer(connection)[0] == 503
        draining.stop()
        wait_until(lambda: draining.connections == 0)


@pytest.mark.parametrize("where", ["header", "address"])
def test_a_head_that_is_too_large_is_refused(live: Live, where: str) -> None:
    name = b"a" * 5_000
    head = (
        b"GET /" + name + b" HTTP/1.1\r\n"
        if where == "address"
        else b"GET / HTTP/1.1\r\nX: " + name
    )
    with live.connect() as connection:
        connection.sendall(head)
        status, headers, details = answer(connection)
    assert status == 431
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert details["type"] == "/api/v1/problems#header_too_large"
    assert "2000 bytes" in details["detail"]


@pytest.mark.parametrize("sent", [b"\x16\x03\x01 this is TLS\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"])
def test_what_is_no_request_is_refused(live: Live, sent: bytes) -> None:
    with live.connect() as connection:
        connection.sendall(sent)
        status, headers, details = answer(connection)
    assert (status, details["status"]) == (400, 400)
    assert "server" not in headers


def test_a_connection_too_many_is_turned_away(settings: Settings) -> None:
    few = msgspec.structs.replace(settings, port=0, max_connections=3)
    seen: list[Visit] = []
    with serving(few) as live, ExitStack() as waiting:
        live.app.state.watchers.append(seen.append)
        for _ in range(few.max_connections):
            waiting.enter_context(live.connect())
        with live.connect() as connection:
            connection.sendall(GET.replace(b"healthz", b"api/v1/models"))
            status, headers, details = answer(connection)
        wait_until(lambda: seen)
    assert [(visit.id, visit.problem) for visit in seen] == [
        (headers["x-request-id"], "overloaded")
    ]
    assert status == 503
    assert headers["retry-after"] == "1"
    assert details["type"] == "/api/v1/problems#overloaded"


def test_nor_is_it_kept_until_it_has_sent_all(settings: Settings) -> None:
    few = msgspec.structs.replace(
        settings, port=0, max_connections=3, header_seconds=600, idle_seconds=600, body_seconds=600
    )
    with serving(few) as live, ExitStack() as waiting:
        for _ in range(few.max_connections):
            waiting.enter_context(live.connect())
        with live.connect() as connection:
            connection.sendall(POST % SENT)
            assert answer(connection)[0] == 503
            wait_until(lambda: live.connections == few.max_connections)


@pytest.mark.parametrize("probe", [b"healthz", b"readyz"])
def test_a_probe_is_answered_even_so_and_let_go(settings: Settings, probe: bytes) -> None:
    few = msgspec.structs.replace(settings, port=0, max_connections=3)
    with serving(few) as live, ExitStack() as waiting:
        for _ in range(few.max_connections):
            waiting.enter_context(live.connect())
        with live.connect() as connection:
            connection.sendall(GET.replace(b"healthz", probe))
            status, headers, _ = answer(connection)
    assert (status, headers["connection"]) == (200, "close")


def test_beyond_those_that_are_told_none_is_kept(settings: Settings) -> None:
    few = msgspec.structs.replace(settings, port=0, max_connections=3, header_seconds=600)
    kept = few.max_connections + 64
    with serving(few) as live, ExitStack() as waiting:
        for _ in range(kept):
            waiting.enter_context(live.connect())
        wait_until(lambda: live.connections == kept)
        with live.connect() as connection:
            assert connection.recv(1) == b""
        assert live.connections == kept


@pytest.mark.parametrize("then", ["keep-alive", "close"])
def test_whoever_does_not_take_the_answer_is_not_waited_for(live: Live, then: str) -> None:
    ask = f"GET /static/large.js HTTP/1.1\r\nHost: here\r\nConnection: {then}\r\n\r\n"
    wait_until(lambda: live.connections == 0)
    with live.connect() as connection:
        connection.sendall(ask.encode())
        assert connection.recv(1_000).startswith(b"HTTP/1.1 200")
        wait_until(lambda: live.connections == 0)


def test_answers_that_nobody_takes_hold_only_so_much_memory(
    settings: Settings, static: Path
) -> None:
    ask = b"GET /static/large.js HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n"
    # Of a file each connection holds one or two pieces of 64 kB.
    few = msgspec.structs.replace(settings, port=0, memory_bytes=8 * 200_000)
    with serving(few, static) as live, ExitStack() as waiting:
        connections = [waiting.enter_context(live.connect()) for _ in range(6)]
        for connection in connections:
            connection.sendall(ask)
        wait_until(lambda: live.connections <= 3)
        with live.connect() as connection:
            connection.sendall(GET)
            assert b" 200 " in received(connection)
        kept = [len(taken(connection)) > LARGE for connection in connections]
    assert 1 <= kept.count(True) <= 3


def test_whoever_takes_a_large_answer_slowly_gets_all_of_it(live: Live) -> None:
    ask = b"GET /static/large.js HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n"
    took = 0
    with live.connect() as connection:
        connection.sendall(ask)
        start = time.monotonic()
        while piece := connection.recv(LARGE // 30, socket.MSG_WAITALL):
            took += len(piece)
            time.sleep(0.1)
    assert time.monotonic() - start > 2 * ANSWER_SECONDS
    assert took > LARGE


def test_nothing_of_it_is_an_error_of_the_servers(
    live: Live, caplog: pytest.LogCaptureFixture
) -> None:
    with live.connect() as connection:
        connection.sendall(POST % 5000 + b"--x\r\n")
    with live.connect() as connection:
        connection.sendall(POST.replace(b"Content-Length: %d", b"Transfer-Encoding: chunked"))
        connection.sendall(b"not a chunk\r\n")
        assert answer(connection)[0] == 400
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
