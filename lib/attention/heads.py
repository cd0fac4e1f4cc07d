"""Heads cut out of a width and laid side by side again, and keys that heads share.

Shapes: `(batch, seq, width)` outside, `(batch, head, seq, d_head)` inside.
"""

from jaxtyping import Float
from torch import Tensor


def split_heads(
    x: Float[Tensor, "batch seq width"], n_heads: int
) -> Float[Tensor, "batch head seq d_head"]:
    r"""Cut a projection into heads: `width` becomes `n_heads` of `d_head`.

    .. math:: X_h = X_{:,\; h d_\text{head} \,:\, (h+1) d_\text{head}}

    Raises
    ------
    ValueError
        If the width is not a multiple of the number of heads.

    >>> import torch
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

    >>> import torch
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

    >>> import torch
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
