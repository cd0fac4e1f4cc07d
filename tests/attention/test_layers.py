"""The layers of `lib` against `torch.nn` and `transformers`, outputs and gradients.

Float32 may differ by rounding only: float64, with the same weights, must agree to
1e-12.
"""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from benchmarks.pretrained import from_gpt2, from_llama, gpt2_names
from lib.attention.cache import KVCache
from lib.attention.decoder import DecoderConfig, DecoderLM
from lib.attention.dot_product import MultiHeadAttention
from lib.attention.generate import filter_logits, next_token, stream
from lib.attention.layers import (
    DecoderLayer,
    EncoderLayer,
    FeedForward,
    layer_norm,
    rms_norm,
    sinusoidal_positions,
)
from lib.attention.masks import causal_mask, padding_mask
from lib.attention.rotary import apply_rotary, rotary_angles
from lib.attention.transformer import Transformer, TransformerConfig

# Outputs and gradients of the tests are of size one to ten.
LIMIT = {torch.float32: 1e-5, torch.float64: 1e-12}
PRECISIONS = pytest.mark.parametrize("dtype", LIMIT, ids=["float32", "float64"])
FORMS = pytest.mark.parametrize("form", ["sdpa", "reference"])
D, HEADS, FF = 24, 4, 40


def seeded(seed=0):
    torch.manual_seed(seed)


def set_form(model, form):
    for part in model.modules():
        if isinstance(part, MultiHeadAttention):
            part.form = form


def qkv(ours: MultiHeadAttention, name: str, state: dict) -> None:
    """Put the weights of one of our attentions under torch's names."""
    for kind in ("weight", "bias"):
        state[f"{name}.in_proj_{kind}"] = torch.cat(
            [getattr(getattr(ours, part), kind) for part in ("query", "key", "value")]
        )
        state[f"{name}.out_proj.{kind}"] = getattr(ours.output, kind)


def layer_state(ours, prefix="") -> dict:
    """The parameters of one of our layers under the names of torch's layer."""
    state, norms = {}, ["attention_norm", "feed_forward_norm"]
    qkv(ours.attention, "self_attn", state)
    if isinstance(ours, DecoderLayer):
        qkv(ours.cross_attention, "multihead_attn", state)
        norms.insert(1, "cross_norm")
    for number, norm in enumerate(norms, 1):
        for kind in ("weight", "bias"):
            state[f"norm{number}.{kind}"] = getattr(getattr(ours, norm), kind)
    for theirs, part in (("linear1", "up"), ("linear2", "down")):
        for kind in ("weight", "bias"):
            state[f"{theirs}.{kind}"] = getattr(getattr(ours.feed_forward, part), kind)
    return {prefix + name: tensor for name, tensor in state.items()}


def load(theirs: nn.Module, state: dict) -> None:
    theirs.load_state_dict({name: tensor.detach() for name, tensor in state.items()})


def same_gradients(state: dict, theirs: nn.Module, limit: float) -> None:
    """Compare d loss / d parameter; `state` maps our (joined) leaves to torch's."""
    for name, parameter in theirs.named_parameters():
        ours = state[name]
        assert (ours - parameter.grad).abs().max() <= limit, name


def gradients_as_torch(ours, make_state) -> dict:
    """`make_state`, with each parameter replaced by its gradient."""
    saved = {p: p.data for p in ours.parameters()}
    for p in ours.parameters():
        p.data = p.grad
    state = {name: tensor.detach().clone() for name, tensor in make_state().items()}
    for p, data in saved.items():
        p.data = data
    return state


