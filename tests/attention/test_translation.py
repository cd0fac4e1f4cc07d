"""The task of chapters 05 and 06: exact words, two sides that never meet, round trips.

The textbook examples are written out by hand; the laws hold for every value.
"""

import datetime

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from korean_numbers import read_korean

from lib.attention.transformer import Transformer, TransformerConfig
from lib.attention.translation import (
    BOS,
    EOS,
    FIRST_DAY,
    KINDS,
    LAST_DAY,
    MAX_NUMBER,
    PAD,
    SPECIAL,
    UNK,
    batches,
    build_tokenizer,
    collate,
    decode,
    encode,
    english_date,
    exact_match,
    held_out,
    korean_date,
    make_pair,
    sample,
    spell_korean,
    translate,
    unseen,
)

NUMBERS = st.integers(1, MAX_NUMBER)
DAYS = st.dates(FIRST_DAY, LAST_DAY)
STYLES = ("canonical", "short", "british")

# ---- numbers ----------------------------------------------------------------

BY_HAND = {
    1: "일",
    10: "십",
    11: "십일",
    16: "십육",
    20: "이십",
    100: "백",
    101: "백일",
    110: "백십",
    999: "구백구십구",
    1_000: "천",
    1_001: "천일",
    1_111: "천백십일",
    2_026: "이천이십육",
    9_999: "구천구백구십구",
    10_000: "만",
    10_001: "만 일",
    11_000: "만 천",
    12_345: "만 이천삼백사십오",
    20_000: "이만",
    100_000: "십만",
    110_000: "십일만",
    1_000_000: "백만",
    1_010_101: "백일만 백일",
    10_000_000: "천만",
    11_111_111: "천백십일만 천백십일",
    90_000_001: "구천만 일",
    99_999_999: "구천구백구십구만 구천구백구십구",
}


@pytest.mark.parametrize(("number", "words"), BY_HAND.items())
def test_numbers_are_spelled_as_a_korean_writes_them(number, words):
    assert spell_korean(number) == words
    assert read_korean(words) == number


@given(NUMBERS)
def test_reading_undoes_spelling(number):
    assert read_korean(spell_korean(number)) == number


@given(st.integers(1, 9_999), st.integers(1, 9_999))
def test_a_number_is_its_groups_of_ten_thousand_with_a_space_between(high, low):
    group = "" if high == 1 else spell_korean(high)
    words = f"{group}만 {spell_korean(low)}"
    assert spell_korean(high * 10_000 + low) == words


@pytest.mark.parametrize("number", [0, -3, MAX_NUMBER + 1, True])
def test_what_has_no_spelling_is_named_in_one_sentence(number):
    with pytest.raises(ValueError, match=r"cannot be spelled; use .* 1 to 99,999,999"):
        spell_korean(number)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is not a number from 1"),
        ("억", "'억' in '억' is not part of"),
        ("12", "'1' in '12' is not part of"),
        ("둘", "not part of a Sino-Korean number"),
        ("일만", "10,000 is '만'"),
        ("일백", "100 is '백'"),
        ("만이천", "12,000 is '만 이천'"),
        ("만  일", "10,001 is '만 일'"),
        (" 일", "1 is '일'"),
        ("십백", "is '백십'"),
        ("이삼", "3 is '삼'"),
        ("십천만 일", "is not how"),
        ("만만", "is not how"),
        ("구천구백구십구만 구천구백구십구백", "is not"),
    ],
)
def test_what_is_no_number_is_turned_down_with_a_sentence(text, sentence):
    with pytest.raises(ValueError, match=sentence):
        read_korean(text)


@given(st.text("일이삼사오육칠팔구십백천만 ", max_size=12))
def test_reading_accepts_nothing_but_spelled_numbers(text):
    try:
        number = read_korean(text)
    except ValueError:
        return
    assert spell_korean(number) == text


# ---- dates ------------------------------------------------------------------


def test_dates_are_written_as_in_both_languages():
    day = datetime.date(2026, 3, 5)
    assert korean_date(day) == "2026년 3월 5일"
    assert [english_date(day, style) for style in STYLES] == [
        "March 5, 2026", "Mar 5, 2026", "5 March 2026",
    ]


@given(DAYS, st.sampled_from(STYLES))
def test_an_english_date_is_read_back_by_the_standard_library(day, style):
    pattern = {"canonical": "%B %d, %Y", "short": "%b %d, %Y", "british": "%d %B %Y"}
    text = english_date(day, style)
    assert datetime.datetime.strptime(text, pattern[style]).date() == day


def test_an_unknown_style_or_kind_is_named_in_one_sentence():
    day = datetime.date(2026, 3, 5)
    with pytest.raises(ValueError, match="style 'iso' is not known; use one of canon"):
        english_date(day, "iso")
    with pytest.raises(ValueError, match="kind 'time' is not known; use one of date"):
        make_pair("time", 3, korean=True)


# ---- the supply -------------------------------------------------------------


