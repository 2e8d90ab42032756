"""The comparisons of servers and of graphs measure what they say."""

from __future__ import annotations

import asyncio
import math
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
import torch

from benchmarks import graphs, load, nothing
from benchmarks.estimates import added, median, rate, ratio
from benchmarks.graphs import FLOAT, INTEGERS, STORED, TORCH, WASM, Measured
from benchmarks.load import Answered, Task
from benchmarks.measured import Cell, Comparison, Held
from benchmarks.overload import Burst, Heads, told
from benchmarks.processes import free_port
from benchmarks.servers import left_by
from benchmarks.servers_report import Judged
from serving import manifest as contract
from serving.pictures import fit
from serving.settings import CHECKOUT
from tests.drawings import draw_lesion
from tests.serving.live import wait_until
from tests.training.drawn_networks import run
from training.explanation import normalise
from training.inputs import as_input
from training.quantise import dequantise


@pytest.fixture
def port() -> Iterator[int]:
    """Where a server answers at once, with nothing."""
    found, loop = free_port(), asyncio.new_event_loop()

    def serve() -> None:
        task = loop.create_task(nothing.serve(found))
        loop.run_forever()
        task.cancel()
        loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
        loop.close()

    thread = threading.Thread(target=serve)
    thread.start()
    wait_until(lambda: _listens(found))
    yield found
    loop.call_soon_threadsafe(loop.stop)
    thread.join(60)


def _listens(port: int) -> bool:
    try:
        return load.ask(port, "/", b"x") == b"{}"
    except OSError:
        return False


def test_the_generator_sends_whole_pictures_and_counts_the_answers(
    port: int, tmp_path: Path
) -> None:
    (tmp_path / "large.jpg").write_bytes(bytes(3_000_000))
    (tmp_path / "small.jpg").write_bytes(b"picture")
    task = Task(
        port=port,
        path="/",
        files=[str(file) for file in sorted(tmp_path.iterdir())],
        clients=3,
        warm_up=0.1,
        seconds=0.5,
    )
    sent = load.generate(task)
    assert sent.answers > 3
    assert sent.refused == 0
    assert sent.median is not None
    assert 0 < sent.median < 60


@pytest.mark.parametrize(
    ("answer", "counts"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}", True),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{}", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", False),
        (b"no answer\r\nContent-Length: 0\r\n\r\n", False),
    ],
)
def test_a_connection_that_was_closed_is_opened_anew_and_half_an_answer_is_none(
    answer: bytes, counts: bool, tmp_path: Path
) -> None:
    (tmp_path / "small.jpg").write_bytes(b"picture")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection:
                        connection.recv(65536)
                        connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        file = [str(tmp_path / "small.jpg")]
        task = Task(port=port, path="/", files=file, clients=1, warm_up=0.0, seconds=0.5)
        sent = load.generate(task)
        server.shutdown(socket.SHUT_RDWR)
        thread.join(60)
    assert (sent.answers > 1, sent.refused > 1) == (counts, not counts)


def test_only_what_is_answered_well_and_in_time_counts() -> None:
    answers = [
        Answered(0.9, 0.1, 200),
        Answered(1.1, 0.2, 200),
        Answered(1.5, 0.1, 503),
        Answered(1.9, 0.3, 200),
        Answered(2.0, 0.4, 200),
    ]
    sent = load.sum_up(answers, begin=1.0, end=2.0, cpu=0.0)
    assert (sent.answers, sent.refused, sent.rate) == (2, 1, 2.0)
    assert sent.low == 0.2
    assert sent.high == 0.3
    assert sent.refusal == 0.1


def rounds(*times: list[float]) -> list[Cell]:
    """A cell for each round, in whose second every answer took one of these times."""
    return [
        Cell("a", "b", 8, load.sum_up([Answered(0.5, t, 200) for t in each], 0.0, 1.0, 0.0))
        for each in times
    ]


def test_intervals_are_over_rounds_and_not_over_what_is_alike_within_one() -> None:
    found = rounds([0.1] * 100, [0.3] * 200, [0.2] * 150)
    # Student's t for two degrees of freedom, 4.303, over the root of 3.
    assert (rate(found).value, rate(found).error) == pytest.approx((150, 2.4843 * 50), rel=1e-3)
    assert (median(found).value, median(found).error) == pytest.approx((0.2, 0.24843), rel=1e-3)
    assert math.isnan(rate(found[:1]).error)


