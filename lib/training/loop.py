"""One training loop one can hold in the head, on `accelerate`.

`fit` runs it: AdamW, warm-up, accumulation, clipping, mixed precision, checkpoints.
A batch is always the whole batch of one update; the loop cuts it for accumulation and
for the processes of `accelerate launch`, and a loss is a sum with its number of tokens,
so that one process, several, and several parts all take the same mean. All randomness
is `recipe.seed`: the same recipe and data give the same losses to the bit.
"""

import copy
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from typing import Any, cast, get_args

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from jaxtyping import Float, Int
from torch import Tensor, nn

from lib.files import alone, beside
from lib.options import Precision, one_of
from lib.training import process, schedules
from lib.training.batches import batches_after, cut, tensors_of
from lib.training.out_of_memory import is_out_of_memory, ran_out, within_memory
from lib.training.process import Diverged, Stop, own_randomness
from lib.training.progress import Bar
from lib.training.resume import History, Keep, Progress
from lib.training.sharding import full, gather_into, is_sharded


@dataclass(frozen=True)
class Recipe:
    """What a run does, apart from the model and the data."""

    steps: int = 1000
    batch: int = 16
    context: int = 64  # of `batches` and `train`
    learning_rate: float = 1e-3  # the peak
    schedule: str = "cosine"  # constant, cosine or noam
    final_share: float = 0.1  # of the learning rate, where the cosine ends
    warmup: int = 50
    weight_decay: float = 0.1  # on matrices; never on biases and gains
    betas: tuple[float, float] = (0.9, 0.95)
    clip: float | None = 1.0  # largest norm of all gradients together
    precision: str = "no"  # no, bf16 or fp16
    accumulation: int = 1  # parts that a batch is cut into
    seed: int = 0
    evaluations: int = 10  # how often the validation loss is taken
    evaluation_interval: int | None = None  # or: steps from one to the next
    evaluation_windows: int | None = 128  # of `train`: on how many windows each time

    def __post_init__(self):
        one_of("schedule", self.schedule, schedules.SCHEDULES)
        one_of("precision", self.precision, get_args(Precision))
        for name in ("steps", "batch", "accumulation"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; use 1 or more")
        if self.schedule == "noam" and self.warmup < 1:
            raise ValueError(f"noam has warmup {self.warmup}; use 1 or more")


@dataclass(frozen=True)
class Step:
    """What `on_step` is told after an update; the gradients are still in the model."""

    step: int  # 1 for the first
    steps: int
    loss: Tensor  # mean over the tokens of the whole batch
    grad_norm: Tensor  # before clipping
    lr: float
    model: nn.Module
    batch: Any  # whole, as it came
    point: dict[str, Any] | None  # the new entry of the history, if any


def learning_rate(recipe: Recipe, step: int) -> float:
    """The rate of the update that follows `step` updates; `learning_rate` at its peak.

    >>> recipe = Recipe(steps=100, warmup=10, learning_rate=1.0, final_share=0.1)
    >>> [round(learning_rate(recipe, step), 2) for step in (0, 9, 10, 55, 100)]
    [0.1, 1.0, 1.0, 0.55, 0.1]
    """
    peak, warmup = recipe.learning_rate, recipe.warmup
    if recipe.schedule == "constant":
        return schedules.constant(step, peak, warmup)
    if recipe.schedule == "noam":
        return peak * schedules.noam(step, 1, warmup) / schedules.noam_peak(1, warmup)
    return schedules.cosine(step, recipe.steps, peak, warmup, recipe.final_share)


def token_loss(
    logits: Float[Tensor, "batch seq vocab"], targets: Int[Tensor, "batch seq"],
    ignore: int = -100, smoothing: float = 0.0,
) -> tuple[Float[Tensor, ""], Int[Tensor, ""]]:
    """Cross-entropy summed over the tokens that are not `ignore`, and their number.

    Label smoothing ε takes 1 − ε of the target from the right token and spreads ε
    evenly over the vocabulary (Vaswani et al., 5.4, with ε = 0.1).

    >>> total, tokens = token_loss(torch.zeros(1, 3, 8), torch.tensor([[1, 2, 0]]), 0)
    >>> round((total / tokens).item(), 4), tokens.item()  # ln 8
    (2.0794, 2)
    """
    total = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum",
                            ignore_index=ignore, label_smoothing=smoothing)
    return total, (targets != ignore).sum()


