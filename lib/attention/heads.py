"""Heads cut out of a width and laid side by side again, and keys that heads share.

Shapes: `(batch, seq, width)` outside, `(batch, head, seq, d_head)` inside.
"""

from jaxtyping import Float
from torch import Tensor


def head_size(width: int, n_heads: int) -> int:
    """The width of one of the heads; raises ValueError if it is no whole number."""
    if width % n_heads:
        raise ValueError(
            f"a width of {width} does not divide into {n_heads} heads; choose a "
            f"number of heads that divides {width}."
        )
    return width // n_heads


def group_size(n_heads: int, n_kv_heads: int) -> int:
    """How many query heads read one key/value head; raises ValueError if uneven."""
    if n_heads % n_kv_heads:
        raise ValueError(
            f"{n_heads} query heads cannot share {n_kv_heads} key/value heads "
            f"evenly; choose a number of query heads that {n_kv_heads} divides."
        )
    return n_heads // n_kv_heads


def split_heads(
    x: Float[Tensor, "batch seq width"], n_heads: int
) -> Float[Tensor, "batch head seq d_head"]:
    """Cut a projection into heads, X_h = X[…, h d_head : (h + 1) d_head].

    >>> import torch
    >>> split_heads(torch.arange(4.0).view(1, 1, 4), 2).tolist()
    [[[[0.0, 1.0]], [[2.0, 3.0]]]]
    """
    batch, seq, width = x.shape
    return x.view(batch, seq, n_heads, head_size(width, n_heads)).transpose(1, 2)


def merge_heads(
    x: Float[Tensor, "batch head seq d_head"],
) -> Float[Tensor, "batch seq width"]:
    """Lay the heads side by side again, [Z_0 Z_1 … ]: the inverse of `split_heads`."""
    return x.transpose(1, 2).flatten(2)


def repeat_kv(
    x: Float[Tensor, "batch kv_head seq d_head"], n_heads: int
) -> Float[Tensor, "batch head seq d_head"]:
    """Give each query head its key/value head, g(h) = ⌊h / (H / H_kv)⌋.

    Grouped-query attention (Ainslie et al. 2023, section 2.2).

    >>> import torch
    >>> repeat_kv(torch.tensor([10.0, 20.0]).view(1, 2, 1, 1), 4).flatten().tolist()
    [10.0, 10.0, 20.0, 20.0]
    """
    return x.repeat_interleave(group_size(n_heads, x.shape[1]), dim=1)
