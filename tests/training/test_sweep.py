"""A sweep: jobs that do not lose each other, a study to go on with, one table."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import hydra
import msgspec
import optuna
import pytest
from click.testing import CliRunner
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher

from tests.training.drawn_sets import CONF, draw_ham10000, quick
from training import record
from training.sweep import ERROR_FILE, RESULTS, main

LIMIT = 240
"""Seconds that a sweep may take, most of which its processes import."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_ham10000(tmp_path_factory.mktemp("data") / "ham10000")


def sweep(folder: Path, *overrides: str) -> subprocess.CompletedProcess[str]:
    """Sweeps in a process of its own, as the command line does."""
    # A run's folder is its job's here.
    told = [each for each in quick(folder) if not each.startswith("run_dir=")]
    few = ["model=cnn", "model.epochs=1", f"hydra.sweep.dir={folder}"]
    return subprocess.run(
        [sys.executable, "-m", "training.train", "-m", *told, *few, *overrides],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def results(folder: Path) -> list[dict[str, str]]:
    with (folder / RESULTS).with_suffix(".csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_sweep_whose_jobs_failed_goes_on_with_several_at_a_time(
    data: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "sweep"
    small = ["hparams=small", "hydra.sweeper.n_trials=2"]
    done = sweep(folder, *small, f"data.root={tmp_path / 'nothing'}")
    assert done.returncode != 0
    failed = results(folder)
    assert len(failed) == 2
    assert all("no such folder" in row["what became of it"] for row in failed)

    parallel = ["hydra/launcher=joblib", "hydra.sweeper.n_jobs=2", "hydra.launcher.n_jobs=2"]
    done = sweep(folder, *small, *parallel, f"data.root={data}")
    assert done.returncode == 0, done.stderr[-2000:]
    rows = results(folder)
    assert [row["what became of it"] for row in rows[:2]] == ["finished"] * 2
    assert [row["run"] for row in rows[2:]] == [row["run"] for row in failed]
    assert (folder / RESULTS).read_text() in done.stdout

    storage = f"sqlite:///{folder / 'study.db'}"
    trials = optuna.load_study(study_name="lesionlens", storage=storage).trials
    complete = [trial for trial in trials if trial.state == optuna.trial.TrialState.COMPLETE]
    assert (len(trials), len(complete)) == (4, 2)
    # What the study learned from is what the runs chose their checkpoints by.
    scores = [float(row["val/auroc"]) for row in rows[:2]]
    assert sorted((trial.value or 0 for trial in complete), reverse=True) == scores
    for row in rows[:2]:
        assert record.read(folder / row["run"]).best_score == float(row["val/auroc"])
        assert float(row["val/loss"]) > 0
        assert (folder / row["run"] / "checkpoints/best.ckpt").exists()
    assert len({row["model.optimizer.lr"] for row in rows}) == 4


def test_a_job_that_fails_in_a_grid_does_not_lose_the_others(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    done = sweep(folder, f"data.root={data}", "trainer=ddp,cpu", "trainer.accelerator=cpu")
    assert done.returncode != 0
    finished, failed = results(folder)
    assert (finished["trainer"], finished["what became of it"]) == ("cpu", "finished")
    assert failed["trainer"] == "ddp"
    assert "trains in one process" in failed["what became of it"]
    assert "Traceback" in (folder / failed["run"] / ERROR_FILE).read_text()


def make_run(folder: Path, rate: str, score: float | None, *, mode: str = "max") -> None:
    """A run as a sweep leaves it, unfinished where it has no `score`."""
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra/overrides.yaml").write_text(f"- model=cnn\n- model.optimizer.lr={rate}\n")
    chosen = "hydra: {runtime: {choices: {model: cnn}}}\n"
    (folder / ".hydra/hydra.yaml").write_text(chosen)
    (folder / "config.yaml").write_text(f"callbacks: {{checkpoint: {{mode: {mode}}}}}\n")
    if score is None:
        return
    written = record.Record(
        weights="scratch",
        split_digest="",
        commit="",
        hardware="",
        seconds=12.34,
        epochs=2,
        best_score=score,
        scored_by="val/auroc",
        versions={},
    )
    (folder / record.FILE_NAME).write_bytes(msgspec.json.encode(written))
    (folder / "logs/csv/version_0").mkdir(parents=True)
    (folder / "logs/csv/version_0/metrics.csv").write_text(
        f"epoch,train/loss,val/auroc,val/loss\n0,0.3,,\n0,,{score},0.6\n1,,{score},0.5\n"
        f"2,,{score - 0.1 if mode == 'max' else score + 0.1},0.4\n"
    )


@pytest.mark.parametrize(("mode", "order"), [("max", ["b", "a"]), ("min", ["a", "b"])])
def test_the_table_is_sorted_by_the_score_and_has_the_figures_of_its_epoch(
    tmp_path: Path, mode: str, order: list[str]
) -> None:
    make_run(tmp_path / "a", "0.1", 0.7, mode=mode)
    make_run(tmp_path / "b", "0.01", 0.8, mode=mode)
    make_run(tmp_path / "c", "0.001", None, mode=mode)
    told = CliRunner().invoke(main, [str(tmp_path)])
    assert told.exit_code == 0
    assert told.output.strip() == (tmp_path / RESULTS).read_text().strip()
    assert f'`make export MODEL=cnn ARGS="run={tmp_path / order[0]}"`' in told.output
    assert "All of them: `model=cnn`" in told.output
    rows = results(tmp_path)
    assert [row["run"] for row in rows] == [*order, "c"]
    assert [row["val/loss"] for row in rows] == ["0.5", "0.5", ""]
    assert rows[2]["what became of it"] == "not finished"
    assert {"train/loss", "model"}.isdisjoint(rows[0])


def test_a_folder_without_runs_is_an_error(tmp_path: Path) -> None:
    told = CliRunner().invoke(main, [str(tmp_path)])
    assert told.exit_code == 1
    assert "holds no run of a sweep" in str(told.exception) + told.output


@pytest.mark.parametrize("name", ["joblib", "submitit_local", "submitit_slurm"])
def test_the_launchers_compose(name: str) -> None:
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        overrides = ["hparams=small", f"hydra/launcher={name}"]
        config = hydra.compose("train", overrides, return_hydra_config=True)
    assert config.hydra.sweeper._target_.endswith("OptunaSweeper")
    assert "model.optimizer.lr" in config.hydra.sweeper.params
    launcher = Plugins.instance()._instantiate(config.hydra.launcher)
    assert isinstance(launcher, Launcher)