def fit(
    model: nn.Module, batches: Iterable[Any], recipe: Recipe, *,
    loss: Callable[[Any, Any], tuple],
    evaluate: Callable[[Any], float] | None = None,
    on_step: Callable[[Step], None] | Sequence[Callable[[Step], None]] = (),
    name: str = "training", keep: Keep | None = None, resume: bool = False,
    faster: Mapping[str, float] | None = None,
) -> History:
    """Train `model` in place and return its losses.

    batches: whole ones, one for each update: a tensor, or a tuple or dictionary of
    tensors, batch first; the same sequence each time. On resuming, those already seen
    are left out (`batches.after(step)`, where there is one, does it at once).
    loss(model, batch) → (summed loss, number of tokens), both of that batch, or with a
    third: the summed loss to report, where more than that is minimised.
    evaluate(model) → validation loss, `recipe.evaluations` times in the run.
    on_step: called after every update in the main process. Neither it nor `evaluate`
    disturbs the run: the random state and `train()` mode are put back.
    keep: where checkpoints go; see `lib.training.resume`. Ctrl-C and SIGTERM end the
    run after the update that is being made, with a checkpoint; a second one ends it at
    once. resume: go on from what `keep` has: `last`, else what it kept beside it.
    faster: how many times `recipe.learning_rate` the parameters learn whose name holds
    a key. Under FSDP (`lib.training.sharding`) the model stays where it is and whole,
    and is brought up to date at each evaluation and at the end.

    Raises ValueError if a batch cannot be cut into the parts asked for;
    CheckpointError if what is to be resumed is damaged, of another shape or recipe, or
    a folder that `keep` would replace is no checkpoint; Taken if another run trains
    into the folder of `keep`; OutOfMemory, and Diverged at the first loss, gradient or
    validation loss that is not finite, before the weights are touched by it or saved.
    """
    hooks = [on_step] if callable(on_step) else list(on_step)
    if keep is not None:
        keep.check()
    accelerator = process.accelerator_for(model, recipe.precision)
    device, main = accelerator.device, accelerator.is_main_process
    learner = copy.deepcopy(model) if is_sharded() else model
    adamw = _adamw(learner, recipe, faster or {})
    objective, optimizer = accelerator.prepare(_Objective(learner, loss), adamw)
    run, stop = Progress(learner, adamw, accelerator, recipe), Stop()
    history = run.history
    every = recipe.evaluation_interval or recipe.steps // max(1, recipe.evaluations)
    every = max(1, every)
    with ExitStack() as stack:
        if keep is not None:
            stack.enter_context(alone(beside(keep.folder), keep.folder))
        stack.enter_context(own_randomness(device))
        stack.enter_context(process.deterministic(device))
        torch.manual_seed(recipe.seed + accelerator.process_index)
        if resume and keep is not None and keep.there():
            keep.restore(run)
            history = run.history
        if device.type == "cpu":
            stack.enter_context(within_memory())
        stack.enter_context(stop.waiting())
        bar = stack.enter_context(Bar(name, recipe.steps, run.step, disable=not main))
        model.train()
        source, rows = batches_after(batches, run.step), 0
        try:
            while run.step < recipe.steps:
                began = time.perf_counter()
                rate = learning_rate(recipe, run.step)
                for group in adamw.param_groups:
                    group["lr"] = rate * group.get("faster", 1)
                batch = next(source)
                first = tensors_of(batch)[0]
                rows = len(first)
                if not bar.cost:
                    bar.costs(model, *first.shape[:2])
                parts = cut(batch, recipe.accumulation, accelerator)
                value, norm, asked = _gradients(
                    accelerator, objective, optimizer, parts, recipe.clip, stop)
                run.step += 1
                _expect_finite({"loss": value, "norm of the gradients": norm},
                               name, run, keep, accelerator.scaler)
                optimizer.step()
                history.seconds += time.perf_counter() - began
                run.losses.append(value)
                run.norms.append(norm)
                point = None
                if run.step % every == 0 or run.step == recipe.steps:
                    valid = None
                    if learner is not model:
                        gather_into(model, learner)
                    if evaluate is not None:
                        with own_randomness(device), accelerator.autocast():
                            valid = float(evaluate(model))
                        _expect_finite({"validation loss": valid}, name, run, keep)
                        model.train()
                        bar.tell(valid=valid)
                    point = run.note(valid, rate)
                if main and hooks:
                    seen = Step(run.step, recipe.steps, value, norm, rate, model, batch,
                                point)
                    for hook in hooks:
                        with own_randomness(device):
                            hook(seen)
                    model.train()
                if keep is not None:
                    keep.after_step(run, value, point is not None, asked)
                bar.tell(loss=value)
                bar.update()
                if asked:
                    history.interrupted = True
                    break
        except StopIteration:
            raise ValueError(
                f"the batches ended after {run.step} of {recipe.steps} steps; give "
                "batches without end (lib.training.batches.Epochs), or fewer steps"
            ) from None
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            raise ran_out(f"at step {run.step + 1} on {device}", rows,
                          recipe.accumulation) from None
    stop.pass_on()
    return history