def masks(kind: str, query: int, key: int, batch: int) -> dict:
    """One mask in our form (`mask`) and in torch's arguments."""
    ours, theirs = None, {}
    if "causal" in kind:
        ours = causal_mask(query, key)
        theirs["attn_mask"] = ~ours
    if "free" in kind:
        some = torch.rand(query, key) < 0.6
        some[:, 0] = True
        ours, theirs["attn_mask"] = some, ~some
    if "padding" in kind:
        ids = torch.ones(batch, key, dtype=torch.long)
        ids[1:, key // 2 :] = 0
        padding = padding_mask(ids, 0)
        ours = padding if ours is None else ours & padding
        theirs["key_padding_mask"] = ids == 0
    if "heads" in kind:
        some = torch.rand(batch, HEADS, query, key) < 0.6
        some[..., 0] = True
        ours, theirs["attn_mask"] = some, ~some.flatten(0, 1)
    return {"mask": ours}, theirs


@PRECISIONS
@FORMS
@pytest.mark.parametrize("cross", [False, True], ids=["self", "cross"])
@pytest.mark.parametrize(
    "kind", ["none", "causal", "padding", "causal+padding", "free", "heads"]
)
def test_attention_and_its_gradients_equal_torchs(dtype, form, cross, kind):
    seeded()
    ours = MultiHeadAttention(D, HEADS).to(dtype)
    ours.form = form
    theirs = nn.MultiheadAttention(D, HEADS, batch_first=True, dtype=dtype)

    def state():
        found = {}
        qkv(ours, "", found)
        return {name.removeprefix("."): tensor for name, tensor in found.items()}

    load(theirs, state())
    x = torch.randn(2, 6, D, dtype=dtype, requires_grad=True)
    y = torch.randn(2, 9, D, dtype=dtype, requires_grad=True) if cross else None
    x2 = x.detach().clone().requires_grad_()
    y2 = y.detach().clone().requires_grad_() if cross else x2
    mine, of_torch = masks(kind, 6, 9 if cross else 6, 2)
    out = ours(x, y, **mine)
    expected, _ = theirs(x2, y2, y2, need_weights=False, **of_torch)
    assert (out - expected).abs().max() <= LIMIT[dtype]
    weight = torch.randn_like(out)
    (out * weight).sum().backward()
    (expected * weight).sum().backward()
    assert (x.grad - x2.grad).abs().max() <= LIMIT[dtype]
    if cross:
        assert (y.grad - y2.grad).abs().max() <= LIMIT[dtype]
    same_gradients(gradients_as_torch(ours, state), theirs, LIMIT[dtype])


@PRECISIONS
@FORMS
@pytest.mark.parametrize("norm_first", [False, True], ids=["post", "pre"])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("kind", ["none", "causal", "padding"])
def test_an_encoder_layer_and_its_gradients_equal_torchs(
    dtype, form, norm_first, activation, kind
):
    seeded()
    ours = EncoderLayer(D, HEADS, FF, activation, norm_first).to(dtype)
    set_form(ours, form)
    theirs = nn.TransformerEncoderLayer(
        D, HEADS, FF, 0.0, activation, norm_first=norm_first, batch_first=True,
        dtype=dtype,
    )
    load(theirs, layer_state(ours))
    x = torch.randn(2, 6, D, dtype=dtype)
    mine, of_torch = masks(kind, 6, 6, 2)
    renamed = {"attn_mask": "src_mask", "key_padding_mask": "src_key_padding_mask"}
    of_torch = {renamed[name]: mask for name, mask in of_torch.items()}
    out, expected = ours(x, **mine), theirs(x, **of_torch)
    assert (out - expected).abs().max() <= LIMIT[dtype]
    weight = torch.randn_like(out)
    (out * weight).sum().backward()
    (expected * weight).sum().backward()
    found = gradients_as_torch(ours, lambda: layer_state(ours))
    same_gradients(found, theirs, 4 * LIMIT[dtype])  # sums over 12 tokens


@PRECISIONS
@FORMS
@pytest.mark.parametrize("norm_first", [False, True], ids=["post", "pre"])
@pytest.mark.parametrize("padded", [False, True], ids=["full", "padded"])
def test_a_decoder_layer_and_its_gradients_equal_torchs(
    dtype, form, norm_first, padded
):
    seeded()
    ours = DecoderLayer(D, HEADS, FF, "relu", norm_first).to(dtype)
    set_form(ours, form)
    theirs = nn.TransformerDecoderLayer(
        D, HEADS, FF, 0.0, norm_first=norm_first, batch_first=True, dtype=dtype
    )
    load(theirs, layer_state(ours))
    x, memory = (torch.randn(2, n, D, dtype=dtype) for n in (6, 9))
    ids = torch.ones(2, 9, dtype=torch.long)
    ids[1, 4:] = 0 if padded else 1
    out = ours(x, memory, causal_mask(6), padding_mask(ids, 0))
    expected = theirs(
        x, memory, tgt_mask=~causal_mask(6), memory_key_padding_mask=ids == 0
    )
    assert (out - expected).abs().max() <= LIMIT[dtype]
    weight = torch.randn_like(out)
    (out * weight).sum().backward()
    (expected * weight).sum().backward()
    found = gradients_as_torch(ours, lambda: layer_state(ours))
    same_gradients(found, theirs, 4 * LIMIT[dtype])


@PRECISIONS
@pytest.mark.parametrize("norm_first", [False, True], ids=["post", "pre"])
def test_the_whole_model_and_its_gradients_equal_torchs(dtype, norm_first):
    seeded()
    config = TransformerConfig(
        vocab=17, d_model=D, n_heads=HEADS, n_layers=3, d_ff=FF, dropout=0.0,
        norm_first=norm_first,
    )
    ours = Transformer(config).to(dtype)
    stacks = {}
    for stack, kind in (("encoder", nn.TransformerEncoder),
                        ("decoder", nn.TransformerDecoder)):
        layer = getattr(nn, f"{kind.__name__}Layer")(
            D, HEADS, FF, 0.0, norm_first=norm_first, batch_first=True, dtype=dtype
        )
        # the paper has no norm after the last layer; torch's default stack has one
        norm = nn.LayerNorm(D, dtype=dtype) if norm_first else None
        extra = {"enable_nested_tensor": False} if stack == "encoder" else {}
        stacks[f"custom_{stack}"] = kind(layer, 3, norm, **extra)
    theirs = nn.Transformer(D, HEADS, batch_first=True, **stacks)

    def state():
        found = {}
        for stack in ("encoder", "decoder"):
            for i, layer in enumerate(getattr(ours, stack)):
                found |= layer_state(layer, f"{stack}.layers.{i}.")
            if norm_first:
                norm = getattr(ours, f"{stack}_norm")
                found[f"{stack}.norm.weight"] = norm.weight
                found[f"{stack}.norm.bias"] = norm.bias
        return found

    load(theirs, state())
    source = torch.tensor([[3, 4, 5, 6, 7], [8, 9, 2, 0, 0]])
    target = torch.tensor([[1, 10, 11, 12], [1, 13, 2, 0]])
    table = ours.token.weight.detach().clone().requires_grad_()

    def embed(ids):
        return table[ids] * D**0.5 + ours.positions[: ids.shape[1]]

    expected = theirs(
        embed(source), embed(target), tgt_mask=~causal_mask(4),
        src_key_padding_mask=source == 0, memory_key_padding_mask=source == 0,
        tgt_key_padding_mask=target == 0, tgt_is_causal=False,
    ) @ table.T
    out = ours(source, target)
    assert (out - expected).abs().max() <= LIMIT[dtype]
    loss, reference = (
        F.cross_entropy(logits.flatten(0, 1), target.flatten())
        for logits in (out, expected)
    )
    loss.backward()
    reference.backward()
    same_gradients(gradients_as_torch(ours, state), theirs, LIMIT[dtype])
    assert (ours.token.weight.grad - table.grad).abs().max() <= LIMIT[dtype]


def small_gpt2(dtype):
    from transformers import GPT2Config, GPT2LMHeadModel

    seeded()
    config = GPT2Config(
        vocab_size=31, n_embd=D, n_head=HEADS, n_layer=3, n_positions=32,
        attn_implementation="eager", initializer_range=0.2,
    )
    return GPT2LMHeadModel(config).to(dtype).eval()


@PRECISIONS
@FORMS
def test_the_decoder_only_model_and_its_gradients_equal_gpt2(dtype, form):
    theirs = small_gpt2(dtype)
    ours = from_gpt2(theirs)
    set_form(ours, form)
    ids = torch.randint(31, (2, 12))
    out, expected = ours(ids), theirs(ids).logits
    assert (out - expected).abs().max() <= LIMIT[dtype] * expected.abs().max()
    for logits in (out, expected):
        F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()).backward()
    grads = gpt2_names({n: p.grad for n, p in theirs.named_parameters()})
    for name, parameter in ours.named_parameters():
        gap = (parameter.grad - grads[name]).abs().max()
        assert gap <= LIMIT[dtype], name


