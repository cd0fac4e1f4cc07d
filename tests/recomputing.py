"""Compute parts of a model again, from what `trace` recorded and the weights.

If the recomputed tensors equal the recorded ones, the trace holds everything that
the layer computes with.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lib.attention.dot_product import MultiHeadAttention, attention_logits
from lib.attention.heads import merge_heads, repeat_kv
from lib.attention.rotary import apply_rotary
from lib.trace.layout import Block, join, layout


def recompute(model: nn.Module, name: str, traced) -> dict[str, Tensor]:
    r"""Compute an attention layer or a feed-forward again from its recorded parts.

    .. math:: S = s\, Q K^\top, \quad
              A = \operatorname{softmax}(S), \quad Z = A V, \quad
              O = [Z_1 \cdots Z_H]\, W_O + b

    name: `"blocks.3.attn"`, `"decoder.blocks.0.cross"`, `"blocks.3.mlp"`. Under the
    names of the trace come `scores` (`-inf` where the mask is closed), `pattern`, `z`,
    `attn_out`, and `q_norm`, `k_norm`, `rot_q`, `rot_k` where there are any; `mlp.post`
    and `mlp_out`. Each is computed from the recorded parts before it: `z` from the
    weights after dropout, where training dropped some, `mlp.post` without dropout.
    Scale, soft cap and bias by distance are the model's. Raises KeyError if the model
    has no such part, or the trace does not hold it.

    >>> from lib.trace.recorder import trace
    >>> layer = MultiHeadAttention(8, n_heads=2)
    >>> with trace(layer) as traced:
    ...     output = layer(torch.randn(1, 3, 8))
    >>> again = recompute(layer, "attn", traced)
    >>> bool(torch.allclose(again["attn_out"], output, atol=1e-6))
    True
    """
    block, kind = _find(model, name)
    if kind == "mlp":
        post = block.parts["mlp.activation"](traced[f"{name}.pre"])
        if f"{name}.pre_linear" in traced:
            post = post * traced[f"{name}.pre_linear"]
        down = block.parts["mlp.down"]
        used = traced[f"{name}.post"].to(down.weight.dtype)
        return {f"{name}.post": post, f"{name}_out": down(used)}
    attention = block.parts[kind]
    rotated = "rot_" if f"{name}.rot_q" in traced else ""
    q, k = traced[f"{name}.{rotated}q"], traced[f"{name}.{rotated}k"]
    recorded, weights = traced[f"{name}.scores"], traced[f"{name}.pattern"]
    logits = attention_logits(
        q, repeat_kv(k, q.shape[1]), getattr(attention, "scaling", None)
    )
    if block.softcap is not None:
        logits = block.softcap * torch.tanh(logits / block.softcap)
    if f"{name}.position_bias" in traced:
        logits = logits + traced[f"{name}.position_bias"]
    closed = recorded < torch.finfo(recorded.dtype).min / 2
    lowest = torch.finfo(logits.dtype).min
    # transformers leaves equal weights to a query that may look nowhere, we none
    pattern = logits.masked_fill(closed, lowest).softmax(-1, dtype=weights.dtype)
    if isinstance(attention, MultiHeadAttention):
        pattern = pattern.masked_fill(closed, 0.0)
    v = traced[f"{name}.v"]
    mixing = traced.get(f"{name}.dropped", weights)
    z = mixing.to(v.dtype) @ repeat_kv(v, q.shape[1])
    output = block.parts[f"{kind}.output"]
    return _turned(block, name, traced) | {
        f"{name}.scores": logits.masked_fill(closed, -torch.inf),
        f"{name}.pattern": pattern,
        f"{name}.z": z,
        f"{name}_out": output(merge_heads(z).to(output.weight.dtype)),
    }


def _turned(block: Block, name: str, traced) -> dict[str, Tensor]:
    """Queries and keys after their norms and their rotation, where they have any."""
    again = {}
    for part, path in (("q", "query"), ("k", "key")):
        if f"{name}.{part}" not in traced:
            continue
        x = traced[f"{name}.{part}"]
        if (norm := block.parts.get(f"attn.{path}_norm")) is not None:
            again[f"{name}.{part}_norm"] = norm(x)
            x = traced[f"{name}.{part}_norm"]
        recorded = traced.get(f"{name}.rot_{part}")
        cos, sin = (traced.get(f"{block.rotary}.{angle}") for angle in ("cos", "sin"))
        if recorded is None or cos is None or sin is None:
            continue
        if recorded.shape != x.shape:  # with a cache: of all keys
            continue
        if cos.dim() == 3:  # batch seq d_rotary: the same for all heads
            cos, sin = cos[:, None], sin[:, None]
        first, rest = x.tensor_split([cos.shape[-1]], dim=-1)
        turned = apply_rotary(first, cos, sin)
        again[f"{name}.rot_{part}"] = torch.cat((turned, rest), dim=-1)
    return again


def head_outputs(
    model: nn.Module, name: str, traced
) -> Float[Tensor, "batch head query d_model"]:
    r"""What each head adds to the residual stream.

    .. math:: O = b + \sum_h Z_h W_{O,h}

    `name` is an attention layer, of which only `z` is used. The sum over heads plus
    the bias of the output projection, where it has one, is `attn_out`.

    Source: Elhage et al. 2021, section "Attention heads are independent and
    additive".

    >>> from lib.trace.recorder import trace
    >>> layer = MultiHeadAttention(8, n_heads=2, bias=False)
    >>> with trace(layer) as traced:
    ...     output = layer(torch.randn(1, 3, 8))
    >>> parts = head_outputs(layer, "attn", traced)
    >>> parts.shape, bool(torch.allclose(parts.sum(1), output, atol=1e-6))
    (torch.Size([1, 2, 3, 8]), True)
    """
    block, kind = _find(model, name)
    output = block.parts[f"{kind}.output"]
    # the Conv1D of GPT-2 keeps its matrix transposed
    weight = output.weight if isinstance(output, nn.Linear) else output.weight.T
    z = traced[f"{name}.z"].to(weight.dtype)
    by_head = weight.detach().view(weight.shape[0], z.shape[1], z.shape[-1])
    return torch.einsum("bhqd,mhd->bhqm", z, by_head)


def _find(model: nn.Module, name: str) -> tuple[Block, str]:
    known = {
        join(block.name, kind): (block, kind)
        for block in layout(model).blocks for kind in ("attn", "cross", "mlp")
        if kind in block.parts or f"{kind}.down" in block.parts
    }
    if name not in known:
        raise KeyError(f"{name!r} is no part of this model; use, for example, "
                       f"{', '.join(list(known)[-3:])}.")
    return known[name]
