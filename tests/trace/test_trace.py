"""The recorder on the real model of the book, and the explorer on what it records."""

import json
import re

import pytest
import torch
from bs4 import BeautifulSoup
from hypothesis import given, settings
from hypothesis import strategies as st
from recomputing import head_outputs, recompute

from lib.attention.dot_product import masked_softmax
from lib.attention.masks import causal_mask
from lib.data import gpt2_tokenizer, language_model
from lib.tokens.labels import token_labels
from lib.trace.explorer import (
    STEPS,
    Sentence,
    attention_explorer,
    head_summary,
    pack,
)
from lib.trace.recompute import recompute_attention
from lib.trace.recorder import trace
from tests.real_data import real

SENTENCES = ("고양이가 물을 마신다.", "The cat drank the water.")


@pytest.fixture(scope="module")
def loaded():
    return real(language_model)


@pytest.fixture(scope="module")
def model(loaded):
    return loaded[0]


@pytest.fixture(params=SENTENCES, ids=["ko", "en"])
def inputs(loaded, request):
    return loaded[1](request.param, return_tensors="pt")


def hooks(model):
    return sum(
        len(part._forward_hooks) + len(part._forward_pre_hooks)
        for part in model.modules()
    )


def gaps(model, traced, single=torch.float32):
    """Largest difference of each step over all layers, over the largest value."""
    worst = {}
    for layer in range(traced.n_layers):
        with torch.no_grad():
            ours = recompute_attention(model, layer, traced[layer, "resid_pre"], single)
        for name, mine in ours.items():
            theirs = traced[layer, "attn_out" if name == "head_sum" else name]
            seen = mine.isfinite()
            gap = (mine - theirs)[seen].abs().max() / theirs[seen].abs().max()
            worst[name] = max(worst.get(name, 0.0), gap.item())
    return worst


@torch.no_grad()
def test_every_layer_is_recomputed_from_its_weights(model, inputs):
    with trace(model) as traced:
        model(**inputs)
    worst = gaps(model, traced)
    assert set(worst) >= {"ln1", "attn.q", "attn.scores", "attn.pattern", "attn_out"}
    # a sum of 576 products in float32 is right to about √576 · 2⁻²⁴ = 1.4e-6
    assert max(worst.values()) < 1e-5


@torch.no_grad()
def test_the_difference_of_another_order_is_rounding_it_vanishes_in_float64(
    model, inputs
):
    model.double()
    try:
        with trace(model) as traced:
            model(**inputs)
        worst = gaps(model, traced)
        throughout = gaps(model, traced, single=torch.float64)
    finally:
        model.float()
    assert worst["head_sum"] < 1e-13
    assert max(worst.values()) < 1e-12
    # transformers itself keeps RMSNorm and softmax in float32: the rule finds it
    assert throughout["attn.pattern"] > 1e-9


