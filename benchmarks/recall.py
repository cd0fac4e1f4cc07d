"""Whether a model can find again what it has read: two tasks made of nothing else.

    python -m benchmarks.recall                          every arm, both tasks
    python -m benchmarks.recall --arms dot "rotated gaussian" --tasks pairs --seeds 0

    induction   a row of different tokens, again and again: what followed last time?
    pairs       keys with values, k₁ v₁ k₂ v₂ …, then each key once more in another
                order: which value did it have?

Every arm of `benchmarks.quality` has the same two layers' worth of parameters within
2 %, new sequences at each step and the same ones as the other arms. It learns rows of
4 to 31 tokens, or 2 to 16 pairs, is judged on sequences that it has not seen, and,
where no table of positions ends it, on longer ones. Each number is one line of
benchmarks/results/recall.jsonl, written when a training is finished.
"""

import argparse
import datetime
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.quality import ARMS, matched
from lib.gravity.model import LanguageModel, LMConfig, build, parameters
from lib.training.loop import Recipe, fit, token_loss

RESULTS = Path(__file__).parent / "results" / "recall.jsonl"
VOCAB = 80  # of `pairs`, the first half are keys
MODEL = LMConfig(vocab=VOCAB, context=64, d_model=128, n_layers=2, n_heads=4)
RECIPE = Recipe(steps=1500, batch=32, learning_rate=1e-3, warmup=100, evaluations=1)
UNSCORED = -100
Batch = tuple[Tensor, Tensor]  # what is read, and what follows where it is scored
Row = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """How large its sequences are: learned from, judged on, and beyond the context."""

    least: int
    most: int
    judged: tuple[int, ...]
    beyond: tuple[int, ...]


TASKS = {"induction": Task(4, 31, (8, 16, 31), (48, 64)),
         "pairs": Task(2, 16, (4, 8, 16), (24, 32))}


def induction(rows: int, size: int, generator: torch.Generator) -> Batch:
    """Rows of `size` different tokens, twice; scored where what follows is known.

    >>> x, y = induction(1, 3, torch.Generator().manual_seed(0))
    >>> x.shape, (y != UNSCORED).tolist(), torch.equal(y[0, 3:], x[0, 1:3])
    (torch.Size([1, 5]), [[False, False, False, True, True]], True)
    """
    order = torch.rand(rows, VOCAB, generator=generator).argsort(1)[:, :size]
    whole = order.repeat(1, 2)
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


def sequences(task: str, seed: int, batch: int) -> Iterator[Batch]:
    """New sequences at each step, all of a batch of one size."""
    generator = torch.Generator().manual_seed(seed)
    sizes = TASKS[task]
    while True:
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


def run(arm: str, task: str, seed: int, recipe: Recipe = RECIPE) -> list[Row]:
    """Train one model on one task and give its rows."""
    config = matched(MODEL, arm)
    model = build(config, seed)
    recipe = replace(recipe, seed=seed)
    began = time.perf_counter()
    fit(model, sequences(task, seed, recipe.batch), recipe,
        name=f"{task} {arm} s{seed}",
        loss=lambda model, batch: token_loss(model(batch[0]), batch[1], UNSCORED))
    shared = {
        "task": task, "name": arm, "seed": seed, "learning_rate": recipe.learning_rate,
        "steps": recipe.steps, "batch": recipe.batch, "parameters": parameters(model),
        "trained": [TASKS[task].least, TASKS[task].most],
        "seconds": round(time.perf_counter() - began, 1),
        "threads": torch.get_num_threads(), "torch": torch.__version__,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }
    sizes = TASKS[task].judged + TASKS[task].beyond * config.any_length
    return [{**shared, "items": size, "beyond": size > TASKS[task].most,
             "accuracy": accuracy(model, task, size)} for size in sizes]


def finished() -> list[Row]:
    """The rows that stand in the file."""
    if not RESULTS.exists():
        return []
    lines = RESULTS.read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines if line]


def main(arguments: list[str] | None = None) -> int:
    """Run what is missing: 0 done, 2 wrong use."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.recall", description=str(__doc__).splitlines()[0])
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS),
                        metavar="ARM", help="; ".join(ARMS))
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=RECIPE.steps)
    parser.add_argument("--threads", type=int, help="threads of PyTorch; else its own")
    asked = parser.parse_args(arguments)
    if asked.threads:
        torch.set_num_threads(asked.threads)
    for seed in asked.seeds:
        for task in asked.tasks:
            for arm in asked.arms:
                key = {"task": task, "name": arm, "seed": seed, "steps": asked.steps}
                if any(key.items() <= row.items() for row in finished()):
                    continue
                rows = run(arm, task, seed, replace(RECIPE, steps=asked.steps))
                with open(RESULTS, "a", encoding="utf-8") as file:
                    file.writelines(json.dumps(row) + "\n" for row in rows)
                for row in rows:
                    print(json.dumps(row), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