def small_llama(tied):
    from transformers import LlamaConfig, LlamaForCausalLM

    seeded()
    config = LlamaConfig(
        vocab_size=31, hidden_size=D, num_attention_heads=HEADS, intermediate_size=FF,
        num_key_value_heads=2, num_hidden_layers=2, tie_word_embeddings=tied,
        initializer_range=0.2,
    )
    return LlamaForCausalLM(config).double().eval()


@pytest.mark.parametrize("tied", [True, False])
def test_the_decoder_only_model_equals_llama(tied):
    theirs = small_llama(tied)
    ours = from_llama(theirs)
    ids = torch.randint(31, (2, 12))
    # transformers computes its norms in float32 even in a float64 model
    assert (ours(ids) - theirs(ids).logits).abs().max() <= 1e-5
    for part in list(theirs.modules()):
        for name, child in part.named_children():
            if "RMSNorm" in type(child).__name__:
                exact = nn.RMSNorm(D, eps=child.variance_epsilon, dtype=torch.float64)
                exact.load_state_dict(child.state_dict())
                setattr(part, name, exact)
    assert (ours(ids) - theirs(ids).logits).abs().max() <= 1e-12


def test_another_family_is_refused():
    with pytest.raises(TypeError, match=r"of family 'llama' came; pass .* gpt2"):
        from_gpt2(small_llama(True))


