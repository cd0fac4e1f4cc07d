"""Turn the outputs of executed cells into the HTML of one edition.

The site needs no kernel, no outside host and no second format: every output
becomes `text/html` (or stays plain text) before Sphinx sees it.
"""

import base64
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any, cast

from bs4 import BeautifulSoup, Tag
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin
from nbformat import NotebookNode

from book.labels import label, plotly_labels, svg_labels
from book.progress import PROGRESS
from lib.page.figures import PLOTLY_MIME, SVG_MIME, TABLE_MIME
from lib.page.live import EXPORT_MIME, LIVE_MIME
from lib.page.record import RECORD_MIME

WIDGET_MIME = "application/vnd.jupyter.widget-view+json"
WIDGET_STATE_MIME = "application/vnd.jupyter.widget-state+json"
FIGURES = (PLOTLY_MIME, SVG_MIME, WIDGET_MIME, "image/png")
GL3D = {"scatter3d", "surface", "mesh3d", "cone", "streamtube", "isosurface", "volume"}
WORDS = {
    "ko": {"table": "표로 보기", "scroll": "옆으로 넘겨 볼 수 있는 표"},
    "en": {"table": "Show as a table", "scroll": "Scrollable table"},
}
HANGUL = re.compile(r"[가-힣]")
#: Table cells of at most this many characters stay on one line.
SHORT = 24
#: A cell that holds a number, perhaps with a unit, or a mark for none.
NUMBER = re.compile(r"[-+−≈<>±]?\s*[\d.,]+(?:\s*[×e%]?\s*\S{0,8})*|–|")


class BuildError(Exception):
    """Something in the book's sources keeps the site from being built."""


@dataclass(frozen=True)
class Caption:
    """What stands below a figure, and what a blind reader is told of it."""

    text: str
    alt: str


def one_side(text: str, lang: str) -> str:
    """Keep one side of `한국어 | English`; leave any other text alone.

    A name that is the same in both languages stands once.

    >>> one_side("산문 | prose", "en"), one_side("P(a | b)", "ko")
    ('prose', 'P(a | b)')
    >>> one_side("TinyShakespeare | TinyShakespeare", "en")
    'TinyShakespeare'
    """
    ko, bar, en = text.partition(" | ")
    if bar and ko.strip() == en.strip():
        return ko.strip()
    if bar and HANGUL.search(ko) and not HANGUL.search(en):
        return ko.strip() if lang == "ko" else en.strip()
    return text


def markdown(text: str) -> str:
    """Render a caption: Markdown with `$maths$`, which the site sets later."""
    parser = MarkdownIt("commonmark").use(
        dollarmath_plugin,
        renderer=lambda content, _options: escape(rf"\({content}\)"),
    )
    rendered = parser.render(text)
    return rendered.replace(
        'class="math inline"', 'class="math notranslate nohighlight"'
    )


def convert(
    outputs: list[NotebookNode], lang: str, caption: Caption | None, where: str,
    chapter: str = "", mount: Callable[[Mapping[str, Any]], str] = lambda _: "",
) -> list[NotebookNode]:
    """Convert the outputs of one cell for one edition.

    Parameters
    ----------
    outputs
        The outputs as executed.
    lang
        `ko` or `en`.
    caption
        The caption that follows the cell, if any.
    where
        How error messages name the cell.
    chapter
        The number of the chapter, whose labels are known (`book.labels`).
    mount
        The attributes of a figure that comes alive (`book.instruments`).

    Raises
    ------
    BuildError
        If a figure has no caption with alt text, or a caption has no figure.
    """
    result, used = [], False
    for output in outputs:
        if output.output_type == "stream":
            if output.name == "stdout" and output.text.strip():
                result.append(output)
            continue
        if output.output_type == "error":
            raise BuildError(f"{where}: the cell ended in {output.ename}.")
        data = output.data
        if RECORD_MIME in data or EXPORT_MIME in data:
            continue
        kind = next((mime for mime in FIGURES if mime in data), None)
        if kind == WIDGET_MIME and PROGRESS.search(data.get("text/plain", "")):
            continue
        explorer = 'data-figure="' in data.get("text/html", "")
        if kind or explorer:
            if caption is None or used:
                problem = "no caption" if caption is None else "two figures"
                raise BuildError(
                    f"{where}: {problem}; each cell with a figure is followed by one "
                    "caption pair with <!-- alt: … --> in both languages."
                )
            used = True
            live = mount(data[LIVE_MIME]) if LIVE_MIME in data else ""
            html = figure(data, kind, lang, caption, chapter, live)
        elif "text/html" in data:
            html = edition_html(data["text/html"], lang, chapter)
        elif data.get("text/plain", "").strip() in ("", "None"):
            continue
        else:
            html = None
        if html is not None:
            output = NotebookNode(
                output_type="display_data", metadata={}, data={"text/html": html}
            )
        result.append(output)
    if caption is not None and not used:
        raise BuildError(f"{where}: a caption follows, but the cell shows no figure.")
    return result