class _Objective(nn.Module):
    """Model and loss as one module, so that several processes share its backward."""

    def __init__(self, model: nn.Module, loss: Callable):
        super().__init__()
        self.model, self.loss = model, loss
        self._no_split_modules = getattr(model, "_no_split_modules", None)  # for FSDP

    def forward(self, batch: Any) -> tuple:
        return self.loss(self.model, batch)


def _adamw(model: nn.Module, recipe: Recipe,
           faster: Mapping[str, float]) -> torch.optim.AdamW:
    learned = [(next((n for part, n in faster.items() if part in name), 1.0), p)
               for name, p in model.named_parameters() if p.requires_grad]
    return torch.optim.AdamW([
        {"params": [p for n, p in learned if n == times and (p.dim() > 1) == matrix],
         "weight_decay": recipe.weight_decay * matrix, "faster": times}
        for times in dict.fromkeys((1.0, *faster.values())) for matrix in (True, False)
    ], betas=recipe.betas)


def _expect_finite(values: dict[str, Tensor | float], name: str, run: Progress,
                   keep: Keep | None, scaler: Any = None) -> None:
    """Refuse to go on where a value of a step is no number, and say what to lower.

    A GradScaler of fp16 skips updates whose gradients overflow, and scales less the
    next time; where less than 1 is left of its scale, that has not helped.
    """
    recipe = run.recipe
    for what, value in values.items():
        skipped = scaler is not None and what != "loss" and scaler.get_scale() >= 1
        if math.isfinite(value) or skipped:
            continue
        found = keep.found() if keep is not None else None
        saved = ("" if keep is None else "; nothing was saved yet" if found is None
                 else f"; the checkpoint of step {found[1]['step']:,} is kept")
        raise Diverged(
            name, run.step, recipe.steps, f"{what} is {float(value)}",
            f", with learning rate {learning_rate(recipe, run.step - 1):g}; lower "
            f"learning_rate ({recipe.learning_rate:g}), or raise the warm-up "
            f"({recipe.warmup}){', or use bf16' if scaler is not None else ''}{saved}")


