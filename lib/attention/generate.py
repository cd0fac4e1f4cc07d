"""Write text with a language model, one token after another.

A model here is anything that takes ids `(batch, seq)` and a list of caches, returns
logits `(batch, seq, vocab)`, and makes such a list with `new_caches()`.
"""

import math
from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor

COLDEST = 1e-30  # a temperature below it is taken as it: 1 / T must be a number


def filter_logits(
    logits: Float[Tensor, "batch vocab"], top_k: int | None = None,
    top_p: float | None = None,
) -> Float[Tensor, "batch vocab"]:
    """Keep the likeliest tokens and set the others to `-inf`.

    top_k: exactly so many, of equal ones those with the lower ids (Fan et al. 2018).
    top_p: the shortest head of the sorted list whose probability reaches this share; at
    least one (Holtzman et al. 2020). Raises ValueError if `top_k` is below 1 or `top_p`
    outside (0, 1].

    >>> filter_logits(torch.tensor([[2.0, 1.0, 1.0]]), top_k=2).tolist()
    [[2.0, 1.0, -inf]]
    >>> filter_logits(torch.tensor([[2.0, 1.0, 0.0]]), top_p=0.6).tolist()
    [[2.0, -inf, -inf]]
    """
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k is {top_k}; keep at least 1 token.")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p is {top_p}; use a share above 0 and up to 1.")
    if top_k is None and top_p is None:
        return logits
    ordered, order = logits.sort(descending=True, stable=True)
    if top_k is not None:
        ordered[..., top_k:] = -torch.inf
    if top_p is not None:
        share = ordered.softmax(-1, dtype=_wide(logits))
        # a token goes if those before it reach top_p already
        ordered = ordered.masked_fill(share.cumsum(-1) - share >= top_p, -torch.inf)
    return torch.empty_like(logits).scatter(-1, order, ordered)


def next_token(
    logits: Float[Tensor, "batch vocab"], temperature: float = 0.0,
    top_k: int | None = None, top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> Int[Tensor, " batch"]:
    """Choose the next token from the logits, p_i ∝ exp(S_i / T).

    Temperature 0 takes the likeliest; others draw from p, and none is too small.
    Raises ValueError if the temperature is negative or not finite, if a logit is not a
    number, or `filter_logits` refuses.

    >>> next_token(torch.tensor([[0.0, 3.0, 1.0]])).tolist()
    [1]
    """
    if not 0 <= temperature < math.inf:
        raise ValueError(
            f"temperature is {temperature}; use 0 for the likeliest token or a "
            "number above 0."
        )
    largest = logits.amax(-1, keepdim=True)
    if not largest.isfinite().all():  # infinite, or not a number somewhere
        raise ValueError(
            "the model's logits are not finite; its training has diverged: use an "
            "earlier checkpoint, or train with a lower learning rate"
        )
    if temperature == 0:
        return logits.argmax(-1)
    # half precision is too coarse to add up shares
    logits, largest = logits.to(_wide(logits)), largest.to(_wide(logits))
    # seen from the largest, which is 0 / T = 0 for every T
    heated = (logits - largest) / max(temperature, COLDEST)
    p = filter_logits(heated, top_k, top_p).softmax(-1)
    return torch.multinomial(p, 1, generator=generator)[:, 0]


def _wide(logits: Tensor) -> torch.dtype:
    return torch.promote_types(logits.dtype, torch.float32)


@torch.no_grad()
def stream(
    model, ids: Int[Tensor, "1 seq"], n: int, *, temperature: float = 0.0,
    top_k: int | None = None, top_p: float | None = None,
    generator: torch.Generator | None = None, stop: int | None = None,
    cached: bool = True,
) -> Iterator[int]:
    """Yield up to `n` new token ids, each as soon as it is chosen.

    cached=False computes the whole text again for each token: the same ids, slowly.
    `stop` is yielded and ends the stream. Dropout is off while the model computes.
    Raises ValueError if `ids` are not one text of at least one token.
    """
    if ids.shape[0] != 1 or ids.shape[1] < 1:
        raise ValueError(
            f"ids of shape {tuple(ids.shape)} came; pass one text of at least one "
            "token, (1, seq)."
        )
    caches = model.new_caches() if cached else None
    fresh = ids
    for _ in range(n):
        training = model.training  # of now: who reads the stream may change it
        if training:
            model.eval()
        logits = model(fresh, caches=caches)[:, -1]
        if training:
            model.train()
        chosen = next_token(logits, temperature, top_k, top_p, generator)
        token = int(chosen.item())
        yield token
        if token == stop:
            return
        fresh = chosen[:, None] if cached else torch.cat((fresh, chosen[:, None]), 1)
