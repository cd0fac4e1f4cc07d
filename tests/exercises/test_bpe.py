"""The checks of chapter 14 accept what is right, however written, and nothing else."""

from collections import Counter
from functools import lru_cache
from itertools import pairwise

from exercise_cases import accepts, chapter, hints, stubs

from lib.exercises.bpe import (
    check_expected,
    check_fewest,
    check_merge,
    check_pairs,
)
from lib.tokens.certificates import all_cuts
from lib.tokens.distill import merge_table, piece_bytes
from tests.real_data import gpt2


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


test_right_merges_are_accepted = accepts(check_merge, by_index, recursive)

test_wrong_merges_get_their_hint = hints(
    check_merge,
    (lambda cut, pair: cut, "gives ab · c · ab"),
    (from_the_right, "gives aa · a"),
    (by_letters, "gives ab · c · abc"),
    (first_only, "gives ab · c · ab"),
)


# ---- joined too early -------------------------------------------------------


def check_word(word):
    return check_fewest(word, gpt2())


test_words_that_bpe_wastes_tokens_on_are_accepted = accepts(
    check_word, " disproportional", "AUFIDIUS"
)

test_other_words_get_their_hint = hints(
    check_word,
    ("water", "needs as many"), ("Authorized", "needs as many"),
    ("two words", "Latin letters"), ("안녕하세요", "Latin letters"),
    ("abc1", "Latin letters"), ("the", "Latin letters"), ("", "Latin letters"),
    ("x" * 99, "Latin letters"), (7, "Latin letters"), ("  water", "single pre-token"),
    (None, "no answer yet"), (..., "no answer yet"),
)


# ---- expected counts --------------------------------------------------------


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


def doubled(word, p):
    return {piece: 2 * n for piece, n in listed(word, p).items()}


test_right_counts_are_accepted = accepts(check_expected, listed, both_ways)

test_wrong_counts_get_their_hint = hints(
    check_expected,
    (lambda word, p: {}, "add up to the 3 letters"),
    (doubled, "divide by Z"),
    (once_a_cut, "count a piece twice"),
    (best_only, "not only the best one"),
    (every_cut_alike, "as much as it is likely"),
)


# ---- BPE without merges -----------------------------------------------------


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


test_right_cuts_are_accepted = accepts(check_pairs, enumerated, backtracking)

test_wrong_cuts_get_their_hint = hints(
    check_pairs,
    (longest_first, "is wrong"),
    (lambda word, *given: [word], "must spell"),
    (lambda word, *given: [bytes([b]) for b in word], "the pair a · b is wrong"),
    (lambda *given: enumerated(*given)[::-1], "the pair a · aaaa is wrong"),
    (lambda *given: [], "must spell"),
)


# ---- all of them ------------------------------------------------------------


def of_the_chapter():
    """What the solutions read of the chapter's variables."""
    tokenizer = gpt2()
    pieces = {piece: i for i, piece in enumerate(piece_bytes(tokenizer)) if piece}
    return {"gpt2": tokenizer, "ids": pieces, "ranks": merge_table(tokenizer),
            "words": Counter([b"AUFIDIUS", b"water"]), "LONGEST": 12}


CHECKS = (check_merge, check_fewest, check_expected, check_pairs)

test_unfinished_answers_are_no_answers = stubs(check_merge, check_expected, check_pairs)
test_the_chapter_asks_them_all = chapter("14_bpe_and_unigram", CHECKS, of_the_chapter)
