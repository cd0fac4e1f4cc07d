"""The checks of chapter 09: right answers of any shape pass, wrong ones get a hint."""

import math

import torch
from exercise_cases import accepts, chapter, hints, stubs
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


test_check_newton_weights_accepts_what_is_right = accepts(
    check_newton_weights, weights_by_loops, weights_by_softmax)
test_check_same_pull_accepts_what_is_right = accepts(
    check_same_pull, pull_by_roots, pull_by_bisection)
test_check_mended_cutoff_accepts_what_is_right = accepts(
    check_mended_cutoff, cutoff_by_log, cutoff_by_product)
test_check_gaussian_as_dot_accepts_what_is_right = accepts(
    check_gaussian_as_dot, vectors_with_one, vectors_with_everything)


# wrong answers, each with a word of its hint


test_check_newton_weights_hints_at_what_is_wrong = hints(
    check_newton_weights,
    (lambda z, m, e: m / (r2_of(z) + e), "sum to one"),
    (lambda z, m, e: share(m / (3 * r2_of(z) + e)), "axes"),
    (lambda z, m, e: share(m / (r2_of(z).sqrt() + e)), "squared"),
    (lambda z, m, e: share(1 / (r2_of(z) + e)), "masses"),
    (lambda z, m, e: weights_by_loops(z, m, e).T, "swapped"),
    (lambda z, m, e: weights_by_loops(z, m, 0.1), "eps"),
    (lambda z, m, e: (m / (r2_of(z) + e)).softmax(1), "softmax"),
    (lambda z, m, e: weights_by_loops(z, m, e)[0], "shape"),
    (lambda z, m, e: weights_by_loops(z, m, e) ** 2, "differ"),
)
test_check_same_pull_hints_at_what_is_wrong = hints(
    check_same_pull,
    (lambda m, p, b: m ** (b / p), "r²"),
    (lambda m, p, b: m, "solve"),
    (lambda m, p, b: m**0.5, "solve"),
)
test_check_mended_cutoff_hints_at_what_is_wrong = hints(
    check_mended_cutoff,
    (lambda s, r2, R: s.softmax(-1), "outside the radius"),
    (lambda s, r2, R: (s * (1 - r2 / R**2).relu()).softmax(-1), "original"),
    (lambda s, r2, R: s.softmax(-1) * (1 - r2 / R**2).relu(), "again"),
    (lambda s, r2, R: cutoff_by_log(s, r2, R**0.5), "go with"),
    (lambda s, r2, R: (s.masked_fill(r2 < R**2, 0) * -torch.inf).softmax(-1), "NaN"),
)
test_check_gaussian_as_dot_hints_at_what_is_wrong = hints(
    check_gaussian_as_dot,
    (lambda z, m, g, b: vectors_with_one(z, torch.ones_like(m), g, b), "mass"),
    (lambda z, m, g, b: vectors_with_one(z, m, 3 * g, b), "divide by C"),
    (lambda z, m, g, b: (z, z), "Expand"),
    (lambda z, m, g, b: (z, z[:, :2]), "agree"),
)


test_what_is_unfinished_is_no_answer = stubs(*CHECKS)
test_the_chapter_asks_them_all = chapter("09_gravity_coordinates", CHECKS)
