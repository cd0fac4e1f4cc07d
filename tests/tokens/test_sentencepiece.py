"""SentencePiece BPE: units that no merge crosses, sound rules, the same ids."""

import random
import re
from itertools import islice, pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
)

from benchmarks.soundness import off, strings, with_merges
from lib import data
from lib.data.tokenizer_files import load_tokenizer
from lib.tokens.bytelevel import merging
from lib.tokens.distill import distill, unigram_tokenizer
from lib.tokens.mending import mend
from lib.tokens.readings import reading_of
from lib.tokens.sentencepiece import (
    BLANK,
    BYTES,
    SentencePiece,
    falls_back,
    units_pattern,
)
from lib.tokens.sound_cuts import Rule, breaks, with_rules
from lib.tokens.teachers import reasons
from tests.real_data import real
from tests.tokens.test_teachers import TEXTS, bpe

MERGES = (("a", "b"), ("▁", "a"), ("▁", "▁"), ("b", "가"), ("▁a", "b"), ("ab", "가"),
          (".", "."), ("1", "."), (">", "▁"), (">▁", "a"), ("a", "a"), ("▁", "aa"))


def characters(letters: str = "ab가1.>▁", merges=MERGES, more=(), **model) -> Tokenizer:
    """A BPE of characters that falls back to bytes; more: words of the vocabulary."""
    vocab = {name: n for n, name in enumerate(("<unk>", *BYTES, *letters))}
    for word in (*map("".join, merges), *more):
        vocab.setdefault(word, len(vocab))
    plain = {"unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True}
    teacher = Tokenizer(models.BPE(vocab, list(merges), **(plain | model)))
    teacher.normalizer = normalizers.Sequence([
        normalizers.Prepend(BLANK), normalizers.Replace(" ", BLANK)])
    teacher.decoder = decoders.Sequence([
        decoders.Replace(BLANK, " "), decoders.ByteFallback(), decoders.Fuse(),
        decoders.Strip(" ", 1, 0)])
    teacher.add_special_tokens([AddedToken("<unk>", special=True, normalized=False)])
    return teacher


def drawn(seed: int, whole: bool = False) -> Tokenizer:
    """A small one by chance: several merges of a piece, pieces that nothing makes."""
    draw = random.Random(f"{seed} {whole}")
    letters = "a가▁1"
    merges: list[tuple[str, str]] = []
    while len(merges) < 12:
        left, right = draw.choices([*letters, *[a + b for a, b in merges]], k=2)
        if len(left + right) <= 4 and (left, right) not in merges:
            merges.append((left, right))
    more = ["".join(draw.choices(letters, k=draw.randint(3, 4)))
            for _ in range(4 * whole)]
    teacher = characters(letters, merges, more, ignore_merges=whole)
    teacher.pre_tokenizer = pre_tokenizers.Split("1", "merged_with_previous")
    return teacher


def texts(letters: str, longest: int) -> list[str]:
    return ["".join(text) for n in range(longest + 1)
            for text in product(letters, repeat=n)]


@pytest.mark.parametrize("seed", range(10))
def test_no_unit_ends_where_a_bpe_merges(seed):
    """Exhaustive: every text of up to six characters, one of them without a piece."""
    reading = SentencePiece(drawn(seed))
    units = re.compile(reading.pattern)
    every = texts("a가▁1é", 5) + texts("a▁1", 7)
    cut = [units.findall(text) for text in every]
    assert all("".join(some) == text for text, some in zip(every, cut, strict=True))
    known = sorted({unit for some in cut for unit in some})
    ids = dict(zip(known, (one.ids for one in reading.core.encode_batch_fast(known)),
                   strict=True))
    for some, whole in zip(cut, reading.core.encode_batch_fast(every), strict=True):
        assert [index for unit in some for index in ids[unit]] == whole.ids, some


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_neighbours_and_sound_rules_are_those_of_all_words(seed, whole):
    """Exhaustive: all pairs of pieces, and for all beginnings all words that follow."""
    reading = SentencePiece(drawn(seed, whole))
    neighbours, merged = reading.neighbours(), merging(reading.teacher)
    alone = Tokenizer(merged.model)
    names = [name for name in reading.names if name not in (*BYTES, "<unk>")]
    for a, b in product(names, names):
        ids = [reading.names[a], reading.names[b]]
        assert neighbours.valid(*ids) == (alone.encode(a + b).ids == ids), (a, b)
    rests = texts("a가▁1", 3)
    for p, q in product(texts("a가▁1", 2)[1:], repeat=2):
        cuts = [[len(token) for token in encoding.tokens] for encoding in
                reading.core.encode_batch([p + q + rest for rest in rests])]
        everywhere = all(len(p) in np.cumsum(lengths) for lengths in cuts)
        # rests of three characters are all that a piece of four can reach over
        assert neighbours.sound(p.encode(), q.encode()) == everywhere, (p, q)


@pytest.mark.slow
@given(st.lists(st.text("ab가1.> ▁é", max_size=14), min_size=1, max_size=6),
       st.lists(st.text("ab가1.> ▁é<0x4>", max_size=14), max_size=6), st.integers(0, 9))
@settings(max_examples=30, deadline=None)
def test_rules_mend_the_training_texts_and_harm_no_other(learned, others, seed):
    teacher = characters()
    reading = SentencePiece(teacher)
    scores = np.random.default_rng(seed).integers(-9, -2, len(reading.pieces)) / 2
    student = reading.student(scores)
    plain = unigram_tokenizer(teacher, scores)
    rules, left = mend(reading.core, student,
                       [word.decode() for word in reading.count(learned)], reading)
    exact = reading.tokenizer(with_rules(student, rules))
    assert not left
    for text in learned:
        assert exact.encode(text).ids == teacher.encode(text).ids
    for text in others:  # where scores were right, rules leave them right
        if plain.encode(text).ids == teacher.encode(text).ids:
            assert exact.encode(text).ids == teacher.encode(text).ids


def metaspace(split: bool) -> Tokenizer:
    teacher = characters()
    teacher.normalizer = None
    teacher.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first",
                                                     split=split)
    return teacher


