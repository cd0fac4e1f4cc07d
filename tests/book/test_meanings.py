"""Marks at build time: a term once a section, in running text only, with a link."""

import re

import pytest
from bs4 import BeautifulSoup
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace, patch_docutils

from book.cards import cards, places
from book.editions import prose
from book.extensions.meanings import pieces
from book.glossary import load, mentions
from book.landing import fill_markers


def found(text, lang, chapter="02"):
    """The words of a text that become links, and where they lead."""
    return [(node.astext(), node["refuri"].rpartition("-")[2])
            for node in pieces(text, lang, chapter, set())
            if isinstance(node, nodes.reference)]


@pytest.mark.parametrize(("text", "words"), [
    ("쿼리와 키에서 로짓이 나옵니다.", ["쿼리", "키", "로짓"]),
    ("소프트맥스로부터는 어텐션 가중치들만이 남습니다.",
     ["소프트맥스", "어텐션 가중치"]),
    ("셀프 어텐션(self-attention)에서도 마스크를 씁니다.", ["셀프 어텐션", "마스크"]),
    ("쿼리는 쿼리입니다.", ["쿼리"]),
    ("키우기와 토키, 내적으로", ["내적"]),
    ("인과 마스크까지가 마스크입니다.", ["인과 마스크", "마스크"]),
])
def test_a_korean_term_is_marked_without_its_particles(text, words):
    assert [word for word, _ in found(text, "ko")] == words


@pytest.mark.parametrize(("text", "words"), [
    ("Two queries meet four keys.", ["queries", "keys"]),
    ("Losses and loss; softmaxes.", ["Losses", "softmaxes"]),
    ("Vocabularies, masses and kernels", ["Vocabularies", "masses", "kernels"]),
    ("A turnkey, a key-value pair, keyed", []),
    ("Attention weights of the\nattention", ["Attention weights", "attention"]),
])
def test_an_english_term_is_marked_in_its_plural_too(text, words):
    assert [word for word, _ in found(text, "en")] == words


def test_everyday_words_are_marked_where_they_are_at_home():
    assert found("층마다 점수가 있습니다.", "ko", "02") == [("층", "layer")]
    assert found("층마다 점수가 있습니다.", "ko", "15") == [("점수", "score")]


def test_a_word_of_many_meanings_is_marked_beside_its_sister_only():
    assert found("두 값이 같습니다.", "ko") == found("Two values agree.", "en") == []
    assert found("키와 값입니다.", "ko") == [("키", "key"), ("값", "value")]
    assert ("values", "value") in found("Queries, keys, values.", "en")


def test_the_text_stays_what_it_was():
    text = "쿼리와 키를 곱하고, 쿼리를 다시 봅니다."
    assert "".join(node.astext() for node in pieces(text, "ko", "02", set())) == text


def test_every_form_of_every_term_is_found_as_its_own():
    lost = [(form, lang) for term in load() for lang in ("ko", "en")
            for form in term.forms[lang]
            if [(form[a:b], owner.id) for a, b, owner in mentions(form, lang)]
            != [(form, term.id)]]
    assert lost == []


CHAPTER = r"""
<!-- label: qkv-tracing -->
# Queries

A query $Q$ and the queries, `query`, [a query](#qkv-scale) and **keys**.

<!-- label: qkv-steps -->
## Keys $K$

A query once more.

| query | mask |
|---|---|
| logits | softmax $\sqrt d$ |

<!-- label: qkv-rotary -->
### Masks

The query, below the same heading of the second level, and a mask.

$$ S = \tilde{Q} $$

<!-- label: qkv-scale -->
## Logits

The query again, in $d$ dimensions.

```python
query = 1
```
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A chapter and the glossary, set by Sphinx as the book is."""
    source, out = (tmp_path_factory.mktemp(name) for name in ("source", "out"))
    pages = {
        "index": "# Book\n\nA query.\n\n```{toctree}\n02_x\nglossary\n```\n",
        "02_x": prose(CHAPTER, "en", {}, "02", "02_x"),
        "glossary": fill_markers("# Glossary\n\n<!-- glossary -->\n", "en", {}),
    }
    for name, text in pages.items():
        (source / f"{name}.md").write_text(text, encoding="utf-8")
    with patch_docutils(), docutils_namespace():
        Sphinx(
            srcdir=source, confdir=None, outdir=out, doctreedir=out / "trees",
            buildername="html", status=None, warning=None, confoverrides={
                "extensions": ["myst_parser", "book.extensions.pages",
                               "book.extensions.meanings"],
                "language": "en", "html_theme": "book", "html_title": "Book",
                "myst_enable_extensions": ["dollarmath"], "html_use_index": False,
                "html_copy_source": False, "suppress_warnings": ["*"],
            }).build()
    return out


def marks(page, section):
    """The terms marked in the own text of a section."""
    soup = BeautifulSoup(page.read_text("utf-8"), "html.parser").find(id=section)
    for below in soup.find_all("section"):
        below.decompose()
    return [link.text for link in soup.select("a.term")]


def test_a_term_is_marked_once_a_section_and_in_running_text_only(built):
    page = built / "02_x.html"
    assert marks(page, "qkv-tracing") == ["query", "keys"]
    assert marks(page, "qkv-steps") == ["query"]
    assert marks(page, "qkv-rotary") == ["mask"]
    assert marks(page, "qkv-scale") == ["query"]
    assert 'class="term' not in (built / "index.html").read_text("utf-8")
    assert 'class="term' not in (built / "glossary.html").read_text("utf-8")


def test_symbols_are_marked_in_texts_and_tables_and_not_in_headings(built):
    text = (built / "02_x.html").read_text("utf-8")
    marked = re.findall(r"htmlData\{s=([\w-]+)\}", text)
    assert marked == ["query", "d-model", "logits", "turned-query", "d-head"]
    assert 'content="A query Q and the queries' in text


def test_a_term_leads_to_its_place_in_the_glossary(built):
    soup = BeautifulSoup((built / "glossary.html").read_text("utf-8"), "html.parser")
    ids = {tag["id"] for tag in soup.select("[id]")}
    assert {f"glossary-{term.id}" for term in load()} <= ids


def test_a_card_names_chapter_and_section_and_leads_there(built):
    assert places(built)["qkv-rotary"] == ("02_x.html#qkv-rotary", "02 · Masks")
    made = cards("en", built, lambda formulas: [f"<{tex}>" for tex, _ in formulas])
    assert made["symbols"]["turned-query"] == [
        r"<\tilde{Q}>", "turned queries", made["symbols"]["turned-query"][2],
        "batch, head, query, d_head", "02_x.html#qkv-rotary", "02 · Masks"]
    assert made["symbols"]["mass"][4:] == ["", ""]  # its chapter is not in this site
    assert made["terms"]["query"][:2] == ["query", "쿼리"]
