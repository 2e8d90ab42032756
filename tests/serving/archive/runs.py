"""The command over an archive, and what it wrote."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pyarrow as pa
from click.testing import CliRunner, Result
from pyarrow import parquet

from serving import cli

COUNT = 60
"""The pictures of the fixture `archive`, with the broken one."""


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli.main, [str(argument) for argument in arguments])


def with_unreachable(archive: Path, copy: Path) -> list[str]:
    """Copies `archive`, adds a file and a folder that cannot be reached; what is said of them."""
    shutil.copytree(archive, copy)
    (copy / "gone.jpg").symlink_to("nowhere")
    # A link in a circle is a folder that nobody can list, whatever he may read.
    (copy / "clinic 0" / "round").symlink_to("round")
    reasons = os.strerror(errno.ELOOP), os.strerror(errno.ENOENT)
    return [
        "2 files or folders could not be reached and are left out; another run asks for them again",
        f"  clinic 0/round/: {reasons[0]}.",
        f"  gone.jpg: {reasons[1]}.",
    ]


def rows(out: Path) -> pa.Table:
    """All rows of results, in the order of the pictures' names."""
    return parquet.read_table(out).sort_by("image")


def parts(out: Path) -> dict[str, int]:
    """The parts by name, with the time of their writing."""
    return {part.name: part.stat().st_mtime_ns for part in out.glob("part-*.parquet")}