def blanks_only() -> Tokenizer:
    """As Gemma's: a Split on blanks that the normalizer has taken away before."""
    teacher = characters()
    teacher.normalizer = normalizers.Replace(" ", BLANK)
    teacher.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    teacher.decoder = decoders.Sequence([
        decoders.Replace(BLANK, " "), decoders.ByteFallback(), decoders.Fuse()])
    teacher.add_tokens([AddedToken("..", normalized=False), AddedToken("<b>")])
    return teacher


def cut_by_digits() -> Tokenizer:
    teacher = characters(more=("가가",), ignore_merges=True)
    teacher.pre_tokenizer = pre_tokenizers.Split(Regex("1|[^1]+"), "isolated")
    return teacher


LEARNED = ["ab가 ab가 aab 1.1. >aa > a ab", "a  aa   b가가", "..a..<b>aa", "é☃ab<0x41>",
           "b가b가 가b가", "aaaa", "> > ab", "가가", ""]


@pytest.mark.parametrize("teacher", [
    characters(), metaspace(True), metaspace(False), blanks_only(), cut_by_digits(),
    characters(unk_token=None), characters(more=("b.a", "가1", "a가1")),
], ids=["llama", "words", "text", "gemma", "whole", "no unk", "never made"])
def test_what_was_learned_has_the_ids_of_the_teacher_whatever_cuts_its_words(teacher):
    assert falls_back(teacher) and not list(reasons(teacher))
    made = distill(teacher, LEARNED, passes=12, made_items=5, bar=False)
    assert made.report["unmended"] == 0
    for text in LEARNED:
        gold = teacher.encode(text)
        ours = made.tokenizer.encode(text)
        assert (ours.ids, ours.tokens) == (gold.ids, gold.tokens), text
        assert made.tokenizer.decode(gold.ids) == teacher.decode(gold.ids)
    assert made.tokenizer.get_vocab() == teacher.get_vocab()
    again = Tokenizer.from_str(made.tokenizer.to_str())
    assert again.encode(LEARNED[0]).ids == teacher.encode(LEARNED[0]).ids


def test_a_piece_across_the_blank_joins_units_and_only_where_it_fits(monkeypatch):
    merges = (("▁", "a"), (">", "▁a"), ("1", "."), ("▁", "▁"), (".", "."))
    pieces = SentencePiece(characters(merges=merges)).texts
    units = re.compile(units_pattern(pieces)).findall
    assert units("b>▁a.▁b>▁b") == ["b", ">▁a", ".", "▁b", ">", "▁b"]
    assert units("1..▁▁é1") == ["1..", "▁▁", "é", "1"]
    monkeypatch.setattr("lib.tokens.sentencepiece._SPARSE", 1)  # too many to be named
    units = re.compile(units_pattern(pieces)).findall
    assert units("b>▁a.▁b>▁b") == ["b", ">▁a", ".", "▁b", ">▁b"]
    assert units("b>▁▁é") == ["b", ">▁▁", "é"]


