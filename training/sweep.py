"""The results of a sweep, one table: `python -m training.sweep FOLDER`, and kept while it runs."""

from __future__ import annotations

import csv
import io
import sys
import traceback
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from training import record
from training.finished import CONFIG_FILE, RunError, model_of, read_config

RESULTS = "results.md"
"""In a sweep's folder: the table; `results.csv` has the same."""

ERROR_FILE = "error.txt"
"""In the folder of a run that failed: why."""

_OVERRIDES = ".hydra/overrides.yaml"
_METRICS = "logs/csv/*/metrics.csv"


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a sweep: what it was told, and what came of it.

    `score` is what its best checkpoint was chosen by, the validation figure `scored_by`, and
    `figures` what else was measured on the validation split after the same epoch; without a score
    `failure` says why there is none.
    """

    folder: Path
    overrides: dict[str, str]
    score: float | None = None
    scored_by: str = ""
    greater_is_better: bool = True
    figures: dict[str, float] = {}
    epochs: int | None = None
    seconds: float | None = None
    failure: str | None = None


class SweepCallback(Callback):
    """Writes a sweep's table after each of its jobs, and why a job failed into its folder."""

    def on_job_start(self, config: DictConfig, **_: Any) -> None:
        """Says which job begins."""
        told = HydraConfig.get()
        if told.mode == RunMode.MULTIRUN:
            print(f"{told.runtime.output_dir}: {' '.join(told.overrides.task)}", flush=True)

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **_: Any) -> None:
        """Notes what became of a job."""
        told = HydraConfig.get()
        if told.mode != RunMode.MULTIRUN or told.output_subdir is None:
            return
        run = Path(told.runtime.output_dir)
        if job_return.status == JobStatus.FAILED:
            error = job_return._return_value
            lines = [f"{type(error).__name__}: {error}\n\n", *traceback.format_exception(error)]
            (run / ERROR_FILE).write_text("".join(lines), encoding="utf-8")
            print(f"{run} failed: {error}", file=sys.stderr)
        write_results(Path(told.sweep.dir))

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        """Writes the table once more, whole: jobs beside each other may have passed one another."""
        sweep = Path(config.hydra.sweep.dir)
        results = sweep / RESULTS
        if results.exists():
            write_results(sweep)
            print(f"\n{results.read_text(encoding='utf-8')}\n{results}")


def read_jobs(sweep: Path) -> list[Job]:
    """The runs in the folder `sweep`, the best first and those without a score last.

    Raises:
        RunError: where there are none.
    """
    jobs = [_read_job(path.parents[1]) for path in sorted(sweep.glob(f"*/{_OVERRIDES}"))]
    if not jobs:
        raise RunError(
            f"{sweep}: holds no run of a sweep. Name the folder that `training.train -m` printed, "
            "runs/MODEL/TIME unless hydra.sweep.dir said otherwise."
        )
    return sorted(jobs, key=_rank)


def write_results(sweep: Path) -> str:
    """Writes the table of the runs in `sweep` into it, as Markdown and as CSV; returns the former.

    Raises:
        RunError: where there are none.
    """
    jobs = read_jobs(sweep)
    header, rows = _columns(jobs), [list(_cells(job, jobs)) for job in jobs]
    text = _markdown(jobs, [header, *([_short(cell) for cell in row] for row in rows)])
    lines = io.StringIO()
    csv.writer(lines, lineterminator="\n").writerows([header, *rows])
    _replace(sweep / RESULTS, text)
    _replace((sweep / RESULTS).with_suffix(".csv"), lines.getvalue())
    return text


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
def main(folder: Path) -> None:
    """Prints the results of the sweep in FOLDER, and writes them there."""
    try:
        print(write_results(folder))
    except RunError as error:
        sys.exit(f"error: {error}")


def _read_job(run: Path) -> Job:
    told = (str(each).split("=", 1) for each in OmegaConf.load(run / _OVERRIDES))
    overrides = {name: value[0] if value else "" for name, *value in told}
    if (run / ERROR_FILE).exists():
        first, *_ = (run / ERROR_FILE).read_text(encoding="utf-8").splitlines()
        return Job(folder=run, overrides=overrides, failure=f"failed, {first}")
    if not (run / record.FILE_NAME).exists():
        return Job(folder=run, overrides=overrides, failure="not finished")
    finished = record.read(run)
    greater = _greater_is_better(run)
    return Job(
        folder=run,
        overrides=overrides,
        score=finished.best_score,
        scored_by=finished.scored_by,
        greater_is_better=greater,
        figures=_figures(run, finished.scored_by, greater),
        epochs=finished.epochs,
        seconds=finished.seconds,
    )


