"""Write text with a language model, one token after another.

A model here is anything that takes ids `(batch, seq)` and a list of caches, returns
logits `(batch, seq, vocab)`, and makes such a list with `new_caches()`.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor


def filter_logits(
    logits: Float[Tensor, "batch vocab"],
    top_k: int | None = None,
    top_p: float | None = None,
) -> Float[Tensor, "batch vocab"]:
    r"""Keep the likeliest tokens and set the others to `-inf`.

    Parameters
    ----------
    logits
        `(batch, vocab)`.
    top_k
        Keep this many tokens; `None` keeps all.
    top_p
        Keep the shortest head of the sorted list whose probability reaches this;
        at least one token stays. `None` keeps all.

    Raises
    ------
    ValueError
        If `top_k` is below 1 or `top_p` outside (0, 1].

    Source: Fan et al. 2018 (top-k); Holtzman et al. 2020, section 3.1 (top-p).

    >>> filter_logits(torch.tensor([[2.0, 1.0, 0.0]]), top_k=2).tolist()
    [[2.0, 1.0, -inf]]
    >>> filter_logits(torch.tensor([[2.0, 1.0, 0.0]]), top_p=0.6).tolist()
    [[2.0, -inf, -inf]]
    """
    if top_k is not None:
        if top_k < 1:
            raise ValueError(f"top_k is {top_k}; keep at least 1 token.")
        least = logits.topk(min(top_k, logits.shape[-1])).values[..., -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
    if top_p is not None:
        if not 0 < top_p <= 1:
            raise ValueError(f"top_p is {top_p}; use a share above 0 and up to 1.")
        ordered, where = logits.sort(descending=True)
        share = ordered.softmax(-1, dtype=_wide(logits))
        # a token goes if those before it reach top_p already
        late = share.cumsum(-1) - share >= top_p
        late = torch.zeros_like(late).scatter(-1, where, late)
        logits = logits.masked_fill(late, -torch.inf)
    return logits


def next_token(
    logits: Float[Tensor, "batch vocab"],
    temperature: float = 0.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> Int[Tensor, " batch"]:
    r"""Choose the next token from the logits.

    .. math:: p_i \propto e^{S_i / T}

    Temperature 0 takes the likeliest; others draw from `p` with `generator`.

    Raises
    ------
    ValueError
        If the temperature is negative, or `filter_logits` refuses.

    >>> next_token(torch.tensor([[0.0, 3.0, 1.0]])).tolist()
    [1]
    """
    if temperature < 0:
        raise ValueError(
            f"temperature is {temperature}; use 0 for the likeliest token or a "
            "number above 0."
        )
    if temperature == 0:
        return logits.argmax(-1)
    # half precision is too coarse to add up shares, and overflows when divided
    logits = logits.to(_wide(logits))
    p = filter_logits(logits / temperature, top_k, top_p).softmax(-1)
    return torch.multinomial(p, 1, generator=generator)[:, 0]


def _wide(logits: Tensor) -> torch.dtype:
    return torch.promote_types(logits.dtype, torch.float32)


@torch.no_grad()
def stream(
    model,
    ids: Int[Tensor, "1 seq"],
    n: int,
    *,
    temperature: float = 0.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
    stop: int | None = None,
    cached: bool = True,
) -> Iterator[int]:
    """Yield up to `n` new token ids, each as soon as it is chosen.

    cached=False computes the whole text again for each token: the same ids, slowly.
    `stop` is yielded and ends the stream. Dropout is off while the model computes.

    Raises
    ------
    ValueError
        If `ids` are not one text of at least one token.
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
        yield chosen.item()
        if chosen.item() == stop:
            return
        fresh = chosen[:, None] if cached else torch.cat((fresh, chosen[:, None]), 1)
