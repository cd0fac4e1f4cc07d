"""Checks for the exercises of chapter 11: variance on axes, context, chance, ranks."""

import pandas as pd
import torch

from lib.exercises import Verdict, correct, exercise
from lib.exercises.compare import compare, draw, number


@exercise
def check_axes(answer) -> None:
    """answer(x, k): the share of the variance of points x that k main axes hold."""
    scale = torch.tensor([3.0, 2.0, 1.5, 1.0, 0.5], dtype=torch.float64)
    for seed, k in ((1, 2), (2, 3)):
        x = draw(40, 5, seed=seed) * scale + 2
        got = number(answer(x.clone(), k))
        centred = x - x.mean(0)
        s, raw = torch.linalg.svdvals(centred), torch.linalg.svdvals(x).square()
        spread = centred.square().sum(0)
        compare(got, s[:k].square().sum() / s.square().sum(), [
            (raw[:k].sum() / raw.sum(),
             "평균을 빼지 않았습니다. 분산은 평균에서 잽니다.",
             "The mean is still in there; variance is measured from it."),
            (s[:k].sum() / s.sum(),
             "특이값이 아니라 특이값의 제곱이 분산입니다.",
             "Variance goes with the squares of the singular values."),
            (s[-k:].square().sum() / s.square().sum(),
             "가장 작은 축들을 골랐습니다. `eigh`는 작은 것부터 늘어놓습니다.",
             "These are the smallest axes; `eigh` lists the smallest first."),
            (spread[:k].sum() / spread.sum(),
             "그것은 처음 좌표축들입니다. 분산이 가장 큰 방향을 찾으십시오.",
             "Those are the first coordinates; find the directions of most variance."),
        ], f"k={k}에서 {got:.4g}이(가) 나왔습니다. 평균을 뺀 행렬의 특이값에서 "
           "구하십시오.",
           f"For k={k} it gives {got:.4g}; start from the singular values of the "
           "centred points.")


def _cells(z, group) -> tuple[float, int]:
    """Squares left around the mean of each group, and how many groups there are."""
    parts = [z[group == name] for name in group.unique()]
    return sum((p - p.mean(0)).square().sum().item() for p in parts), len(parts)


@exercise
def check_context(answer) -> Verdict:
    """answer(z, position, token): variance among equal tokens at equal positions, as a
    share of all: SS_within / (n − cells) over SS_total / (n − 1).
    """
    for seed in (3, 4):
        generator = torch.Generator().manual_seed(seed)
        n = 120
        position = torch.randint(4, (n,), generator=generator)
        token = torch.randint(3, (n,), generator=generator)
        z = torch.randn(n, 2, generator=generator, dtype=torch.float64)
        z = z + position[:, None] * 1.0 + (token == 1)[:, None] * position[:, None]
        total = (z - z.mean(0)).square().sum().item()
        within, cells = _cells(z, position * 3 + token)
        right = within / (n - cells) / (total / (n - 1))
        got = number(answer(z.clone(), position.clone(), token.clone()))
        one = [value for ss, p in (_cells(z, token), _cells(z, position))
               for value in (ss / (n - p) / (total / (n - 1)), ss / total)]
        compare(got, right, [
            (within / total,
             "제곱합의 비입니다. 제곱합을 각각의 자유도 n − 칸 수, n − 1로 나누십시오.",
             "That is a ratio of sums; divide each by n − cells and n − 1."),
            (1 - right,
             "그것은 자리와 글자가 설명한 몫입니다. 남은 몫을 구하십시오.",
             "That is the share position and token explain; the rest is asked for."),
            *((value,
               "한 가지로만 묶었습니다. 자리와 글자가 모두 같은 것끼리 묶으십시오.",
               "Grouped by one of the two; group by position and token together.")
              for value in one),
        ], f"{got:.4g}이(가) 나왔습니다. (자리, 글자) 쌍마다 평균을 빼고 남은 "
           "제곱합에서 시작하십시오.",
           f"It gives {got:.4g}; start from the squares left around the mean of each "
           "(position, token) pair.")
    return correct(
        "맞았습니다. 0층에서는 0이어야 합니다. 문맥을 아직 보지 않았으니까요.",
        "Correct; at layer 0 it must be 0, since no context has been seen yet.")


@exercise
def check_chance(answer) -> Verdict:
    """answer(counts): share of equal kinds among random pairs of different tokens."""
    for counts in ([5, 20, 26, 8], [1, 1, 1], [2, 9]):
        n = sum(counts)
        got = number(answer(list(counts)))
        compare(got, sum(c * (c - 1) for c in counts) / (n * (n - 1)), [
            (sum(c * c for c in counts) / n**2,
             "자기 자신을 이웃으로 뽑았습니다. 이웃은 나머지 n − 1개에서 나옵니다.",
             "A token may draw itself here; neighbours are among n − 1 others."),
            (1 / len(counts),
             "종류마다 개수가 다릅니다. 종류의 크기를 세어 넣으십시오.",
             "Kinds differ in size; let their counts in."),
        ], f"counts={counts}에서 {got:.4g}이(가) 나왔습니다. 크기 c인 종류의 토큰에는 "
           "같은 종류가 c − 1개 남아 있습니다.",
           f"For counts={counts} it gives {got:.4g}; a token of a kind of size c has "
           "c − 1 of its kind left.")
    return correct("맞았습니다. 섞어서 구한 평균과 견주어 보십시오.",
                   "Correct; compare it with the mean of the shuffles.")


@exercise
def check_rank_correlation(answer) -> None:
    """answer(x, y): Spearman's ρ, where equal values share their mean rank."""
    for case in (
        ([3.0, 1.0, 4.0, 1.5, 9.0, 2.0], [2.0, 7.0, 1.0, 8.0, 2.5, 8.5]),
        ([1.0, 1.0, 1.0, 50.0, 900.0, 20.0, 3.0], [1.0, 1.2, 0.9, 3.0, 2.0, 2.5, 1.1]),
    ):
        x, y = map(pd.Series, case)
        got, right = number(answer(x.copy(), y.copy())), x.rank().corr(y.rank())
        order = pd.Series(x.argsort().to_numpy()), pd.Series(y.argsort().to_numpy())
        compare(got, right, [
            (x.corr(y), "값의 상관입니다. 먼저 순위로 바꾸십시오.",
             "That correlates the values; turn them into ranks first."),
            (order[0].corr(order[1]),
             "`argsort`는 순위가 아니라 순서입니다. 한 번 더 하거나 `rank`를 쓰십시오.",
             "`argsort` gives the order, not ranks; do it twice or use `rank`."),
            (x.rank(method="first").corr(y.rank(method="first")),
             "같은 값에는 순위의 평균을 똑같이 나누어 주십시오.",
             "Equal values share the mean of their ranks."),
        ], f"{right:.3f}(이)어야 하는데 {got:.3f}이(가) 나왔습니다. 순위를 매긴 다음 "
           "피어슨 상관을 구하십시오.",
           f"It gives {got:.3f} instead of {right:.3f}; rank, then take Pearson's "
           "correlation.")
