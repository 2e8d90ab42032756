"""The languages of the page: their words, and which of them a reader gets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from litestar.connection import Request
from litestar.datastructures import Cookie

from serving.manifest import ClassInfo, Manifest
from serving.problems import Problem, reason_of

WORDS = Path(__file__).resolve().parent / "words"

CODES = ("en", "de", "es")
"""The first one is for readers whose browser asks for none of them."""

PARAMETER = "lang"
"""What a link of the switch carries, and the name of the cookie that remembers it."""

_YEAR = 365 * 24 * 3600


class Language(msgspec.Struct, frozen=True):
    """A language: its words, which the scripts read too, and those that only pages to read have."""

    code: str
    words: dict[str, Any]
    texts: dict[str, Any]

    @property
    def name(self) -> str:
        """What it calls itself."""
        return str(self.words["language"]["name"])

    @property
    def capitalises(self) -> bool:
        """Whether its nouns, and none of the words before them, have a capital."""
        return self.code == "de"

    @staticmethod
    def knows(manifest: Manifest) -> bool:
        """Whether the model's classes are ours, in the words that are translated here.

        Of any others an id may mean something else.
        """
        ours = LANGUAGES[CODES[0]].words["diagnoses"]
        return all(
            ours.get(c.id) == {"name": c.name, "description": c.description}
            for c in manifest.classes
        )

    def manifest(self, manifest: Manifest) -> Manifest:
        """The manifest with names and descriptions in this language, those of them that are ours.

        `web/src/words.ts` makes the same choice.
        """
        if self.code == CODES[0] or not self.knows(manifest):
            return manifest
        known = self.words["diagnoses"]
        ours = LANGUAGES[CODES[0]].words["models"].get(manifest.title, {})
        model = {
            field: self.words["models"][manifest.title][field]
            for field, said in ours.items()
            if getattr(manifest, field) == said
        }
        classes: list[ClassInfo] = [
            msgspec.structs.replace(c, **known[c.id]) for c in manifest.classes
        ]
        return msgspec.structs.replace(manifest, classes=classes, **model)

    def problem(self, problem: Problem) -> Problem:
        """The problem in this language; the first one keeps what was said of this very request."""
        if self.code == CODES[0]:
            return problem
        words = self.words["problems"]
        reason = reason_of(problem)
        if detail := words["types"].get(reason):
            told = {"title": self.words["problem"]["title"], "detail": detail}
        else:
            told = words["statuses"].get(reason.removeprefix("status_"), {})
        return msgspec.structs.replace(problem, **told)


def _load(code: str) -> Language:
    words, texts = (
        json.loads((folder / f"{code}.json").read_text("utf-8"))
        for folder in (WORDS, WORDS / "pages")
    )
    return Language(code, words, texts)


LANGUAGES = {code: _load(code) for code in CODES}


def language_of(request: Request[Any, Any, Any]) -> Language:
    """The language that the address asks for, else the one remembered, else the browser's."""
    said = (request.query_params.get(PARAMETER), request.cookies.get(PARAMETER))
    accepted = preferred(request.headers.get("accept-language", ""))
    codes = (code for code in (*said, *accepted) if code in CODES)
    return LANGUAGES[next(codes, CODES[0])]


def preferred(accepted: str) -> Iterator[str]:
    """The languages of an Accept-Language header, the best liked first (RFC 9110, 12.5.4).

    A region or script is passed over: Austrian German is German here.
    """
    weighed: list[tuple[float, str]] = []
    for item in accepted.split(","):
        tag, _, parameter = item.partition(";")
        name, _, value = parameter.partition("=")
        try:
            weight = float(value) if name.strip() == "q" else 1.0
        except ValueError:
            weight = 0.0
        if weight > 0:
            weighed.append((weight, tag.strip().partition("-")[0].lower()))
    yield from (code for _, code in sorted(weighed, key=lambda pair: -pair[0]))


def headers_for(language: Language) -> dict[str, str]:
    """What tells caches and readers which language a page is in, and what that hung on."""
    return {"content-language": language.code, "vary": "accept-language, cookie"}


def remembering(request: Request[Any, Any, Any], language: Language) -> list[Cookie]:
    """The cookie that remembers the language, where the address asked for it."""
    if request.query_params.get(PARAMETER) != language.code:
        return []
    return [
        Cookie(
            key=PARAMETER,
            value=language.code,
            max_age=_YEAR,
            httponly=True,
            samesite="lax",
            secure=request.scope["scheme"] == "https",
        )
    ]
