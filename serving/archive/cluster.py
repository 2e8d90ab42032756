"""An archive answered by Ray Data, on this machine or a cluster; needs the packages of `ray`.

What goes through Ray is the pictures' places on the way to the workers and, on the way back, counts
and the names of what could not be reached. The workers read pictures and write parts themselves.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from serving.archive.results import Finished, Results, rules
from serving.archive.scoring import Scorer, Step, step, write
from serving.archive.storage import ArchiveError, Storage
from serving.classifier import Classifier
from serving.manifest import ArtifactError
from serving.memory import Room, return_what_is_free, return_what_is_freed
from serving.pictures import Limits
from serving.workers import Workers

ADDRESS = "RAY_ADDRESS"
"""Ray's own variable, which names a cluster; without it Ray is started on this machine."""

_STORE = 128 << 20
"""bytes of memory that Ray's processes share; what goes through them is small"""


class Job(msgspec.Struct, frozen=True):
    """What a worker needs; the folder of the model must be on its machine, too, with these rules.

    `room` is what one picture may take of the memory while it is decoded, in bytes.
    """

    model: Path
    rules: str
    pictures: Storage
    results: Results
    finished: Finished
    limits: Limits
    room: int


def score(job: Job, workers: int, size: int) -> Iterator[Step]:
    """Answers what is not finished of the pictures, `size` pictures a part.

    On the cluster that RAY_ADDRESS names it takes all cores, and else `workers` of this machine. A
    worker that dies is replaced, and what it had begun is done anew.

    Raises:
        ArchiveError: where Ray, a worker or its storage failed; what was written stays.
        ImportError: where Ray is not installed.
    """
    if "memory" in (job.pictures.protocol, job.results.protocol):
        raise ArchiveError("memory:// is of one process, and Ray's workers are others.")
    with running(workers):
        from ray.exceptions import RayError

        try:
            yield from _steps(job, size)
        except RayError as error:
            reason = _in_short(getattr(error, "cause", None) or error)
            raise ArchiveError(f"Ray ended early ({reason}). Run it again to go on.") from error


@contextmanager
def running(workers: int) -> Iterator[None]:
    """Ray, on the cluster that RAY_ADDRESS names or on `workers` cores of this machine.

    One that this process has started before is used, and runs on.

    Raises:
        ArchiveError: where it cannot be started or reached.
        ImportError: where it is not installed.
    """
    _set_environment()
    import ray

    if ray.is_initialized():
        yield
        return
    try:
        _start(workers)
        yield
    finally:
        ray.shutdown()


class PartScorer:
    """A worker: answers a part at a time, a picture at a time, on one core."""

    def __init__(self, job: Job) -> None:
        return_what_is_freed()
        model = Classifier(job.model)
        if rules(model.manifest) != job.rules:
            raise ArtifactError(
                f"{job.model}: is another model on a worker's machine than where the run was "
                "started. Put the same there."
            )
        return_what_is_free()
        self._job = job
        self._scorer = Scorer(model, job.pictures, job.limits, Room(job.room))
        self._core = Workers(1)

    def __call__(self, chunk: dict[str, Any]) -> dict[str, bytes]:
        """Writes the part of a chunk; returns its `Step` as JSON."""
        places = self._job.finished.missing([os.fsdecode(place) for place in chunk["places"]])
        answers = list(self._scorer.answers(places, self._core))
        write(self._job.results, answers)
        return {"step": msgspec.json.encode(step(answers))}


def _steps(job: Job, size: int) -> Iterator[Step]:
    import ray
    import ray.data

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    # Each chunk is a block, and so a task, of its own.
    context.target_max_block_size = 1

    def chunks(_: dict[str, Any]) -> Iterator[dict[str, Any]]:
        for chunk in job.pictures.chunks(size):
            # As bytes: a name need not be text.
            yield {"places": [[os.fsencode(place) for place in chunk]]}

    # All cores are the scorers'; one of them waiting for another's core would wait for ever.
    listed = ray.data.from_items([0]).map_batches(chunks, num_cpus=0)
    scorer: Any = PartScorer  # Ray Data takes the class for what it makes a worker of
    counted = listed.map(
        scorer,
        fn_constructor_args=[job],
        compute=ray.data.ActorPoolStrategy(size=int(ray.cluster_resources()["CPU"])),
        num_cpus=1,
    )
    for row in counted.iter_rows():
        yield msgspec.json.decode(row["step"], type=Step)


def _set_environment() -> None:
    """What Ray reads from the environment when it is imported, where nobody has said otherwise."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # Its own processes tell of each worker that they start anew.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    os.environ.setdefault("RAY_DATA_LOG_LEVEL", "ERROR")
    if not os.environ.get(ADDRESS):
        # On one machine Ray's ports are open to that machine alone, as they are under the systems
        # that this variable is named after.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")


def _start(workers: int) -> None:
    import ray

    address = os.environ.get(ADDRESS)
    try:
        if address:
            ray.init(log_to_driver=False, logging_level=logging.ERROR)
            return
        ray.init(
            "local",
            num_cpus=workers,
            object_store_memory=_STORE,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (OSError, RuntimeError, ValueError) as error:
        where = f"of {ADDRESS}={address} cannot be reached" if address else "cannot be started"
        raise ArchiveError(f"The Ray {where} ({_in_short(error)}).") from error


def _in_short(error: BaseException) -> str:
    """The last line of what an error says, which in Ray's is the error itself."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1].strip().rstrip(".")
