"""Who may look at whom: masks that are `True` where a query may look.

They broadcast to `(batch, head, query, key)` and are combined with `&`:
`causal_mask(n) & padding_mask(ids, pad)`.
"""

import torch
from jaxtyping import Bool, Int
from torch import Tensor


def causal_mask(
    query: int, key: int | None = None, device: torch.device | str | None = None
) -> Bool[Tensor, "query key"]:
    """Let each query look at itself and before: M_ij = [j ≤ i + (n_key − n_query)].

    With more keys than queries (`None`: as many) the queries are the last ones, as in
    generation with a cache; raises ValueError with fewer.

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
    """Let every query look at the tokens of its sequence: M_b··j = [ids_bj ≠ pad].

    >>> padding_mask(torch.tensor([[5, 6, 0]]), pad=0).int().tolist()
    [[[[1, 1, 0]]]]
    """
    return (ids != pad)[:, None, None, :]
