"""Sound cuts: the theorem of neighbours, rules that never harm, words made right."""

import random
import string
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

from lib import data
from lib.data.mixture import made
from lib.tokens import mending, readings
from lib.tokens.augmentation import recombined
from lib.tokens.bytelevel import (
    count_words,
    dropped_bytes,
    merge_ranks,
    merge_table,
    merging,
    piece_bytes,
    to_bytes,
    to_chars,
)
from lib.tokens.certificates import Demand, all_cuts, certificates, total
from lib.tokens.distill import bpe_cuts, distill, unigram_tokenizer, whole_pieces
from lib.tokens.fidelity import compare, differing, share_wrong
from lib.tokens.lattice import build_lattices, build_trie, rival_paths, wrong_words
from lib.tokens.mending import foreseen, mend
from lib.tokens.neighbours import Neighbours
from lib.tokens.sound_cuts import (
    Rule,
    breaks,
    rule_for,
    rules_pattern,
    with_rules,
)
from lib.tokens.word_patterns import kind_of
from tests.real_data import real

MERGES = ("a+a", "b+a", "aa+b", "c+b", "ba+aa", "Ġ+a", "aa+aa", "b+c", "Ġa+b", "'+'",
          ".+'")


@cache
def toy(missing: bytes = b"") -> Tokenizer:
    """A byte-level BPE with few merges, in which words over a, b, c often conflict."""
    vocab: dict[str, int] = {}
    for byte in range(256):
        if byte not in missing:
            vocab[to_chars(bytes([byte]))] = len(vocab)
    pairs = [tuple(merge.split("+")) for merge in MERGES]
    for left, right in pairs:
        vocab[left + right] = len(vocab)
    teacher = Tokenizer(models.BPE(vocab, pairs))
    teacher.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    teacher.decoder = decoders.ByteLevel()
    return teacher


@cache
def pieces() -> list[bytes]:
    return piece_bytes(toy())


@cache
def neighbours() -> Neighbours:
    return Neighbours(pieces(), merge_table(toy()))


def cut(word: bytes) -> tuple[bytes, ...]:
    return tuple(pieces()[index] for index in bpe_cuts(toy(), [word])[0])


USED = [97, 98, 99, *range(256, 256 + len(MERGES))]  # a, b, c and what is merged
words_abc = st.text("abc", min_size=1, max_size=9).map(str.encode)


def test_two_tokens_are_neighbours_if_bpe_cuts_their_bytes_into_them():
    names = [toy().id_to_token(index) for index in range(256 + len(MERGES))]
    pair = [(a, b) for a in USED for b in USED]
    cuts = bpe_cuts(toy(), [to_bytes(names[a] + names[b]) for a, b in pair])
    assert [neighbours().valid(a, b) for a, b in pair] == [
        ids == [a, b] for (a, b), ids in zip(pair, cuts, strict=True)]


@pytest.mark.slow
@given(words_abc)
@settings(max_examples=80, deadline=None)
def test_of_all_cuts_only_that_of_bpe_has_all_its_neighbours_right(word):
    ids = {piece: index for index, piece in enumerate(pieces())}
    made = {piece for piece in pieces() if piece and cut(piece) == (piece,)}
    right = [path for path in all_cuts(word, made) if all(
        neighbours().valid(ids[a], ids[b]) for a, b in pairwise(path))]
    assert right == [cut(word)]


RESTS = ["".join(rest).encode() for n in range(5) for rest in product("abc", repeat=n)]


@given(st.text("abc", min_size=1, max_size=4), st.text("abc", min_size=1, max_size=3))
@settings(max_examples=60, deadline=None)
def test_a_rule_is_sound_just_when_bpe_cuts_every_word_with_that_beginning_there(p, q):
    place, beginning = len(p), (p + q).encode()
    # no token is longer than four bytes: longer words add nothing
    paths = bpe_cuts(toy(), [beginning + rest for rest in RESTS])
    everywhere = all(place in np.cumsum([len(pieces()[index]) for index in path])
                     for path in paths)
    assert neighbours().sound(p.encode(), q.encode()) == everywhere


