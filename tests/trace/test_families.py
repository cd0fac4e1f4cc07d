"""The recorder on every family: it records what the model computes with."""

import gc
import weakref

import pytest
import torch
import zoo
from accelerate import Accelerator
from recomputing import head_outputs, recompute
from torch import nn
from transformers import (
    Gemma3TextModel,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXModel,
    MistralModel,
    RobertaForSequenceClassification,
    T5EncoderModel,
)

from lib.attention.dot_product import MultiHeadAttention
from lib.attention.rotary import apply_rotary
from lib.trace.analyses import as_matrix, attention_figure, attention_table
from lib.trace.layout import heads_of, layout
from lib.trace.recorder import trace

every = pytest.mark.parametrize("family", zoo.MAKERS)
variants = pytest.mark.parametrize("family", [*zoo.MAKERS, *zoo.VARIANTS])
whole = pytest.mark.parametrize("family", zoo.WHOLE)
THEIRS = [name for name in [*zoo.WHOLE, *zoo.VARIANTS] if not name.startswith("our ")]


def parts(traced):
    """Names of all attention layers and feed-forwards that were recorded."""
    feed_forwards = [name.removesuffix(".pre") for name in traced
                     if name.endswith("mlp.pre")]
    return traced.attentions + feed_forwards


def gap(mine, theirs):
    """Largest difference where the mask is open, over the largest value."""
    seen = mine.isfinite()
    return ((mine - theirs)[seen].abs().max() / theirs[seen].abs().max()).item()


def worst(model, traced, skip=()):
    found = {}
    for part in parts(traced):
        for name, mine in recompute(model, part, traced).items():
            if not name.endswith(skip):
                found[name] = gap(mine, traced[name])
    return found


def hooks(model):
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks",
             "_backward_pre_hooks", "_forward_hooks_with_kwargs",
             "_forward_pre_hooks_with_kwargs", "_forward_hooks_always_called")
    return {kind: sum(len(getattr(module, kind)) for module in model.modules())
            for kind in kinds}


def forms(model):
    config = getattr(model, "config", None)
    return [getattr(config, "_attn_implementation", None)] + [
        module.form for module in model.modules()
        if isinstance(module, MultiHeadAttention)
    ]


@variants
@torch.no_grad()
def test_output_recomputed_from_the_traced_parts_is_the_modules_output(family):
    model, batch = zoo.make(family)
    with trace(model) as traced:
        model(**batch)
    differences = worst(model, traced)
    blocks = layout(model).blocks
    attentions = sum(len(block.attentions) for block in blocks)
    assert len(traced.attentions) == attentions
    assert sum(name.endswith("_out") for name in differences) >= attentions
    # sums of 48 products in float32 are right to about √48 · 2⁻²⁴ = 4e-7
    assert max(differences.values()) < 1e-5


@every
@torch.no_grad()
def test_in_float64_the_differences_vanish(family):
    model, batch = zoo.make(family)
    model.double()
    batch = {name: x.double() if x.is_floating_point() else x
             for name, x in batch.items()}
    with trace(model) as traced:
        model(**batch)
    assert traced[traced.attentions[0] + ".z"].dtype == torch.float64
    # transformers keeps the softmax of Llama in float32, recompute as well
    assert max(worst(model, traced).values()) < 1e-13


@pytest.mark.parametrize("family", THEIRS)
@torch.no_grad()
def test_weights_and_stream_are_those_that_transformers_returns(family):
    model, batch = zoo.make(family)
    with trace(model) as traced:
        output = model(**batch, output_attentions=True, output_hidden_states=True)
    if "encoder" in traced.blocks:
        returned = {
            ("encoder", "attn"): (output.encoder_attentions,
                                  output.encoder_hidden_states),
            ("decoder", "attn"): (output.decoder_attentions,
                                  output.decoder_hidden_states),
            ("decoder", "cross"): (output.cross_attentions,
                                   output.decoder_hidden_states),
        }
    else:
        returned = {("", "attn"): (output.attentions, output.hidden_states)}
    for (stack, kind), (attentions, hidden) in returned.items():
        pattern = traced.stack(f"{kind}.pattern", stack)
        assert torch.equal(pattern, torch.stack(attentions))
        stream = traced.stream(stack)
        assert len(stream) == len(hidden)
        # the last one of gpt2 and llama has gone through the final norm
        assert torch.equal(stream[:-1], torch.stack(hidden[:-1]))


