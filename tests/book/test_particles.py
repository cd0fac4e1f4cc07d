"""After a placeholder the particle follows the value, and nobody types its form."""

import re

import pytest

from book.files import ROOT
from book.places import MARKED, NOT_THERE, PLACEHOLDER, fill_places
from lib.page.particles import MARK

# what may stand between a value and its particle: signs, and words in parentheses
BETWEEN = r"(?: ?\((?!으\)|이\))[^()\n]*\))?[*_`$\"'”’]*"
TYPED = re.compile(
    PLACEHOLDER.pattern + BETWEEN + r"(?P<particle>"
    r"이|가|은|는|을|를|[와과](?:는|도|의)?|으?로(?:는|도|만|의|써|서|부터)?"
    r"|이?(?:나|란|든|든지|랑|라도|야)|고|며|던|니|므로|지만|면|인가|라[고는면서]?"
    r"|였[가-힣]*|이었[가-힣]*|여서|이어서|이여|예요|에요|가\(이\)|는\(은\)|를\(을\)"
    r"|와\(과\))(?![가-힣(])"
)
INVARIANT = {"인가"}  # 3인가, 2인가: after every value alike
SOURCES = sorted([*ROOT.glob("notebooks/*.py"), *ROOT.glob("book/*.md")])
SAMPLES = ("0.121", "0.125", "3", "10", "96 %", "1.2e-07", "L16H1")


def lines(path):
    return path.read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_no_form_of_a_particle_is_typed_after_a_placeholder(path):
    typed = [f"{path.name}:{number}: {found[0]}"
             for number, line in enumerate(lines(path), 1)
             for found in TYPED.finditer(line)
             if found["particle"] not in INVARIANT]
    assert not typed, "write 이(가), 은(는), 을(를), 과(와), (으)로, (이)었, (이)나 …"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_no_particle_is_left_in_both_forms_once_the_places_are_filled(path):
    for sample in SAMPLES:
        shown = [fill_places(line, lambda *_, said=sample: said)
                 for line in lines(path)]
        assert not [line for line in shown if re.search(MARK, line)]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_a_place_without_a_result_keeps_both_forms(path):
    for line in lines(path):
        marks = [found[4] for found in MARKED.finditer(line)]
        assert re.findall(MARK, fill_places(line, lambda *_: NOT_THERE)) == marks


def test_the_lint_knows_a_typed_particle_from_a_word():
    typed = ["⟨a⟩가 ", "⟨a⟩였습니다", "**⟨a⟩**를", "⟨a⟩(⟨b⟩)로 ", "$⟨a⟩$와,", "⟨a⟩로는"]
    words = ["⟨a⟩가지", "⟨a⟩이고", "⟨a⟩입니다", "말(⟨a⟩)이", "⟨a⟩에",
             "⟨a⟩이(가)", "⟨a⟩(으)로 ", "⟨a⟩(⟨b⟩)(으)로", "⟨a⟩(이)었습니다"]
    assert all(map(TYPED.search, typed))
    assert not any(map(TYPED.search, words))


@pytest.mark.parametrize(("text", "value", "filled"), [
    ("⟨a⟩이(가) 남고", "0.121", "0.121이 남고"),
    ("⟨02.a⟩(이)었습니다", "0.125", "0.125였습니다"),
    ("**⟨a⟩**을(를)", "96 %", "**96 %**를"),
    ("$n = ⟨a⟩$(으)로", "3", "$n = 3$으로"),
    ("`⟨a⟩`은(는)", "L0H1", "`L0H1`은"),
    ("⟨a⟩(⟨b⟩)과(와)", "2", "2(2)와"),
    ("⟨a⟩(으)로, ⟨a⟩(⟨a⟩)(으)로", "3", "3으로, 3(3)으로"),
    ("⟨a⟩이(가)", "–", "–이(가)"),
])
def test_a_particle_follows_the_value_through_signs_and_parentheses(text, value,
                                                                    filled):
    assert fill_places(text, lambda *_: value) == filled