@dataclass
class Drawn:
    """A small BPE drawn by chance: several merges may make one piece."""

    teacher: Tokenizer
    pieces: list[bytes]
    known: Neighbours

    @classmethod
    def of(cls, seed: int, whole: bool) -> "Drawn":
        draw = random.Random(f"{seed} {whole}")
        vocab = {to_chars(bytes([byte])): byte for byte in range(256)}
        merges: list[tuple[str, str]] = []
        while len(merges) < 14:
            left, right = draw.choices([*"abc", *[a + b for a, b in merges]], k=2)
            if len(left + right) > 4 or (left, right) in merges:
                continue
            merges.append((left, right))
            vocab.setdefault(left + right, len(vocab))
        if whole:
            for _ in range(4):
                vocab.setdefault("".join(draw.choices("abc", k=4)), len(vocab))
        teacher = Tokenizer(models.BPE(vocab, merges, ignore_merges=whole))
        teacher.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        pieces = piece_bytes(teacher)
        return cls(teacher, pieces, Neighbours(pieces, merge_table(teacher), whole))


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_of_any_merges_neighbours_and_sound_rules_are_those_of_all_words(seed, whole):
    """Exhaustive: all pairs, and for all beginnings all words that may follow."""
    drawn = Drawn.of(seed, whole)
    used = [97, 98, 99, *range(256, len(drawn.pieces))]
    merged = merging(drawn.teacher)
    for a in used:
        for b in used:
            ids = merged.encode(to_chars(drawn.pieces[a] + drawn.pieces[b])).ids
            assert drawn.known.valid(a, b) == (ids == [a, b])
    for p, q in product(RESTS[1:13], RESTS[1:13]):
        cuts = bpe_cuts(drawn.teacher, [p + q + rest for rest in RESTS])
        everywhere = all(len(p) in np.cumsum([len(drawn.pieces[n]) for n in ids])
                         for ids in cuts)
        assert drawn.known.sound(p, q) == everywhere, (p, q)


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_all_at_once_the_contexts_are_the_shortest_that_are_sound(seed, whole):
    known, draw = Drawn.of(seed, whole).known, random.Random(seed)
    texts = ["".join(draw.choices("abc가é", k=draw.randint(2, 9))) for _ in range(900)]
    places = [draw.randrange(1, len(text)) for text in texts]
    at = [len(text[:n].encode()) for text, n in zip(texts, places, strict=True)]
    wanted = [next((len(text[:end].encode()) for end in range(n + 1, len(text) + 1)
                    if known.sound(text[:n].encode(), text[n:end].encode())), 0)
              for text, n in zip(texts, places, strict=True)]
    got = known.contexts([text.encode() for text in texts], at)
    assert got.tolist() == wanted and 0 < sum(end > 0 for end in wanted) < len(texts)


@pytest.mark.parametrize("seed", range(12))
def test_no_rule_breaks_a_word_that_stays_whole(seed):
    """What is left of a word may be a piece that merges do not make; alone it stays."""
    drawn = Drawn.of(seed, True)
    merged, held = merging(drawn.teacher), 0
    for piece in drawn.pieces[256:]:
        path = merged.encode(to_chars(piece)).ids
        for place in breaks(piece.decode(), [len(drawn.pieces[n]) for n in path]):
            rule = rule_for(piece.decode(), place, drawn.known)
            assert rule is None
            held += 1
    assert held


@pytest.mark.slow
@given(st.lists(st.text("abc '.가", min_size=1, max_size=12), min_size=1, max_size=6),
       st.lists(st.text("abc '.가", min_size=1, max_size=12), max_size=6),
       st.integers(0, 9))
@settings(max_examples=40, deadline=None)
def test_rules_mend_the_training_words_and_harm_no_other(texts, others, seed):
    scores = np.random.default_rng(seed).integers(-9, -2, len(pieces())) / 2
    student = unigram_tokenizer(toy(), whole_pieces(pieces(), scores))
    words = count_words(toy(), texts)
    bad = differing(toy(), student, words)
    rules, left = mend(toy(), student, [word.decode() for word in bad])
    exact = with_rules(student, rules)
    lost = {word.encode() for word in left}
    assert differing(toy(), exact, words) == lost
    if not left:
        for text in texts:
            assert exact.encode(text).ids == toy().encode(text).ids
    for text in others:  # where scores were right, rules leave them right
        if student.encode(text).ids == toy().encode(text).ids:
            assert exact.encode(text).ids == toy().encode(text).ids


