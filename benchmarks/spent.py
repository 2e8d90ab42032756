"""Where LesionLens's milliseconds and megabytes go, in a process that serves nothing else.

`python -m benchmarks.spent` reads the files of each kind of picture as JSON and prints a `Profile`.
Each step of the server's start is made in its order, so that what it adds to the memory is its own.
"""

from __future__ import annotations

import importlib
import resource
import statistics
import sys
from pathlib import Path

import msgspec

from benchmarks.measured import Held, Profile, Spent

ANSWERS = 40
STEPS = (
    ("numpy", ("numpy",)),
    ("onnxruntime", ("onnxruntime",)),
    ("Pillow with its decoders", ("PIL.Image", "PIL.ImageCms", "PIL.AvifImagePlugin")),
    ("Litestar", ("litestar",)),
    ("uvicorn, Jinja, Prometheus and our own code", ("serving.app", "serving.server")),
)


def profile(files: dict[str, list[str]]) -> Profile:
    """Imports, loads and answers as the server does."""
    held = [Held("Python and msgspec", _resident())]

    def note(step: str) -> None:
        held.append(Held(step, _resident() - sum(each.bytes for each in held)))

    for step, modules in STEPS:
        for module in modules:
            importlib.import_module(module)
        note(step)
    from serving.app import create_app
    from serving.inference import Upload
    from serving.memory import return_what_is_freed
    from serving.settings import Settings
    from serving.stages import Stages

    return_what_is_freed()
    inference = create_app(Settings.from_environment()).state.inference
    note("the models, loaded and run once, and the routes")
    spent = []
    for kind, paths in files.items():
        uploads = [Upload(path, Path(path).read_bytes()) for path in paths]
        timed: dict[str, list[float]] = {}
        for number in range(ANSWERS):
            stages = Stages()
            upload = uploads[number % len(uploads)]
            inference.answer(inference.model(), upload, heatmaps=False, stages=stages)
            for stage in stages.done:
                timed.setdefault(stage.name, []).append((stage.end - stage.start) / 1e9)
        medians = {name: statistics.median(times) for name, times in timed.items()}
        spent.append(Spent(kind=kind, stages=medians, answers=ANSWERS))
        del uploads
        note(f"{ANSWERS} answers to {kind}")
    return Profile(spent, held)


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def main() -> None:
    files = msgspec.json.decode(sys.stdin.buffer.read(), type=dict[str, list[str]])
    sys.stdout.buffer.write(msgspec.json.encode(profile(files)))


if __name__ == "__main__":
    main()
