"""The terms of the book: the data, the page and the check of the prose."""

import re
from pathlib import Path

import pytest

from book import glossary
from book.pairs import Source, read_notebook
from book.parity import read_book
from book.prose import blocks

ROOT = Path(__file__).parents[2]


def chapter(ko: str, en: str = "Text.") -> Source:
    cells = ""
    for lang, text in (("ko", ko), ("en", en)):
        lines = "".join(f"# {line}".rstrip() + "\n" for line in text.split("\n"))
        cells += f'# %% [markdown] tags=["lang-{lang}"]\n{lines}'
    return read_notebook(cells, "notebooks/50_x.py")


def said(ko: str, en: str = "Text.") -> list[str]:
    return [str(p) for p in glossary.check_source(chapter(ko, en))]


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "glossary.toml"
    path.write_text(text, encoding="utf-8")
    return path


# ------------------------------------------------------------------ the data


def test_the_three_parts_have_their_terms():
    terms = glossary.load()
    assert len(terms) >= 45
    ids = {term.id for term in terms}
    assert {"attention", "query", "key", "value", "logit", "softmax", "mask"} <= ids
    assert {"mass", "coordinates", "kernel", "repulsion", "cutoff"} <= ids
    assert {"token", "tokenizer", "merge", "unigram", "viterbi", "distillation"} <= ids


def test_each_definition_is_one_line_in_its_own_language():
    for term in glossary.load():
        korean, english = term.definitions["ko"], term.definitions["en"]
        assert "\n" not in korean + english
        assert korean.endswith("니다.") and english.endswith("."), term.id
        assert re.search("[가-힣]", korean) and not re.search("[가-힣]", english)


def test_definitions_use_no_other_spelling():
    used = [
        (term.id, word)
        for term in glossary.load()
        for lang in ("ko", "en")
        for word, _ in glossary.variants(term.definitions[lang], lang)
    ]
    assert used == []


def test_no_other_spelling_is_part_of_a_term():
    terms = glossary.load()
    assert [
        (form, word)
        for lang in ("ko", "en")
        for term in terms
        for form in term.forms[lang]
        for word, _ in glossary.variants(form, lang)
    ] == []


def test_no_spelling_stands_for_two_terms():
    owners: dict[str, set[str]] = {}
    for term in glossary.load():
        for word in term.spellings():
            squeezed = re.sub(r"[\W_]", "", word.casefold()) or word
            owners.setdefault(squeezed, set()).add(term.id)
    assert {word: ids for word, ids in owners.items() if len(ids) > 1} == {}


def test_every_term_is_explained_in_sections_of_the_book():
    sources = [*ROOT.glob("notebooks/*.py"), *ROOT.glob("book/*.md")]
    known = {label for path in sources for label in re.findall(
        r"<!-- label: ([\w-]+) -->", path.read_text("utf-8"))}
    for term in glossary.load():
        assert term.sections and set(term.sections) <= known, term.id


GOOD = (
    '[[term]]\nid = "a"\nko = "가"\nen = "a"\n'
    'definition.ko = "x"\ndefinition.en = "y"\n'
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD.replace('ko = "가"\n', "", 1), "'a' needs id, ko, en"),
        (GOOD + GOOD, "belongs to 'a' and to 'a'"),
        (GOOD + GOOD.replace('"a"', '"b"').replace("가", "나") + 'other.ko = ["가"]\n',
         "'b' has '가', which is a form of 'a'"),
        (GOOD + 'colour = "red"\n', "unknown \\['colour'\\]"),
        (GOOD + 'marked = "red"\n', "is marked 'red'"),
        ("[[term]\n", "cannot be read"),
    ],
)
def test_a_wrong_glossary_names_the_term(tmp_path: Path, text: str, said: str):
    with pytest.raises(glossary.GlossaryError, match=said):
        glossary.load(write(tmp_path, text))


# ------------------------------------------------------------------ the page


@pytest.mark.parametrize("lang", ["ko", "en"])
def test_the_page_holds_every_term_in_the_order_of_its_language(lang: str):
    page = blocks(glossary.glossary_markdown(lang))
    headings = [block for block in page.blocks if block.level]
    assert {block.label for block in headings} == glossary.labels()
    names = [block.plain.partition(" (")[0].casefold() for block in headings]
    assert names == sorted(names) and len(names) == len(glossary.load())


def test_both_editions_of_the_page_have_the_same_labels():
    editions = (glossary.glossary_markdown(lang) for lang in ("ko", "en"))
    korean, english = (set(re.findall(r"label: (\S+)", page)) for page in editions)
    assert korean == english