@every
@torch.no_grad()
def test_what_the_heads_add_sums_to_the_output(family):
    model, batch = zoo.make(family)
    with trace(model) as traced:
        model(**batch)
    for block in layout(model).blocks:
        for kind in block.attentions:
            name = f"{block.name}.{kind}".lstrip(".")
            bias = block.parts[f"{kind}.output"].bias
            total = head_outputs(model, name, traced).sum(1)
            total = total if bias is None else total + bias
            assert gap(total, traced[f"{name}_out"]) < 1e-5


@every
@torch.no_grad()
def test_a_closed_trace_leaves_the_model_as_it_was(family):
    model, batch = zoo.make(family)
    before = zoo.logits(model(**batch))
    hooks_before, forms_before = hooks(model), forms(model)
    with trace(model) as traced:
        assert hooks(model) != hooks_before
        assert set(forms(model)) <= {"eager", "reference", None}
        model(**batch)
    assert hooks(model) == hooks_before
    assert forms(model) == forms_before
    # else the test would show nothing; Gemma 2 comes in no other form
    assert "sdpa" in forms_before or family == "gemma2"
    count = len(traced)
    assert torch.equal(zoo.logits(model(**batch)), before)
    assert len(traced) == count


@every
@torch.no_grad()
def test_tracing_changes_no_value(family):
    model, batch = zoo.make(family)
    if hasattr(model, "set_attn_implementation"):
        model.set_attn_implementation("eager")
    for module in model.modules():
        if isinstance(module, MultiHeadAttention):
            module.form = "reference"
    before = zoo.logits(model(**batch))
    for options in ({}, {"detach": False}, {"gradients": True}):
        with trace(model, **options):
            assert torch.equal(zoo.logits(model(**batch)), before)


@every
def test_an_error_inside_the_block_leaves_nothing_behind(family):
    model, batch = zoo.make(family)
    hooks_before, forms_before = hooks(model), forms(model)
    attention = layout(model).blocks[-1].parts["attn.output"]
    handle = attention.register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError), trace(model):
        model(**batch)
    handle.remove()
    assert hooks(model) == hooks_before
    assert forms(model) == forms_before
    with trace(model) as traced, torch.no_grad():
        model(**batch)
    assert max(worst(model, traced).values()) < 1e-5


@every
def test_gradients_in_training_are_those_of_autograd(family):
    model, batch = zoo.make(family)
    model.train()
    torch.manual_seed(3)  # of the dropout
    with trace(model, gradients=True) as traced:
        zoo.logits(model(**batch)).square().mean().backward()
    torch.manual_seed(3)
    with trace(model, detach=False) as linked:
        loss = zoo.logits(model(**batch)).square().mean()
    names = [name for name in linked if linked[name].requires_grad]
    expected = torch.autograd.grad(loss, [linked[name] for name in names])
    assert set(traced.grad) == set(names)
    assert not any(traced[name].requires_grad for name in traced)
    for name, gradient in zip(names, expected, strict=True):
        assert torch.equal(traced.grad[name], gradient)
    kinds = {"q", "k", "v", "scores", "pattern", "z"}
    assert kinds <= {name.rsplit(".")[-1] for name in traced.grad}
    moving = [name for name in traced.grad if traced.grad[name].abs().max() > 0]
    assert len(moving) == len(names)