@pytest.mark.parametrize("make", [lambda: from_gpt2(small_gpt2(torch.float64)),
                                  lambda: from_llama(small_llama(True))])
def test_the_cache_changes_no_logit_and_no_token(make):
    model = make()
    ids = torch.randint(31, (1, 5))
    texts = [
        list(stream(model, ids, 12, temperature=t, cached=cached,
                    generator=torch.Generator().manual_seed(3)))
        for cached in (True, False) for t in (0.0, 1.0)
    ]
    assert texts[:2] == texts[2:]
    assert texts[0] != texts[1]
    caches = model.new_caches()
    whole = model(torch.randint(31, (1, 8), generator=torch.manual_seed(1)))
    parts = torch.randint(31, (1, 8), generator=torch.manual_seed(1))
    pieces = [model(p, caches=caches) for p in parts.split([3, 1, 4], dim=1)]
    assert (torch.cat(pieces, 1) - whole).abs().max() <= 1e-12


def test_the_transformer_generates_what_it_would_without_a_cache():
    seeded(1)
    model = Transformer(TransformerConfig(vocab=11, d_model=D, n_heads=HEADS)).double()
    source = torch.randint(3, 11, (4, 7))
    source[2:, 4:] = 0
    ids = model.generate(source, max_length=12)
    model.eval()
    plain = torch.full((4, 1), 1)
    while plain.shape[1] < ids.shape[1]:
        following = model(source, plain)[:, -1].argmax(-1)
        ended = (plain == 2).any(1)
        following = following.masked_fill(ended, 0)
        plain = torch.cat((plain, following[:, None]), 1)
    assert ids.tolist() == plain.tolist()
    assert ids.shape[1] <= 12