def values_of(pairs):
    """What each pair is about, from its Korean side."""
    return {
        (pair.kind, pair.target if pair.korean else pair.source) for pair in pairs
    }


@pytest.mark.slow
def test_training_and_held_out_pairs_never_share_a_value():
    generator = torch.Generator().manual_seed(0)
    seen = values_of(sample(3000, generator))
    kept = values_of(sample(400, generator, split="held out"))
    kept |= values_of([pair for kind in KINDS for pair in unseen(kind, 400, seed=5)])
    assert not seen & kept


@given(NUMBERS | DAYS)
def test_a_value_is_on_one_side_for_good(value):
    kind = "number" if isinstance(value, int) else "date"
    assert held_out(kind, value) == held_out(kind, value)


@pytest.mark.slow
def test_about_one_value_in_ten_is_held_out():
    days = (LAST_DAY - FIRST_DAY).days + 1
    dates = sum(
        held_out("date", FIRST_DAY + datetime.timedelta(i)) for i in range(days)
    )
    numbers = sum(held_out("number", n) for n in range(1, 50_001))
    # five standard deviations of a fair draw: 0.55% and 0.67%
    assert dates / days == pytest.approx(0.1, abs=0.0056)
    assert numbers / 50_000 == pytest.approx(0.1, abs=0.0068)


def test_the_side_of_a_value_never_changes_between_versions():
    # trained models and published scores depend on it
    assert [n for n in range(1, 60) if held_out("number", n)] == [32, 43]
    january = [datetime.date(1900, 1, day) for day in range(1, 32)]
    assert [day.day for day in january if held_out("date", day)] == [1, 18]


def test_the_same_seed_gives_the_same_pairs_and_another_seed_others():
    first, again, other = (
        sample(50, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4)
    )
    assert first == again != other


def test_all_kinds_directions_spellings_and_lengths_come():
    pairs = sample(3000, torch.Generator().manual_seed(0))
    directions = [pair.direction for pair in pairs]
    assert len(set(directions)) == 4
    for direction in set(directions):
        # a fair quarter of 3000, six standard deviations wide
        assert directions.count(direction) == pytest.approx(750, abs=142)
    english = {p.source for p in pairs if p.kind == "date" and p.korean}
    assert any(text[0].isdigit() for text in english)
    assert any(text.startswith("Sep ") for text in english)
    assert any(text.startswith("September ") for text in english)
    digits = {len(p.source.replace(",", ""))
              for p in pairs if p.kind == "number" and p.korean}
    assert digits == set(range(1, 9))


def test_one_kind_alone_can_be_asked_for():
    pairs = sample(40, torch.Generator().manual_seed(0), kinds=("number",))
    assert {pair.kind for pair in pairs} == {"number"}


def test_an_unknown_split_is_named_in_one_sentence():
    with pytest.raises(ValueError, match="split 'test' is not known; use one of train"):
        sample(1, torch.Generator(), split="test")


@given(NUMBERS | DAYS, st.booleans(), st.sampled_from(STYLES))
def test_each_pair_is_the_right_answer_to_its_source(value, korean, style):
    kind = "number" if isinstance(value, int) else "date"
    pair = make_pair(kind, value, korean, style)
    if kind == "number":
        written = f"{value:,}", spell_korean(value)
    else:
        written = english_date(value, style if korean else "canonical"), \
            korean_date(value)
    assert (pair.source, pair.target) == (written if korean else written[::-1])


def test_unseen_values_come_once_each_in_both_directions():
    for kind in KINDS:
        pairs = unseen(kind, 300)
        assert len(values_of(pairs)) == 300
        assert sum(pair.korean for pair in pairs) == 150
        assert pairs == unseen(kind, 300)


# ---- tokens -----------------------------------------------------------------


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer()


def test_special_tokens_have_the_first_ids(tokenizer):
    assert [tokenizer.token_to_id(token) for token in SPECIAL] == [PAD, BOS, EOS, UNK]
    assert (PAD, BOS, EOS, UNK) == (0, 1, 2, 3)


def test_digits_and_syllables_are_single_and_months_whole(tokenizer):
    assert tokenizer.encode("12,345").tokens[:-1] == list("12,345")
    assert tokenizer.encode("만 이천").tokens[:-1] == list("만 이천")
    for month in range(1, 13):
        day = datetime.date(2026, month, 5)
        assert len(tokenizer.encode(english_date(day)).tokens) == 10
        assert len(tokenizer.encode(english_date(day, "short")).tokens) == 10


@settings(max_examples=200)
@given(value=NUMBERS | DAYS, korean=st.booleans(), style=st.sampled_from(STYLES))
def test_text_comes_back_from_its_tokens_to_the_letter(tokenizer, value, korean, style):
    kind = "number" if isinstance(value, int) else "date"
    pair = make_pair(kind, value, korean, style)
    for text in (pair.source, pair.target):
        ids = encode(tokenizer, [text])
        assert decode(tokenizer, ids) == [text]
        assert tokenizer.decode(ids[0].tolist()) == text


