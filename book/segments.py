"""Cutting a source into cells and language blocks, with the lines they stand on.

A page holds both languages in adjacent blocks; what stands outside belongs to both
editions::

    ::::{lang} ko
    한국어
    ::::
    ::::{lang} en
    English
    ::::

The colons may be more, and directives may stand inside, as in MyST. A notebook source
is py:percent, with prose cells tagged ``lang-ko`` and ``lang-en``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LANGUAGES = ("ko", "en")
NAMES = {"ko": "Korean", "en": "English"}


class PairError(ValueError):
    """A source that cannot be read as pairs; the message has file and line."""


@dataclass(frozen=True)
class Cell:
    """A cell of a py:percent notebook; ``line`` is the line of its marker."""

    kind: str
    tags: tuple[str, ...]
    text: str
    line: int


@dataclass(frozen=True)
class Segment:
    """A stretch of a page: ``lang`` is ``None`` for what both editions share."""

    lang: str | None
    text: str
    line: int


_MARKER = re.compile(r"^# %%(?P<rest>.*)$")
_TAGS = re.compile(r"\btags=(\[.*?\])")
_OPEN = re.compile(r"^\s*(?P<colons>:{3,})\{(?P<name>[^}]+)\}\s*(?P<rest>.*?)\s*$")
_CLOSE = re.compile(r"^\s*(?P<colons>:{3,})\s*$")
FENCE = re.compile(r"^\s*(?P<ticks>`{3,}|~{3,})(?P<info>.*)$")


# ---------------------------------------------------------------- pages


def page_segments(text: str, name: str) -> list[Segment]:
    """Return the segments of a page given as text; see :func:`read_page`."""
    segments: list[Segment] = []
    stack: list[tuple[int, str | None, int]] = []  # colons, language, line
    ticks = ""
    lang: str | None = None
    lines: list[str] = []
    start = 1

    def flush(next_start: int) -> None:
        nonlocal lines, start
        if lines or lang is not None:
            segments.append(Segment(lang, "\n".join(lines), start))
        lines, start = [], next_start

    for number, line in enumerate(text.splitlines(), 1):
        fence = FENCE.match(line)
        if ticks:
            if fence and fence["ticks"].startswith(ticks) and not fence["info"].strip():
                ticks = ""
        elif fence:
            ticks = fence["ticks"]
        elif opened := _OPEN.match(line):
            colons = len(opened["colons"])
            if opened["name"] != "lang":
                stack.append((colons, None, number))
            else:
                wanted = opened["rest"]
                if wanted not in LANGUAGES:
                    raise PairError(
                        f"{name}:{number} language {wanted!r} is not known; "
                        "write ::::{lang} ko or ::::{lang} en"
                    )
                if lang is not None:
                    raise PairError(
                        f"{name}:{number} a {{lang}} block opens inside the "
                        f"{NAMES[lang]} one of line {start - 1}; close that "
                        "one first"
                    )
                flush(number + 1)
                lang = wanted
                stack.append((colons, wanted, number))
                continue
        elif closed := _CLOSE.match(line):
            if not stack or len(closed["colons"]) < stack[-1][0]:
                raise PairError(
                    f"{name}:{number} {line.strip()} closes nothing; remove it "
                    "or give it as many colons as the block it closes"
                )
            _, closing, _ = stack.pop()
            if closing is not None:
                flush(number + 1)
                lang = None
                continue
        lines.append(line)
    if ticks:
        raise PairError(f"{name}: a code fence {ticks} is never closed")
    if stack:
        colons, closing, number = stack[-1]
        block = "{lang} " + closing if closing else "directive"
        raise PairError(
            f"{name}:{number} this {block} block is never closed; add a line "
            f"of {colons} colons"
        )
    flush(0)
    return segments


def read_page(path: Path | str) -> list[tuple[str | None, str]]:
    """Return a page as ``(language or None, markdown)`` segments in order.

    ``None`` marks what both editions share. Raises :class:`PairError` with file
    and line on an unknown language or a block that does not close.
    """
    path = Path(path)
    text = path.read_text(encoding="utf-8")
    return [(part.lang, part.text) for part in page_segments(text, path.name)]


def page_text(path: Path | str, lang: str) -> str:
    """Return one edition of a page: shared text plus the blocks of ``lang``.

    Line *n* of the result is line *n* of the page (what is left out becomes
    empty lines), so a later message about a line points at the source.
    """
    if lang not in LANGUAGES:
        raise PairError(f"language {lang!r} is not known; use one of ko, en")
    path = Path(path)
    text = path.read_text(encoding="utf-8")
    lines = [""] * len(text.splitlines())
    for part in page_segments(text, path.name):
        if part.lang in (None, lang):
            for offset, line in enumerate(part.text.split("\n")):
                if part.line - 1 + offset < len(lines):
                    lines[part.line - 1 + offset] = line
    return "\n".join(lines) + "\n"


# ------------------------------------------------------------ notebooks


def read_cells(text: str, name: str) -> list[Cell]:
    """Return the cells of a py:percent source, prose without its ``# ``."""
    cells: list[Cell] = []
    head: tuple[str, tuple[str, ...], int] | None = None
    body: list[str] = []

    def close() -> None:
        if head is None:
            return
        kind, tags, number = head
        lines = body
        if kind == "markdown":
            lines = list(_uncomment(body, name, number + 1))
        cells.append(Cell(kind, tags, "\n".join(lines).rstrip(), number))

    for number, line in enumerate(text.splitlines(), 1):
        marker = _MARKER.match(line)
        if marker is None:
            body.append(line)
            continue
        close()
        rest = marker["rest"]
        kind = "code"
        if "[markdown]" in rest or "[md]" in rest:
            kind = "markdown"
        elif "[raw]" in rest:
            kind = "raw"
        tags: tuple[str, ...] = ()
        if found := _TAGS.search(rest):
            try:
                tags = tuple(json.loads(found[1]))
            except json.JSONDecodeError:
                raise PairError(
                    f"{name}:{number} cannot read {found[0]}; write tags as "
                    'tags=["lang-ko"]'
                ) from None
        head, body = (kind, tags, number), []
    close()
    return cells


def _uncomment(lines: list[str], name: str, first: int) -> Iterator[str]:
    for number, line in enumerate(lines, first):
        if line.startswith("# "):
            yield line[2:]
        elif line.strip() in ("", "#"):
            yield ""
        else:
            raise PairError(
                f"{name}:{number} a line of a prose cell does not start with "
                f"'# ': {line[:30]!r}; comment it, or start a new cell above it"
            )
