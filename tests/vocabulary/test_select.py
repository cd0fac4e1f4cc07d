"""The search for pieces that save the most together, and for tokens to give up."""

import itertools
import json
import random
from collections import Counter
from functools import cache

import numpy as np
import pytest
from tokenizers import Tokenizer, models

from lib import data
from lib.exercises.reassign import toy_tokenizer
from lib.tokens.distill import bpe_cuts, count_words, piece_bytes, to_chars, viterbi
from lib.vocabulary.baselines import continued_bpe, continued_merges, tokens_of
from lib.vocabulary.reassign import remap_tokenizer, unigram_pieces, unigram_scores
from lib.vocabulary.search import (
    fewest_tokens,
    find_candidates,
    most_used,
    search_pieces,
)
from lib.vocabulary.select import (
    lengths,
    missing_bytes,
    select_pieces,
    spare_tokens,
    uses_of,
)
from tests.bound import fewest_possible
from tests.real_data import real

BYTES = [bytes([byte]) for byte in range(256)]


def made_words(seed, letters="abc", most=7, count=40):
    rng = random.Random(seed)
    words = Counter()
    for _ in range(count):
        word = "".join(rng.choices(letters, k=rng.randint(1, most)))
        words[word.encode()] += rng.randint(1, 9)
    return words


def by_hand(words, pieces):
    """Fewest tokens, one word after another, without any of the fast code."""
    total = 0
    for word, n in words.items():
        best = [0] + [10**9] * len(word)
        for j in range(1, len(word) + 1):
            for i in range(j):
                if word[i:j] in pieces:
                    best[j] = min(best[j], best[i] + 1)
        total += n * best[-1]
    return total


@pytest.mark.parametrize("seed", range(4))
def test_fewest_tokens_are_those_of_a_plain_programme(seed):
    words = made_words(seed)
    extra = find_candidates(words, BYTES, least=6)[:8]
    assert fewest_tokens(words, [*BYTES, *extra]) == by_hand(words, {*BYTES, *extra})


@pytest.mark.parametrize("seed", range(6))
def test_the_search_finds_a_set_about_as_good_as_the_best(seed):
    words = made_words(seed, letters="ab", most=6, count=25)
    candidates = find_candidates(words, BYTES, least=3)[:11]
    found = search_pieces(words, BYTES, candidates, 4, steps=60, patience=60, bar=False)
    best = min(by_hand(words, {*BYTES, *some})
               for some in itertools.combinations(candidates, 4))
    assert found.tokens == by_hand(words, {*BYTES, *found.pieces})
    assert best <= found.tokens <= 1.01 * best


@pytest.mark.parametrize("seed", range(3))
def test_saved_is_what_the_words_lose_without_the_piece(seed):
    words = made_words(seed, "abcd", 9, 80)
    candidates = find_candidates(words, BYTES, least=5)
    found = search_pieces(words, BYTES, candidates, 10, steps=30, bar=False, seed=seed)
    assert len(found.pieces) == len(set(found.pieces)) == 10
    for piece, saved in zip(found.pieces, found.saved, strict=True):
        rest = {*BYTES, *found.pieces} - {piece}
        assert saved == by_hand(words, rest) - found.tokens
    assert found.saved == sorted(found.saved, reverse=True)


def test_exchanges_never_leave_a_worse_set():
    words = made_words(5, "abcde", 9, 150)
    candidates = find_candidates(words, BYTES, least=4)
    still = search_pieces(words, BYTES, candidates, 12, steps=1, patience=1, bar=False)
    moved = search_pieces(words, BYTES, candidates, 12, steps=200, bar=False)
    assert moved.tokens <= still.tokens
    assert moved.tokens == min(n for size, n in moved.history if size == 12)


def test_all_candidates_come_in_where_there_are_few():
    words = Counter({b"abab": 5})
    found = search_pieces(words, BYTES, [b"ab", b"ba"], 9, bar=False)
    assert set(found.pieces) == {b"ab", b"ba"} and found.tokens == 10
    assert search_pieces(words, BYTES, [], 9, bar=False).tokens == 20


def test_candidates_are_whole_characters_or_beginnings_of_one():
    words = Counter({" 영화".encode(): 3, "영상".encode(): 2, b"\xff\xfe": 9})
    found = find_candidates(words, BYTES, least=2)
    assert " 영화".encode() in found and "영".encode() in found
    assert "영".encode()[:2] in found
    assert all(piece == "영".encode()[:2] or piece.decode() for piece in found
               if len(piece) != 2)
    assert found[0] == "영".encode()[:2] or found[0] == "영".encode()
    assert b"\xff\xfe" not in found and b" " not in found


@pytest.mark.parametrize("seed", range(4))
def test_no_choice_gets_below_the_bound_and_it_is_near_the_best(seed):
    words = made_words(seed, letters="ab", most=6, count=25)
    candidates = find_candidates(words, BYTES, least=3)[:11]
    best = min(by_hand(words, {*BYTES, *some})
               for some in itertools.combinations(candidates, 4))
    bound = fewest_possible(words, BYTES, candidates, 4, best, steps=300, bar=False)
    assert 0.85 * best < bound <= best + 1e-6


