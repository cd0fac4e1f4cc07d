"""Attention against torch's own, and the laws that it obeys."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.attention.dot_product import (
    attention_logits,
    masked_softmax,
    row_entropy,
    scaled_dot_product_attention,
)
from lib.attention.heads import merge_heads, repeat_kv, split_heads
from lib.attention.masks import causal_mask
from lib.attention.rotary import apply_rotary, rotary_angles

settings.register_profile("patient", deadline=None)  # no test measures time
settings.load_profile("patient")

sizes = st.integers(1, 9)
seeds = st.integers(0, 2**31)


def draw(*shape, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=dtype)


def mask_of(kind, query, key):
    if kind == "none":
        return None
    if kind == "causal":
        return causal_mask(query, key)
    mask = draw(2, 1, query, key, seed=1) > -0.2
    mask[..., 0] = True  # torch gives NaN for a row that is closed altogether
    return mask


@pytest.mark.parametrize("kind", ["none", "causal", "any"])
@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    # a handful of roundings of values of size about one
    [(torch.float32, 1e-6), (torch.float64, 1e-14)],
)
def test_output_and_gradients_equal_torchs_own_attention(kind, dtype, tolerance):
    mask = mask_of(kind, 5, 7)
    ours = [draw(2, 3, n, 8, seed=n, dtype=dtype) for n in (5, 7, 7)]
    theirs = [x.clone() for x in ours]
    for x in (*ours, *theirs):
        x.requires_grad_()
    output, _ = scaled_dot_product_attention(*ours, mask)
    expected = F.scaled_dot_product_attention(*theirs, attn_mask=mask)
    torch.testing.assert_close(output, expected, atol=tolerance, rtol=tolerance)
    output.square().sum().backward()
    expected.square().sum().backward()
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(
            mine.grad, other.grad, atol=20 * tolerance, rtol=20 * tolerance
        )


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-14)]
)
def test_grouped_queries_equal_torchs_own_grouping(dtype, tolerance):
    q = draw(2, 9, 6, 4, seed=1, dtype=dtype)
    k, v = (draw(2, 3, 6, 4, seed=i, dtype=dtype) for i in (2, 3))
    ours, _ = scaled_dot_product_attention(
        q, repeat_kv(k, 9), repeat_kv(v, 9), causal_mask(6)
    )
    theirs = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    torch.testing.assert_close(ours, theirs, atol=tolerance, rtol=tolerance)


@pytest.mark.slow
@given(query=sizes, more=st.integers(0, 4), d=sizes, seed=seeds)
def test_rows_sum_to_one_and_closed_cells_are_zero(query, more, d, seed):
    mask = causal_mask(query, query + more)
    q, k = draw(query, d, seed=seed), draw(query + more, d, seed=seed + 1)
    weights = masked_softmax(10 * attention_logits(q, k), mask)
    torch.testing.assert_close(weights.sum(-1), torch.ones(query, dtype=torch.float64))
    assert (weights[~mask] == 0).all()
    assert (weights >= 0).all()


@given(n=st.integers(2, 9), d=sizes, seed=seeds, data=st.data())
def test_changing_the_future_changes_nothing_before_it(n, d, seed, data):
    cut = data.draw(st.integers(1, n - 1))
    q, k, v = draw(3, n, d, seed=seed)
    before, _ = scaled_dot_product_attention(q, k, v, causal_mask(n))
    for x in (q, k, v):
        x[cut:] += draw(n - cut, d, seed=seed + 1)
    after, _ = scaled_dot_product_attention(q, k, v, causal_mask(n))
    assert torch.equal(before[:cut], after[:cut])
    assert not torch.allclose(before[cut:], after[cut:])


@given(n=sizes, d=sizes, seed=seeds)
def test_without_mask_attention_is_permutation_equivariant(n, d, seed):
    q, k, v = draw(3, n, d, seed=seed)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    plain, _ = scaled_dot_product_attention(q, k, v)
    mixed, _ = scaled_dot_product_attention(q[order], k[order], v[order])
    torch.testing.assert_close(mixed, plain[order])


@given(n=sizes, d=sizes, seed=seeds)
def test_adding_one_number_to_all_logits_of_a_query_changes_no_weight(n, d, seed):
    logits = draw(n, n, seed=seed)
    shifted = logits + draw(n, 1, seed=seed + 1)
    mask = causal_mask(n)
    torch.testing.assert_close(
        masked_softmax(shifted, mask), masked_softmax(logits, mask)
    )


def test_a_query_that_may_look_nowhere_gets_zeros_and_finite_gradients():
    logits = draw(2, 3).requires_grad_()
    mask = torch.tensor([[True, True, False], [False, False, False]])
    weights = masked_softmax(logits, mask)
    weights.square().sum().backward()
    assert weights[1].tolist() == [0, 0, 0]
    assert logits.grad.isfinite().all()


def test_the_last_queries_of_a_long_sequence_see_all_that_came_before():
    n, d = 7, 4
    q, k, v = draw(3, n, d)
    whole, _ = scaled_dot_product_attention(q, k, v, causal_mask(n))
    last, _ = scaled_dot_product_attention(q[-2:], k, v, causal_mask(2, n))
    torch.testing.assert_close(last, whole[-2:])


@given(
    heads=st.integers(1, 5), d=sizes, n=sizes, batch=st.integers(1, 3), seed=seeds
)
def test_merging_undoes_splitting(heads, d, n, batch, seed):
    x = draw(batch, n, heads * d, seed=seed)
    split = split_heads(x, heads)
    assert split.shape == (batch, heads, n, d)
    assert torch.equal(split[:, 0], x[..., :d])
    assert torch.equal(merge_heads(split), x)


@given(half=st.integers(1, 16), seed=seeds, by=st.integers(0, 500))
def test_rotary_keeps_lengths_and_knows_distance_only(half, seed, by):
    x, y = draw(2, 1, 2 * half, seed=seed)
    near = [rotary_angles(torch.tensor([place]), 2 * half) for place in (3, 8)]
    far = [rotary_angles(torch.tensor([place + by]), 2 * half) for place in (3, 8)]
    dots = [
        apply_rotary(x, *s) @ apply_rotary(y, *t).T for s, t in (near, far)
    ]
    length = x.norm() * y.norm()
    # float32 angles of up to 508 radians are right to 508 · 2⁻²⁴ = 3e-5
    torch.testing.assert_close(dots[0], dots[1], atol=2e-4 * float(length), rtol=0)
    torch.testing.assert_close(
        apply_rotary(x, *near[0]).norm(), x.norm(), atol=1e-6, rtol=1e-6
    )


def test_rotary_turns_pair_i_by_its_own_angle():
    d, theta, place = 8, 100.0, 5
    cos, sin = rotary_angles(torch.tensor([place]), d, theta)
    for i in range(d // 2):
        one = torch.zeros(1, d, dtype=torch.float64)
        one[0, i] = 1
        angle = place * theta ** (-2 * i / d)
        turned = apply_rotary(one, cos, sin)[0]
        assert turned[i].item() == pytest.approx(math.cos(angle), abs=1e-6)
        assert turned[i + d // 2].item() == pytest.approx(math.sin(angle), abs=1e-6)


@given(n=st.integers(1, 40))
def test_entropy_of_an_even_row_is_log2_of_its_length(n):
    even = torch.full((1, n), 1 / n, dtype=torch.float64)
    assert row_entropy(even).item() == pytest.approx(math.log2(n), abs=1e-12)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: causal_mask(4, 3), "4 queries came with 3 keys"),
        (lambda: split_heads(torch.zeros(1, 2, 10), 3), "10 does not divide into 3"),
        (lambda: repeat_kv(torch.zeros(1, 3, 2, 4), 8), "8 query heads cannot share 3"),
        (lambda: rotary_angles(torch.arange(3), 5), "d_head is 5"),
    ],
)
def test_wrong_sizes_are_named_in_one_sentence(call, words):
    with pytest.raises(ValueError, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)
