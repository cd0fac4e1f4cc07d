"""The checks of chapter 02 accept what is right, however written, and nothing else."""

import math

import pytest
import torch
import torch.nn.functional as F
from exercise_cases import accepts, chapter, hints, stubs

from lib.attention.masks import causal_mask
from lib.attention.rotary import apply_rotary, rotary_angles
from lib.exercises.qkv import (
    check_attention,
    check_kv_head,
    check_previous_head,
    check_rotation,
    check_temperature,
)

CHECKS = (
    check_attention,
    check_kv_head,
    check_previous_head,
    check_temperature,
    check_rotation,
)


# ---- one head ---------------------------------------------------------------


def attention_by_rows(q, k, v):
    rows = []
    for i in range(len(q)):
        weights = ((k[: i + 1] @ q[i]) / math.sqrt(len(q[i]))).softmax(0)
        rows.append(weights @ v[: i + 1])
    return torch.stack(rows)


def attention_with_a_bias(q, k, v):
    bias = torch.full((len(q), len(q)), -torch.inf, dtype=q.dtype).triu(1)
    return torch.softmax(q @ k.mT * q.shape[1] ** -0.5 + bias, dim=1) @ v


test_right_attention_is_accepted = accepts(
    check_attention, attention_by_rows, attention_with_a_bias
)


def wrong_attention(scale=0.5, mask="before", axis=-1):
    def answer(q, k, v):
        closed = ~causal_mask(len(q))
        logits = q @ k.T / q.shape[-1] ** scale
        if mask == "before":
            logits = logits.masked_fill(closed, -torch.inf)
        weights = logits.softmax(axis)
        if mask == "after":
            weights = weights.masked_fill(closed, 0)
        return weights @ v

    return answer


test_wrong_attention_gets_its_hint = hints(
    check_attention,
    (wrong_attention(scale=0), "√d is missing"),
    (wrong_attention(scale=1), "not by d"),
    (wrong_attention(mask="none"), "future is not hidden"),
    (wrong_attention(mask="after"), "before the softmax"),
    (wrong_attention(axis=0), "last axis"),
    (lambda q, k, v: v, "values differ"),
    (lambda q, k, v: v.T, "shape"),
)


# ---- grouped queries --------------------------------------------------------


test_right_groups_are_accepted = accepts(
    check_kv_head,
    lambda head, n_heads, n_kv_heads: head * n_kv_heads // n_heads,
    lambda head, n_heads, n_kv_heads: [
        i for i in range(n_kv_heads) for _ in range(n_heads // n_kv_heads)
    ][head],
)


@pytest.mark.parametrize(
    "answer",
    [
        lambda head, n_heads, n_kv_heads: head % n_kv_heads,
        lambda head, n_heads, n_kv_heads: head // n_kv_heads,
        lambda head, n_heads, n_kv_heads: head / (n_heads / n_kv_heads),
        lambda head, n_heads, n_kv_heads: 0,
    ],
)
def test_wrong_groups_are_turned_down(answer):
    assert not check_kv_head(answer)


# ---- the head that looks one back -------------------------------------------


def previous_by_loops(weights):
    layers, heads, n, _ = weights.shape
    return max(
        ((i, j) for i in range(layers) for j in range(heads)),
        key=lambda place: sum(weights[place][t, t - 1].item() for t in range(1, n)),
    )


def previous_by_shift(weights):
    share = weights[:, :, 1:, :-1].diagonal(dim1=2, dim2=3).sum(-1)
    return tuple((share == share.max()).nonzero()[0].tolist())


test_right_heads_are_accepted = accepts(
    check_previous_head, previous_by_loops, previous_by_shift
)


@pytest.mark.parametrize(
    "share",
    [
        lambda w: w.diagonal(dim1=2, dim2=3).mean(-1),  # itself
        lambda w: w[:, :, 1:, 0].mean(-1),  # the first token
        lambda w: w.diagonal(-2, dim1=2, dim2=3).mean(-1),  # two back
        lambda w: -w.diagonal(-1, dim1=2, dim2=3).mean(-1),  # the least
    ],
)
def test_heads_that_look_elsewhere_are_turned_down(share):
    def answer(weights):
        return divmod(int(share(weights).argmax()), weights.shape[1])

    assert not check_previous_head(answer)


@pytest.mark.parametrize(
    "bare", [lambda i: i, torch.tensor, lambda i: (i,), lambda i: (0, 1, i)]
)
def test_a_bare_index_is_told_how_to_become_layer_and_head(bare):
    def answer(weights):
        layer, head = previous_by_loops(weights)
        return bare(layer * weights.shape[1] + head)

    verdict = check_previous_head(answer)
    assert not verdict.accepted
    assert "Two numbers (layer, head) are needed" in verdict.en
    assert "divmod" in verdict.ko
    assert "Error" not in verdict.en


def test_head_and_layer_swapped_are_turned_down():
    assert not check_previous_head(lambda w: previous_by_loops(w)[::-1])


# ---- temperature ------------------------------------------------------------


def bits_at(logits, tau):
    p = (logits / tau).softmax(-1)
    return torch.special.entr(p).sum().item() / math.log(2)


def temperature_by_bisection(logits, bits):
    low, high = 1e-4, 1e4
    for _ in range(80):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if bits_at(logits, middle) < bits else (low, middle)
    return low


def temperature_by_grid(logits, bits):
    grid = torch.logspace(-2, 2, 20_000, dtype=torch.float64)
    p = (logits / grid[:, None]).softmax(-1)
    gaps = (torch.special.entr(p).sum(-1) / math.log(2) - bits).abs()
    return grid[gaps.argmin()]


test_right_temperatures_are_accepted = accepts(
    check_temperature, temperature_by_bisection, temperature_by_grid
)


test_wrong_temperatures_get_their_hint = hints(
    check_temperature,
    (lambda x, bits: 1 / temperature_by_bisection(x, bits), "1/τ"),
    (lambda x, bits: temperature_by_bisection(x, bits / math.log(2)), "base 2"),
    (lambda x, bits: 1.0, "is wanted"),
    (lambda x, bits: -temperature_by_bisection(x, bits), "positive"),
)


# ---- rotation ---------------------------------------------------------------


def rotation_by_halves(x, position):
    angles = rotary_angles(torch.tensor([position]), len(x))
    return apply_rotary(x[None], *angles)[0]


def rotation_by_neighbours(x, position):
    pairs = torch.view_as_complex(x.view(-1, 2))
    speed = 100.0 ** -torch.linspace(0, 1, len(pairs), dtype=torch.float64)
    turned = pairs * torch.polar(torch.ones_like(speed), position * speed)
    return torch.view_as_real(turned).flatten()


def moved_and_rescaled(x, position):
    return F.normalize(x + position, dim=0) * x.norm()


test_any_rotation_that_knows_distance_is_accepted = accepts(
    check_rotation, rotation_by_halves, rotation_by_neighbours
)


test_what_is_no_such_rotation_gets_its_hint = hints(
    check_rotation,
    (lambda x, position: x, "is not used"),
    (lambda x, position: x * (1 + position), "length has changed"),
    (moved_and_rescaled, "equally far"),
    (lambda x, position: rotation_by_halves(x, position**2), "equally far"),
    (lambda x, position: x[:-1], "came out"),
)


# ---- what is no answer, and the chapter itself ------------------------------


test_what_is_unfinished_is_no_answer = stubs(*CHECKS)
test_the_chapter_asks_them_all = chapter("02_qkv_tracing", CHECKS)
