"""The cards that a page shows for a symbol or a term, as one script an edition.

A script and not JSON to be fetched, so that it loads from a folder (`file://`); a page
asks for it when a reader first asks for a meaning. The code that draws a card comes
with them.
"""

import json
import re
from collections.abc import Callable
from html import unescape
from pathlib import Path

from book import glossary, symbols
from book.words import WORDS

CARD = Path(__file__).with_name("static") / "card.js"
Typeset = Callable[[list[tuple[str, bool]]], list[str]]
MATHML = re.compile(r'<span class="katex-mathml">.*?</math></span>', re.DOTALL)
HEADING = re.compile(
    r'<section id="([\w-]+)">(?:\s|<span[^>]*></span>)*<h\d>(.*?)'
    r'(?:<a class="headerlink"|</h\d>)', re.DOTALL)


def places(folder: Path) -> dict[str, tuple[str, str]]:
    """Of each section of an edition: its address, and chapter and heading in words."""
    found = {}
    for page in sorted(folder.glob("*.html")):
        number = f"{page.stem[:2]} · " if page.stem[:2].isdigit() else ""
        for label, heading in HEADING.findall(page.read_text(encoding="utf-8")):
            words = unescape(re.sub(r"<[^>]+>", "", heading)).strip()
            words = words.removeprefix(number)
            found[label] = (f"{page.name}#{label}", number + words)
    return found


def cards(lang: str, folder: Path, typeset: Typeset) -> dict:
    """All that a page of an edition can be asked; a missing place is no link."""
    address = places(folder)
    shown = symbols.cards(lang)
    drawn = typeset([(tex, False) for tex, *_ in shown.values()])
    other = "en" if lang == "ko" else "ko"
    return {
        "words": WORDS[lang]["meaning"],
        "symbols": {
            name: [MATHML.sub("", html), title, meaning, shape,
                   *address.get(label, ("", ""))]
            for html, (name, (_, title, meaning, shape, label))
            in zip(drawn, shown.items(), strict=True)
        },
        "terms": {
            term.id: [term.names[lang], term.names[other], term.definitions[lang]]
            for term in glossary.load()
        },
    }


def write_cards(lang: str, folder: Path, out: Path, typeset: Typeset) -> None:
    """Write the cards of the edition in `folder` to `out`."""
    text = json.dumps(cards(lang, folder, typeset), ensure_ascii=False,
                      separators=(",", ":"))
    out.write_text(f"window.bookCards={text};\n" + CARD.read_text(encoding="utf-8"),
                   encoding="utf-8")