@every
def test_in_training_the_output_comes_from_the_weights_after_dropout(family):
    model, batch = zoo.make(family)
    model.train()
    with trace(model) as traced:
        model(**batch)
    # mlp.post is recorded after its dropout, recomputed without
    assert max(worst(model, traced, skip=".post").values()) < 1e-5
    dropped = [name for name in traced if name.endswith(".dropped")]
    assert bool(dropped) == (family in zoo_with_attention_dropout())
    for name in dropped:
        assert (traced[name] == 0).any()


def zoo_with_attention_dropout():
    return set(zoo.MAKERS) - {"llama", "marian", "bart", "pegasus"}


@whole
@torch.no_grad()
def test_under_bf16_autocast_the_parts_recompute_within_bf16(family):
    model, batch = zoo.make(family)
    with torch.autocast("cpu", torch.bfloat16):
        with trace(model) as traced:
            model(**batch)
        # the same operations in the same precision
        assert max(worst(model, traced).values()) < 2**-7
    assert traced[traced.attentions[0] + ".z"].dtype == torch.bfloat16
    rows = traced[traced.attentions[0] + ".pattern"].float().sum(-1)
    assert (rows - 1).abs().max() < 2**-7


@whole
def test_gradients_under_bf16_autocast(family):
    model, batch = zoo.make(family)
    model.train()
    with trace(model, gradients=True) as traced:
        with torch.autocast("cpu", torch.bfloat16):
            loss = zoo.logits(model(**batch)).float().square().mean()
        loss.backward()
    for attention in traced.attentions:
        assert traced.grad[f"{attention}.pattern"].abs().max() > 0


@every
def test_memory_returns_when_the_trace_is_let_go(family):
    model, batch = zoo.make(family)
    with trace(model, gradients=True) as traced:
        loss = zoo.logits(model(**batch)).square().mean()
        loss.backward()
    held = [weakref.ref(tensor) for record in (traced, traced.grad)
            for tensor in record.values()]
    assert len(held) > 10
    del traced, loss
    gc.collect()
    alive = [tensor for tensor in (ref() for ref in held) if tensor is not None]
    assert not alive


def test_a_graph_that_lives_on_does_not_hold_the_trace():
    model, batch = zoo.make("gpt2")
    with trace(model, gradients=True) as traced:
        loss = model(**batch).logits.square().mean()
    record = weakref.ref(traced)
    del traced
    gc.collect()
    assert record() is None
    loss.backward()


def test_gradients_arrive_also_when_backward_comes_after_the_block():
    model, batch = zoo.make("our decoder")
    with trace(model, gradients=True) as traced:
        loss = model(**batch).square().mean()
    with pytest.raises(KeyError, match="call backward"):
        traced.grad[0, "attn.pattern"]
    loss.backward()
    assert traced.grad[0, "attn.pattern"].shape == traced[0, "attn.pattern"].shape


def test_gradients_belong_to_the_call_that_was_recorded():
    model, batch = zoo.make("our decoder")
    with trace(model, gradients=True) as traced:
        first = model(**batch).square().mean()
        second = model(ids=batch["ids"].flip(1)).square().mean()
        (first + second).backward()
    both = {name: traced.grad[name] for name in traced.grad}
    with trace(model, gradients=True) as alone:
        model(ids=batch["ids"].flip(1)).square().mean().backward()
    for name in alone.grad:
        assert torch.equal(both[name], alone.grad[name])


@pytest.mark.parametrize("family", ["gpt2", "llama", "bart"])
def test_gradient_checkpointing_runs_a_block_twice_and_is_recorded_once(family):
    gradients = []
    for checkpointing in (False, True):
        model, batch = zoo.make(family)
        model.train()
        if checkpointing:
            model.activation_checkpointing_enable({"use_reentrant": False})
        torch.manual_seed(0)
        with trace(model, gradients=True) as traced:
            model(**batch, use_cache=False).logits.square().mean().backward()
        gradients.append(dict(traced.grad))
    assert gradients[0].keys() == gradients[1].keys()
    for name in gradients[0]:
        assert torch.equal(gradients[0][name], gradients[1][name])