def test_generating_leaves_the_mode_of_the_model():
    model = Transformer(TransformerConfig(vocab=11, d_model=D, n_heads=HEADS))
    model.train()
    model.generate(torch.tensor([[3, 4]]), max_length=3)
    assert model.training


def test_grouped_heads_equal_repeated_heads():
    seeded()
    grouped = MultiHeadAttention(D, 6, n_kv_heads=2).double()
    plain = MultiHeadAttention(D, 6).double()
    state = grouped.state_dict()
    for part in ("key", "value"):
        for kind in ("weight", "bias"):
            rows = state[f"{part}.{kind}"].unflatten(0, (2, -1))
            state[f"{part}.{kind}"] = rows.repeat_interleave(3, 0).flatten(0, 1)
    plain.load_state_dict(state)
    x = torch.randn(2, 5, D, dtype=torch.float64)
    assert (grouped(x) - plain(x)).abs().max() <= 1e-12


@FORMS
def test_dropout_acts_in_training_only(form):
    seeded()
    layer = MultiHeadAttention(D, HEADS, dropout=0.5)
    layer.form = form
    x = torch.randn(1, 6, D)
    assert not torch.equal(layer(x), layer(x))
    layer.eval()
    assert torch.equal(layer(x), layer(x))


@FORMS
def test_a_query_that_may_look_nowhere_gets_the_bias_and_no_nan(form):
    seeded()
    layer = MultiHeadAttention(D, HEADS)
    layer.form = form
    mask = torch.zeros(3, 3, dtype=torch.bool)
    out = layer(torch.randn(1, 3, D), mask=mask)
    assert (out - layer.output.bias).abs().max() <= 1e-6


# ---- laws ----------------------------------------------------------------

shapes = st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(0, 2**31))


@pytest.mark.slow
@settings(deadline=None, max_examples=25)
@given(shape=shapes, causal=st.booleans(), cut=st.integers(0, 8))
def test_rows_of_weights_sum_to_one(shape, causal, cut):
    from lib.attention.dot_product import scaled_dot_product_attention

    batch, seq, seed = shape
    g = torch.Generator().manual_seed(seed)
    q, k, v = torch.randn(3, batch, 2, seq, 4, generator=g, dtype=torch.float64) * 5
    mask = causal_mask(seq) if causal else torch.ones(seq, seq, dtype=torch.bool)
    mask = mask & (torch.arange(seq) < max(1, seq - cut))
    _, weights = scaled_dot_product_attention(q, k, v, mask)
    assert (weights.sum(-1) - 1).abs().max() <= 1e-12
    assert weights.min() >= 0
    assert (weights * ~mask).abs().max() == 0


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 2**31), at=st.integers(1, 8),
       positions=st.sampled_from(["learned", "rotary", "none"]))
def test_changing_later_tokens_changes_no_earlier_logit(seed, at, positions):
    seeded(seed)
    config = DecoderConfig(vocab=13, d_model=16, n_heads=2, n_layers=2,
                           positions=positions)
    model = DecoderLM(config).double()
    ids = torch.randint(13, (1, 9))
    other = ids.clone()
    other[:, at:] = (other[:, at:] + 1 + torch.randint(12, (1, 9 - at))) % 13
    before, after = model(ids), model(other)
    assert (before[:, :at] - after[:, :at]).abs().max() <= 1e-13
    assert (before[:, at:] - after[:, at:]).abs().max() > 1e-6


@pytest.mark.slow
@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 2**31), at=st.integers(1, 5))
def test_the_decoder_of_the_transformer_sees_no_future(seed, at):
    seeded(seed)
    model = Transformer(TransformerConfig(vocab=13, d_model=16, n_heads=2))
    model = model.double().eval()
    source, target = torch.randint(3, 13, (1, 7)), torch.randint(3, 13, (1, 6))
    other = target.clone()
    other[:, at:] = (other[:, at:] - 3 + 1) % 10 + 3
    gap = (model(source, target) - model(source, other)).abs().amax((0, 2))
    assert gap[:at].max() <= 1e-13
    assert gap[at:].min() > 1e-6


