"""Bits per byte: how well a model knows a text, whatever its tokenizer.

A loss per token cannot be compared across tokenizers: who cuts coarser has fewer and
harder tokens. The text itself has a length that no tokenizer changes, its bytes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from tokenizers import Tokenizer
from torch import Tensor, nn
from tqdm import tqdm  # text on stderr: no widget stays behind on the page

__all__ = ["Bits", "bits_per_byte", "check_context", "document_nats", "interval",
           "start_token"]

#: What stands before a document, in the order of preference.
STARTS = ("<|endoftext|>", "<|begin_of_text|>", "<s>", "<|im_start|>")


@dataclass(frozen=True)
class Bits:
    """What documents cost a model: nats of every token, and what they are spread over.

    >>> told = Bits(nats=math.log(2) * 300, tokens=50, bytes=200, documents=3)
    >>> round(told.per_byte, 6), round(told.per_token, 6)  # both in bits
    (1.5, 6.0)
    """

    nats: float
    tokens: int
    bytes: int
    documents: int

    @property
    def per_byte(self) -> float:
        """Bits a byte of UTF-8; lower is better."""
        return self.nats / math.log(2) / self.bytes

    @property
    def per_token(self) -> float:
        """Bits a token; not to be compared across tokenizers."""
        return self.nats / math.log(2) / self.tokens

    def __add__(self, other: Bits) -> Bits:
        return Bits(self.nats + other.nats, self.tokens + other.tokens,
                    self.bytes + other.bytes, self.documents + other.documents)


def start_token(tokenizer: Tokenizer) -> int:
    """The id that is put before a document, so that its first token has a context.

    The first of `STARTS` that the vocabulary has; `<|endoftext|>` is what stood
    between documents when GPT-2 and SmolLM2 were trained.

    Raises
    ------
    ValueError
        If the vocabulary has none of them.
    """
    for piece in STARTS:
        if (index := tokenizer.token_to_id(piece)) is not None:
            return index
    raise ValueError(
        f"the tokenizer has none of {', '.join(STARTS)}; add <|endoftext|> to it as a "
        "special token"
    )


@torch.no_grad()
def document_nats(
    model: nn.Module,
    documents: Sequence[Sequence[int]],
    start: int,
    *,
    context: int = 512,
    tokens: int = 2048,
    bar: bool = False,
) -> Float[Tensor, " documents"]:
    r"""The surprise of each document in nats, all its tokens together.

    $$ -\sum_{i=1}^{n} \ln p(t_i \mid \text{start}, t_1, \dots, t_{i-1}) $$

    The first token is scored as well, the end of the document is not. A document of
    more than `context` tokens is scored in parts of that length, each after `start`.

    Parameters
    ----------
    model
        A causal model of `transformers`.
    documents
        The ids of each.
    start
        The id before each; see `start_token`.
    context
        Tokens that a part has at most.
    tokens
        Positions of one pass through the model, padding included, about.
    bar
        Show a progress bar.

    Raises
    ------
    ValueError
        If a part is longer than the positions that the model was made for.
    """
    longest = max(map(len, documents), default=0)
    check_context(model, min(context, longest))
    parts = [(at, list(ids[i:i + context])) for at, ids in enumerate(documents)
             for i in range(0, len(ids), context)]
    parts.sort(key=lambda part: len(part[1]), reverse=True)
    device, training = next(model.parameters()).device, model.training
    total = torch.zeros(len(documents), dtype=torch.float64)
    model.eval()
    with tqdm(total=len(parts), desc="bits", disable=not bar, leave=False) as progress:
        while parts:
            rows = max(1, tokens // len(parts[0][1]))
            batch, parts = parts[:rows], parts[rows:]
            places = torch.tensor([at for at, _ in batch])
            nats = _part_nats(model, [ids for _, ids in batch], start, device)
            total.index_add_(0, places, nats)
            progress.update(len(batch))
    model.train(training)
    return total


def _part_nats(
    model: nn.Module, parts: list[list[int]], start: int, device: torch.device
) -> Float[Tensor, " parts"]:
    """The same of parts that fit the model; the padding on the right is never seen."""
    longest = max(map(len, parts))
    targets = torch.full((len(parts), longest), -100)
    for row, ids in enumerate(parts):
        targets[row, :len(ids)] = torch.tensor(ids)
    targets = targets.to(device)
    before = targets.roll(1, 1).clamp(min=0)
    before[:, 0] = start
    # the model's own logits: some cap or scale them behind the output table
    logits = model(input_ids=before, use_cache=False).logits.float()
    nats = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
    return nats.view(targets.shape).double().sum(1).cpu()


def check_context(model: nn.Module, context: int) -> None:
    """Refuse a context that reaches beyond the positions a model was made for.

    Raises
    ------
    ValueError
        If it does.
    """
    positions = getattr(model.config, "max_position_embeddings", None)
    if positions is not None and context > positions:
        raise ValueError(
            f"context is {context} and the model was made for {positions} positions; "
            f"use context {positions} or less"
        )


def interval(
    nats: Sequence[float], sizes: Sequence[int], draws: int = 4000, seed: int = 0
) -> tuple[float, float, float]:
    r"""Bits a byte over all documents, and the ends of a 95 % interval over them.

    $$ \frac{1}{\ln 2} \cdot \frac{\sum_d \text{nats}(d)}{\sum_d \text{bytes}(d)} $$

    for the documents, and for as many drawn from them with repetition, again and again
    (the bootstrap). For two models give the difference of their nats: the same
    documents are drawn for both.

    >>> interval([math.log(2)] * 3, [4, 4, 4])
    (0.25, 0.25, 0.25)
    """
    totals = torch.tensor([list(nats), list(sizes)], dtype=torch.float64)
    draw = torch.Generator().manual_seed(seed)
    picked = torch.randint(len(sizes), (draws, len(sizes)), generator=draw)
    upper, lower = totals[:, picked].sum(2)
    low, high = (upper / lower / math.log(2)).quantile(
        torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    mean = (totals[0].sum() / totals[1].sum()).item() / math.log(2)
    return round(mean, 9), round(low, 9), round(high, 9)


def _whole(tokenizer: Tokenizer, documents: Sequence[str]) -> list[list[int]]:
    """The ids of documents, once it is sure that they spell every byte of them."""
    encodings = tokenizer.encode_batch(list(documents), add_special_tokens=False)
    ids = [encoding.ids for encoding in encodings]
    back = tokenizer.decode_batch(ids, skip_special_tokens=False)
    for n, (text, spelled) in enumerate(zip(documents, back, strict=True), 1):
        if text != spelled:
            at = next((i for i, (a, b) in enumerate(zip(text, spelled, strict=False))
                       if a != b), min(len(text), len(spelled)))
            raise ValueError(
                f"the tokenizer does not keep document {n}: {text[at:at + 12]!r} came "
                f"back as {spelled[at:at + 12]!r}, and bits for bytes that no token "
                "spells would be too few; leave such text out, or take a tokenizer "
                "that keeps it"
            )
    return ids


def bits_per_byte(
    model: nn.Module,
    tokenizer: Tokenizer,
    documents: Sequence[str],
    *,
    context: int = 512,
    tokens: int = 2048,
    bar: bool = False,
) -> Bits:
    r"""What documents cost the model, to be read `per_byte`.

    $$ \frac{1}{\ln 2} \cdot
       \frac{\sum_d \text{nats}(d)}{\sum_d \text{bytes of } d \text{ in UTF-8}} $$

    Every document is preceded by `start_token`; see `document_nats` for the rest.
    Within `torch.autocast` the model computes in that precision.

    Raises
    ------
    ValueError
        If the documents hold no bytes, or bytes that the tokenizer changes or drops.
    """
    size = sum(len(text.encode()) for text in documents)
    if not size:
        raise ValueError("the documents hold no bytes; pass at least one with text")
    ids = _whole(tokenizer, documents)
    nats = document_nats(model, ids, start_token(tokenizer), context=context,
                         tokens=tokens, bar=bar)
    return Bits(float(nats.sum()), sum(map(len, ids)), size, len(documents))
