r"""What the letters of the formulas mean: data, and their marks in the formulas.

``book/symbols.toml`` holds each symbol with its meaning, shape, and the places where it
has this meaning, since a letter means another thing in another part. :func:`marked`
puts ``\htmlData{s=ID}{…}`` around each symbol of a formula; KaTeX turns that into a
``data-s`` that the page's ``hover.js`` looks up. Nothing moves by it: a letter is
wrapped with all that hangs on it, and the tests hold every formula against itself.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from book.tex import Atom, atoms, group_end

SYMBOLS = Path(__file__).with_name("symbols.toml")
LANGS = ("ko", "en")


class SymbolError(ValueError):
    """The data itself is wrong; the message names the entry."""


@dataclass(frozen=True)
class Symbol:
    """A symbol of :file:`symbols.toml`; one that stays unmarked has no ``id``."""

    tex: tuple[str, ...]
    places: tuple[str, ...]
    within: tuple[str, ...] = ()
    id: str = ""
    words: tuple[tuple[str, str], ...] = ()
    shape: str = ""
    label: str = ""
    reason: str = ""

    def name(self, lang: str) -> str:
        """What it is called."""
        return self.words[LANGS.index(lang)][0]

    def meaning(self, lang: str) -> str:
        """What it is, in one sentence."""
        return self.words[LANGS.index(lang)][1]


def squeezed(tex: str) -> str:
    """A formula as it is compared: each run of white space as one space."""
    return " ".join(tex.split())


def _symbol(row: dict) -> Symbol:
    name = row.get("id", row.get("tex"))
    needs = {"id", "tex", "ko", "en", "label", "places"}
    if missing := needs - set(row):
        raise SymbolError(f"symbols.toml: {name!r} lacks {sorted(missing)}")
    if unknown := set(row) - needs - {"shape", "within"}:
        raise SymbolError(f"symbols.toml: {name!r} has unknown {sorted(unknown)}")
    if any(len(row[lang]) != 2 or not all(row[lang]) for lang in LANGS):
        raise SymbolError(f"symbols.toml: {name!r} needs a name and a sentence")
    return Symbol(tuple(row["tex"]), tuple(row["places"]),
                  tuple(map(squeezed, row.get("within", ()))), row["id"],
                  tuple(tuple(row[lang]) for lang in LANGS), row.get("shape", ""),
                  row["label"])


def _local(row: dict) -> Symbol:
    if set(row) != {"tex", "places", "reason"} or not row["reason"]:
        raise SymbolError(f"symbols.toml: [[local]] {row.get('tex')} needs tex, places "
                          "and a reason, and nothing else")
    return Symbol(tuple(row["tex"]), tuple(row["places"]), reason=row["reason"])


@lru_cache(maxsize=4)
def load(path: Path = SYMBOLS) -> tuple[Symbol, ...]:
    """Read and check the data; those without an ``id`` are local letters.

    Raises :class:`SymbolError` on a missing field, an id that stands twice, or two
    meanings of one name at one place.
    """
    data = tomllib.loads(path.read_text(encoding="utf-8"))
    entries = (*map(_symbol, data["symbol"]), *map(_local, data.get("local", ())))
    ids = [entry.id for entry in entries if entry.id]
    if twice := {name for name in ids if ids.count(name) > 1}:
        raise SymbolError(f"symbols.toml: {sorted(twice)} stand twice")
    _index(entries)
    return entries


@lru_cache(maxsize=1024)
def spelled(tex: str) -> str:
    r"""The name under which a formula's letter is looked up.

    >>> spelled(r"W_{O,h}"), spelled(r"\tilde{Q}"), spelled("d'")
    ('W_O,h', '\\tilde Q', "d^'")
    """
    return next(atoms(tex)).names[0]


@lru_cache(maxsize=4)
def _index(entries: tuple[Symbol, ...]) -> dict[tuple[str, str, str], Symbol]:
    """Entries by place, formula (`""`: any) and name."""
    found: dict[tuple[str, str, str], Symbol] = {}
    for entry in entries:
        for place in entry.places:
            for formula in entry.within or ("",):
                for tex in entry.tex:
                    key = (place, formula, spelled(tex))
                    if key in found:
                        raise SymbolError(
                            f"symbols.toml: {tex!r} has two meanings at {place}: "
                            f"{found[key].id or 'local'} and {entry.id or 'local'}")
                    found[key] = entry
    return found


def meaning(atom: Atom, chapter: str, sections: tuple[str, ...] = (),
            formula: str = "") -> Symbol | None:
    """What a letter stands for; ``sections`` are the labels around it, outer first."""
    index = _index(load())
    places = [*(f"{chapter}#{label}" for label in reversed(sections)), chapter]
    for within in dict.fromkeys((squeezed(formula), "")):
        for place in places:
            for name in atom.names:
                if (place, within, name) in index:
                    return index[place, within, name]
    return None


def letters(tex: str, chapter: str, sections: tuple[str, ...] = (),
            ) -> Iterator[tuple[Atom, Symbol | None]]:
    r"""Yield the letters of a formula and what each stands for.

    Where a letter has its meaning together with its index, as ``d_k`` has, the letters
    of the index are a part of the name and do not come.

    >>> [(a.name, s.id) for a, s in letters("d_k + d", "04", ("encdec-count",))]
    [('d', 'd-k'), ('d', 'd-model')]
    """
    behind = 0
    for atom in atoms(tex):
        if atom.start < behind:
            continue
        symbol = meaning(atom, chapter, sections, tex)
        yield atom, symbol
        named = atom.sub and symbol and any(
            spelled(name) in atom.names[:2] and "_" in name for name in symbol.tex)
        if named:
            behind = atom.index[1]


def marked(tex: str, chapter: str, sections: tuple[str, ...] = ()) -> str:
    r"""A formula with a mark around each symbol that has a meaning.

    >>> marked(r"\sqrt d\,V_h", "02", ("qkv-logits",)).split(r"\,")
    ['\\sqrt {\\htmlData{s=d-head}{d}}',
     '\\htmlData{s=value}{V_{\\htmlData{s=head-number}{h}}}']
    """
    before: dict[int, str] = {}
    behind: dict[int, str] = {}
    for atom, symbol in letters(tex, chapter, sections):  # outer before inner
        if symbol is None or not symbol.id:
            continue
        brace = ("{", "}") if atom.bare else ("", "")
        before[atom.start] = (before.get(atom.start, "")
                              + f"{brace[0]}\\htmlData{{s={symbol.id}}}{{")
        behind[atom.end] = "}" + brace[1] + behind.get(atom.end, "")
    return "".join(behind.get(at, "") + before.get(at, "") + tex[at:at + 1]
                   for at in range(len(tex) + 1))


def unmarked(tex: str) -> str:
    r"""A marked formula without its marks.

    >>> unmarked(marked("Q_{h} K^2", "02"))
    'Q_{h} K^2'
    """
    while found := re.search(r"\\htmlData\{s=[\w-]+\}", tex):
        end = group_end(tex, found.end())
        tex = tex[:found.start()] + tex[found.end() + 1:end - 1] + tex[end:]
    return tex


def cards(lang: str) -> dict[str, list[str]]:
    """Of each symbol: how it is written, name, sentence, shape, label."""
    return {symbol.id: [symbol.tex[0], symbol.name(lang), symbol.meaning(lang),
                        symbol.shape, symbol.label]
            for symbol in load() if symbol.id}