@pytest.mark.parametrize("family", [
    "marian", "bart", "gpt2", "llama", "mistral", "qwen3", "gemma2", "gemma3",
    "gpt_neox", "t5",
])
@torch.no_grad()
def test_in_generation_the_last_call_is_recorded_with_all_keys(family):
    model, batch = zoo.make(family)
    with trace(model) as traced:
        written = model.generate(
            **{name: x for name, x in batch.items() if not name.startswith("decoder")},
            max_new_tokens=4, min_new_tokens=4, do_sample=False, pad_token_id=0,
        )
    length = written.shape[1]
    sliding = {block.name for block in layout(model).blocks
               if getattr(block.parts["attn"], "sliding_window", None)
               or family == "mistral"}
    for name in traced.attentions:
        queries, keys = traced[f"{name}.pattern"].shape[-2:]
        if name.startswith("encoder"):
            assert (queries, keys) == (7, 7)
        elif name.endswith("cross"):
            assert (queries, keys) == (1, 7)
        elif name.removesuffix(".attn") in sliding:
            assert (queries, keys) == (1, 4)  # the window
        else:
            assert (queries, keys) == (1, length - 1)
        assert traced[f"{name}.v"].shape[-2] == keys
    assert max(worst(model, traced).values()) < 1e-5


@torch.no_grad()
def test_our_transformer_is_traced_while_it_writes():
    model, batch = zoo.make("our transformer")
    model.eval()
    with trace(model) as traced:
        written = model.generate(batch["source"], max_length=6)
    assert traced["decoder", 0, "attn.pattern"].shape[-2:] == (1, written.shape[1] - 1)
    assert traced["decoder", 1, "cross.pattern"].shape[-2:] == (1, 7)
    assert max(worst(model, traced).values()) < 1e-5


@pytest.mark.parametrize("family", [*zoo.WHOLE, *zoo.VARIANTS])
@torch.no_grad()
def test_the_parts_of_the_residual_stream_add_up(family):
    model, batch = zoo.make(family)
    with trace(model) as traced:
        model(**batch)
    for stack, blocks in layout(model).stacks.items():
        stream = traced.stream(stack)
        assert len(stream) == len(blocks) + 1
        for i, block in enumerate(blocks):
            def at(part, name=block.name):
                return traced[f"{name}.{part}"]

            first = block.norm_first
            if block.parallel:
                total = at("resid_pre") + at("attn_out") + at("mlp_out")
                torch.testing.assert_close(total, at("resid_post"))
                assert f"{block.name}.resid_mid" not in traced
                continue
            outs = [norm if norm in block.parts else out for norm, out in
                    (("ln1_post", "attn_out"), ("ln2_post", "mlp_out"))]
            sums = [("resid_pre", outs[0], "resid_mid", "ln1")]
            if "cross" in block.parts:
                sums.append(("resid_mid", "cross_out", "resid_cross", "ln_cross"))
            sums.append((sums[-1][2], outs[1], "resid_post", "ln2"))
            source = "resid_pre"
            for before, out, after, norm in sums:
                left = at(before if first else source) + at(out)
                torch.testing.assert_close(left, at(after))
                source = norm
            assert torch.equal(stream[i], at("resid_pre"))
            assert torch.equal(stream[i + 1], at("resid_post" if first else "ln2"))


@pytest.mark.parametrize("family", ["our transformer", "marian", "bart", "t5"])
@torch.no_grad()
def test_a_shared_embedding_is_recorded_for_each_stack(family):
    model, batch = zoo.make(family)
    with trace(model) as traced:
        model(**batch)
    assert traced["encoder.embed"].shape == (2, 7, 32)
    assert traced["decoder.embed"].shape == (2, 5, 32)


@torch.no_grad()
def test_a_query_that_may_look_nowhere_is_recomputed_too():
    layer = MultiHeadAttention(32, 4).eval()
    mask = torch.ones(5, 5, dtype=torch.bool)
    mask[2] = False
    with trace(layer) as traced:
        layer(torch.randn(1, 5, 32), mask=mask)
    again = recompute(layer, "attn", traced)
    assert torch.equal(again["attn.pattern"], traced["attn.pattern"])
    assert (traced["attn.pattern"][:, :, 2] == 0).all()


