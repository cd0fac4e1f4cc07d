"""A training loop one can hold in the head: AdamW, warm-up and cosine, seeded batches.

Randomness is one `torch.Generator` a run: the same recipe and data give the same
batches to every model, so that two models can be compared step by step.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from tqdm import tqdm  # text on stderr: no widget stays behind on the page


@dataclass(frozen=True)
class Recipe:
    """What a run does, apart from the model and the data."""

    steps: int = 1000
    batch: int = 16
    context: int = 64
    learning_rate: float = 1e-3
    final_share: float = 0.1  # of the learning rate, where the cosine ends
    warmup: int = 50
    weight_decay: float = 0.1
    clip: float = 1.0
    seed: int = 0
    evaluations: int = 10  # how often the validation loss is taken
    evaluation_windows: int = 128  # on how many windows each time


@dataclass
class History:
    """Losses in nats by step; `train` is the mean since the point before."""

    step: list[int] = field(default_factory=list)
    train: list[float] = field(default_factory=list)
    valid: list[float] = field(default_factory=list)


def learning_rate(recipe: Recipe, step: int) -> float:
    """Linear warm-up, then half a cosine down to `final_share`.

    >>> recipe = Recipe(steps=100, warmup=10, learning_rate=1.0, final_share=0.1)
    >>> [round(learning_rate(recipe, step), 2) for step in (0, 9, 10, 55, 100)]
    [0.1, 1.0, 1.0, 0.55, 0.1]
    """
    if step < recipe.warmup:
        return recipe.learning_rate * (step + 1) / recipe.warmup
    done = (step - recipe.warmup) / max(1, recipe.steps - recipe.warmup)
    share = recipe.final_share
    cosine = (1 + math.cos(math.pi * min(1.0, done))) / 2
    return recipe.learning_rate * (share + (1 - share) * cosine)


def batches(
    ids: Int[Tensor, " length"], recipe: Recipe
) -> Iterator[tuple[Int[Tensor, "batch seq"], Int[Tensor, "batch seq"]]]:
    """Endless random windows and the same windows one token later.

    >>> recipe = Recipe(batch=2, context=3)
    >>> x, y = next(batches(torch.arange(10), recipe))
    >>> bool((y == x + 1).all()), tuple(x.shape)
    (True, (2, 3))
    """
    if len(ids) <= recipe.context:
        raise ValueError(
            f"the text has {len(ids)} tokens and the context is {recipe.context}; "
            "use a longer text or a shorter context"
        )
    generator = torch.Generator().manual_seed(recipe.seed)
    window = torch.arange(recipe.context + 1)
    while True:
        start = torch.randint(
            len(ids) - recipe.context, (recipe.batch, 1), generator=generator
        )
        chunk = ids[start + window]
        yield chunk[:, :-1], chunk[:, 1:]


@torch.no_grad()
def evaluate(
    model: nn.Module,
    ids: Int[Tensor, " length"],
    context: int,
    windows: int | None = None,
    batch: int = 64,
) -> float:
    """Mean cross-entropy in nats over windows side by side, evenly spread.

    windows: how many of them; None takes the whole text but its last part window.
    """
    device = next(model.parameters()).device
    count = (len(ids) - 1) // context
    starts = torch.arange(count) * context
    if windows is not None and windows < count:
        starts = starts[torch.linspace(0, count - 1, windows).long()]
    span = torch.arange(context + 1)
    model.eval()
    total = 0.0
    for part in starts.split(batch):
        chunk = ids[part[:, None] + span].to(device)
        logits = model(chunk[:, :-1])
        total += F.cross_entropy(
            logits.flatten(0, 1), chunk[:, 1:].flatten(), reduction="sum"
        ).item()
    model.train()
    return total / (len(starts) * context)


def train(
    model: nn.Module,
    train_ids: Int[Tensor, " length"],
    valid_ids: Int[Tensor, " valid_length"],
    recipe: Recipe,
    name: str = "training",
    loss: Callable[..., Float[Tensor, ""]] | None = None,
) -> History:
    """Train `model` in place and return its losses.

    loss(model, x, y) is minimised; without it, `model.loss(x, y)`. The model stays
    on its device. Interrupting (Ctrl-C) keeps the steps done so far.
    """
    loss = loss or (lambda model, x, y: model.loss(x, y))
    device = next(model.parameters()).device
    matrices = [p for p in model.parameters() if p.requires_grad and p.dim() > 1]
    others = [p for p in model.parameters() if p.requires_grad and p.dim() < 2]
    optimizer = torch.optim.AdamW(
        [
            {"params": matrices, "weight_decay": recipe.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ],
        betas=(0.9, 0.95),
    )
    history, since = History(), []
    every = max(1, recipe.steps // max(1, recipe.evaluations))
    source = batches(train_ids, recipe)
    bar = tqdm(range(recipe.steps), desc=name, mininterval=1.0)
    try:
        for step in bar:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(recipe, step)
            x, y = (part.to(device) for part in next(source))
            value = loss(model, x, y)
            optimizer.zero_grad(set_to_none=True)
            value.backward()
            nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
            optimizer.step()
            since.append(value.detach())
            if (step + 1) % every == 0 or step + 1 == recipe.steps:
                valid = evaluate(
                    model, valid_ids, recipe.context, recipe.evaluation_windows
                )
                history.step.append(step + 1)
                history.train.append(torch.stack(since).mean().item())
                history.valid.append(valid)
                since = []
                bar.set_postfix(valid=f"{valid:.3f}")
    except KeyboardInterrupt:
        bar.close()
    return history
