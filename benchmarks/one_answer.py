"""One graph alone in a process: how long an answer takes, and what the process holds in memory.

`python -m benchmarks.one_answer serving FOLDER PICTURES SIDE ANSWERS THREADS` is an artifact
through the code that serves; `... torch FILE ...` is a saved network in eager PyTorch. PICTURES is
a file of bytes, each picture SIDE x SIDE x 3 of them. Each kind imports only what it needs, so that
the memory is what one would pay for it. It answers every picture, then in turns so many more, and
prints the probabilities, the median seconds of these, and the peak of the resident memory in bytes.
Linux only. `wasm_answer.mjs` does the same in WebAssembly.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Answer = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]]
"""from one picture `[1, S, S, 3]` to its probabilities `[1, C]`"""


def serving(folder: Path, threads: int) -> Answer:
    """Probability, heatmap and novelty, from the artifact in `folder`."""
    from serving.classifier import Classifier

    model = Classifier(folder, threads)
    return lambda image: model.run(image).probability


def torch(file: Path, threads: int) -> Answer:
    """Probability and heatmaps before their ReLU, from the network in `file`."""
    import torch

    torch.set_num_threads(threads)
    # The file was written by the benchmark that started this process.
    network = torch.load(file, weights_only=False)

    @torch.inference_mode()
    def answer(image: npt.NDArray[np.uint8]) -> Any:
        pictures = torch.from_numpy(image).permute(0, 3, 1, 2).float() / 255
        maps = network.feature_maps(pictures)[-1]
        probability = network.head(maps).softmax(dim=1)
        network.class_activation(maps)
        return probability.numpy()

    return answer


def main() -> None:
    kind, place, pictures, side, answers, threads = sys.argv[1:]
    answer = {"serving": serving, "torch": torch}[kind](Path(place), int(threads))
    images = np.fromfile(pictures, np.uint8).reshape(-1, 1, int(side), int(side), 3)
    probability = [answer(image)[0].tolist() for image in images]
    times = []
    for turn in range(int(answers)):
        image = images[turn % len(images)]
        start = time.perf_counter()
        answer(image)
        times.append(time.perf_counter() - start)
    told = {"seconds": statistics.median(times), "memory": _peak(), "probability": probability}
    print(json.dumps(told))


def _peak() -> int:
    """The most memory that was resident, in bytes."""
    # getrusage would count what the process that started this one held.
    status = Path("/proc/self/status").read_text().splitlines()
    (line,) = (each for each in status if each.startswith("VmHWM"))
    return 1024 * int(line.split()[1])


if __name__ == "__main__":
    main()