def test_a_model_prepared_by_accelerate_is_traced():
    accelerator = Accelerator(cpu=True)
    model, batch = zoo.make("our decoder")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model, optimizer = accelerator.prepare(model, optimizer)
    with trace(model, gradients=True) as traced:
        accelerator.backward(model(**batch).square().mean())
    assert traced.grad[1, "attn.pattern"].abs().max() > 0


def test_what_data_parallelism_wraps_is_taken_off():
    model, batch = zoo.make("gpt2")
    wrapped = nn.DataParallel(model)
    with trace(wrapped) as traced, torch.no_grad():
        model(**batch)
    assert "blocks.0.attn.pattern" in traced
    assert max(worst(wrapped, traced).values()) < 1e-5


def test_names_of_two_stacks_are_asked_for_by_stack():
    model, batch = zoo.make("marian")
    with trace(model, ("*.pattern",)) as traced, torch.no_grad():
        model(**batch)
    assert traced.stack("cross.pattern", "decoder").shape == (3, 2, 4, 5, 7)
    assert traced["encoder", -1, "attn.pattern"].shape == (2, 4, 7, 7)
    with pytest.raises(ValueError, match=r"stacks encoder and decoder; name one"):
        traced[0, "attn.pattern"]
    with pytest.raises(ValueError, match=r"stack 'middle' is not there"):
        traced["middle", 0, "attn.pattern"]
    with pytest.raises(IndexError, match=r"layer 2 is not there; .* 0 to 1"):
        traced["encoder", 2, "attn.pattern"]
    assert repr(traced) == "Trace(8 tensors of 5 blocks)"


def test_names_that_fit_nothing_are_told_with_names_like_them():
    model, batch = zoo.make("llama")
    with (pytest.raises(ValueError, match=r"no tensor fits names=\('blocks\.\*\.attn\."
                        r"patern',\); names like it are blocks\.\d\.attn\.pattern"),
          torch.no_grad(), trace(model, ("blocks.*.attn.patern",))):
        model(**batch)
    with torch.no_grad(), trace(model, "blocks.*.attn.pattern") as traced:
        model(**batch)  # one pattern, not the letters of a text
    assert sorted(traced) == ["blocks.0.attn.pattern", "blocks.1.attn.pattern"]
    with trace(model, ("nothing",)):
        pass  # the model did not run: nothing is wrong yet
    with pytest.raises(ZeroDivisionError), trace(model, ("nothing",)):
        model(**batch)
        raise ZeroDivisionError  # the reader's own error is the one that is told


@pytest.mark.parametrize(("name", "words"), [
    ("blocks.1.attn.paterns", r"nothing of this name; names like it are blocks\.1"),
    ("blocks.1.hook_z", r"nothing of this name; names like it are blocks\.1\."),
    ("blocks.1.attn.q", r"computed it and it was not asked for"),
    ("blocks.99.attn.pattern", r"layer 99 is not there; use a layer from 0 to 1"),
    ("blocks.*.attn.pattern", r"is a pattern, not a name; traced\.only\("),
    ("x", r"nothing of this name; names are, for example"),
    (3, r"3 is no name; use a text such as"),
    (("attn.pattern", 1), r"is no name; use a text such as .* traced\[3, 'attn\.q'\]"),
    ((1,), r"is no name"),
])
def test_a_name_that_is_not_held_says_why(name, words):
    model, batch = zoo.make("llama")
    with trace(model, ("*.pattern",), gradients=True) as traced:
        model(**batch)
    with pytest.raises(KeyError, match=words):
        traced[name]
    assert name not in traced
    with pytest.raises(ValueError, match=r"the model has one; leave the stack out"):
        traced["decoder", 0, "attn.pattern"]
    assert traced[torch.tensor(1), "attn.pattern"] is traced[1, "attn.pattern"]
    with pytest.raises(KeyError, match=r"has no gradient; .* call backward"):
        traced.grad["blocks.1.attn.pattern"]
    with pytest.raises(KeyError, match=r"nothing of this name; names like it"):
        traced.grad["blocks.1.attn.patern"]


