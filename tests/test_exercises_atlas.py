"""The checks of chapter 11: right answers of any shape pass, wrong ones get a hint."""

import numpy as np
import pandas as pd
import pytest
import torch

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


@pytest.mark.parametrize("check, answer", [
    (check_axes, axes_by_svd),
    (check_axes, axes_by_covariance),
    (check_context, context_by_pandas),
    (check_context, context_by_one_hot),
    (check_chance, chance_by_formula),
    (check_chance, chance_by_pairs),
    (check_rank_correlation, ranks_by_pandas),
    (check_rank_correlation, ranks_by_counting),
])
def test_different_right_answers_are_accepted(check, answer):
    verdict = check(answer)
    assert verdict.accepted, verdict.en


# wrong answers, each with a word of its hint


def share(s, k):
    return s[:k].sum() / s.sum()


def within(z, group):
    means = torch.stack([z[group == g].mean(0) for g in group])
    return (z - means).square().sum() / (z - z.mean(0)).square().sum()


@pytest.mark.parametrize("check, answer, hint", [
    (check_axes, lambda x, k: share(torch.linalg.svdvals(x) ** 2, k), "mean"),
    (check_axes, lambda x, k: share(torch.linalg.svdvals(x - x.mean(0)), k), "squares"),
    (check_axes, lambda x, k: share(torch.linalg.eigvalsh(x.T.cov()), k), "smallest"),
    (check_axes, lambda x, k: share(x.var(0), k), "directions"),
    (check_axes, lambda x, k: 0.5, "singular"),
    (check_axes, lambda x, k: x, "one number"),
    (check_context, lambda z, p, t: within(z, p * 3 + t), "divide each"),
    (check_context, lambda z, p, t: 1 - context_by_pandas(z, p, t), "rest"),
    (check_context, lambda z, p, t: context_by_pandas(z, p, p), "together"),
    (check_context, lambda z, p, t: within(z, t), "together"),
    (check_context, lambda z, p, t: 0.5, "start from"),
    (check_chance, lambda c: sum(n * n for n in c) / sum(c) ** 2, "itself"),
    (check_chance, lambda c: 1 / len(c), "size"),
    (check_chance, lambda c: 0.9, "left"),
    (check_rank_correlation, lambda x, y: x.corr(y), "values"),
    (check_rank_correlation,
     lambda x, y: np.corrcoef(np.argsort(x), np.argsort(y))[0, 1], "argsort"),
    (check_rank_correlation,
     lambda x, y: x.rank(method="first").corr(y.rank(method="first")), "share"),
    (check_rank_correlation, lambda x, y: 0.1, "Pearson"),
])
def test_typical_mistakes_are_turned_down_with_a_hint_that_fits(check, answer, hint):
    verdict = check(answer)
    assert not verdict.accepted
    assert hint in verdict.en
    assert any("가" <= letter <= "힣" for letter in verdict.ko)


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("stub", [lambda *given: ..., lambda *given: None, None, ...])
def test_the_stub_is_not_accepted(check, stub):
    verdict = check(stub)
    assert not verdict.accepted
    assert verdict.en == "There is no answer yet."


@pytest.mark.parametrize("check", CHECKS)
def test_an_answer_that_raises_becomes_a_verdict(check):
    verdict = check(lambda *given: 1 / 0)
    assert not verdict.accepted
    assert "ZeroDivisionError" in verdict.en