def long_word(size: int) -> str:
    return "".join(random.Random(size).choices("abc", k=size))


def wrong_student() -> Tokenizer:
    scores = np.random.default_rng(3).integers(-9, -2, len(pieces())) / 2
    return unigram_tokenizer(toy(), whole_pieces(pieces(), scores))


@pytest.mark.slow
def test_words_of_thousands_of_letters_are_mended_with_work_that_grows_as_they_do(
        monkeypatch):
    work = Counter()

    class Counted(mending._Mender):
        def cuts(self, texts):
            work[size] += sum(map(len, texts))
            return super().cuts(texts)

    class Heard(Neighbours):
        def sound(self, prefix, context):
            work[size] += len(prefix + context)
            return super().sound(prefix, context)

    monkeypatch.setattr(mending, "_Mender", Counted)
    monkeypatch.setattr(readings, "Neighbours", Heard)
    for size in (1000, 16_000):
        word, student = long_word(size), wrong_student()
        rules, left = mend(toy(), student, [word])
        assert rules and not left
        ids = with_rules(student, rules).encode(word).ids
        assert ids == toy().encode(word).ids != student.encode(word).ids
    # the square would be 256 times as much; halving adds a logarithm
    assert work[16_000] < 2 * 16 * work[1000]


def test_long_words_that_take_more_rules_than_there_is_room_for_are_told(monkeypatch):
    monkeypatch.setattr(mending, "_ROOM", 2000)
    student, words = wrong_student(), [long_word(6000), long_word(513), "cab" * 3]
    rules, left = mend(toy(), student, words)
    exact = with_rules(student, rules)
    wrong = [w for w in words if exact.encode(w).ids != toy().encode(w).ids]
    assert wrong == left == words[:1]
    assert sum(len(rule.prefix + rule.context) for rule in rules) < 2000 + 81


@pytest.mark.slow
@given(st.text(max_size=40) | st.text("ab '!s t\n\t 가1٣", max_size=20))
@settings(max_examples=150, deadline=None)
def test_the_pattern_without_rules_cuts_pre_tokens_as_byte_level_does(text):
    student = with_rules(unigram_tokenizer(toy(), -np.ones(len(pieces()))), [])
    assert (student.pre_tokenizer.pre_tokenize_str(text)
            == toy().pre_tokenizer.pre_tokenize_str(text))


def test_a_break_in_front_of_an_apostrophe_makes_no_contraction():
    student = unigram_tokenizer(toy(), -np.ones(len(pieces())))
    exact = with_rules(student, [Rule("!", "'")])
    cuts = [part for part, _ in exact.pre_tokenizer.pre_tokenize_str("!'s it's")]
    assert cuts == ["!", "'", "s", "Ġit", "'s"]


def test_a_rule_for_one_word_leaves_longer_words_alone():
    exact = with_rules(unigram_tokenizer(toy(), -np.ones(len(pieces()))),
                       [Rule("ca", "b", whole=True), Rule("  ", " ", whole=True)])
    cuts = [part for part, _ in exact.pre_tokenizer.pre_tokenize_str("cab cab caba")]
    assert cuts == ["ca", "b", "Ġcab", "Ġcaba"]
    cuts = [part for part, _ in exact.pre_tokenizer.pre_tokenize_str("    a")]
    assert cuts == ["ĠĠ", "Ġ", "Ġa"]


@pytest.mark.slow
@pytest.mark.parametrize("chars", [
    string.punctuation, string.ascii_letters + "가나다éß漢字", string.digits + "١٢٣",
], ids=["signs", "letters", "digits"])
@pytest.mark.parametrize("share", [0.1, 0.4])
def test_the_pattern_breaks_where_a_rule_says_and_nowhere_else(chars, share):
    """Of many rules: halves, looks ahead and characters with a meaning of their own."""
    chance = random.Random(0)
    chars = [char for char in chars if char != "'"]  # which may begin a contraction
    pairs = {pair for pair in product(chars, chars) if chance.random() < share}
    assert len(pairs) > 10
    split = pre_tokenizers.Split(
        Regex(rules_pattern(Rule(*pair) for pair in pairs)), "isolated")
    for word in map("".join, product(chars, chars, chance.sample(chars, 3))):
        wanted, rest = [], word
        while rest:
            end = 1 if tuple(rest[:2]) in pairs else len(rest)
            wanted, rest = [*wanted, rest[:end]], rest[end:]
        assert [part for part, _ in split.pre_tokenize_str(word)] == wanted, word


