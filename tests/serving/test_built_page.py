"""What the built page asks of a phone before it can be used."""

from __future__ import annotations

import gzip

import msgspec
import pytest

from serving.built_files import STATIC
from serving.languages import CODES
from serving.pages import Assets, Chunk

MOST_BYTES = 150_000
EARLY = "src/early.ts"
MAIN = "src/main.ts"


@pytest.fixture(scope="module")
def chunks() -> dict[str, Chunk]:
    if not Assets().built:
        pytest.fail("the page is not built: `make serve` or `make test` builds it")
    data = (STATIC / ".vite" / "manifest.json").read_bytes()
    return msgspec.json.decode(data, type=dict[str, Chunk])


@pytest.mark.parametrize("code", CODES)
def test_the_scripts_of_the_first_view_are_few(chunks: dict[str, Chunk], code: str) -> None:
    sources = first_view(chunks, MAIN) | {EARLY, f"../words/{code}.json"}
    scripts = {chunks[source].file for source in sources}
    packed = sum(len(gzip.compress((STATIC / script).read_bytes(), 9)) for script in scripts)
    assert 0 < packed <= MOST_BYTES


def test_the_script_that_comes_first_can_run_as_a_classic_one(chunks: dict[str, Chunk]) -> None:
    assert first_view(chunks, EARLY) == {EARLY}
    assert "export" not in (STATIC / chunks[EARLY].file).read_text("utf-8")


def test_the_charts_code_comes_after_the_first_view(chunks: dict[str, Chunk]) -> None:
    assert "src/chart.ts" in chunks
    assert "src/chart.ts" not in first_view(chunks, MAIN)


def first_view(chunks: dict[str, Chunk], source: str) -> set[str]:
    """The sources that `source` cannot start without, itself among them."""
    imported = (first_view(chunks, name) for name in chunks[source].imports)
    return {source}.union(*imported)
