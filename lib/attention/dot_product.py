"""Scaled dot-product attention in small pieces, each with its formula.

Throughout, queries, keys and values are `(batch, head, seq, d_head)`, logits and
weights `(batch, head, query, key)`, and a mask is `True` where a query may look; the
annotations say so, and the tests enforce them.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from lib.attention.cache import KVCache
from lib.attention.heads import (
    group_size,
    head_size,
    merge_heads,
    repeat_kv,
    split_heads,
)
from lib.attention.rotary import apply_rotary
from lib.options import one_of

FORMS = ("sdpa", "reference")
Rotary = tuple[Float[Tensor, "query d_head"], Float[Tensor, "query d_head"]]


def attention_logits(
    query: Float[Tensor, "*batch query d_head"],
    key: Float[Tensor, "*batch key d_head"], scale: float | None = None,
) -> Float[Tensor, "*batch query key"]:
    """Compare every query with every key, before mask and softmax: S = Q Kᵀ / √d_head.

    `scale`: a factor other than 1 / √d_head (Vaswani et al. 2017, equation 1).

    >>> q = torch.tensor([[2.0, 0.0, 0.0, 0.0]])
    >>> attention_logits(q, torch.eye(4)).tolist()
    [[1.0, 0.0, 0.0, 0.0]]
    """
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    return query @ key.transpose(-2, -1) * scale


def masked_softmax(
    logits: Float[Tensor, "*batch query key"], mask: Bool[Tensor, "..."] | None = None,
) -> Float[Tensor, "*batch query key"]:
    """Turn the logits of each query into weights that sum to one.

        A_ij = M_ij exp(S_ij) / Σ_k M_ik exp(S_ik)

    A query that may look nowhere gets zeros, not NaN.

    >>> masked_softmax(torch.zeros(2, 2), torch.tensor([[True, False], [True, True]]))
    tensor([[1.0000, 0.0000],
            [0.5000, 0.5000]])
    """
    if mask is None:
        return logits.softmax(dim=-1)
    lowest = torch.finfo(logits.dtype).min
    weights = logits.masked_fill(~mask, lowest).softmax(dim=-1)
    return weights.masked_fill(~mask, 0.0)


def scaled_dot_product_attention(
    query: Float[Tensor, "*batch query d_head"],
    key: Float[Tensor, "*batch key d_head"], value: Float[Tensor, "*batch key d_value"],
    mask: Bool[Tensor, "..."] | None = None, scale: float | None = None,
) -> tuple[Float[Tensor, "*batch query d_value"], Float[Tensor, "*batch query key"]]:
    """Mix the values by how well their keys answer each query: output and weights.

        Z = softmax(Q Kᵀ / √d_head) V

    The reference of the book: nothing fused, so that the weights can be seen.

    >>> v = torch.tensor([[1.0], [3.0]])
    >>> output, weights = scaled_dot_product_attention(
    ...     torch.zeros(2, 4), torch.zeros(2, 4), v)
    >>> output.tolist(), weights.tolist()
    ([[2.0], [2.0]], [[0.5, 0.5], [0.5, 0.5]])
    """
    weights = masked_softmax(attention_logits(query, key, scale), mask)
    return weights @ value, weights


def row_entropy(
    weights: Float[Tensor, "*batch query key"],
) -> Float[Tensor, "*batch query"]:
    """Spread of each row of weights, in bits: H_i = −Σ_j A_ij log₂ A_ij.

    Zero for a row that looks at one key, log₂ n for one that looks at n alike.

    >>> row_entropy(torch.tensor([[1.0, 0.0], [0.5, 0.5]])).tolist()
    [0.0, 1.0]
    """
    return torch.special.entr(weights).sum(dim=-1) / math.log(2)


class MultiHeadAttention(nn.Module):
    """Several heads side by side, each with its own queries, keys and values.

        Z_h = softmax(X W_Q (Y W_K)ᵀ / √d_head) Y W_V,  output [Z_1 … Z_H] W_O

    `Y = X` is self-attention, a memory is cross-attention. With fewer `n_kv_heads` than
    `n_heads`, key/value heads are shared (`repeat_kv`). Training sets a share `dropout`
    of the weights to zero. The attribute `form` is `"sdpa"`, which runs
    `F.scaled_dot_product_attention`, or `"reference"`, with the weights in the open.
    Raises ValueError if the heads do not divide the width or one another, or the form
    is unknown (Vaswani et al. 2017, section 3.2.2; Ainslie et al. 2023 for groups).

    >>> layer = MultiHeadAttention(8, n_heads=2)
    >>> x = torch.randn(1, 5, 8)
    >>> fast = layer(x)
    >>> layer.form = "reference"
    >>> bool(torch.allclose(layer(x), fast, atol=1e-6))
    True
    """

    def __init__(
        self, d_model: int, n_heads: int, n_kv_heads: int | None = None,
        d_head: int | None = None, bias: bool = True, dropout: float = 0.0,
    ) -> None:
        super().__init__()
        n_kv_heads = n_heads if n_kv_heads is None else n_kv_heads
        d_head = head_size(d_model, n_heads) if d_head is None else d_head
        group_size(n_heads, n_kv_heads)
        self.n_heads, self.n_kv_heads, self.d_head = n_heads, n_kv_heads, d_head
        self.dropout, self.form = dropout, "sdpa"
        self.query = nn.Linear(d_model, n_heads * d_head, bias)
        self.key = nn.Linear(d_model, n_kv_heads * d_head, bias)
        self.value = nn.Linear(d_model, n_kv_heads * d_head, bias)
        self.output = nn.Linear(n_heads * d_head, d_model, bias)

    def forward(
        self, x: Float[Tensor, "batch query d_model"],
        memory: Float[Tensor, "batch memory d_model"] | None = None,
        mask: Bool[Tensor, "..."] | None = None, rotary: Rotary | None = None,
        cache: KVCache | None = None,
    ) -> Float[Tensor, "batch query d_model"]:
        """Let `x` look at `memory`, or at itself; rotary: the angles of its places."""
        q = split_heads(self.query(x), self.n_heads)
        if rotary is not None:
            q = apply_rotary(q, *rotary)
        k, v = self._keys_and_values(x, memory, rotary, cache)
        dropout = self.dropout if self.training else 0.0
        if one_of("form", self.form, FORMS) == "sdpa":
            grouped = self.n_kv_heads < self.n_heads
            z = F.scaled_dot_product_attention(
                q, k, v, mask, dropout_p=dropout, enable_gqa=grouped
            )
        else:
            k, v = repeat_kv(k, self.n_heads), repeat_kv(v, self.n_heads)
            weights = masked_softmax(attention_logits(q, k), mask)
            z = F.dropout(weights, dropout) @ v
        return self.output(merge_heads(z))

    def _keys_and_values(self, x, memory, rotary, cache):
        """Keys and values to look at: new ones, and what the cache holds."""
        if memory is not None and cache is not None and cache.length:
            return cache.key, cache.value
        source = x if memory is None else memory
        k = split_heads(self.key(source), self.n_kv_heads)
        v = split_heads(self.value(source), self.n_kv_heads)
        if rotary is not None and memory is None:
            k = apply_rotary(k, *rotary)
        return (k, v) if cache is None else cache.append(k, v)
