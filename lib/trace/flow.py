"""What flows through a model, as tidy tables: gradients back, tokens forward."""

from collections.abc import Iterator, Sequence

import pandas as pd
import torch
from torch import nn

from lib.trace.layout import Block, heads_of, layout
from lib.trace.record import Record
from lib.trace.tables import Tokens, labels_of


def gradient_table(model: nn.Module) -> pd.DataFrame:
    r"""Size of the gradient of every parameter beside the parameter's own.

    Call it after `backward()` and before the gradients are cleared; ValueError without
    any. The columns are stack, layer (−1: embeddings, number of blocks: the last norm),
    kind (query, key, value, output, cross.query, …, up, gate, down, ln1, …, embed),
    parameter (weight, bias), gradient, weight (their norms), ratio. A parameter that
    took no part has gradient 0; where the weight is 0, the ratio is NaN. The joined
    projections of GPT-2 and GPT-NeoX are taken apart; a shared matrix counts once.

    >>> from lib.attention.dot_product import MultiHeadAttention
    >>> layer = MultiHeadAttention(8, n_heads=2, bias=False)
    >>> layer(torch.randn(1, 3, 8)).sum().backward()
    >>> gradient_table(layer)["kind"].tolist()
    ['query', 'key', 'value', 'output']
    """
    parts, rows, seen = layout(model), [], set()
    if all(p.grad is None for p in model.parameters()):
        raise ValueError("no parameter has a gradient; call backward() on a loss "
                         "first, and gradient_table before zero_grad().")

    def add(stack: str, layer: int, kinds: Sequence[str], module: nn.Module,
            by_head: int = 0) -> None:
        for name, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad or id(parameter) in seen:
                continue  # two modules may share one matrix
            seen.add(id(parameter))
            empty = torch.zeros_like(parameter)
            gradient = empty if parameter.grad is None else parameter.grad
            pieces = [x.detach().unflatten(0, (-1, len(kinds), by_head)).unbind(1)
                      if by_head else x.detach().chunk(len(kinds), dim=-1)
                      for x in (gradient, parameter)]
            for kind, gradient, weight in zip(kinds, *pieces, strict=True):
                sizes = gradient.double().norm().item(), weight.double().norm().item()
                rows.append({"stack": stack, "layer": layer, "kind": kind,
                             "parameter": name, "gradient": sizes[0],
                             "weight": sizes[1],
                             "ratio": sizes[0] / sizes[1] if sizes[1] else torch.nan})

    for name, module in parts.embeddings:
        add("", -1, [name], module)
    for stack, blocks in parts.stacks.items():
        for layer, block in enumerate(blocks):
            for kinds, module, by_head in _kinds(block):
                add(stack, layer, kinds, module, by_head)
    for name, module in parts.last.items():
        stack = name.rpartition(".")[0]
        add(stack, len(parts.stacks[stack]), [name.rpartition(".")[2]], module)
    return pd.DataFrame(rows)


def _kinds(block: Block) -> Iterator[tuple[list[str], nn.Module, int]]:
    """The parts of a block that have parameters, what each is called, and the size of
    a head where rows of queries, keys and values take turns head by head."""
    qkv = ["query", "key", "value"]
    joined = {"qkv": qkv, "qkv_by_head": qkv, "kv": ["key", "value"]}
    for part, module in block.parts.items():
        owner, _, kind = part.rpartition(".")
        if part in ("attn", "cross") or not isinstance(module, nn.Module):
            continue
        prefix = "cross." if owner == "cross" else ""
        by_head = heads_of(block.parts["attn"])[0] if kind == "qkv_by_head" else 0
        yield [prefix + name for name in joined.get(kind, [kind])], module, by_head


def path_table(
    traced: Record, tokens: Tokens = None, row: int = 0, stack: str | None = None,
    unit: bool = False,
) -> pd.DataFrame:
    r"""The path of each token through the residual stream, block by block.

    The columns are stack, layer (0: what enters the first block, L: what leaves the
    last), place, token, x, y, z (on the three principal components of all of them),
    norm, cosine (to the token's own start). `table.attrs["explained"]` holds the share
    of the variance on x, y and z. With `unit` the vectors are brought to length 1
    first, so that the last layers, where they are longest, do not fill the picture.
    """
    known = list(traced.blocks)
    stack = known[0] if stack is None and len(known) == 1 else stack
    stream = traced.stream(stack)[:, row].double()
    labels = labels_of(tokens, stack or "", stream.shape[1])
    stream = stream[:, : len(labels)].cpu()
    points = nn.functional.normalize(stream, dim=-1) if unit else stream
    flat = points.flatten(0, 1)
    centred = flat - flat.mean(0)
    _, sizes, axes = torch.linalg.svd(centred, full_matrices=False)
    axes = nn.functional.pad(axes, (0, 0, 0, max(0, 3 - len(axes))))[:3]
    # the sign of a component is free: its largest entry is positive
    signs = axes.gather(1, axes.abs().argmax(1, keepdim=True)).sign()
    xyz = (centred @ (axes * signs).T).view(*points.shape[:2], 3)
    share = sizes.pow(2) / sizes.pow(2).sum().clamp_min(torch.finfo(sizes.dtype).tiny)
    norms = stream.norm(dim=-1)
    cosines = torch.cosine_similarity(stream, stream[:1], dim=-1)
    table = pd.DataFrame([
        {"stack": stack or "", "layer": layer, "place": place, "token": label,
         **dict(zip("xyz", xyz[layer, place].tolist(), strict=True)),
         "norm": norms[layer, place].item(), "cosine": cosines[layer, place].item()}
        for layer in range(len(stream)) for place, label in enumerate(labels)
    ])
    table.attrs["explained"] = share[:3].tolist()
    return table
