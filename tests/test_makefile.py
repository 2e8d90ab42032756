"""What make is told, and what it takes from the environment."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping

from serving.settings import CHECKOUT

FOREIGN = {
    "HOST": "x86_64-conda-linux-gnu",
    "PORT": "1",
    "MODEL": "thinkpad",
    "ARGS": "-x",
    "TESTS": "all",
}


def run_make(environment: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    # Where `make test` runs this, its own variables are no business of the make below.
    kept = {k: v for k, v in os.environ.items() if not k.startswith("MAKE") and k not in FOREIGN}
    command = ["make", "--no-print-directory", *arguments]
    return subprocess.run(
        command, cwd=CHECKOUT, env={**kept, **environment}, capture_output=True, text=True
    )


def make(environment: Mapping[str, str], *arguments: str) -> str:
    ran = run_make(environment, *arguments)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_names_of_the_environment_that_mean_something_else_change_no_command() -> None:
    for target in ("help", "serve", "train", "test"):
        assert make(FOREIGN, "--dry-run", target) == make({}, "--dry-run", target)
    # What make hands on to the programs that it starts: a server listens on PORT.
    assert make(FOREIGN, "--eval", 'told: ; @echo "[$$HOST$$PORT]"', "told") == "[]\n"


def test_the_command_line_sets_what_the_help_lists() -> None:
    told = make(FOREIGN, "--dry-run", "serve", "HOST=0.0.0.0", "PORT=8080")
    assert "lesionlens serve --host 0.0.0.0 --port 8080" in told
    assert "for m in cnn; do" in make(FOREIGN, "--dry-run", "train", "MODEL=cnn")


def test_several_models_do_not_go_by_one_name() -> None:
    own = "ARGS=data=folder 'model.name=mine'"
    ran = run_make(FOREIGN, "--dry-run", "export", own)
    assert ran.returncode == 2
    assert "names mobilenet cnn alike" in ran.stderr
    assert "model.name=mine" in make(FOREIGN, "--dry-run", "export", own, "MODEL=cnn")