def _greater_is_better(run: Path) -> bool:
    if not (run / CONFIG_FILE).exists():
        return True
    return bool(OmegaConf.select(read_config(run), "callbacks.checkpoint.mode") != "min")


def _figures(run: Path, scored_by: str, greater_is_better: bool) -> dict[str, float]:
    """What the CSV log has beside the best `scored_by`, and of several such beside the last.

    Nothing where there is no such log.
    """
    rows = []
    for path in sorted(run.glob(_METRICS)):
        with path.open(encoding="utf-8", newline="") as file:
            rows += [row for row in csv.DictReader(file) if row.get(scored_by)]
    if not rows:
        return {}
    sign = 1 if greater_is_better else -1
    best = max(reversed(rows), key=lambda row: sign * float(row[scored_by]))
    return {
        name: float(value)
        for name, value in best.items()
        if name.startswith("val/") and name != scored_by and value
    }


def _rank(job: Job) -> tuple[bool, float, str]:
    if job.score is None:
        return True, 0.0, job.folder.name
    return False, -job.score if job.greater_is_better else job.score, job.folder.name


def _varied(jobs: Sequence[Job]) -> list[str]:
    """The overrides that are not the same in all of `jobs`."""
    names = dict.fromkeys(name for job in jobs for name in job.overrides)
    return sorted(n for n in names if len({job.overrides.get(n) for job in jobs}) > 1)


def _measured(jobs: Sequence[Job]) -> list[str]:
    scores = dict.fromkeys(job.scored_by for job in jobs if job.scored_by)
    others = sorted({name for job in jobs for name in job.figures} - set(scores))
    return [*scores, *others]


def _columns(jobs: Sequence[Job]) -> list[str]:
    return ["run", *_varied(jobs), *_measured(jobs), "epochs", "seconds", "what became of it"]


def _cells(job: Job, jobs: Sequence[Job]) -> Iterator[str]:
    yield job.folder.name
    yield from (job.overrides.get(name, "") for name in _varied(jobs))
    known = {**job.figures, **({} if job.score is None else {job.scored_by: job.score})}
    yield from (str(known.get(name, "")) for name in _measured(jobs))
    yield "" if job.epochs is None else str(job.epochs)
    yield "" if job.seconds is None else f"{job.seconds:.1f}"
    yield job.failure or "finished"


def _short(cell: str) -> str:
    """A number of sixteen digits is told to four."""
    try:
        return f"{float(cell):.4g}" if len(cell) > 6 else cell
    except ValueError:
        return cell


def _markdown(jobs: Sequence[Job], table: Sequence[Sequence[str]]) -> str:
    finished = [job for job in jobs if job.score is not None]
    varied = _varied(jobs)
    common = [f"{k}={v}" if v else k for k, v in jobs[0].overrides.items() if k not in varied]
    lines = [
        f"# A sweep of {len(jobs)} runs, {len(finished)} finished",
        "",
        *([f"All of them: `{' '.join(common)}`", ""] if common else []),
        "Figures are of the validation split, after the epoch of a run's best checkpoint. The best",
        "of many runs is partly the luckiest on it: train with other seeds before you believe it.",
        "",
    ]
    if finished:
        best = finished[0].folder
        export = f'make export MODEL={model_of(best)} ARGS="run={best}"'
        lines += [f"The best to an artifact: `{export}`", ""]
    header, *rows = table
    lines += [
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |"
        for line in (header, ["---"] * len(header), *rows)
    ]
    return "\n".join(lines) + "\n"


def _replace(path: Path, text: str) -> None:
    """Writes `text` whole or not at all; jobs of the same moment may write at once."""
    new = path.with_name(f".{path.name}.{uuid.uuid4().hex}.new")
    new.write_text(text, encoding="utf-8")
    new.replace(path)


if __name__ == "__main__":
    main()
