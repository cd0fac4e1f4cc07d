"""Scores of head types: patterns made by hand, laws, and word places of real text."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.attention.masks import causal_mask
from lib.trace.head_types import (
    after_same,
    beyond_first,
    earlier_same,
    first_token,
    output_norms,
    previous_token,
    rank_correlation,
    share,
    uniform,
    word_places,
)


def hard(keys):
    """A head that gives all weight of query i to keys[i]."""
    return torch.nn.functional.one_hot(torch.tensor(keys), len(keys)).double()


def some_weights(n, seed, heads=3):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(heads, n, n, generator=generator, dtype=torch.float64)
    return logits.masked_fill(~causal_mask(n), -torch.inf).softmax(-1)


IDS = st.lists(st.integers(0, 4), min_size=3, max_size=16)


# ---- each kind finds its own pattern and no other -----------------------------

ONE_BACK = hard([0, 0, 1, 2, 3, 4])
SINK = hard([0] * 6)
ITSELF = hard(range(6))


def test_a_head_that_looks_one_back_scores_one_for_previous_and_none_for_first():
    assert share(ONE_BACK, previous_token(6)) == 1
    assert share(ONE_BACK, first_token(6)) == 0


def test_a_head_that_rests_scores_one_for_first_and_none_for_previous():
    assert share(SINK, first_token(6)) == 1
    assert share(SINK, previous_token(6)) == 0


def test_a_head_that_looks_at_itself_scores_nothing():
    labels = [1, 2, 1, 2, 1, 2]
    for mask in (previous_token(6), first_token(6), earlier_same(labels),
                 after_same(labels)):
        assert share(ITSELF, mask) == 0


def test_a_head_that_finds_the_same_word_is_told_from_an_induction_head():
    labels = [9, 1, 2, 3, 1, 2]  # 1 2 come again; 2 follows 1, 3 follows 2
    finds = hard([0, 0, 0, 0, 1, 2])
    follows = hard([0, 0, 0, 0, 2, 3])
    assert share(finds, earlier_same(labels)) == 1
    assert share(finds, after_same(labels)) == 0
    assert share(follows, after_same(labels)) == 1
    assert share(follows, earlier_same(labels)) == 0


def test_all_earlier_places_count_together():
    labels = [0, 7, 7, 5, 7]
    even = uniform(5)  # the last query gives 1/5 to each of 5 keys
    assert share(even, earlier_same(labels)) == pytest.approx(2 / 5)


def test_a_repeat_right_behind_counts_as_previous_and_not_as_same():
    labels = [3, 8, 8]
    assert not earlier_same(labels).any()


def test_the_first_token_never_counts_as_the_same_word():
    labels = [8, 3, 8]
    assert not earlier_same(labels).any()


def test_pieces_of_one_word_do_not_count_as_earlier_occurrences_of_it():
    labels, places = [0, 5, 5, 5, 6, 5], [0, 1, 1, 1, 2, 3]
    assert earlier_same(labels, places).nonzero().tolist() == [[5, 1], [5, 2], [5, 3]]


def test_labels_and_places_of_different_length_are_an_error_that_says_so():
    with pytest.raises(ValueError, match="3 labels came with 2 places"):
        earlier_same([1, 2, 3], [1, 2])


# ---- laws -------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(IDS, st.integers(0, 99))
def test_every_kind_is_causal_and_its_share_is_between_none_and_all(labels, seed):
    n = len(labels)
    weights = some_weights(n, seed)
    for mask in (previous_token(n), first_token(n), earlier_same(labels),
                 after_same(labels)):
        assert not (mask & ~causal_mask(n)).any()
        found = share(weights, mask)
        assert found.shape == (3,)
        if mask.any():
            assert ((found >= 0) & (found <= 1 + 1e-12)).all()
        else:
            assert found.isnan().all()


@settings(max_examples=40, deadline=None)
@given(IDS, st.integers(0, 99))
def test_the_share_is_the_mean_over_queries_that_have_something_to_look_at(
    labels, seed
):
    mask = earlier_same(labels)
    weights = some_weights(len(labels), seed, heads=1)[0]
    by_hand = [
        sum(weights[i, j].item() for j in range(len(labels)) if mask[i, j])
        for i in range(len(labels)) if mask[i].any()
    ]
    found = share(weights, mask).item()
    if by_hand:
        assert found == pytest.approx(sum(by_hand) / len(by_hand))
    else:
        assert math.isnan(found)


@settings(max_examples=40, deadline=None)
@given(IDS, st.permutations(range(5)))
def test_renaming_the_labels_changes_no_mask(labels, names):
    renamed = [names[label] for label in labels]
    assert torch.equal(earlier_same(labels), earlier_same(renamed))
    assert torch.equal(after_same(labels), after_same(renamed))


def test_shares_of_several_texts_average_as_the_maps_do():
    mask = previous_token(7)
    one, other = some_weights(7, 1), some_weights(7, 2)
    both = (share(one, mask) + share(other, mask)) / 2
    assert torch.allclose(share((one + other) / 2, mask), both)


def test_beyond_the_first_a_resting_head_shows_what_it_does_with_the_rest():
    weights = 0.9 * SINK + 0.1 * ONE_BACK
    assert share(weights, previous_token(6)) == pytest.approx(0.1)
    assert share(weights, previous_token(6), beyond_first(6)) == pytest.approx(1)


def test_a_head_without_weight_beyond_the_first_has_no_such_share():
    assert share(SINK, previous_token(6), beyond_first(6)).isnan()


def test_uniform_rows_sum_to_one_and_stay_causal():
    assert torch.allclose(uniform(9).sum(-1), torch.ones(9).double())
    assert torch.equal(uniform(9) > 0, causal_mask(9))


# ---- words ------------------------------------------------------------------


def test_words_are_found_again_without_case_and_punctuation():
    text = "물을 마신다. 물을 Water, water!"
    cut = [(0, 2), (2, 6), (6, 7), (7, 10), (10, 16), (16, 17), (17, 23), (23, 24)]
    labels, places = word_places(text, cut)
    assert labels[0] == labels[3]
    assert labels[4] == labels[6]
    assert labels[0] != labels[1]
    assert len({labels[2], labels[5], labels[7]}) == 3  # punctuation is no word
    assert places[0] != places[3]


def test_byte_pieces_of_one_character_belong_to_its_word():
    labels, places = word_places("가 가", [(0, 1), (0, 1), (1, 3), (2, 3)])
    assert len(set(labels)) == 1
    assert places == [0, 0, 1, 1]


# ---- norms and ranks --------------------------------------------------------


def test_norms_are_the_lengths_of_what_each_key_adds():
    generator = torch.Generator().manual_seed(0)
    weights = some_weights(6, 0, heads=2)
    values = torch.randn(2, 6, 4, generator=generator, dtype=torch.float64)
    output = torch.randn(2, 10, 4, generator=generator, dtype=torch.float64)
    norms = output_norms(weights, values, output)
    for head, i, j in ((0, 5, 2), (1, 3, 3), (1, 2, 5)):
        added = weights[head, i, j] * output[head] @ values[head, j]
        assert norms[head, i, j].item() == pytest.approx(added.norm().item())


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(-5, 5), min_size=3, max_size=12, unique=True))
def test_rank_correlation_knows_order_only(numbers):
    x = torch.tensor(numbers).double()
    assert rank_correlation(x, x.exp()) == pytest.approx(1)
    assert rank_correlation(x, -(x**3)) == pytest.approx(-1)


def test_ties_share_their_mean_rank():
    x = torch.tensor([1.0, 2.0, 2.0, 3.0])
    y = torch.tensor([1.0, 2.0, 3.0, 4.0])
    # ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4
    assert rank_correlation(x, y) == pytest.approx(4.5 / math.sqrt(4.5 * 5))


def test_ranks_of_lists_of_different_length_are_an_error_that_says_so():
    with pytest.raises(ValueError, match="3 numbers came with 2"):
        rank_correlation(torch.zeros(3), torch.zeros(2))
