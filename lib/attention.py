"""Scaled dot-product attention in small pieces, each with its formula.

Shapes are written as jaxtyping annotations and enforced in the tests. One
convention throughout: `(batch, head, seq, d_head)` for queries, keys and values,
`(batch, head, query, key)` for logits and weights, and a mask that is `True`
where a query may look.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

FORMS = ("sdpa", "reference")


def causal_mask(
    query: int, key: int | None = None, device: torch.device | str | None = None
) -> Bool[Tensor, "query key"]:
    r"""Let each query look at itself and at what came before.

    .. math:: M_{ij} = [\, j \le i + (n_\text{key} - n_\text{query}) \,]

    Parameters
    ----------
    query
        How many queries there are.
    key
        How many keys; `None` means as many as queries. With more keys than
        queries the queries are the last ones, as in generation with a cache.
    device
        Where the mask is made.

    Returns
    -------
    Tensor
        `(query, key)`, `True` where query `i` may look at key `j`.

    Raises
    ------
    ValueError
        If there are fewer keys than queries.

    Source: Vaswani et al. 2017, section 3.2.3.

    >>> causal_mask(3).int().tolist()
    [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    >>> causal_mask(1, 3).int().tolist()
    [[1, 1, 1]]
    """
    key = query if key is None else key
    if key < query:
        raise ValueError(
            f"a causal mask needs at least as many keys as queries, and {query} "
            f"queries came with {key} keys; pass all keys up to the last query."
        )
    full = torch.ones(query, key, dtype=torch.bool, device=device)
    return full.tril(diagonal=key - query)


def padding_mask(
    ids: Int[Tensor, "batch key"], pad: int
) -> Bool[Tensor, "batch 1 1 key"]:
    r"""Let every query of a sequence look at its tokens and not at its padding.

    .. math:: M_{b,\cdot,\cdot,j} = [\, \text{ids}_{b,j} \ne \text{pad} \,]

    Combine masks with `&`: `causal_mask(n) & padding_mask(ids, pad)`.

    Parameters
    ----------
    ids
        Token ids, `(batch, key)`.
    pad
        The id that fills the short sequences of a batch.

    Returns
    -------
    Tensor
        `(batch, 1, 1, key)`, `True` where there is a token.

    >>> padding_mask(torch.tensor([[5, 6, 0]]), pad=0).int().tolist()
    [[[[1, 1, 0]]]]
    """
    return (ids != pad)[:, None, None, :]


def attention_logits(
    query: Float[Tensor, "*batch query d_head"],
    key: Float[Tensor, "*batch key d_head"],
    scale: float | None = None,
) -> Float[Tensor, "*batch query key"]:
    r"""Compare every query with every key.

    .. math:: S = \frac{Q K^\top}{\sqrt{d_\text{head}}}

    Parameters
    ----------
    query, key
        `(…, query, d_head)` and `(…, key, d_head)`.
    scale
        The factor before the product; `None` means `1 / sqrt(d_head)`.

    Returns
    -------
    Tensor
        `(…, query, key)`, without a unit, before mask and softmax.

    Source: Vaswani et al. 2017, equation 1.

    >>> q = torch.tensor([[2.0, 0.0, 0.0, 0.0]])
    >>> attention_logits(q, torch.eye(4)).tolist()
    [[1.0, 0.0, 0.0, 0.0]]
    """
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    return query @ key.transpose(-2, -1) * scale


def masked_softmax(
    logits: Float[Tensor, "*batch query key"],
    mask: Bool[Tensor, "..."] | None = None,
) -> Float[Tensor, "*batch query key"]:
    r"""Turn the logits of each query into weights that sum to one.

    .. math:: A_{ij} = \frac{M_{ij}\, e^{S_{ij}}}{\sum_k M_{ik}\, e^{S_{ik}}}

    A query that may look nowhere gets zeros, not NaN.

    Parameters
    ----------
    logits
        `(…, query, key)`.
    mask
        Broadcasts to `logits`; `True` where a query may look. `None`: everywhere.

    Returns
    -------
    Tensor
        `(…, query, key)`; zero where the mask is `False`.

    Source: Vaswani et al. 2017, section 3.2.1.

    >>> masked_softmax(torch.zeros(2, 2), causal_mask(2)).tolist()
    [[1.0, 0.0], [0.5, 0.5]]
    """
    if mask is None:
        return logits.softmax(dim=-1)
    lowest = torch.finfo(logits.dtype).min
    weights = logits.masked_fill(~mask, lowest).softmax(dim=-1)
    return weights.masked_fill(~mask, 0.0)


def scaled_dot_product_attention(
    query: Float[Tensor, "*batch query d_head"],
    key: Float[Tensor, "*batch key d_head"],
    value: Float[Tensor, "*batch key d_value"],
    mask: Bool[Tensor, "..."] | None = None,
    scale: float | None = None,
) -> tuple[
    Float[Tensor, "*batch query d_value"], Float[Tensor, "*batch query key"]
]:
    r"""Mix the values by how well their keys answer each query.

    .. math:: Z = \operatorname{softmax}\!\left(
              \frac{Q K^\top}{\sqrt{d_\text{head}}}\right) V

    The reference of the book: nothing fused, so that the weights can be seen.

    Parameters
    ----------
    query, key, value
        `(…, query, d_head)`, `(…, key, d_head)`, `(…, key, d_value)`.
    mask
        Broadcasts to `(…, query, key)`; `True` where a query may look.
    scale
        The factor before `Q Kᵀ`; `None` means `1 / sqrt(d_head)`.

    Returns
    -------
    output, weights
        `(…, query, d_value)` and `(…, query, key)`.

    Source: Vaswani et al. 2017, equation 1.

    >>> v = torch.tensor([[1.0], [3.0]])
    >>> output, weights = scaled_dot_product_attention(
    ...     torch.zeros(2, 4), torch.zeros(2, 4), v, causal_mask(2))
    >>> output.tolist(), weights.tolist()
    ([[1.0], [2.0]], [[1.0, 0.0], [0.5, 0.5]])
    """
    weights = masked_softmax(attention_logits(query, key, scale), mask)
    return weights @ value, weights


def split_heads(
    x: Float[Tensor, "batch seq width"], n_heads: int
) -> Float[Tensor, "batch head seq d_head"]:
    r"""Cut a projection into heads: `width` becomes `n_heads` of `d_head`.

    .. math:: X_h = X_{:,\; h d_\text{head} \,:\, (h+1) d_\text{head}}

    Raises
    ------
    ValueError
        If the width is not a multiple of the number of heads.

    >>> split_heads(torch.arange(4.0).view(1, 1, 4), 2).tolist()
    [[[[0.0, 1.0]], [[2.0, 3.0]]]]
    """
    batch, seq, width = x.shape
    if width % n_heads:
        raise ValueError(
            f"a width of {width} does not divide into {n_heads} heads; choose a "
            f"number of heads that divides {width}."
        )
    return x.view(batch, seq, n_heads, width // n_heads).transpose(1, 2)


def merge_heads(
    x: Float[Tensor, "batch head seq d_head"],
) -> Float[Tensor, "batch seq width"]:
    r"""Lay the heads side by side again: the inverse of `split_heads`.

    .. math:: Z = [Z_0 \;\; Z_1 \;\; \cdots \;\; Z_{H-1}]

    >>> x = torch.arange(12.0).view(1, 3, 4)
    >>> bool((merge_heads(split_heads(x, 2)) == x).all())
    True
    """
    batch, n_heads, seq, d_head = x.shape
    return x.transpose(1, 2).reshape(batch, seq, n_heads * d_head)


def repeat_kv(
    x: Float[Tensor, "batch kv_head seq d_head"], n_heads: int
) -> Float[Tensor, "batch head seq d_head"]:
    r"""Give each query head its key/value head (grouped-query attention).

    Query head `h` reads key/value head

    .. math:: g(h) = \left\lfloor \frac{h}{H / H_\text{kv}} \right\rfloor

    Parameters
    ----------
    x
        Keys or values, `(batch, kv_head, seq, d_head)`.
    n_heads
        How many query heads there are.

    Raises
    ------
    ValueError
        If the query heads do not divide evenly among the key/value heads.

    Source: Ainslie et al. 2023, section 2.2.

    >>> repeat_kv(torch.tensor([10.0, 20.0]).view(1, 2, 1, 1), 4).flatten().tolist()
    [10.0, 10.0, 20.0, 20.0]
    """
    n_kv_heads = x.shape[1]
    if n_heads % n_kv_heads:
        raise ValueError(
            f"{n_heads} query heads cannot share {n_kv_heads} key/value heads "
            f"evenly; choose a number of query heads that {n_kv_heads} divides."
        )
    return x.repeat_interleave(n_heads // n_kv_heads, dim=1)


def rotary_angles(
    positions: Int[Tensor, " seq"], d_head: int, theta: float = 10_000.0
) -> tuple[Float[Tensor, "seq d_head"], Float[Tensor, "seq d_head"]]:
    r"""Cosine and sine of the angle by which each pair of dimensions turns.

    .. math:: \varphi_{t,i} = t \, \theta^{-2i / d_\text{head}},
              \quad i = 0, \dots, d_\text{head}/2 - 1

    The angles (radians) stand twice, once for each half of the head: pair `i` is
    dimensions `i` and `i + d_head / 2`, as in the Llama family.

    Parameters
    ----------
    positions
        Where the tokens stand, counted from zero.
    d_head
        Size of a head; even.
    theta
        Base of the geometric series of frequencies.

    Returns
    -------
    cos, sin
        `(seq, d_head)` each, in float32.

    Raises
    ------
    ValueError
        If `d_head` is odd.

    Source: Su et al. 2021, equations 15 and 34.

    >>> cos, sin = rotary_angles(torch.tensor([0, 1]), 2)
    >>> [round(c, 4) for c in cos[1].tolist()]
    [0.5403, 0.5403]
    """
    if d_head % 2:
        raise ValueError(
            f"rotary positions turn pairs of dimensions and d_head is {d_head}; "
            "use an even d_head."
        )
    pairs = torch.arange(0, d_head, 2, device=positions.device)
    frequencies = 1.0 / theta ** (pairs.float() / d_head)
    angles = positions[:, None].float() * frequencies
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos(), angles.sin()


def apply_rotary(
    x: Float[Tensor, "*batch seq d_head"],
    cos: Float[Tensor, "seq d_head"],
    sin: Float[Tensor, "seq d_head"],
) -> Float[Tensor, "*batch seq d_head"]:
    r"""Turn each query or key by the angle of its position.

    .. math:: \tilde x_t = x_t \cos\varphi_t
              + (-x_t^{(2)},\; x_t^{(1)}) \sin\varphi_t

    where :math:`x^{(1)}, x^{(2)}` are the two halves of the head. Lengths stay,
    and a dot product of two turned vectors depends on their distance only.

    Parameters
    ----------
    x
        `(…, seq, d_head)`, queries or keys.
    cos, sin
        From `rotary_angles`.

    Source: Su et al. 2021, equation 34.

    >>> cos, sin = torch.zeros(1, 2), torch.ones(1, 2)   # a quarter turn
    >>> apply_rotary(torch.tensor([[1.0, 0.0]]), cos, sin).tolist()
    [[0.0, 1.0]]
    """
    first, second = x.chunk(2, dim=-1)
    cos, sin = cos.to(x.dtype), sin.to(x.dtype)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


def row_entropy(
    weights: Float[Tensor, "*batch query key"],
) -> Float[Tensor, "*batch query"]:
    r"""Spread of each row of weights, in bits.

    .. math:: H_i = -\sum_j A_{ij} \log_2 A_{ij}

    Zero for a row that looks at one key, `log2(n)` for one that looks at `n` keys
    alike.

    >>> row_entropy(torch.tensor([[1.0, 0.0], [0.5, 0.5]])).tolist()
    [0.0, 1.0]
    """
    return torch.special.entr(weights).sum(dim=-1) / math.log(2)


class KVCache:
    """The keys and values of one attention layer, so that none is computed twice.

    `append` adds those of new tokens and returns all of them. In cross-attention
    they come from the memory, which does not grow: the first call fills the cache
    and later calls read it.

    >>> cache = KVCache()
    >>> k = v = torch.zeros(1, 2, 3, 4)
    >>> cache.append(k, v)[0].shape, cache.append(k[:, :, :1], v[:, :, :1])[0].shape
    (torch.Size([1, 2, 3, 4]), torch.Size([1, 2, 4, 4]))
    >>> cache.length, cache.bytes
    (4, 256)
    """

    def __init__(self) -> None:
        self.key: Tensor | None = None
        self.value: Tensor | None = None

    @property
    def length(self) -> int:
        """How many keys are held."""
        return 0 if self.key is None else self.key.shape[-2]

    @property
    def bytes(self) -> int:
        """Memory of keys and values together."""
        return 0 if self.key is None else self.key.nbytes + self.value.nbytes

    def append(
        self,
        key: Float[Tensor, "batch kv_head new d_head"],
        value: Float[Tensor, "batch kv_head new d_head"],
    ) -> tuple[
        Float[Tensor, "batch kv_head key d_head"],
        Float[Tensor, "batch kv_head key d_head"],
    ]:
        """Add the keys and values of new tokens; return all so far."""
        if self.key is not None:
            key = torch.cat((self.key, key), dim=-2)
            value = torch.cat((self.value, value), dim=-2)
        self.key, self.value = key, value
        return key, value


class MultiHeadAttention(nn.Module):
    r"""Several heads side by side, each with its own queries, keys and values.

    .. math:: \operatorname{MHA}(X, Y) = [Z_1 \; \cdots \; Z_H]\, W_O, \qquad
              Z_h = \operatorname{softmax}\!\left(
              \frac{X W_Q^h (Y W_K^{g(h)})^\top}{\sqrt{d_\text{head}}}\right)
              Y W_V^{g(h)}

    `Y = X` is self-attention, a memory is cross-attention; `g(h)` is the key/value
    head that query head `h` reads (`repeat_kv`).

    Parameters
    ----------
    d_model
        Width of what comes in and goes out.
    n_heads
        Query heads.
    n_kv_heads
        Key/value heads; `None` means as many (multi-head), fewer is grouped-query.
    d_head
        Width of a head; `None` means `d_model / n_heads`.
    bias
        Whether the four projections have one.
    dropout
        Share of the weights that training sets to zero.

    Attributes
    ----------
    query, key, value, output
        The projections, `nn.Linear`.
    form
        `"sdpa"` runs `F.scaled_dot_product_attention`; `"reference"` computes the
        weights in the open (`scaled_dot_product_attention` of this module).

    Raises
    ------
    ValueError
        If the heads do not divide the width or one another, or `form` is unknown.

    Source: Vaswani et al. 2017, section 3.2.2; Ainslie et al. 2023 for groups.

    >>> layer = MultiHeadAttention(8, n_heads=2)
    >>> x = torch.randn(1, 5, 8)
    >>> fast = layer(x, mask=causal_mask(5))
    >>> layer.form = "reference"
    >>> bool(torch.allclose(layer(x, mask=causal_mask(5)), fast, atol=1e-6))
    True
    """

    def __init__(
        self,
        d_model: int,
        n_heads: int,
        n_kv_heads: int | None = None,
        d_head: int | None = None,
        bias: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        n_kv_heads = n_heads if n_kv_heads is None else n_kv_heads
        if d_head is None and d_model % n_heads:
            raise ValueError(
                f"a width of {d_model} does not divide into {n_heads} heads; choose "
                f"a number of heads that divides {d_model}."
            )
        if n_heads % n_kv_heads:
            raise ValueError(
                f"{n_heads} query heads cannot share {n_kv_heads} key/value heads "
                f"evenly; choose a number of query heads that {n_kv_heads} divides."
            )
        d_head = d_model // n_heads if d_head is None else d_head
        self.n_heads, self.n_kv_heads, self.d_head = n_heads, n_kv_heads, d_head
        self.dropout, self.form = dropout, "sdpa"
        self.query = nn.Linear(d_model, n_heads * d_head, bias)
        self.key = nn.Linear(d_model, n_kv_heads * d_head, bias)
        self.value = nn.Linear(d_model, n_kv_heads * d_head, bias)
        self.output = nn.Linear(n_heads * d_head, d_model, bias)

    def forward(
        self,
        x: Float[Tensor, "batch query d_model"],
        memory: Float[Tensor, "batch memory d_model"] | None = None,
        mask: Bool[Tensor, "..."] | None = None,
        rotary: tuple[Float[Tensor, "query d_head"], Float[Tensor, "query d_head"]]
        | None = None,
        cache: KVCache | None = None,
    ) -> Float[Tensor, "batch query d_model"]:
        """Let `x` look at `memory`, or at itself without one.

        mask broadcasts to `(batch, head, query, key)` and is `True` where a query
        may look; rotary is `rotary_angles` of the positions of `x`.
        """
        q = split_heads(self.query(x), self.n_heads)
        if rotary is not None:
            q = apply_rotary(q, *rotary)
        k, v = self._keys_and_values(x, memory, rotary, cache)
        dropout = self.dropout if self.training else 0.0
        if self.form == "sdpa":
            grouped = self.n_kv_heads < self.n_heads
            z = F.scaled_dot_product_attention(
                q, k, v, mask, dropout_p=dropout, enable_gqa=grouped
            )
        elif self.form == "reference":
            k, v = repeat_kv(k, self.n_heads), repeat_kv(v, self.n_heads)
            weights = masked_softmax(attention_logits(q, k), mask)
            z = F.dropout(weights, dropout) @ v
        else:
            raise ValueError(
                f"form {self.form!r} is not known; use one of {', '.join(FORMS)}."
            )
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