def test_the_page_shows_other_spellings_and_where_a_term_is_explained():
    for lang, says in (("ko", "다른 표기: 레이어"), ("en", "Other spellings: ")):
        page = glossary.glossary_markdown(lang)
        assert says in page and "[](#qkv-mask)" in page


def test_chapters_that_exist_are_links(tmp_path: Path):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "02_qkv.py").write_text("", encoding="utf-8")
    page = glossary.glossary_markdown("en", tmp_path)
    assert "[02](02_qkv.ipynb)" in page and "[09](" not in page


def test_an_unknown_language_is_refused():
    with pytest.raises(glossary.GlossaryError, match="use one of ko, en"):
        glossary.glossary_markdown("fr")


# ----------------------------------------------------------------- the check


@pytest.mark.parametrize(
    ("ko", "variant", "wanted"),
    [
        ("자기 주의를 봅니다.", "자기 주의", "셀프 어텐션"),
        ("질의와 키(key)를 곱합니다.", "질의", "쿼리"),
        ("토큰화기에서 나옵니다.", "토큰화기", "토크나이저"),
        ("레이어마다 다릅니다.", "레이어", "층"),
        ("**파라미터**가 많습니다.", "파라미터", "매개변수"),
    ],
)
def test_another_korean_spelling_is_named_with_its_term(ko, variant, wanted):
    message = f"{variant!r} is not a term of this book; write {wanted!r}"
    assert any(message in line for line in said(ko))


@pytest.mark.parametrize(
    ("en", "variant"),
    [("A Tokeniser cuts.", "Tokeniser"), ("Two self attentions.", "self attention"),
     ("The heat\nmap is bright.", "heat map")],
)
def test_another_english_spelling_is_named(en: str, variant: str):
    assert any(f"{variant!r} is not a term" in line for line in said("글.", en))


@pytest.mark.parametrize(
    "ko",
    ["질의응답을 봅니다.", "`레이어`라는 이름입니다.", "주의할 점이 있습니다.",
     "키가 아니라 키우는 일입니다(key)."],
)
def test_other_words_are_no_variant(ko: str):
    assert [line for line in said(ko) if "is not a term" in line] == []


@pytest.mark.parametrize(
    "ko",
    [
        "쿼리(query)는 봅니다. 쿼리를 봅니다.",
        "**쿼리**(query)는 봅니다.",
        "쿼리(Query, $q$)와 만납니다.",
        "쿼리·키·값(query, key, value)입니다.",
        "쿼리 벡터(query vector)입니다.",
        "어휘(vocabulary)와 어휘(vocabularies)입니다.",
        "<!-- label: x -->\n# 쿼리(query)와 만나기\n\n쿼리는 봅니다.",
        "<!-- label: x -->\n# 쿼리와 만나기\n\n쿼리(query)는 봅니다.",
        "셀프 어텐션(self-attention)입니다.",
        "`쿼리`와 $쿼리$입니다.",
        "토키와 키우기와 열쇠입니다.",
        "값이 큽니다.",
    ],
)
def test_a_first_use_with_its_english_passes(ko: str):
    assert said(ko) == []


@pytest.mark.parametrize(
    ("ko", "term"),
    [
        ("쿼리는 봅니다. 쿼리(query)입니다.", "쿼리(query)"),
        ("첫째입니다.\n\n키를 봅니다.", "키(key)"),
        ("소프트맥스에서는 다릅니다.", "소프트맥스(softmax)"),
        ("셀프 어텐션(self-attention)과 어텐션입니다.", "어텐션(attention)"),
        ("<!-- label: x -->\n# 쿼리와 만나기\n\n쿼리는 봅니다.", "쿼리(query)"),
        ("쿼리(key)입니다.", "쿼리(query)"),
    ],
)
def test_a_first_use_without_its_english_is_named_once(ko: str, term: str):
    found = [line for line in said(ko) if line.endswith(f"write {term}")]
    assert len(found) == 1


def test_the_line_of_a_finding_is_the_line_of_its_paragraph():
    line = said("첫째입니다.\n\n키를 봅니다.")[0]
    assert line.startswith("notebooks/50_x.py:4 [top+1] first use of 키")


@pytest.mark.slow
def test_the_book_keeps_to_its_glossary():
    found = [p for source in read_book(ROOT) for p in glossary.check_source(source)]
    assert found == [], "\n".join(map(str, found))
