"""The glossary: the terms of the book as data, as a page and as a check.

``book/glossary.toml`` holds each term in both languages. From it come

- the glossary page of each edition, :func:`glossary_markdown`;
- what the search takes for a term, :meth:`Term.spellings`;
- the check of the prose, :func:`check_source`: one word a thing, none of a term's
  other spellings, and in a Korean chapter 한글(English) where a term is first used.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from book.pairs import LANGUAGES, Problem, Side, Source
from book.prose import blocks, squeeze

ROOT = Path(__file__).resolve().parent.parent
GLOSSARY = Path(__file__).with_name("glossary.toml")


_FIELDS = ("id", "definition", "also", "other", "near", "chapters", "sections",
           "first_use", "marked")
MARKED = ("always", "home", "beside")


class GlossaryError(ValueError):
    """The glossary itself is wrong; the message names the term."""


@dataclass(frozen=True)
class Term:
    """One term; ``names``, ``forms``, ``other`` and ``near`` are by language."""

    id: str
    names: dict[str, str]
    definitions: dict[str, str]
    forms: dict[str, tuple[str, ...]]
    other: dict[str, tuple[str, ...]]
    near: dict[str, tuple[str, ...]]
    chapters: tuple[str, ...]
    sections: tuple[str, ...]
    first_use: bool
    marked: str

    def spellings(self) -> tuple[str, ...]:
        """All that readers may type for the term, in either language."""
        return tuple(dict.fromkeys(
            word for lang in LANGUAGES
            for word in (*self.forms[lang], *self.other[lang], *self.near[lang])
        ))


def _term(row: dict) -> Term:
    name = row.get("id", "without id")
    both = [row.get("definition", {}).get(lang) for lang in LANGUAGES]
    if not all([row.get("id"), *(row.get(lang) for lang in LANGUAGES), *both]):
        raise GlossaryError(
            f"glossary.toml: term {name!r} needs id, ko, en, definition.ko and "
            "definition.en"
        )
    unknown = set(row) - {*LANGUAGES, *_FIELDS}
    if unknown:
        raise GlossaryError(
            f"glossary.toml: term {name!r} has unknown {sorted(unknown)}; see the head "
            "of the file"
        )
    also, other, near = (row.get(name, {}) for name in ("also", "other", "near"))
    first_use = row.get("first_use", True)
    marked = row.get("marked", "always" if first_use else "home")
    if marked.partition(" ")[0] not in MARKED:
        raise GlossaryError(
            f"glossary.toml: term {name!r} is marked {marked!r}; use one of "
            f"{', '.join(MARKED)}"
        )
    return Term(
        id=row["id"],
        names={lang: row[lang] for lang in LANGUAGES},
        definitions=row["definition"],
        forms={lang: (row[lang], *also.get(lang, ())) for lang in LANGUAGES},
        other={lang: tuple(other.get(lang, ())) for lang in LANGUAGES},
        near={lang: tuple(near.get(lang, ())) for lang in LANGUAGES},
        chapters=tuple(row.get("chapters", ())),
        sections=tuple(row.get("sections", ())),
        first_use=first_use,
        marked=marked,
    )


@lru_cache(maxsize=8)
def load(path: Path = GLOSSARY) -> tuple[Term, ...]:
    """Read and check the glossary.

    Raises :class:`GlossaryError` on a missing field, a term that stands twice, or an
    other spelling that is itself a term.
    """
    try:
        rows = tomllib.loads(path.read_text(encoding="utf-8"))["term"]
    except (tomllib.TOMLDecodeError, KeyError) as error:
        raise GlossaryError(f"{path.name} cannot be read: {error}") from None
    terms = tuple(_term(row) for row in rows)
    owner: dict[tuple[str, str], str] = {}
    for term in terms:
        words = [("id", term.id)]
        words += [(lang, form) for lang in LANGUAGES for form in term.forms[lang]]
        for word in {(lang, form.casefold()) for lang, form in words}:
            if word in owner:
                raise GlossaryError(
                    f"glossary.toml: {word[1]!r} belongs to {owner[word]!r} and to "
                    f"{term.id!r}; keep one"
                )
            owner[word] = term.id
    for term in terms:
        for lang in LANGUAGES:
            for variant in term.other[lang]:
                if (lang, variant.casefold()) in owner:
                    raise GlossaryError(
                        f"glossary.toml: {term.id!r} has {variant!r}, which is a "
                        f"form of {owner[lang, variant.casefold()]!r}"
                    )
    return terms


def labels() -> set[str]:
    """The labels that :func:`glossary_markdown` gives."""
    return {f"glossary-{term.id}" for term in load()}


# ---------------------------------------------------------------- in a text


def _inflected(form: str) -> str:
    """A form of an English term with its plural: heads, masses, queries."""
    stem = _spaced(form)
    if re.search(r"[^aeiou]y$", form):
        return rf"{stem[:-1]}(?:y|ies)"
    return rf"{stem}(?:es|s)?" if re.search(r"(?:s|x|ch|sh)$", form) else rf"{stem}s?"


@lru_cache(maxsize=2)
def _mention(lang: str) -> tuple[re.Pattern[str], list[Term]]:
    """Any form of any term of a language, longest first; a group tells whose it is."""
    forms = sorted(((form, term) for term in load() for form in term.forms[lang]),
                   key=lambda pair: len(pair[0]), reverse=True)
    write = _spaced if lang == "ko" else _inflected
    either = "|".join(f"({write(form)})" for form, _ in forms)
    edges = (rf"(?<![가-힣])(?:{either}){_AFTER}" if lang == "ko"
             else rf"(?<![\w-])(?:{either})(?![\w-])")
    return re.compile(edges, re.IGNORECASE), [term for _, term in forms]


def mentions(text: str, lang: str) -> Iterator[tuple[int, int, Term]]:
    """Yield where ``text`` uses a term: its place, without particles, and the term.

    >>> [("쿼리와 키를"[a:b], t.id) for a, b, t in mentions("쿼리와 키를", "ko")]
    [('쿼리', 'query'), ('키', 'key')]
    >>> text = "Two queries, no turnkey."
    >>> [(text[a:b], term.id) for a, b, term in mentions(text, "en")]
    [('queries', 'query')]
    """
    pattern, owners = _mention(lang)
    for match in pattern.finditer(text):
        assert match.lastindex
        yield match.start(), match.end(), owners[match.lastindex - 1]


# ---------------------------------------------------------------- the page

_WORDS = {
    "ko": {"sections": "설명하는 곳", "chapters": "나오는 장", "other": "다른 표기"},
    "en": {"sections": "Explained in", "chapters": "Chapters",
           "other": "Other spellings"},
}


def glossary_markdown(lang: str, root: Path = ROOT) -> str:
    """Return the terms for the glossary page of one edition, in its own order.

    Title and introduction stand in ``book/glossary.md``. Each term is a section with
    the label ``glossary-<id>``, so the language switch finds the same term; the
    sections that explain it are links, and so are chapters that exist below ``root``.
    """
    if lang not in LANGUAGES:
        raise GlossaryError(f"language {lang!r} is not known; use one of ko, en")
    words, other = _WORDS[lang], "en" if lang == "ko" else "ko"
    books = {path.name[:2]: path.stem for path in root.glob("notebooks/[0-9]*.py")}
    out: list[str] = []
    for term in sorted(load(), key=lambda term: term.names[lang].casefold()):
        out += [f"<!-- label: glossary-{term.id} -->"]
        out += [f"## {term.names[lang]} ({term.names[other]})", ""]
        out += [term.definitions[lang], ""]
        notes = []
        if term.sections:  # Sphinx puts in the headings
            explained = ", ".join(f"[](#{label})" for label in term.sections)
            notes.append(f"{words['sections']}: {explained}")
        if term.chapters:
            places = [
                f"[{n}]({books[n]}.ipynb)" if n in books else n for n in term.chapters
            ]
            notes.append(f"{words['chapters']}: {', '.join(places)}")
        if term.other[lang]:
            notes.append(f"{words['other']}: {', '.join(term.other[lang])}")
        out += ["  \n".join(notes), ""]
    return "\n".join(out)


# ---------------------------------------------------------------- the check

_PARTICLE = (
    "들|은|는|이|가|을|를|의|에서|에게|에|께|으로|로|와|과|랑|도|만|까지|부터|마다|보다|"
    "처럼|같이|조차|마저|나|며|고|라고|라는|라면|라|란|서|써|인|일|임|입니다|이다|였습니다|"
    "이었습니다|이지만|지만|이므로|므로|하고|별|당|간|끼리|뿐|뿐만|대로|씩|밖에|였던|이던"
)
_AFTER = rf"(?=(?:{_PARTICLE}){{0,4}}(?![가-힣]))"
_NEXT_PARENTHESES = re.compile(r"[^().!?|]{0,24}\(([^()]*)\)")


def _spaced(form: str) -> str:
    return r"\s+".join(re.escape(part) for part in form.split())


@lru_cache(maxsize=512)
def _korean(forms: tuple[str, ...]) -> re.Pattern[str]:
    """Any of ``forms``, longest first, as a word that may carry particles."""
    ordered = "|".join(_spaced(form) for form in sorted(forms, key=len, reverse=True))
    return re.compile(rf"(?<![가-힣])(?:{ordered}){_AFTER}")


@lru_cache(maxsize=512)
def _english(forms: tuple[str, ...]) -> re.Pattern[str]:
    """Any of ``forms``, longest first, as a word or its plural in s."""
    ordered = "|".join(_spaced(form) for form in sorted(forms, key=len, reverse=True))
    return re.compile(rf"(?<![\w-])(?P<form>{ordered})s?(?![\w-])", re.IGNORECASE)


def variants(text: str, lang: str) -> list[tuple[str, Term]]:
    """Return what ``text`` uses of the other spellings of terms.

    >>> [(word, term.names["ko"]) for word, term in variants("질의와 키", "ko")]
    [('질의', '쿼리')]
    >>> variants("질의응답", "ko")
    []
    """
    owner = {form.casefold(): t for t in load() for form in t.other[lang]}
    if lang == "ko":
        found = [m[0] for m in _korean(tuple(owner)).finditer(text)]
    else:
        found = [m["form"] for m in _english(tuple(owner)).finditer(text)]
    return [(squeeze(word), owner[squeeze(word).casefold()]) for word in found]


@lru_cache(maxsize=8192)
def _check_spelling(side: Side, key: str) -> tuple[Problem, ...]:
    found = []
    for block in blocks(side.text).blocks:
        for variant, term in variants(block.plain, side.lang):
            wanted = term.names[side.lang]
            message = f"{variant!r} is not a term of this book; write {wanted!r}"
            line = side.line + block.line
            found.append(Problem(side.path, line, key, "glossary", message))
    return tuple(found)


def _says(english: str, term: Term) -> bool:
    """Does a parenthesis hold the English of ``term``?"""
    flat = " " + re.sub(r"[\W_]+", " ", english.casefold()) + " "
    for form in term.forms["en"]:
        words = re.sub(r"[\W_]+", " ", form.casefold())
        if re.search(rf" {re.escape(words)}(?:s|es)? ", flat):
            return True
        singular = words.removesuffix("y")
        if singular != words and f" {singular}ies " in flat:
            return True
    return False


def uses(text: str) -> Iterator[tuple[Term, bool]]:
    """Yield each term of a Korean text, and whether its English stands beside it.

    >>> [(t.id, english) for t, english in uses("쿼리(query)와 키를 곱합니다")]
    [('query', True), ('key', False)]
    """
    by_form = {form: term for term in load() for form in term.forms["ko"]}
    for match in _korean(tuple(by_form)).finditer(text):
        term = by_form[squeeze(match[0])]
        beside = _NEXT_PARENTHESES.match(text, match.end())
        yield term, bool(beside and _says(beside[1], term))


@lru_cache(maxsize=8192)
def _uses(text: str) -> tuple[tuple[int, bool, Term, bool], ...]:
    """The terms of a side: (line, in a heading, term, with its English)."""
    return tuple(
        (block.line, bool(block.level), term, english)
        for block in blocks(text).blocks
        for term, english in uses(block.plain)
    )


def check_first_use(sides: list[tuple[Side, str]]) -> Iterator[Problem]:
    """Check that each term of a chapter is first written 한글(English).

    ``sides`` are the Korean sides of the chapter in order, with their keys. A
    heading may carry the English, and needs not.
    """
    introduced: set[str] = set()
    for side, key in sides:
        for offset, heading, term, english in _uses(side.text):
            if term.id in introduced or not term.first_use or heading > english:
                continue
            introduced.add(term.id)
            if not english:
                name = term.names["ko"]
                message = (
                    f"first use of {name} in this chapter; write "
                    f"{name}({term.names['en']})"
                )
                line = side.line + offset
                yield Problem(side.path, line, key, "glossary", message)


def check_source(source: Source) -> Iterator[Problem]:
    """Check one source against the glossary; chapters for first use as well."""
    for pair in source.pairs:
        for side in (pair.ko, pair.en):
            yield from _check_spelling(side, pair.key)
    if source.path.startswith("notebooks/"):
        yield from check_first_use([(pair.ko, pair.key) for pair in source.pairs])
