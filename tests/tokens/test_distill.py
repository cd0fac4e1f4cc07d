"""Distillation by hand, against `tokenizers` and `tiktoken`, and by its laws."""

import json
import random
from collections import Counter
from functools import cache
from itertools import product

import numpy as np
import pytest
import tiktoken
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from lib.data.mixture import FOUND, MADE, gather, made
from lib.tokens.certificates import Demand, all_cuts, demands, is_tie, opposite, total
from lib.tokens.distill import (
    LONGEST,
    QUANTUM,
    _stretches,
    bpe_cuts,
    closed_form_scores,
    count_words,
    learn_scores,
    merge_ranks,
    merge_table,
    piece_bytes,
    save_unigram,
    to_bytes,
    to_chars,
    unigram_cuts,
    unigram_tokenizer,
    viterbi,
    whole_pieces,
)
from lib.tokens.lattice import (
    best_paths,
    build_lattices,
    build_trie,
    margins,
    sweep,
    wrong_words,
)
from tests.real_data import gpt2

TEXTS = [
    "안녕하세요, 토크나이저 증류입니다.", "👋🏽 naïve café — ﷽",
    "x = 3.14159 # 파이\n\n\n",
    "def f(x):\n    return x**2\n", "https://example.org/a?b=00822280", "ppp ''' hugs",
    "We'll they're I'd   spaces \t\t tabs", "\u0000\u200b\ufeff",
]
PATTERN = (r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+"
           r"|\s+(?!\S)|\s+")


@cache
def toy_teacher(*merges: str) -> Tokenizer:
    """A byte-level BPE with few merges and a special token."""
    vocab = {to_chars(bytes([byte])): byte for byte in range(256)}
    pairs = [tuple(merge.split("+")) for merge in merges]
    for left, right in pairs:
        vocab[left + right] = len(vocab)
    teacher = Tokenizer(models.BPE(vocab, pairs))
    teacher.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    teacher.decoder = decoders.ByteLevel()
    teacher.add_special_tokens([AddedToken("<|end|>", special=True)])
    return teacher


HUGS = ("u+g", "ug+s", "h+u", "g+s")
PIECES = [b"a", b"b", b"c", b"ab", b"ba", b"aa", b"bc", b"abc", b"aab"]
words_abc = st.lists(st.sampled_from([b"a", b"b", b"c"]), min_size=1, max_size=9)
# few different values, so that equal sums are frequent
even_scores = st.lists(st.sampled_from([-1.0, -1.5, -2.0, -3.0]), min_size=9,
                       max_size=9)
free_scores = st.lists(st.integers(-9000, -1).map(lambda n: n * QUANTUM),
                       min_size=9, max_size=9)


def test_hugs_is_cut_by_hand_as_the_textbook_does():
    teacher = toy_teacher(*HUGS)
    assert bpe_cuts(teacher, [b"hugs"]) == [[ord("h"), 257]]  # u+g, then ug+s
    scores = {b"h": -1.0, b"u": -1.0, b"g": -1.0, b"s": -1.0, b"hu": -1.25,
              b"gs": -1.25, b"ugs": -2.0, b"ug": -1.5}
    assert viterbi(b"hugs", scores) == [b"hu", b"gs"]  # -2.5 beats -3.0
    assert viterbi(b"hugs", scores | {b"ugs": -1.0}) == [b"h", b"ugs"]


def test_a_tie_keeps_the_path_with_the_longest_last_piece():
    assert viterbi(b"ppp", {b"p": -1.0, b"pp": -1.5}) == [b"p", b"pp"]
    lattices = build_lattices(build_trie([b"p", b"pp"]), [b"ppp"])
    assert best_paths(lattices, np.array([-1.0, -1.5])) == [[0, 1]]


@given(st.lists(words_abc, min_size=1, max_size=8), st.one_of(even_scores, free_scores))
@settings(max_examples=60, deadline=None)
def test_the_compiled_viterbi_equals_the_readable_one_and_tokenizers(words, scores):
    words = [b"".join(word) for word in words]
    table = dict(zip(PIECES, scores, strict=True))
    lattices = build_lattices(build_trie(PIECES), words)
    ours = best_paths(lattices, np.array(scores))
    model = models.Unigram([(p.decode(), s) for p, s in table.items()], None, False)
    assert ours == [[token.id for token in model.tokenize(word.decode())]
                    for word in words]
    assert ours == [[PIECES.index(piece) for piece in viterbi(word, table)]
                    for word in words]


