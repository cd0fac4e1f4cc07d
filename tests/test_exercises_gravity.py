"""The checks of chapter 09: right answers of any shape pass, wrong ones get a hint."""

import math

import pytest
import torch
from torch import nn

from lib.exercises.gravity import (
    check_gaussian_as_dot,
    check_mended_cutoff,
    check_newton_weights,
    check_same_pull,
)

CHECKS = (
    check_newton_weights, check_same_pull, check_mended_cutoff, check_gaussian_as_dot
)


def r2_of(z):
    return (z[:, None] - z[None]).square().mean(-1)


def share(raw):
    return raw / raw.sum(-1, keepdim=True)


# right answers


def weights_by_loops(z, mass, eps):
    rows = []
    for i in range(len(z)):
        pull = [mass[j] / (((z[i] - z[j]) ** 2).sum() / z.shape[1] + eps)
                for j in range(len(z))]
        rows.append(torch.stack(pull) / sum(pull))
    return torch.stack(rows)


def weights_by_softmax(z, mass, eps):
    return (mass.log() - (torch.cdist(z, z) ** 2 / z.shape[1] + eps).log()).softmax(1)


def pull_by_roots(mass, p, beta):
    return math.exp(beta * math.log(mass) / 2 / p)


def pull_by_bisection(mass, p, beta):
    low, high = 1e-9, 1e9
    for _ in range(200):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if mass**beta > middle ** (2 * p) else (low, middle)
    return low


def cutoff_by_log(logits, r2, radius):
    return (logits + (1 - r2 / radius**2).relu().log()).softmax(-1)


def cutoff_by_product(logits, r2, radius):
    weights = logits.softmax(-1) * torch.clamp(1 - r2 / radius**2, min=0)
    return nn.functional.normalize(weights, p=1, dim=-1)


def vectors_with_one(z, mass, gamma, beta):
    last = beta * mass.log() - gamma * z.square().mean(-1)
    query = torch.cat([2 * gamma * z / z.shape[1], torch.ones(len(z), 1).to(z)], 1)
    return query, torch.cat([z, last[:, None]], 1)


def vectors_with_everything(z, mass, gamma, beta):
    one, norm = torch.ones(len(z), 1).to(z), z.square().mean(1, keepdim=True)
    scale = (2 * gamma / z.shape[1]) ** 0.5
    query = torch.cat([scale * z, -gamma * norm, one, one], 1)
    weight = beta * mass.log()[:, None]
    return query, torch.cat([scale * z, one, -gamma * norm, weight], 1)


@pytest.mark.parametrize("check, answer", [
    (check_newton_weights, weights_by_loops),
    (check_newton_weights, weights_by_softmax),
    (check_same_pull, pull_by_roots),
    (check_same_pull, pull_by_bisection),
    (check_mended_cutoff, cutoff_by_log),
    (check_mended_cutoff, cutoff_by_product),
    (check_gaussian_as_dot, vectors_with_one),
    (check_gaussian_as_dot, vectors_with_everything),
])
def test_different_right_answers_are_accepted(check, answer):
    verdict = check(answer)
    assert verdict.accepted, verdict.en


# wrong answers, each with a word of its hint


@pytest.mark.parametrize("check, answer, hint", [
    (check_newton_weights, lambda z, m, e: m / (r2_of(z) + e), "sum to one"),
    (check_newton_weights, lambda z, m, e: share(m / (3 * r2_of(z) + e)), "axes"),
    (check_newton_weights, lambda z, m, e: share(m / (r2_of(z).sqrt() + e)), "squared"),
    (check_newton_weights, lambda z, m, e: share(1 / (r2_of(z) + e)), "masses"),
    (check_newton_weights, lambda z, m, e: weights_by_loops(z, m, e).T, "swapped"),
    (check_newton_weights, lambda z, m, e: weights_by_loops(z, m, 0.1), "eps"),
    (check_newton_weights, lambda z, m, e: (m / (r2_of(z) + e)).softmax(1), "softmax"),
    (check_newton_weights, lambda z, m, e: weights_by_loops(z, m, e)[0], "shape"),
    (check_newton_weights, lambda z, m, e: weights_by_loops(z, m, e) ** 2, "differ"),
    (check_same_pull, lambda m, p, b: m ** (b / p), "r²"),
    (check_same_pull, lambda m, p, b: m, "solve"),
    (check_same_pull, lambda m, p, b: m**0.5, "solve"),
    (check_mended_cutoff, lambda s, r2, R: s.softmax(-1), "outside the radius"),
    (check_mended_cutoff,
     lambda s, r2, R: (s * (1 - r2 / R**2).relu()).softmax(-1), "original"),
    (check_mended_cutoff,
     lambda s, r2, R: s.softmax(-1) * (1 - r2 / R**2).relu(), "again"),
    (check_mended_cutoff, lambda s, r2, R: cutoff_by_log(s, r2, R**0.5), "go with"),
    (check_mended_cutoff,
     lambda s, r2, R: (s.masked_fill(r2 < R**2, 0) * -torch.inf).softmax(-1), "NaN"),
    (check_gaussian_as_dot,
     lambda z, m, g, b: vectors_with_one(z, torch.ones_like(m), g, b), "mass"),
    (check_gaussian_as_dot,
     lambda z, m, g, b: vectors_with_one(z, m, 3 * g, b), "divide by C"),
    (check_gaussian_as_dot, lambda z, m, g, b: (z, z), "Expand"),
    (check_gaussian_as_dot, lambda z, m, g, b: (z, z[:, :2]), "agree"),
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
