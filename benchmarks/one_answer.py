"""One graph alone in a process: how long an answer takes, and what the process holds in memory.

`python -m benchmarks.one_answer serving FOLDER THREADS ANSWERS` is an artifact through the code
that serves; `... torch FILE THREADS ANSWERS` is a saved network in eager PyTorch. Each imports only
what its kind needs, so that the memory is what one would pay for it. It prints the median seconds
of an answer to one picture, and the peak of the resident memory in bytes.
"""

from __future__ import annotations

import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

WARM_UP = 10

Answer = Callable[[], object]


def serving(folder: Path, threads: int) -> Answer:
    """Probability, heatmap and novelty of one picture, from the artifact in `folder`."""
    from serving.classifier import Classifier

    model = Classifier(folder, threads)
    size = model.manifest.preprocessing.size
    image = np.random.default_rng(0).integers(0, 256, (1, size, size, 3), np.uint8)
    return lambda: model.run(image)


def torch(file: Path, threads: int) -> Answer:
    """Probability and heatmaps before their ReLU of one picture, from the network in `file`."""
    import torch

    torch.set_num_threads(threads)
    # The file was written by the benchmark that started this process.
    network, size = torch.load(file, weights_only=False)
    image = torch.randint(0, 256, (1, size, size, 3), dtype=torch.uint8)

    @torch.inference_mode()
    def answer() -> object:
        maps = network.feature_maps(image.permute(0, 3, 1, 2).float() / 255)[-1]
        return network.head(maps).softmax(dim=1), network.class_activation(maps)

    return answer


def main() -> None:
    kind, place, threads, answers = sys.argv[1:]
    answer = {"serving": serving, "torch": torch}[kind](Path(place), int(threads))
    for _ in range(WARM_UP):
        answer()
    times = []
    for _ in range(int(answers)):
        start = time.perf_counter()
        answer()
        times.append(time.perf_counter() - start)
    print(statistics.median(times), _peak())


def _peak() -> int:
    """The most memory that was resident, in bytes."""
    status = Path("/proc/self/status")
    if not status.exists():  # macOS, where it is in bytes
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux's getrusage would count what the process that started this one held.
    (line,) = (each for each in status.read_text().splitlines() if each.startswith("VmHWM"))
    return 1024 * int(line.split()[1])


if __name__ == "__main__":
    main()