def test_layers_and_heads_that_are_not_there_are_named_with_those_that_are():
    model, batch = zoo.make("llama")
    with torch.no_grad(), trace(model) as traced:
        model(**batch)
    names = ["blocks.0.attn", "blocks.9.attn"]
    with pytest.raises(KeyError, match=r"'blocks\.9\.attn' is no attention layer of"):
        attention_table(traced, names=names)  # not the first alone, without a word
    table = attention_table(traced, names="blocks.1.attn")
    assert table["attention"].unique().tolist() == ["blocks.1.attn"]
    with pytest.raises(ValueError, match=r"head 9 is not there; use one of 0, 1, 2, 3"):
        as_matrix(table, head=9)
    with pytest.raises(ValueError, match=r"head 9 is not there; use heads from 0 to 3"):
        attention_figure(table, heads=[9])
    with pytest.raises(ValueError, match=r"no column 'haed'; choose by one of"):
        as_matrix(table, haed=1)


def test_an_attention_without_a_size_of_its_heads_is_named():
    with pytest.raises(TypeError, match="a Linear tells no size of its heads; it want"):
        heads_of(nn.Linear(2, 2))


def test_what_cannot_be_traced_or_recomputed_is_named():
    class Transformer(nn.Module):  # the reader's own, of the same name
        pass

    with pytest.raises(TypeError, match=r"family None .* gpt2, llama, mistral, .*, or "
                       r"of lib .* 'Add a model family' at the top of lib/trace/fam"):
        trace(Transformer())
    model, batch = zoo.make("bart")
    with pytest.raises(TypeError, match=r"has no blocks .* the whole model"):
        trace(model.model.encoder)
    with trace(model) as traced, torch.no_grad():
        model(**batch)
    with pytest.raises(KeyError, match=r"'decoder.blocks.9.attn' is no part"):
        recompute(model, "decoder.blocks.9.attn", traced)
    # the attention reads the setting when it is made: changing it later does nothing
    config = GPT2Config(n_embd=8, n_layer=1, n_head=2, reorder_and_upcast_attn=True)
    model = GPT2LMHeadModel(config)
    config.reorder_and_upcast_attn = False
    with pytest.raises(TypeError, match="load it with reorder_and_upcast_attn=False"):
        trace(model)


# ---- what each family adds: with a reference of its own -----------------------------


def run(family):
    model, batch = zoo.make(family)
    with torch.no_grad(), trace(model) as traced:
        model(**batch)
    return model, batch, traced


@pytest.mark.parametrize("family", ["mistral", "qwen2", "qwen3", "gemma2", "gemma3"])
def test_a_sliding_window_closes_what_is_far(family):
    model, _, traced = run(family)
    types = getattr(model.config, "layer_types", None) or ["sliding_attention"] * 3
    far = torch.ones(7, 7, dtype=torch.bool).tril(-4)
    for layer, kind in enumerate(types):
        seen = traced[layer, "attn.pattern"][0][:, far].abs().max()  # row without pads
        assert (seen == 0) == (kind == "sliding_attention")


@pytest.mark.parametrize("family", ["mistral", "qwen3", "gemma", "gemma3", "gpt_neox"])
def test_padding_on_the_left_is_looked_at_by_no_token(family):
    _, batch, traced = run(family)
    assert batch["attention_mask"][1].tolist() == [0, 0, 0, 1, 1, 1, 1]
    for name in traced.attentions:
        assert (traced[f"{name}.pattern"][1, :, 3:, :3] == 0).all()


