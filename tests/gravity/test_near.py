"""Lists of near pairs give what the table gives, and know nothing of what is later."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.gravity import near
from lib.gravity.attention import Pull, attend, squared_distances
from lib.gravity.fast import fast_attend
from lib.gravity.near import listed

HEADS = 3
CUTOFFS = ("hard", "soft", "compact")


def scene(seed, seq, coord, wide, elsewhere):
    some = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=some)

    z, value = draw(2, HEADS, seq, coord), draw(2, HEADS, seq, wide)
    looking = draw(2, HEADS, seq, coord) if elsewhere else None
    numbers = [x.abs() + 0.4 for x in draw(3, HEADS, 1, 1)]
    return z, value, looking, draw(2, seq).abs() + 0.3, *numbers


def true_gradients(given, kernel, cutoff, ask):
    """By the table in 64 bits, the gate without the substitute outside the radius."""
    z, value, looking, mass, strength, beta, radius = (
        None if x is None else x.double().requires_grad_() for x in given)
    pull = Pull(kernel, strength, beta, cutoff=cutoff, radius=radius)
    r2 = squared_distances(z, looking=looking)
    logits = pull.logits(r2, mass[:, None])
    x = 1 - r2 / radius**2
    gate = {"hard": (x > 0).to(r2), "soft": x.clamp(0, 1)**2 * (3 - 2 * x.clamp(0, 1)),
            "compact": x.clamp(0, 1)}[cutoff]
    same = torch.eye(r2.shape[-1], dtype=torch.bool)
    gate = torch.where(same, torch.ones_like(gate), gate) * torch.ones_like(r2).tril()
    weights = gate * (logits - logits.amax(-1, keepdim=True).detach()).exp()
    out = weights / weights.sum(-1, keepdim=True) @ value
    inputs = [x for x in (z, value, looking, mass, strength, beta, radius)
              if x is not None]
    grads = torch.autograd.grad((out * ask).sum(), inputs, allow_unused=True)
    return out, *grads


@pytest.mark.parametrize("cutoff", CUTOFFS)
@pytest.mark.parametrize("kernel", ["newton", "gaussian"])
@given(seed=st.integers(0, 10**6), seq=st.integers(2, 90), coord=st.integers(1, 40),
       wide=st.integers(1, 40), elsewhere=st.booleans(), mass_in_value=st.booleans(),
       cells=st.sampled_from((1, 300, near.CELLS)))
@settings(max_examples=12, deadline=None)
def test_lists_give_the_table_and_its_true_gradients(
    kernel, cutoff, seed, seq, coord, wide, elsewhere, mass_in_value, cells
):
    given_ = scene(seed, seq, coord, wide, elsewhere)
    ask = torch.randn(2, HEADS, seq, wide, generator=torch.Generator().manual_seed(1))
    z, value, looking, mass, strength, beta, radius = (
        None if x is None else x.clone().requires_grad_() for x in given_)
    pull = Pull(kernel, strength, beta, cutoff=cutoff, radius=radius)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(near, "CELLS", cells)
        if mass_in_value:
            exact = attend(*(x.double() for x in (z, mass, value)),
                           replace(pull, strength=strength.double(),
                                   beta=beta.double(), radius=radius.double(),
                                   mass_in_value=True),
                           looking=None if looking is None else looking.double())[0]
            found = fast_attend(z, mass, value, replace(pull, mass_in_value=True),
                                "near", looking)
            torch.testing.assert_close(found.double(), exact, rtol=1e-3, atol=1e-4)
            return
        bias = pull.bias(mass[:, None]).expand(z.shape[:-1])
        found = listed(z, bias, pull, value, looking)
        inputs = [x for x in (z, value, looking, mass, strength, beta, radius)
                  if x is not None]
        grads = torch.autograd.grad((found * ask).sum(), inputs)
    exact = true_gradients(given_, kernel, cutoff, ask)
    for ours, right in zip((found, *grads), exact, strict=True):
        if right is None:  # a step has no slope
            assert cutoff == "hard" and (ours == 0).all()
            continue
        # a pair on the very edge of the radius may fall to either side in 32 bits
        torch.testing.assert_close(ours.double(), right, rtol=1e-3,
                                   atol=2e-4 * max(1, right.abs().max().item()))


@pytest.mark.parametrize("cutoff", CUTOFFS)
@pytest.mark.parametrize("kernel", ["newton", "gaussian"])
@pytest.mark.parametrize("learning", [False, True])
def test_what_comes_later_changes_no_bit_before(kernel, cutoff, learning):
    for seed, place in ((0, 1), (1, 77), (2, 256), (3, 599)):
        z, value, looking, mass, *numbers = scene(seed, 600, 6, 8, seed % 2 == 1)
        pull = Pull(kernel, *numbers[:2], cutoff=cutoff, radius=numbers[2])
        order = torch.randperm(600 - place, generator=torch.Generator().manual_seed(9))
        later = [None if x is None else torch.cat(
            (x[..., :place, :], x[..., place:, :][..., order, :] * 100 + 30), -2)
            for x in (z, value, looking)]
        heavy = torch.cat((mass[:, :place], mass[:, place:][:, order] * 100), 1)
        with torch.set_grad_enabled(learning):
            before = fast_attend(z, mass, value, pull, "auto", looking)
            after = fast_attend(later[0], heavy, later[1], pull, "auto", later[2])
        assert torch.equal(after[..., :place, :], before[..., :place, :])
        assert not torch.equal(after, before)


def test_a_token_that_nothing_is_near_to_sees_itself_alone():
    z = torch.arange(5.0)[:, None].expand(1, 1, 5, 2) * 100
    value = torch.randn(1, 1, 5, 3)
    one = torch.ones(1, 1, 1)
    pull = Pull("newton", one, one, cutoff="compact", radius=one)
    found = fast_attend(z, torch.ones(1, 5), value, pull, "near", looking=z + 50)
    torch.testing.assert_close(found, value)


def test_a_point_that_is_no_number_is_not_hidden():
    z, value, _, mass, *numbers = scene(4, 70, 3, 4, False)
    z[0, 1, 30, 2] = torch.nan
    pull = Pull("newton", *numbers[:2], cutoff="hard", radius=numbers[2])
    found = fast_attend(z, mass, value, pull, "near")
    assert found[0, 1, 30:].isnan().all() and not found[0, 1, :30].isnan().any()
    assert not found[1].isnan().any() and not found[0, 0].isnan().any()


def test_memory_grows_with_the_near_pairs_and_not_with_the_table():
    lists = []
    z, value, _, mass, *numbers = scene(5, 600, 6, 8, False)
    pull = Pull("gaussian", *numbers[:2], cutoff="hard", radius=numbers[2] * 0 + 0.5)
    out = fast_attend(z.requires_grad_(), mass, value, pull, "near")
    step = out.grad_fn
    while not hasattr(step, "lists"):
        step = step.next_functions[0][0]
    lists = [keys.numel() for _, keys, _ in step.lists.values()]
    r2 = squared_distances(z.detach().double())
    close = (r2 < 0.25).tril(-1).sum().item() + r2[..., 0].numel()
    assert close <= sum(lists) <= 1.01 * close + 10 < r2.numel() / 10


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("kernel, form", [
    ("newton", "near"), ("gaussian", "near"), ("newton", "fused"),
    ("gaussian", "sdpa")])
def test_under_autocast_numbers_keep_their_32_bits(kernel, form, threads):
    z, value, _, mass, *numbers = scene(8, 60, 6, 8, False)
    pull = Pull(kernel, *numbers[:2], cutoff="compact" if form == "near" else "none",
                radius=numbers[2])
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        outs = []
        for narrow in (False, True):
            here = z.clone().requires_grad_()
            with torch.autocast("cpu", torch.bfloat16, enabled=narrow):
                found = fast_attend(here, mass, value, pull, form)
                outs.append((found, *torch.autograd.grad(found.sum(), here)))
    finally:
        torch.set_num_threads(before)
    for wide, narrow in zip(*outs, strict=True):
        torch.testing.assert_close(narrow, wide, rtol=1e-5, atol=1e-5)


def test_what_lists_cannot_do_is_refused_by_name():
    z, value, _, mass, *numbers = scene(6, 5, 3, 4, False)
    pull = Pull("newton", *numbers[:2], cutoff="hard", radius=numbers[2])
    with pytest.raises(ValueError, match=r"was given torch\.float64 on cpu; use"):
        fast_attend(z.double(), mass, value, pull, "near")
    with pytest.raises(ValueError, match="form 'near' cannot compute kernel 'newton'"):
        fast_attend(z, mass, value, replace(pull, cutoff="none"), "near")
    with pytest.raises(ValueError, match="cannot compute kernel 'potential'"):
        fast_attend(z, mass, value, replace(pull, kernel="potential"), "near")


def test_a_radius_that_learns_hears_the_pairs_outside_as_well():
    z, value, _, mass, strength, beta, radius = scene(7, 40, 3, 4, False)
    radius.requires_grad_()
    pull = Pull("newton", strength, beta, cutoff="hard", radius=radius)
    grad, = torch.autograd.grad(fast_attend(z, mass, value, pull).sum(), radius)
    wanted, = torch.autograd.grad(attend(z, mass, value, pull)[0].sum(), radius)
    torch.testing.assert_close(grad, wanted)
    assert grad.abs().min() > 0


@pytest.mark.parametrize("cutoff", CUTOFFS)
def test_rounding_far_from_the_first_token_makes_no_weight_negative(cutoff):
    some = torch.Generator().manual_seed(9)
    z = torch.randn(1, 1, 400, 4, generator=some) + 3000
    z[..., :1, :] = 0  # distances are differences of large numbers
    value = torch.eye(400)[None, None]
    one = torch.ones(1, 1, 1)
    pull = Pull("newton", one, one, cutoff=cutoff, radius=one)
    weights = fast_attend(z, torch.ones(1, 400), value, pull, "near")
    assert weights.min() >= 0
    torch.testing.assert_close(weights.sum(-1), torch.ones(1, 1, 400))
