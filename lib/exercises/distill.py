"""Checks for the exercises of the chapter on tokenizer distillation."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from lib.exercises import Verdict, correct, exercise, not_yet
from lib.tokens.certificates import Demand, demands, is_tie, opposite
from lib.tokens.distill import bpe_cuts, piece_bytes, viterbi


def _shown(cut: Iterable[bytes]) -> str:
    return " · ".join(piece.decode("utf-8", "replace") for piece in cut)


_TOY = {b"a": -2.0, b"b": -2.5, b"c": -3.0, b"ab": -4.0, b"bc": -5.0, b"abc": -7.25}


@exercise
def check_viterbi(answer: Any) -> Verdict:
    """`answer(word, scores)` returns the best cut, ties as `tokenizers` breaks them."""
    for word in (b"abc", b"abcab", b"ccbab"):
        want, got = viterbi(word, _TOY), answer(word, _TOY)
        if got is None or got is Ellipsis:
            return not_yet("아직 답이 없습니다.", "There is no answer yet.")
        if b"".join(got) != word:
            return not_yet(
                f"{got!r}을(를) 이으면 {word!r}이(가) 되지 않습니다.",
                f"{got!r} does not spell {word!r}.",
            )
        value, best = (sum(_TOY[piece] for piece in cut) for cut in (got, want))
        if not math.isclose(value, best):
            return not_yet(
                f"{word!r}에서 점수의 합이 {value}인데, 합이 더 높은 경로({best})가 "
                "있습니다.",
                f"For {word!r} the sum is {value}; there is a path with {best}.",
            )
    even = {b"p": -1.0, b"pp": -1.5}
    for word in (b"ppp", b"ppppp"):
        if list(answer(word, even)) != viterbi(word, even):
            return not_yet(
                "합은 맞습니다. 합이 같으면 마지막 조각이 가장 긴 경로를 남기십시오.",
                "The sums are right. Among equal sums keep the path whose last piece "
                "is longest.",
            )
    return correct(
        "맞았습니다. 동점까지 tokenizers와 같습니다.",
        "Correct, ties included.",
    )


@exercise
def check_update(answer: Any) -> Verdict:
    """`answer(scores, gold, rival, margin, rate)` returns the scores after one step."""
    cases = [
        ((b"h", b"ugs"), (b"hug", b"s"), 0.1, 1.0),
        ((b"h", b"ugs"), (b"hug", b"s"), 5.0, 0.25),
        ((b"ab", b"ab", b"c"), (b"a", b"b", b"ab", b"c"), 2.5, 1.0),
        ((b"hug", b"s"), (b"h", b"ugs"), 0.1, 1.0),
    ]
    for gold, rival, margin, rate in cases:
        start = {piece: -1.0 - 0.25 * len(piece) for piece in {*gold, *rival}}
        start[b"hug"] = -1.5
        want = dict(start)
        delta = Demand(gold, rival).terms()
        m = sum(n * start[piece] for piece, n in delta.items())
        if m < margin:
            step = min(rate, (margin - m) / sum(n * n for n in delta.values()))
            for piece, n in delta.items():
                want[piece] += step * n
        given = dict(start)
        got = answer(given, gold, rival, margin, rate)
        if got is None or got is Ellipsis:
            return not_yet("아직 답이 없습니다.", "There is no answer yet.")
        off = [piece for piece in want
               if not math.isclose(got[piece], want[piece], abs_tol=1e-9)]
        if off and m >= margin:
            return not_yet(
                "마진이 이미 충분한 낱말에서는 점수를 그대로 두어야 합니다.",
                "A word whose margin is wide enough must leave the scores alone.",
            )
        if off:
            return not_yet(
                f"{off[0]!r}의 점수가 {got[off[0]]:.4f}입니다. 두 경로에 함께 있는 "
                "조각과 보폭의 상한을 다시 보십시오.",
                f"{off[0]!r} got {got[off[0]]:.4f}; look again at pieces that both "
                "paths use, and at the cap on the step.",
            )
    return correct()


@exercise
def check_tie(word: Any, teacher: Any) -> Verdict:
    """A word in which only the order of the pieces keeps Unigram from BPE's path."""
    if not isinstance(word, str) or not 2 <= len(word.encode()) <= 12:
        return not_yet("2–12바이트짜리 문자열을 주십시오.",
                       "Give a string of 2 to 12 bytes.")
    if word in ("ppp", "'''", "\n\n\n"):
        return not_yet("본문에 나온 예입니다. 다른 것을 찾아 보십시오.",
                       "The chapter has this one already; find another.")
    chosen, cut = _demands(word, teacher)
    if len(teacher.pre_tokenizer.pre_tokenize_str(word)) != 1:
        return not_yet("프리토큰 하나가 되는 문자열이어야 합니다.",
                       "It must be a single pre-token.")
    shown = _shown(cut)
    for demand in chosen:
        if is_tie(demand):
            return correct(f"맞았습니다. BPE의 분할: {shown}",
                           f"Correct: BPE cuts it into {shown}.")
    return not_yet(
        f"BPE의 분할은 {shown}입니다. 같은 조각을 다른 순서로 이은 경로가 이를 앞서지 "
        "않습니다.",
        f"BPE cuts it into {shown}, and no other order of these pieces is preferred to "
        "it.",
    )