@pytest.mark.slow
@torch.no_grad()
def test_every_part_is_recomputed_from_the_traced_parts(model, inputs):
    with trace(model) as traced:
        model(**inputs)
    for layer in range(traced.n_layers):
        attn = recompute(model, f"blocks.{layer}.attn", traced)
        mlp = recompute(model, f"blocks.{layer}.mlp", traced)
        for name, mine in (attn | mlp).items():
            seen = mine.isfinite()
            gap = (mine - traced[name])[seen].abs().max()
            assert gap <= 1e-5 * traced[name][seen].abs().max()
    by_head = head_outputs(model, "blocks.3.attn", traced).sum(1)
    torch.testing.assert_close(by_head, traced[3, "attn_out"], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_recorded_weights_are_those_that_the_model_returns(model, inputs):
    with trace(model) as traced:
        returned = model(**inputs, output_attentions=True).attentions
    assert torch.equal(traced.stack("attn.pattern"), torch.stack(returned))


@torch.no_grad()
def test_the_parts_of_the_residual_stream_add_up(model, inputs):
    with trace(model) as traced:
        model(**inputs)
    for layer in range(traced.n_layers):
        mid = traced[layer, "resid_pre"] + traced[layer, "attn_out"]
        assert torch.equal(mid, traced[layer, "resid_mid"])
        post = traced[layer, "resid_mid"] + traced[layer, "mlp_out"]
        assert torch.equal(post, traced[layer, "resid_post"])
        if layer:
            last = traced[layer - 1, "resid_post"]
            assert torch.equal(traced[layer, "resid_pre"], last)
    assert torch.equal(traced["embed"], traced[0, "resid_pre"])


@pytest.mark.parametrize("form", ["eager", "sdpa"])
@torch.no_grad()
def test_a_closed_trace_leaves_the_model_as_it_was(model, inputs, form):
    model.set_attn_implementation(form)
    try:
        hooks_before = hooks(model)
        before = model(**inputs).logits
        with trace(model) as traced:
            model(**inputs)
        after = model(**inputs).logits
        assert torch.equal(before, after)
        assert hooks(model) == hooks_before
        assert model.config._attn_implementation == form
        assert traced[0, "attn.pattern"].shape[1] == 9
    finally:
        model.set_attn_implementation("eager")


@torch.no_grad()
def test_an_error_inside_the_block_leaves_no_hook(model, inputs):
    before = hooks(model)
    with pytest.raises(RuntimeError, match="stop"), trace(model):
        assert hooks(model) > before
        model(**inputs)
        raise RuntimeError("stop")
    assert hooks(model) == before


@torch.no_grad()
def test_an_error_inside_attention_does_not_mix_up_the_next_run(model, inputs):
    before = hooks(model)
    with trace(model) as traced:
        handle = model.model.layers[2].self_attn.k_proj.register_forward_hook(
            lambda *_: 1 / 0
        )
        with pytest.raises(ZeroDivisionError):
            model(**inputs)
        handle.remove()
        torch.softmax(torch.zeros(2), 0)  # not the model's: must not be recorded
        torch.nn.functional.softmax(torch.zeros(2), 0)
        model(**inputs)
    assert traced[2, "attn.pattern"].shape[-1] == inputs.input_ids.shape[1]
    assert hooks(model) == before


@torch.no_grad()
def test_only_the_asked_names_are_kept(model, inputs):
    with trace(model, ("blocks.*.attn.pattern", "embed")) as traced:
        model(**inputs)
    assert len(traced) == traced.n_layers + 1
    with pytest.raises(KeyError, match="was not recorded"):
        traced[0, "attn.q"]


def test_undetached_tensors_give_gradients(model, inputs):
    with trace(model, ("blocks.3.attn.*",), detach=False) as traced:
        loss = model(**inputs, labels=inputs.input_ids).loss
    parts = [traced[3, f"attn.{part}"]
             for part in ("q", "k", "v", "rot_q", "rot_k", "scores", "pattern", "z")]
    for part, gradient in zip(parts, torch.autograd.grad(loss, parts), strict=True):
        assert gradient.shape == part.shape
        assert gradient.abs().max() > 0


def test_wrong_names_layers_and_models_are_named(model):
    with trace(model) as traced:
        pass
    with pytest.raises(KeyError, match="run the model inside the trace first"):
        traced["embed"]
    with pytest.raises(IndexError, match=r"layer 40 is not there; use .* 0 to 29"):
        traced[40, "attn.q"]
    with pytest.raises(TypeError, match="Linear of family None cannot be traced"):
        trace(torch.nn.Linear(2, 2))


# ---- the explorer -----------------------------------------------------------------


def weights_of(layers, heads, n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(layers, heads, n, n, generator=generator)
    return masked_softmax(logits, causal_mask(n))


@pytest.fixture(scope="module")
def gpt2():
    return real(gpt2_tokenizer)


@given(text=st.text(max_size=30))
@settings(deadline=None)
def test_labels_show_every_character_of_the_text(gpt2, text):
    pieces = gpt2.encode(text).tokens
    labels = token_labels(pieces)
    assert len(labels) == len(pieces)
    assert all(labels)
    # take the marks of cut characters away: each character stands there once
    shown = "".join(labels)
    for letter in set(text) - set(" \n\t·/<>0123456789"):
        assert letter in shown


def test_a_cut_syllable_says_which_part_it_is():
    pieces = ["ê", "³", "ł", "ìĸĳ", "Ġë", "¬", "¼", "<|im_end|>"]
    assert token_labels(pieces) == [
        "고·1/3", "고·2/3", "고·3/3", "양",
        "␣물·1/3", "물·2/3", "물·3/3", "<|im_end|>",
    ]


def test_bytes_that_are_no_character_show_as_bytes():
    assert token_labels(["ë", "a"]) == ["<EB>", "a"]
    # two bytes of a syllable that never ends, each in its own token or together
    assert token_labels(["ìĿ", "Ġa"]) == ["<EC><9D>", "␣a"]
    assert token_labels(["ì", "Ŀ", "a"]) == ["<EC>", "<9D>", "a"]


def test_packed_weights_come_back_within_half_a_step():
    weights = weights_of(3, 2, 6)
    rows, columns = torch.tril_indices(6, 6)
    for layer, text in enumerate(pack(weights)):
        steps = [int(text[i : i + 2], 36) for i in range(0, len(text), 2)]
        back = torch.tensor(steps).view(2, -1) / STEPS
        gap = (back - weights[layer][:, rows, columns]).abs().max()
        assert gap <= 0.5 / STEPS + 1e-7


def test_summary_of_a_head_that_always_looks_one_back():
    weights = torch.zeros(5, 5)
    weights[0, 0] = 1
    weights.diagonal(-1).fill_(1)
    assert head_summary(weights) == pytest.approx((0.25, 1.0, 0.0))


def test_the_first_picture_is_a_table_with_the_right_numbers():
    weights = weights_of(2, 3, 4)
    tokens = ["a", "<b>", "고·1/3", "</script>"]
    one = Sentence(weights, tokens, "문장", "sentence")
    html = attention_explorer([one], 1, 2).data
    soup = BeautifulSoup(html, "html.parser")
    rows = soup.select("tbody tr")
    assert [row.th.get_text() for row in rows] == ["a", "<b>", "고1/3", "</script>"]
    for i, row in enumerate(rows):
        shown = [int(cell.get_text()) for cell in row.select("td")[: i + 1]]
        exact = [100 * w for w in weights[1, 2, i, : i + 1].tolist()]
        assert shown == pytest.approx(exact, abs=0.51 + 100 / STEPS)
        assert not any(cell.get_text() for cell in row.select("td")[i + 1 :])
    content = soup.find("script", type="application/json").string
    assert json.loads(content)["sentences"][0]["tokens"] == tokens
    ranges = {node["data-ax"]: node["max"] for node in soup.select("[type=range]")}
    assert ranges == {"layer": "1", "head": "2"}


def test_every_control_has_a_label_in_both_languages():
    weights, tokens = weights_of(1, 1, 2), ["a", "b"]
    html = attention_explorer(
        [Sentence(weights, tokens, "가", "a"), Sentence(weights, tokens, "나", "b")]
    ).data
    soup = BeautifulSoup(html, "html.parser")
    for control in soup.select("input"):
        label = control.find_parent("label") or soup.find(
            "label", attrs={"for": control["id"]}
        )
        sides = {node["data-lang"] for node in label.select("[data-lang]")}
        assert sides == {"ko", "en"}


def test_the_explorer_asks_no_host_and_is_the_same_bytes_twice():
    one = Sentence(weights_of(2, 2, 3), ["a", "b", "c"], "문장", "sentence")
    html = attention_explorer([one]).data
    assert not re.search(r"https?://|@import|url\(", html)
    assert html == attention_explorer([one]).data


@pytest.mark.parametrize(
    ("n", "tokens", "layer", "head", "words"),
    [
        (3, ["a", "b"], 0, 0, "came with 2 tokens"),
        (2, ["a", "b"], 5, 0, "layer 5 is not there; use a layer from 0 to 1"),
        (2, ["a", "b"], 0, -1, "head -1 is not there; use a head from 0 to 2"),
        (97, ["a"] * 97, 0, 0, "97 tokens is too long"),
    ],
)
def test_what_cannot_be_shown_is_named(n, tokens, layer, head, words):
    with pytest.raises(ValueError, match=words):
        attention_explorer(
            [Sentence(weights_of(2, 3, n), tokens, "가", "a")], layer, head
        )
