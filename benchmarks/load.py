"""The load generator: a fixed number of clients that each send a picture, wait, and send the next.

`python -m benchmarks.load` reads a `Task` as JSON and prints what was `Sent`. It speaks to this
machine only, keeps its connections where the server does, and ends by itself. Every request is made
before the first is sent and goes out in one piece, of an answer no more is looked at than where it
ends, and a thread that waits for a socket holds nobody else.
"""

from __future__ import annotations

import http.client
import itertools
import math
import re
import socket
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec

FIELD = "images"
TIMEOUT = 120
_AFTER_FAILURE = 0.1
_BOUNDARY = "a-line-that-is-in-no-picture"
_STATUS = re.compile(rb"http/1\.[01] (\d{3}) ")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)")
_MOST_AT_A_TIME = 65_536


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """What is sent where: `clients` send `files` in turn for `warm_up` and then `seconds`."""

    port: int
    path: str
    files: list[str]
    clients: int
    warm_up: float
    seconds: float


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """What came back in `seconds`, of which only answers with status 200 count.

    `median` and the 95 % interval around it are of what an answer took, in seconds, None where
    there was none; `cpu` is how long the generator computed; `refusal` is the median of what a
    refusal took, in seconds.
    """

    answers: int
    refused: int
    seconds: float
    median: float | None
    low: float | None
    high: float | None
    cpu: float
    refusal: float | None = None

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.answers / self.seconds


class Answered(msgspec.Struct, frozen=True):
    """One answer: when it was there, how long it took, its status; 0 where there was none."""

    end: float
    took: float
    status: int


def generate(task: Task) -> Sent:
    """Sends, and sums up what was answered between the end of the warm-up and that of the task."""
    requests = itertools.cycle([_request(task, form(Path(file))) for file in task.files])
    turn = threading.Lock()
    answers: list[Answered] = []
    begin = time.perf_counter() + task.warm_up
    end = begin + task.seconds

    def client() -> None:
        connection = _Connection(task.port)
        while time.perf_counter() < end:
            with turn:
                request = next(requests)
            answers.append(_send(connection, request))
        connection.close()

    clients = [threading.Thread(target=client) for _ in range(task.clients)]
    for thread in clients:
        thread.start()
    time.sleep(max(0.0, begin - time.perf_counter()))
    cpu = time.process_time()
    time.sleep(max(0.0, end - time.perf_counter()))
    cpu = time.process_time() - cpu
    for thread in clients:
        thread.join()
    return sum_up(answers, begin, end, cpu)


def sum_up(answers: Iterable[Answered], begin: float, end: float, cpu: float) -> Sent:
    """What was answered between `begin` and `end`."""
    within = [answer for answer in answers if begin <= answer.end < end]
    good = [answer for answer in within if answer.status == 200]
    times = sorted(answer.took for answer in good)
    refusals = sorted(answer.took for answer in within if answer.status != 200)
    # How far the true median may lie from the middle, in places: a binomial's two deviations.
    away = math.sqrt(len(times))
    low, median, high = (_at(times, len(times) / 2 + step) for step in (-away, 0, away))
    return Sent(
        answers=len(good),
        refused=len(within) - len(good),
        seconds=end - begin,
        median=median,
        low=low,
        high=high,
        cpu=cpu,
        refusal=_at(refusals, len(refusals) / 2),
    )


def _at(times: list[float], place: float) -> float | None:
    return times[min(max(0, int(place)), len(times) - 1)] if times else None


def ask(port: int, path: str, body: bytes) -> bytes:
    """The server's answer to one picture.

    Raises:
        RuntimeError: where it answers with another status than 200.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    try:
        connection.request("POST", path, body, _headers())
        response = connection.getresponse()
        answer = response.read()
    finally:
        connection.close()
    if response.status != 200:
        raise RuntimeError(f"{path} answered {response.status}: {answer[:200]!r}")
    return answer


def form(file: Path) -> bytes:
    """The body of a form with one picture."""
    head = (
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{FIELD}"; '
        f'filename="{file.name}"\r\nContent-Type: application/octet-stream\r\n\r\n'
    )
    return head.encode() + file.read_bytes() + f"\r\n--{_BOUNDARY}--\r\n".encode()


class _Connection:
    """A connection to a server on this machine, opened anew where the server has closed it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None

    def send(self, request: bytes) -> int:
        """The status of the answer, once all of it has come.

        Raises:
            OSError: where none came, or none that tells its length.
        """
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._port), TIMEOUT)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(request)
        answer = b""
        while (end := answer.find(b"\r\n\r\n")) < 0:
            answer += self._receive(self._socket)
        head = answer[:end].lower()
        length, status = _LENGTH.search(head), _STATUS.match(head)
        if length is None or status is None:
            raise OSError("the answer tells no status or no length")
        left = end + 4 + int(length[1]) - len(answer)
        while left > 0:
            left -= len(self._receive(self._socket))
        if b"\r\nconnection: close" in head:
            self.close()
        return int(status[1])

    def close(self) -> None:
        """Closes it; the next request opens it again."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    @staticmethod
    def _receive(connection: socket.socket) -> bytes:
        if not (piece := connection.recv(_MOST_AT_A_TIME)):
            raise ConnectionError("the server closed the connection")
        return piece


def _request(task: Task, body: bytes) -> bytes:
    lines = [
        f"POST {task.path} HTTP/1.1",
        f"Host: 127.0.0.1:{task.port}",
        "Accept-Encoding: identity",
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in _headers().items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _send(connection: _Connection, request: bytes) -> Answered:
    start = time.perf_counter()
    try:
        status = connection.send(request)
    except OSError:
        connection.close()
        time.sleep(_AFTER_FAILURE)
        status = 0
    end = time.perf_counter()
    return Answered(end, end - start, status)


def _headers() -> dict[str, str]:
    return {"Content-Type": f"multipart/form-data; boundary={_BOUNDARY}"}


def main() -> None:
    task = msgspec.json.decode(sys.stdin.buffer.read(), type=Task)
    sys.stdout.buffer.write(msgspec.json.encode(generate(task)))


if __name__ == "__main__":
    main()
