"""Sphinx extension: section anchors, and what the page templates need to know."""

from pathlib import Path
from typing import cast

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.builders.html import StandaloneHTMLBuilder
from sphinx.transforms import SphinxTransform

from book.symbols import unmarked
from book.words import WORDS

PARTS = ("attention", "gravity", "tokens")


class ExplicitAnchors(SphinxTransform):
    """Let a section's own label be its id.

    A Korean heading gets an id such as `id2`, and the first id of a section is the
    one in the address; with the label first, both editions share their addresses.
    """

    default_priority = 700

    def apply(self) -> None:
        explicit = {
            node_id for name, node_id in self.document.nameids.items()
            if self.document.nametypes.get(name)
        }
        for section in self.document.findall(nodes.section):
            section["ids"].sort(key=lambda node_id: node_id not in explicit)


def part_of(app: Sphinx, page: str) -> str:
    """Name the part a page belongs to; its colour follows from it."""
    for part, pages in app.config.book_parts.items():
        if page in pages:
            return part
    return "book"


def page_context(
    app: Sphinx, page: str, _template: str, context: dict,
    doctree: nodes.document | None,
) -> None:
    """Give the templates the edition, its words, and the page's place."""
    lang = app.config.language
    context.update(
        lang=lang,
        other="en" if lang == "ko" else "ko",
        words=WORDS[lang],
        part=part_of(app, page),
        chapter=page[:2] if page[:2].isdigit() else "",
        notebook=page[:2].isdigit(),
        summary=summary(doctree),
        stamp=app.config.book_stamp,
    )


def summary(doctree: nodes.document | None) -> str:
    """Take the first paragraph as the page's description."""
    if doctree is None:
        return ""
    for paragraph in doctree.findall(nodes.paragraph):
        text = unmarked(" ".join(paragraph.astext().split()))
        if len(text) > 40:
            return text if len(text) <= 160 else text[:158].rsplit(" ", 1)[0] + " …"
    return ""


def no_search(app: Sphinx) -> None:
    """Leave Sphinx's search out: book/search.py makes one that reads Korean."""
    cast(StandaloneHTMLBuilder, app.builder).search = False


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.add_config_value("book_parts", {}, "html")
    app.add_config_value("book_stamp", "", "html")
    app.add_transform(ExplicitAnchors)
    app.connect("builder-inited", no_search)
    app.connect("html-page-context", page_context)
    app.config.html_theme_path.append(str(Path(__file__).parent.parent / "theme"))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