@pytest.mark.slow
@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 2**31), more=st.integers(1, 6))
def test_padding_changes_nothing(seed, more):
    seeded(seed)
    model = Transformer(TransformerConfig(vocab=13, d_model=16, n_heads=2))
    model = model.double().eval()
    source, target = torch.randint(3, 13, (2, 5)), torch.randint(3, 13, (2, 4))
    longer = F.pad(source, (0, more)), F.pad(target, (0, more))
    gap = model(source, target) - model(*longer)[:, :4]
    assert gap.abs().max() <= 1e-13


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 2**31))
def test_without_positions_tokens_are_a_set(seed):
    seeded(seed)
    layer = EncoderLayer(16, 2, 32).double()
    x, order = torch.randn(1, 7, 16, dtype=torch.float64), torch.randperm(7)
    assert (layer(x)[:, order] - layer(x[:, order])).abs().max() <= 1e-12


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**31), a=st.integers(0, 60), b=st.integers(0, 60),
       shift=st.integers(1, 60))
def test_rotary_logits_depend_on_distance_only(seed, a, b, shift):
    q, k = torch.randn(2, 16, generator=torch.Generator().manual_seed(seed))

    def logit(i, j):
        cos, sin = rotary_angles(torch.tensor([i, j]), 16)
        turned = apply_rotary(torch.stack((q, k)), cos, sin)
        return turned[0] @ turned[1]

    # angles are float32: up to 120 radians, eps 1e-5 of a radian, times |q||k| < 40
    assert abs(logit(a, b) - logit(a + shift, b + shift)) <= 1e-3


def test_sinusoidal_positions_follow_the_formula_and_shift_by_a_rotation():
    p = sinusoidal_positions(50, 8).double()
    for t, i in ((0, 0), (7, 1), (49, 3)):
        angle = torch.tensor(t * 10_000 ** (-2 * i / 8), dtype=torch.float64)
        assert abs(p[t, 2 * i] - angle.sin()) <= 1e-6
        assert abs(p[t, 2 * i + 1] - angle.cos()) <= 1e-6
    gram = p @ p.T
    for distance in (1, 5):
        along = gram.diagonal(distance)
        assert (along - along[0]).abs().max() <= 1e-5
    with pytest.raises(ValueError, match="d_model is 7; use an even d_model"):
        sinusoidal_positions(5, 7)


def test_the_norms_in_the_open_equal_torchs():
    seeded()
    x = torch.randn(3, 5, D, dtype=torch.float64) * 7 + 2
    weight, bias = torch.randn(2, D, dtype=torch.float64)
    expected = F.layer_norm(x, (D,), weight, bias, 1e-5)
    assert (layer_norm(x, weight, bias) - expected).abs().max() <= 1e-12
    expected = F.rms_norm(x, (D,), weight, 1e-5)
    assert (rms_norm(x, weight) - expected).abs().max() <= 1e-12


# ---- wrong use -----------------------------------------------------------

def test_heads_that_do_not_divide_are_one_sentence():
    with pytest.raises(ValueError, match="width of 250 does not divide into 8 heads"):
        Transformer(TransformerConfig(vocab=9, d_model=250, n_heads=8))
    with pytest.raises(ValueError, match="4 query heads cannot share 3"):
        MultiHeadAttention(16, 4, n_kv_heads=3)


def test_unknown_options_are_one_sentence():
    with pytest.raises(ValueError, match="activation 'tanh' is not known; use one of"):
        FeedForward(8, 16, "tanh")
    with pytest.raises(ValueError, match="norm 'batch' is not known; use one of"):
        DecoderConfig(vocab=9, norm="batch")
    layer = MultiHeadAttention(8, 2)
    layer.form = "flash"
    with pytest.raises(ValueError, match="form 'flash' is not known; use one of"):
        layer(torch.zeros(1, 2, 8))


