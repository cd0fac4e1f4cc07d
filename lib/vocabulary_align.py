"""New rows for new pieces: the embeddings of a model after its vocabulary changed.

After `remap` some ids mean another piece. Their rows of the input table, and of the
output table where that is another one, still speak of the old. This module makes new
ones from what the model knows already, and touches no other row.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from tokenizers import Tokenizer
from torch import Tensor, nn

from lib.distill import bpe_cuts, to_bytes
from lib.held_out import HeldOut, split
from lib.models import quiet

__all__ = ["CLOSED", "STRATEGIES", "Reassigned", "Rows", "align", "closed_rows",
           "is_tied", "load_model", "load_rows", "make_rows", "put_rows", "reassigned",
           "tables", "untie"]

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
    head = model.get_output_embeddings()
    return head.weight is model.get_input_embeddings().weight


def untie(model: nn.Module) -> None:
    """Give a model an output table of its own, with the same numbers for now."""
    head = model.get_output_embeddings()
    head.weight = nn.Parameter(head.weight.detach().clone())
    model.config.tie_word_embeddings = False


def tables(model: nn.Module) -> dict[str, Float[Tensor, "rows width"]]:
    """The tables of a model by the names of their files, not copied.

    `wte`, the input; `wpe`, the absolute positions where it learned such; `lm_head`,
    the output where it is a table of its own.
    """
    found = {"wte": model.get_input_embeddings().weight.detach()}
    positions = getattr(model.base_model, "wpe", None)
    if positions is not None:
        found["wpe"] = positions.weight.detach()
    if not is_tied(model):
        found["lm_head"] = model.get_output_embeddings().weight.detach()
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
    for module, rows in ((model.get_input_embeddings(), wte),
                         (model.get_output_embeddings(), lm_head)):
        if rows is not None:
            weight = module.weight
            weight[torch.tensor(ids, device=weight.device)] = rows.to(weight)


# --- strategies -----------------------------------------------------------------------


def closed_rows(
    table: Float[Tensor, "rows width"],
    spellings: Sequence[Sequence[int]],
    strategy: str,
    seed: int = 0,
) -> Float[Tensor, "new width"]:
    r"""Rows for new pieces from the table alone.

    - `mean`: the mean of all rows, $\\bar e$.
    - `random`: $\\mathcal N(\\bar e, \\sigma^2)$ in each dimension by itself, with the
      standard deviation of the rows.
    - `zeros`.
    - `constituents`: $\\frac1k \\sum_{j=1}^{k} e_{t_j}$, the mean of the rows of the
      old tokens $t_1 \\dots t_k$ that spelled the piece (Gee et al. 2022, "Fast
      Vocabulary Transfer", section 3); $\\bar e$ for a byte that nothing spelled.

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
        from lib.vocabulary_states import learn_rows

        return learn_rows(model, remapped, change, texts, seed=seed, bar=bar)
    rows = [closed_rows(found[name], change.spellings, strategy, seed)
            for name in ("wte", "lm_head") if name in found]
    return Rows(rows[0], rows[1] if len(rows) > 1 else None, {})


# --- the stage ------------------------------------------------------------------------


def align(options: Any, room: Any) -> dict[str, Any]:
    """The stage: the tables before, with holes for the new pieces, and filled.

    `original_*.pt` are those of the model, `aligned_wte.pt` has zeros where a row is
    to be made, `final_*.pt` has the rows. `embeddings.json` tells what is what.
    """
    from lib.stages import TREE, StageError, command
    from lib.vocabulary_corpus import cleaned
    from lib.vocabulary_original import (
        original_model,
        original_tokenizer,
        read_tokenizer,
    )

    if options.init_strategy not in STRATEGIES:
        raise StageError(
            f"init_strategy {options.init_strategy!r} is not known; use one of "
            f"{', '.join(STRATEGIES)}"
        )
    original = original_tokenizer(room.root)
    remapped = read_tokenizer(room.root, TREE.REMAPPED, "remap")
    model = load_model(original_model(room.root))
    change = reassigned(original, remapped)
    if not change.ids:
        raise StageError(
            "the remapped tokenizer has no new piece; add rules to "
            f"analysis/reports/remap_rules.yaml and run {command('remap')}"
        )
    if options.untie and is_tied(model):
        untie(model)
    texts, held = split(cleaned(room.root), options.held_out_documents)
    texts = HeldOut(held).without(texts)  # as `train` will measure on it
    rows = make_rows(model, original, remapped, options.init_strategy,
                     texts=islice(texts, options.align_documents), seed=options.seed)
    made = {f"original_{name}": table.clone() for name, table in tables(model).items()}
    put_rows(model, change.ids, rows.wte, rows.lm_head)
    made["final_wte"] = tables(model)["wte"]
    made["aligned_wte"] = made["final_wte"].clone()
    made["aligned_wte"][change.ids] = 0
    if rows.lm_head is not None:
        made["final_lm_head"] = tables(model)["lm_head"]
    about = {
        "init_strategy": options.init_strategy, "seed": options.seed,
        "tied": rows.lm_head is None, "reassigned": len(change),
        "tables": {name: {"shape": list(table.shape), "dtype": str(table.dtype)}
                   for name, table in made.items()},
        **rows.about,
        "rows": [{"id": index, "piece": piece, "spelling": spelling} for
                 index, piece, spelling in
                 zip(change.ids, change.pieces, change.spellings, strict=True)],
    }
    for name, table in made.items():
        torch.save(table.contiguous(), room.make(f"{TREE.EMBEDDINGS}/{name}.pt"))
    room.make(f"{TREE.EMBEDDINGS}/embeddings.json").write_text(
        json.dumps(about, indent=1, ensure_ascii=False) + "\n", "utf-8")
    return {"init_strategy": options.init_strategy, "reassigned": len(change),
            "tied": rows.lm_head is None, "rows": made["final_wte"].shape[0],
            "width": made["final_wte"].shape[1]}


def load_model(place: str) -> nn.Module:
    """A causal model in float32, from a folder or a name, quietly."""
    from transformers import AutoModelForCausalLM

    with quiet():
        return AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32).eval()


def load_rows(model: nn.Module, folder: Path) -> list[int]:
    """Put the tables of `align` into a model; return the reassigned ids.

    Raises
    ------
    ValueError
        If a table does not fit the model.
    """
    from lib.stages import command

    about = json.loads((folder / "embeddings.json").read_text("utf-8"))
    if not about["tied"] and is_tied(model):
        untie(model)
    modules = {"wte": model.get_input_embeddings()}
    if not about["tied"]:
        modules["lm_head"] = model.get_output_embeddings()
    for name, module in modules.items():
        table = torch.load(folder / f"final_{name}.pt", weights_only=True)
        if table.shape != module.weight.shape:
            raise ValueError(
                f"final_{name}.pt is {tuple(table.shape)} and the model's table "
                f"{tuple(module.weight.shape)}; run {command('align')} again"
            )
        with torch.no_grad():
            module.weight.copy_(table)
    return [row["id"] for row in about["rows"]]
