"""The checks of chapter 07: right answers of any form pass, wrong ones get a hint."""

import torch
import torch.nn.functional as F
from exercise_cases import accepts, chapter, hints, stubs

from lib.exercises.smollm2 import (
    check_capacity,
    check_rmsnorm,
    check_step,
    check_top_p,
)

CHECKS = (check_rmsnorm, check_step, check_top_p, check_capacity)


# ---- RMSNorm ----------------------------------------------------------------


def norm_by_vectors(x, g, eps):
    flat = x.reshape(-1, x.shape[-1])
    rows = [row * g / (row.dot(row) / len(row) + eps) ** 0.5 for row in flat]
    return torch.stack(rows).view_as(x)


def norm_of_torch(x, g, eps):
    return F.rms_norm(x.float(), g.shape, g.float(), eps)


test_right_norms_are_accepted = accepts(check_rmsnorm, norm_by_vectors, norm_of_torch)


def square(x, *axis):
    return x.pow(2).mean(*axis, keepdim=True) if axis else x.pow(2).mean()


test_wrong_norms_get_their_hint = hints(
    check_rmsnorm,
    (lambda x, g, e: x / (square(x, -1) + e).sqrt(), "gain"),
    (lambda x, g, e: F.layer_norm(x, g.shape, g, None, e), "LayerNorm"),
    (lambda x, g, e: g * F.normalize(x, dim=-1), "not their sum"),
    (lambda x, g, e: g * x / (square(x, -1).sqrt() + e), "inside the root"),
    (lambda x, g, e: g * x / (square(x, -1) + e), "root is missing"),
    (lambda x, g, e: g * x / (square(x) + e).sqrt(), "by itself"),
    (lambda x, g, e: g * x / (square(x, 0) + e).sqrt(), "last axis"),
    (lambda x, g, e: x[..., :1], "shape"),
    (lambda x, g, e: 2 * x, "values differ"),
)


# ---- the step after a cache -------------------------------------------------


def step_by_lists(cached, new):
    t = list(range(cached, cached + new))
    return t, [[j <= i for j in range(cached + new)] for i in t]


def step_by_triangle(cached, new):
    mask = torch.ones(new, cached + new, dtype=torch.bool).tril(cached)
    return torch.arange(new) + cached, mask


test_right_steps_are_accepted = accepts(check_step, step_by_lists, step_by_triangle)


def changed(change):
    return lambda cached, new: change(*step_by_triangle(cached, new), cached, new)


test_wrong_steps_get_their_hint = hints(
    check_step,
    (changed(lambda t, m, c, n: (t - c, m)), "Count on from the cache"),
    (changed(lambda t, m, c, n: (t + 1, m)), "positions are"),
    (changed(lambda t, m, c, n: (t, m[:, c:])), "shape"),
    (changed(lambda t, m, c, n: (t, m.int())), "True and False"),
    (changed(lambda t, m, c, n: (t, ~m)), "wrong way round"),
    (changed(lambda t, m, c, n: (t, torch.ones_like(m))), "comes after"),
    (changed(lambda t, m, c, n: (t, m.tril(0))), "hidden"),
    (changed(lambda t, m, c, n: (t, m.tril(c - 1))), "itself"),
)


# ---- top-p ------------------------------------------------------------------


def top_p_by_loop(logits, p):
    share = logits.softmax(-1).tolist()
    kept, total = {}, 0.0
    for i in sorted(range(len(share)), key=lambda i: -share[i]):
        if total >= p:
            break
        kept[i], total = share[i], total + share[i]
    return [kept.get(i, 0) / total for i in range(len(share))]


def top_p_by_threshold(logits, p):
    share = logits.softmax(-1)
    above = (share[None] * (share[None] > share[:, None])).sum(-1)
    kept = share * (above < p)
    return kept / kept.sum()


test_right_cuts_are_accepted = accepts(check_top_p, top_p_by_loop, top_p_by_threshold)


def cut(sort_back=True, scale=True, crossing=True):
    def answer(logits, p):
        share, order = logits.softmax(-1).sort(descending=True)
        total = share.cumsum(-1)
        share = share.masked_fill((total - share if crossing else total) >= p, 0)
        share = share / share.sum() if scale else share
        return torch.zeros_like(share).scatter(-1, order, share) if sort_back else share

    return answer


test_wrong_cuts_get_their_hint = hints(
    check_top_p,
    (cut(scale=False), "sums to 1"),
    (cut(sort_back=False), "came out sorted"),
    (cut(crossing=False), "is missing; it stays"),
    (lambda logits, p: logits.softmax(-1), "nothing was left out"),
    (lambda logits, p: F.one_hot(logits.argmax(), len(logits)), "missing"),
    (lambda logits, p: logits[:2].softmax(-1), "give those left out a 0"),
    (lambda logits, p: F.threshold(logits.softmax(-1), 0.1, 0), "should stay"),
)


# ---- what a cache holds -----------------------------------------------------


def capacity_by_counting(budget, n_layers, n_heads, n_kv_heads, d_head, number):
    token = sum(d_head * number for _ in range(n_layers)
                for _ in range(n_kv_heads) for _ in ("key", "value"))
    return (budget - budget % token) // token


def capacity_as_float(budget, n_layers, n_heads, n_kv_heads, d_head, number):
    return float(int(budget / (n_layers * 2 * d_head * n_kv_heads * number)))


test_right_capacities_are_accepted = accepts(
    check_capacity, capacity_by_counting, capacity_as_float
)


test_wrong_capacities_get_their_hint = hints(
    check_capacity,
    (lambda m, la, h, kv, d, b: m // (la * kv * d * b), "Keys and values"),
    (lambda m, la, h, kv, d, b: m // (2 * la * h * d * b), "not query heads"),
    (lambda m, la, h, kv, d, b: m // (2 * la * kv * d), "bytes of a number"),
    (lambda m, la, h, kv, d, b: m // (2 * kv * d * b), "Every layer"),
    (lambda m, la, h, kv, d, b: m / (2 * la * kv * d * b), "round down"),
    (lambda m, la, h, kv, d, b: -(-m // (2 * la * kv * d * b)), "round down"),
    (lambda m, la, h, kv, d, b: m, "the answer is"),
)


# ---- what is no answer, and the chapter itself ------------------------------


test_what_is_unfinished_is_no_answer = stubs(*CHECKS)
test_the_chapter_asks_them_all = chapter("07_smollm2_from_scratch", CHECKS)