def test_the_soft_cap_of_gemma2_bounds_the_logits():
    _, _, traced = run("gemma2")
    scores = traced[0, "attn.scores"]
    seen = scores[scores > -1e30]
    q, k = traced[0, "attn.rot_q"], traced[0, "attn.rot_k"].repeat_interleave(2, 1)
    assert seen.abs().max() <= 1.5
    assert (q @ k.mT * 24**-0.5).abs().max() > 1.5  # it has something to do


def test_gemma3_turns_by_other_angles_where_a_window_slides():
    _, _, traced = run("gemma3")
    assert "rotary.cos" not in traced
    for layer, kind in enumerate(zoo.SLIDING):
        angles = (traced[f"rotary.{kind}.{part}"][:, None] for part in ("cos", "sin"))
        turned = apply_rotary(traced[layer, "attn.q_norm"], *angles)
        assert gap(turned, traced[layer, "attn.rot_q"]) < 1e-6
    assert not torch.equal(traced["rotary.sliding_attention.cos"],
                           traced["rotary.full_attention.cos"])


def test_gpt_neox_turns_the_first_part_of_each_head():
    model, _, traced = run("gpt_neox")
    attention = model.gpt_neox.layers[1].attention
    joined = attention.query_key_value(traced[1, "ln1"]).view(2, 7, 4, 3, 8)
    q, k, v = (joined[..., i, :].transpose(1, 2) for i in range(3))
    for part, mine in (("q", q), ("k", k), ("v", v)):
        assert gap(mine.detach(), traced[1, f"attn.{part}"]) < 1e-6
    assert torch.equal(traced[1, "attn.q"][..., 4:], traced[1, "attn.rot_q"][..., 4:])
    assert not torch.equal(traced[1, "attn.q"], traced[1, "attn.rot_q"])


def test_the_tensors_of_one_part_are_enough_to_recompute_it():
    model, batch = zoo.make("qwen3")
    with torch.no_grad(), trace(model, ("blocks.1.attn.*", "blocks.1.attn_out")) as one:
        model(**batch)
    again = recompute(model, "blocks.1.attn", one)
    assert {"blocks.1.attn.q_norm", "blocks.1.attn_out"} <= set(again)
    assert "blocks.1.attn.rot_q" not in again  # the angles stand outside of the part
    assert max(gap(mine, one[name]) for name, mine in again.items()) < 1e-5


@pytest.mark.parametrize(("family", "kind"), [
    ("mistral", MistralModel), ("gemma3", Gemma3TextModel), ("gpt_neox", GPTNeoXModel),
    ("roberta", RobertaForSequenceClassification), ("t5", T5EncoderModel),
])
@torch.no_grad()
def test_other_classes_of_a_family_are_traced_as_well(family, kind):
    config = zoo.make(family)[0].config
    model = kind(config).eval()
    with trace(model) as traced:
        model(input_ids=zoo.ids())
    assert len(traced.attentions) == sum(map(len, traced.blocks.values()))
    assert max(worst(model, traced).values()) < 1e-5


def test_t5_adds_a_bias_by_distance_and_does_not_scale():
    _, _, traced = run("t5")
    for name in traced.attentions:
        plain = traced[f"{name}.q"] @ traced[f"{name}.k"].mT
        bias = traced.get(f"{name}.position_bias", torch.zeros(1))
        assert (f"{name}.position_bias" in traced) == name.endswith("attn")
        scores = traced[f"{name}.scores"]
        seen = scores > -1e30
        assert gap((plain + bias)[seen], scores[seen]) < 1e-5
    bias = traced["encoder", 1, "attn.position_bias"][0]  # the same along diagonals
    assert torch.equal(bias[:, 1:, 1:], bias[:, :-1, :-1])


def test_the_places_of_roberta_begin_behind_its_padding():
    model, _, traced = run("roberta")
    table = model.roberta.embeddings.position_embeddings.weight
    places = torch.tensor([[2, 3, 4, 5, 6, 7, 8], [2, 3, 4, 5, 6, 1, 1]])
    assert torch.equal(traced["pos_embed"], table[places])
