"""What attention and feed-forward do, as tidy tables: one row an observation.

Each takes a record of any family. `tokens` are the labels of the tokens that count, by
stack where there are two (the rest of the row is padding; `None`: all), `row` which
sequence of the batch. What the record does not hold, KeyError asks for. Tables of
attention begin with the columns attention, stack, kind, layer.
"""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor, nn

from lib.attention.dot_product import row_entropy
from lib.trace.layout import join
from lib.trace.record import Record

Tokens = Sequence[str] | Mapping[str, Sequence[str]] | None


def labels_of(tokens: Tokens, stack: str, length: int) -> list[str]:
    """Labels of the tokens of one stack, a space as ␣; without any, their places.

    Raises ValueError if there are more labels than tokens were traced.

    >>> labels_of({"encoder": ["a", " "]}, "encoder", 3), labels_of(None, "", 2)
    (['a', '␣'], ['0', '1'])
    """
    if isinstance(tokens, Mapping):
        tokens = tokens.get(stack)
    elif tokens is not None and stack == "decoder":
        raise ValueError(
            "one list of tokens came for a model with two stacks; pass "
            "{'encoder': [...], 'decoder': [...]}."
        )
    if tokens is None:
        return [str(place) for place in range(length)]
    if len(tokens) > length:
        raise ValueError(
            f"{len(tokens)} tokens came and {length} were traced; pass the tokens that "
            "the model read."
        )
    return [token.replace(" ", "␣") for token in tokens]


def _recorded(
    traced: Record, kinds: Sequence[str], parts: Sequence[str], what: str, pattern: str
) -> list[tuple[str, str, str, int]]:
    """Name, stack, kind and layer of what has all these parts in a record."""
    places = [(join(block, kind), stack, kind, layer)
              for stack, blocks in traced.blocks.items()
              for layer, block in enumerate(blocks) for kind in kinds
              if all(join(block, kind, part) in traced for part in parts)]
    if not places:
        raise KeyError(f"no {what} was recorded; open trace(model) with names that "
                       f"include '*.{pattern}', and run the model in it.")
    return places


def _attentions(traced: Record, part: str) -> list[tuple[str, dict]]:
    """Names of the attention layers that hold `part`, with their columns."""
    places = _recorded(traced, ("attn", "cross"), (part,),
                       f"attention layer with {part!r}", part)
    return [(name, {"attention": name, "stack": stack, "kind": kind, "layer": layer})
            for name, stack, kind, layer in places]


def _sides(tokens: Tokens, at: dict, queries: int, keys: int):
    """Labels of queries and keys; the keys of cross-attention are the source's."""
    cross = at["kind"] == "cross"
    source = tokens if isinstance(tokens, Mapping) or not cross else None
    return (labels_of(tokens, at["stack"], queries),
            labels_of(source, "encoder" if cross else at["stack"], keys))


def vector_statistics(
    x: Float[Tensor, "head seq d_head"],
    before: Float[Tensor, "head seq d_head"] | None = None,
) -> dict[str, list[float]]:
    """Size, spread and likeness of the vectors of each head, as means over tokens.

        norm ‖x_t‖,  spread √‖x_t − x̄‖²,  cosine cos(x_s, x_t) for s ≠ t,
        change cos(x_t, x_t of the snapshot before)

    >>> x = torch.tensor([[[3.0, 0.0], [0.0, 3.0]]])
    >>> vector_statistics(x)["norm"], vector_statistics(x)["cosine"]
    ([3.0], [0.0])
    """
    x = x.double()
    unit = nn.functional.normalize(x, dim=-1)
    n = x.shape[1]
    pairs = unit.sum(1).pow(2).sum(-1) - unit.pow(2).sum((-1, -2))
    off = (x - x.mean(1, keepdim=True)).pow(2).sum(-1)
    change = torch.full_like(pairs, torch.nan)
    if before is not None:
        change = torch.cosine_similarity(x, before.double(), dim=-1).mean(-1)
    cosine = pairs / (n * (n - 1)) if n > 1 else pairs * torch.nan
    return {"norm": x.norm(dim=-1).mean(-1).tolist(),
            "spread": off.mean(-1).sqrt().tolist(),
            "cosine": cosine.tolist(), "change": change.tolist()}


def qkv_table(
    traced: Record, tokens: Tokens = None, row: int = 0, before: Record | None = None
) -> pd.DataFrame:
    """Q, K and V, before any rotation, in every layer and head.

    Then come part (q, k, v), head, and norm, spread, cosine, change of
    `vector_statistics`; key/value heads where they are shared. `before` is the record
    of an earlier snapshot of the same model on the same batch.
    """
    rows = []
    for name, at in _attentions(traced, "v"):
        queries, keys = map(len, _sides(tokens, at, *(
            traced[f"{name}.{part}"].shape[2] for part in "qk")))
        for part, n in (("q", queries), ("k", keys), ("v", keys)):
            x = traced[f"{name}.{part}"][row, :, :n]
            old = None if before is None else before[f"{name}.{part}"][row, :, :n]
            rows += _by_head(at | {"part": part}, vector_statistics(x, old))
    return pd.DataFrame(rows)