def test_a_sequence_longer_than_the_model_takes_is_one_sentence():
    model = Transformer(TransformerConfig(vocab=9, d_model=8, n_heads=2, max_length=4))
    ids = torch.ones(1, 5, dtype=torch.long)
    with pytest.raises(ValueError, match="5 tokens came and the model takes 4"):
        model(ids, ids)
    lm = DecoderLM(DecoderConfig(vocab=9, d_model=8, n_heads=2, max_length=4))
    with pytest.raises(ValueError, match="5 tokens came and the model takes 4"):
        lm(ids)
    with pytest.raises(ValueError, match="5 tokens came and the model takes 4"):
        list(stream(lm, ids[:, :3], 3))


def test_the_cache_counts_its_bytes():
    cache = KVCache()
    assert (cache.length, cache.bytes) == (0, 0)
    k = torch.zeros(2, 3, 5, 4)
    cache.append(k, k)
    assert (cache.length, cache.bytes) == (5, 2 * 2 * 3 * 5 * 4 * 4)


# ---- choosing a token ----------------------------------------------------

def test_filters_keep_what_they_say():
    logits = torch.tensor([[3.0, 0.0, 2.0, 1.0]])
    kept = filter_logits(logits, top_k=2).isfinite()
    assert kept.tolist() == [[True, False, True, False]]
    p = logits.softmax(-1)[0]
    just = (p[0] + p[2]).item()
    assert filter_logits(logits, top_p=just - 1e-4).isfinite().sum() == 2
    assert filter_logits(logits, top_p=just + 1e-4).isfinite().sum() == 3
    assert filter_logits(logits, top_p=1e-9).isfinite().sum() == 1


@settings(max_examples=60, deadline=None)
@given(logits=st.lists(st.integers(-2, 2), min_size=1, max_size=9),
       top_k=st.integers(1, 12))
def test_top_k_keeps_exactly_k_also_among_equals(logits, top_k):
    row = torch.tensor([logits], dtype=torch.float32)
    kept = filter_logits(row, top_k=top_k)[0]
    chosen = [i for i, logit in enumerate(kept.tolist()) if math.isfinite(logit)]
    # of equal ones the lower ids, as argmax has it
    ranked = sorted(range(len(logits)), key=lambda i: (-logits[i], i))
    assert chosen == sorted(ranked[:top_k])
    assert kept[chosen].tolist() == row[0, chosen].tolist()
    assert next_token(row, 1.0, top_k=1).tolist() == next_token(row).tolist()


def test_top_p_keeps_the_shortest_head_also_among_equals():
    kept = filter_logits(torch.zeros(1, 10), top_p=0.35)[0]
    assert kept.isfinite().tolist() == 4 * [True] + 6 * [False]
    # what top_k leaves is the whole of which top_p takes a share
    kept = filter_logits(torch.zeros(1, 10), top_k=4, top_p=0.5)[0]
    assert kept.isfinite().tolist() == 2 * [True] + 8 * [False]


@pytest.mark.parametrize("temperature", [1e-6, 1e-30, 1e-39, 5e-324])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_very_small_temperature_takes_the_likeliest(temperature, dtype):
    logits = torch.tensor([[-80.0, 30.0, 10.0, 29.0], [0.0, -1.0, -90.0, -2.0]])
    assert next_token(logits.to(dtype), temperature).tolist() == [1, 0]
    equal = torch.tensor([[0.0, 5.0, 5.0]], dtype=dtype).expand(400, 3)
    drawn = next_token(equal, temperature, generator=torch.Generator().manual_seed(1))
    assert set(drawn.tolist()) == {1, 2}  # equal ones stay equal


def test_a_very_large_temperature_makes_all_alike():
    logits = torch.tensor([[80.0, 0.0]]).expand(400, 2)
    drawn = next_token(logits, 1e300, generator=torch.Generator().manual_seed(1))
    assert 150 < drawn.sum() < 250


