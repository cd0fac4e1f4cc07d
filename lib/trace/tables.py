"""What attention and feed-forward do, as tidy tables: one row an observation.

Each takes a trace (of any family, ours or of `transformers`) and returns a
`pandas.DataFrame`. `lib.trace.analyses` explains all of them.
"""

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor, nn

from lib.attention.dot_product import row_entropy
from lib.trace.layout import join
from lib.trace.record import Record, Trace

Tokens = Sequence[str] | Mapping[str, Sequence[str]] | None


def labels_of(tokens: Tokens, stack: str, length: int) -> list[str]:
    """Labels of the tokens of one stack, a space as ␣; without any, their places.

    Raises
    ------
    ValueError
        If there are more labels than tokens were traced.

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


def _attentions(traced: Record, part: str) -> Iterator[tuple[str, dict]]:
    """Names of the attention layers that hold `part`, with their columns."""
    found = False
    for stack, blocks in traced.blocks.items():
        for layer, block in enumerate(blocks):
            for kind in ("attn", "cross"):
                name = join(block, kind)
                if f"{name}.{part}" in traced:
                    found = True
                    yield name, {"attention": name, "stack": stack, "kind": kind,
                                 "layer": layer}
    if not found:
        raise KeyError(
            f"no attention layer with {part!r} was recorded; open trace(model) with "
            f"names that include '*.{part}', and run the model in it."
        )


def _sides(tokens: Tokens, at: dict, queries: int, keys: int):
    """Labels of queries and keys; the keys of cross-attention are the source's."""
    source = "encoder" if at["kind"] == "cross" else at["stack"]
    if isinstance(tokens, Mapping) or at["kind"] == "attn":
        return labels_of(tokens, at["stack"], queries), labels_of(tokens, source, keys)
    return labels_of(tokens, at["stack"], queries), labels_of(None, source, keys)


# ---- a. queries, keys, values ---------------------------------------------------


def vector_statistics(
    x: Float[Tensor, "head seq d_head"],
    before: Float[Tensor, "head seq d_head"] | None = None,
) -> dict[str, list[float]]:
    r"""Size, spread and likeness of the vectors of each head.

    .. math:: \text{norm} = \overline{\lVert x_t \rVert}, \quad
              \text{spread} = \sqrt{\overline{\lVert x_t - \bar x \rVert^2}}, \quad
              \text{cosine} = \overline{\cos(x_s, x_t)}_{s \ne t}, \quad
              \text{change} = \overline{\cos(x_t, x_t^\text{before})}

    Means over tokens; `cosine` needs two of them, `change` a snapshot before.

    >>> x = torch.tensor([[[3.0, 0.0], [0.0, 3.0]]])
    >>> vector_statistics(x)["norm"], vector_statistics(x)["cosine"]
    ([3.0], [0.0])
    """
    x = x.double()
    unit = nn.functional.normalize(x, dim=-1)
    n = x.shape[1]
    pairs = unit.sum(1).pow(2).sum(-1) - unit.pow(2).sum((-1, -2))
    off = (x - x.mean(1, keepdim=True)).pow(2).sum(-1)
    found = {
        "norm": x.norm(dim=-1).mean(-1),
        "spread": off.mean(-1).sqrt(),
        "cosine": pairs / (n * (n - 1)) if n > 1 else pairs * torch.nan,
        "change": torch.full_like(pairs, torch.nan),
    }
    if before is not None:
        found["change"] = torch.cosine_similarity(x, before.double(), dim=-1).mean(-1)
    return {name: value.tolist() for name, value in found.items()}


def qkv_table(
    traced: Record, tokens: Tokens = None, row: int = 0, before: Record | None = None
) -> pd.DataFrame:
    """Norm, spread and likeness of Q, K and V in every layer and head.

    Parameters
    ----------
    traced
        A trace that holds `q`, `k` and `v` (before any rotation).
    tokens
        Labels of the tokens that count, by stack where there are two; the rest of
        the row is padding. `None`: all.
    row
        Which sequence of the batch.
    before
        The trace of an earlier snapshot of the same model on the same batch.

    Returns
    -------
    DataFrame
        attention, stack, kind, layer, part (q, k, v), head, norm, spread, cosine,
        change (see `vector_statistics`; key/value heads where they are shared).
    """
    rows = []
    for name, at in _attentions(traced, "v"):
        queries, keys = (traced[f"{name}.{part}"].shape[2] for part in "qk")
        sides = _sides(tokens, at, queries, keys)
        for part, n in zip("qkv", (len(sides[0]), *[len(sides[1])] * 2), strict=True):
            x = traced[f"{name}.{part}"][row, :, :n]
            old = None if before is None else before[f"{name}.{part}"][row, :, :n]
            found = vector_statistics(x, old)
            rows += [at | {"part": part, "head": head}
                     | {key: value[head] for key, value in found.items()}
                     for head in range(len(x))]
    return pd.DataFrame(rows)


# ---- b. attention maps ------------------------------------------------------------


