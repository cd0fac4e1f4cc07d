"""Whether a model can find again what it has read: two tasks made of nothing else.

    python -m benchmarks.recall                          every arm
    python -m benchmarks.recall --arms dot "rotated gaussian" --seeds 0

    induction   a row of different tokens, again and again: what followed last time?
    pairs       keys with values, k₁ v₁ k₂ v₂ …, then each key once more in another
                order: which value did it have?

Every arm of `benchmarks.quality` has two layers and the parameters of the plain twin
within 2 %. It learns both tasks in turn, from new sequences at each step, the same ones
as the other arms: rows of 4 to 31 tokens, and 2 to 8 pairs. It is judged on sequences
that it has not seen, also on more pairs, and, where no table of positions ends it, on
longer rows. Each number is one line of benchmarks/results/recall.jsonl, written when a
training is finished.
"""

import argparse
import datetime
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.quality import ARMS, matched
from benchmarks.rows import Row, rows_in, write
from lib.gravity.model import LanguageModel, LMConfig, build, parameters
from lib.training.loop import Recipe, fit, token_loss

RESULTS = Path(__file__).parent / "results" / "recall.jsonl"
VOCAB = 64  # of `pairs`, the first half are keys
MODEL = LMConfig(vocab=VOCAB, context=64, d_model=128, n_layers=2, n_heads=4)
RECIPE = Recipe(steps=2500, batch=16, learning_rate=1e-3, warmup=100, evaluations=1)
UNSCORED = -100
Batch = tuple[Tensor, Tensor]  # what is read, and what follows where it is scored


@dataclass(frozen=True)
class Task:
    """How large its sequences are: learned from, and judged on; longer than the context
    are those that only a model without a table of positions can read."""

    least: int
    most: int
    judged: tuple[int, ...]
    longer: tuple[int, ...]


TASKS = {"induction": Task(4, 31, (8, 16, 31), (48, 64)),
         "pairs": Task(2, 8, (4, 8, 12, 16), (24, 32))}


def induction(rows: int, size: int, generator: torch.Generator) -> Batch:
    """Rows of `size` different tokens, again and again up to the context, at least
    twice; scored where what follows is known.

    >>> x, y = induction(1, 3, torch.Generator().manual_seed(0))
    >>> x.shape, (y != UNSCORED)[0, :5].tolist(), torch.equal(y[0, 3:], x[0, 1:62])
    (torch.Size([1, 64]), [False, False, False, True, True], True)
    """
    order = torch.rand(rows, VOCAB, generator=generator).argsort(1)[:, :size]
    length = max(MODEL.context + 1, 2 * size)
    whole = order.repeat(1, -(-length // size))[:, :length]
    target = whole[:, 1:].clone()
    target[:, :size] = UNSCORED  # the first token of the second time is known to none
    return whole[:, :-1], target


def pairs(rows: int, size: int, generator: torch.Generator) -> Batch:
    """`size` keys with their values, then the keys in another order, each with its
    value; scored is what follows a key that comes again.

    >>> x, y = pairs(1, 2, torch.Generator().manual_seed(0))
    >>> x.shape, (y[0] != UNSCORED).tolist()
    (torch.Size([1, 7]), [False, False, False, False, True, False, True])
    """
    half = VOCAB // 2
    keys = torch.rand(rows, half, generator=generator).argsort(1)[:, :size]
    values = torch.randint(half, VOCAB, (rows, size), generator=generator)
    again = torch.rand(rows, size, generator=generator).argsort(1)
    parts = [torch.stack((k, v), -1).flatten(1) for k, v in (
        (keys, values), (keys.gather(1, again), values.gather(1, again)))]
    whole = torch.cat(parts, 1)
    target = torch.full_like(whole[:, 1:], UNSCORED)
    target[:, 2 * size :: 2] = whole[:, 2 * size + 1 :: 2]
    return whole[:, :-1], target


MAKE = {"induction": induction, "pairs": pairs}


def sequences(seed: int, batch: int) -> Iterator[Batch]:
    """New sequences at each step, the tasks in turn, all of a batch of one size."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        for task, sizes in TASKS.items():
            size = torch.randint(sizes.least, sizes.most + 1, (), generator=generator)
            yield MAKE[task](batch, int(size), generator)


@torch.no_grad()
def accuracy(model: LanguageModel, task: str, size: int, rows: int = 512) -> float:
    """The share of scored tokens that are the likeliest of the model."""
    x, y = MAKE[task](rows, size, torch.Generator().manual_seed(10**6 + size))
    model.eval()
    right = torch.cat([model(part).argmax(-1) for part in x.split(64)]) == y
    model.train()
    return (right.sum() / (y != UNSCORED).sum()).item()


def run(arm: str, seed: int, recipe: Recipe = RECIPE) -> list[Row]:
    """Train one model on both tasks and give its rows."""
    config = matched(MODEL, arm)
    model = build(config, seed)
    recipe = replace(recipe, seed=seed)
    began, began_cpu = time.perf_counter(), time.process_time()
    fit(model, sequences(seed, recipe.batch), recipe, name=f"recall {arm} s{seed}",
        loss=lambda model, batch: token_loss(model(batch[0]), batch[1], UNSCORED))
    shared = {
        "name": arm, "seed": seed, "learning_rate": recipe.learning_rate,
        "steps": recipe.steps, "batch": recipe.batch, "parameters": parameters(model),
        "seconds": round(time.perf_counter() - began, 1),
        "cpu_seconds": round(time.process_time() - began_cpu, 1),
        "threads": torch.get_num_threads(), "torch": torch.__version__,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }
    return [{"task": task, "items": size, "trained": [sizes.least, sizes.most],
             "beyond": size > sizes.most, "accuracy": accuracy(model, task, size),
             **shared}
            for task, sizes in TASKS.items()
            for size in sizes.judged + sizes.longer * config.any_length]


def main(arguments: list[str] | None = None) -> int:
    """Run what is missing: 0 done, 2 wrong use."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.recall", description=str(__doc__).splitlines()[0])
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS),
                        metavar="ARM", help="; ".join(ARMS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=RECIPE.steps)
    parser.add_argument("--threads", type=int, help="threads of PyTorch; else its own")
    asked = parser.parse_args(arguments)
    if asked.threads:
        torch.set_num_threads(asked.threads)
    for seed in asked.seeds:
        for arm in asked.arms:
            key = {"name": arm, "seed": seed, "steps": asked.steps}
            if any(key.items() <= row.items() for row in rows_in(RESULTS)):
                continue
            write(RESULTS, *run(arm, seed, replace(RECIPE, steps=asked.steps)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
