"""Checks for the exercises of the chapter on BPE and Unigram."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from lib.exercises import Hint, Verdict, correct, exercise, require
from lib.exercises.compare import close, shown
from lib.tokens.certificates import all_cuts
from lib.tokens.distill import bpe_cuts, piece_bytes, viterbi

Pair = tuple[bytes, bytes]


@exercise
def check_merge(answer) -> None:
    """`answer(cut, pair)` joins every occurrence of the pair, from the left."""
    a, b, c = b"a", b"b", b"c"
    for cut, pair, want in (
        ([a, b, c, a, b], (a, b), [b"ab", c, b"ab"]),
        ([b, a, c], (a, b), [b, a, c]),
        ([a, a, a], (a, a), [b"aa", a]),
        ([a, a, a, a], (a, a), [b"aa", b"aa"]),
        ([b"ab", c, a, b"bc"], (a, b"bc"), [b"ab", c, b"abc"]),
        ([b"aa", a, a], (b"aa", a), [b"aaa", a]),
        ([a], (a, a), [a]),
    ):
        got = list(answer(list(cut), pair))
        require(got == want,
                f"{shown(cut)}에서 {shown(pair)} 쌍을 붙이면 {shown(want)}인데, 답은 "
                f"{shown(got)}입니다.",
                f"In {shown(cut)}, joining {shown(pair)} gives {shown(want)}; the "
                f"answer gave {shown(got)}.")


@exercise
def check_fewest(word: Any, teacher: Any) -> Verdict:
    """A word that `teacher` cuts into more tokens than its vocabulary would need."""
    require(isinstance(word, str) and word.isascii() and word.strip().isalpha()
            and 4 <= len(word.strip()) <= 40,
            "로마자 4–40글자로 된 낱말 하나를 문자열로 주십시오.",
            "Give one word of 4 to 40 Latin letters, as a string.")
    require(len(teacher.pre_tokenizer.pre_tokenize_str(word)) == 1,
            "프리토큰 하나가 되는 낱말이어야 합니다.", "It must be a single pre-token.")
    pieces = piece_bytes(teacher)
    cut = [pieces[i] for i in bpe_cuts(teacher, [word.encode()])[0]]
    fewest = viterbi(word.encode(), dict.fromkeys(filter(None, pieces), -1.0))
    require(len(cut) != len(fewest),
            f"{shown(cut)}: 이 어휘로는 더 적게 자를 수 없습니다. 긴 낱말을 여럿 "
            "시험해 보십시오.",
            f"{shown(cut)}: this vocabulary needs as many. Try many long words.")
    return correct(f"맞았습니다. BPE는 {shown(cut)}, 가장 적게는 {shown(fewest)}.",
                   f"Correct: BPE cuts {shown(cut)}; {shown(fewest)} would do.")


_P = {b"a": 0.3, b"n": 0.2, b"b": 0.1, b"an": 0.15, b"na": 0.12, b"ana": 0.08,
      b"ban": 0.05}


@exercise
def check_expected(answer) -> None:
    """`answer(word, p)` returns how often each piece is expected in the word."""
    for word in ("ban", "banana", "ananab"):
        cuts = all_cuts(word.encode(), _P)
        chance = {cut: math.prod(_P[t] for t in cut) for cut in cuts}
        want = dict.fromkeys(_P, 0.0)
        for cut, probability in chance.items():
            for piece in cut:
                want[piece] += probability / sum(chance.values())
        counts = answer(word.encode(), dict(_P))
        got = {piece: counts.get(piece, 0.0) for piece in _P}
        letters = sum(len(t) * got[t] for t in _P)
        for piece in (t for t in _P if not close(got[t], want[t])):
            require(close(letters, float(len(word))),
                    f"기대 횟수에 조각의 길이를 곱해 더하면 {word}의 글자 수 "
                    f"{len(word)}(이)어야 하는데 {letters:.4f}입니다. Z로 나누었는지, "
                    "두 번 나온 조각을 두 번 세었는지 보십시오.",
                    f"Counts times lengths must add up to the {len(word)} letters of "
                    f"{word} and give {letters:.4f}. Did you divide by Z, and count a "
                    "piece twice where it stands twice?")
            raise Hint(
                f"{word}에서 조각 {shown([piece])}의 기대 횟수는 {want[piece]:.4f}인데 "
                f"{got[piece]:.4f}입니다. 가장 나은 나열 하나만이 아니라 모든 나열을 "
                "확률만큼 세십시오.",
                f"In {word} the piece {shown([piece])} is expected {want[piece]:.4f} "
                f"times, not {got[piece]:.4f}. Count every sequence as much as it is "
                "likely, not only the best one.")


_MERGES: tuple[tuple[list[Pair], list[bytes]], ...] = (
    ([(b"a", b"b"), (b"a", b"a"), (b"ab", b"b"), (b"b", b"aa"), (b"ab", b"ab"),
      (b"aa", b"aa")],
     [b"a", b"ab", b"abab", b"aaaaa", b"abbaab", b"babaababba"]),
    ([(b"t", b"h"), (b"h", b"e"), (b"e", b"r"), (b"th", b"e"), (b"f", b"a"),
      (b"a", b"t"), (b"th", b"er"), (b"fa", b"ther")],
     [b"father", b"that", b"thefatherathe", b"rather"]),
)
"""Merges, and words to be cut by them."""


def _bpe(word: bytes, merges: Sequence[Pair]) -> list[bytes]:
    """The pieces of a word: the first merge of the list that fits, leftmost first."""
    cut = [word[i : i + 1] for i in range(len(word))]
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    while pairs := [(ranks[p], i) for i, p in enumerate(pairwise(cut)) if p in ranks]:
        _, i = min(pairs)
        cut[i : i + 2] = [cut[i] + cut[i + 1]]
    return cut


@exercise
def check_pairs(answer) -> Verdict:
    """`answer(word, pieces, pair_is_right)` cuts as BPE does, without merges."""
    for merges, words in _MERGES:
        pieces = {b"".join(pair) for pair in merges}
        pieces |= {bytes([b]) for pair in merges for piece in pair for b in piece}

        def right(a: bytes, b: bytes, merges: Sequence[Pair] = merges) -> bool:
            return _bpe(a + b, merges) == [a, b]

        for word in words:
            got, text = list(answer(word, set(pieces), right)), word.decode()
            require(b"".join(got) == word and set(got) <= pieces,
                    f"{shown(got)}: 어휘의 조각만 이어서 낱말 {text}의 글자를 빠짐없이 "
                    "적어야 합니다.",
                    f"{shown(got)}: pieces of the vocabulary must spell {text}.")
            # where every pair is right, the cut is BPE's
            wrong = shown(next((p for p in pairwise(got) if not right(*p)), ()))
            require(got == _bpe(word, merges),
                    f"{text} → {shown(got)}: 쌍 {wrong}에서 어긋납니다.",
                    f"{text} was cut into {shown(got)}, in which the pair {wrong} is "
                    "wrong.")
    return correct("맞았습니다. 병합을 하나도 하지 않았습니다.",
                   "Correct, without a single merge.")
