"""One attention layer of a Llama computed again, beside what `trace` recorded."""

from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lib.attention.dot_product import attention_logits, masked_softmax
from lib.attention.heads import merge_heads, repeat_kv, split_heads
from lib.attention.masks import causal_mask
from lib.attention.rotary import apply_rotary, rotary_angles


def recompute_attention(
    model: nn.Module, layer: int, resid_pre: Float[Tensor, "batch seq d_model"],
    single: torch.dtype = torch.float32,
) -> dict[str, Tensor]:
    r"""Compute one attention layer of a Llama of `transformers` (SmolLM2 is one) again,
    from what enters it and its weights.

    resid_pre: in the model's precision, of whole texts, without padding or cache.
    single: the precision of RMSNorm and softmax, for `transformers` float32 whatever
    the model has. The tensors come under the names of `trace`, from `ln1` to
    `attn_out`, logits `-inf` where the mask is closed; `head_sum` is `attn_out` as the
    sum of what each head writes, and the bias. Raises TypeError for another family.
    """
    config = getattr(model, "config", None)
    family = getattr(config, "model_type", None)
    if family != "llama" or not getattr(config, "is_causal", True):
        raise TypeError(
            f"recompute_attention follows a causal Llama of transformers, and a "
            f"{type(model).__name__} of family {family!r} came; trace(model) records "
            "the parts of other families, to be computed from there."
        )
    llama = cast(Any, model)
    body = getattr(llama, llama.base_model_prefix, llama)
    block = body.layers[layer]
    attn, config = block.self_attn, llama.config
    n_heads, n_kv_heads = config.num_attention_heads, config.num_key_value_heads
    norm, x = block.input_layernorm, resid_pre.to(single)
    size = torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + norm.variance_epsilon)
    ln1 = norm.weight * (x * size).to(resid_pre.dtype)
    q = split_heads(attn.q_proj(ln1), n_heads)
    k = split_heads(attn.k_proj(ln1), n_kv_heads)
    v = split_heads(attn.v_proj(ln1), n_kv_heads)
    places = torch.arange(x.shape[1], device=x.device)
    rotary = body.rotary_emb
    rotary(x, places[None])  # some frequencies go by the length of the text
    cos, sin = (rotary.attention_scaling * part for part in rotary_angles(
        places, q.shape[-1], frequencies=rotary.inv_freq.float()))
    rot_q, rot_k = apply_rotary(q, cos, sin), apply_rotary(k, cos, sin)
    mask = causal_mask(x.shape[1], device=x.device)
    logits = attention_logits(rot_q, repeat_kv(rot_k, n_heads))
    weights = masked_softmax(logits.to(single), mask).to(logits.dtype)
    z = weights @ repeat_kv(v, n_heads)
    by_head = attn.o_proj.weight.view(-1, n_heads, q.shape[-1])
    written = cast(
        Tensor, sum(z[:, h] @ by_head[:, h].T for h in range(n_heads))
    )
    if attn.o_proj.bias is not None:
        written = written + attn.o_proj.bias
    return {
        "ln1": ln1, "attn.q": q, "attn.k": k, "attn.v": v,
        "attn.rot_q": rot_q, "attn.rot_k": rot_k,
        "attn.scores": logits.masked_fill(~mask, -torch.inf),
        "attn.pattern": weights, "attn.z": z,
        "attn_out": attn.o_proj(merge_heads(z)),
        "head_sum": written,
    }