def test_the_vocabulary_size_is_an_upper_bound(tokenizer):
    assert tokenizer.get_vocab_size() < 1000
    small = build_tokenizer(vocab_size=70)
    assert small.get_vocab_size() == 70
    assert decode(small, encode(small, ["September 5, 2026"])) == ["September 5, 2026"]


def test_a_vocabulary_too_small_for_the_characters_is_named_in_one_sentence():
    with pytest.raises(ValueError, match=r"vocab_size 20 .*; use at least 57"):
        build_tokenizer(vocab_size=20)


def test_a_saved_tokenizer_is_the_same_tokenizer(tokenizer, tmp_path):
    file = tmp_path / "tokenizer.json"
    tokenizer.save(str(file))
    again = type(tokenizer).from_file(str(file))
    texts = ["March 5, 2026", "만 이천삼백사십오", "2026년 3월 5일"]
    assert torch.equal(encode(again, texts), encode(tokenizer, texts))
    assert decode(again, encode(again, texts)) == texts


def test_training_the_tokenizer_twice_gives_the_same_file(tokenizer):
    assert build_tokenizer().to_str() == tokenizer.to_str()


def test_an_unknown_character_is_named_in_one_sentence(tokenizer):
    with pytest.raises(ValueError, match="'3월 오일!' holds a character"):
        encode(tokenizer, ["3월 5일", "3월 오일!"])


@pytest.mark.parametrize("text", ["<eos>", "5<pad>", "March 5, 2026<eos>", "<bos>1",
                                  "<unk>", "3월 5일\udcc7"])
def test_control_signs_that_are_typed_are_characters_of_no_date(
    tokenizer, text, tmp_path
):
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    again = type(tokenizer).from_file(str(tmp_path / "tokenizer.json"))
    for chosen in (tokenizer, again):
        with pytest.raises(ValueError, match=r"does not know; write|not in UTF-8"):
            encode(chosen, ["7", text])
        control = [i for i in chosen.encode(text.strip("\udcc7")).ids if i < UNK]
        assert control == [EOS]  # the one at the end


# ---- batches ----------------------------------------------------------------


def test_a_batch_ends_with_eos_begins_with_bos_and_is_padded(tokenizer):
    pairs = [make_pair("number", 7, True), make_pair("number", 12_345, False)]
    batch = collate(pairs, tokenizer)
    assert batch["source"].dtype == batch["target"].dtype == torch.long
    assert batch["source"].tolist()[0][1:] == [EOS] + [PAD] * 8
    assert batch["source"][1, -1] == EOS
    assert batch["target"][:, 0].tolist() == [BOS, BOS]
    assert decode(tokenizer, batch["target"]) == ["칠", "12,345"]


def test_batches_go_on_and_hold_training_pairs_of_similar_length(tokenizer):
    def waste(pool):
        source = batches(tokenizer, 16, torch.Generator().manual_seed(0), pool=pool)
        drawn = [next(source) for _ in range(24)]
        assert all(len(batch["source"]) == 16 for batch in drawn)
        cells = torch.cat([batch["target"].flatten() for batch in drawn])
        return (cells == PAD).float().mean().item()

    assert waste(pool=12) < 0.5 * waste(pool=1)


def test_the_same_seed_gives_the_same_batches(tokenizer):
    first, again = (batches(tokenizer, 8, torch.Generator().manual_seed(1))
                    for _ in range(2))
    for _ in range(20):
        one, other = next(first), next(again)
        assert torch.equal(one["source"], other["source"])
        assert torch.equal(one["target"], other["target"])


# ---- scores -----------------------------------------------------------------


def test_only_answers_right_to_the_letter_count():
    said = ["만", "이만", "삼만 ", "사만"]
    assert exact_match(said, ["만", "이만", "삼만", "오만"]) == 0.5


class Parrot(Transformer):
    """Says its source, and goes on after <eos>."""

    def generate(self, source, max_length=None):
        begin = torch.full((len(source), 1), BOS)
        return torch.cat((begin, source, torch.full_like(begin, 7)), dim=1)


def test_translations_come_in_the_order_of_the_texts(tokenizer):
    texts = ["만 이천", "7", "March 5, 2026", "12,345", "십"]
    config = TransformerConfig(vocab=tokenizer.get_vocab_size(), d_model=8, n_heads=2)
    assert translate(Parrot(config), tokenizer, texts, batch=2) == texts


def test_a_model_is_asked_for_nothing_it_has_no_room_for(tokenizer):
    config = TransformerConfig(vocab=tokenizer.get_vocab_size(), d_model=8, n_heads=2,
                               n_layers=1, max_length=6)
    with pytest.raises(ValueError, match="a sequence of 10 tokens came"):
        translate(Transformer(config), tokenizer, ["March 5, 2026"])


@pytest.mark.parametrize(("said", "answers"), [([], []), (["만"], ["만", "이만"])])
def test_a_score_wants_one_prediction_an_answer(said, answers):
    with pytest.raises(ValueError, match="give one prediction for each"):
        exact_match(said, answers)
