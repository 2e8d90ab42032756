"""A run over an archive from start to end, with its progress told on the way."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Literal

import msgspec
from tqdm import tqdm

from serving.archive import cluster, scoring
from serving.archive.cluster import Job
from serving.archive.results import Finished, Results, rules
from serving.archive.scoring import Scorer, Step
from serving.archive.storage import ArchiveError, Storage
from serving.cores import available_cores
from serving.inference import Inference
from serving.settings import Settings

Engine = Literal["local", "ray"]

_NAMED_AT_MOST = 10


class Outcome(msgspec.Struct, frozen=True):
    """What the results hold now: pictures, those that are none, and those of before.

    `unread` counts the files and folders that the storage did not give this time, which the results
    leave out; the first of them are `named`, with the reasons.
    """

    pictures: int
    failures: int
    before: int
    unread: int
    named: list[str]


def score(
    settings: Settings, model: str, address: str, out: str, engine: Engine, size: int
) -> Outcome:
    """Answers every picture below `address` with `model` into the folder `out`.

    What `out` answers already is left as it is, whichever engine wrote it. Parts are of `size`
    pictures.

    Raises:
        ArchiveError: where the archive or the results cannot be used; the message says why.
        ArtifactError: where a model cannot be loaded.
        UnknownModelError: where there is no such model.
        ImportError: where the engine is not installed.
        OSError: where a part cannot be written.
    """
    inference = Inference(settings)
    classifier = inference.model(model)
    pictures = Storage(address)
    if next(pictures.places(), None) is None:
        raise ArchiveError(f"{address}: holds no picture.")
    results = Results(out, classifier.manifest, pictures.root)
    finished = results.open()
    if engine == "ray":
        job = Job(
            model=classifier.folder.resolve(),
            rules=rules(classifier.manifest),
            pictures=pictures,
            results=results,
            finished=finished,
            limits=settings.limits,
            # As in one process, so that no picture is too large for one engine alone.
            room=settings.decoded_bytes,
        )
        # Each has an interpreter of its own, so that none waits for another's.
        steps = cluster.score(job, min(settings.workers, available_cores()), size)
    else:
        scorer = Scorer(classifier, pictures, settings.limits, inference.room)
        steps = scoring.score(scorer, pictures, results, finished, inference.workers, size)
    return _told(steps, pictures, finished)


def _told(steps: Iterator[Step], pictures: Storage, finished: Finished) -> Outcome:
    done, failures, unread = finished.pictures, finished.failures, 0
    named: list[str] = []
    # None: no bar where the errors do not go to a terminal.
    with tqdm(unit="picture", initial=done, smoothing=0.02, disable=None) as progress:
        if not progress.disable:
            threading.Thread(target=_count, args=(pictures, progress), daemon=True).start()
        for step in steps:
            done += step.pictures
            failures += step.failures
            unread += len(step.unread)
            named += step.unread[: _NAMED_AT_MOST - len(named)]
            progress.update(step.pictures)
    return Outcome(done, failures, finished.pictures, unread, named)


def _count(pictures: Storage, progress: tqdm[None]) -> None:
    """Lists the pictures once more, so that the first need not wait until all are counted."""
    with suppress(ArchiveError):  # which whoever answers the pictures comes to as well
        progress.total = sum(1 for _ in pictures.places())
        progress.refresh()
