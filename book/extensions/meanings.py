"""Sphinx extension: mark what a reader can ask about, symbols and terms.

A term becomes a link to its place in the glossary, where a section of the page first
uses it; a symbol of a formula gets its id (`book.symbols`). The page's `hover.js` shows
what they mean; without it, a term is still a link.
"""

import re
from html import escape, unescape

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

from book.glossary import Term, mentions
from book.symbols import marked

#: Pages that are lists or have a look of their own.
PLAIN = re.compile(r"index|part\d|glossary|references")
#: Where no word is marked: what names, leads elsewhere or is no running text.
ELSEWHERE = (nodes.title, nodes.reference, addnodes.pending_xref, nodes.literal,
             nodes.literal_block, nodes.table, nodes.caption, nodes.raw, nodes.math,
             nodes.math_block, nodes.footnote, nodes.term)
UNMARKED = (nodes.title, nodes.reference, addnodes.pending_xref)
MATHS = re.compile(r'(<span class="math[^"]*">\\\()(.*?)(\\\)</span>)', re.DOTALL)


def within(node: nodes.Node, kinds: tuple[type, ...]) -> bool:
    """Does a node stand in one of some kinds, or is it one?"""
    above: nodes.Node | None = node
    while above is not None:
        if isinstance(above, kinds):
            return True
        above = above.parent
    return False


def sections_around(node: nodes.Node) -> tuple[str, ...]:
    """The labels of the sections around a node, the outer first."""
    found: list[str] = []
    above = node.parent
    while above is not None:
        if isinstance(above, nodes.section) and above["ids"]:
            found.append(above["ids"][0])
        above = above.parent
    return tuple(reversed(found))


def to_mark(term: Term, chapter: str, named: set[str]) -> bool:
    """Is a term marked in a text of a chapter that names some terms?

    Everyday words are marked where they are at home.
    """
    how, _, other = term.marked.partition(" ")
    if how == "home":
        return chapter in term.chapters
    return how == "always" or other in named


def pieces(text: str, lang: str, chapter: str, seen: set[str]) -> list[nodes.Node]:
    """A text with links at terms that `seen` does not hold; they are added to it."""
    found: list[nodes.Node] = []
    at = 0
    uses = list(mentions(text, lang))
    named = {term.id for _, _, term in uses}
    for start, end, term in uses:
        if term.id in seen or not to_mark(term, chapter, named):
            continue
        seen.add(term.id)
        found.append(nodes.Text(text[at:start]))
        found.append(nodes.reference(
            "", text[start:end], internal=True, classes=["term"],
            refuri=f"glossary.html#glossary-{term.id}"))
        at = end
    if found:
        found.append(nodes.Text(text[at:]))
    return found


class Meanings(SphinxTransform):
    """Mark terms at first use in a section, and every symbol that has a meaning.

    After the quotation marks have been made typographic (855), which looks at whole
    texts.
    """

    default_priority = 900

    def apply(self) -> None:
        page = self.env.docname
        if PLAIN.fullmatch(page):
            return
        chapter = page[:2] if page[:2].isdigit() else ""
        if chapter:
            self.mark_symbols(chapter)
        self.mark_terms(chapter)

    def mark_symbols(self, chapter: str) -> None:
        """Give each formula its marks, and those in captions, which are HTML."""
        for node in list(self.document.findall(nodes.math)) + list(
                self.document.findall(nodes.math_block)):
            if not within(node, UNMARKED):
                tex = marked(node.astext(), chapter, sections_around(node))
                node[:] = [nodes.Text(tex)]
        for node in self.document.findall(nodes.raw):
            if "html" in node.get("format", "") and MATHS.search(node.astext()):
                around = sections_around(node)
                node[:] = [nodes.Text(MATHS.sub(
                    lambda found, around=around: found[1] + escape(
                        marked(unescape(found[2]), chapter, around)) + found[3],
                    node.astext()))]

    def mark_terms(self, chapter: str) -> None:
        """A section is what a heading of the second level opens, with all below."""
        lang = self.config.language
        seen: dict[str, set[str]] = {}
        for node in list(self.document.findall(nodes.Text)):
            if within(node, ELSEWHERE) or not within(node, (nodes.paragraph,)):
                continue
            known = seen.setdefault("/".join(sections_around(node)[:2]), set())
            linked = pieces(node.astext(), lang, chapter, known)
            if linked:
                node.parent.replace(node, linked)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.add_transform(Meanings)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