# --- BPE's own merges ------------------------------------------------------------


def plain_merges(cuts, counts, pieces, steps):
    """Byte pair encoding as it is told: count all pairs again for every merge."""
    cuts, pieces, merges = [list(cut) for cut in cuts], list(pieces), []
    for _ in range(steps):
        pairs = Counter()
        for cut, n in zip(cuts, counts, strict=True):
            for pair in itertools.pairwise(cut):
                pairs[pair] += n
        if not pairs:
            break
        a, b = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append((pieces[a], pieces[b]))
        for cut in cuts:
            i = 0
            while i < len(cut) - 1:
                if (cut[i], cut[i + 1]) == (a, b):
                    cut[i:i + 2] = [len(pieces)]
                i += 1
        pieces.append(pieces[a] + pieces[b])
    return merges


@cache
def byte_bpe():
    merges = [("a", "b"), ("ab", "a")]
    vocab = {to_chars(byte): n for n, byte in enumerate(BYTES)}
    vocab |= {"ab": 256, "aba": 257}
    return Tokenizer(models.BPE(vocab=vocab, merges=merges))


@pytest.mark.parametrize("seed", range(5))
def test_merges_go_on_as_byte_pair_encoding_would(seed):
    words = made_words(seed, "ab", 12, 60)
    teacher = byte_bpe()
    want = plain_merges(bpe_cuts(teacher, list(words)), words.values(),
                        piece_bytes(teacher), 12)
    got = continued_merges(teacher, words, 12)
    assert got == want
    more = continued_bpe(teacher, got)
    spelled = [b"".join(pair) for pair in got]
    assert {piece.decode() for piece in spelled} <= more.get_vocab().keys()
    assert tokens_of(more, words) < tokens_of(teacher, words)


def test_the_most_used_pieces_are_kept():
    words = Counter({b"abab": 5, b"cd": 4, b"ef": 9})
    assert most_used(words, BYTES, [b"ab", b"cd", b"ef"], 2) == [b"ab", b"ef"]


# --- tokens to give up -----------------------------------------------------------


def test_what_costs_nothing_goes_first_and_the_latest_of_it():
    pieces = [*BYTES, b"ab", b"cd", b"abcd", b"ef", b""]
    scores = np.full(len(pieces), -1.0)
    uses = np.zeros(len(pieces), int)
    uses[256] = 3
    found = spare_tokens(pieces, scores, uses, 10)
    assert [token.piece for token in found] == [b"ef", b"abcd", b"cd", b"ab"]
    assert [token.cost for token in found] == [0, 0, 0, 3]


def test_parts_of_what_is_given_up_are_needed_more():
    pieces = [*BYTES, b"ab", b"cd", b"abcd", b"xy"]
    scores = np.array([-4.0] * 256 + [-5.0, -5.0, -6.0, -5.0])
    uses = np.zeros(len(pieces), int)
    uses[256:] = [0, 6, 5, 8]  # abcd costs 5, and then cd is used 11 times, ab 5
    uses[256] = 4
    found = {token.piece: token for token in spare_tokens(pieces, scores, uses, 3)}
    assert next(iter(found)) == b"ab"  # its 4 are the cheapest
    total = sum(token.cost for token in found.values())
    kept = {p: s for p, s in zip(pieces, scores, strict=True) if p not in found}
    table = dict(zip(pieces, scores, strict=True))
    longer = sum(n * (len(viterbi(p, kept)) - len(viterbi(p, table)))
                 for p, n in zip(pieces, uses.tolist(), strict=True) if n)
    assert total == longer


def test_bytes_and_special_tokens_are_never_given_up():
    toy = toy_tokenizer()
    pieces = unigram_pieces(toy)
    found = spare_tokens(pieces, unigram_scores(toy), np.zeros(len(pieces), int), 999)
    assert {token.id for token in found} == {256, 257, 258, 259}
    with pytest.raises(ValueError, match="size -1 came"):
        spare_tokens(pieces, unigram_scores(toy), np.zeros(len(pieces), int), -1)


def test_uses_are_those_of_the_tokenizer():
    toy, texts = toy_tokenizer(), ["banana band", "an anabanan\n"]
    uses = uses_of(unigram_pieces(toy), unigram_scores(toy), count_words(toy, texts))
    ids = Counter(i for text in texts for i in toy.encode(text).ids)
    assert uses.tolist() == [ids[i] for i in range(261)]


# --- all of it -------------------------------------------------------------------


