"""The checks of chapter 12: right answers of any shape pass, wrong ones get a hint."""

import math

import torch
from exercise_cases import accepts, chapter, hints, stubs

from lib.exercises.fast import (
    check_looks_ahead,
    check_power_vectors,
    check_table_bytes,
    check_walk,
)

CHECKS = (check_table_bytes, check_looks_ahead, check_power_vectors, check_walk)


# right answers


def bytes_by_tensor(batch, heads, n, axes):
    shape = (batch, heads, n, n, axes)
    return torch.empty(shape, dtype=torch.float32, device="meta").nbytes


def bytes_by_logarithm(batch, heads, n, axes):
    return 2 ** round(math.log2(4)) * batch * heads * n**2 * axes


def ahead_by_change(form, z, change=lambda point: point + 3):
    out = form(z)
    for i in range(1, len(z)):
        other = z.clone()
        other[i] = change(other[i])
        if not torch.equal(form(other)[:i], out[:i]):
            return True
    return False


def ahead_by_gradient(form, z):
    z = z.float().requires_grad_()
    slopes = torch.autograd.functional.jacobian(form, z)  # n, C, n, C
    later = torch.ones(len(z), len(z), dtype=torch.bool).triu(1)
    return bool((slopes.abs().amax((1, 3)) > 0)[later].any())


def ahead_by_shortening(form, z):
    whole = form(z)
    return any(not torch.equal(form(z[:i]), whole[:i]) for i in range(2, len(z)))


def vectors_with_ones(z, mass, p, beta, eps):
    c = z.shape[-1]
    norm, one = z.square().sum(-1, keepdim=True) / c, torch.ones(len(z), 1).to(z)
    query = torch.cat((-2 / c * z, norm + eps, one), -1)
    return query, torch.cat((z, one, norm), -1) * mass[:, None] ** (-beta / p)


def vectors_over_eps(z, mass, p, beta, eps):
    scale = (2 / z.shape[-1] / eps) ** 0.5
    norm = z.square().mean(-1, keepdim=True) / eps
    one = torch.ones_like(norm)
    query = torch.cat((one, scale * z, norm, one), -1)
    key = torch.cat((one, -scale * z, one, norm), -1)
    return query, key * torch.exp(-beta / p * mass.log())[:, None]


def walk_by_rows(query, key, value, p, block):
    out = torch.empty_like(value)
    for first in range(0, len(query), block):
        last = min(first + block, len(query))
        w = ((query[first:last] @ key[:last].T) ** -p).tril(first)
        out[first:last] = w @ value[:last] / w.sum(-1, keepdim=True)
    return out


def walk_by_tiles(query, key, value, p, block):
    rows = []
    for at, q in enumerate(query.split(block)):
        top, bottom = torch.zeros(len(q), value.shape[1]).to(value), 0
        for to, (k, v) in enumerate(
            zip(key.split(block), value.split(block), strict=True)
        ):
            if to > at:
                break
            w = (-p * (q @ k.mT).log()).exp()
            w = w.tril() if to == at else w
            top, bottom = top + w @ v, bottom + w.sum(1)
        rows.append(top / bottom[:, None])
    return torch.cat(rows)


test_check_table_bytes_accepts_what_is_right = accepts(
    check_table_bytes, bytes_by_tensor, bytes_by_logarithm)
test_check_looks_ahead_accepts_what_is_right = accepts(
    check_looks_ahead,
    ahead_by_change,
    lambda f, z: ahead_by_change(f, z, lambda point: 0 * point),
    lambda f, z: ahead_by_change(f, z, lambda point: point + 100),
    ahead_by_gradient,
    ahead_by_shortening,
)
test_check_power_vectors_accepts_what_is_right = accepts(
    check_power_vectors, vectors_with_ones, vectors_over_eps)
test_check_walk_accepts_what_is_right = accepts(check_walk, walk_by_rows, walk_by_tiles)


# wrong answers, each with a word of its hint


def last_only(form, z):
    other = torch.cat((z[:-1], z[-1:] + 3))
    return not torch.equal(form(other)[:-1], form(z)[:-1])


def in_place(form, z):
    before = form(z)
    z[-1] += 3
    return not torch.equal(form(z)[:-1], before[:-1])


def with_the_changed(form, z):
    other = torch.cat((z[:-1], z[-1:] + 3))
    return not torch.equal(form(other), form(z))


def too_kind(form, z):
    other = torch.cat((z[:-1], z[-1:] + 3))
    return not torch.allclose(form(other)[:-1].float(), form(z)[:-1].float(), atol=9)


def whole_table(query, key, value, p, block, causal=True, divide=True):
    w = (query @ key.T) ** -p
    w = w.tril() if causal else w
    return w @ value / (w.sum(-1, keepdim=True) if divide else 1)


def each_block_alone(query, key, value, p, block):
    parts = zip(query.split(block), key.split(block), value.split(block), strict=True)
    return torch.cat([whole_table(q, k, v, p, block) for q, k, v in parts])


test_check_table_bytes_hints_at_what_is_wrong = hints(
    check_table_bytes,
    (lambda b, h, n, c: b * h * n * n * c, "4 bytes"),
    (lambda b, h, n, c: 32 * b * h * n * n * c, "in bits"),
    (lambda b, h, n, c: 2 * b * h * n * n * c, "half"),
    (lambda b, h, n, c: 4 * b * h * n * n, "an axis"),
    (lambda b, h, n, c: 4 * b * h * n * c, "for each pair"),
    (lambda b, h, n, c: 7, "Count the numbers"),
)
test_check_looks_ahead_hints_at_what_is_wrong = hints(
    check_looks_ahead,
    (last_only, "each token in turn"),
    (in_place, "copy"),
    (with_the_changed, "before the token"),
    (lambda f, z: True, "before the token"),
    (too_kind, "mean over all"),
    (lambda f, z: False, "mean over all"),
    (lambda f, z: ahead_by_change(f, z, lambda x: -x), "by more"),
)
test_check_power_vectors_hints_at_what_is_wrong = hints(
    check_power_vectors,
    (lambda z, m, p, b, e: vectors_with_ones(z, m / m, p, b, e), "mass is missing"),
    (lambda z, m, p, b, e: vectors_with_ones(z, m, p, -b, e), "sign"),
    (lambda z, m, p, b, e: vectors_with_ones(z, m, 1, b, e), "m^(−β/p)"),
    (lambda z, m, p, b, e: vectors_with_ones(z * 3**0.5, m, p, b, e), "divide by C"),
    (lambda z, m, p, b, e: (z, z), "positive"),
    (lambda z, m, p, b, e: (z, z[:, :2]), "agree"),
    (lambda z, m, p, b, e: (z.abs(), z.abs() + 1), "two more"),
)
test_check_walk_hints_at_what_is_wrong = hints(
    check_walk,
    (whole_table, "at most"),
    (lambda *g: whole_table(*g, causal=False), "Later tokens"),
    (lambda *g: whole_table(*g, divide=False), "divided by"),
    (each_block_alone, "Only the first block"),
    (lambda q, k, v, p, block: v[:block], "no multiple"),
    (lambda q, k, v, p, block: v, "power"),
)


def test_a_walk_right_for_whole_blocks_only_is_turned_down():
    def cut(query, key, value, p, block):
        whole = len(query) // block * block
        out = walk_by_rows(query[:whole], key[:whole], value[:whole], p, block)
        return torch.cat((out, value[whole:]))

    assert not check_walk(cut).accepted


test_what_is_unfinished_is_no_answer = stubs(*CHECKS)
test_the_chapter_asks_them_all = chapter("12_fast_gravity", CHECKS)
