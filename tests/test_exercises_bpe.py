"""The checks of chapter 14: stubs and typical slips rejected, right answers not."""

from collections import Counter
from functools import cache, lru_cache
from itertools import pairwise

import pytest

from lib import data
from lib.certificates import all_cuts
from lib.exercises.bpe import (
    check_expected,
    check_fewest,
    check_merge,
    check_pairs,
)


@cache
def gpt2():
    try:
        return data.gpt2_tokenizer()
    except data.DataError as error:
        pytest.skip(f"the GPT-2 vocabulary cannot be had here: {error}")


def by_index(cut, pair):
    out, i = [], 0
    while i < len(cut):
        if tuple(cut[i:i + 2]) == pair:
            out.append(cut[i] + cut[i + 1])
            i += 2
        else:
            out.append(cut[i])
            i += 1
    return out


def recursive(cut, pair):
    if len(cut) < 2:
        return cut
    if (cut[0], cut[1]) == pair:
        return [cut[0] + cut[1], *recursive(cut[2:], pair)]
    return [cut[0], *recursive(cut[1:], pair)]


def from_the_right(cut, pair):
    return [piece[::-1] for piece in by_index(
        [piece[::-1] for piece in cut[::-1]], (pair[1][::-1], pair[0][::-1]))][::-1]


def by_letters(cut, pair):
    out = []
    for piece in cut:
        if out and out[-1] + piece == pair[0] + pair[1]:
            out[-1] += piece
        else:
            out.append(piece)
    return out


def first_only(cut, pair):
    for i, both in enumerate(pairwise(cut)):
        if both == pair:
            return [*cut[:i], both[0] + both[1], *cut[i + 2:]]
    return cut


@pytest.mark.parametrize("answer", [by_index, recursive])
def test_merge_accepts_different_right_answers(answer):
    assert check_merge(answer).accepted


@pytest.mark.parametrize("answer", [
    lambda cut, pair: ..., lambda cut, pair: None, lambda cut, pair: cut,
    from_the_right, by_letters, first_only, lambda cut, pair: 1 / 0, ...,
])
def test_merge_rejects_the_stub_and_slips(answer):
    assert not check_merge(answer).accepted


@pytest.mark.parametrize("word", [" disproportional", "AUFIDIUS"])
def test_fewest_accepts_different_words_that_bpe_wastes_tokens_on(word):
    assert check_fewest(word, gpt2()).accepted


@pytest.mark.parametrize("word", [
    ..., None, 7, "", "the", "water", "Authorized", "two words", "안녕하세요",
    "abc1", "x" * 99,
])
def test_fewest_rejects_the_stub_and_what_is_no_such_word(word):
    assert not check_fewest(word, gpt2()).accepted


def listed(word, p):
    counts, total = Counter(), 0.0
    for cut in all_cuts(word, p):
        chance = 1.0
        for piece in cut:
            chance *= p[piece]
        total += chance
        for piece in cut:
            counts[piece] += chance
    return {piece: n / total for piece, n in counts.items()}


def both_ways(word, p):
    @lru_cache(None)
    def front(j):
        return 1.0 if j == 0 else sum(
            front(i) * p.get(word[i:j], 0) for i in range(j))

    @lru_cache(None)
    def back(i):
        return 1.0 if i == len(word) else sum(
            p.get(word[i:j], 0) * back(j) for j in range(i + 1, len(word) + 1))

    counts = dict.fromkeys(p, 0.0)
    for i in range(len(word)):
        for j in range(i + 1, len(word) + 1):
            if word[i:j] in p:
                counts[word[i:j]] += (
                    front(i) * p[word[i:j]] * back(j) / front(len(word)))
    return counts


def best_only(word, p):
    def chance(cut):
        value = 1.0
        for piece in cut:
            value *= p[piece]
        return value

    return dict(Counter(max(all_cuts(word, p), key=chance)))


def every_cut_alike(word, p):
    cuts = all_cuts(word, p)
    counts = Counter(piece for cut in cuts for piece in cut)
    return {piece: n / len(cuts) for piece, n in counts.items()}


def once_a_cut(word, p):
    counts, total = Counter(), 0.0
    for cut in all_cuts(word, p):
        chance = 1.0
        for piece in cut:
            chance *= p[piece]
        total += chance
        for piece in set(cut):
            counts[piece] += chance
    return {piece: n / total for piece, n in counts.items()}


@pytest.mark.parametrize("answer", [listed, both_ways])
def test_expected_accepts_different_right_answers(answer):
    assert check_expected(answer).accepted


@pytest.mark.parametrize("answer", [
    lambda word, p: ..., lambda word, p: None, lambda word, p: {}, best_only,
    every_cut_alike, once_a_cut, lambda word, p: p,
    lambda word, p: {t: 2 * n for t, n in listed(word, p).items()}, ...,
])
def test_expected_rejects_the_stub_and_slips(answer):
    assert not check_expected(answer).accepted


def enumerated(word, pieces, pair_is_right):
    return next(list(cut) for cut in all_cuts(word, pieces)
                if all(pair_is_right(a, b) for a, b in pairwise(cut)))


def backtracking(word, pieces, pair_is_right, last=None):
    if not word:
        return []
    for n in range(len(word), 0, -1):
        piece = word[:n]
        if piece in pieces and (last is None or pair_is_right(last, piece)):
            rest = backtracking(word[n:], pieces, pair_is_right, piece)
            if rest is not None:
                return [piece, *rest]
    return None


def longest_first(word, pieces, pair_is_right):
    cut = []
    while word:
        n = max(n for n in range(1, len(word) + 1) if word[:n] in pieces)
        cut.append(word[:n])
        word = word[n:]
    return cut


@pytest.mark.parametrize("answer", [enumerated, backtracking])
def test_pairs_accepts_different_right_answers(answer):
    assert check_pairs(answer).accepted


@pytest.mark.parametrize("answer", [
    lambda *given: ..., lambda *given: None, longest_first,
    lambda word, *given: [word], lambda word, *given: [bytes([b]) for b in word],
    lambda *given: enumerated(*given)[::-1], lambda *given: [], ...,
])
def test_pairs_rejects_the_stub_and_slips(answer):
    assert not check_pairs(answer).accepted
