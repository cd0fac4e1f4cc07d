"""The checks of chapter 13: right answers of any shape pass, wrong ones get a hint."""

import math
from bisect import bisect

import numpy as np
import pytest
import torch

from lib.exercises.wikitext import (
    check_equal_time,
    check_sampled_repulsion,
    check_word_perplexity,
)

CHECKS = (check_word_perplexity, check_sampled_repulsion, check_equal_time)

# right answers


def words_by_exponent(loss, tokens, words):
    return math.exp(loss * tokens / words)


def words_by_root(loss, tokens, words):
    return (math.e**loss) ** (tokens / words)


def energy_by_loops(z, mass, chosen):
    total, pairs = 0.0, 0
    for i in chosen.tolist():
        for j in chosen.tolist():
            if i != j:
                r2 = float(((z[i] - z[j]) ** 2).mean())
                total += float(mass[i] * mass[j]) / max(r2**0.5, 0.1) ** 2
                pairs += 1
    return total / pairs


def energy_by_matrix(z, mass, chosen):
    z, mass = z[chosen], mass[chosen]
    r = torch.cdist(z, z) / z.shape[-1] ** 0.5
    energy = torch.outer(mass, mass) / r.clamp(min=0.1) ** 2
    n = len(chosen)
    return (energy.sum() - energy.diagonal().sum()) / (n * (n - 1))


def time_by_numpy(steps, losses, rate, seconds):
    return np.interp(rate * seconds, steps, losses)


def time_by_hand(steps, losses, rate, seconds):
    done = min(max(rate * seconds, steps[0]), steps[-1])
    k = min(bisect(steps, done), len(steps) - 1)
    part = (done - steps[k - 1]) / (steps[k] - steps[k - 1])
    return losses[k - 1] + part * (losses[k] - losses[k - 1])


@pytest.mark.parametrize("check, answer", [
    (check_word_perplexity, words_by_exponent), (check_word_perplexity, words_by_root),
    (check_sampled_repulsion, energy_by_loops),
    (check_sampled_repulsion, energy_by_matrix),
    (check_equal_time, time_by_numpy), (check_equal_time, time_by_hand),
])
def test_different_right_answers_are_accepted(check, answer):
    verdict = check(answer)
    assert verdict.accepted, verdict.en


# wrong answers, each with a word of its hint


def energy(part=True, ends=None, held=True, heavy=True, axes=True):
    def answer(z, mass, chosen):
        z, mass = (z[chosen], mass[chosen]) if part else (z, mass)
        r2 = torch.cdist(z, z) ** 2
        r2 = r2 / z.shape[-1] if axes else r2
        r2 = r2.clamp_min(0.01) if held else r2
        value = (torch.outer(mass, mass) if heavy else torch.ones_like(r2)) / r2
        apart = value[~torch.eye(len(z), dtype=torch.bool)]
        return {None: apart.mean(), "all": value.mean(), "sum": apart.sum(),
                "rows": value.mean(0)}[ends]
    return answer


@pytest.mark.parametrize("check, answer, hint", [
    (check_word_perplexity, lambda loss, tokens, words: math.exp(loss), "a token"),
    (check_word_perplexity,
     lambda loss, tokens, words: math.exp(loss) * tokens / words, "before"),
    (check_word_perplexity,
     lambda loss, tokens, words: math.exp(loss * words / tokens), "upside down"),
    (check_word_perplexity,
     lambda loss, tokens, words: loss * tokens / words, "exponential"),
    (check_word_perplexity, lambda loss, tokens, words: 1.0, "log-probability"),
    (check_sampled_repulsion, energy(part=False), "drawn tokens"),
    (check_sampled_repulsion, energy(ends="all"), "oneself"),
    (check_sampled_repulsion, energy(ends="sum"), "mean"),
    (check_sampled_repulsion, energy(ends="rows"), "one number"),
    (check_sampled_repulsion, energy(axes=False), "axes"),
    (check_sampled_repulsion, energy(heavy=False), "masses"),
    (check_sampled_repulsion, lambda z, mass, chosen: 1.0, "should be"),
    (check_equal_time, lambda steps, losses, rate, seconds: losses[-1], "straight"),
    (check_equal_time, lambda steps, losses, rate, seconds: 4.4, "75 seconds"),
    (check_equal_time,
     lambda s, y, r, t: y[0] if r * t < s[0] else time_by_hand(s, y, r, t)
     if r * t <= s[-1] else 0.0, "last loss stays"),
    (check_equal_time,
     lambda s, y, r, t: 9.0 if r * t < s[0] else time_by_hand(s, y, r, t),
     "first loss"),
])
def test_typical_mistakes_are_turned_down_with_a_hint_that_fits(check, answer, hint):
    verdict = check(answer)
    assert not verdict.accepted
    assert hint in verdict.en
    assert any("가" <= letter <= "힣" for letter in verdict.ko)


def test_distances_that_are_not_held_at_the_least_are_told():
    def unheld(z, mass, chosen):
        return energy(held=False)(z, mass, chosen)

    verdict = check_sampled_repulsion(unheld)
    assert not verdict.accepted and "0.1" in verdict.en


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
