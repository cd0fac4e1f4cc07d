"""The site's own search index: prefixes of words, and Korean particles taken off.

Sphinx's search splits Korean at spaces only, so 질량을 does not find 질량. Here each
word is indexed with and without the particles it may end in; the page's
`search.js` does the same to the query and matches by the beginning of words.
"""

import json
import re
import unicodedata
from collections import defaultdict
from pathlib import Path
from typing import cast

from bs4 import BeautifulSoup, Tag

_ENDINGS = """
은 는 이 가 을 를 의 에 와 과 도 만 로 나 랑 께 야 여 든 라 요 들 들이 들은 들을 들의
에서 에게 으로 까지 부터 보다 처럼 마다 조차 밖에 마저 한테 이나 이랑 이라 라는 라고
이다 입니다 이라는 이라고 에서는 에서도 에서의 에게는 으로는 으로도 으로의 으로서
으로써 로는 로도 로의 로서 로써 에는 에도 와의 과의 까지는 까지의 부터는 부터의
보다는 만이 만을 만의 이며 이고 이면 인 일 임 이란 란 하다 합니다 하는 한 할 하고
하면 하며 됩니다 되는 된 될 시키는 적 적인 적으로 씩 째 쯤 대로 같은 같이
"""
#: Endings that a Korean noun may carry, longest first.
PARTICLES = tuple(sorted(_ENDINGS.split(), key=lambda word: (-len(word), word)))
WORD = re.compile(r"[^\W_]+(?:_[^\W_]+)*|_", re.UNICODE)
HANGUL = re.compile(r"[가-힣]")
TITLE, HEADING, BODY = 8, 5, 1
BLOCKS = ["p", "li", "td", "th", "dt", "dd", "div", "pre", "summary", "figcaption"]


def forms(word: str) -> list[str]:
    """List a word and what is left without each particle it may end in.

    >>> forms("질량을"), forms("softmax")
    (['질량을', '질량'], ['softmax'])
    """
    found = [word]
    if HANGUL.search(word):
        found += [word[:-len(particle)] for particle in PARTICLES
                  if word.endswith(particle) and len(word) > len(particle)]
    return list(dict.fromkeys(found))


def words(text: str) -> list[str]:
    """Split text into lower-case words; `d_model` counts whole and in parts.

    >>> words("Q·Kᵀ와 d_model")
    ['q', 'kᵀ와', 'd_model', 'd', 'model']
    """
    found = []
    for word in WORD.findall(unicodedata.normalize("NFC", text).lower()):
        found.append(word)
        if "_" in word:
            found += [part for part in word.split("_") if part]
    return found


def sections(page: Path) -> tuple[str, list[tuple[str, str, str]]]:
    """Read a built page: its title, and (anchor, heading, text) of each section."""
    soup = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")
    article = cast(Tag, soup.select_one("article"))
    for node in article.select(
        "script, style, summary, svg, .headerlink, .katex, .math, .kicker, "
        ".take-home, [data-figure] table"
    ):
        node.decompose()
    for node in article.find_all(BLOCKS):
        node.append(" ")  # words of two blocks never run together
    title = cast(Tag, article.select_one("h1")).get_text().strip()
    found = []
    for section in article.select("section"):
        heading = section.find(["h1", "h2", "h3", "h4"], recursive=False)
        if heading is None:
            continue
        name = heading.get_text().strip()
        text = " ".join(
            child.get_text() for child in section.children
            if isinstance(child, Tag) and child.name not in ("section", heading.name)
        )
        anchor = "" if heading.name == "h1" else section["id"]
        found.append((anchor, name, re.sub(r"\s+", " ", text).strip()))
    return title, found


def build_index(folder: Path, out: Path) -> int:
    """Write the search index of one edition; return the number of its sections.

    The index is a script, not JSON to be fetched, so that it loads from a folder
    (`file://`) as well as from a server.
    """
    pages, entries = [], []
    postings: dict[str, dict[int, int]] = defaultdict(dict)
    for page in sorted(folder.glob("*.html")):
        title, parts = sections(page)
        pages.append([page.stem, title])
        for anchor, heading, text in parts:
            number = len(entries)
            entries.append([len(pages) - 1, anchor, heading, text[:4000]])
            weight = HEADING if anchor else TITLE
            for source, value in ((heading, weight), (text, BODY)):
                for word in words(source):
                    for form in forms(word):
                        before = postings[form].get(number, 0)
                        postings[form][number] = min(before + value, 20)
    terms = sorted(postings, key=lambda term: [ord(unit) for unit in utf16(term)])
    index = {
        "pages": pages,
        "entries": entries,
        "terms": terms,
        "postings": [[x for pair in postings[term].items() for x in pair]
                     for term in terms],
        "particles": list(PARTICLES),
    }
    text = json.dumps(index, ensure_ascii=False, separators=(",", ":"))
    out.write_text(f"window.bookSearchIndex={text};\n", encoding="utf-8")
    return len(entries)


def utf16(text: str) -> str:
    """Spell text in UTF-16 code units, the order in which JavaScript compares."""
    raw = text.encode("utf-16-le", "surrogatepass")
    return "".join(chr(raw[i] | raw[i + 1] << 8) for i in range(0, len(raw), 2))
