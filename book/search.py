"""What the site's search looks through: each section's text, and every term's names.

The finding is `static/search.js`: it alone knows how words are cut, which endings
they lose and what counts how much, for the index and the query alike. Here the pages
are read. Code is kept apart from prose, so that it can be found and is never quoted.
"""

import json
import re
import tomllib
import unicodedata
from pathlib import Path
from typing import cast

from bs4 import BeautifulSoup, Tag

from book import glossary

#: Words that are no terms and mean the same to one who searches.
WORDS = Path(__file__).with_name("search_words.toml")
BLOCKS = ["p", "li", "td", "th", "dt", "dd", "div", "pre", "summary", "figcaption"]
NOT_READ = ("script, style, summary, svg, .headerlink, .katex, .math, .kicker, "
            ".take-home, [data-figure] table")
CODE = "pre, .cell_output table"
NAME = re.compile(r"[^\W\d_]\w{2,}")
Section = tuple[str, str, str, str]


def sections(page: Path) -> tuple[str, list[Section]]:
    """Read a built page: its title, and the sections in order.

    A section is its anchor, its heading, its prose, and the names that stand in its
    code and in the tables its code puts out. The first is the page's own.
    """
    soup = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")
    article = cast(Tag, soup.select_one("article"))
    for node in article.select("span.math"):
        node.replace_with(formula(node))
    for node in article.select(NOT_READ):
        node.decompose()
    title = cast(Tag, article.select_one("h1")).get_text().strip()
    found = []
    for section in article.select("section"):
        heading = section.find(["h1", "h2", "h3", "h4"], recursive=False)
        if heading is None:
            continue
        own = [child for child in section.find_all(True, recursive=False)
               if child.name not in ("section", heading.name)]
        if str(section["id"]).startswith("glossary-"):
            # the definition; all names of a term are in the index
            own = section.find_all("p", recursive=False, limit=1)
        code = " ".join(taken(child) for child in own)
        prose = " ".join(spaced(child) for child in own)
        found.append((str(section["id"]), tidy(heading.get_text()), tidy(prose),
                      names(code, prose)))
    return title, found


def formula(node: Tag) -> str:
    """A letter or a root as it is read; of a longer formula only that one was there."""
    source = node.select_one("annotation")
    text = re.sub(r"\\sqrt\s*\{?(\w+)\}?", r"√\1", source.get_text() if source else "")
    return text if re.fullmatch(r"[\w√ =+−-]{1,8}", text) else "…"


def taken(node: Tag) -> str:
    """Take the code out of a part of a page; return its text."""
    blocks = [node] if node.name == "pre" else node.select(CODE)
    texts = [block.get_text(" ") for block in blocks]
    for block in blocks:
        block.clear()
    return " ".join(texts)


def spaced(node: Tag) -> str:
    """The text of a part of a page; words of two blocks never run together."""
    for block in node.find_all(BLOCKS):
        block.append(" ")
    return node.get_text()


def tidy(text: str) -> str:
    """One space between words, and Hangul in whole syllables."""
    return re.sub(r"\s+", " ", unicodedata.normalize("NFC", text)).strip()


def names(code: str, prose: str) -> str:
    """The names in a piece of code that its prose does not say as well, each once.

    >>> names("x = softmax(rows)  # softmax of rows", "The rows.")
    'softmax'
    """
    said = set(NAME.findall(prose))
    return " ".join(dict.fromkeys(
        name for name in NAME.findall(tidy(code)) if name not in said))


def build_index(folder: Path, out: Path) -> int:
    """Write the search index of one edition; return the number of its sections.

    The index is a script, not JSON to be fetched, so that it loads from a folder
    (`file://`) as well as from a server.
    """
    pages, rows, places = [], [], {}
    for page in sorted(folder.glob("*.html")):
        title, parts = sections(page)
        for number, (anchor, *rest) in enumerate(parts):
            places[anchor] = len(rows)
            rows.append([len(pages), anchor if number else "", *rest])
        pages.append([page.stem, tidy(title)])
    chapters = {name[:2]: number for number, (name, _) in enumerate(pages)}

    def numbers(names: tuple[str, ...], known: dict[str, int]) -> list[int]:
        return [known[name] for name in names if name in known]

    terms = [[places.get(f"glossary-{term.id}", -1), numbers(term.sections, places),
              numbers(term.chapters, chapters), list(term.spellings())]
             for term in glossary.load()]
    same = tomllib.loads(WORDS.read_text(encoding="utf-8"))["same"]
    index = {"pages": pages, "sections": rows,
             "terms": terms + [[-1, [], [], group] for group in same]}
    text = json.dumps(index, ensure_ascii=False, separators=(",", ":"))
    out.write_text(f"window.bookSearchIndex={text};\n", encoding="utf-8")
    return len(rows)