def test_ratios_and_differences_are_of_a_round_by_itself() -> None:
    ours = rounds([0.2] * 100, [0.4] * 200, [0.3] * 150)
    theirs = rounds([0.1] * 50, [0.3] * 100, [0.2] * 75)
    assert (ratio(ours, theirs).value, ratio(ours, theirs).error) == pytest.approx((2, 0))
    assert (added(ours, theirs).value, added(ours, theirs).error) == pytest.approx((0.1, 0))


def test_an_interrupted_comparison_goes_on_where_it_is_the_same(tmp_path: Path) -> None:
    begun = Comparison(
        machine="a machine", cores=3, generator_core=True, seconds=2.0, rounds=5, versions="abc"
    )
    file = tmp_path / "part.json"
    assert left_by(file, begun) is begun
    kept = msgspec.structs.replace(begun, cells=rounds([0.1] * 3), held=[Held("numpy", 1)])
    file.write_bytes(msgspec.json.encode(kept))
    assert left_by(file, begun) == kept
    other = msgspec.structs.replace(begun, versions="def")
    assert left_by(file, other) is other


def test_where_the_milliseconds_go_is_told_without_what_only_training_installs() -> None:
    absent = "import sys; sys.modules.update(dict.fromkeys(('scipy', 'torch', 'training')))"
    run = [sys.executable, "-c", f"{absent}; import benchmarks.spent"]
    done = subprocess.run(run, capture_output=True, text=True, cwd=CHECKOUT, check=False)
    assert done.returncode == 0, done.stderr


def test_a_round_without_an_answer_makes_no_ratio() -> None:
    assert math.isnan(ratio(rounds([0.1], [0.1]), rounds([0.1], [])).value)
    assert math.isnan(added(rounds([0.1], [0.1]), rounds([0.1], [])).value)


@pytest.mark.parametrize(
    ("value", "error", "more", "verdict"),
    [
        (4.0, 0.0, True, "aim"),
        (4.1, 0.2, True, "required"),
        (3.9, 0.2, True, "required"),
        (2.6, 0.2, True, "not decided"),
        (2.4, 0.2, True, "not decided"),
        (2.2, 0.2, True, "**missed**"),
        (100, 0, False, "aim"),
        (150, 20, False, "required"),
        (200, 20, False, "required"),
        (250, 20, False, "not decided"),
        (300, 20, False, "**missed**"),
        (math.nan, math.nan, True, "not decided"),
    ],
)
def test_a_figure_is_judged_by_all_of_its_interval(
    value: float, error: float, more: bool, verdict: str
) -> None:
    required, aim = (2.5, 4.0) if more else (256, 160)
    assert Judged("", "", value, required, aim, "", more, error).verdict == verdict