def _gradients(
    accelerator: Accelerator, objective: nn.Module, optimizer: Any, parts: list[Any],
    clip: float | None, stop: Stop,
) -> tuple[Tensor, Tensor, bool]:
    """The gradients of a batch in its parts: mean loss, their norm, asked to stop.

    The parts are backpropagated over a number of tokens guessed from the first; at the
    end the gradients are brought to the true number. With one part the guess is right.
    """
    world, device = accelerator.num_processes, accelerator.device
    optimizer.zero_grad(set_to_none=True)
    summed = count = torch.zeros((), device=device)
    guess: Tensor | None = None
    for place, part in enumerate(parts):
        final = place + 1 == len(parts)
        with nullcontext() if final else accelerator.no_sync(objective):
            total, tokens, *reported = objective(part)
            total = total if total.dtype == torch.float64 else total.float()
            tokens = torch.as_tensor(tokens, device=device).to(total.dtype)
            if guess is None:
                share = accelerator.reduce(tokens, "sum") if world > 1 else tokens
                guess = (cast(Tensor, share) * len(parts)).clamp(min=1)
            # each process holds a part of the sum, and their gradients are averaged
            accelerator.backward(total / guess * world)
        shown = reported[0].to(total.dtype) if reported else total
        summed, count = summed + shown.detach(), count + tokens
    asked = stop.asked is not None
    if world > 1:
        sums = torch.stack([summed, count, torch.full_like(summed, asked)])
        summed, count, anyone = accelerator.reduce(sums, "sum")
        asked = anyone.item() > 0
    count = count.clamp(min=1)
    if len(parts) > 1 and guess is not None:
        for parameter in objective.parameters():
            if parameter.grad is not None:
                parameter.grad.mul_(guess / count)
    limit = float("inf") if clip is None else clip
    norm = accelerator.clip_grad_norm_(objective.parameters(), limit)
    return summed / count, full(cast(Tensor, norm).detach()).to(device), asked


# ---- a language model on one text ----------------------------------------------------


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
            "use a longer text or a shorter context")
    generator = torch.Generator().manual_seed(recipe.seed)
    window = torch.arange(recipe.context + 1)
    while True:
        start = torch.randint(len(ids) - recipe.context, (recipe.batch, 1),
                              generator=generator)
        chunk = ids[start + window]
        yield chunk[:, :-1], chunk[:, 1:]


def window_starts(ids: Int[Tensor, " length"], context: int,
                  windows: int | None = None) -> Int[Tensor, " windows"]:
    """Where windows side by side begin; of them so many, evenly spread, or all.

    Raises ValueError if the text does not fill one window.
    """
    count = (len(ids) - 1) // context
    if count < 1:
        raise ValueError(
            f"the text has {len(ids)} tokens and one window takes {context + 1}; use a "
            "longer text or a shorter context")
    starts = torch.arange(count) * context
    if windows is not None and windows < count:
        starts = starts[torch.linspace(0, count - 1, windows).long()]
    return starts


@torch.no_grad()
def evaluate(model: nn.Module, ids: Int[Tensor, " length"], context: int,
             windows: int | None = None, batch: int = 64) -> float:
    """Mean cross-entropy in nats over windows side by side, evenly spread.

    windows: how many of them; None takes the whole text but its last part window.
    Raises ValueError if the text does not fill one window.
    """
    device = next(model.parameters()).device
    starts = window_starts(ids, context, windows)
    span = torch.arange(context + 1)
    model.eval()
    total = 0.0
    for part in starts.split(batch):
        chunk = ids[part[:, None] + span].to(device)
        total += token_loss(model(chunk[:, :-1]), chunk[:, 1:])[0].item()
    model.train()
    return total / (len(starts) * context)


def train(
    model: nn.Module, train_ids: Int[Tensor, " length"],
    valid_ids: Int[Tensor, " valid_length"], recipe: Recipe, name: str = "training",
    loss: Callable[..., Float[Tensor, ""]] | None = None,
) -> History:
    """Train a language model on random windows of a text; see `fit`.

    loss(model, x, y) is minimised; without it, `model.loss(x, y)`. The model stays
    on its device. Interrupting (Ctrl-C) keeps the steps done so far.
    """
    mean = loss or (lambda model, x, y: model.loss(x, y))
    return fit(model, batches(train_ids, recipe), recipe, name=name,
               loss=lambda model, batch: (mean(model, *batch), 1),
               evaluate=lambda model: evaluate(model, valid_ids, recipe.context,
                                               recipe.evaluation_windows))
