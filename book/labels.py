"""Labels of tables and figures in the language of an edition.

A notebook writes them once, in English: the head of a table, the axes and the legend of
a figure. `chapter_labels/` has them in Korean, those of every chapter in `all.toml` and
those of one in the file of its number; `{}` stands for any words. The Korean edition
exchanges a label that is one of these as a whole, and leaves every other text as it is.
"""

import re
import tomllib
from collections.abc import Iterator
from functools import cache
from html import escape, unescape
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).with_name("chapter_labels")
HOLE = "{}"
#: Where words to read stand in a figure of plotly, and lists of them.
WORDS = {"text", "name", "label", "prefix", "suffix", "title", "legendgroup"}
LISTS = {"x", "y", "text", "labels", "ticktext", "customdata"}
#: Between the parts of what hovering shows.
HOVER = " · "


def entries(chapter: str) -> dict[str, str]:
    """The labels of a chapter and of all, English -> Korean."""
    found: dict[str, str] = {}
    for name in ("all", chapter):
        file = FOLDER / f"{name}.toml"
        if file.is_file():
            found |= tomllib.loads(file.read_text(encoding="utf-8"))
    return found


@cache
def _known(chapter: str) -> tuple[dict[str, str], list[tuple[re.Pattern[str], str]]]:
    known = entries(chapter)
    plain = {en: ko for en, ko in known.items() if HOLE not in en}
    holes = [(re.compile("(.+?)".join(map(re.escape, en.split(HOLE)))), ko)
             for en, ko in known.items() if HOLE in en]
    return plain, holes


def label(text: str, lang: str, chapter: str) -> str:
    """A label in the language of an edition; any other text as it is.

    What stands in a hole may itself be a label.
    """
    if lang == "en":
        return text
    plain, holes = _known(chapter)
    if (bare := text.strip()) in plain:
        return text.replace(bare, plain[bare])
    for pattern, ko in holes:
        if found := pattern.fullmatch(text):
            parts = ko.split(HOLE)
            inner = [label(part, lang, chapter) for part in found.groups()]
            return "".join(a + b for a, b in zip(parts, [*inner, ""], strict=True))
    return text


def svg_labels(svg: str, lang: str, chapter: str) -> str:
    """The texts of a drawing in the language of an edition."""
    def shown(match: re.Match[str]) -> str:
        return match[1] + escape(label(unescape(match[2]), lang, chapter), False) + "<"

    return re.sub(r"(<(?:text|tspan)\b[^>]*>)([^<]+)<", shown, svg)


def plotly_labels(content: Any, lang: str, chapter: str, key: str = "") -> Any:
    """A figure of plotly with its titles, names and steps in the language."""
    if isinstance(content, dict):
        return {k: plotly_labels(v, lang, chapter, k.rpartition(".")[2])  # title.text
                for k, v in content.items()}
    if isinstance(content, list):
        kept = key if key in LISTS else ""
        return [plotly_labels(v, lang, chapter, kept) for v in content]
    if isinstance(content, str) and key in WORDS | LISTS:
        return label(content, lang, chapter)
    if isinstance(content, str) and key == "hovertemplate":
        return HOVER.join(label(part, lang, chapter) for part in content.split(HOVER))
    return content


def texts_of(svg: str) -> Iterator[str]:
    """The texts of a drawing, as they stand in it."""
    for text in re.findall(r"<(?:text|tspan)\b[^>]*>([^<]+)<", svg):
        yield unescape(text)
