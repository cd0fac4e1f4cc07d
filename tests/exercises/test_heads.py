"""The checks of chapter 03 accept what is right, however written, and nothing else."""

import torch
import torch.nn.functional as F
from exercise_cases import accepts, chapter, hints, stubs

from lib.attention.masks import causal_mask
from lib.exercises.heads import (
    check_heads,
    check_mask,
    check_other_weights,
    check_same_share,
)

CHECKS = (check_mask, check_heads, check_same_share, check_other_weights)


# ---- masks ------------------------------------------------------------------


def mask_by_loops(real):
    batch, n = real.shape
    mask = torch.zeros(batch, n, n, dtype=torch.bool)
    for b in range(batch):
        for i in range(n):
            for j in range(i + 1):
                mask[b, i, j] = real[b, j]
    return mask


def mask_by_broadcast(real):
    return causal_mask(real.shape[1]) & real[:, None, None, :]


def mask_that_closes_padded_queries(real):
    return causal_mask(real.shape[1]) & real[:, None, :] & real[:, :, None]


test_right_masks_are_accepted = accepts(
    check_mask, mask_by_loops, mask_by_broadcast, mask_that_closes_padded_queries
)


def past(real):
    return causal_mask(real.shape[1]).expand(len(real), -1, -1)


def real_keys(real):
    return real[:, None, :].expand(-1, real.shape[1], -1)


test_wrong_masks_get_their_hint = hints(
    check_mask,
    (lambda real: ~mask_by_loops(real), "turned around"),
    (past, "padding"),
    (real_keys, "future"),
    (lambda real: mask_by_loops(real).tril(-1), "look at itself"),
    (lambda real: past(real) | real_keys(real), "not with |"),
    (lambda real: mask_by_loops(real).float(), "torch.bool"),
    (lambda real: causal_mask(real.shape[1]), "shape"),
    (lambda real: mask_by_loops(real).mT, "differs"),
)


# ---- heads ------------------------------------------------------------------


def heads_by_loops(q, k, v, heads):
    parts = zip(*(x.chunk(heads, dim=-1) for x in (q, k, v)), strict=True)
    mixed = [(a @ b.T / a.shape[-1] ** 0.5).softmax(-1) @ c for a, b, c in parts]
    return torch.cat(mixed, dim=-1)


def heads_by_einsum(q, k, v, heads):
    q, k, v = (x.reshape(len(x), heads, -1) for x in (q, k, v))
    logits = torch.einsum("ihd,jhd->hij", q, k) / q.shape[-1] ** 0.5
    return torch.einsum("hij,jhd->ihd", logits.softmax(-1), v).flatten(1)


test_right_heads_are_accepted = accepts(check_heads, heads_by_loops, heads_by_einsum)


def wrong_heads(split="cut", scale=None, join="swap"):
    def answer(q, k, v, heads):
        if split == "none":
            return F.scaled_dot_product_attention(q[None], k[None], v[None])[0]
        if split == "view":
            cut = [x.view(heads, len(x), -1) for x in (q, k, v)]
        else:
            cut = [x.view(len(x), heads, -1).transpose(0, 1) for x in (q, k, v)]
        factor = q.shape[-1] ** -0.5 if scale == "width" else None
        z = F.scaled_dot_product_attention(*cut, scale=factor)
        return (z if join == "none" else z.transpose(0, 1)).reshape(q.shape)

    return answer


test_wrong_heads_get_their_hint = hints(
    check_heads,
    (wrong_heads(split="none"), "not cut"),
    (wrong_heads(join="none"), "before joining"),
    (wrong_heads(split="view", join="none"), "mixes up the tokens"),
    (wrong_heads(split="view"), "mixes up the tokens"),
    (wrong_heads(scale="width"), "one head's width"),
    (lambda q, k, v, heads: v, "values differ"),
    (lambda q, k, v, heads: v.T, "shape"),
)


# ---- the same token ---------------------------------------------------------


def same_by_loops(weights, ids):
    rows = []
    for i, token in enumerate(ids.tolist()):
        earlier = [j for j in range(i) if ids[j] == token]
        if earlier:
            rows.append(weights[..., i, earlier].sum(-1))
    return torch.stack(rows).mean(0)


def same_by_mask(weights, ids):
    earlier = (ids[:, None] == ids).tril(-1)
    return (weights * earlier).sum((-2, -1)) / earlier.any(-1).sum()


test_right_shares_are_accepted = accepts(check_same_share, same_by_loops, same_by_mask)


def test_shares_as_nested_lists_are_accepted():
    assert check_same_share(lambda w, ids: same_by_mask(w, ids).tolist())


def wrong_share(keep=-1, over="rows"):
    def answer(weights, ids):
        same = (ids[:, None] == ids).tril(keep)
        total = (weights * same).sum((-2, -1))
        some = {"rows": (ids[:, None] == ids).tril(-1).any(-1).sum(),
                "all": len(ids), "cells": same.sum(), "none": 1}
        return total / some[over]

    return answer


test_wrong_shares_get_their_hint = hints(
    check_same_share,
    (wrong_share(keep=0, over="all"), "token itself"),
    (wrong_share(over="all"), "not over all"),
    (wrong_share(over="cells"), "not average the cells"),
    (wrong_share(over="none"), "sum, not a mean"),
    (wrong_share(keep=-2), "values differ"),
    (lambda weights, ids: same_by_mask(weights, ids).mean(), "shape"),
)


def test_a_share_that_leaves_out_the_neighbour_is_told_that_it_counts_here():
    from lib.trace.head_types import earlier_same, share

    verdict = check_same_share(lambda w, ids: share(w, earlier_same(ids)))
    assert "count too" in verdict.en


# ---- other weights ----------------------------------------------------------


def null_space(values):
    closed = torch.cat((values, torch.ones_like(values[:, :1])), dim=1)
    return torch.linalg.svd(closed.T).Vh[closed.shape[1]:]


def step(weights, direction):
    going_down = direction < 0
    return weights + (weights / -direction)[going_down].min() * direction


def other_by_null_vector(weights, values):
    return step(weights, null_space(values)[-1])


def other_by_projection(weights, values):
    pull = torch.zeros_like(weights)
    pull[weights.argmax()] = -1
    null = null_space(values)
    return step(weights, null.T @ (null @ pull))


test_right_other_weights_are_accepted = accepts(
    check_other_weights, other_by_null_vector, other_by_projection
)


test_wrong_other_weights_get_their_hint = hints(
    check_other_weights,
    (lambda a, v: a, "has moved"),
    (lambda a, v: a + null_space(v)[-1], "negative"),
    (lambda a, v: a.flip(0), "output has changed"),
    (lambda a, v: 2 * a, "sum to 2"),
    (lambda a, v: a[1:], "shape"),
    (lambda a, v: a + 0.01 * torch.linalg.svd(v.T).Vh[-1], "must sum to 0"),
)


# ---- what is no answer, and the chapter itself ------------------------------


test_what_is_unfinished_is_no_answer = stubs(*CHECKS)
test_the_chapter_asks_them_all = chapter("03_heads_and_masks", CHECKS)