def _by_head(at: dict, numbers: Mapping[str, Sequence[float]]) -> list[dict]:
    """A row for each head, of numbers that are lists over heads."""
    return [at | {"head": head} | dict(zip(numbers, values, strict=True))
            for head, values in enumerate(zip(*numbers.values(), strict=True))]


def attention_table(
    traced: Record, tokens: Tokens = None, row: int = 0,
    names: str | Sequence[str] = (),
) -> pd.DataFrame:
    """Every weight of every head between two tokens, of all attention layers or of
    some `names` such as `"decoder.blocks.0.cross"`.

    Then come head, query, key (places), query_token, key_token (labels), weight.
    """
    names, layers = [names] if isinstance(names, str) else names, traced.attentions
    wrong = [name for name in names if name not in layers]
    if wrong and layers:
        near = get_close_matches(wrong[0], layers, 3) or layers[:3]
        raise KeyError(f"{wrong[0]!r} is no attention layer of this trace; use, for "
                       f"example, {', '.join(near)}.")
    tables = []
    for name, at in _attentions(traced, "pattern"):
        if names and name not in names:
            continue
        weights = traced[f"{name}.pattern"][row]
        queries, keys = _sides(tokens, at, *weights.shape[1:])
        weights = weights[:, : len(queries), : len(keys)].float().cpu()
        places = pd.MultiIndex.from_product(
            [range(n) for n in weights.shape], names=["head", "query", "key"])
        table = places.to_frame(index=False)
        table["query_token"] = table.loc[:, "query"].map(dict(enumerate(queries)))
        table["key_token"] = table.loc[:, "key"].map(dict(enumerate(keys)))
        table["weight"] = weights.flatten().double().numpy()
        for place, (column, value) in enumerate(at.items()):
            table.insert(place, column, value)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def heads_table(traced: Record, tokens: Tokens = None, row: int = 0) -> pd.DataFrame:
    """Where each head looks, in five means over the queries.

    Then come head, entropy (bits), top (the largest weight), first (on the first key),
    and in self-attention before and itself (on the token before, on the query's own);
    there the first query does not count: it may have no choice.
    """
    rows = []
    for name, at in _attentions(traced, "pattern"):
        weights = traced[f"{name}.pattern"][row]
        queries, keys = _sides(tokens, at, *weights.shape[1:])
        weights = weights[:, : len(queries), : len(keys)].double()
        own = at["kind"] == "attn" and len(queries) == len(keys)
        count = weights[:, 1:] if own and len(queries) > 1 else weights
        nothing = torch.full((len(weights),), torch.nan)
        diagonals = [weights.diagonal(-1, 1, 2), weights.diagonal(0, 1, 2)[:, 1:]]
        before, itself = (d.mean(-1) if own else nothing for d in diagonals)
        rows += _by_head(at, {
            "entropy": row_entropy(count).mean(-1).tolist(),
            "top": count.amax(-1).mean(-1).tolist(),
            "first": count[..., 0].mean(-1).tolist(),
            "before": before.tolist(), "itself": itself.tolist()})
    return pd.DataFrame(rows)


def feed_forward_table(
    traced: Record, tokens: Tokens = None, row: int = 0
) -> pd.DataFrame:
    """How many units of each feed-forward are active, before and after the activation.

    The columns are stack, layer, part (pre, post), and over all tokens and units active
    (share of values above zero), mean, std, largest (absolute value), and effective,
    the share of the units that carry the sum of squares, (Σ_u x_u²)² / (d_ff Σ_u x_u⁴)
    per token, then averaged: 1 if all units are alike, 1 / d_ff for one alone.
    """
    rows = []
    for name, stack, _, layer in _recorded(
        traced, ("mlp",), ("pre", "post"), "feed-forward", "mlp.*"
    ):
        for part in ("pre", "post"):
            x = traced[f"{name}.{part}"][row].double()
            x = x[: len(labels_of(tokens, stack, len(x)))]
            square = x.pow(2)
            fourth = square.pow(2).sum(-1).clamp_min(torch.finfo(x.dtype).tiny)
            share = square.sum(-1).pow(2) / fourth / x.shape[-1]
            rows.append({
                "stack": stack, "layer": layer, "part": part,
                "active": (x > 0).double().mean().item(),
                "mean": x.mean().item(), "std": x.std(correction=0).item(),
                "largest": x.abs().max().item(), "effective": share.mean().item(),
            })
    return pd.DataFrame(rows)
