"""Rows for new pieces out of hidden states: what the model thinks of them already.

The old model reads the text with each new piece spelled out in old tokens. The state
before the first of these tokens is what should predict the piece, so the output rows
are a softmax regression on such states: convex, with all old rows fixed, and without
a pass back through the model.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from jaxtyping import Float, Int
from tokenizers import Tokenizer
from torch import Tensor, nn
from tqdm import tqdm  # text on stderr: no widget stays behind on the page

from lib.vocabulary.bits_per_byte import start_token
from lib.vocabulary.rows import Reassigned, Rows, closed_rows, tables

__all__ = ["States", "fit_output", "learn_rows", "read_states", "spelled_out"]


def spelled_out(
    ids: Sequence[int], spelling: dict[int, Sequence[int]]
) -> tuple[list[int], list[int]]:
    """A document in old tokens, and where each of its new tokens ends there.

    >>> spelled_out([5, 9, 5], {9: [1, 2, 3]})
    ([5, 1, 2, 3, 5], [1, 4, 5])
    """
    old: list[int] = []
    ends = []
    for index in ids:
        old += spelling.get(index, [index])
        ends.append(len(old))
    return old, ends


@dataclass(frozen=True)
class States:
    """What the old model knew before each token of the remapped text.

    hidden: its last state, normalised as the head takes it. other: the log of the
    summed exponentials of the logits of all rows that stay. target: which new row
    comes next, counted from 0; -1 where it is an old one. read: how many old tokens
    went through the model.
    """

    hidden: Float[Tensor, "tokens width"]
    other: Float[Tensor, " tokens"]
    target: Int[Tensor, " tokens"]
    read: int = 0


@torch.no_grad()
def read_states(
    model: nn.Module,
    remapped: Tokenizer,
    ids: Sequence[int],
    spellings: Sequence[Sequence[int]],
    texts: Iterable[str],
    *,
    context: int = 256,
    tokens: int = 2048,
    bar: bool = False,
) -> States:
    """Let the old model read texts with the new pieces spelled out.

    ids: the reassigned ids; spellings: the old tokens of each. Of a document at most
    `context` tokens are read. Within `torch.autocast` the model is as precise as that.

    Raises
    ------
    ValueError
        If no text came.
    """
    spelling = dict(zip(ids, spellings, strict=True))
    place = {index: row for row, index in enumerate(ids)}
    documents = []
    for encoding in remapped.encode_batch(list(texts), add_special_tokens=False):
        if new := encoding.ids[:context]:
            documents.append((*spelled_out(new, spelling), new))
    if not documents:
        raise ValueError(
            "hidden_states learns from text and none came; pass some documents, or "
            "use init_strategy constituents"
        )
    documents.sort(key=lambda document: len(document[0]), reverse=True)
    read = sum(len(old) for old, _, _ in documents)
    theirs = cast(Any, model)
    head = theirs.get_output_embeddings().weight
    stay = torch.ones(len(head), dtype=torch.bool, device=head.device)
    stay[list(ids)] = False
    head, start = head[stay], start_token(remapped)
    hidden, other, target = [], [], []
    with tqdm(total=len(documents), desc="states", disable=not bar,
              leave=False) as progress:
        while documents:
            rows = max(1, tokens // (len(documents[0][0]) + 1))
            batch, documents = documents[:rows], documents[rows:]
            width = len(batch[0][0]) + 1
            inputs = torch.full((len(batch), width), start, device=head.device)
            for row, (old, _, _) in enumerate(batch):
                inputs[row, 1:len(old) + 1] = torch.tensor(old)
            states = theirs.base_model(input_ids=inputs, use_cache=False)[0]
            found = torch.cat([states[row, [0, *ends[:-1]]]
                               for row, (_, ends, _) in enumerate(batch)])
            hidden.append(found.float().cpu())
            other.append((found.to(states) @ head.T.to(states)).float()
                         .logsumexp(1).cpu())
            target += [place.get(index, -1) for _, _, new in batch for index in new]
            progress.update(len(batch))
    return States(torch.cat(hidden), torch.cat(other), torch.tensor(target), read)


def fit_output(
    states: States,
    first: Float[Tensor, "new width"],
    *,
    strength: float = 50.0,
    passes: int = 4,
    batch: int = 1024,
    rate: float = 0.005,
    seed: int = 0,
) -> Float[Tensor, "new width"]:
    r"""Output rows that predict the new pieces from the states before them.

    $$ \min_R \sum_i \Bigl[
       \ln\bigl(e^{a_i} + \textstyle\sum_r e^{h_i \cdot R_r}
       \bigr) - [y_i \text{ new}]\; h_i \cdot R_{y_i} \Bigr]
       + \lambda \lVert R - R_0 \rVert^2 $$

    $a_i$ is `states.other`: the old rows do not move. The problem is convex, and rows
    that the text never asks for stay near their beginning.

    Parameters
    ----------
    states
        See `read_states`.
    first
        $R_0$: where the rows begin, and what they are held to.
    strength
        $\lambda$, of the hold.
    passes, batch, rate, seed
        Of Adam, whose rate falls to zero.
    """
    rows = first.clone().requires_grad_(True)
    optimizer = torch.optim.Adam([rows], lr=rate)
    generator = torch.Generator().manual_seed(seed)
    size = len(states.target)
    steps = passes * -(-size // batch)
    step = 0
    for _ in range(passes):
        for picked in torch.randperm(size, generator=generator).split(batch):
            optimizer.param_groups[0]["lr"] = rate * (1 - step / steps)
            target = states.target[picked]
            logits = (states.hidden[picked] @ rows.T).float()
            whole = torch.logaddexp(states.other[picked], logits.logsumexp(1))
            new = target >= 0
            loss = (whole.sum() - logits[new, target[new]].sum()) / len(picked)
            loss = loss + strength * (rows - first).square().sum() / size
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
    return rows.detach()


def learn_rows(
    model: nn.Module, remapped: Tokenizer, change: Reassigned, texts: Iterable[str], *,
    seed: int = 0, bar: bool = False,
) -> Rows:
    """Rows for every reassigned id; see `lib.vocabulary.realign.make_rows`."""
    found = tables(model)
    start = closed_rows(found["wte"], change.spellings, "constituents")
    head = closed_rows(found.get("lm_head", found["wte"]), change.spellings,
                       "constituents")
    states = read_states(model, remapped, change.ids, change.spellings, texts, bar=bar)
    rows = fit_output(states, head, seed=seed)
    about = {"read": states.read, "states": len(states.target),
             "learned_from": int((states.target >= 0).sum())}
    return Rows(start, rows, about) if "lm_head" in found else Rows(rows, None, about)