def test_a_selection_makes_its_domain_shorter_and_nothing_else_longer():
    toy = toy_tokenizer()
    domain = ["cocoa cacao cocoa", "cacao and cocoa"] * 20
    general = ["banana ban", "a band of bananas"] * 20
    chosen = select_pieces(toy, count_words(toy, domain), count_words(toy, general),
                           share=0.008, least=5, bar=False)
    assert 1 <= len(chosen.rules) <= 2  # of 261
    after = remap_tokenizer(toy, chosen.rules)
    assert lengths(after, domain).sum() < lengths(toy, domain).sum()
    assert lengths(after, general).sum() - lengths(toy, general).sum() <= sum(
        token.cost for token in chosen.given_up)
    again = select_pieces(toy, count_words(toy, domain), count_words(toy, general),
                          share=0.008, least=5, bar=False)
    assert again == chosen


def test_a_piece_that_text_is_cut_in_before_is_never_chosen():
    spec = json.loads(toy_tokenizer().to_str())
    rule = {"type": "Split", "pattern": {"Regex": "co(?=coa(?![a-z]))"},
            "behavior": "Isolated", "invert": False}
    spec["pre_tokenizer"] = {"type": "Sequence",
                             "pretokenizers": [rule, spec["pre_tokenizer"]]}
    toy = Tokenizer.from_str(json.dumps(spec))
    domain = count_words(toy, ["cocoas cocoat cocoar"] * 20)

    def chosen(tokenizer):
        return select_pieces(tokenizer, domain, {}, share=0.004, least=5, bar=False)

    assert [rule.new for rule in chosen(toy_tokenizer()).rules] == [b"cocoa"]
    (other,) = chosen(toy).rules
    assert other.new != b"cocoa"
    remap_tokenizer(toy, [other])


def test_a_selection_needs_words_and_a_share():
    toy = toy_tokenizer()
    with pytest.raises(ValueError, match="at least one word is needed"):
        select_pieces(toy, {}, {}, bar=False)
    with pytest.raises(ValueError, match=r"share 1\.5"):
        select_pieces(toy, {b"a": 1}, {}, share=1.5, bar=False)


def test_missing_bytes_are_those_that_utf8_uses():
    assert missing_bytes(BYTES) == []
    assert missing_bytes(BYTES[:0xC0] + BYTES[0xC2:0xF1]) == [
        bytes([byte]) for byte in range(0xF1, 0xF5)]


@pytest.mark.slow
def test_korean_reviews_are_shorter_than_by_merges_of_bpe():
    """The claim of the chapter, small: held-out text, as many pieces, both ways."""
    teacher = real(data.gpt2_tokenizer)
    lines = data.text("korean").splitlines()[:1500]
    words = count_words(teacher, lines[300:])
    held, pieces = count_words(teacher, lines[:300]), piece_bytes(teacher)
    candidates = find_candidates(words, set(pieces), least=5)
    found = search_pieces(words, pieces, candidates, 300, bar=False)
    merges = continued_merges(teacher, words, 300)
    ours = fewest_tokens(held, [*pieces, *found.pieces])
    assert ours < tokens_of(continued_bpe(teacher, merges), held)


# --- the stages ------------------------------------------------------------------


@pytest.mark.slow
def test_the_stages_write_what_they_promise(tmp_path):
    from small_vocabulary import run_all
    from transformers import AutoTokenizer

    from lib.workbench.ivr.options import Options, for_profile

    options = for_profile(Options(artifacts_dir=str(tmp_path)), "smoke")
    told = run_all(options, "init", "remap")
    made, reports = told["select"]["results"], tmp_path / "analysis/reports"
    assert made["reassigned"] > 0 and made["held_out_longer"] == 0
    assert made["held_out_saved"] > 0
    table = (reports / "replacement_candidates.csv").read_text("utf-8")
    assert table.count("\n") == made["reassigned"] + 1
    assert f"{made['reassigned']} tokens are given up" in (
        reports / "selection_log.md").read_text("utf-8")
    loaded = AutoTokenizer.from_pretrained(tmp_path / "tokenizers/remapped")
    bare = Tokenizer.from_file(str(tmp_path / "tokenizers/remapped/tokenizer.json"))
    text = "영화가 정말 재미있어요 \x04 the cat"
    ids = loaded(text, add_special_tokens=False)["input_ids"]
    assert ids == bare.encode(text, add_special_tokens=False).ids
    assert loaded.decode(ids) == text
    spec = json.loads(bare.to_str())["model"]
    assert spec["type"] == "Unigram" and len(spec["vocab"]) == 49152
    _wrong_rules_leave_everything_as_it_was(tmp_path, options)


def _wrong_rules_leave_everything_as_it_was(root, options):
    from lib.workbench.ivr.artifacts import StageError
    from lib.workbench.ivr.pipeline import run

    rules = root / "analysis/reports/remap_rules.yaml"
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()
              and path != rules}
    rules.write_text(rules.read_text("utf-8") + "- {id: 0, old: x, new: y}\n", "utf-8")
    line = rules.read_text("utf-8").count("\n")
    with pytest.raises(StageError, match=f"line {line}: .* is a special token"):
        run("remap", options)
    now = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()
           and path != rules}
    assert now == before
