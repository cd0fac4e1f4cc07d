"""The checks of chapter 04 accept what is right, however written, and nothing else."""

import torch
import torch.nn.functional as F
from exercise_cases import accepts, chapter, hints, stubs

from lib.attention.masks import causal_mask, padding_mask
from lib.attention.transformer import Transformer, TransformerConfig
from lib.exercises.encoder_decoder import (
    _sources,
    _Writer,
    check_decoder_mask,
    check_generate,
    check_layer_norm,
    check_norm_first,
    check_parameters,
)

CHECKS = (
    check_layer_norm,
    check_decoder_mask,
    check_parameters,
    check_norm_first,
    check_generate,
)


# ---- layer norm -------------------------------------------------------------


def norm_by_hand(x, gain, shift):
    mean = x.mean(-1, keepdim=True)
    spread = ((x - mean) ** 2).mean(-1, keepdim=True).sqrt()
    return (x - mean) / (spread + 1e-6) * gain + shift


def norm_by_torch(x, gain, shift):
    layer = torch.nn.LayerNorm(x.shape[-1], dtype=x.dtype)
    with torch.no_grad():
        layer.weight.copy_(gain)
        layer.bias.copy_(shift)
        return layer(x)


test_right_norms_are_accepted = accepts(check_layer_norm, norm_by_hand, norm_by_torch)


test_wrong_norms_get_their_hint = hints(
    check_layer_norm,
    (lambda x, g, b: (x - x.mean(-1, True)) / x.std(-1, keepdim=True) * g + b,
     "by d, not by d"),
    (lambda x, g, b: (x - x.mean(-1, True)) / x.var(-1, True, keepdim=True)
     .mul((x.shape[-1] - 1) / x.shape[-1]) * g + b, "square root"),
    (lambda x, g, b: F.rms_norm(x, x.shape[-1:]) * g + b, "RMSNorm"),
    (lambda x, g, b: F.layer_norm(x, x.shape[-1:]), "are missing"),
    (lambda x, g, b: (x - x.mean(0)) / x.std(0, unbiased=False) * g + b, "last axis"),
    (lambda x, g, b: norm_by_hand(x, b, g), "values differ"),
    (lambda x, g, b: norm_by_hand(x, g, b)[..., :-1], "shape"),
)


# ---- the mask of the decoder ------------------------------------------------


def mask_by_parts(target, pad):
    return causal_mask(target.shape[1]) & padding_mask(target, pad)


def mask_by_loops(target, pad):
    batch, n = target.shape
    mask = torch.zeros(batch, 1, n, n, dtype=torch.bool)
    for b in range(batch):
        for i in range(n):
            for j in range(i + 1):
                mask[b, 0, i, j] = target[b, j] != pad and target[b, i] != pad
    return mask  # padding queries see nothing, which is as right


test_right_masks_are_accepted = accepts(
    check_decoder_mask, mask_by_parts, mask_by_loops
)


test_wrong_masks_get_their_hint = hints(
    check_decoder_mask,
    (lambda t, pad: ~mask_by_parts(t, pad), "swapped"),
    (lambda t, pad: padding_mask(t, pad), "causal mask is missing"),
    (lambda t, pad: causal_mask(t.shape[1]), "Padding can be seen"),
    (lambda t, pad: causal_mask(t.shape[1]).T & padding_mask(t, pad), "way round"),
    (lambda t, pad: mask_by_parts(t, pad).int(), "True and False"),
    (lambda t, pad: mask_by_parts(t, pad)[:, 0], "shape"),
    (lambda t, pad: mask_by_parts(t, pad) & ~torch.eye(t.shape[1]).bool(), "up to i"),
)


# ---- counting parameters ----------------------------------------------------


def parameters_by_formula(vocab, d, ff, layers, attentions=3, norms=5, bias=1):
    attention = 4 * (d * d + bias * d)
    inner = 2 * d * ff + bias * (ff + d)
    return vocab * d + layers * (attentions * attention + 2 * inner + norms * 2 * d)


def parameters_of_a_model(vocab, d, ff, layers):
    model = Transformer(TransformerConfig(vocab, d, 2, layers, ff))
    return sum(p.numel() for p in model.parameters())


test_right_counts_are_accepted = accepts(
    check_parameters, parameters_by_formula, parameters_of_a_model
)


def with_extra(extra):
    return lambda v, d, ff, n: parameters_by_formula(v, d, ff, n) + extra(v, d)


test_wrong_counts_get_their_hint = hints(
    check_parameters,
    (with_extra(lambda v, d: v * d), "count it once"),
    (with_extra(lambda v, d: 2 * v * d), "count it once"),
    (lambda v, d, ff, n: parameters_by_formula(v, d, ff, n, bias=0), "biases"),
    (lambda v, d, ff, n: parameters_by_formula(v, d, ff, n, attentions=2),
     "cross-attention"),
    (lambda v, d, ff, n: parameters_by_formula(v, d, ff, n, norms=0),
     "normalizations are missing"),
    (lambda v, d, ff, n: parameters_by_formula(v, d, ff, n, norms=4), "three"),
    (with_extra(lambda v, d: 64 * d), "Positions"),
    (with_extra(lambda v, d: -v * d), "embedding is missing"),
    (with_extra(lambda v, d: 1), "there are"),
)


