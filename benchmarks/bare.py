"""The bare limit: decode and `session.run` in a pool of threads, no HTTP, and no more than that.

`python -m benchmarks.bare` reads a `Task` of the load generator as JSON, whose port and path say
nothing here, and prints what was `Sent`. `MODEL_FOLDER` is the artifact, `THREADS` how many threads
there are at most.
"""

from __future__ import annotations

import io
import itertools
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnxruntime
from PIL import Image

from benchmarks import load
from benchmarks.load import Answered, Sent, Task


def answerer(folder: Path, size: int) -> Callable[[bytes], list[Any]]:
    """The shortest way from a file's bytes to probabilities, on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        folder / "model.onnx", options, providers=["CPUExecutionProvider"]
    )

    def answer(data: bytes) -> list[Any]:
        with Image.open(io.BytesIO(data)) as image:
            scale = 2 * size / min(image.size)
            image.draft("RGB", (round(image.width * scale), round(image.height * scale)))
            image.load()
            side = min(image.size)
            left, top = (image.width - side) // 2, (image.height - side) // 2
            box = (left, top, left + side, top + side)
            square = image.resize((size, size), Image.Resampling.BICUBIC, box)
        answered: list[Any] = session.run(None, {"image": np.asarray(square)[None]})
        return answered

    return answer


def generate(task: Task, answer: Callable[[bytes], object], threads: int) -> Sent:
    """As the load generator's, with a call in the place of a request."""
    pictures = itertools.cycle([Path(file).read_bytes() for file in task.files])
    turn = threading.Lock()
    answers: list[Answered] = []
    begin = time.perf_counter() + task.warm_up
    end = begin + task.seconds

    def work() -> None:
        while (start := time.perf_counter()) < end:
            with turn:
                data = next(pictures)
            answer(data)
            done = time.perf_counter()
            answers.append(Answered(done, done - start, 200))

    workers = [threading.Thread(target=work) for _ in range(min(threads, task.clients))]
    for thread in workers:
        thread.start()
    for thread in workers:
        thread.join()
    return load.sum_up(answers, begin, end, cpu=0.0)


def main() -> None:
    task = msgspec.json.decode(sys.stdin.buffer.read(), type=Task)
    folder = Path(os.environ["MODEL_FOLDER"])
    manifest = msgspec.json.decode((folder / "model.json").read_bytes())
    answer = answerer(folder, manifest["preprocessing"]["size"])
    sent = generate(task, answer, int(os.environ["THREADS"]))
    sys.stdout.buffer.write(msgspec.json.encode(sent))


if __name__ == "__main__":
    main()
