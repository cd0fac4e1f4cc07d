"""New rows for new pieces: the embeddings of a model after its vocabulary changed.

After `remap` some ids mean another piece. Their rows of the input table, and of the
output table where that is another one, still speak of the old. This module makes new
ones from what the model knows already, and touches no other row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from jaxtyping import Float
from tokenizers import Tokenizer
from torch import Tensor, nn

from lib.data.pretrained import quiet
from lib.tokens.distill import bpe_cuts, to_bytes

__all__ = ["CLOSED", "STRATEGIES", "Reassigned", "Rows", "closed_rows", "is_tied",
           "load_model", "put_rows", "reassigned", "tables", "untie"]

#: Strategies that look at the table alone.
CLOSED = ("mean", "random", "zeros", "constituents")
STRATEGIES = (*CLOSED, "hidden_states")


@dataclass(frozen=True)
class Reassigned:
    """The ids that mean another piece now, and how the old tokenizer spells it."""

    ids: list[int]
    pieces: list[str]  # in the alphabet of byte-level tokenizers
    spellings: list[list[int]]

    def __len__(self) -> int:
        return len(self.ids)


def reassigned(original: Tokenizer, remapped: Tokenizer) -> Reassigned:
    """Compare two tokenizers id by id.

    Raises
    ------
    ValueError
        If they have not as many ids, or a special token is among the changed.
    """
    sizes = [t.get_vocab_size(with_added_tokens=True) for t in (original, remapped)]
    if sizes[0] != sizes[1]:
        raise ValueError(
            f"the original tokenizer has {sizes[0]:,} ids and the remapped one "
            f"{sizes[1]:,}; a vocabulary is reassigned in place, so both need as many"
        )
    special = {*original.get_added_tokens_decoder(),
               *remapped.get_added_tokens_decoder()}
    ids, pieces = [], []
    for index in range(sizes[0]):
        piece = remapped.id_to_token(index)
        if piece != original.id_to_token(index):
            if index in special:
                raise ValueError(
                    f"id {index} is the special token {original.id_to_token(index)!r} "
                    f"in one tokenizer and {piece!r} in the other; leave special "
                    "tokens as they are"
                )
            ids.append(index)
            pieces.append(piece)
    return Reassigned(ids, pieces, bpe_cuts(original, [to_bytes(p) for p in pieces]))


# --- the tables of a model ------------------------------------------------------------


def is_tied(model: nn.Module) -> bool:
    """Whether the output head of a `transformers` model is its input table."""
    theirs = cast(Any, model)
    head = theirs.get_output_embeddings()
    return head.weight is theirs.get_input_embeddings().weight


def untie(model: nn.Module) -> None:
    """Give a model an output table of its own, with the same numbers for now."""
    theirs = cast(Any, model)
    head = theirs.get_output_embeddings()
    head.weight = nn.Parameter(head.weight.detach().clone())
    theirs.config.tie_word_embeddings = False


def tables(model: nn.Module) -> dict[str, Float[Tensor, "rows width"]]:
    """The tables of a model by the names of their files, not copied.

    `wte`, the input; `wpe`, the absolute positions where it learned such; `lm_head`,
    the output where it is a table of its own.
    """
    theirs = cast(Any, model)
    found = {"wte": theirs.get_input_embeddings().weight.detach()}
    positions = getattr(theirs.base_model, "wpe", None)
    if positions is not None:
        found["wpe"] = positions.weight.detach()
    if not is_tied(model):
        found["lm_head"] = theirs.get_output_embeddings().weight.detach()
    return found


@torch.no_grad()
def put_rows(
    model: nn.Module,
    ids: Sequence[int],
    wte: Float[Tensor, "new width"] | None = None,
    lm_head: Float[Tensor, "new width"] | None = None,
) -> None:
    """Write rows into the input table, the output table, or both.

    Raises
    ------
    ValueError
        If the tables are one and only `lm_head` is given, or another one.
    """
    if lm_head is not None and is_tied(model) and lm_head is not wte:
        raise ValueError(
            "the model has one table for input and output and two kinds of rows came; "
            "call untie(model) first, or pass wte alone"
        )
    theirs = cast(Any, model)
    for module, rows in ((theirs.get_input_embeddings(), wte),
                         (theirs.get_output_embeddings(), lm_head)):
        if rows is not None:
            weight = module.weight
            weight[torch.tensor(ids, device=weight.device)] = rows.to(weight)


def load_model(place: str) -> Any:
    """A causal model in float32, from a folder or a name, quietly."""
    from transformers import AutoModelForCausalLM

    with quiet():
        return AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32).eval()


# --- strategies -----------------------------------------------------------------------


def closed_rows(
    table: Float[Tensor, "rows width"],
    spellings: Sequence[Sequence[int]],
    strategy: str,
    seed: int = 0,
) -> Float[Tensor, "new width"]:
    r"""Rows for new pieces from the table alone.

    - `mean`: the mean of all rows, $\bar e$.
    - `random`: $\mathcal N(\bar e, \sigma^2)$ in each dimension by itself, with the
      standard deviation of the rows.
    - `zeros`.
    - `constituents`: $\frac1k \sum_{j=1}^{k} e_{t_j}$, the mean of the rows of the
      old tokens $t_1 \dots t_k$ that spelled the piece (Gee et al. 2022, "Fast
      Vocabulary Transfer", section 3); $\bar e$ for a byte that nothing spelled.

    >>> table = torch.tensor([[0.0, 2.0], [2.0, 0.0], [4.0, 4.0]])
    >>> closed_rows(table, [[0, 1], [2]], "constituents").tolist()
    [[1.0, 1.0], [4.0, 4.0]]
    >>> closed_rows(table, [[0, 1], []], "mean").tolist()
    [[2.0, 2.0], [2.0, 2.0]]
    >>> closed_rows(table, [[]], "constituents").tolist()
    [[2.0, 2.0]]

    Raises
    ------
    ValueError
        If the strategy is not one of `CLOSED`.
    """
    shape = (len(spellings), table.shape[1])
    if strategy == "mean":
        return table.mean(0).expand(shape).clone()
    if strategy == "random":
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(shape, generator=generator).to(table)
        return table.mean(0) + table.std(0) * noise
    if strategy == "zeros":
        return table.new_zeros(shape)
    if strategy == "constituents":
        means = [(table[list(spelling)] if spelling else table).mean(0)
                 for spelling in spellings]
        return torch.stack(means) if means else table.new_zeros(shape)
    raise ValueError(
        f"init_strategy {strategy!r} is not known; use one of {', '.join(STRATEGIES)}"
    )


@dataclass(frozen=True)
class Rows:
    """What a strategy made: rows of the input table, and of an own output table."""

    wte: Float[Tensor, "new width"]
    lm_head: Float[Tensor, "new width"] | None  # None: the model has one table
    about: dict[str, Any]