@exercise
def check_opposite(words: Any, teacher: Any) -> Verdict:
    """Two words with opposite demands, other than the pair of the chapter."""
    if not isinstance(words, (tuple, list)) or len(words) != 2:
        return not_yet("낱말 두 개를 튜플로 주십시오.", "Give a tuple of two words.")
    first, second = words
    if any(len(word.encode()) > 12 for word in words):
        return not_yet("12바이트보다 긴 낱말은 경로가 너무 많습니다.",
                       "A word longer than 12 bytes has too many paths.")
    found = opposite(_demands(first, teacher)[0], _demands(second, teacher)[0])
    if found is None:
        return not_yet(
            "두 낱말의 요구를 더해도 0 > 0이 되지 않습니다. 숫자 0, 2, 5, 8로 된 "
            "낱말을 여럿 만들어 견주어 보십시오.",
            "No two demands of these words add up to 0 > 0. Make many words of the "
            "digits 0, 2, 5, 8 and compare them.",
        )
    if {piece.strip() for piece in found[0].terms()} == {b"8", b"280", b"80", b"82"}:
        return not_yet("본문과 같은 네 조각입니다. 다른 조각으로 찾아 보십시오.",
                       "These are the chapter's four pieces; find others.")
    return correct(f"맞았습니다. {found[0]} 그리고 {found[1]}",
                   f"Correct: {found[0]} and {found[1]}")


def _demands(word: str, teacher: Any) -> tuple[list[Demand], tuple[bytes, ...]]:
    pieces = piece_bytes(teacher)
    gold = tuple(pieces[index] for index in bpe_cuts(teacher, [word.encode()])[0])
    return demands(gold, {piece for piece in pieces if piece}), gold


@exercise
def check_scores(scores: Any) -> Verdict:
    """Scores under which *hugs* becomes hu + gs while every piece stays whole."""
    needed = ["h", "u", "g", "s", "hu", "ug", "gs", "ugs"]
    missing = [piece for piece in needed if scores.get(piece, ...) is ...]
    if missing:
        return not_yet(f"아직 점수가 없는 조각: {', '.join(missing)}",
                       f"No score yet for: {', '.join(missing)}")
    table = {piece.encode(): float(scores[piece]) for piece in needed}
    for piece in needed[4:]:
        cut = _shown(viterbi(piece.encode(), table))
        if cut != piece:
            return not_yet(f"{piece} 조각이 갈라집니다: {cut}",
                           f"The piece {piece} falls apart into {cut}.")
    cut = _shown(viterbi(b"hugs", table))
    if cut != "hu · gs":
        return not_yet(f"hugs의 최적 경로가 아직 {cut}입니다.",
                       f"The best path of hugs is still {cut}.")
    return correct()
