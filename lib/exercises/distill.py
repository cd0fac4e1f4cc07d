"""Checks for the exercises of the chapter on tokenizer distillation."""

from typing import Any

from lib.exercises import Hint, Verdict, correct, exercise, require
from lib.exercises.compare import close, shown
from lib.tokens.certificates import Demand, demands, is_tie, opposite
from lib.tokens.distill import bpe_cuts, piece_bytes, viterbi

_TOY = {b"a": -2.0, b"b": -2.5, b"c": -3.0, b"ab": -4.0, b"bc": -5.0, b"abc": -7.25}


@exercise
def check_viterbi(answer) -> Verdict:
    """`answer(word, scores)` returns the best cut, ties as `tokenizers` breaks them."""
    for word in (b"abc", b"abcab", b"ccbab"):
        got = answer(word, _TOY)
        require(b"".join(got) == word,
                f"{got!r}을(를) 이으면 {word!r}이(가) 되지 않습니다.",
                f"{got!r} does not spell {word!r}.")
        value, best = (sum(_TOY[piece] for piece in cut)
                       for cut in (got, viterbi(word, _TOY)))
        require(close(value, best, rtol=1e-9),
                f"{word!r}에서 점수의 합이 {value}인데, 합이 더 높은 경로({best})가 "
                "있습니다.",
                f"For {word!r} the sum is {value}; there is a path with {best}.")
    even = {b"p": -1.0, b"pp": -1.5}
    for word in (b"ppp", b"ppppp"):
        require(list(answer(word, even)) == viterbi(word, even),
                "합은 맞습니다. 합이 같으면 마지막 조각이 가장 긴 경로를 남기십시오.",
                "The sums are right. Among equal sums keep the path whose last piece "
                "is longest.")
    return correct("맞았습니다. 동점까지 tokenizers와 같습니다.",
                   "Correct, ties included.")


@exercise
def check_update(answer) -> None:
    """`answer(scores, gold, rival, margin, rate)` returns the scores after one step."""
    for gold, rival, margin, rate in (
        ((b"h", b"ugs"), (b"hug", b"s"), 0.1, 1.0),
        ((b"h", b"ugs"), (b"hug", b"s"), 5.0, 0.25),
        ((b"ab", b"ab", b"c"), (b"a", b"b", b"ab", b"c"), 2.5, 1.0),
        ((b"hug", b"s"), (b"h", b"ugs"), 0.1, 1.0),
    ):
        start = {piece: -1.0 - 0.25 * len(piece) for piece in (*gold, *rival)}
        start[b"hug"] = -1.5
        want = dict(start)
        delta = Demand(gold, rival).terms()
        m = sum(n * start[piece] for piece, n in delta.items())
        if m < margin:
            step = min(rate, (margin - m) / sum(n * n for n in delta.values()))
            for piece, n in delta.items():
                want[piece] += step * n
        got = answer(dict(start), gold, rival, margin, rate)
        for piece in (p for p in want if not close(got[p], want[p], rtol=1e-9)):
            require(m < margin,
                    "마진이 이미 충분한 낱말에서는 점수를 그대로 두어야 합니다.",
                    "A word whose margin is wide enough must leave the scores alone.")
            raise Hint(
                f"{piece!r}의 점수가 {got[piece]:.4f}입니다. 두 경로에 함께 있는 "
                "조각과 보폭의 상한을 다시 보십시오.",
                f"{piece!r} got {got[piece]:.4f}; look again at pieces that both "
                "paths use, and at the cap on the step.")


@exercise
def check_tie(word: Any, teacher: Any) -> Verdict:
    """A word in which only the order of the pieces keeps Unigram from BPE's path."""
    require(isinstance(word, str) and 2 <= len(word.encode()) <= 12,
            "2–12바이트짜리 문자열을 주십시오.", "Give a string of 2 to 12 bytes.")
    require(word not in ("ppp", "'''", "\n\n\n"),
            "본문에 나온 예입니다. 다른 것을 찾아 보십시오.",
            "The chapter has this one already; find another.")
    asked, cut = _demands(word, teacher)
    require(len(teacher.pre_tokenizer.pre_tokenize_str(word)) == 1,
            "프리토큰 하나가 되는 문자열이어야 합니다.",
            "It must be a single pre-token.")
    require(any(map(is_tie, asked)),
            f"BPE의 분할은 {shown(cut)}입니다. 같은 조각을 다른 순서로 이은 경로가 "
            "이를 앞서지 않습니다.",
            f"BPE cuts it into {shown(cut)}, and no other order of these pieces is "
            "preferred to it.")
    return correct(f"맞았습니다. BPE의 분할: {shown(cut)}",
                   f"Correct: BPE cuts it into {shown(cut)}.")


@exercise
def check_opposite(words: Any, teacher: Any) -> Verdict:
    """Two words with opposite demands, other than the pair of the chapter."""
    require(isinstance(words, (tuple, list)) and len(words) == 2,
            "낱말 두 개를 튜플로 주십시오.", "Give a tuple of two words.")
    require(all(len(word.encode()) <= 12 for word in words),
            "12바이트보다 긴 낱말은 경로가 너무 많습니다.",
            "A word longer than 12 bytes has too many paths.")
    pair = opposite(*(_demands(word, teacher)[0] for word in words))
    if pair is None:
        raise Hint("두 낱말의 요구를 더해도 0 > 0이 되지 않습니다. 숫자 0, 2, 5, 8로 "
                   "된 낱말을 여럿 만들어 견주어 보십시오.",
                   "No two demands of these words add up to 0 > 0. Make many words of "
                   "the digits 0, 2, 5, 8 and compare them.")
    require({p.strip() for p in pair[0].terms()} != {b"8", b"280", b"80", b"82"},
            "본문과 같은 네 조각입니다. 다른 조각으로 찾아 보십시오.",
            "These are the chapter's four pieces; find others.")
    return correct(f"맞았습니다. {pair[0]} 그리고 {pair[1]}",
                   f"Correct: {pair[0]} and {pair[1]}")


def _demands(word: str, teacher: Any) -> tuple[list[Demand], tuple[bytes, ...]]:
    pieces = piece_bytes(teacher)
    gold = tuple(pieces[index] for index in bpe_cuts(teacher, [word.encode()])[0])
    return demands(gold, {piece for piece in pieces if piece}), gold


@exercise
def check_scores(scores: Any) -> None:
    """Scores under which *hugs* becomes hu + gs while every piece stays whole."""
    needed = ["h", "u", "g", "s", "hu", "ug", "gs", "ugs"]
    missing = ", ".join(p for p in needed if scores.get(p, ...) is ...)
    require(not missing, f"아직 점수가 없는 조각: {missing}",
            f"No score yet for: {missing}")
    table = {piece.encode(): float(scores[piece]) for piece in needed}
    for piece in needed[4:]:
        cut = shown(viterbi(piece.encode(), table))
        require(cut == piece, f"{piece} 조각이 갈라집니다: {cut}",
                f"The piece {piece} falls apart into {cut}.")
    cut = shown(viterbi(b"hugs", table))
    require(cut == "hu · gs", f"hugs의 최적 경로가 아직 {cut}입니다.",
            f"The best path of hugs is still {cut}.")
