"""The command over an archive, and what it wrote."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
from click.testing import CliRunner, Result
from pyarrow import parquet

from serving import cli

COUNT = 60
"""The pictures of the fixture `archive`, with the broken one."""


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli.main, [str(argument) for argument in arguments])


def rows(out: Path) -> pa.Table:
    """All rows of results, in the order of the pictures' names."""
    return parquet.read_table(out).sort_by("image")


def parts(out: Path) -> dict[str, int]:
    """The parts by name, with the time of their writing."""
    return {part.name: part.stat().st_mtime_ns for part in out.glob("part-*.parquet")}