def figure(data: NotebookNode, kind: str | None, lang: str, caption: Caption,
           chapter: str = "", live: str = "") -> str:
    """Wrap one figure: body with alt text, caption, table alternative.

    live: the attributes of the place where an instrument opens in the figure's stead.
    """
    alt = escape(caption.alt, quote=True)
    if kind == SVG_MIME:
        body = f'<div class="figure-body svg" role="img" aria-label="{alt}">' + (
            svg_labels("".join(data[SVG_MIME]), lang, chapter) + "</div>"
        )
    elif kind == "image/png":
        png = "".join(data["image/png"].split())
        base64.b64decode(png, validate=True)
        body = (f'<div class="figure-body"><img alt="{alt}" '
                f'src="data:image/png;base64,{png}"></div>')
    elif kind == PLOTLY_MIME:
        body = plotly_html(plotly_labels(data[PLOTLY_MIME], lang, chapter), alt)
    elif kind == WIDGET_MIME:
        view = script_json(data[WIDGET_MIME])
        body = (f'<div class="figure-body widget" role="group" aria-label="{alt}">'
                f'<script type="{WIDGET_MIME}">{view}</script></div>')
    else:
        body = (f'<div class="figure-body" role="group" aria-label="{alt}">'
                f'{edition_html(data["text/html"], lang, chapter)}</div>')
    table = ""
    if TABLE_MIME in data:
        table = (f'<details class="table-alternative"><summary>{WORDS[lang]["table"]}'
                 f"</summary>{table_html(data[TABLE_MIME], lang, chapter)}</details>")
    return (f'<figure class="book-figure"{live}>{body}<figcaption>'
            f"{markdown(caption.text)}</figcaption>{table}</figure>")


def script_json(value: object) -> str:
    """Write JSON so that it can stand inside a script element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.replace("</", r"<\/")


def plotly_html(content: NotebookNode, alt: str) -> str:
    """Write a plotly figure as data; the page draws it with its own plotly."""
    kinds = {trace.get("type", "scatter") for trace in content["data"]}
    bundle = "gl3d" if kinds & GL3D else "cartesian"
    height = content["layout"].get("height", 460)
    return (
        f'<div class="figure-body plotly" data-plotly="{bundle}" role="group" '
        f'aria-label="{alt}" style="min-height:{height}px">'
        f'<script type="application/json">{script_json(content)}</script></div>'
    )


def table_html(table: NotebookNode, lang: str, chapter: str = "") -> str:
    """Write a figure's table alternative."""
    def row(tag: str, cells: list[str]) -> str:
        shown = (escape(label(one_side(str(cell), lang), lang, chapter))
                 for cell in cells)
        return "<tr>" + "".join(f"<{tag}>{cell}</{tag}>" for cell in shown) + "</tr>"

    head = row("th", table["columns"])
    rows = "".join(
        row("td", cells).replace("<td>", '<th scope="row">', 1)
        .replace("</td>", "</th>", 1)
        for cells in table["rows"]
    )
    return (f'<div class="table-wrap" tabindex="0" role="region" '
            f'aria-label="{WORDS[lang]["scroll"]}">'
            f"<table><thead>{head}</thead><tbody>{rows}</tbody></table></div>")


def align_words(table: Tag) -> None:
    """Mark the columns of words, which the page sets to the left; numbers go right."""
    rows = [row.find_all(["th", "td"], recursive=False) for row in table.select("tr")]
    for column in zip(*rows, strict=False):
        cells = [cell for cell in column if cell.find_parent("tbody")]
        shown = [cell.get_text(strip=True) for cell in cells]
        if any(shown) and not any(NUMBER.fullmatch(text) for text in shown):
            for cell in column:
                cell["class"] = [*cell.get("class", []), "words"]


def join_head(table: Tag) -> None:
    """Move the name of the index, which pandas puts in a row of its own, up a row."""
    rows = table.select("thead > tr")[-2:]
    if len(rows) < 2:
        return
    cells = [row.find_all(["th", "td"], recursive=False) for row in rows]
    named = [cell.get_text(strip=True) for cell in cells[1]]
    empty = [not cell.get_text(strip=True) for cell in cells[0]]
    if len(named) == len(empty) and all(
            not name or free for name, free in zip(named, empty, strict=True)):
        for upper, lower in zip(*cells, strict=True):
            if lower.get_text(strip=True):
                upper.replace_with(lower.extract())
        rows[1].decompose()


def edition_html(text: str, lang: str, chapter: str = "") -> str:
    """Keep one language of an HTML output and let wide tables scroll."""
    if "data-lang" not in text and "<table" not in text:
        return text
    soup = BeautifulSoup(text, "html.parser")
    other = "en" if lang == "ko" else "ko"
    for node in soup.select(f'[data-lang="{other}"]'):
        node.decompose()
    for node in soup.select("th, td, caption"):
        if node.string:
            text = label(one_side(node.string, lang), lang, chapter)
            node.string = text
            if node.name == "td" and len(text) <= SHORT:
                cell = cast(Any, node)  # its class is a list of words
                cell["class"] = [*cell.get("class", []), "short"]
    for node in soup.select("th"):
        if not node.get_text(strip=True):
            node.name = "td"
    for table in soup.select("table"):
        table.attrs.pop("border", None)
        if table.find_parent(class_="table-wrap") or table.get("role") == "grid":
            continue
        table.wrap(soup.new_tag("div", attrs={
            "class": "table-wrap", "tabindex": "0", "role": "region",
            "aria-label": WORDS[lang]["scroll"],
        }))
        join_head(table)
        align_words(table)
    for style in soup.select("style"):
        if style.string and "dataframe" in style.string:
            style.decompose()
    return str(soup)
