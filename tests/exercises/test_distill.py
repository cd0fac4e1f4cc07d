"""The checks of chapter 15: stubs and typical slips rejected, right answers not."""

from functools import lru_cache

import pytest

from lib.exercises.distill import (
    check_opposite,
    check_scores,
    check_tie,
    check_update,
    check_viterbi,
)
from lib.tokens.certificates import all_cuts
from tests.real_data import gpt2


def forward(word, scores):
    best = {0: (0.0, [])}
    for i in range(len(word)):
        for j in range(i + 1, len(word) + 1):
            if i in best and word[i:j] in scores:
                new = (best[i][0] + scores[word[i:j]], best[i][1] + [word[i:j]])
                if j not in best or new[0] > best[j][0]:
                    best[j] = new
    return best[len(word)][1]


def recursive(word, scores):
    @lru_cache(None)
    def best(j):
        if j == 0:
            return 0.0, ()
        ends = [(best(i), word[i:j]) for i in range(j) if word[i:j] in scores]
        ends = [(head[0] + scores[piece], (*head[1], piece))
                for head, piece in ends if head is not None]
        return max(ends, key=lambda end: end[0])  # the first: the longest piece

    return best(len(word))[1]


def greedy(word, scores):
    path = []
    while word:
        n = max(n for n in range(1, len(word) + 1) if word[:n] in scores)
        path.append(word[:n])
        word = word[n:]
    return path


def other_ties(word, scores):
    return list(max(all_cuts(word, scores), key=lambda cut: (
        sum(scores[piece] for piece in cut), [len(piece) for piece in cut])))


@pytest.mark.parametrize("answer", [forward, recursive])
def test_viterbi_accepts_different_right_answers(answer):
    assert check_viterbi(answer).accepted


@pytest.mark.parametrize("answer", [
    lambda word, scores: ..., lambda word, scores: None, greedy, other_ties,
    lambda word, scores: [word], lambda word, scores: forward(word, scores)[::-1],
    lambda word, scores: 1 / 0, None,
])
def test_viterbi_rejects_the_stub_and_slips(answer):
    assert not check_viterbi(answer).accepted


def counted(scores, gold, rival, margin, rate):
    new = dict(scores)
    delta = {t: gold.count(t) - rival.count(t) for t in {*gold, *rival}}
    m = sum(n * scores[t] for t, n in delta.items())
    norm = sum(n * n for n in delta.values())
    if m < margin and norm:
        for t, n in delta.items():
            new[t] += min(rate, (margin - m) / norm) * n
    return new


def in_place(scores, gold, rival, margin, rate):
    m = sum(map(scores.get, gold)) - sum(map(scores.get, rival))
    alone = [(t, 1) for t in gold] + [(t, -1) for t in rival]
    ids = sorted({*gold, *rival})
    norm = sum(sum(n for t, n in alone if t == i) ** 2 for i in ids)
    step = max(0.0, min(rate, (margin - m) / norm))
    for t, n in alone:
        scores[t] += step * n
    return scores


def slip(**change):
    """`counted` with one thing wrong."""
    def answer(scores, gold, rival, margin, rate):
        if change.get("swapped"):
            gold, rival = rival, gold
        new = dict(scores)
        count = (lambda path, t: t in path) if change.get("sets") else tuple.count
        delta = {t: count(gold, t) - count(rival, t) for t in {*gold, *rival}}
        m = sum(n * scores[t] for t, n in delta.items())
        norm = 1 if change.get("no_norm") else sum(n * n for n in delta.values())
        step = (margin - m) / norm
        if not change.get("no_cap"):
            step = min(step, rate)
        if m < margin or change.get("always"):
            for t, n in delta.items():
                new[t] += step * n
        return new
    return answer


@pytest.mark.parametrize("answer", [counted, in_place])
def test_update_accepts_different_right_answers(answer):
    assert check_update(answer).accepted


@pytest.mark.parametrize("answer", [
    lambda *given: ..., lambda *given: None, lambda scores, *given: scores,
    slip(swapped=True), slip(sets=True), slip(no_norm=True), slip(no_cap=True),
    slip(always=True), ...,
])
def test_update_rejects_the_stub_and_slips(answer):
    assert not check_update(answer).accepted


RIGHT = {"h": -3, "u": -3, "g": -3, "s": -3, "hu": -2, "ug": -4, "gs": -2, "ugs": -4}


@pytest.mark.parametrize("scores", [
    RIGHT, {piece: -1.0 if piece in ("hu", "gs") else -1.5 for piece in RIGHT},
])
def test_scores_accepts_different_right_answers(scores):
    assert check_scores(scores).accepted


@pytest.mark.parametrize("scores", [
    dict.fromkeys(RIGHT, ...), {}, dict.fromkeys(RIGHT, -1.0), RIGHT | {"ug": -7},
    RIGHT | {"ugs": 0}, {k: v for k, v in RIGHT.items() if k != "gs"},
    RIGHT | {"hu": "low"}, None,
])
def test_scores_rejects_the_stub_and_slips(scores):
    assert not check_scores(scores).accepted


@pytest.mark.slow
@pytest.mark.parametrize("word", ["zzz", "kkk", "yyy"])
def test_tie_accepts_other_ties(word):
    assert check_tie(word, gpt2()).accepted


@pytest.mark.parametrize("word", [..., "ppp", "hugs", "the", "", "z z", 3, "z" * 30])
def test_tie_rejects_the_stub_and_words_without_a_tie(word):
    assert not check_tie(word, gpt2()).accepted


@pytest.mark.slow
@pytest.mark.parametrize("words", [(" 0220", " 0222202"), [" 5222258", " 5225"]])
def test_opposite_accepts_different_pairs(words):
    assert check_opposite(words, gpt2()).accepted


@pytest.mark.slow
@pytest.mark.parametrize("words", [
    ..., (), (" 0220",), (" 0220", " 0220"), (" 00822280", " 00828082"),
    (" the", " cat"), ("x" * 20, " 0220"), " 0220",
])
def test_opposite_rejects_the_stub_the_pair_of_the_chapter_and_other_words(words):
    assert not check_opposite(words, gpt2()).accepted
