"""Laws of gravity attention: `lib.gravity.attention`, its models and their training."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.gravity import attention as g
from lib.gravity import layers
from lib.gravity.model import LanguageModel, LMConfig, attention_of, build, parameters
from lib.training.loop import Recipe, batches, evaluate, learning_rate, train

SEEDS = st.integers(0, 2**31 - 1)
CUT = ("hard", "soft", "compact")
TINY = LMConfig(vocab=11, context=8, d_model=8, n_layers=2, n_heads=2, d_coord=6)


def points(seed, seq=6, coord=3, dtype=torch.float64, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(seq, coord, generator=generator, dtype=dtype) * scale
    mass = torch.rand(seq, generator=generator, dtype=dtype) + 0.5
    return z, mass


def kernel_logits(name, r2, mass, sign=1, strength=1.3, beta=0.7):
    if name == "newton":
        return g.newton(r2, mass, strength, beta)
    if name == "gaussian":
        return g.gaussian(r2, mass, strength, beta)
    return g.potential(r2, mass, strength, beta, sign=sign)


def layer(kernel="newton", cutoff="none", seed=0, size=(8, 2, 6), **options):
    """A gravity layer in float64 whose every parameter is away from its start."""
    options.setdefault("place", size[0] // size[1])
    module = layers.GravityAttention(*size, kernel=kernel, cutoff=cutoff, **options)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.add_(0.3 * noise)
    return module.double()


def stream(seed, batch=2, seq=5, d_model=8, coord=6):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(batch, seq, d_model, generator=generator, dtype=torch.float64)
    z = torch.randn(batch, seq, coord, generator=generator, dtype=torch.float64)
    mass = torch.rand(batch, seq, generator=generator, dtype=torch.float64) + 0.5
    return x, z, mass


# distances


@given(SEEDS, st.integers(1, 9), st.integers(1, 5))
@settings(max_examples=20, deadline=None)
def test_squared_distances_equal_the_sum_of_squared_differences(seed, seq, coord):
    z, _ = points(seed, seq, coord)
    expected = np.square(z[:, None].numpy() - z[None].numpy()).mean(-1)
    # float64 rounding of three products of size ~10
    np.testing.assert_allclose(g.squared_distances(z).numpy(), expected, atol=1e-13)


# laws of the kernels


@pytest.mark.parametrize("kernel", g.KERNELS)
@given(near=st.floats(0, 10), further=st.floats(1e-3, 10), mass=st.floats(0.1, 5))
@settings(max_examples=20, deadline=None)
def test_the_nearer_of_two_equal_tokens_gets_more_weight(kernel, near, further, mass):
    logits = on_a_line([0.0, near, near + further], [1.0, mass, mass], kernel)
    assert logits[1] > logits[2]


@given(near=st.floats(0, 10), further=st.floats(1e-3, 10), mass=st.floats(0.1, 5))
@settings(max_examples=20, deadline=None)
def test_with_sign_minus_one_the_nearer_gets_less(near, further, mass):
    z, masses = [0.0, near, near + further], [1.0, mass, mass]
    logits = on_a_line(z, masses, "potential", sign=-1)
    assert logits[1] < logits[2]


@pytest.mark.parametrize("kernel", g.KERNELS)
@given(r=st.floats(0, 10), mass=st.floats(0.1, 5), more=st.floats(1e-2, 5))
@settings(max_examples=20, deadline=None)
def test_the_heavier_of_two_tokens_at_one_distance_gets_more(kernel, r, mass, more):
    logits = on_a_line([0.0, r, -r], [1.0, mass, mass + more], kernel)
    assert logits[2] > logits[1]


@given(r=st.floats(0, 10), mass=st.floats(0.1, 5), more=st.floats(1e-2, 5))
@settings(max_examples=20, deadline=None)
def test_with_sign_minus_one_the_heavier_gets_less(r, mass, more):
    z, masses = [0.0, r, -r], [1.0, mass, mass + more]
    logits = on_a_line(z, masses, "potential", sign=-1)
    assert logits[2] < logits[1]


def on_a_line(z, mass, kernel, sign=1):
    """Logits of the first token over tokens at these places with these masses."""
    z = torch.tensor(z, dtype=torch.float64)[:, None]
    mass = torch.tensor(mass, dtype=torch.float64)
    r2 = g.squared_distances(z)
    return kernel_logits(kernel, r2, mass, sign=sign, beta=0.0 if sign < 0 else 0.7)[0]


@pytest.mark.parametrize("kernel", g.KERNELS)
@given(SEEDS)
@settings(max_examples=20, deadline=None)
def test_logits_do_not_change_when_all_points_turn_and_shift(kernel, seed):
    z, mass = points(seed)
    generator = torch.Generator().manual_seed(seed + 1)
    square = torch.randn(3, 3, generator=generator, dtype=torch.float64)
    turn = torch.linalg.qr(square).Q
    moved = z @ turn + 50 * torch.randn(3, generator=generator, dtype=torch.float64)
    before = kernel_logits(kernel, g.squared_distances(z), mass)
    after = kernel_logits(kernel, g.squared_distances(moved), mass)
    # a shift of 50 costs 2e-16 · 50 in z, times a slope of at most 1/ε² = 100
    torch.testing.assert_close(after, before, rtol=0, atol=1e-10)


def test_a_far_shift_in_float32_leaves_distances_accurate():
    z, _ = points(3, dtype=torch.float32)
    shifted = (z * 8).round() / 8 + 4096.0  # multiples of 1/8: the shift is exact
    expected = g.squared_distances((z * 8).round() / 8)
    torch.testing.assert_close(g.squared_distances(shifted), expected)


@pytest.mark.parametrize("kernel", g.KERNELS)
@given(SEEDS)
@settings(max_examples=20, deadline=None)
def test_permuting_the_tokens_permutes_the_logits(kernel, seed):
    z, mass = points(seed)
    order = torch.randperm(len(z), generator=torch.Generator().manual_seed(seed))
    logits = kernel_logits(kernel, g.squared_distances(z), mass)
    permuted = kernel_logits(kernel, g.squared_distances(z[order]), mass[order])
    torch.testing.assert_close(permuted, logits[order][:, order], atol=1e-11, rtol=0)


def test_newton_with_unit_exponents_is_the_inverse_square_law():
    z, mass = points(4)
    r2 = g.squared_distances(z)
    weights = g.newton(r2, mass, 1.0, eps=0.2).softmax(-1)
    expected = mass / (r2 + 0.2)
    torch.testing.assert_close(weights, expected / expected.sum(-1, keepdim=True))


def test_gaussian_is_scaled_dot_product_attention_of_augmented_vectors():
    z, mass = points(5)
    gamma, beta = 0.8, 1.4
    c = z.shape[-1]
    query = torch.cat([2 * gamma * z / c, torch.ones(len(z), 1).double()], -1)
    last = beta * mass.log() - gamma * z.square().sum(-1) / c
    key = torch.cat([z, last[:, None]], -1)
    value = torch.eye(len(z)).double()
    expected = torch.nn.functional.scaled_dot_product_attention(
        query[None], key[None], value[None], scale=1.0
    )[0]
    weights = g.gaussian(g.squared_distances(z), mass, gamma, beta).softmax(-1)
    torch.testing.assert_close(weights, expected)


def test_the_repelling_sign_gives_the_softmax_of_the_original():
    # leetae9yu's score −γ/(d² + 1e-6), computed here by hand in float64
    r2 = np.array([0, 0.01, 0.1, 1, 4, 16, 100])
    score = -math.log(2) * 1.0 / (r2 + 1e-6)
    expected = np.exp(score) / np.exp(score).sum()
    table = torch.tensor(r2).expand(7, 7)
    logits = g.potential(
        table, torch.ones(7).double(), math.log(2), 0.0, eps=1e-6, sign=-1
    )
    np.testing.assert_allclose(logits.softmax(-1)[0].numpy(), expected, rtol=1e-10)


# cutoffs


@pytest.mark.parametrize("cutoff", CUT)
@given(SEEDS, st.floats(0.05, 3))
@settings(max_examples=20, deadline=None)
def test_weight_is_zero_beyond_the_radius_and_the_token_is_kept(cutoff, seed, radius):
    z, mass = points(seed)
    r2 = g.squared_distances(z)
    gate = g.cutoff_gate(r2, radius, cutoff)
    weights = g.gated_softmax(g.newton(r2, mass, 1.0), gate, g.causal(len(z)))
    assert (weights[r2 >= radius**2] == 0).all()
    assert (weights.diagonal() > 0).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(len(z)).double())


@given(SEEDS, st.floats(0.5, 3))
@settings(max_examples=20, deadline=None)
def test_a_hard_cutoff_is_a_softmax_over_the_tokens_inside(seed, radius):
    z, mass = points(seed)
    r2 = g.squared_distances(z)
    logits = g.newton(r2, mass, 1.0)
    inside = r2 < radius**2
    expected = logits.masked_fill(~inside, -math.inf).softmax(-1)
    weights = g.gated_softmax(logits, g.cutoff_gate(r2, radius, "hard"))
    torch.testing.assert_close(weights, expected)


@pytest.mark.parametrize("cutoff", CUT)
@pytest.mark.parametrize("radius", [0.01, 1.2, 50.0])
def test_the_radius_always_receives_a_gradient(cutoff, radius):
    # 0.01 cuts everything, 50 nothing, and the layer must still be able to move
    module = layer(cutoff=cutoff, radius=radius)
    x, z, mass = stream(1)
    module(x, z, mass)[0].square().sum().backward()
    assert module.rho.grad.isfinite().all()
    assert (module.rho.grad != 0).all()


def test_without_a_cutoff_the_radius_is_not_trained():
    assert not layer(cutoff="none").rho.requires_grad


# numbers


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("spread", [0.0, 1.0, 1e4])
@pytest.mark.parametrize("cutoff", g.CUTOFFS)
@pytest.mark.parametrize(
    "kernel, sign",
    [("newton", 1), ("gaussian", 1), ("potential", 1), ("potential", -1)],
)
def test_output_and_gradients_are_finite(kernel, sign, cutoff, spread, dtype):
    module = layer(kernel, cutoff, sign=sign).to(dtype)
    with torch.no_grad():  # so that coordinates of 1e4 stay 1e4 in each head
        module.place.weight.copy_(torch.eye(8, 6))
    x, z, mass = (part.to(dtype) for part in stream(2))
    z = (torch.sign(z) * spread).requires_grad_()
    output, seen = module(x, z, mass)
    output.float().square().mean().backward()
    assert output.isfinite().all()
    assert seen["weights"].isfinite().all()
    assert z.grad.isfinite().all()
    for name, parameter in module.named_parameters():
        assert parameter.grad is None or parameter.grad.isfinite().all(), name


@pytest.mark.slow
@pytest.mark.parametrize("cutoff", ["none", "soft", "compact"])
@pytest.mark.parametrize("kernel", g.KERNELS)
def test_gradients_equal_finite_differences(kernel, cutoff):
    # `hard` is left out: its gradient to the radius is a substitute by design
    module = layer(kernel, cutoff, size=(4, 2, 3), radius=6.0)
    names = [n for n, p in module.named_parameters() if p.requires_grad]
    inputs = [part.requires_grad_() for part in stream(3, 1, 3, d_model=4, coord=3)]
    start = [module.get_parameter(n).detach().requires_grad_() for n in names]

    def output(x, z, mass, *given):
        return torch.func.functional_call(
            module, dict(zip(names, given, strict=True)), (x, z, mass)
        )[0]

    seen = module(*inputs)[1]
    # no pair is cut here, so the gradient to the radius is the true one as well
    assert seen["gate"] is None or (seen["gate"] > 0).all()
    assert torch.autograd.gradcheck(output, (*inputs, *start))


@pytest.mark.parametrize("cutoff", ["soft", "compact"])
def test_with_pairs_cut_off_the_gradient_to_the_points_is_the_true_one(cutoff):
    z, mass = points(8)
    z.requires_grad_()

    def weights(z):
        r2 = g.squared_distances(z)
        return g.gated_softmax(g.newton(r2, mass, 1.0), g.cutoff_gate(r2, 1.0, cutoff))

    assert (weights(z) == 0).any()
    assert torch.autograd.gradcheck(weights, z)


# repulsion


def test_repulsion_is_the_mean_over_pairs_of_the_formula():
    z, mass = points(9)
    total = 0.0
    for i in range(6):
        for j in range(6):
            if i != j:
                r2 = float((z[i] - z[j]).square().mean())
                total += float(mass[i] * mass[j]) / max(r2, 0.1**2)
    assert g.repulsion(z, mass).item() == pytest.approx(total / 30, rel=1e-12)


def test_following_the_repulsion_drives_points_apart():
    z, mass = points(10, scale=0.3)
    before = g.squared_distances(z)[~torch.eye(6, dtype=torch.bool)].min()
    for _ in range(50):
        z = z.detach().requires_grad_()
        g.repulsion(z, mass).backward()
        z = z - 0.01 * z.grad
    after = g.squared_distances(z)[~torch.eye(6, dtype=torch.bool)].min()
    assert after > 2 * before


def test_repulsion_of_coinciding_points_is_bounded_by_min_dist():
    z = torch.zeros(3, 4)
    energy = g.repulsion(z, torch.tensor([1.0, 2.0, 3.0]), min_dist=0.5)
    assert energy.item() == pytest.approx((1 * 2 + 1 * 3 + 2 * 3) / 3 / 0.25)


# models


@pytest.mark.parametrize("attention", ["dot", *g.KERNELS])
@pytest.mark.parametrize("cutoff", g.CUTOFFS)
@given(seed=SEEDS, place=st.integers(0, 7))
@settings(max_examples=5, deadline=None)
def test_changing_the_future_changes_no_past_logit(attention, cutoff, seed, place):
    model = build(replace(TINY, attention=attention, cutoff=cutoff, radius=1.0), 0)
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(11, (2, 8), generator=generator)
    other = ids.clone()
    other[:, place] = (other[:, place] + 1) % 11
    before, after = model.double()(ids), model(other)
    assert torch.equal(before[:, :place], after[:, :place])
    assert not torch.allclose(before[:, place], after[:, place])


def test_twins_share_every_weight_outside_their_attention():
    dot = build(replace(TINY, attention="dot"), seed=3).state_dict()
    newton = build(replace(TINY, attention="newton"), seed=3).state_dict()
    shared = dot.keys() & newton.keys()
    only_dot = dot.keys() - shared
    assert all(".attention." in name for name in only_dot)
    assert {"token.weight", "head.weight", "blocks.0.attention.value.weight"} <= shared
    for name in shared:
        assert torch.equal(dot[name], newton[name]), name


def test_another_seed_gives_other_weights():
    one, two = build(TINY, seed=1), build(TINY, seed=2)
    assert not torch.equal(one.token.weight, two.token.weight)


def test_with_position_only_two_texts_have_the_same_first_coordinates():
    ids = torch.tensor([[1, 2, 3], [4, 5, 6]])
    z = build(replace(TINY, coordinates="position"), 0).trace(ids)[1][0]["z"]
    assert torch.equal(z[0], z[1])
    z = build(TINY, 0).trace(ids)[1][0]["z"]
    assert not torch.allclose(z[0], z[1])


def test_coordinates_move_by_the_attention_output_and_a_norm():
    model = build(TINY, 0)
    ids = torch.tensor([[1, 2, 3, 4]])
    _, layers = model.trace(ids)
    x = model.token(ids) + model.position.weight[:4]
    first = model.blocks[0]
    pulled, _ = first.attention(
        first.before_attention(x), layers[0]["z"], layers[0]["mass"]
    )
    z = layers[0]["z"] + pulled @ model.move[0].weight.T
    z = z - z.mean(-1, keepdim=True)
    z = z / (z.square().mean(-1, keepdim=True) + 1e-5).sqrt()
    torch.testing.assert_close(layers[1]["z"], z, atol=1e-5, rtol=0)


def test_every_trainable_weight_receives_a_gradient():
    for attention in ("dot", *g.KERNELS):
        model = build(replace(TINY, attention=attention, cutoff="soft"), 0)
        if model.masses is not None:  # at equal masses β alone has no say
            torch.nn.init.normal_(model.masses.mu, generator=torch.Generator())
        ids = torch.arange(9)[None] % 11
        model.loss(ids[:, :8], ids[:, 1:]).backward()
        for name, weight in model.named_parameters():
            if weight.requires_grad:
                assert weight.grad is not None and weight.grad.any(), name


def test_statistics_count_what_the_formula_says():
    module = layer(cutoff="hard", radius=1.0)
    x, z, mass = stream(4)
    _, seen = module(x, z, mass)
    stats = layers.statistics(module, seen)
    r2, weights = seen["r2"].detach(), seen["weights"].detach()
    pairs = [(i, j) for i in range(5) for j in range(i)]
    for h in range(2):
        d = [r2[b, h, i, j].sqrt() for b in range(2) for i, j in pairs]
        cut = [r >= module.radius[h] for r in d]
        mean, share = np.mean([*map(float, d)]), np.mean([*map(float, cut)])
        assert stats["distance"][h].item() == pytest.approx(mean)
        assert stats["cut_off"][h].item() == pytest.approx(share)
        entropy = [
            torch.special.entr(weights[b, h, i]).sum().item()
            for b in range(2) for i in range(5)
        ]
        assert stats["entropy"][h].item() == pytest.approx(np.mean(entropy))


# wrong use


@pytest.mark.parametrize(
    "make, sentence",
    [
        (lambda: attention_of(replace(TINY, attention="newtn")),
         "attention 'newtn' is not known; use one of dot, newton, gaussian, potential"),
        (lambda: replace(TINY, cutoff="sharp"),
         "cutoff 'sharp' is not known; use one of none, hard, soft, compact"),
        (lambda: build(replace(TINY, coordinates="none"), 0),
         r"coordinates 'none' is not known; use one of token\+position, position"),
        (lambda: build(replace(TINY, d_model=9), 0),
         "d_model 9 is not a multiple of n_heads 2; use for example d_model 8"),
        (lambda: build(TINY, 0)(torch.zeros(1, 9, dtype=torch.long)),
         "9 tokens came, the model was built for 8"),
        (lambda: next(batches(torch.arange(5), Recipe(context=8))),
         "the text has 5 tokens and the context is 8"),
        (lambda: g.potential(torch.zeros(2, 2), torch.ones(2), 1.0, sign=0),
         r"sign 0 is not known; use 1 \(attract\) or -1 \(repel\)"),
        (lambda: g.Pull("newton", *torch.ones(2, 1, 1, 1), cutoff="hard"),
         "cutoff 'hard' has no radius; give one, or cutoff 'none'"),
    ],
)
def test_wrong_use_ends_in_one_clear_sentence(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()


# training

RECIPE = Recipe(steps=30, batch=8, context=8, learning_rate=1e-2, warmup=3,
                evaluations=3, evaluation_windows=8)


def alphabet(length=400):
    return torch.arange(length) % 11


def test_a_text_shorter_than_a_window_cannot_be_judged_on():
    with pytest.raises(ValueError, match="has 8 tokens and one window takes 9; use"):
        evaluate(build(TINY, 0), alphabet(8), 8)


@pytest.mark.slow
@pytest.mark.parametrize("attention", ["dot", "newton"])
def test_training_learns_a_text_that_repeats(attention):
    model = build(replace(TINY, attention=attention), 0)
    before = evaluate(model, alphabet(), 8)
    history = train(model, alphabet(), alphabet(), RECIPE)
    assert before == pytest.approx(math.log(11), abs=0.3)
    assert history.valid[-1] < 0.5 * before
    assert history.step == [10, 20, 30]


@pytest.mark.slow
def test_two_trainings_of_one_seed_are_equal():
    runs = [train(m := build(TINY, 0), alphabet(), alphabet(), RECIPE) for _ in "ab"]
    assert runs[0] == runs[1]
    assert isinstance(m, LanguageModel)


def test_batches_do_not_touch_ambient_randomness():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    next(batches(alphabet(), RECIPE))
    build(TINY, 0).loss(alphabet(8)[None], alphabet(8)[None])
    first = next(batches(alphabet(), RECIPE))[0]
    assert torch.equal(first, next(batches(alphabet(), RECIPE))[0])
    assert not torch.equal(first, next(batches(alphabet(), replace(RECIPE, seed=1)))[0])
    assert expected.shape == (3,)


def test_evaluation_is_the_mean_over_all_windows():
    model = build(TINY, 0)
    ids = alphabet(8 * 5 + 3)
    expected = [
        model.loss(ids[None, s : s + 8], ids[None, s + 1 : s + 9]).item()
        for s in range(0, 40, 8)
    ]
    mean = evaluate(model, ids, 8, batch=2)
    assert mean == pytest.approx(np.mean(expected), rel=1e-6)


def test_an_extra_loss_is_minimised():
    def spread(model, x, y):
        layers = model.trace(x)[1]
        return g.repulsion(layers[-1]["z"], layers[-1]["mass"])

    model = build(TINY, 0)
    x = alphabet(8)[None]
    before = spread(model, x, x).item()
    train(model, alphabet(), alphabet(), RECIPE, loss=spread)
    assert spread(model, x, x).item() < before


def test_the_learning_rate_warms_up_and_ends_at_its_final_share():
    rates = [learning_rate(RECIPE, step) for step in range(31)]
    assert rates[2] == max(rates) == 1e-2
    assert rates[30] == pytest.approx(1e-3)
    assert rates[3:] == sorted(rates[3:], reverse=True)


def test_the_radius_and_the_parameter_count_tell_what_is_trained():
    free = parameters(build(replace(TINY, cutoff="none"), 0))
    cut = parameters(build(replace(TINY, cutoff="compact"), 0))
    assert cut - free == TINY.n_layers * TINY.n_heads
