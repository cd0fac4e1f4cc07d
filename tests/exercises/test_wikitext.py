"""The checks of chapter 13: right answers of any shape pass, wrong ones get a hint."""

import math
from bisect import bisect

import numpy as np
import torch
from exercise_cases import accepts, chapter, hints, stubs

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


test_check_word_perplexity_accepts_what_is_right = accepts(
    check_word_perplexity, words_by_exponent, words_by_root)
test_check_sampled_repulsion_accepts_what_is_right = accepts(
    check_sampled_repulsion, energy_by_loops, energy_by_matrix)
test_check_equal_time_accepts_what_is_right = accepts(
    check_equal_time, time_by_numpy, time_by_hand)


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


test_check_word_perplexity_hints_at_what_is_wrong = hints(
    check_word_perplexity,
    (lambda loss, tokens, words: math.exp(loss), "a token"),
    (lambda loss, tokens, words: math.exp(loss) * tokens / words, "before"),
    (lambda loss, tokens, words: math.exp(loss * words / tokens), "upside down"),
    (lambda loss, tokens, words: loss * tokens / words, "exponential"),
    (lambda loss, tokens, words: 1.0, "log-probability"),
)
test_check_sampled_repulsion_hints_at_what_is_wrong = hints(
    check_sampled_repulsion,
    (energy(part=False), "drawn tokens"),
    (energy(ends="all"), "oneself"),
    (energy(ends="sum"), "mean"),
    (energy(ends="rows"), "one number"),
    (energy(axes=False), "axes"),
    (energy(heavy=False), "masses"),
    (lambda z, mass, chosen: 1.0, "should be"),
)
test_check_equal_time_hints_at_what_is_wrong = hints(
    check_equal_time,
    (lambda steps, losses, rate, seconds: losses[-1], "straight"),
    (lambda steps, losses, rate, seconds: 4.4, "75 seconds"),
    (lambda s, y, r, t: y[0] if r * t < s[0] else time_by_hand(s, y, r, t)
     if r * t <= s[-1] else 0.0, "last loss stays"),
    (lambda s, y, r, t: 9.0 if r * t < s[0] else time_by_hand(s, y, r, t),
     "first loss"),
)


def test_distances_that_are_not_held_at_the_least_are_told():
    def unheld(z, mass, chosen):
        return energy(held=False)(z, mass, chosen)

    verdict = check_sampled_repulsion(unheld)
    assert not verdict.accepted and "0.1" in verdict.en


test_what_is_unfinished_is_no_answer = stubs(*CHECKS)
test_the_chapter_asks_them_all = chapter("13_wikitext103", CHECKS)
