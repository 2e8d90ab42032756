"""Every word of the page in every language, and no word used that none of them has."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from serving.diagnoses import DIAGNOSES
from serving.languages import CODES, LANGUAGES, WORDS
from serving.problems import PROBLEM_TYPES
from serving.settings import CHECKOUT

FILES = {"words": WORDS, "texts": WORDS / "pages"}
FOREIGN = CODES[1:]
USED = re.compile(r"(?<!/)\b(words|texts)((?:\??\.[A-Za-z_]+(?!\w*\()|\[\"[^\"]+\"\])+)")
SOURCES = [
    *sorted((CHECKOUT / "serving" / "templates").glob("*.jinja")),
    *sorted((CHECKOUT / "serving" / "web" / "src").rglob("*.ts")),
]


def read(kind: str, code: str) -> Any:
    return json.loads((FILES[kind] / f"{code}.json").read_text("utf-8"))


def sentences(words: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf with the way to it."""
    if isinstance(words, dict):
        for key, value in words.items():
            yield from sentences(value, f"{place}.{key}")
    elif isinstance(words, list):
        for i, value in enumerate(words):
            yield from sentences(value, f"{place}[{i}]")
    else:
        yield place, words


def placeholders(sentence: str) -> list[str]:
    return sorted(set(re.findall(r"\{\w*\}", sentence)))


@pytest.mark.parametrize("kind", FILES)
def test_there_is_a_file_for_each_language_and_for_no_other(kind: str) -> None:
    assert sorted(path.stem for path in FILES[kind].glob("*.json")) == sorted(CODES)


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("code", FOREIGN)
def test_no_language_misses_a_word_or_has_one_too_many(kind: str, code: str) -> None:
    english, other = (dict(sentences(read(kind, c))) for c in (CODES[0], code))
    assert {"missing": english.keys() - other.keys(), "extra": other.keys() - english.keys()} == {
        "missing": set(),
        "extra": set(),
    }


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("code", CODES)
def test_no_word_is_empty(kind: str, code: str) -> None:
    empty = [
        place
        for place, said in sentences(read(kind, code))
        if not isinstance(said, str) or not said.strip()
    ]
    assert empty == []


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("code", FOREIGN)
def test_the_same_values_are_put_into_a_sentence_in_every_language(kind: str, code: str) -> None:
    other = dict(sentences(read(kind, code)))
    differing = [
        place
        for place, said in sentences(read(kind, CODES[0]))
        if placeholders(said) != placeholders(other.get(place, said))
    ]
    assert differing == []


def test_every_word_that_is_used_is_there() -> None:
    used = list(uses(SOURCES))
    assert len(used) > 150
    missing = [(name, kind + way) for name, kind, way in used if not leads_somewhere(kind, way)]
    assert missing == []


def test_every_word_that_is_there_is_used() -> None:
    """Under a name that is put together, such as `words.verdict[tone]`, any word may be."""
    python = sorted((CHECKOUT / "serving").glob("*.py"))
    used = {(kind, *re.findall(r"\w+", way)) for _, kind, way in uses([*SOURCES, *python])}
    unused: list[str] = []
    for kind in FILES:
        for place, _ in sentences(read(kind, CODES[0])):
            way = (kind, *re.findall(r"\w+", place))
            if not any(way[:length] in used for length in range(2, len(way) + 1)):
                unused.append(kind + place)
    assert unused == []


def uses(sources: Iterable[Path]) -> Iterator[tuple[str, str, str]]:
    """Where words are used: the file's name, which words, and the way to them."""
    for path in sources:
        for match in USED.finditer(spelt_out(path.read_text("utf-8"))):
            yield path.name, match[1], match[2]


def spelt_out(source: str) -> str:
    """A template with what `{% set text = words.history %}` shortens written in full."""
    short = re.search(r"{% set text = ((?:words|texts)[.\w]*) %}", source)
    return re.sub(r"\btext(?=\.)", short[1], source.replace(short[0], "")) if short else source


def leads_somewhere(kind: str, way: str) -> bool:
    found = read(kind, CODES[0])
    for dotted, quoted in re.findall(r"\.([A-Za-z_]+)|\[\"([^\"]+)\"\]", way):
        if not isinstance(found, dict):
            return True  # what follows is done with the sentence
        if (dotted or quoted) not in found:
            return False
        found = found[dotted or quoted]
    return True


@pytest.mark.parametrize("code", CODES)
def test_every_diagnosis_every_problem_and_every_shipped_model_has_its_words(code: str) -> None:
    language = LANGUAGES[code]
    assert set(DIAGNOSES) < set(language.words["diagnoses"])
    assert set(DIAGNOSES) == set(language.texts["diagnoses"]["of"])
    assert set(language.words["problems"]["types"]) == set(PROBLEM_TYPES)
    for path in (CHECKOUT / "artifacts").glob("*/model.json"):
        manifest = json.loads(path.read_text("utf-8"))
        assert manifest["title"] in language.words["models"]
        for metric in manifest["metrics"]:
            assert metric["name"] in language.texts["models"]["metrics"]


def test_what_is_said_of_a_class_in_english_is_what_the_shipped_models_say() -> None:
    known = LANGUAGES[CODES[0]].words["diagnoses"]
    for path in (CHECKOUT / "artifacts").glob("*/model.json"):
        for c in json.loads(path.read_text("utf-8"))["classes"]:
            assert known[c["id"]] == {"name": c["name"], "description": c["description"]}


def test_a_word_that_nobody_has_would_be_found() -> None:
    assert not leads_somewhere("words", ".page.nonsense")
    assert not leads_somewhere("words", '.reading["nonsense"]')
    assert leads_somewhere("words", '.reading["items"]')
    assert [m[2] for m in USED.finditer("words.limits.of_dataset.items()")] == [
        ".limits.of_dataset"
    ]
