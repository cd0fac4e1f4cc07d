"""What a piece of prose holds, block by block: the facts that two languages share.

``blocks(text)`` parses markdown with markdown-it and the MyST plugins the site uses
and returns one :class:`Block` for each heading, paragraph, list item, table, quote,
code block and formula, in order, with its formulas, code, links, placeholders and
plain words.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache

from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.amsmath import amsmath_plugin
from mdit_py_plugins.colon_fence import colon_fence_plugin
from mdit_py_plugins.deflist import deflist_plugin
from mdit_py_plugins.dollarmath import dollarmath_plugin
from mdit_py_plugins.footnote import footnote_plugin
from mdit_py_plugins.front_matter import front_matter_plugin
from mdit_py_plugins.myst_blocks import myst_block_plugin
from mdit_py_plugins.myst_role import myst_role_plugin

HOLE = "\ufffc"  # stands in plain text for code, a formula or a placeholder
PLACEHOLDER = re.compile(r"⟨([^⟨⟩\n]*)⟩")
PLACEHOLDER_NAME = re.compile(r"(?:\d{2}\.)?[a-z_][a-z0-9_]*")
_LABEL = re.compile(r"<!--\s*label:\s*(.*?)\s*-->", re.DOTALL)
_ALT = re.compile(r"<!--\s*alt:\s*(.*?)\s*-->", re.DOTALL)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_TAG = re.compile(r"<\s*(/?)\s*([a-zA-Z][\w-]*)([^>]*)>")
_ATTRIBUTE = re.compile(r"""\b(href|src|id|class|data-[\w-]+)\s*=\s*["']([^"']*)["']""")
_ARGUMENT_MATTERS = {"figure", "image", "include", "literalinclude", "code-block"}
_VERBATIM = {"code", "code-block", "code-cell", "math", "mermaid", "raw", "toctree"}
_VERBATIM |= {"tableofcontents", "literalinclude", "include", "eval-rst"}
_CLOSING = {"bullet_list_close", "ordered_list_close", "blockquote_close"}
_WORDED_OPTIONS = {"alt", "caption", "title", "name-ko", "name-en"}


@dataclass
class Block:
    """One block of prose; ``line`` counts from 0 within the text."""

    kind: str
    line: int
    label: str = ""
    level: int = 0
    codes: list[str] = field(default_factory=list)
    maths: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    images: list[tuple[str, str]] = field(default_factory=list)
    citations: list[str] = field(default_factory=list)
    placeholders: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    bold: int = 0
    plain: str = ""
    own: str = ""
    content: str = ""


@dataclass
class Prose:
    """All blocks of a text, the alt texts, and labels that precede no heading."""

    blocks: list[Block] = field(default_factory=list)
    alts: list[tuple[int, str]] = field(default_factory=list)
    labels: list[tuple[int, str]] = field(default_factory=list)
    stray_labels: list[tuple[int, str]] = field(default_factory=list)
    counts: Counter = field(default_factory=Counter)

    def signature(self) -> list[str]:
        """The kinds of the blocks in order."""
        return [block.kind for block in self.blocks]


def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    parser.use(front_matter_plugin).use(myst_block_plugin).use(myst_role_plugin)
    parser.use(colon_fence_plugin).use(deflist_plugin).use(footnote_plugin)
    parser.use(amsmath_plugin)
    return parser.use(dollarmath_plugin, allow_space=True, double_inline=True)


_PARSER = _parser()


def squeeze(text: str) -> str:
    """Collapse every run of white space to one space.

    >>> squeeze(" a\\n  b ")
    'a b'
    """
    return " ".join(text.split())


def _inline(tokens: list[Token], block: Block) -> None:
    """Add what a run of inline tokens holds to ``block``."""
    plain: list[str] = []
    own: list[str] = []
    external: list[bool] = []  # open links: does each leave the book?
    emphasis = 0
    for token in tokens:
        kind = token.type
        said = None
        if kind == "text":
            said = token.content
        elif kind in ("softbreak", "hardbreak"):
            said = " "
        elif kind == "code_inline":
            block.codes.append(squeeze(token.content))
            said = HOLE
        elif kind.startswith("math"):
            block.maths.append(squeeze(token.content))
            said = HOLE
        elif kind == "link_open":
            target = str(token.attrGet("href") or "")
            block.links.append(target)
            external.append(target.startswith("http"))
        elif kind == "link_close":
            external.pop()
        elif kind in ("em_open", "em_close"):
            emphasis += 1 if kind == "em_open" else -1
        elif kind == "strong_open":
            block.bold += 1
        elif kind == "image":
            block.images.append((str(token.attrGet("src") or ""), token.content))
        elif kind == "myst_role":
            target = re.search(r"<([^<>]+)>$", token.content)
            content = target[1] if target else token.content
            block.citations.append(f"{{{token.meta['name']}}}{content}")
            said = HOLE
        elif kind == "footnote_ref":
            block.citations.append(f"[^{token.meta.get('label', '')}]")
        elif kind == "html_inline":
            _html(token.content, block)
        if said is not None:
            plain.append(said)
            own.append(" " if emphasis or any(external) else said)
    _say(block, "".join(plain), "".join(own))


def _say(block: Block, plain: str, own: str) -> None:
    block.placeholders += PLACEHOLDER.findall(plain)
    block.plain += PLACEHOLDER.sub(HOLE, plain)
    block.own += PLACEHOLDER.sub(HOLE, own)


def _html(content: str, block: Block) -> None:
    """Add tags, links and images of raw HTML; language and words may differ."""
    for closing, name, rest in _TAG.findall(content):
        if closing:
            continue
        attributes = dict(_ATTRIBUTE.findall(rest))
        if name == "a":
            block.links.append(attributes.pop("href", ""))
        elif name == "img":
            alt = re.search(r"""\balt\s*=\s*["']([^"']*)["']""", rest)
            image = (attributes.pop("src", ""), alt[1] if alt else "")
            block.images.append(image)
        extra = "".join(f" {key}={value}" for key, value in attributes.items())
        block.tags.append(f"<{name}{extra}>")


class _Reader:
    """Turns a token stream into a :class:`Prose`."""

    def __init__(self, prose: Prose) -> None:
        self.prose = prose
        self.label: tuple[int, str] | None = None

    def add(self, kind: str, line: int) -> Block:
        block = Block(kind, line)
        self.prose.blocks.append(block)
        if self.label is not None and not kind.startswith("h"):
            self.prose.stray_labels.append(self.label)
            self.label = None
        return block

    def read(self, text: str, offset: int = 0, inside: str = "") -> None:
        tokens = _PARSER.parse(text)
        path: list[str] = [inside] if inside else []
        table: Block | None = None
        line, rows, columns = offset, 0, 0
        heading = 0
        for token in tokens:
            kind = token.type
            if token.map:
                line = token.map[0] + offset
            if kind in ("bullet_list_open", "ordered_list_open"):
                path.append("ul" if kind[0] == "b" else "ol")
                self.prose.counts["lists"] += 1
            elif kind == "blockquote_open":
                path.append("quote")
                self.prose.counts["quotes"] += 1
            elif kind in _CLOSING:
                path.pop()
            elif kind == "list_item_open":
                self.prose.counts["list items"] += 1
                self.add("/".join([*path, "item"]), line)
            elif kind == "heading_open":
                heading = int(token.tag[1])
            elif kind == "heading_close":
                heading = 0
            elif kind == "table_open":
                table, rows, columns = self.add("table", line), 0, 0
            elif kind == "tr_open":
                rows, columns = rows + 1, 0
            elif kind in ("th_open", "td_open"):
                columns += 1
            elif kind == "table_close" and table is not None:
                table.kind = "/".join([*path, f"table of {rows} × {columns}"])
                self.prose.counts["tables"] += 1
                table = None
            elif kind == "inline":
                self._text(token, line, path, table, heading)
            else:
                self._other(token, line, path)

    def _text(self, token, line, path, table, heading) -> None:
        if table is not None:
            _inline(token.children or [], table)
            table.plain += " | "
            table.own += " . "
            return
        if heading:
            label = self.label
            self.label = None
            block = self.add(f"h{heading}", line)
            block.level = heading
            block.label = label[1] if label else ""
            self.prose.counts["headings"] += 1
        else:
            block = self.add("/".join([*path, "p"]), line)
            self.prose.counts["paragraphs"] += 1
        _inline(token.children or [], block)

    def _other(self, token: Token, line: int, path: list[str]) -> None:
        kind = token.type
        if kind == "html_block":
            for label in _LABEL.findall(token.content):
                self._label(label, line)
            for alt in _ALT.findall(token.content):
                self.prose.alts.append((line, squeeze(alt)))
            rest = _COMMENT.sub("", token.content)
            if rest.strip():
                block = self.add("html", line)
                _html(rest, block)
                words = squeeze(_TAG.sub(" ", rest))
                _say(block, words, words)
        elif kind == "myst_target":
            self._label(token.content, line)
        elif kind in ("math_block", "math_block_label", "amsmath"):
            block = self.add("/".join([*path, "formula"]), line)
            block.maths.append(squeeze(token.content))
            self.prose.counts["formulas"] += 1
        elif kind in ("fence", "code_block", "colon_fence"):
            self._fence(token, line, path)
        elif kind == "footnote_reference_open":
            self.add("footnote", line).content = str(token.meta.get("label", ""))

    def _label(self, label: str, line: int) -> None:
        if self.label is not None:
            self.prose.stray_labels.append(self.label)
        self.label = (line, label)
        self.prose.labels.append(self.label)

    def _fence(self, token: Token, line: int, path: list[str]) -> None:
        info = token.info.strip()
        directive = re.match(r"\{([^}]+)\}\s*(.*)", info)
        if directive is None:
            block = self.add("/".join([*path, "code block"]), line)
            block.content = f"{info}\n{token.content.rstrip()}"
            self.prose.counts["code blocks"] += 1
            return
        name, argument = directive.groups()
        block = self.add("/".join([*path, f"{{{name}}}"]), line)
        self.prose.counts["directives"] += 1
        body = token.content.split("\n")
        first = 0
        options = []
        while first < len(body):
            found = re.match(r"\s*:([\w-]+):\s*(.*)", body[first])
            if found is None:
                break
            option, value = found.groups()
            if option == "alt":
                self.prose.alts.append((line + first + 1, value))
            if option not in _WORDED_OPTIONS:
                options.append(f":{option}: {value.strip()}")
            first += 1
        block.content = "\n".join(options)
        if name in _ARGUMENT_MATTERS:
            block.content += f"\n{argument}"
        else:
            _say(block, argument, argument)
        if name in _VERBATIM:
            block.content += "\n" + "\n".join(body[first:]).rstrip()
        else:
            rest = "\n".join(body[first:])
            self.read(rest, line + 1 + first, "/".join([*path, name]))


@lru_cache(maxsize=4096)
def blocks(text: str) -> Prose:
    """Parse markdown ``text`` into its blocks (treat the result as read-only).

    >>> prose = blocks("<!-- label: qkv -->\\n## Keys $k$\\n\\n`K` is ⟨n⟩ wide.")
    >>> [(b.kind, b.label, b.maths, b.codes, b.placeholders) for b in prose.blocks]
    [('h2', 'qkv', ['k'], [], []), ('p', '', [], ['K'], ['n'])]
    """
    prose = Prose()
    reader = _Reader(prose)
    reader.read(text)
    if reader.label is not None:
        prose.stray_labels.append(reader.label)
    return prose