@pytest.mark.parametrize("seed", range(10))
def test_pieces_too_many_to_be_named_join_more_units_and_none_less(seed, monkeypatch):
    reading = SentencePiece(drawn(seed))
    fine = re.compile(reading.pattern)
    monkeypatch.setattr("lib.tokens.sentencepiece._SPARSE", 0)
    coarse = re.compile(units_pattern(reading.texts))
    for text in texts("a가▁1é", 5):
        places = [{match.end() for match in units.finditer(text)}
                  for units in (fine, coarse)]
        assert places[1] <= places[0] and len(text) in {0, *places[1]}


def test_words_are_counted_between_added_tokens_and_behind_the_normalizer():
    counts = SentencePiece(blanks_only()).count(["a..b <b>a b", "é가"])
    assert counts == {b"a": 2, b"b": 1, BLANK.encode(): 1, "▁b".encode(): 1,
                      "가".encode(): 1}
    llama = SentencePiece(characters()).count(["a a", "b<unk>b"])
    assert llama == {"▁a".encode(): 2, "▁b".encode(): 2}


def test_rules_of_words_stand_behind_all_other_stages():
    teacher = metaspace(True)
    reading = SentencePiece(teacher)
    student = with_rules(reading.student(-np.ones(len(reading.pieces))),
                         [Rule("b", "가", whole=True)])
    whole = reading.tokenizer(student)
    cut = whole.pre_tokenizer.pre_tokenize_str("b가 b가1")
    assert [part for part, _ in cut] == ["▁b가", "▁b가", "1"]
    assert [part for part, _ in whole.pre_tokenizer.pre_tokenize_str("1b가")] == [
        "▁1", "b", "가"]
    assert reading.of_words(whole).to_str() == student.to_str()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["llama2", "gemma3"])
def test_a_tokenizer_that_people_have_gives_the_same_ids_for_what_it_learned(name):
    """Real files: no pre-tokenizer, an added token that merges make as well, a piece
    with a blank in its middle, twenty merges of one piece."""
    teacher = load_tokenizer(real(data.path, f"tokenizer_{name}"))
    assert not list(reasons(teacher, keeps=True))
    learned = [*TEXTS.values(), *real(data.text, "tinyshakespeare")[:20_000].split(
        "\n\n"), real(data.text, "korean")[:4_000],
               "a  b   c\n\n\nd\t\t<b>x</b> <a> </a>",
               "\U00041000 ☃ <0x41> <unk> ▁ <0xE2>"]
    made = distill(teacher, learned, passes=6, made_items=20, new_words=500,
                   bar=False)
    assert made.report["unmended"] == 0
    assert made.tokenizer.get_vocab() == teacher.get_vocab()
    for text in learned:
        ids = teacher.encode(text, add_special_tokens=False).ids
        assert made.tokenizer.encode(text, add_special_tokens=False).ids == ids
        assert made.tokenizer.decode(ids) == teacher.decode(ids)


def test_bytes_are_a_units_own_business():
    """Neither merged nor looked for: `breaks` never falls into one."""
    reading = SentencePiece(characters())
    assert all(b"\xc3" not in word for word in reading.count(["é aé é"]))
    assert all(breaks(word.decode(), [len(word)]) == []
               for word in reading.count(["é ab가"]))
    for left, right in pairwise(["a", "é", "b"]):
        ids = reading.core.encode(left + right).ids
        assert ids == reading.core.encode(left).ids + reading.core.encode(right).ids


@pytest.mark.parametrize("teacher", [characters(), blanks_only(), bpe()],
                         ids=["llama", "gemma", "bytes"])
def test_no_string_made_to_break_rules_is_cut_within_a_token(teacher):
    made = distill(teacher, [*LEARNED, "abc ab= == =a", "a==b cab"], passes=2,
                   made_items=5, bar=False)
    reading, some = reading_of(teacher), strings(
        made.rules, [piece.decode() for piece in reading_of(teacher).pieces
                     if piece.isascii() and piece], 1)
    cutting = with_merges(teacher, made.tokenizer)
    texts = [*(text.replace(BLANK, " ") for text in islice(some, 1500)), *LEARNED]
    for text in texts:
        assert cutting.encode(text).ids == teacher.encode(text).ids, text
        assert not off(reading, cutting, text)
    student = reading.student(-np.ones(len(reading.pieces)))
    unsound = with_rules(student, [Rule("a", "b")])
    cutting = with_merges(teacher, reading.tokenizer(unsound))
    assert off(reading, cutting, "1ab1" if teacher.normalizer else "ab")