@pytest.mark.slow
def test_a_word_of_more_bytes_than_two_can_count_is_cut_to_its_end():
    words = [b"ab" * 40_000, b"ab"]
    lattices = build_lattices(build_trie([b"a", b"b", b"ab"]), words, [[2] * 40_000,
                                                                       [0, 1]])
    long, short = best_paths(lattices, np.array([-1.0, -1.0, -1.5]))
    assert long == [2] * 40_000 and short == [2]
    assert wrong_words(lattices, np.array([-1.0, -1.0, -1.5])).tolist() == [False, True]


@given(words_abc, free_scores, st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_the_margin_is_gold_minus_the_best_of_all_other_cuts(word, scores, rng):
    word = b"".join(word)
    cuts = all_cuts(word, PIECES)
    gold = rng.choice(cuts)
    table = dict(zip(PIECES, scores, strict=True))
    value = {cut: sum(table[piece] for piece in cut) for cut in cuts}
    rivals = [value[cut] for cut in cuts if cut != gold]
    lattices = build_lattices(build_trie(PIECES), [word],
                              [[PIECES.index(piece) for piece in gold]])
    # multiples of the quantum: the sums are exact
    want = value[gold] - max(rivals) if rivals else np.inf
    assert margins(lattices, np.array(scores))[0] == want
    wrong = wrong_words(lattices, np.array(scores))[0]
    assert wrong == (tuple(viterbi(word, table)) != gold)


@pytest.mark.slow
@given(words_abc, free_scores, st.sampled_from([0.0, 0.1, 3.0]),
       st.sampled_from([0.01, 0.5]), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_one_step_moves_the_scores_by_the_formula(word, scores, margin, rate, rng):
    word = b"".join(word)
    cuts = all_cuts(word, PIECES)
    gold = rng.choice(cuts)
    table = dict(zip(PIECES, scores, strict=True))
    value = {cut: sum(table[piece] for piece in cut) for cut in cuts}
    rivals = sorted((cut for cut in cuts if cut != gold), key=value.__getitem__)
    assume(rivals and [value[cut] for cut in rivals].count(value[rivals[-1]]) == 1)
    lattices = build_lattices(build_trie(PIECES), [word],
                              [[PIECES.index(piece) for piece in gold]])
    moved, seen = np.array(scores), np.zeros(1)
    count = sweep(lattices, np.arange(1), moved, margin, rate, np.inf, seen)
    m = value[gold] - value[rivals[-1]]
    delta = np.array([gold.count(p) - rivals[-1].count(p) for p in PIECES])
    step = min(rate, (margin - m) / max(delta @ delta, 1)) if m < margin else 0.0
    assert seen[0] == m and count == (step > 0 and delta.any())
    # one multiplication and one addition a score: rounding only
    assert np.allclose(moved, np.array(scores) + step * delta, rtol=0, atol=1e-12)


def test_words_that_lose_by_more_than_give_up_are_left_alone():
    lattices = build_lattices(build_trie([b"a", b"aa"]), [b"aa"], [[0, 0]])
    for give_up, moves in ((0.4, 0), (0.6, 1)):
        scores = np.array([-1.0, -1.5])
        assert sweep(lattices, np.arange(1), scores, 0.1, 1.0, give_up,
                     np.zeros(1)) == moves
        assert (scores.tolist() != [-1.0, -1.5]) == bool(moves)


def test_firm_words_are_never_left_alone():
    lattices = build_lattices(build_trie([b"a", b"aa"]), [b"aa"], [[0, 0]])
    got = [margins(lattices, learn_scores(
        lattices, np.array([-1.0, 20.0]), passes=8, bar=False, threads=1,
        firm=np.array([firm])).scores)[0] for firm in (False, True)]
    assert got[0] < got[1]


def test_all_cuts_of_a_word_are_all_compositions_when_every_span_is_a_piece():
    word = b"abcde"
    spans = {word[i:j] for i in range(5) for j in range(i + 1, 6)}
    cuts = all_cuts(word, spans)
    assert len(cuts) == len(set(cuts)) == 2**4
    assert all(b"".join(cut) == word for cut in cuts)


@given(st.binary(max_size=40))
def test_every_byte_string_survives_the_byte_alphabet(word):
    assert to_bytes(to_chars(word)) == word
    assert len(to_chars(word)) == len(word)


def test_pieces_and_merges_are_those_of_the_file():
    teacher = toy_teacher(*HUGS)
    pieces = piece_bytes(teacher)
    assert pieces[256:] == [b"ug", b"ugs", b"hu", b"gs", b""]
    assert merge_table(teacher)[b"ug", b"s"] == 2
    assert merge_ranks(teacher)[[ord("h"), 256, 259, 260]].tolist() == [0, 1, 4, 0]


@pytest.mark.slow
def test_labels_equal_tiktoken_on_text_of_many_kinds():
    pieces = piece_bytes(gpt2())
    reference = tiktoken.Encoding(
        "gpt2", pat_str=PATTERN, special_tokens={"<|endoftext|>": 50256},
        mergeable_ranks={piece: n for n, piece in enumerate(pieces) if piece},
    )
    for text in TEXTS:
        ids = []
        for chars, _ in gpt2().pre_tokenizer.pre_tokenize_str(text):
            ids += bpe_cuts(gpt2(), [to_bytes(chars)])[0]
        assert ids == reference.encode_ordinary(text)


@given(st.lists(st.text(max_size=30), max_size=4))
@settings(max_examples=40, deadline=None)
def test_counted_words_hold_every_byte_of_the_text(texts):
    counts = count_words(toy_teacher(*HUGS), texts)
    assert sum(len(word) * n for word, n in counts.items()) == sum(
        len(text.encode()) for text in texts)


def test_closed_forms_follow_their_formulas():
    teacher = toy_teacher(*HUGS)
    counts = Counter({b"hugs": 3, b"hu": 1})
    scores = closed_form_scores(teacher, counts, bpe_cuts(teacher, list(counts)))
    seen = scores["log frequency"]  # h and ugs three times, hu once
    assert np.isclose(seen[257] - seen[258], np.log(4 / 2))
    assert np.isclose(np.exp(seen).sum(), 1)
    assert scores["-rank"][257] == -2 and scores["-1"].tolist() == [-1.0] * 261
    assert np.isclose(scores["-log(rank + 300)"][258], -np.log(303))


def toy_lattices(teacher: Tokenizer, words: list[bytes]):
    return build_lattices(build_trie(piece_bytes(teacher)), words,
                          bpe_cuts(teacher, words))


def test_learning_makes_every_word_right_that_scores_can_make_right():
    teacher = toy_teacher(*HUGS)
    words = [b"hugs", b"hug", b"ugs", b"hu", b"gs", b"shugs", b"gsugs", b"hhugs"]
    lattices = toy_lattices(teacher, words)
    start = np.array([-0.25 if len(p) < 2 else -1.0 for p in piece_bytes(teacher)])
    assert wrong_words(lattices, start).all()  # nothing but single bytes
    before = start.copy()
    learned = learn_scores(lattices, start, passes=24, seed=1, bar=False)
    assert not wrong_words(lattices, learned.scores).any()
    assert len(learned.history) == 24
    again = learn_scores(lattices, start, passes=24, seed=1, bar=False)
    assert np.array_equal(again.scores, learned.scores)
    assert np.array_equal(start, before)  # the given scores are left alone


def test_scores_do_not_depend_on_the_number_of_threads():
    teacher = toy_teacher("a+b", "b+c", "ab+c", "c+a", "bc+a", "a+a")
    words = ["".join(word).encode() for n in range(2, 7)
             for word in product("abc", repeat=n)]
    lattices = toy_lattices(teacher, words)
    start = -np.log(merge_ranks(teacher) + 300)
    one, two, five = (learn_scores(lattices, start, 16, bar=False, threads=threads)
                      for threads in (1, 2, 5))
    assert not np.array_equal(one.scores, start)
    for other in (two, five):
        assert np.array_equal(one.scores, other.scores)
        assert one.history == other.history


def test_learning_watches_the_scores_every_fourth_pass():
    lattices = toy_lattices(toy_teacher(*HUGS), [b"hugs"])
    learned = learn_scores(lattices, -np.ones(261), passes=8, bar=False,
                           watch=lambda scores: float(len(scores)))
    assert [row["pass"] for row in learned.history if "watched" in row] == [4, 8]


@pytest.mark.slow
def test_learned_scores_beat_the_best_formula_on_real_words_of_gpt2():
    words = count_words(gpt2(), [made(kind, 1500, 3).text for kind in MADE])
    words = sorted(word for word in words if len(word) < 40)
    random.Random(0).shuffle(words)
    half = len(words) // 2
    pieces = piece_bytes(gpt2())
    trie = build_trie(pieces)
    train, other = (build_lattices(trie, part, bpe_cuts(gpt2(), part))
                    for part in (words[:half], words[half:]))
    start = -np.log(merge_ranks(gpt2()) + 300)
    learned = learn_scores(train, start, passes=16, bar=False).scores
    assert wrong_words(train, learned).mean() < 0.5 * wrong_words(train, start).mean()
    assert wrong_words(other, learned).mean() < wrong_words(other, start).mean()


@given(st.tuples(*[st.integers(-40, 0)] * 4))  # few values: ties are frequent
@settings(deadline=None)
def test_no_scores_cut_both_words_of_the_two_merge_bpe(quanta):
    bpe = models.BPE({"a": 0, "b": 1, "aa": 2, "ba": 3}, [("a", "a"), ("b", "a")])
    scores = [n * QUANTUM for n in quanta]
    unigram = models.Unigram(list(zip(["a", "b", "aa", "ba"], scores, strict=True)),
                             None, False)
    cuts = [[[token.id for token in model.tokenize(word)] for word in ("ba", "baaa")]
            for model in (bpe, unigram)]
    assert cuts[0] != cuts[1]


def test_the_opposite_pair_of_gpt2_adds_up_to_nothing():
    pieces = piece_bytes(gpt2())
    known = {piece for piece in pieces if piece}
    asked = []
    for word, gold in ((b" 00822280", (b" 00", b"8", b"22", b"280")),
                       (b" 00828082", (b" 00", b"82", b"80", b"82"))):
        assert tuple(pieces[i] for i in bpe_cuts(gpt2(), [word])[0]) == gold
        asked.append(demands(gold, known))
    pair = opposite(*asked)
    assert pair is not None
    assert pair[0].terms() == {b"8": 1, b"280": 1, b"82": -1, b"80": -1}
    assert total(pair, [1, 1]) == ({}, True)
    assert opposite(asked[0], asked[0]) is None


@pytest.mark.slow
@pytest.mark.parametrize("word", ["ppp", "'''", "\n\n\n"])
def test_gpt2_has_words_that_only_a_tie_keeps_from_unigram(word):
    pieces = piece_bytes(gpt2())
    gold = tuple(pieces[i] for i in bpe_cuts(gpt2(), [word.encode()])[0])
    assert any(is_tie(d) for d in demands(gold, {p for p in pieces if p}))
    assert not any(is_tie(d) for d in demands((b"h", b"ugs"), {b"h", b"ugs", b"hu",
                                                              b"gs"}))


def test_weights_that_would_turn_a_demand_round_are_refused():
    with pytest.raises(ValueError, match="positive"):
        total([Demand((b"a", b"b"), (b"ab",))], [-1])


@cache
def student() -> Tokenizer:
    rng = np.random.default_rng(0)
    scores = rng.uniform(-3, -0.1, 50257)  # such that many pieces fall apart
    return unigram_tokenizer(gpt2(), whole_pieces(piece_bytes(gpt2()), scores))


@pytest.mark.slow
def test_every_piece_of_gpt2_is_cut_into_itself_by_tokenizers():
    pieces = piece_bytes(gpt2())
    known = [n for n, piece in enumerate(pieces) if piece]
    assert len(known) == 50256
    cuts = unigram_cuts(student(), [pieces[n] for n in known])
    assert cuts == [[n] for n in known]
    # breaking it: without the repair some pieces fall apart
    raw = unigram_tokenizer(gpt2(), -merge_ranks(gpt2()))
    assert unigram_cuts(raw, [b"hello"]) != [[gpt2().token_to_id("hello")]]


def test_the_student_keeps_ids_decoding_and_special_tokens(tmp_path):
    path = save_unigram(student(), tmp_path / "new folder 한글")
    assert [file.name for file in path.parent.iterdir()] == ["tokenizer.json"]
    read = Tokenizer.from_file(str(path))
    assert read.get_vocab() == gpt2().get_vocab()
    assert read.id_to_token(50256) == "<|endoftext|>"
    assert read.encode("a<|endoftext|>b").ids == gpt2().encode("a<|endoftext|>b").ids
    for text in TEXTS:
        assert read.decode(read.encode(text).ids) == text
    model = json.loads(path.read_text("utf-8"))["model"]
    assert model["type"] == "Unigram" and "merges" not in model
    assert model["unk_id"] is None and len(model["vocab"]) == 50257


@given(st.text(max_size=40))
@example("<|endoftext|>")
@settings(max_examples=60, deadline=None)
def test_any_text_comes_back_from_the_student(text):
    ids = student().encode(text).ids  # a special token in a text is one in the ids
    assert student().decode(ids, skip_special_tokens=False) == text


@pytest.mark.slow
def test_rounded_scores_come_through_the_file_exactly_and_viterbi_agrees(tmp_path):
    rng = np.random.default_rng(0)
    pieces = piece_bytes(gpt2())
    scores = whole_pieces(pieces, rng.normal(-9, 2, len(pieces)))
    assert np.array_equal(scores / QUANTUM, np.round(scores / QUANTUM))
    path = save_unigram(unigram_tokenizer(gpt2(), scores), tmp_path)
    read = Tokenizer.from_file(str(path))
    kept = [score for _, score in json.loads(read.to_str())["model"]["vocab"]]
    assert kept[:50256] == (scores[:50256] / QUANTUM).tolist()
    assert all(score.is_integer() for score in kept[:50256])
    words = sorted({piece for text in TEXTS for piece in count_words(gpt2(), [text])})
    words += [b"=" * 70, b"abab" * 9]
    pairs = rng.integers(0, 5000, (2000, 2))
    words += [pieces[i] + pieces[j] for i, j in pairs]
    ours = best_paths(build_lattices(build_trie(pieces), words), scores)
    assert ours == unigram_cuts(read, words)


@pytest.mark.slow
def test_gathered_documents_are_disjoint_repeatable_and_of_every_kind():
    train, other = gather(400_000)
    assert {d.kind for d in train} == {d.kind for d in other} == set(FOUND)
    assert not {d.name for d in train} & {d.name for d in other}
    assert not {d.text for d in train} & {d.text for d in other}
    assert gather(400_000) == (train, other)
    size = sum(len(d.text.encode()) for d in [*train, *other])
    assert 200_000 < size < 600_000  # each kind may go over by one document


def test_made_documents_follow_their_seed():
    for kind in MADE:
        one = made(kind, 50, seed=1).text
        assert one == made(kind, 50, seed=1).text != made(kind, 50, seed=2).text


@pytest.mark.parametrize(("call", "says"), [
    (lambda: gather(1000, held_out=1.0), "between 0 and 1"),
    (lambda: made("poems", 3, 0), "use one of numbers"),
    (lambda: viterbi(b"xyz", {b"x": -1.0}), "single bytes"),
    (lambda: piece_bytes(Tokenizer(models.Unigram([("a", -1.0)], None, False))),
     "byte-level BPE"),
    (lambda: learn_scores(build_lattices(build_trie([b"a"]), []), np.zeros(1)),
     "at least one"),
])
def test_wrong_arguments_end_in_one_sentence_that_says_what_works(call, says):
    with pytest.raises(ValueError, match=says):
        call()


def test_long_words_that_are_not_ascii_are_learned_in_overlapping_parts_of_their_cut():
    word = "的一是在不了有和人这中大为上个国我以要他时来用们".encode() * 9
    pieces, (label,) = piece_bytes(gpt2()), bpe_cuts(gpt2(), [word])
    parts = list(_stretches([word, b"=" * 300], [label, []], pieces))
    cut, covered = "".join(f"{index} " for index in label), 0
    for part, own in zip(parts, bpe_cuts(gpt2(), parts), strict=True):
        assert 0 < len(part) <= LONGEST
        assert "".join(f"{index} " for index in own) in cut
        at = next(n for n in range(covered + 1) if word[n:n + len(part)] == part)
        covered = max(covered, at + len(part))
    assert word.startswith(parts[0]) and word.endswith(parts[-1]) and len(parts) > 9