def test_the_most_general_rule_has_the_shortest_context_that_is_sound():
    rule = rule_for("baaac", 1, neighbours())  # b|aa|a|c; ba only where aa is not
    assert cut(b"baaac")[0] == b"b" and not rule.whole
    shorter = rule.context[:-1]
    assert not shorter or not neighbours().sound(b"b", shorter.encode())
    assert neighbours().sound(b"b", rule.context.encode())


def test_foreseen_rules_are_sound_and_few_enough_for_the_room():
    student = unigram_tokenizer(toy(), -np.ones(len(pieces())))
    words = ["".join(word) for n in range(2, 7) for word in product("abc", repeat=n)]
    wrong = {word.decode() for word in differing(
        toy(), student, [word.encode() for word in words])}
    asked = {word: 1.0 for word in sorted(wrong)}
    every = foreseen(toy(), student, asked, [], 10_000)
    general = [rule for rule in every if not rule.whole]
    assert len(general) > 5
    for rule in general:
        assert neighbours().sound(rule.prefix.encode(), rule.context.encode())
    exact = with_rules(student, every)
    still = differing(toy(), exact, [word.encode() for word in words])
    assert {word.decode() for word in still} < wrong
    few = foreseen(toy(), student, asked, [], 60)
    assert few == every[:len(few)] and 0 < len(few) < len(every)
    assert len(with_rules(student, few).to_str()) <= 60 + len(
        with_rules(student, []).to_str())
    assert foreseen(toy(), student, asked, [], -1) == []
    rest = foreseen(toy(), student, asked, few, 60)  # what is there is no news
    left = [len(differing(toy(), with_rules(student, rules),
                          [word.encode() for word in words]))
            for rules in ([], few, [*few, *rest])]
    assert left[0] > left[1] > left[2]


def test_places_inside_a_character_are_no_breaks():
    assert breaks("가나a", [3, 1, 2, 1]) == [1, 2]
    assert breaks("가나", [1, 4, 1]) == []
    assert [kind_of(word) for word in (" a가", "12", "!'", "\n ")] == [
        "letters", "digits", "signs", "blanks"]


def test_bytes_that_the_teacher_drops_are_dropped_by_the_student():
    teacher = toy(b"\x04\xf1\xf2")
    assert dropped_bytes(piece_bytes(teacher)) == b"\x04\xf1\xf2"
    texts = ["aab cab baaa", "ba \x04 b\x04a"]
    done = distill(teacher, texts, passes=4, made_items=20, bar=False)
    for text in (*texts, "caab\U00041000가", "\x04", "a\x04's"):
        assert done.tokenizer.encode(text).ids == teacher.encode(text).ids


def test_distilled_text_has_the_ids_of_the_teacher_and_the_report_counts():
    texts = ["baaa ba aabaa cab", "caab aaaa bcb '' .''"]
    done = distill(toy(), texts, passes=6, made_items=30, seed=1, bar=False)
    plain = distill(toy(), texts, passes=6, made_items=30, seed=1, bar=False,
                    layer=False)
    assert np.array_equal(done.scores, plain.scores)
    assert done.report["unmended"] == 0 and "rules" not in plain.report
    assert done.report["types"] == len(count_words(toy(), texts))
    chunks = list(compare(toy(), done.tokenizer, texts, size=10))
    assert [chunk.same for chunk in chunks] == [[True], [True]]
    assert all(chunk.decoded for chunk in chunks)
    assert sum(chunk.size for chunk in chunks) == sum(map(len, texts))
    # no scores cut both of these: without rules at least one is wrong
    assert differing(toy(), plain.tokenizer, [b"ba", b"baaa"])
    assert share_wrong({b"ba": 3, b"baaa": 1}, {b"baaa"}) == 25


