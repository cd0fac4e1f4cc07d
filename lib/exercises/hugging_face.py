"""Checks of the exercises of chapter 06."""

import itertools

import torch

from lib.attention.conversion import names
from lib.attention.transformer import TransformerConfig
from lib.exercises import Verdict, correct, exercise, require
from lib.exercises.compare import compare, number, tensor

IGNORED = -100


@exercise
def check_shift(answer) -> None:
    """Labels to what the decoder reads: `(labels, bos, pad) -> ids`."""
    for bos, pad, rows in (
        (1, 0, [[7, 8, 2], [5, 2, IGNORED]]),
        (9, 3, [[4, 5, 6, 2]]),
        (1, 0, [[2, IGNORED, IGNORED, IGNORED], [6, 2, IGNORED, IGNORED]]),
    ):
        labels = torch.tensor(rows)
        copy = labels.clone()
        got = answer(copy, bos, pad)
        require(copy.equal(labels),
                "받은 `labels`를 고쳤습니다. 손실에 쓸 값이니 복사하십시오.",
                "The `labels` were changed; the loss still needs them, so work on a "
                "copy.")
        moved = torch.cat((torch.full((len(labels), 1), bos), labels[:, :-1]), dim=1)
        got = tensor(got, moved.shape)
        compare(got, moved.masked_fill(moved == IGNORED, pad), [
            (moved, f"{IGNORED}이(가) 남았습니다. 임베딩에는 그런 행이 없습니다.",
             f"{IGNORED} is left; no embedding has such a row."),
            (labels.masked_fill(labels == IGNORED, pad),
             "디코더가 맞혀야 할 답을 그대로 읽습니다. 한 칸 미십시오.",
             "The decoder reads the answer itself; move it by one."),
            (not (got[:, 0] == bos).all(), "첫 칸은 시작 토큰이어야 합니다.",
             "The first place belongs to the start token."),
        ], f"{rows}에서 {got.long().tolist()}이(가) 나왔습니다.",
           f"{rows} became {got.long().tolist()}.")


@exercise
def check_mean(answer) -> None:
    """Part means and their token counts to the mean of the whole batch."""
    for means, tokens in (([2.0, 4.0], [30, 10]), ([1.5], [7]),
                          ([3.0, 1.0, 2.0, 5.0], [1, 50, 20, 4])):
        got = number(answer(list(means), list(tokens)))
        total = sum(m * t for m, t in zip(means, tokens, strict=True))
        compare(got, total / sum(tokens), [
            (sum(means) / len(means),
             "평균의 평균입니다. 토큰이 적은 조각이 너무 무거워집니다.",
             "That is a mean of means: a part with few tokens counts too much."),
            (sum(means), "평균의 합입니다. 본문의 ‘곧이곧대로’가 하던 일입니다.",
             "That is a sum of means: the mistake measured above."),
        ], f"평균 {means}, 토큰 수 {tokens}일 때 {got:.4g}이(가) 나왔습니다.",
           f"Means {means} over {tokens} tokens gave {got:.4g}.")


@exercise
def check_name(answer) -> None:
    """The name of a parameter of ours in Pegasus."""
    config = TransformerConfig(vocab=9, d_model=8, n_heads=2, n_layers=12,
                               norm_first=True)
    for name in names(config):
        got = answer(name.ours)
        require(got == name.theirs,
                f"{name.ours}의 답이 {got}입니다. 표에서 이 줄을 다시 보십시오.",
                f"For {name.ours} the answer is {got}; look at its row in the table.")


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

    def whole(self, tokens) -> tuple[int, ...]:
        """A sequence up to its end token, which is added where it is missing."""
        tokens = (*(int(token) for token in tokens), self.end)
        return tokens[: tokens.index(self.end) + 1]


@exercise
def check_beam(answer) -> Verdict:
    """Beam search over a table: `(following, width, end, limit) -> tokens`."""
    missed = 0
    for seed in range(12):
        table = Table(vocab=4, limit=4, seed=seed)
        best, greedy = table.best(), table.greedy()
        narrow = table.whole(answer(table, 1, table.end, table.limit))
        require(narrow == greedy,
                "폭이 1이면 가장 그럴듯한 토큰만 따라가야 합니다. "
                f"{list(narrow)}이(가) 나왔고 {list(greedy)}(이)어야 합니다.",
                "With width 1 only the likeliest token is followed: "
                f"{list(narrow)} came, {list(greedy)} is right.")
        wide = table.whole(answer(table, 4**4, table.end, table.limit))
        came, better = f"{table.score(wide):.3f}", f"{table.score(best):.3f}"
        require(wide == best,
                "폭이 모든 갈래보다 넓으면 가장 그럴듯한 문장을 찾아야 합니다. "
                f"{list(wide)}(로그 확률 {came})가 나왔지만 {list(best)}({better})이 "
                "더 낫습니다.",
                "With a width beyond all branches it must find the likeliest sequence: "
                f"{list(wide)} (log-probability {came}) came, but {list(best)} "
                f"({better}) is better.")
        missed += best != greedy
    return correct(f"맞았습니다. 탐욕은 12번 중 {missed}번 더 나은 문장을 놓쳤습니다.",
                   f"Correct. Greedy missed a better sequence {missed} times in 12.")
