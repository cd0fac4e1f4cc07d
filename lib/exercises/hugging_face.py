"""Checks of the exercises of chapter 06."""

import itertools
import math
from typing import Any

import torch

from lib.attention.conversion import names
from lib.attention.transformer import TransformerConfig
from lib.exercises import Verdict, correct, exercise, not_yet

NONE_YET = ("아직 답이 없습니다.", "There is no answer yet.")
IGNORED = -100


def _empty(found: object) -> bool:
    return found is None or found is Ellipsis


# ---- 1 ------------------------------------------------------------------------------


@exercise
def check_shift(answer) -> Verdict:
    """Labels to what the decoder reads: `(labels, bos, pad) -> ids`."""
    for bos, pad, rows in (
        (1, 0, [[7, 8, 2], [5, 2, IGNORED]]),
        (9, 3, [[4, 5, 6, 2]]),
        (1, 0, [[2, IGNORED, IGNORED, IGNORED], [6, 2, IGNORED, IGNORED]]),
    ):
        labels = torch.tensor(rows)
        given = labels.clone()
        found = answer(given, bos, pad)
        if _empty(found):
            return not_yet(*NONE_YET)
        found = torch.as_tensor(found)
        right = torch.cat((torch.full((len(labels), 1), bos), labels[:, :-1]), dim=1)
        closed = right.masked_fill(right == IGNORED, pad)
        if not given.equal(labels):
            return not_yet("받은 `labels`를 고쳤습니다. 손실에 쓸 값이니 복사하십시오.",
                           "The `labels` were changed; the loss still needs them, so "
                           "work on a copy.")
        if found.shape != closed.shape:
            return not_yet(
                f"모양이 {tuple(found.shape)}인데 {tuple(closed.shape)}이어야 합니다.",
                f"The shape is {tuple(found.shape)}; it should be "
                f"{tuple(closed.shape)}.")
        if found.equal(closed):
            continue
        if found.equal(right):
            return not_yet(f"{IGNORED}이 남았습니다. 임베딩에는 그런 행이 없습니다.",
                           f"{IGNORED} is left; no embedding has such a row.")
        if found.equal(labels.masked_fill(labels == IGNORED, pad)):
            return not_yet("디코더가 맞혀야 할 답을 그대로 읽습니다. 한 칸 미십시오.",
                           "The decoder reads the answer itself; move it by one.")
        if not (found[:, 0] == bos).all():
            return not_yet("첫 칸은 시작 토큰이어야 합니다.",
                           "The first place belongs to the start token.")
        return not_yet(f"{labels.tolist()}에서 {found.tolist()}가 나왔습니다.",
                       f"{labels.tolist()} became {found.tolist()}.")
    return correct()


# ---- 2 ------------------------------------------------------------------------------


@exercise
def check_mean(answer) -> Verdict:
    """Part means and their token counts to the mean of the whole batch."""
    for means, tokens in (([2.0, 4.0], [30, 10]), ([1.5], [7]),
                          ([3.0, 1.0, 2.0, 5.0], [1, 50, 20, 4])):
        found = answer(list(means), list(tokens))
        if _empty(found):
            return not_yet(*NONE_YET)
        found = float(found)
        right = sum(m * t for m, t in zip(means, tokens, strict=True)) / sum(tokens)
        if math.isclose(found, right, rel_tol=1e-6):
            continue
        if math.isclose(found, sum(means) / len(means), rel_tol=1e-6):
            return not_yet("평균의 평균입니다. 토큰이 적은 조각이 너무 무거워집니다.",
                           "That is a mean of means: a part with few tokens counts too "
                           "much.")
        if math.isclose(found, sum(means), rel_tol=1e-6):
            return not_yet("평균의 합입니다. 본문의 ‘곧이곧대로’가 하던 일입니다.",
                           "That is a sum of means: the mistake measured above.")
        return not_yet(
            f"평균 {means}, 토큰 수 {tokens}일 때 {found:.4g}이 나왔습니다.",
            f"Means {means} over {tokens} tokens gave {found:.4g}.")
    return correct()


# ---- 3 ------------------------------------------------------------------------------