@pytest.mark.parametrize("row", [[0.0, math.nan], [0.0, math.inf], 2 * [-math.inf]])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_logits_that_are_no_numbers_are_named(row, temperature):
    with pytest.raises(ValueError, match="logits are not finite; its training has div"):
        next_token(torch.tensor([row]), temperature)
    # a token left out is no fault
    assert next_token(torch.tensor([[-math.inf, 0.0]]), temperature).tolist() == [1]


def test_drawing_follows_the_softmax_at_a_temperature():
    logits = torch.tensor([[1.0, 0.0, -1.0]]).expand(20_000, 3)
    g = torch.Generator().manual_seed(0)
    drawn = next_token(logits, temperature=2.0, generator=g)
    share = torch.bincount(drawn, minlength=3) / len(drawn)
    # three standard errors of a share at 20,000 draws: 0.011
    assert (share - (logits[0] / 2).softmax(-1)).abs().max() <= 0.011


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_half_precise_model_is_drawn_from_as_a_precise_one(dtype):
    logits = torch.randn(1, 50_000, generator=torch.Generator().manual_seed(0))
    logits = logits.to(dtype)
    exact = filter_logits(logits.double(), top_p=0.9).isfinite().sum().item()
    # equal logits stand in any order: a few tokens at the border
    assert abs(filter_logits(logits, top_p=0.9).isfinite().sum().item() - exact) <= 3
    sharp = torch.tensor([[60.0, 0.0, -60.0]], dtype=dtype)
    assert next_token(sharp, temperature=1e-4).item() == 0  # 600,000 is inf in float16


def test_text_is_written_without_dropout_also_while_the_model_trains():
    torch.manual_seed(0)
    model = DecoderLM(DecoderConfig(vocab=99, d_model=32, n_heads=2, n_layers=2,
                                    dropout=0.5))
    ids = torch.randint(99, (1, 8))
    written = list(stream(model, ids, 12))
    assert model.training
    assert list(stream(model.eval(), ids, 12)) == written


def test_a_stream_goes_on_from_a_text_that_has_tokens():
    lm = DecoderLM(DecoderConfig(vocab=9, d_model=8, n_heads=2))
    with pytest.raises(ValueError, match="pass one text of at least one token"):
        next(stream(lm, torch.zeros(1, 0, dtype=torch.long), 3))


def test_padding_in_front_is_refused_for_it_moves_every_position():
    model = Transformer(TransformerConfig(vocab=9, d_model=8, n_heads=2)).eval()
    target = torch.tensor([[1, 5]])
    behind = torch.tensor([[5, 6, 2, 0, 0], [5, 0, 0, 0, 0], [0, 0, 0, 0, 0]])
    model(behind, target.expand(3, 2))
    for source in ([[0, 5, 6, 2]], [[5, 0, 6, 2]]):
        with pytest.raises(ValueError, match="row 0 of the source has padding"):
            model.generate(torch.tensor(source))
    with torch.device("meta"):  # as operations are counted, without numbers
        ids = torch.ones(1, 4, dtype=torch.long)
        model = Transformer(model.config).eval()
        assert model(ids, ids).shape == (1, 4, 9)


@pytest.mark.parametrize(("wrong", "says"), [
    ({"temperature": -1.0}, "temperature is -1.0; use 0"),
    ({"temperature": float("nan")}, "temperature is nan; use 0"),
    ({"temperature": float("inf")}, "temperature is inf; use 0"),
    ({"temperature": 1.0, "top_k": 0}, "top_k is 0; keep at least 1"),
    ({"temperature": 1.0, "top_p": 0.0}, "top_p is 0.0; use a share"),
])
def test_wrong_choices_are_one_sentence(wrong, says):
    with pytest.raises(ValueError, match=says):
        next_token(torch.zeros(1, 3), **wrong)
