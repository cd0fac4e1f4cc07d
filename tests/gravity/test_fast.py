"""Fast gravity equals the float64 reference, with its gradients, and stays causal."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.gravity import fast, fused
from lib.gravity.attention import CUTOFFS, KERNELS, Pull, attend, squared_distances

HEADS = 3
OWN = {"newton": "fused", "gaussian": "sdpa"}
CASES = [(kernel, form) for kernel, form in OWN.items()] + [
    (kernel, "chunked") for kernel in KERNELS
]


def scene(seed, seq=300, kind=torch.float64, coord=6, wide=8, batch=2):
    """Coordinates, masses and values away from anything special."""
    generator = torch.Generator().manual_seed(seed)

    def some(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(kind)

    z, value = some(batch, HEADS, seq, coord), some(batch, HEADS, seq, wide)
    mass = some(batch, seq).abs() + 0.3
    return z, mass, value


def pull_of(kernel, kind=torch.float64, cutoff="none", **more):
    def heads(*numbers):
        return torch.tensor(numbers, dtype=kind)[:, None, None]

    return Pull(kernel, heads(0.4, 1.1, 2.3), heads(0.7, 1.0, 1.6), cutoff=cutoff,
                radius=heads(1.2, 1.6, 2.5), **more)


def results(form, given, pull, kind, learned=True):
    """Output and the gradients of every input and strength, by name."""
    z, mass, value = (x.to(kind) for x in given)
    names = ("strength", "beta", "radius")
    wide = torch.promote_types(kind, torch.float32)
    numbers = {name: getattr(pull, name).to(wide) for name in names}
    inputs = {"z": z, "mass": mass, "value": value} | numbers
    inputs = {name: x.clone().requires_grad_() for name, x in inputs.items()}
    pull = replace(pull, **{name: inputs[name] for name in names})
    out = fast.fast_attend(inputs["z"], inputs["mass"], inputs["value"], pull, form)
    ask = torch.randn(out.shape, generator=torch.Generator().manual_seed(9),
                      dtype=torch.float64).bfloat16().double()
    grads = torch.autograd.grad(
        (out.double() * ask).sum(), list(inputs.values()), allow_unused=True
    )
    found = dict(zip(inputs, grads, strict=True))
    return {"out": out} | {n: g for n, g in found.items() if g is not None}


def off(found, wanted):
    """The largest difference of each result, relative to the largest it has."""
    return {
        name: ((found[name].double() - x).abs().max() / x.abs().max()).item()
        for name, x in wanted.items()
        if x.abs().max() > 1e-12
    }


def norm_off(found, wanted):
    """The length of the difference relative to the length of what is wanted."""
    return {
        name: ((found[name].double() - x).norm() / x.norm()).item()
        for name, x in wanted.items()
        if x.norm() > 1e-12
    }


@pytest.mark.parametrize("mass_in_value", [False, True])
@pytest.mark.parametrize("kernel, form", CASES)
def test_in_float64_a_form_is_the_reference(kernel, form, mass_in_value):
    given, pull = scene(1), pull_of(kernel, mass_in_value=mass_in_value)
    wanted = results("reference", given, pull, torch.float64)
    found = results(form, given, pull, torch.float64)
    # float64 rounding through a few hundred sums
    assert max(off(found, wanted).values()) < 1e-11


@pytest.mark.parametrize("cutoff", CUTOFFS[1:])
@pytest.mark.parametrize("kernel", KERNELS)
def test_with_a_cutoff_too_the_radius_and_its_gradient_included(kernel, cutoff):
    given, pull = scene(2, seq=200), pull_of(kernel, cutoff=cutoff)
    wanted = results("reference", given, pull, torch.float64)
    found = results("chunked", given, pull, torch.float64)
    assert wanted["radius"].abs().min() > 0
    assert max(off(found, wanted).values()) < 1e-11


@pytest.mark.parametrize("kernel, form", CASES)
def test_float32_is_within_1e_5_of_the_float64_reference(kernel, form):
    # logits of `potential` grow as 1/ε, and with them what float32 rounds away
    given, pull = scene(3), pull_of(kernel, eps=1.0 if kernel == "potential" else 0.1)
    given = tuple(x.float().double() for x in given)  # the same numbers in both
    wanted = results("reference", given, pull, torch.float64)
    found = results(form, given, pull, torch.float32)
    assert max(off(found, wanted).values()) < 1e-5


@pytest.mark.parametrize("kernel, form", [c for c in CASES if c[0] != "potential"])
def test_bfloat16_is_within_2e_3_of_the_float64_reference(kernel, form):
    given, pull = scene(4), pull_of(kernel)
    given = tuple(x.bfloat16().double() for x in given)
    wanted = results("reference", given, pull, torch.float64)
    found = results(form, given, pull, torch.bfloat16)
    assert max(norm_off(found, wanted).values()) < 2e-3


def test_splitting_a_bias_of_16_bits_repairs_it():
    z, mass, value = scene(5, kind=torch.bfloat16)
    pull = pull_of("gaussian")
    wanted = attend(z.double(), mass.double(), value.double(), pull)[0]
    bias = pull.bias(mass[:, None].double()).float()
    strength = pull.strength.float().expand(*z.shape[:2], 1, 1)
    found = fast.gaussian_sdpa(z, bias, strength, value, half=True)
    wide = 2 / z.shape[-1] * strength
    bias = bias - wide[..., 0] / 2 * z.float().square().sum(-1)
    naive = torch.nn.functional.scaled_dot_product_attention(
        torch.cat(((wide * z).bfloat16(), torch.ones_like(z[..., :1])), -1),
        torch.cat((z, bias[..., None].bfloat16()), -1),
        value, is_causal=True, scale=1.0,
    )
    split, one = norm_off({"split": found, "one": naive},
                          {"split": wanted, "one": wanted}).values()
    assert split < 2e-3 < one


def later_changed(points, mass, place, seed):
    """The same text up to `place`; then far, heavy, and in another order."""
    some = torch.Generator().manual_seed(seed)
    order = torch.randperm(mass.shape[1] - place, generator=some) + place
    changed = [x.clone() for x in points]
    for new, old in zip(changed, points, strict=True):
        new[..., place:, :] = old[..., order, :] * 100 + 30
    mass = mass.clone()
    mass[:, place:] = mass[:, order] * 100
    return changed, mass


def expect_past_alone(attention, pull, seed, place, seq, kind, elsewhere):
    """Earlier outputs are the same bits when all that is later is another text."""
    z, mass, value = scene(seed, seq=seq, kind=kind)
    looking = scene(seed + 1, seq=seq, kind=kind)[0]

    def run(z, looking, value, mass):
        return attention(z, mass, value, pull, looking if elsewhere else None)

    with torch.no_grad():
        before = run(z, looking, value, mass)
        after = run(*(changed := later_changed((z, looking, value), mass, place, seed)
                      )[0], changed[1])
    assert torch.equal(after[..., :place, :], before[..., :place, :])
    assert not torch.equal(after, before)


FORMED = [(kernel, form) for kernel, form in CASES] + [
    (kernel, form) for kernel in KERNELS for form in ("auto", "reference")]


@pytest.mark.parametrize("kind", [torch.float64, torch.float32, torch.bfloat16,
                                  torch.float16])
@pytest.mark.parametrize("kernel, form", FORMED)
@given(seed=st.integers(0, 2**31 - 2), place=st.integers(1, 299),
       elsewhere=st.booleans())
@settings(max_examples=4, deadline=None)
def test_what_comes_later_changes_no_bit_before(
    kernel, form, kind, seed, place, elsewhere
):
    def attention(z, mass, value, pull, looking):
        return fast.fast_attend(z, mass, value, pull, form, looking)

    wide = torch.promote_types(kind, torch.float32)
    # p = 0.1: the masses m^(−β/p) would span more than a float32 holds
    pull = replace(pull_of(kernel, wide), strength=pull_of(kernel, wide).strength / 4)
    expect_past_alone(attention, pull, seed, place, 300, kind, elsewhere)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("elsewhere", [False, True])
@pytest.mark.parametrize("place", [1, 30, 199])
def test_what_comes_later_changes_no_bit_in_16_bits_either(kind, place, elsewhere):
    def attention(z, mass, value, pull, looking):
        bias = pull.bias(mass[:, None].float()).expand(z.shape[:-1])
        strength = pull.strength.expand(*z.shape[:2], 1, 1)
        return fast.gaussian_sdpa(z, bias, strength, value, True, looking)

    pull = pull_of("gaussian", torch.float32)
    expect_past_alone(attention, pull, 17, place, 200, kind, elsewhere)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("elsewhere", [False, True])
def test_what_comes_later_changes_no_bit_of_flex_attention(elsewhere):
    def attention(z, mass, value, pull, looking):
        return fast.fast_attend(z, mass, value, pull, "flex", looking)

    pull = pull_of("newton", torch.float32)
    for place in (1, 70, 129):
        expect_past_alone(attention, pull, 18, place, 130, torch.float32, elsewhere)


def test_float16_takes_32_bits_from_where_its_own_do_not_reach():
    z, mass, value = scene(19, seq=60, kind=torch.float16)
    z[:, :, 40:] *= 300
    pull = pull_of("gaussian", torch.float32)
    bias = pull.bias(mass[:, None].float()).expand(z.shape[:-1])
    strength = pull.strength.expand(*z.shape[:2], 1, 1)
    found = fast.gaussian_sdpa(z, bias, strength, value, half=True)
    wanted = attend(z.double(), mass.double(), value.double(), pull_of("gaussian"))[0]
    for some in (slice(40), slice(40, None)):
        off_there = norm_off({"": found[..., some, :]}, {"": wanted[..., some, :]})
        assert off_there[""] < 2e-3


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("spread", [0.0, 1.0, 1e4])
@pytest.mark.parametrize("kernel, form", CASES)
def test_all_is_finite_for_equal_and_for_distant_points(kernel, form, spread, kind):
    z, mass, value = scene(6, seq=50)
    found = results(form, (z.sign() * spread, mass, value), pull_of(kernel), kind)
    assert all(x.isfinite().all() for x in found.values())


def test_blocks_of_any_size_give_the_same(monkeypatch):
    given, pull = scene(7, seq=50), pull_of("newton")
    whole = results("fused", given, pull, torch.float64)
    for queries, keys in ((7, 50), (50, 7), (8, 8), (1, 3), (9, 4)):
        monkeypatch.setattr(fused, "QUERIES", queries)
        monkeypatch.setattr(fused, "KEYS", keys)
        parts = results("fused", given, pull, torch.float64)
        assert max(off(parts, whole).values()) < 1e-12, (queries, keys)


def test_one_core_and_two_give_the_same_bits():
    threads, found = torch.get_num_threads(), []
    for count in (1, 2):
        torch.set_num_threads(count)
        try:
            given = scene(23, seq=600, kind=torch.float32)
            pull = pull_of("newton", torch.float32)
            found.append(results("fused", given, pull, torch.float32))
        finally:
            torch.set_num_threads(threads)
    assert all(torch.equal(found[1][name], x) for name, x in found[0].items())


@pytest.mark.slow
def test_the_gradients_of_the_fused_form_are_finite_differences(monkeypatch):
    monkeypatch.setattr(fused, "QUERIES", 2)
    z, mass, value = (x[:1, ..., :5, :2] if x.dim() == 4 else x[:1, :5]
                      for x in scene(8, seq=5))
    pull = pull_of("newton")

    def run(z, mass, value, strength, beta):
        own = replace(pull, strength=strength, beta=beta)
        return fast.fast_attend(z, mass, value, own, "fused")

    inputs = [x.clone().requires_grad_() for x in (z, mass, value, pull.strength,
                                                   pull.beta)]
    assert torch.autograd.gradcheck(run, inputs)


@pytest.mark.parametrize("elsewhere", [False, True])
@pytest.mark.parametrize("kind, bound", [(torch.float32, 2e-5), (torch.float64, 1e-11)])
def test_masses_and_places_however_far_apart_are_right(kind, bound, elsewhere):
    # the second token is heavy, and so far away that beside its mass all is faint
    z, mass, value = scene(9, seq=40)
    z[:, :, 1] += 3e4
    mass[:, 1::2] *= 1e6
    mass[:, ::3] *= 1e-5
    looking = z.flip(-1) + 100 if elsewhere else None
    for p in (0.05, 9.0):
        pull = replace(pull_of("newton"), beta=torch.full((3, 1, 1), 6.0).double(),
                       strength=torch.full((3, 1, 1), p).double())
        given = z.clone(), mass, value.clone(), looking
        inputs = [x.requires_grad_() for x in (given[0], given[2])]
        wanted = attend(*given[:3], pull, looking=looking)[0]
        ask = value.sin()
        right = wanted, *torch.autograd.grad((wanted * ask).sum(), inputs)
        narrow = [None if x is None else x.detach().to(kind) for x in given]
        inputs = [narrow[0].requires_grad_(), narrow[2].requires_grad_()]
        narrow_pull = replace(pull, beta=pull.beta.to(kind),
                              strength=pull.strength.to(kind))
        found = fast.fast_attend(*narrow[:3], narrow_pull, "fused", narrow[3])
        grads = torch.autograd.grad((found * ask.to(kind)).sum(), inputs)
        for ours, exact in zip((found, *grads), right, strict=True):
            assert (ours.double() - exact).norm() <= bound * exact.norm(), p


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_flex_attention_is_the_reference_too():
    given, pull = scene(11, seq=130, coord=6, wide=16), pull_of("newton")
    given = tuple(x.float() for x in given)
    wanted = results("reference", given, pull, torch.float64)
    with torch.no_grad():
        found = fast.fast_attend(*given, pull_of("newton", torch.float32), "flex")
    assert off({"out": found}, {"out": wanted["out"]})["out"] < 1e-5


def test_nothing_of_the_size_of_the_table_is_kept_for_the_gradients():
    seq, kept = 600, []

    def note(tensor):
        kept.append(tensor.numel())
        return tensor

    for kernel, form in (("newton", "fused"), ("gaussian", "sdpa"),
                         ("potential", "chunked")):
        z, mass, value = (x.requires_grad_() for x in scene(12, seq=seq, batch=1))
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            fast.fast_attend(z, mass, value, pull_of(kernel), form)
    # the widest things are inputs; a table would have 3 · 600 · 600 numbers
    assert max(kept) <= HEADS * seq * 10


def test_a_form_that_cannot_compute_a_kernel_says_which_can():
    z, mass, value = scene(0, seq=4)
    with pytest.raises(ValueError, match="form 'sdpa' cannot compute kernel 'newton'"):
        fast.fast_attend(z, mass, value, pull_of("newton"), "sdpa")
    with pytest.raises(ValueError, match="form 'quick' is not known; use one of auto"):
        fast.fast_attend(z, mass, value, pull_of("newton"), "quick")


def test_distances_of_the_last_queries_are_the_last_rows():
    z = scene(13, seq=9)[0]
    whole = squared_distances(z)
    torch.testing.assert_close(squared_distances(z, 4), whole[..., 5:, :])


@pytest.mark.parametrize("kernel, form", CASES)
def test_a_form_is_the_reference_for_tokens_that_look_from_elsewhere(kernel, form):
    z, mass, value = scene(21, seq=200)
    looking = z.flip(-1) * 1.5 + 0.3

    def run(how, kind):
        given = [x.clone().to(kind).requires_grad_() for x in (z, mass, value, looking)]
        own = pull_of(kernel, kind)
        out = fast.fast_attend(*given[:3], own, how, looking=given[3])
        asked = torch.linspace(-1, 1, out.numel(), dtype=kind).sin().view(out.shape)
        return [out, *torch.autograd.grad((out * asked).sum(), given)]

    exact = run("reference", torch.float64)
    for kind, bound in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
        for found, right in zip(run(form, kind), exact, strict=True):
            assert (found - right).norm() < bound * right.norm(), (kind, found.shape)


@pytest.mark.parametrize("kernel", ["newton", "gaussian"])
def test_with_a_place_of_its_own_to_look_from_a_token_can_prefer_another(kernel):
    (z, mass, value), pull = scene(22, seq=6), pull_of(kernel)
    ahead = z.roll(1, -2)  # each looks from where the token before it lies
    weights = attend(z, torch.ones_like(mass), value, pull, looking=ahead)[1]["weights"]
    assert (weights[..., 1:, :].argmax(-1) == torch.arange(5)).all()
    weights = attend(z, torch.ones_like(mass), value, pull)[1]["weights"]
    assert (weights[..., 1:, :].argmax(-1) == torch.arange(1, 6)).all()
