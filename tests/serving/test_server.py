from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import AvifImagePlugin, Image

from tests.artifact_factory import TWO, make_artifact, make_artifacts
from tests.drawings import draw_lesion, encode
from tests.serving.live import Process, patient_client, process, wait_until

URL = "/api/v1/predictions"
MOLE = encode(draw_lesion(1))
TOKEN = {"authorization": "Bearer token"}

BEGUN = (
    b"POST /api/v1/predictions HTTP/1.1\r\nHost: here\r\nContent-Length: 500000\r\n"
    b"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n"
)

SLOW = """
import time
from serving.inference import Inference
quick = Inference.answer_each
def slow(*arguments, **options):
    time.sleep({seconds})
    return quick(*arguments, **options)
Inference.answer_each = slow
"""

HELD = """
import time
from pathlib import Path
from serving.inference import Inference
quick = Inference.answer_each
def held(*arguments, **options):
    while not Path({released!r}).exists():
        time.sleep(0.01)
    return quick(*arguments, **options)
Inference.answer_each = held
"""


LOADING = """
import os
import signal
import time
from pathlib import Path
from serving.inference import Inference
quick = Inference.load
loaded = []
def load(self):
    if {fails} and loaded:
        raise RuntimeError("what nobody\\nforesaw")
    quick(self)
    loaded.append(self)
    {then}
Inference.load = load
"""
"""does something each time the models were loaded, or fails when that is done again"""

KEEPING = """
    Path({state!r}).joinpath(str(len(loaded))).touch()
    while len(loaded) == 2 and not Path({state!r}, "released").exists():
        time.sleep(0.01)
"""


FIRST = """
import ctypes
import os
import signal
import sys
libc = ctypes.CDLL(None)
CLONE_NEWUSER, CLONE_NEWPID, PR_SET_PDEATHSIG = 0x10000000, 0x20000000, 1
if libc.unshare(CLONE_NEWUSER | CLONE_NEWPID):
    sys.exit("no namespaces")
if child := os.fork():
    signal.signal(signal.SIGTERM, lambda number, _: os.kill(child, number))
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
"""
"""goes on as the first process of a container, which gets what signals the one before it gets"""


@pytest.fixture
def first_process() -> str:
    if subprocess.run([sys.executable, "-c", FIRST], check=False).returncode:
        pytest.skip("needs Linux's namespaces for processes")
    return FIRST


@pytest.fixture
def environment(artifacts: Path) -> dict[str, str]:
    return {
        "LESIONLENS_ARTIFACTS": str(artifacts),
        "LESIONLENS_WORKERS": "2",
        "LESIONLENS_METRICS_TOKEN": "token",
    }


def post(server: Process, data: bytes = MOLE) -> httpx.Response:
    with patient_client() as client:
        return client.post(server.url + URL, files=[("images", ("a.jpg", data))])


def taken(server: Process, count: int = 1) -> bool:
    metrics = httpx.get(server.url + "/metrics", headers=TOKEN).text
    return f"\nlesionlens_requests_taken {count}.0\n" in metrics


def trickle(connection: socket.socket) -> bytes:
    """Sends a byte now and then; all that comes until the connection is closed."""
    connection.settimeout(0.05)
    answer = b""
    with suppress(ConnectionError):
        while True:
            try:
                if not (piece := connection.recv(65536)):
                    break
                answer += piece
            except TimeoutError:
                connection.sendall(b"a")
    return answer


def takes_more(connection: socket.socket) -> bool:
    """Sends a byte; whether it may be sent."""
    with suppress(ConnectionError):
        connection.sendall(b"a")
        return True
    return False


def test_sigterm_finishes_what_was_taken_and_refuses_the_rest(
    environment: dict[str, str], tmp_path: Path
) -> None:
    environment["LESIONLENS_DEADLINE_SECONDS"] = "300"
    environment["LESIONLENS_DRAIN_SECONDS"] = "300"
    released = tmp_path / "released"
    held = HELD.format(released=str(released))
    with ThreadPoolExecutor(1) as pool, process(environment, held) as server:
        first = pool.submit(post, server)
        wait_until(lambda: taken(server))
        server.send(signal.SIGTERM)
        wait_until(lambda: httpx.get(server.url + "/readyz").status_code == 503)
        assert httpx.get(server.url + "/healthz").status_code == 200
        refused = post(server)
        assert refused.status_code == 503
        assert refused.json()["type"] == "/api/v1/problems#draining"
        assert refused.headers["retry-after"] == "1"
        released.touch()
        assert first.result().status_code == 200
        assert server.wait() == -signal.SIGTERM


