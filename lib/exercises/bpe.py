"""Checks for the exercises of the chapter on BPE and Unigram."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

from lib.exercises import Verdict, correct, exercise, given, not_yet
from lib.tokens.certificates import all_cuts
from lib.tokens.distill import bpe_cuts, piece_bytes, viterbi

Pair = tuple[bytes, bytes]

_MERGES: dict[str, list[Pair]] = {
    "small": [(b"a", b"b"), (b"a", b"a"), (b"ab", b"b"), (b"b", b"aa"),
              (b"ab", b"ab"), (b"aa", b"aa")],
    "words": [(b"t", b"h"), (b"h", b"e"), (b"e", b"r"), (b"th", b"e"),
              (b"f", b"a"), (b"a", b"t"), (b"th", b"er"), (b"fa", b"ther")],
}


def _shown(cut: Iterable[bytes]) -> str:
    return " · ".join(piece.decode("utf-8", "replace") for piece in cut)


def _bpe(word: bytes, merges: Sequence[Pair]) -> list[bytes]:
    """The pieces of a word: the first merge of the list that fits, leftmost first."""
    cut = [word[i : i + 1] for i in range(len(word))]
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    while pairs := [(ranks[p], i) for i, p in enumerate(pairwise(cut)) if p in ranks]:
        _, i = min(pairs)
        cut[i : i + 2] = [cut[i] + cut[i + 1]]
    return cut


@exercise
def check_merge(answer: Any) -> Verdict:
    """`answer(cut, pair)` joins every occurrence of the pair, from the left."""
    a, b, c = b"a", b"b", b"c"
    cases = [
        ([a, b, c, a, b], (a, b), [b"ab", c, b"ab"]),
        ([b, a, c], (a, b), [b, a, c]),
        ([a, a, a], (a, a), [b"aa", a]),
        ([a, a, a, a], (a, a), [b"aa", b"aa"]),
        ([b"ab", c, a, b"bc"], (a, b"bc"), [b"ab", c, b"abc"]),
        ([b"aa", a, a], (b"aa", a), [b"aaa", a]),
        ([a], (a, a), [a]),
    ]
    for cut, pair, want in cases:
        got = list(given(answer(list(cut), pair)))
        if got != want:
            return not_yet(
                f"{_shown(cut)}에서 {_shown(pair)} 쌍을 붙이면 {_shown(want)}인데, "
                f"답은 {_shown(got)}입니다.",
                f"In {_shown(cut)}, joining {_shown(pair)} gives {_shown(want)}; the "
                f"answer gave {_shown(got)}.",
            )
    return correct()


@exercise
def check_fewest(word: Any, teacher: Any) -> Verdict:
    """A word that `teacher` cuts into more tokens than its vocabulary would need."""
    if not (isinstance(word, str) and word.isascii() and word.strip().isalpha()
            and 4 <= len(word.strip()) <= 40):
        return not_yet("로마자 4–40글자로 된 낱말 하나를 문자열로 주십시오.",
                       "Give one word of 4 to 40 Latin letters, as a string.")
    if len(teacher.pre_tokenizer.pre_tokenize_str(word)) != 1:
        return not_yet("프리토큰 하나가 되는 낱말이어야 합니다.",
                       "It must be a single pre-token.")
    pieces = piece_bytes(teacher)
    cut = [pieces[i] for i in bpe_cuts(teacher, [word.encode()])[0]]
    fewest = viterbi(word.encode(), dict.fromkeys(filter(None, pieces), -1.0))
    if len(cut) == len(fewest):
        return not_yet(
            f"{_shown(cut)}: 이 어휘로는 더 적게 자를 수 없습니다. 긴 낱말을 여럿 "
            "시험해 보십시오.",
            f"{_shown(cut)}: this vocabulary needs as many. Try many long words.",
        )
    return correct(f"맞았습니다. BPE는 {_shown(cut)}, 가장 적게는 {_shown(fewest)}.",
                   f"Correct: BPE cuts {_shown(cut)}; {_shown(fewest)} would do.")


_P = {b"a": 0.3, b"n": 0.2, b"b": 0.1, b"an": 0.15, b"na": 0.12, b"ana": 0.08,
      b"ban": 0.05}


@exercise
def check_expected(answer: Any) -> Verdict:
    """`answer(word, p)` returns how often each piece is expected in the word."""
    for word in (b"ban", b"banana", b"ananab"):
        chance = {cut: math.prod(_P[t] for t in cut) for cut in all_cuts(word, _P)}
        want = dict.fromkeys(_P, 0.0)
        for cut, probability in chance.items():
            for piece in cut:
                want[piece] += probability / sum(chance.values())
        got = given(answer(word, dict(_P)))
        off = [t for t in _P if not math.isclose(got.get(t, 0.0), want[t],
                                                 rel_tol=1e-6, abs_tol=1e-9)]
        letters = sum(len(t) * got.get(t, 0.0) for t in _P)
        if off and not math.isclose(letters, len(word), rel_tol=1e-6):
            return not_yet(
                f"기대 횟수에 조각의 길이를 곱해 더하면 {word.decode()}의 글자 수 "
                f"{len(word)}이어야 하는데 {letters:.4f}입니다. Z로 나누었는지, 두 번 "
                "나온 조각을 두 번 세었는지 보십시오.",
                f"Counts times lengths must add up to the {len(word)} letters of "
                f"{word.decode()} and give {letters:.4f}. Did you divide by Z, and "
                "count a piece twice where it stands twice?",
            )
        if off:
            return not_yet(
                f"{word.decode()}에서 조각 {_shown(off[:1])}의 기대 횟수는 "
                f"{want[off[0]]:.4f}인데 {got.get(off[0], 0.0):.4f}입니다. 가장 나은 "
                "나열 하나만이 아니라 모든 나열을 확률만큼 세십시오.",
                f"In {word.decode()} the piece {_shown(off[:1])} is expected "
                f"{want[off[0]]:.4f} times, not {got.get(off[0], 0.0):.4f}. Count "
                "every sequence as much as it is likely, not only the best one.",
            )
    return correct()


@exercise
def check_pairs(answer: Any) -> Verdict:
    """`answer(word, pieces, pair_is_right)` cuts as BPE does, without merges."""
    cases = {"small": [b"a", b"ab", b"abab", b"aaaaa", b"abbaab", b"babaababba"],
             "words": [b"father", b"that", b"thefatherathe", b"rather"]}
    for name, words in cases.items():
        merges = _MERGES[name]
        pieces = {b"".join(pair) for pair in merges}
        pieces |= {bytes([b]) for pair in merges for piece in pair for b in piece}

        def right(a: bytes, b: bytes, merges: Sequence[Pair] = merges) -> bool:
            return _bpe(a + b, merges) == [a, b]

        for word in words:
            got = list(given(answer(word, set(pieces), right)))
            want = _bpe(word, merges)
            if b"".join(got) != word or not set(got) <= pieces:
                return not_yet(
                    f"{_shown(got)}: 어휘의 조각만 이어서 낱말 {word.decode()}의 "
                    "글자를 빠짐없이 적어야 합니다.",
                    f"{_shown(got)}: pieces of the vocabulary must spell "
                    f"{word.decode()}.",
                )
            if got != want:
                a, b = next(p for p in pairwise(got) if not right(*p))
                return not_yet(
                    f"{word.decode()} → {_shown(got)}: 쌍 {_shown((a, b))}에서 "
                    "어긋납니다.",
                    f"{word.decode()} was cut into {_shown(got)}, in which the pair "
                    f"{_shown((a, b))} is wrong.",
                )
    return correct("맞았습니다. 병합을 하나도 하지 않았습니다.",
                   "Correct, without a single merge.")
