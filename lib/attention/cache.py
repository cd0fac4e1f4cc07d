"""The keys and values of the tokens so far, kept while a model writes."""

import torch
from jaxtyping import Float
from torch import Tensor


class KVCache:
    """The keys and values of one attention layer, so that none is computed twice.

    In cross-attention they come from the memory, which does not grow: the first call
    fills the cache and later calls read it.

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
        return 0 if self.key is None else self.key.shape[-2]

    @property
    def bytes(self) -> int:
        return sum(x.nbytes for x in (self.key, self.value) if x is not None)

    def append(
        self, key: Float[Tensor, "batch kv_head new d_head"],
        value: Float[Tensor, "batch kv_head new d_head"],
    ) -> tuple[Float[Tensor, "batch kv_head key d_head"],
               Float[Tensor, "batch kv_head key d_head"]]:
        """Add the keys and values of new tokens; return all so far."""
        if self.key is not None and self.value is not None:
            key = torch.cat((self.key, key), dim=-2)
            value = torch.cat((self.value, value), dim=-2)
        self.key, self.value = key, value
        return key, value