@exercise
def check_name(answer) -> Verdict:
    """The name of a parameter of ours in Pegasus."""
    config = TransformerConfig(vocab=9, d_model=8, n_heads=2, n_layers=12,
                               norm_first=True)
    for name in names(config):
        found = answer(name.ours)
        if _empty(found):
            return not_yet(*NONE_YET)
        if found != name.theirs:
            return not_yet(
                f"{name.ours}의 답이 {found}입니다. 표에서 이 줄을 다시 보십시오.",
                f"For {name.ours} the answer is {found}; look at its row in the table.")
    return correct()


# ---- 4 ------------------------------------------------------------------------------


class Table:
    """A language of few tokens: log-probabilities of the next one, for each prefix."""

    def __init__(self, vocab: int, limit: int, seed: int, sharp: float = 1.5) -> None:
        self.vocab, self.limit, self.end = vocab, limit, 0
        generator = torch.Generator().manual_seed(seed)
        self.rows = {
            prefix: (sharp * torch.randn(vocab, generator=generator)).log_softmax(0)
            for length in range(limit)
            for prefix in itertools.product(range(1, vocab), repeat=length)
        }
        for prefix, row in self.rows.items():
            if len(prefix) == limit - 1:  # the last token can only be the end
                row.fill_(-torch.inf)
                row[self.end] = 0.0

    def __call__(self, prefix) -> torch.Tensor:
        return self.rows[tuple(int(token) for token in prefix)].clone()

    def score(self, tokens: tuple[int, ...]) -> float:
        """Log-probability of a sequence that ends with the end token."""
        return sum(self.rows[tokens[:i]][token].item()
                   for i, token in enumerate(tokens))

    def best(self) -> tuple[int, ...]:
        """The likeliest of all sequences."""
        return max(((*prefix, self.end) for prefix in self.rows), key=self.score)

    def greedy(self) -> tuple[int, ...]:
        """The likeliest token, again and again."""
        prefix: tuple[int, ...] = ()
        while not prefix or prefix[-1] != self.end:
            prefix = (*prefix, int(self.rows[prefix].argmax()))
        return prefix


@exercise
def check_beam(answer) -> Verdict:
    """Beam search over a table: `(following, width, end, limit) -> tokens`."""
    missed = 0
    for seed in range(12):
        table = Table(vocab=4, limit=4, seed=seed)
        found = _tokens(answer(table, 1, table.end, table.limit), table)
        if found is None:
            return not_yet(*NONE_YET)
        if found != table.greedy():
            return not_yet(
                f"폭이 1이면 가장 그럴듯한 토큰만 따라가야 합니다. {list(found)}가 "
                f"나왔고 {list(table.greedy())}이어야 합니다.",
                "With width 1 only the likeliest token is followed: "
                f"{list(found)} came, {list(table.greedy())} is right.")
        wide = _tokens(answer(table, 4**4, table.end, table.limit), table)
        if wide is None:
            return not_yet(*NONE_YET)
        if wide != table.best():
            return not_yet(
                "폭이 모든 갈래보다 넓으면 가장 그럴듯한 문장을 찾아야 합니다. "
                f"{list(wide)}(로그 확률 {table.score(wide):.3f})가 나왔지만 "
                f"{list(table.best())}({table.score(table.best()):.3f})이 더 낫습니다.",
                "With a width beyond all branches it must find the likeliest sequence: "
                f"{list(wide)} (log-probability {table.score(wide):.3f}) came, but "
                f"{list(table.best())} ({table.score(table.best()):.3f}) is better.")
        missed += table.best() != table.greedy()
    return correct(f"맞았습니다. 탐욕은 12번 중 {missed}번 더 나은 문장을 놓쳤습니다.",
                   f"Correct. Greedy missed a better sequence {missed} times in 12.")


def _tokens(found: Any, table: Table) -> tuple[int, ...] | None:
    """The answer as a tuple that ends with the end token; None where there is none."""
    if _empty(found):
        return None
    tokens = tuple(int(token) for token in found)
    if table.end in tokens:
        return tokens[: tokens.index(table.end) + 1]
    return (*tokens, table.end)
