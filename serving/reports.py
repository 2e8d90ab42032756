"""A model's report as people read it: its card, its plots and how it did on each diagnosis."""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import msgspec
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from PIL import Image

from serving.classifier import Classifier
from serving.manifest import NO_SUCH_JSON

FOLDER = "report"
CARD = f"{FOLDER}/README.md"
METRICS = f"{FOLDER}/metrics.json"

_FOLD = re.compile(r"^<details><summary>([^<]*)</summary>$(.*?)^</details>$", re.M | re.S)
"""The one piece of HTML that a card holds."""

_REGION = '<div class="table" role="region" tabindex="0" aria-label="{label} {number}">'


class Figure(msgspec.Struct, frozen=True):
    """A share with its 95 % interval over `n` pictures."""

    value: float
    low: float
    high: float
    n: int


class Recognised(msgspec.Struct, frozen=True):
    """How often a model named the pictures of one class rightly."""

    id: str
    sensitivity: Figure


class Alarmed(msgspec.Struct, frozen=True):
    """How often a model called the pictures of each malignant class suspicious."""

    diagnoses: list[Recognised]


class Measured(msgspec.Struct, frozen=True):
    """What is read of a report's metrics.json; the rest of it is for others."""

    classes: list[Recognised]
    malignant: Alarmed | None = None

    def named(self, id: str) -> Figure | None:
        """How often the class was named, where that was measured."""
        return _find(self.classes, id)

    def alarmed(self, id: str) -> Figure | None:
        """How often the class was called suspicious, where that was measured."""
        return _find(self.malignant.diagnoses, id) if self.malignant else None


def measured(model: Classifier) -> Measured | None:
    """The figures of the model's report; None where it has none that can be read."""
    digest = model.manifest.files.get(METRICS)
    if digest is None:
        return None
    try:
        return msgspec.json.decode(_read(model.folder / METRICS, digest), type=Measured)
    except (OSError, *NO_SUCH_JSON):
        return None


def card(model: Classifier, address: str, table: str) -> str | None:
    """The model's card as HTML, None where it has none.

    Its files stand at `address`; `table` is what a screen reader calls a table that scrolls, before
    its number. The card's own HTML is shown as text, and pictures from elsewhere only as their
    words.
    """
    digest = model.manifest.files.get(CARD)
    if digest is None:
        return None
    try:
        return _render(model.folder, digest, address, table)
    except (OSError, UnicodeDecodeError):
        return None


@lru_cache(maxsize=64)
def _render(folder: Path, digest: str, address: str, table: str) -> str:
    """The card in `folder`; `digest` tells one that was made again from the one before."""
    text = _read(folder / CARD, digest).decode("utf-8").replace("\r\n", "\n")
    markdown = MarkdownIt("commonmark", {"html": False}, renderer_cls=_Card).enable("table")
    env = {"folder": folder / FOLDER, "address": address, "table": table, "tables": 0}
    # The page has the title, and says more of what the model is.
    text = re.sub(r"\A# .*\n", "", text)
    # before, then by turns: a summary, what it folds, what comes after
    pieces = _FOLD.split(text)
    made = [markdown.render(pieces[0], env)]
    for summary, inner, after in zip(pieces[1::3], pieces[2::3], pieces[3::3], strict=True):
        inside = markdown.render(inner, env)
        made.append(f"<details><summary>{html.escape(summary)}</summary>{inside}</details>")
        made.append(markdown.render(after, env))
    return "".join(made)


def _read(path: Path, digest: str) -> bytes:
    """The bytes of a file of a loaded model.

    Raises:
        OSError: where it cannot be read, or was changed since.
    """
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != digest:
        raise OSError(f"{path}: was changed after the model was loaded")
    return data


class _Card(RendererHTML):
    """Gives headings an id, tables room to scroll, and links and pictures their address."""

    def heading_open(
        self, tokens: Sequence[Token], i: int, options: OptionsDict, env: EnvType
    ) -> str:
        tokens[i].attrSet("id", _slug(tokens[i + 1].content))
        return self.renderToken(tokens, i, options, env)

    def link_open(self, tokens: Sequence[Token], i: int, options: OptionsDict, env: EnvType) -> str:
        target = str(tokens[i].attrGet("href"))
        if "/" not in target and len(target) < 256 and (env["folder"] / target).is_file():
            tokens[i].attrSet("href", f"{env['address']}/{target}")
        return self.renderToken(tokens, i, options, env)

    def table_open(
        self, tokens: Sequence[Token], i: int, options: OptionsDict, env: EnvType
    ) -> str:
        env["tables"] += 1
        region = _REGION.format(label=html.escape(env["table"]), number=env["tables"])
        return region + self.renderToken(tokens, i, options, env)

    def table_close(
        self, tokens: Sequence[Token], i: int, options: OptionsDict, env: EnvType
    ) -> str:
        return self.renderToken(tokens, i, options, env) + "</div>"

    def th_open(self, tokens: Sequence[Token], i: int, options: OptionsDict, env: EnvType) -> str:
        if not tokens[i + 1].content:
            # A header that says nothing is none.
            tokens[i].tag = tokens[i + 2].tag = "td"
        return self.renderToken(tokens, i, options, env)

    def image(self, tokens: Sequence[Token], i: int, options: OptionsDict, env: EnvType) -> str:
        name = str(tokens[i].attrGet("src"))
        words = html.escape(self.renderInlineAsText(tokens[i].children, options, env))
        size = None if "/" in name else _size(env["folder"] / name)
        if size is None:
            return words
        address = html.escape(f"{env['address']}/{name}")
        width, height = size
        return (
            f'<img src="{address}" alt="{words}" width="{width}" height="{height}" loading="lazy">'
        )


def _slug(heading: str) -> str:
    """The id that links within a card expect of a heading, as on GitHub."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _size(file: Path) -> tuple[int, int] | None:
    try:
        with Image.open(file, formats=["PNG"]) as image:
            return image.size
    except (OSError, ValueError):
        return None


def _find(classes: Sequence[Recognised], id: str) -> Figure | None:
    return next((c.sensitivity for c in classes if c.id == id), None)
