"""Reading pairs: the Korean and the English side of every piece of prose.

Three kinds of source hold pairs:

- notebooks ``notebooks/NN_name.py`` (py:percent): adjacent markdown cells tagged
  ``lang-ko`` and ``lang-en``;
- pages ``book/*.md``: adjacent blocks ``::::{lang} ko`` … ``::::`` and
  ``::::{lang} en`` … ``::::``; what stands outside them belongs to both editions;
- ``README_KO.md`` and ``README.md``: the sections of the two files, in order.

Nothing here judges what a pair says; that is :mod:`book.parity`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from book.segments import (
    FENCE,
    LANGUAGES,
    NAMES,
    PairError,
    page_segments,
    page_text,
    read_cells,
    read_page,
)

__all__ = ["LANGUAGES", "NAMES", "PairError", "page_text", "read_page"]

READMES = {"ko": "README_KO.md", "en": "README.md"}


@dataclass(frozen=True)
class Problem:
    """One finding, printed as ``file:line [label] message``."""

    path: str
    line: int
    label: str
    kind: str
    message: str

    def __str__(self) -> str:
        """The finding as one line."""
        label = f" [{self.label}]" if self.label else ""
        return f"{self.path}:{self.line}{label} {self.message}"


@dataclass(frozen=True)
class Side:
    """One language of a pair; ``line`` is where ``text`` starts in ``path``."""

    lang: str
    text: str
    path: str
    line: int


@dataclass(frozen=True)
class Pair:
    """Two sides that say the same thing, and what sort of prose they are."""

    path: str
    key: str
    ko: Side
    en: Side
    caption: bool = False
    needs_labels: bool = True


@dataclass
class Source:
    """All pairs of one source, its shared prose and what was wrong in reading."""

    path: str
    pairs: list[Pair] = field(default_factory=list)
    shared: list[Side] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


LABEL = re.compile(r"<!--\s*label:\s*(\S+?)\s*-->|^\(([\w.:-]+)\)=\s*$", re.MULTILINE)


# ---------------------------------------------------------------- pairing


def _key(side: Side, section: str, counts: dict[str, int]) -> tuple[str, str]:
    found = LABEL.search(side.text)
    if found:
        section = found[1] or found[2]
        counts[section] = 0
        return section, section
    counts[section] = counts.get(section, 0) + 1
    return f"{section or 'top'}+{counts[section]}", section


def _sections(side: Side) -> list[tuple[tuple[str, str], Side]]:
    """Split a side at its headings: ((level, label), section), label line included."""
    parts: list[tuple[tuple[str, str], int, list[str]]] = [(("", ""), 0, [])]
    ticks = ""
    for number, line in enumerate(side.text.split("\n")):
        fence = FENCE.match(line)
        if fence and (not ticks or fence["ticks"].startswith(ticks)):
            ticks = "" if ticks else fence["ticks"]
        heading = None if ticks else re.match(r"(#{1,6}) ", line)
        if heading:
            body = parts[-1][2]
            above = len(body)
            while above and _own_label(body[above - 1]):
                above -= 1
            while above < len(body) and not body[above].strip():
                above += 1
            moved = body[above:]
            del body[above:]
            found = LABEL.search("\n".join(moved))
            label = (found[1] or found[2]) if found else ""
            parts.append(((heading[1], label), number - len(moved), moved))
        parts[-1][2].append(line)
    return [
        (head, Side(side.lang, "\n".join(body), side.path, side.line + start))
        for head, start, body in parts
        if any(line.strip() for line in body)
    ]


def _own_label(line: str) -> bool:
    """Is this line nothing but a label, or empty?"""
    if not line.strip():
        return True
    found = LABEL.search(line)
    return bool(found and found[0].strip() == line.strip())


def _split(pair: Pair) -> list[Pair]:
    """Split a pair into its sections when both sides have the same headings."""
    korean, english = _sections(pair.ko), _sections(pair.en)
    heads = [[head for head, _ in side] for side in (korean, english)]
    if pair.caption or len(korean) < 2 or heads[0] != heads[1]:
        return [pair]
    out = []
    for n, ((head, ko), (_, en)) in enumerate(zip(korean, english, strict=True)):
        key = head[1] or (f"{pair.key}.{n}" if n else pair.key)
        out.append(Pair(pair.path, key, ko, en, needs_labels=pair.needs_labels))
    return out


def _pair_up(source: Source, sides: list[tuple[Side | None, bool, str]]) -> None:
    """Pair adjacent sides; ``None`` stands for anything that is not prose."""
    counts: dict[str, int] = {}
    section = ""
    index = 0

    def complain(side: Side, message: str, kind: str = "pair") -> None:
        source.problems.append(
            Problem(source.path, side.line, section, kind, message)
        )

    while index < len(sides):
        side, caption, tags = sides[index]
        index += 1
        if side is None:
            continue
        other, _, other_tags = sides[index] if index < len(sides) else (None,) * 3
        if other is None or other.lang == side.lang:
            partner = NAMES["en" if side.lang == "ko" else "ko"]
            complain(
                side,
                f"this {NAMES[side.lang]} text has no {partner} partner; write "
                f"the {partner} one right {'after' if side.lang == 'ko' else 'before'}"
                " it",
            )
            continue
        index += 1
        if side.lang == "en":
            complain(
                side,
                "English comes before Korean; put the lang-ko text first",
                "order",
            )
            side, other = other, side
        if tags != other_tags:
            complain(
                side,
                f"the two sides are tagged differently: ko {tags or 'nothing'}, "
                f"en {other_tags or 'nothing'} beside the language",
                "tags",
            )
        key, section = _key(side, section, counts)
        sections = _split(Pair(source.path, key, side, other, caption))
        source.pairs += sections
        labelled = [part.key for part in sections if LABEL.search(part.ko.text)]
        section = labelled[-1] if labelled else section


@lru_cache(maxsize=64)
def read_notebook(text: str, name: str) -> Source:
    """Read the pairs of a notebook source given as text (a shared result)."""
    source = Source(name)
    try:
        cells = read_cells(text, name)
    except PairError as error:
        return _unreadable(source, error)
    sides: list[tuple[Side | None, bool, str]] = []
    previous = ""
    for cell in cells:
        here = (name, cell.line, "")
        langs = [tag for tag in cell.tags if tag.startswith("lang-")]
        if len(set(cell.tags)) != len(cell.tags):
            message = f"a tag stands twice in {list(cell.tags)}; keep one"
            source.problems.append(Problem(*here, "tags", message))
        for tag in set(langs) - {"lang-ko", "lang-en"}:
            message = f"tag {tag!r} is not known; use lang-ko or lang-en"
            source.problems.append(Problem(*here, "tags", message))
        if cell.kind != "markdown":
            if langs:
                message = f"a {cell.kind} cell is tagged {langs[0]}; prose only"
                source.problems.append(Problem(*here, "tags", message))
            sides.append((None, False, ""))
            previous = cell.kind
            continue
        known = [tag for tag in langs if tag in ("lang-ko", "lang-en")]
        if len(set(known)) != 1:
            message = (
                "a prose cell needs exactly one of the tags lang-ko, lang-en; "
                f"this one has {known or 'none'}"
            )
            source.problems.append(Problem(*here, "tags", message))
            sides.append((None, False, ""))
            previous = "markdown"
            continue
        caption = "caption" in cell.tags
        if caption and previous not in ("code", "caption"):
            message = "a caption stands right after its code cell; move it there"
            source.problems.append(Problem(*here, "caption", message))
        previous = "caption" if caption else "markdown"
        others = ", ".join(sorted(set(cell.tags) - set(langs)))
        lang = known[0].removeprefix("lang-")
        side = Side(lang, cell.text, name, cell.line + 1)
        sides.append((side, caption, others))
    _pair_up(source, sides)
    return source


@lru_cache(maxsize=64)
def read_page_pairs(text: str, name: str) -> Source:
    """Read the pairs and the shared prose of a page given as text (as above)."""
    source = Source(name)
    try:
        segments = page_segments(text, name)
    except PairError as error:
        return _unreadable(source, error)
    sides: list[tuple[Side | None, bool, str]] = []
    for part in segments:
        if part.lang:
            side = Side(part.lang, part.text, name, part.line)
            sides.append((side, False, ""))
        elif part.text.strip():
            source.shared.append(Side("", part.text, name, part.line))
            sides.append((None, False, ""))
    _pair_up(source, sides)
    return source


def _unreadable(source: Source, error: PairError) -> Source:
    found = re.match(r"(.*?):(\d+)? ?(.*)", str(error), re.DOTALL)
    line, message = (int(found[2] or 1), found[3]) if found else (1, str(error))
    source.problems.append(Problem(source.path, line, "", "format", message))
    return source


def read_readmes(ko: str, en: str) -> Source:
    """Pair the sections of README_KO.md and README.md."""
    source = Source(READMES["en"])
    sides = (Side("ko", ko, READMES["ko"], 1), Side("en", en, READMES["en"], 1))
    source.pairs = _split(Pair(source.path, "readme", *sides, needs_labels=False))
    return source


def source_files(root: Path) -> list[str]:
    """Return the names of all sources of prose below ``root``, sorted."""
    names = [f"notebooks/{p.name}" for p in sorted(root.glob("notebooks/[0-9]*.py"))]
    names += [f"book/{p.name}" for p in sorted(root.glob("book/*.md"))]
    if any((root / name).exists() for name in READMES.values()):
        names.append(READMES["en"])
    return names


def read_source(root: Path, name: str) -> Source:
    """Read one source of :func:`source_files`."""
    if name in READMES.values():
        texts = {}
        for lang, file in READMES.items():
            path = root / file
            if not path.exists():
                message = f"{file} is missing; the two READMEs are a pair"
                problem = Problem(file, 1, "", "pair", message)
                return Source(READMES["en"], problems=[problem])
            texts[lang] = path.read_text(encoding="utf-8")
        return read_readmes(**texts)
    text = (root / name).read_text(encoding="utf-8")
    reader = read_notebook if name.endswith(".py") else read_page_pairs
    return reader(text, name)
