"""The checks of chapter 11: right answers of any shape pass, wrong ones get a hint."""

import numpy as np
import pandas as pd
import torch
from exercise_cases import accepts, chapter, hints, stubs

from lib.exercises.atlas import (
    check_axes,
    check_chance,
    check_context,
    check_rank_correlation,
)

CHECKS = (check_axes, check_context, check_chance, check_rank_correlation)


# right answers


def axes_by_svd(x, k):
    s = torch.linalg.svdvals(x - x.mean(0)) ** 2
    return s[:k].sum() / s.sum()


def axes_by_covariance(x, k):
    variance = np.linalg.eigvalsh(np.cov(x.numpy().T))[::-1]
    return variance[:k].sum() / variance.sum()


def context_by_pandas(z, position, token):
    keys = [position.numpy(), token.numpy()]
    frame = pd.DataFrame(z.numpy())
    within = frame - frame.groupby(keys).transform("mean")
    cells = frame.groupby(keys).ngroups
    left = (within**2).to_numpy().sum() / (len(frame) - cells)
    return left / frame.var().sum()


def context_by_one_hot(z, position, token):
    cells = torch.unique(position * 99 + token, return_inverse=True)[1]
    one_hot = torch.nn.functional.one_hot(cells).to(z)
    left = z - one_hot @ torch.linalg.lstsq(one_hot, z).solution
    return left.square().sum() / (len(z) - one_hot.shape[1]) / z.var(0).sum()


def chance_by_formula(counts):
    n = sum(counts)
    return sum(c / n * (c - 1) / (n - 1) for c in counts)


def chance_by_pairs(counts):
    kinds = np.repeat(np.arange(len(counts)), counts)
    same = kinds[:, None] == kinds[None]
    return same[~np.eye(len(kinds), dtype=bool)].mean()


def ranks_by_pandas(x, y):
    return x.corr(y, method=lambda a, b: pd.Series(a).rank().corr(pd.Series(b).rank()))


def ranks_by_counting(x, y):
    def rank(v):
        v = np.asarray(v)
        return (v[:, None] > v).sum(1) + (v[:, None] == v).sum(1) / 2

    return np.corrcoef(rank(x), rank(y))[0, 1]


test_check_axes_accepts_what_is_right = accepts(
    check_axes, axes_by_svd, axes_by_covariance)
test_check_context_accepts_what_is_right = accepts(
    check_context, context_by_pandas, context_by_one_hot)
test_check_chance_accepts_what_is_right = accepts(
    check_chance, chance_by_formula, chance_by_pairs)
test_check_rank_correlation_accepts_what_is_right = accepts(
    check_rank_correlation, ranks_by_pandas, ranks_by_counting)


# wrong answers, each with a word of its hint


def share(s, k):
    return s[:k].sum() / s.sum()


def within(z, group):
    means = torch.stack([z[group == g].mean(0) for g in group])
    return (z - means).square().sum() / (z - z.mean(0)).square().sum()


test_check_axes_hints_at_what_is_wrong = hints(
    check_axes,
    (lambda x, k: share(torch.linalg.svdvals(x) ** 2, k), "mean"),
    (lambda x, k: share(torch.linalg.svdvals(x - x.mean(0)), k), "squares"),
    (lambda x, k: share(torch.linalg.eigvalsh(x.T.cov()), k), "smallest"),
    (lambda x, k: share(x.var(0), k), "directions"),
    (lambda x, k: 0.5, "singular"),
    (lambda x, k: x, "one number"),
)
test_check_context_hints_at_what_is_wrong = hints(
    check_context,
    (lambda z, p, t: within(z, p * 3 + t), "divide each"),
    (lambda z, p, t: 1 - context_by_pandas(z, p, t), "rest"),
    (lambda z, p, t: context_by_pandas(z, p, p), "together"),
    (lambda z, p, t: within(z, t), "together"),
    (lambda z, p, t: 0.5, "start from"),
)
test_check_chance_hints_at_what_is_wrong = hints(
    check_chance,
    (lambda c: sum(n * n for n in c) / sum(c) ** 2, "itself"),
    (lambda c: 1 / len(c), "size"),
    (lambda c: 0.9, "left"),
)
test_check_rank_correlation_hints_at_what_is_wrong = hints(
    check_rank_correlation,
    (lambda x, y: x.corr(y), "values"),
    (lambda x, y: np.corrcoef(np.argsort(x), np.argsort(y))[0, 1], "argsort"),
    (lambda x, y: x.rank(method="first").corr(y.rank(method="first")), "share"),
    (lambda x, y: 0.1, "Pearson"),
)


test_what_is_unfinished_is_no_answer = stubs(*CHECKS)
test_the_chapter_asks_them_all = chapter("11_coordinate_atlas", CHECKS)