@pytest.mark.parametrize(("status", "refused"), [(503, True), (200, False)])
def test_a_head_that_is_refused_is_timed(status: int, refused: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection:
                        assert b"\r\nContent-Length: " in connection.recv(65536)
                        connection.sendall(b"HTTP/1.1 %d It\r\n\r\n" % status)
                        asked.release()

        asked = threading.Semaphore(0)
        thread = threading.Thread(target=serve)
        thread.start()
        with Heads(server.getsockname()[1]) as heads:
            assert all(asked.acquire(timeout=60) for _ in range(2))
        server.shutdown(socket.SHUT_RDWR)
        thread.join(60)
    assert bool(heads.refusals) == refused
    assert all(0 < seconds < 60 for seconds in heads.refusals)


def test_a_burst_is_told_beside_the_calm_before_and_behind_it() -> None:
    calm = load.sum_up([Answered(0.5, 0.02, 200)] * 50, 0.0, 1.0, 0.0)
    full = load.sum_up(
        [Answered(0.5, 1.0, 200)] * 20 + [Answered(0.5, 0.004, 503)] * 30, 0.0, 1.0, 0.0
    )
    held = [100 << 20, 200 << 20, 150 << 20]
    table = told(Burst(calm, full, calm, held, [[], [0.001, 0.002, 0.009], []]), clients=99)
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| ")][1:]
    assert [row[0] for row in rows] == ["| before", "| the burst", "| after"]
    assert rows[0][3:5] == ["50.0", "20.0 (20.0 to 20.0)"]
    assert rows[1][1] == "99"
    assert rows[1][3:6] == ["20.0", "1000.0 (1000.0 to 1000.0)", "30.0"]
    assert rows[1][6:] == ["4.0", "2.0, 9.0, 3", "200 MiB |"]
    assert rows[2][5:7] == ["0.0", ""]


@pytest.mark.parametrize("name", ["mobilenet", "cnn"])
def test_a_graph_of_floats_and_a_network_are_what_a_shipped_artifact_is(name: str) -> None:
    folder = CHECKOUT / "artifacts" / name
    manifest, served = contract.load(folder), onnx.load(folder / contract.MODEL_FILE)
    drawn = [draw_lesion(seed, 300, 225, redness=seed / 4) for seed in range(5)]
    image = np.stack([fit(each, manifest.preprocessing)[0] for each in drawn])
    wanted, floats = run(served, image), dequantise(served)
    kinds = {each.data_type for each in floats.graph.initializer}
    assert onnx.TensorProto.INT8 in {each.data_type for each in served.graph.initializer}
    assert onnx.TensorProto.INT8 not in kinds
    for one, other in zip(run(floats, image), wanted, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6, rtol=1e-6)
    network = graphs.as_network(floats, manifest)
    with torch.inference_mode():
        maps = network.feature_maps(as_input(torch.from_numpy(image)))[-1]  # type: ignore[operator]
        probability = network.head(maps).softmax(dim=1)  # type: ignore[operator]
        heatmap = normalise(network.class_activation(maps))  # type: ignore[operator]
    np.testing.assert_allclose(probability, wanted[0], atol=1e-5)
    np.testing.assert_allclose(heatmap, wanted[1], atol=1e-3)


def test_every_way_to_compute_an_artifact_is_measured_and_compared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # PyTorch's threads wait for each other in vain while other tests have the cores.
    monkeypatch.setattr(graphs, "THREADS", 1)
    measured = graphs.compare(CHECKOUT / "artifacts" / "cnn", answers=2, rounds=1)
    ways = {where: [m.way for m in measured if m.where == where] for where in ("1 thread", WASM)}
    assert ways["1 thread"] == [FLOAT, STORED, INTEGERS, TORCH]
    assert ways[WASM] == ([FLOAT, STORED, INTEGERS] if graphs.can_run_wasm() else [])
    for each in measured:
        assert 0 < each.seconds < 60
        assert each.memory > 1 << 20
        assert each.apart < (0.1 if each.way == INTEGERS else 1e-4)


@pytest.mark.parametrize("in_wasm", [True, False])
def test_ways_to_compute_are_told_beside_floats_in_the_same_place(in_wasm: bool) -> None:
    manifest = contract.load(CHECKOUT / "artifacts" / "cnn")
    measured = [
        Measured(FLOAT, "1 thread", 0.02, 100 << 20, 0.0),
        Measured(TORCH, "1 thread", 0.04, 300 << 20, 2e-7),
    ]
    if in_wasm:
        measured.append(Measured(FLOAT, WASM, 0.1, 80 << 20, 1e-7))
        measured.append(Measured(INTEGERS, WASM, 0.2, 60 << 20, 0.02))
    text = graphs.table(manifest, measured, "drawn pictures", answers=7, rounds=3)
    assert text.startswith(f"# One answer: cnn, {manifest.preprocessing.size} px\n")
    rows = [line for line in text.splitlines() if line.startswith("| ")][1:]
    assert rows[1] == "| PyTorch | 1 thread | 40.00 | 0.50 | 300 | 3.00 | 2e-07 |"
    assert "stored as floats; what serves." in text
    assert "- 8-bit weights" not in text
    if in_wasm:
        assert rows[3] == "| 8-bit integers | WebAssembly | 200.00 | 0.50 | 60 | 0.75 | 0.02 |"
    assert ("WebAssembly is left out" in text) != in_wasm
