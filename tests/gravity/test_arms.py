"""The arms of benchmarks/quality.py: twins of the dot product, ablations of gravity."""

import math
from dataclasses import asdict, replace
from functools import partial

import pytest
import torch

from benchmarks.characters import TEXTS, reduced
from benchmarks.quality import ARMS, SIZES, keep_model, model_of
from lib.gravity import dot, layers
from lib.gravity.model import LanguageModel, LMConfig, build, parameters
from lib.training.checkpoint import load, part

SMALL = {"d_model": 32, "n_heads": 2, "n_layers": 3, "context": 12, "d_ff": None,
         "d_coord": 10, "place": 6}
LONGER = [arm for arm in ARMS if model_of("small", arm, 65).any_length]
ROTATED = [arm for arm in LONGER if arm.startswith("rotated")]


def small(arm, seed=0, **options):
    """A small model of an arm in float64 whose every weight is away from its start."""
    config = replace(LMConfig(vocab=11, **ARMS[arm]), **{**SMALL, **options})
    model = build(config, seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight += 0.2 * torch.randn(weight.shape, generator=generator)
    return model.double()


def ids_of(seed, length=12, rows=2):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(11, (rows, length), generator=generator)


# ---- every arm -----------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("arm", ARMS)
def test_every_arm_has_the_parameters_of_the_plain_twin_within_two_percent(arm, size):
    with torch.device("meta"):
        twin, count = (parameters(LanguageModel(model_of(size, name, 65)))
                       for name in ("dot", arm))
    assert abs(count / twin - 1) <= 0.02


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("arm", ARMS)
def test_no_arm_sees_the_future_to_the_bit(arm, dtype):
    model, ids = small(arm).to(dtype), ids_of(1)
    other = ids.clone()
    other[:, 7:] = (other[:, 7:] + 1 + ids_of(2)[:, 7:] % 9) % 11
    before, after = model(ids), model(other)
    assert torch.equal(before[:, :7], after[:, :7])
    assert not torch.allclose(before[:, 7:], after[:, 7:])


@pytest.mark.parametrize("arm", ARMS)
def test_what_is_traced_is_what_is_computed_and_every_weight_learns(arm):
    model, ids = small(arm), ids_of(3)
    logits, seen = model.trace(ids)
    torch.testing.assert_close(model(ids), logits, atol=1e-12, rtol=0)
    assert len(seen) == 3
    rows = torch.ones(2, 2, 12, dtype=torch.float64)
    torch.testing.assert_close(seen[-1]["weights"].sum(-1), rows)
    model.loss(ids, ids.roll(-1, 1)).backward()
    for name, weight in model.named_parameters():
        assert not weight.requires_grad or weight.grad.any(), name


@pytest.mark.parametrize("arm", ARMS)
def test_a_text_may_grow_a_token_at_a_time(arm):
    """What a model writes does not depend on how much of the text it is shown."""
    model, ids = small(arm), ids_of(4)
    whole = model(ids)
    for end in (1, 5, 12):
        torch.testing.assert_close(model(ids[:, :end]), whole[:, :end],
                                   atol=1e-12, rtol=0)


@pytest.mark.parametrize("arm", ARMS)
def test_beyond_its_context_an_arm_goes_on_or_says_why_not(arm):
    model, ids = small(arm), ids_of(5, length=40)
    if arm in LONGER:
        assert model(ids).isfinite().all()
        return
    with pytest.raises(ValueError, match="40 tokens came, the model was built for 12"):
        model(ids)


def test_a_model_that_was_kept_comes_back_with_its_row(tmp_path):
    model = small("rotated gaussian")
    row = {"text": "python", "size": "small", "name": "rotated gaussian", "seed": 3,
           "learning_rate": 2e-3, "steps": 7}
    keep_model(tmp_path, model, row)
    tensors, about = load(next(tmp_path.iterdir()))
    again = LanguageModel(LMConfig(**about["model"])).double()
    again.load_state_dict(part(tensors, "model"))
    assert about["row"] == row and again.config == model.config
    assert torch.equal(again(ids_of(6)), model(ids_of(6)))


# ---- positions -----------------------------------------------------------------------


@pytest.mark.parametrize("arm", [*ROTATED, "dot, rotary", "dot, rotary, qk-norm"])
def test_only_relative_positions_count_where_points_are_turned(arm, monkeypatch):
    """A window that begins at token 1,000,000 gives what one at 0 gives."""
    model, ids = small(arm), ids_of(7)
    before = model.trace(ids)
    for module in (layers, dot):
        monkeypatch.setattr(module, "turned", partial(layers.turned, first=10**6))
    after = model.trace(ids)
    torch.testing.assert_close(after[0], before[0], atol=1e-9, rtol=0)
    torch.testing.assert_close(model(ids), before[0], atol=1e-9, rtol=0)
    for one, other in zip(before[1], after[1], strict=True):
        torch.testing.assert_close(other["weights"], one["weights"], atol=1e-9, rtol=0)


@pytest.mark.parametrize("arm", ["rotated gaussian", "rotated dot", "dot, rotary"])
def test_turned_arms_do_know_the_order_of_tokens(arm):
    model, ids = small(arm), ids_of(8)
    other = ids.clone()
    other[:, [2, 4]] = ids[:, [4, 2]]
    assert (ids[:, 2] != ids[:, 4]).any()
    assert not torch.allclose(model(ids)[:, -1], model(other)[:, -1])


def test_alibi_lowers_a_logit_by_the_slope_of_its_head_a_token():
    model, ids = small("dot, alibi"), ids_of(9)
    with_slopes = model.trace(ids)[1][0]["logits"]
    model.blocks[0].attention.alibi = False
    plain = model.trace(ids)[1][0]["logits"]
    for head, slope in enumerate((1 / 16, 1 / 256)):
        for i in range(12):
            for j in range(i + 1):
                fall = plain[0, head, i, j] - with_slopes[0, head, i, j]
                assert fall.item() == pytest.approx(slope * (i - j), abs=1e-12)


# ---- the dot product on gravity's stream ---------------------------------------------


def test_the_same_stream_arm_is_the_softmax_of_queries_and_keys_by_hand():
    model, ids = small("stream dot"), ids_of(10)
    layer, (_, seen) = model.blocks[1].attention, model.trace(ids)
    z = seen[1]["z"]  # batch seq coord
    q = (z @ layer.look.weight.T).view(2, 12, 2, 6).transpose(1, 2)
    k = (z @ layer.place.weight.T).view(2, 12, 2, 6).transpose(1, 2)
    logits = torch.einsum("bhic,bhjc->bhij", q, k) / math.sqrt(6)
    later = torch.ones(12, 12).triu(1).bool()
    weights = logits.masked_fill(later, -torch.inf).softmax(-1)
    torch.testing.assert_close(seen[1]["weights"], weights, atol=1e-13, rtol=0)


def test_the_winner_and_its_same_stream_arm_begin_with_equal_weights():
    winner, same = (build(LMConfig(vocab=11, **{**SMALL, **ARMS[arm]}), 2).state_dict()
                    for arm in ("gaussian, position, looking", "stream dot"))
    only = {name.rsplit(".", 1)[-1] for name in winner.keys() - same.keys()}
    assert only == {"gamma", "beta", "rho", "mu"} and same.keys() <= winner.keys()
    for name, weight in same.items():
        assert torch.equal(weight, winner[name]), name


@pytest.mark.parametrize("arm", ["gaussian, position, looking", "rotated gaussian"])
def test_without_mass_all_tokens_weigh_one(arm):
    with_mass, without = small(arm), small(f"{arm}, no mass")
    assert without.masses is None
    without.load_state_dict(with_mass.state_dict(), strict=False)
    ids = ids_of(11)
    assert not torch.allclose(with_mass(ids), without(ids))
    with torch.no_grad():
        with_mass.masses.mu.fill_(layers.UNIT_MASS)
    torch.testing.assert_close(with_mass(ids), without(ids), atol=1e-9, rtol=0)


@pytest.mark.parametrize("arm", [arm for arm in ARMS if arm.endswith("no moves")])
def test_without_moves_coordinates_are_the_same_in_every_layer(arm):
    seen = small(arm).trace(ids_of(12))[1]
    assert all(torch.equal(layer["z"], seen[0]["z"]) for layer in seen[1:])


@pytest.mark.parametrize("arm, name", [("dot, mass", "mass"),
                                       ("dot, key bias", "content")])
def test_a_key_bias_is_one_number_a_key_and_begins_at_nothing(arm, name):
    model, ids = small(arm), ids_of(13)
    plain = replace(model.config, key_bias="none")
    without = LanguageModel(plain).double()
    without.load_state_dict(model.state_dict(), strict=False)
    extra = (model.trace(ids)[1][0]["logits"] - without.trace(ids)[1][0]["logits"])
    torch.testing.assert_close(extra, extra[:, :, :1].expand_as(extra))
    assert extra.abs().max() > 0.01 and model.config.key_bias == name
    fresh, twin = (build(c, 1)(ids) for c in (model.config, plain))
    torch.testing.assert_close(fresh, twin, atol=1e-6, rtol=0)


def test_a_tied_projection_makes_logits_symmetric():
    logits = small("dot, rotary, tied", positions="learned").trace(ids_of(14))[1][0]
    torch.testing.assert_close(logits["logits"], logits["logits"].mT)


def test_qk_norm_bounds_a_logit_by_its_gains_alone():
    model = build(LMConfig(vocab=11, **{**SMALL, **ARMS["dot, rotary, qk-norm"]}), 0)
    with torch.no_grad():
        model.blocks[0].attention.query.weight *= 1000
    logits = model.trace(ids_of(15))[1][0]["logits"]
    assert 1 < logits.abs().max() <= 4 + 1e-4  # √d_head, where gains are 1


# ---- configurations ------------------------------------------------------------------


def test_a_configuration_from_before_the_arms_builds_the_model_it_built():
    old = {"vocab": 11, "context": 8, "d_model": 8, "n_layers": 2, "n_heads": 2,
           "d_ff": None, "attention": "gaussian", "d_coord": 6,
           "coordinates": "token+position", "sign": 1, "strength": 0.5, "eps": 0.1,
           "cutoff": "none", "radius": 2.0, "place": None, "looking": True,
           "mass_in_value": False, "dropout": 0.0, "form": "auto"}
    model = build(LMConfig(**old), 3)
    assert {name.split(".")[-2] for name in model.state_dict() if "attention" in name
            and name.startswith("blocks.0.attention")} == {
        "attention", "place", "look", "value", "output"}
    assert asdict(model.config).items() >= old.items()
    # what the model of these options gave before there were arms
    total = model(torch.arange(8)[None]).sum().item()
    assert total == pytest.approx(-10.138555526733398, abs=1e-5)


@pytest.mark.parametrize("options, sentence", [
    ({"attention": "newton", "stream": "coordinates"},
     "stream 'coordinates' is for attention 'dot' and attention is 'newton'"),
    ({"attention": "gaussian", "qk_norm": True},
     "qk_norm True is for attention 'dot'"),
    ({"attention": "gaussian", "positions": "alibi"},
     "positions 'alibi' is for attention 'dot'"),
    ({"attention": "dot", "stream": "coordinates", "tied": True},
     "looking=False has them share a projection"),
    ({"attention": "gaussian", "positions": "rotary", "place": 5},
     "a head has 5; use an even d_model / n_heads, and an even place"),
    ({"attention": "dot", "positions": "rotary", "d_model": 36},
     "a head has 9; use an even"),
    ({"attention": "dot", "positions": "sine"}, "positions 'sine' is not known"),
    ({"attention": "dot", "stream": "x"}, "stream 'x' is not known"),
    ({"attention": "dot", "key_bias": "x"}, "key_bias 'x' is not known"),
])
def test_what_does_not_go_together_is_refused_in_one_sentence(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        LMConfig(vocab=11, **options)


# ---- texts ---------------------------------------------------------------------------


def test_a_reduced_text_keeps_letters_and_has_no_other_characters():
    assert TEXTS == ("tinyshakespeare", "wikipedia", "python")
    assert reduced("Écoute:\n\t한 “x”") == "Ecoute:\n?" + "?" * 3 + " ?x?"