# ---- norm first -------------------------------------------------------------


def layer_by_lines(layer, y, memory, mask, memory_mask):
    y = y + layer.attention(layer.attention_norm(y), mask=mask)
    y = y + layer.cross_attention(layer.cross_norm(y), memory, mask=memory_mask)
    return y + layer.feed_forward(layer.feed_forward_norm(y))


def layer_by_loop(layer, y, memory, mask, memory_mask):
    for norm, part in (
        (layer.attention_norm, lambda x: layer.attention(x, mask=mask)),
        (layer.cross_norm, lambda x: layer.cross_attention(x, memory, memory_mask)),
        (layer.feed_forward_norm, layer.feed_forward),
    ):
        y = torch.add(part(norm(y)), y)
    return y


def layer_variant(step=None, of_memory=False, causal=True, padded=True):
    def answer(layer, y, memory, mask, memory_mask):
        walk = step or (lambda x, norm, part: x + part(norm(x)))
        memory = layer.cross_norm(memory) if of_memory else memory
        y = walk(y, layer.attention_norm,
                 lambda x: layer.attention(x, mask=mask if causal else None))
        y = walk(y, layer.cross_norm, lambda x: layer.cross_attention(
            x, memory, mask=memory_mask if padded else None))
        return walk(y, layer.feed_forward_norm, layer.feed_forward)

    return answer


test_right_layers_are_accepted = accepts(
    check_norm_first, layer_by_lines, layer_by_loop
)


test_wrong_layers_get_their_hint = hints(
    check_norm_first,
    (layer_variant(lambda x, norm, part: norm(x + part(x))), "paper's order"),
    (layer_variant(lambda x, norm, part: part(norm(x))), "residual is missing"),
    (layer_variant(lambda x, norm, part: norm(x) + part(norm(x))), "x itself"),
    (layer_variant(of_memory=True), "memory is not normalised"),
    (layer_variant(causal=False), "causal mask is missing"),
    (layer_variant(padded=False), "mask of the cross-attention"),
    (lambda layer, y, *rest: y, "values differ"),
    (lambda layer, y, *rest: y[:, 1:], "shape"),
)


# ---- writing token by token -------------------------------------------------


def write_batched(model, source, longest):
    config = model.config
    ids = torch.full((len(source), 1), config.bos)
    while ids.shape[1] < longest and not (ids == config.eos).any(1).all():
        following = model(source, ids)[:, -1].argmax(-1)
        following[(ids == config.eos).any(1)] = config.pad
        ids = torch.cat((ids, following[:, None]), 1)
    return ids


def write_in_place(model, source, longest):
    config = model.config
    ids = torch.full((len(source), longest), config.pad)
    ids[:, 0], open_rows = config.bos, torch.ones(len(source), dtype=torch.bool)
    for t in range(1, longest):
        if not open_rows.any():
            return ids[:, :t]
        chosen = model(source, ids[:, :t])[:, t - 1].argmax(-1)
        ids[open_rows, t] = chosen[open_rows]
        open_rows &= chosen != config.eos
    return ids


def write_on(model, source, longest):
    """Does not stop at eos."""
    ids = torch.full((len(source), 1), model.config.bos)
    for _ in range(longest - 1):
        ids = torch.cat((ids, model(source, ids)[:, -1:].argmax(-1)), 1)
    return ids


test_right_writing_is_accepted = accepts(check_generate, write_batched, write_in_place)


def test_the_stand_in_ends_some_rows_early_and_some_not_at_all():
    lengths = []
    for seed in range(3):
        model = _Writer(seed)
        ids = write_batched(model, _sources(seed), 9)
        lengths += [int((row == model.config.eos).any()) for row in ids]
        assert len(set(ids.flatten().tolist())) > 5  # it does not repeat itself
    assert 0 < sum(lengths) < len(lengths)


def test_right_writing_is_that_of_the_real_model():
    torch.manual_seed(0)
    model = Transformer(TransformerConfig(vocab=20, d_model=16, n_heads=2, n_layers=2))
    model.eval()
    source = torch.randint(3, 20, (4, 6))
    with torch.no_grad():
        ids = write_batched(model, source, 10)
    assert ids.tolist() == model.generate(source, 10).tolist()


test_wrong_writing_gets_its_hint = hints(
    check_generate,
    (write_on, "up to eos"),
    (lambda m, s, n: write_batched(m, s, n)[:, 1:], "first token"),
    (lambda m, s, n: write_batched(m, s, n + 3), "at most"),
    (lambda m, s, n: write_batched(m, s, n)[0], "one row a source"),
    (lambda m, s, n: write_batched(m, s.flip(0), n), "other tokens"),
)


# ---- what is no answer, and the chapter itself ------------------------------


test_what_is_unfinished_is_no_answer = stubs(*CHECKS)
test_the_chapter_asks_them_all = chapter("04_encoder_decoder", CHECKS)