def test_words_are_counted_alike_by_both_ways():
    texts = ["it's 3.14 apples,\n\n  12 가나다  \t x ", "a  1"]
    digits = Tokenizer.from_str(toy().to_str())
    digits.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False)])
    for teacher in (toy(), digits):
        slow = [to_bytes(chars) for text in texts
                for chars, _ in teacher.pre_tokenizer.pre_tokenize_str(text)]
        assert sorted(count_words(teacher, texts).elements()) == sorted(slow)


@pytest.mark.slow
def test_twenty_certificates_among_words_of_gpt2_add_up_exactly():
    gpt2 = real(data.gpt2_tokenizer)
    known = piece_bytes(gpt2)
    spelled = {piece for piece in known if piece}
    text = made("runs", 300, 3).text + made("numbers", 4000, 3).text
    asked = [word for word in count_words(gpt2, [text]) if len(word) < 14]
    golds = bpe_cuts(gpt2, asked)
    lattices = build_lattices(build_trie(known), asked, golds)
    scores = -np.log(merge_ranks(gpt2) + 300)
    lost: list[Demand] = []
    met: list[Demand] = []
    for gold, rival, bad in zip(golds, rival_paths(lattices, scores),
                                wrong_words(lattices, scores), strict=True):
        if rival:
            sides = (tuple(known[i] for i in path) for path in (gold, rival))
            (lost if bad else met).append(Demand(*sides))
    proofs = certificates(lost, met)
    assert len(proofs) >= 20 and any(len(proof) > 1 for proof in proofs)
    for proof in proofs:
        left, strict = total(proof, [Fraction(1)] * len(proof))
        assert left == {} and strict
        for demand in proof:
            word = b"".join(demand.gold)
            assert demand.gold == tuple(known[i] for i in bpe_cuts(gpt2, [word])[0])
            assert b"".join(demand.rival) == word and demand.rival != demand.gold
            assert set(demand.rival) <= spelled


def test_the_rival_path_is_the_best_of_the_other_cuts():
    rng = np.random.default_rng(0)
    scores = rng.normal(-3, 1, len(pieces()))
    words = [b"baaab", b"aabaac", b"cbaaa", b"b"]
    golds = bpe_cuts(toy(), words)
    rivals = rival_paths(build_lattices(build_trie(pieces()), words, golds), scores)
    ids = {piece: index for index, piece in enumerate(pieces())}
    for word, gold, rival in zip(words, golds, rivals, strict=True):
        others = [path for cut in all_cuts(word, set(pieces()))
                  if (path := [ids[piece] for piece in cut]) != gold]
        assert rival == max(others, key=lambda path: scores[path].sum(), default=[])


def test_no_words_are_made_of_words_too_long_for_any():
    rng = random.Random(0)
    genes = {"".join(rng.choices("ACGT", k=size)): 1 for size in (100, 512, 513, 9000)}
    assert len(recombined(genes, 4000, seed=0)) < 4000  # it ends
    assert recombined({"A" * 10_000: 1, "==" * 9000: 2}, 20, seed=0) == []
    mixed = genes | {" light": 3, " house": 1}
    assert len(recombined(mixed, 50, seed=0)) == 50


def test_recombined_words_are_new_company_for_old_parts():
    known = {" light": 5, "house": 3, "houses": 1, "===": 2, "2024": 1}
    words = recombined(known, 600, seed=3)
    assert words == recombined(known, 600, seed=3)
    assert len(words) == 600 and len(set(words)) > 80
    assert {"lightHouse", " Light", " lights"} <= set(words)
    assert {kind_of(word) for word in words} == {"letters", "digits", "signs"}
    assert recombined({}, 5, seed=0) == []
    for word in words:
        assert len(count_words(toy(), [word])) == 1


@pytest.mark.parametrize(("call", "says"), [
    (lambda: with_rules(Tokenizer(models.BPE()), []), "layer=False"),
    (lambda: distill(toy(), [], bar=False), "at least one document"),
    (lambda: distill(toy(), [""], bar=False), "at least one document"),
])
def test_what_cannot_be_done_is_refused_in_one_sentence(call, says):
    with pytest.raises(ValueError, match=says):
        call()
