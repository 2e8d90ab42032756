from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import msgspec
import pytest

from serving.admission import Admission, Entry
from serving.inference import Inference
from serving.settings import Settings
from serving.stages import Stage
from serving.turns import Turns
from serving.visits import Visit, begin
from serving.workers import Workers
from tests.drawings import draw_lesion, encode
from tests.serving.live import Live, patient_client, serving, wait_until
from tests.serving.loops import run

URL = "/api/v1/predictions"
MOLE = encode(draw_lesion(1))


# Room for two such files of 4 MB; what follows a picture in its file is no part of it.
HEAVY = MOLE + bytes(4_000_000)
ROOM_FOR_TWO = 4 * 10_000_000


class Gate:
    """Holds every picture back until it is opened, and counts those that came."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.entered = 0
        self._answer = Inference.answer_each

    def answer(self, *arguments: Any, **options: Any) -> Any:
        """In the place of `Inference.answer_each`."""
        self.entered += len(arguments[1])
        assert self.opened.wait(60)
        return self._answer(*arguments, **options)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate()
    monkeypatch.setattr(
        Inference, "answer_each", lambda *arguments, **options: gate.answer(*arguments, **options)
    )
    yield gate
    gate.opened.set()


@contextmanager
def live(settings: Settings, **changes: Any) -> Iterator[Live]:
    with serving(msgspec.structs.replace(settings, port=0, workers=1, **changes)) as server:
        yield server


def post(server: Live, count: int = 1, path: str = URL, data: bytes = MOLE) -> httpx.Response:
    with patient_client() as client:
        return client.post(server.url + path, files=[("images", ("a.jpg", data))] * count)


def kind(response: httpx.Response) -> str:
    return str(response.json()["type"].rpartition("#")[2])


def waiting(server: Live) -> int:
    workers = server.app.state.inference.workers
    return workers.waiting + workers.running


@pytest.mark.parametrize("path", [URL, "/"])
def test_beyond_the_queue_requests_are_turned_away_at_once(
    settings: Settings, gate: Gate, path: str
) -> None:
    with live(settings, queue=3) as server, ThreadPoolExecutor(4) as pool:
        taken = [pool.submit(post, server) for _ in range(4)]
        wait_until(lambda: waiting(server) == 4)
        refused = post(server, path=path)
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) >= 1
        assert not gate.opened.is_set()
        gate.opened.set()
        assert [future.result().status_code for future in taken] == [200] * 4
        assert post(server).status_code == 200


def test_whoever_is_turned_away_need_not_send_first(settings: Settings, gate: Gate) -> None:
    head = f"POST {URL} HTTP/1.1\r\nHost: here\r\nContent-Length: 9000000\r\n\r\n"
    with live(settings, queue=1) as server, ThreadPoolExecutor(2) as pool:
        taken = [pool.submit(post, server) for _ in range(2)]
        wait_until(lambda: waiting(server) == 2)
        with server.connect() as connection:
            connection.sendall(head.encode())
            assert connection.recv(65536).startswith(b"HTTP/1.1 503")
        gate.opened.set()
        assert [future.result().status_code for future in taken] == [200] * 2


def test_many_pictures_of_one_request_count_each(settings: Settings, gate: Gate) -> None:
    with live(settings, queue=2) as server, ThreadPoolExecutor(1) as pool:
        taken = pool.submit(post, server)
        wait_until(lambda: waiting(server) == 1)
        assert kind(post(server, count=3)) == "overloaded"
        gate.opened.set()
        assert taken.result().status_code == 200
        # With nothing before it, it is answered though the queue is short.
        wait_until(lambda: waiting(server) == 0)
        assert post(server, count=4).status_code == 200


def test_what_is_sent_has_only_so_much_room(settings: Settings, gate: Gate) -> None:
    with live(settings, memory_bytes=ROOM_FOR_TWO) as server, ThreadPoolExecutor(2) as pool:
        taken = [pool.submit(post, server, data=HEAVY) for _ in range(2)]
        wait_until(lambda: waiting(server) == 2)
        refused = post(server, data=HEAVY)
        assert (refused.status_code, kind(refused)) == (503, "overloaded")
        assert "retry-after" in refused.headers
        gate.opened.set()
        assert [future.result().status_code for future in taken] == [200] * 2
        assert server.app.state.admission.room.used == 0
        assert post(server).status_code == 200


def test_what_workers_do_not_need_yet_is_not_read(
    settings: Settings, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.turns.Turns.__init__.__defaults__", (1, 60.0))
    with live(settings) as server, ThreadPoolExecutor(12) as pool:
        admission = server.app.state.admission
        answers = [pool.submit(post, server, data=HEAVY) for _ in range(12)]
        wait_until(
            lambda: admission.taken == 12 and waiting(server) + admission.turns.waiting == 12
        )
        assert admission.room.used < 12 * len(HEAVY) / 2
        gate.opened.set()
        assert [future.result().status_code for future in answers] == [200] * 12
        assert admission.room.used == 0


def test_whoever_is_not_read_yet_counts_as_waiting(
    settings: Settings, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.turns.Turns.__init__.__defaults__", (1, 60.0))
    with live(settings, queue=5) as server, ThreadPoolExecutor(6) as pool:
        turns = server.app.state.admission.turns
        answers = [pool.submit(post, server, data=HEAVY) for _ in range(6)]
        wait_until(lambda: turns.waiting > 0 and waiting(server) + turns.waiting == 6)
        assert kind(post(server)) == "overloaded"
        gate.opened.set()
        assert [future.result().status_code for future in answers] == [200] * 6


def test_a_body_that_does_not_say_its_size_is_counted_as_it_comes(
    settings: Settings, gate: Gate
) -> None:
    with live(settings, memory_bytes=ROOM_FOR_TWO) as server, ThreadPoolExecutor(2) as pool:
        taken = [pool.submit(post, server, data=HEAVY) for _ in range(2)]
        wait_until(lambda: waiting(server) == 2)
        head = b'--x\r\nContent-Disposition: form-data; name="images"; filename="a"\r\n\r\n'
        pieces = iter([head, HEAVY[:9_000], HEAVY[9_000:], b"\r\n--x--\r\n"])
        headers = {"content-type": "multipart/form-data; boundary=x"}
        with patient_client() as client:
            refused = client.post(server.url + URL, content=pieces, headers=headers)
        assert (refused.status_code, kind(refused)) == (503, "overloaded")
        gate.opened.set()
        assert [future.result().status_code for future in taken] == [200] * 2


def test_after_the_deadline_an_answer_is_given_up(settings: Settings, gate: Gate) -> None:
    with live(settings, deadline_seconds=0.2) as server:
        refused = post(server, count=3)
        assert (refused.status_code, kind(refused)) == (503, "too_late")
        assert "0.2 seconds" in refused.json()["detail"]
        assert int(refused.headers["retry-after"]) >= 1
        # The two that were begun together cannot be stopped; the other is never begun.
        assert gate.entered == 2
        gate.opened.set()
        wait_until(lambda: waiting(server) == 0)
        assert gate.entered == 2
        assert post(server).status_code == 200


@pytest.mark.parametrize("behind", [b"", b"G"])
def test_a_client_that_goes_away_stops_costing(
    settings: Settings, gate: Gate, caplog: pytest.LogCaptureFixture, behind: bytes
) -> None:
    form = httpx.Request("POST", "http://here" + URL, files=[("images", ("a", MOLE))] * 4)
    body = form.read()
    head = "\r\n".join(f"{name}: {value}" for name, value in form.headers.items())
    with live(settings) as server:
        with server.connect() as connection:
            connection.sendall(f"POST {URL} HTTP/1.1\r\n{head}\r\n\r\n".encode() + body)
            wait_until(lambda: waiting(server) == 4)
            connection.sendall(behind)
        # The two that one worker has begun.
        wait_until(lambda: waiting(server) == 2)
        gate.opened.set()
        wait_until(lambda: waiting(server) == 0)
        assert gate.entered == 2
        assert server.app.state.admission.taken == 0
        assert server.app.state.admission.room.used == 0
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def test_a_client_that_goes_away_while_it_sends_holds_nothing(settings: Settings) -> None:
    head = (
        f"POST {URL} HTTP/1.1\r\nHost: here\r\nContent-Length: 90000\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
    )
    with live(settings) as server:
        admission = server.app.state.admission
        with server.connect() as connection:
            connection.sendall(head.encode() + bytes(10_000))
            wait_until(lambda: admission.room.used > 0)
        wait_until(lambda: admission.taken == 0)
        assert admission.room.used == 0


def test_slow_senders_keep_nobody_from_an_answer(settings: Settings) -> None:
    head = (
        f"POST {URL} HTTP/1.1\r\nHost: here\r\nContent-Length: 90000\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
    )
    with live(settings, queue=1) as server:
        senders = [server.connect() for _ in range(50)]
        for sender in senders:
            sender.sendall(head.encode() + b"--x\r\n")
        wait_until(lambda: server.app.state.admission.taken == 50)
        assert post(server).status_code == 200
        for sender in senders:
            sender.close()


def test_after_a_burst_all_is_as_before(settings: Settings) -> None:
    with live(settings, queue=4) as server:
        with ThreadPoolExecutor(16) as pool:
            statuses = {r.status_code for r in pool.map(post, [server] * 64)}
        assert statuses <= {200, 503}
        assert 200 in statuses
        wait_until(lambda: waiting(server) == 0)
        assert server.app.state.admission.taken == 0
        assert server.app.state.admission.room.used == 0
        assert server.app.state.inference.room.used == 0
        assert post(server).status_code == 200


def test_while_it_drains_it_is_not_ready_but_alive(settings: Settings) -> None:
    with live(settings) as server:
        assert httpx.get(server.url + "/readyz").status_code == 200
        server.app.state.admission.drain()
        for ask in (httpx.get, httpx.head):
            assert ask(server.url + "/readyz").status_code == 503
            assert ask(server.url + "/healthz").status_code == 200
        assert kind(post(server)) == "draining"


@pytest.mark.parametrize("is_sent", [True, False], ids=["sent", "still sending"])
def test_a_turn_passes_on_from_whoever_sends_slowly(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, is_sent: bool
) -> None:
    monkeypatch.setattr("serving.admission.PATIENCE", 0.01)
    workers = Workers(1)
    admission = Admission(msgspec.structs.replace(settings, workers=1), workers)
    admission.turns = Turns(1, patience=0.5)

    async def next_has_turn() -> bool:
        first = Entry(admission, 1, workers, deadline=1)
        await first.wait()
        if is_sent:
            first.was_sent()
        found = await admission.turns.take(1)
        first.leave()
        return found

    assert run(next_has_turn()) is not is_sent
    workers.close()


def test_how_long_a_request_waits_for_its_turn_is_a_stage_of_its_visit(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.admission.PATIENCE", 0.05)
    workers = Workers(1)
    admission = Admission(msgspec.structs.replace(settings, workers=1), workers)
    admission.turns = Turns(1)

    async def waited() -> list[Stage]:
        visit = Visit()
        begin(visit)
        for _ in range(2):
            await Entry(admission, 1, workers, deadline=1).wait()
        return visit.stages

    first, second = run(waited())
    assert first.name == second.name == "turn"
    # The first passes its turn on once it has sent nothing for that long.
    assert second.end - second.start > 0.04e9
    assert second.start >= first.end
    workers.close()


def test_what_is_announced_too_large_is_refused_before_it_is_sent(settings: Settings) -> None:
    with live(settings) as server, server.connect() as connection:
        connection.sendall(
            b"POST %b HTTP/1.1\r\nHost: here\r\nContent-Length: 1000000000000\r\n"
            b"Content-Type: multipart/form-data; boundary=x\r\n\r\n" % URL.encode()
        )
        assert connection.recv(65536).split()[1] == b"413"