@pytest.mark.parametrize("sends_on", [False, True])
def test_whoever_still_sends_when_its_time_is_over_is_told(
    environment: dict[str, str], tmp_path: Path, sends_on: bool
) -> None:
    environment["LESIONLENS_DEADLINE_SECONDS"] = "300"
    environment["LESIONLENS_BODY_SECONDS"] = "300"
    environment["LESIONLENS_DRAIN_SECONDS"] = "2"
    released = tmp_path / "released"
    held = HELD.format(released=str(released))
    with ThreadPoolExecutor(1) as pool, process(environment, held) as server:
        first = pool.submit(post, server)
        wait_until(lambda: taken(server))
        with server.connect() as slow:
            slow.sendall(BEGUN)
            wait_until(lambda: taken(server, 2))
            server.send(signal.SIGTERM)
            released.touch()
            assert first.result().status_code == 200
            answer = trickle(slow)
            if sends_on:
                wait_until(lambda: not takes_more(slow))
        assert server.wait() == -signal.SIGTERM
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nretry-after: 1\r\n" in answer
    assert b"\r\nx-frame-options: DENY\r\n" in answer
    assert b"/api/v1/problems#draining" in answer
    assert not [line for line in server.lines if '"level":"error"' in line]


def test_it_waits_no_longer_than_it_is_told(environment: dict[str, str]) -> None:
    environment["LESIONLENS_DRAIN_SECONDS"] = "0.2"
    environment["LESIONLENS_DEADLINE_SECONDS"] = "300"
    with process(environment, SLOW.format(seconds=50)) as server, ThreadPoolExecutor(1) as pool:
        first = pool.submit(post, server)
        wait_until(lambda: taken(server))
        server.send(signal.SIGTERM)
        assert server.wait() == -signal.SIGTERM
        refused = first.result()
        assert refused.status_code == 503
        assert refused.json()["type"] == "/api/v1/problems#draining"


def test_nor_for_a_thread_that_is_still_busy(environment: dict[str, str]) -> None:
    environment["LESIONLENS_DRAIN_SECONDS"] = "0.2"
    environment["LESIONLENS_DEADLINE_SECONDS"] = "300"
    with process(environment, SLOW.format(seconds=200)) as server, ThreadPoolExecutor(1) as pool:
        first = pool.submit(post, server)
        wait_until(lambda: taken(server))
        server.send(signal.SIGINT)
        assert server.wait() == 128 + signal.SIGINT
        assert not isinstance(first.exception(), httpx.TimeoutException)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_at_once(
    environment: dict[str, str], number: signal.Signals
) -> None:
    environment["LESIONLENS_DRAIN_SECONDS"] = "300"
    environment["LESIONLENS_DEADLINE_SECONDS"] = "300"
    with process(environment, SLOW.format(seconds=200)) as server, ThreadPoolExecutor(1) as pool:
        first = pool.submit(post, server)
        wait_until(lambda: taken(server))
        server.send(signal.SIGTERM)
        wait_until(lambda: httpx.get(server.url + "/readyz").status_code == 503)
        server.send(number)
        assert server.wait() == -signal.SIGTERM
        # It was the server that ended it, and not the client that waited no longer.
        assert not isinstance(first.exception(), httpx.TimeoutException)


def test_without_anything_to_finish_it_ends_at_once(environment: dict[str, str]) -> None:
    with process(environment) as server:
        server.send(signal.SIGINT)
        assert server.wait() == 0


@pytest.fixture
def changing(tmp_path: Path, environment: dict[str, str]) -> Iterator[tuple[Process, Path]]:
    """A server and the folder of its models, which may be changed."""
    root = make_artifacts(tmp_path / "models")
    with process({**environment, "LESIONLENS_ARTIFACTS": str(root)}) as server:
        yield server, root


def models(server: Process) -> dict[str, str]:
    listed = httpx.get(server.url + "/api/v1/models").json()
    return {model["name"]: model["title"] for model in listed}


def test_sighup_loads_what_changed(changing: tuple[Process, Path]) -> None:
    server, root = changing
    make_artifact(root / "third", name="third", classes=TWO)
    make_artifact(root / "cnn", name="cnn", classes=TWO, title="A better CNN")
    answered: list[int] = []
    loaded = threading.Event()

    def keep_asking() -> None:
        while not loaded.is_set():
            answered.append(post(server).status_code)

    asking = [threading.Thread(target=keep_asking) for _ in range(3)]
    for thread in asking:
        thread.start()
    wait_until(lambda: answered)
    before = len(answered)
    server.send(signal.SIGHUP)
    wait_until(lambda: "third" in models(server))
    wait_until(lambda: len(answered) > before + len(asking))
    loaded.set()
    for thread in asking:
        thread.join()
    assert models(server)["cnn"] == "A better CNN"
    assert set(answered) == {200}


