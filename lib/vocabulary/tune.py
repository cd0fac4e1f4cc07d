"""Fine-tuning after a vocabulary was reassigned: the new rows first, then all.

The new rows know the least and can move fast; a large step on them harms nothing else.
Then every parameter learns, slowly, and a share of each batch is other text (replay),
so that what the model knew stays. The loop is `lib.training.loop.fit`.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from tokenizers import Tokenizer
from torch import Tensor, nn

from lib.training.batches import Epochs
from lib.training.loop import History, Recipe, Step, fit, token_loss
from lib.training.resume import Keep
from lib.vocabulary.bits_per_byte import start_token
from lib.vocabulary.light import ROWS, light

__all__ = ["Mixed", "Phase", "fine_tune", "most_used", "next_token_loss", "phases",
           "windows"]


def windows(
    tokenizer: Tokenizer, texts: Iterable[str], context: int, most: int | None = None
) -> Int[Tensor, "windows tokens"]:
    """Texts one after another, each after the start token, cut into rows.

    A row has `context` + 1 tokens: the inputs, and the same one token later. The rest
    that fills no row is left out. most: how many rows are wanted at most; no more text
    than that is read.

    Raises
    ------
    ValueError
        If the texts do not fill one row.
    """
    start, width, ids = start_token(tokenizer), context + 1, []
    texts = iter(texts)
    while batch := list(itertools.islice(texts, 256)):
        for encoding in tokenizer.encode_batch(batch, add_special_tokens=False):
            if encoding.ids:  # the tokenizer may know no byte of a text
                ids += [start, *encoding.ids]
        if most is not None and len(ids) >= most * width:
            break
    rows = len(ids) // width
    rows = rows if most is None else min(rows, most)
    if not rows:
        raise ValueError(
            f"the texts have {len(ids)} tokens and one row takes {width}; pass more "
            "text, or a shorter context"
        )
    return torch.tensor(ids[:rows * width]).view(rows, width)


def most_used(tokenizer: Tokenizer, texts: Sequence[str], size: int) -> list[int]:
    """The ids that spell most of the texts: what learns where no row is new."""
    encodings = tokenizer.encode_batch(list(texts), add_special_tokens=False)
    counts = Counter(index for encoding in encodings for index in encoding.ids)
    return [index for index, _ in counts.most_common(size)]


class Mixed:
    """Batches of which a share is replayed text; the two sides go round by themselves.

    >>> rows = Mixed(torch.zeros(9, 2), torch.ones(9, 2), batch=4, share=0.25)
    >>> next(iter(rows))[:, 0].tolist()
    [0.0, 0.0, 0.0, 1.0]
    """

    def __init__(self, domain: Tensor, replay: Tensor | None, batch: int,
                 share: float = 0.25, seed: int = 0):
        if not 0 <= share < 1:
            raise ValueError(
                f"replay_share is {share}; use a number from 0 on and below 1"
            )
        other = round(batch * share) if replay is not None else 0
        self.sides = [Epochs(domain, batch - other, seed)]
        if other:
            self.sides.append(Epochs(replay, other, seed))

    def __iter__(self) -> Iterator[Tensor]:
        return self.after(0)

    def after(self, step: int) -> Iterator[Tensor]:
        """The batches that follow the first `step`."""
        for parts in zip(*(side.after(step) for side in self.sides), strict=True):
            yield torch.cat(parts)


def next_token_loss(model: nn.Module, batch: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy of the next token, summed, and the number of tokens."""
    logits = model(input_ids=batch[:, :-1], use_cache=False).logits
    return token_loss(logits.float(), batch[:, 1:])


@dataclass(frozen=True)
class Phase:
    """A stretch of the training: `rows` alone learn, or everything.

    rank: where it is not 0, `all` means the rows and additions of this rank to the
    matrices of the model, the rows `faster` times as fast; see `lib.vocabulary.light`.
    """

    name: str  # rows or all
    recipe: Recipe
    rank: int = 0
    faster: float = 1.0


def phases(
    *, rows_steps: int, steps: int, batch: int, rows_rate: float, rate: float,
    accumulation: int = 1, precision: str = "no", seed: int = 0, rank: int = 0,
) -> list[Phase]:
    """The two phases; one without steps is left out.

    Only the rows: a large rate and no weight decay. All: a warm-up and a cosine to a
    tenth; where `rank` is not 0, the rows keep a rate of their own, whose peak is
    `rows_rate`.

    Raises
    ------
    ValueError
        If there are no steps at all.
    """
    shared = {"batch": batch, "accumulation": accumulation, "precision": precision,
              "seed": seed, "evaluations": 1, "weight_decay": 0.0}
    found = []
    if rows_steps:
        found.append(Phase("rows", Recipe(
            steps=rows_steps, learning_rate=rows_rate, warmup=min(5, rows_steps),
            **shared)))
    if not rows_steps and not steps:
        raise ValueError(
            "rows_steps and train_steps are both 0; give at least one of them a number"
        )
    if steps:
        found.append(Phase("all", Recipe(
            steps=steps, learning_rate=rate, warmup=max(1, steps // 20), **shared),
            rank, rows_rate / rate if rank else 1.0))
    return found


def fine_tune(
    model: nn.Module,
    ids: Sequence[int],
    batches: Any,
    plan: Sequence[Phase],
    *,
    on_step: Callable[[str, Step], None] | None = None,
    folder: Path | None = None,
    every: int | None = None,
) -> dict[str, History]:
    """Train in place, phase by phase; return the history of each.

    Parameters
    ----------
    ids
        The reassigned ids, for the phase `rows`.
    batches
        See `Mixed`; the second phase goes on where the first ended.
    plan
        See `phases`.
    on_step
        Told the name of the phase and the step after each update. `step.model` is
        what learns: the model, or one of `peft` around it.
    folder
        Where checkpoints go. A run that finds some there goes on from them.
    every
        Steps from one checkpoint to the next; None: at the end of a phase.
    """
    told, done = {}, 0
    for phase in plan:
        keep = Keep(folder / phase.name, every=every) if folder else None
        hooks = [lambda step, name=phase.name: on_step(name, step)] if on_step else []
        with _learning(model, ids, phase) as learner:
            told[phase.name] = fit(
                learner, _From(batches, done), phase.recipe, loss=next_token_loss,
                on_step=hooks, name=phase.name, keep=keep, resume=keep is not None,
                faster={ROWS: phase.faster},
            )
        done += phase.recipe.steps
        if told[phase.name].interrupted:
            break
    return told


@contextmanager
def _learning(model: nn.Module, ids: Sequence[int], phase: Phase) -> Iterator[Any]:
    """What is trained; at the end of the block all of it is in the model."""
    if phase.name != "rows" and not phase.rank:
        yield model
        return
    rank = 0 if phase.name == "rows" else phase.rank
    with light(model, ids, rank=rank, seed=phase.recipe.seed) as learner:
        yield learner


class _From:
    """The batches that follow the first `done` of another's."""

    def __init__(self, batches: Any, done: int):
        self.batches, self.done = batches, done

    def __iter__(self) -> Iterator[Any]:
        return self.after(0)

    def after(self, step: int) -> Iterator[Any]:
        return self.batches.after(self.done + step)