def attention_table(
    traced: Trace, tokens: Tokens = None, row: int = 0, names: str | Sequence[str] = ()
) -> pd.DataFrame:
    """Every weight of every head between two tokens.

    names
        Attention layers to keep, such as `["decoder.blocks.0.cross"]`, or one; empty:
        all.

    Returns
    -------
    DataFrame
        attention, stack, kind, layer, head, query, key (places), query_token,
        key_token (labels), weight.
    """
    names, layers = [names] if isinstance(names, str) else names, traced.attentions
    wrong = [name for name in names if name not in layers]
    if wrong and layers:
        near = get_close_matches(wrong[0], layers, 3) or layers[:3]
        raise KeyError(f"{wrong[0]!r} is no attention layer of this trace; use, for "
                       f"example, {', '.join(near)}.")
    return pd.concat([
        weights_table(traced[f"{name}.pattern"][row], at, tokens)
        for name, at in _attentions(traced, "pattern") if not names or name in names
    ], ignore_index=True)


def weights_table(
    weights: Float[Tensor, "head query key"], at: Mapping, tokens: Tokens
) -> pd.DataFrame:
    """Write the weights of one attention layer as rows; `at` are its columns."""
    queries, keys = _sides(tokens, dict(at), *weights.shape[1:])
    weights = weights[:, : len(queries), : len(keys)].float().cpu()
    heads, n, m = weights.shape
    places = pd.MultiIndex.from_product(
        [range(heads), range(n), range(m)], names=["head", "query", "key"]
    )
    table = places.to_frame(index=False)
    table["query_token"] = table.loc[:, "query"].map(dict(enumerate(queries)))
    table["key_token"] = table.loc[:, "key"].map(dict(enumerate(keys)))
    table["weight"] = weights.flatten().double().numpy()
    for place, (column, value) in enumerate(at.items()):
        table.insert(place, column, value)
    return table


def heads_table(traced: Record, tokens: Tokens = None, row: int = 0) -> pd.DataFrame:
    """Where each head looks, in five numbers.

    Returns
    -------
    DataFrame
        attention, stack, kind, layer, head, and means over the queries of: entropy
        (bits), top (the largest weight), first (on the first key), and in
        self-attention before and itself (on the token before, on the query's own).
        The first query of self-attention does not count: it may have no choice.
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
        found = {"entropy": row_entropy(count).mean(-1),
                 "top": count.amax(-1).mean(-1), "first": count[..., 0].mean(-1),
                 "before": before, "itself": itself}
        rows += [at | {"head": head}
                 | {key: value[head].item() for key, value in found.items()}
                 for head in range(len(weights))]
    return pd.DataFrame(rows)


# ---- c. feed-forward --------------------------------------------------------------


def _feed_forwards(traced: Record, tokens: Tokens, row: int):
    """The pre- and post-activations of each block, with their columns and labels."""
    found = False
    for stack, blocks in traced.blocks.items():
        for layer, block in enumerate(blocks):
            names = [join(block, f"mlp.{part}") for part in ("pre", "post")]
            if all(name in traced for name in names):
                found = True
                pair = [traced[name][row].double() for name in names]
                labels = labels_of(tokens, stack, len(pair[0]))
                pair = [x[: len(labels)] for x in pair]
                yield {"stack": stack, "layer": layer}, labels, pair
    if not found:
        raise KeyError("no feed-forward was recorded; open trace(model) with names "
                       "that include '*.mlp.*', and run the model in it.")


def feed_forward_table(
    traced: Record, tokens: Tokens = None, row: int = 0
) -> pd.DataFrame:
    r"""How many units of each feed-forward are active, before and after the activation.

    Returns
    -------
    DataFrame
        stack, layer, part (pre, post), and over all tokens and units: active (share
        of values above zero), mean, std, largest (absolute value), effective: the
        share of the units that carry the sum of squares,

        .. math:: \frac{(\sum_u x_u^2)^2}{d_\text{ff} \sum_u x_u^4}

        per token, then averaged: 1 if all units are alike, `1 / d_ff` for one alone.
    """
    rows = []
    for at, _, pair in _feed_forwards(traced, tokens, row):
        for part, x in zip(("pre", "post"), pair, strict=True):
            square = x.pow(2)
            fourth = square.pow(2).sum(-1).clamp_min(torch.finfo(x.dtype).tiny)
            share = square.sum(-1).pow(2) / fourth / x.shape[-1]
            rows.append(at | {
                "part": part, "active": (x > 0).double().mean().item(),
                "mean": x.mean().item(), "std": x.std(correction=0).item(),
                "largest": x.abs().max().item(), "effective": share.mean().item(),
            })
    return pd.DataFrame(rows)


def active_units(
    traced: Record, tokens: Tokens = None, row: int = 0, top: int = 5
) -> pd.DataFrame:
    """The units that answer each token most strongly.

    Returns
    -------
    DataFrame
        stack, layer, place, token, rank (1 is the strongest), unit, pre, post; ranked
        by the absolute value of post.
    """
    rows = []
    for at, labels, (pre, post) in _feed_forwards(traced, tokens, row):
        units = post.abs().topk(min(top, post.shape[-1])).indices
        for place, label in enumerate(labels):
            rows += [at | {"place": place, "token": label, "rank": rank, "unit": unit,
                           "pre": pre[place, unit].item(),
                           "post": post[place, unit].item()}
                     for rank, unit in enumerate(units[place].tolist(), start=1)]
    return pd.DataFrame(rows)