def test_a_bad_model_leaves_the_old_ones_at_work(changing: tuple[Process, Path]) -> None:
    server, root = changing
    before = models(server)
    shutil.copytree(root / "cnn", root / "third")
    (root / "mobilenet" / "model.onnx").write_bytes(b"half of it")
    server.send(signal.SIGHUP)
    wait_until(lambda: any("The models stay as they are" in line for line in server.lines))
    assert models(server) == before
    assert post(server).status_code == 200


def test_what_changes_while_models_are_loaded_is_loaded_behind_them(
    environment: dict[str, str], tmp_path: Path
) -> None:
    root, state = make_artifacts(tmp_path / "models"), tmp_path / "state"
    state.mkdir()
    environment["LESIONLENS_ARTIFACTS"] = str(root)
    prelude = LOADING.format(fails=False, then=KEEPING.format(state=str(state)).strip())
    with process(environment, prelude) as server:
        server.send(signal.SIGHUP)
        wait_until((state / "2").exists)
        make_artifact(root / "third", name="third", classes=TWO)
        server.send(signal.SIGHUP)
        assert "third" not in models(server)
        (state / "released").touch()
        wait_until(lambda: "third" in models(server))


def test_a_sighup_before_it_listens_is_answered_once_it_does(
    environment: dict[str, str], tmp_path: Path
) -> None:
    asking = "os.kill(os.getpid(), signal.SIGHUP) if len(loaded) == 1 else None"
    # As a library's: it takes what the main thread blocks.
    thread = (
        "import threading\nthreading.Thread(target=time.sleep, args=(99,), daemon=True).start()"
    )
    prelude = LOADING.format(fails=False, then=asking) + thread
    with process(environment, prelude) as server:
        wait_until(lambda: any("Models: mobilenet, cnn" in line for line in server.lines))
        assert post(server).status_code == 200


def test_the_first_process_of_a_container_ends_while_it_starts(
    environment: dict[str, str], first_process: str
) -> None:
    then = "os.kill(os.getpid(), signal.SIGTERM); raise RuntimeError('it goes on')"
    code = "\nfrom serving.cli import main\nmain(['serve', '--port', '0'])"
    started = subprocess.run(
        [sys.executable, "-c", first_process + LOADING.format(fails=False, then=then) + code],
        env={**os.environ, **environment},
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert started.returncode == 128 + signal.SIGTERM


def test_the_first_process_of_a_container_ends_well_once_it_serves(
    environment: dict[str, str], first_process: str
) -> None:
    with process(environment, first_process) as server:
        assert post(server).status_code == 200
        server.send(signal.SIGTERM)
        assert server.wait() == 0


def test_what_nobody_foresaw_leaves_the_old_models_at_work(environment: dict[str, str]) -> None:
    with process(environment, LOADING.format(fails=True, then="pass")) as server:
        server.send(signal.SIGHUP)
        told = "The models stay as they are: RuntimeError: what nobody foresaw"
        wait_until(lambda: any(told in line for line in server.lines))
        assert not any("Traceback" in line for line in server.lines)
        assert post(server).status_code == 200


def test_pictures_that_are_too_much_together_are_decoded_in_turn(
    environment: dict[str, str],
) -> None:
    # Each takes about 110 MB to decode, by what is set aside 144 MB; four at once would take 440.
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 4), np.uint8)
    picture = Image.fromarray(noise).resize((2828, 2828), Image.Resampling.NEAREST)
    data = encode(picture, "PNG", compress_level=1)
    environment["LESIONLENS_WORKERS"] = "4"
    environment["LESIONLENS_MEMORY_BYTES"] = "200000000"
    with process(environment) as server, ThreadPoolExecutor(4) as pool:
        post(server)
        before = server.memory()
        statuses = [r.status_code for r in pool.map(post, [server] * 4, [data] * 4)]
        assert statuses == [200] * 4
        assert server.memory("VmHWM") - before < 200_000_000


def test_libraries_start_no_threads_by_the_machines_cores(tmp_path: Path) -> None:
    code = """
import atexit
from threadpoolctl import threadpool_info
told = lambda: print([p["num_threads"] for p in threadpool_info() if "blas" in p["internal_api"]])
atexit.register(told)
from serving.cli import main
main(["serve"])
"""
    own = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    # It ends for want of a model, when everything is imported.
    started = subprocess.run(
        [sys.executable, "-c", code],
        env={**own, "LESIONLENS_ARTIFACTS": str(tmp_path)},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "holds no model" in started.stderr
    assert started.stdout.strip() == "[1]"
    assert AvifImagePlugin.DEFAULT_MAX_THREADS == 1
