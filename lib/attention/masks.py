"""Who may look at whom: masks that are `True` where a query may look.

They broadcast to `(batch, head, query, key)` and are combined with `&`.
"""

import torch
from jaxtyping import Bool, Int
from torch import Tensor


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
