"""Rows for every reassigned id, by one of five strategies."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from tokenizers import Tokenizer
from torch import nn

from lib.vocabulary.hidden_states import learn_rows
from lib.vocabulary.rows import STRATEGIES, Rows, closed_rows, reassigned, tables

__all__ = ["make_rows"]


def make_rows(
    model: nn.Module,
    original: Tokenizer,
    remapped: Tokenizer,
    strategy: str = "constituents",
    *,
    texts: Iterable[str] = (),
    seed: int = 0,
    bar: bool = False,
) -> Rows:
    """Make rows for every reassigned id; the model is left as it is.

    texts: documents of the domain and of what else is to be kept, which
    `hidden_states` reads; the other strategies need none.

    Raises
    ------
    ValueError
        If the strategy is not known, or it is `hidden_states` and no text came.
    """
    if strategy not in STRATEGIES:
        closed_rows(torch.zeros(1, 1), [], strategy)  # says which there are
    change, found = reassigned(original, remapped), tables(model)
    if strategy == "hidden_states":
        return learn_rows(model, remapped, change, texts, seed=seed, bar=bar)
    rows = [closed_rows(found[name], change.spellings, strategy, seed)
            for name in ("wte", "lm_head") if name in found]
    return Rows(rows[0], rows[1] if len(rows) > 1 else None, {})
