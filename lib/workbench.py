"""The workbench: both Transformers of Part I on one task, every option in one place.

    options = check(Options(epochs=2, train_size=500))
    task = prepare(options)
    runs = [train(options, task, version) for version in versions(options)]

`pytorch` is `lib.transformer` trained by `lib.train.fit`; `huggingface` is the same
model of transformers trained by `lib.trainer`. Both start from the same weights and
see the same rows in the same order. `lib.workbench_files` writes what they leave.
"""

import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from lib import translation
from lib.analyses import Snapshots
from lib.batching import Epochs
from lib.checkpoint import CheckpointError, describe
from lib.huggingface import make_dataset, save, translate, wrap_tokenizer
from lib.keep import Keep
from lib.memory import OutOfMemory, is_out_of_memory, within_memory
from lib.models import quiet
from lib.profile import pick_device
from lib.running import deterministic, own_randomness
from lib.train import Recipe, Step, fit, learning_rate, token_loss
from lib.trainer import TracingTrainer, last_checkpoint, training_arguments
from lib.trainer import history as logged
from lib.transformer import Transformer, TransformerConfig
from lib.translation import PAD, Pair, collate, decode, encode, exact_match
from lib.twins import to_transformers
from lib.wandb_log import Wandb
from lib.workbench_options import (
    FREE,
    NAMES,
    TRAINED,
    VERSIONS,
    Options,
    check,
    for_profile,
    parsed,
    settled,
    versions,
)

__all__ = ["NAMES", "TRAINED", "VERSIONS", "Options", "Run", "Task", "check",
           "first_model", "for_profile", "loss_of", "parsed", "prepare", "settled",
           "snapshots_of", "train", "trial", "validation_loss", "versions", "written"]

# ---- the task ----------------------------------------------------------------------


@dataclass(frozen=True)
class Task:
    """What both versions learn, and from what."""

    tokenizer: Tokenizer
    train: list[Pair]
    valid: list[Pair]  # dates, then numbers; of values that training never sees
    config: TransformerConfig
    probe: Pair  # the pair that is looked at while training

    def rows(self, options: Options) -> Epochs:
        """Whole batches, the same sequence for both versions."""
        return Epochs(self.train, options.batch_size, options.seed,
                      collate=lambda pairs: collate(pairs, self.tokenizer))

    def tokens(self) -> dict[str, list[str]]:
        """Labels of the probe's tokens, as the model reads them."""
        source, target = (self.tokenizer.encode(text).tokens
                          for text in (self.probe.source, self.probe.target))
        return {"encoder": source, "decoder": ["<bos>", *target[:-1]]}


def prepare(options: Options) -> Task:
    """Draw the pairs and train the tokenizer.

    Raises
    ------
    ValueError
        If a pair is longer than `max_length`, or the vocabulary too small.
    """
    going_on = [options.folder / version / "checkpoints" for version in TRAINED]
    if options.resume and versions(options) and not (
        Keep(going_on[0]).there() or last_checkpoint(going_on[1])
    ):
        raise ValueError(f"resume was asked for and {options.output_dir} holds no "
                         "training to go on with; leave resume out to start one.")
    tokenizer = translation.build_tokenizer(options.vocab_size)
    generator = torch.Generator().manual_seed(options.seed)
    pairs = translation.sample(options.train_size, generator)
    numbers = options.eval_size // 2
    valid = (translation.unseen("date", options.eval_size - numbers)
             + translation.unseen("number", numbers))
    probe = translation.make_pair(
        "date", translation.datetime.date(2026, 3, 5), korean=True
    )
    task = Task(tokenizer, pairs, valid, TransformerConfig(
        vocab=tokenizer.get_vocab_size(), d_model=options.hidden_size,
        n_heads=options.num_heads, n_layers=options.num_layers,
        max_length=options.max_length, dropout=options.dropout,
        norm_first=options.norm_first,
    ), probe)
    texts = [text for pair in [*pairs, *valid, probe]
             for text in (pair.source, pair.target)]
    # a target also begins with <bos>
    longest = 1 + max(len(row.ids) for row in tokenizer.encode_batch(texts))
    if longest > options.max_length:
        raise ValueError(
            f"the longest sequence has {longest} tokens and max_length is "
            f"{options.max_length}; use max_length {longest} or more."
        )
    return task


def first_model(options: Options, task: Task) -> Transformer:
    """The model before training; its weights depend on the seed alone."""
    with own_randomness(torch.device("cpu")):
        torch.manual_seed(options.seed)
        return Transformer(task.config)


def loss_of(
    model: nn.Module, batch: dict[str, Tensor], smoothing: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Summed loss and number of tokens of a batch, for either version."""
    source, target = batch["source"], batch["target"]
    if isinstance(model, Transformer):
        logits = model(source, target[:, :-1])
    else:
        logits = model(input_ids=source, attention_mask=(source != PAD).long(),
                       decoder_input_ids=target[:, :-1]).logits
    return token_loss(logits, target[:, 1:], PAD, smoothing)


@torch.no_grad()
def validation_loss(model: nn.Module, task: Task, rows: int = 256) -> float:
    """Mean loss in nats a token over the validation pairs, without smoothing."""
    training, device = model.training, next(model.parameters()).device
    model.eval()
    sums = [0.0, 0.0]
    for start in range(0, len(task.valid), rows):
        batch = collate(task.valid[start : start + rows], task.tokenizer)
        told = loss_of(model, {name: ids.to(device) for name, ids in batch.items()})
        sums = [a + b.item() for a, b in zip(sums, told, strict=True)]
    model.train(training)
    return sums[0] / sums[1]


def written(model: nn.Module, task: Task, pairs: list[Pair]) -> list[str]:
    """What the model writes for each source, token by token."""
    texts = [pair.source for pair in pairs]
    if not isinstance(model, Transformer):
        wrapped = wrap_tokenizer(task.tokenizer, task.config.max_length)
        return translate(model, wrapped, texts)
    device, found = next(model.parameters()).device, []
    for start in range(0, len(texts), 250):
        ids = encode(task.tokenizer, texts[start : start + 250]).to(device)
        found += decode(task.tokenizer, model.generate(ids))
    return found


# ---- training ----------------------------------------------------------------------


@dataclass
class Run:
    """What came of one version."""

    version: str
    model: nn.Module
    task: Task
    step: int  # updates behind the weights; 0: untrained
    seconds: float = 0.0  # of training alone, without looking
    curve: pd.DataFrame = field(default_factory=pd.DataFrame)
    snapshots: Snapshots | None = None
    scores: dict[str, float] = field(default_factory=dict)
    samples: list[tuple[Pair, str]] = field(default_factory=list)


class _Look:
    """Validation loss and snapshots while training; counts its own seconds.

    file: where the losses are kept for a run that goes on with this one.
    """

    def __init__(self, options: Options, task: Task, file: Path | None = None):
        self.file = file
        self.task, self.steps, self.seconds = task, options.steps, 0.0
        self.losses: dict[int, float] = {}
        self.every = max(1, options.steps // 10)
        self.snapshots = None
        if options.track_internals:
            self.snapshots = snapshots_of(task)

    def valid(self, model: nn.Module) -> float:
        began = time.perf_counter()
        value = validation_loss(model, self.task)
        self.seconds += time.perf_counter() - began
        return value

    def step(self, step: Step) -> None:
        """Look in after a step of `fit`, which takes the validation loss itself."""
        began = time.perf_counter()
        self._snapshot(step.step, step.model)
        self.seconds += time.perf_counter() - began

    def __call__(self, step: int, model: nn.Module) -> None:
        """Look in when the Trainer calls: every so many steps, and at the ends."""
        began = time.perf_counter()
        self._snapshot(step, model)
        self.losses[step] = validation_loss(model, self.task)
        if self.file is not None:
            self.file.write_text(json.dumps(self.losses), encoding="utf-8")
        self.seconds += time.perf_counter() - began

    def _snapshot(self, step: int, model: nn.Module) -> None:
        """At every other evaluation, and at the last step, but not just before it."""
        often = 2 * self.every
        due = step == self.steps or (step % often == 0 and step + self.every
                                     <= self.steps)
        if self.snapshots is not None and due:
            self.snapshots.take(step, model)


def snapshots_of(task: Task) -> Snapshots:
    """Snapshots of the probe, with gradients of its loss."""
    return Snapshots(collate([task.probe], task.tokenizer), task.tokens(), loss=loss_of)


def train(options: Options, task: Task, version: str) -> Run:
    """Train one version, score it on what it has not seen, and save it.

    Raises
    ------
    OutOfMemory, CheckpointError, ValueError
        One sentence each; KeyboardInterrupt after Ctrl-C, with a checkpoint left.
    """
    run = (_pytorch if version == "pytorch" else _huggingface)(options, task)
    found = written(run.model, task, task.valid)
    for kind in translation.KINDS:
        pairs = [(text, pair.target) for text, pair in
                 zip(found, task.valid, strict=True) if pair.kind == kind]
        run.scores[kind] = exact_match(*zip(*pairs, strict=True))
    places = (0, 1, len(task.valid) - 2, len(task.valid) - 1)
    run.samples = [(task.valid[i], found[i]) for i in places]
    return run


def _pytorch(options: Options, task: Task) -> Run:
    folder, look = options.folder / "pytorch", _Look(options, task)
    model = first_model(options, task).to(pick_device(options.device))
    hooks: list[Callable] = [look.step]
    if options.wandb:
        hooks.append(Wandb(options.wandb_project, asdict(options), "pytorch"))
    keep = Keep(folder / "checkpoints", every=max(1, options.per_epoch // 2),
                epoch=options.per_epoch, configuration=asdict(options))
    if options.resume and (found := keep.found()):
        _same(options, found[1]["configuration"], found[0])
    if look.snapshots is not None:
        look.snapshots.take(0, model)
    began, looked = time.perf_counter(), look.seconds
    start = validation_loss(model, task)
    history = fit(
        model, task.rows(options), recipe_of(options), keep=keep, name="pytorch",
        loss=lambda m, batch: loss_of(m, batch, options.label_smoothing),
        evaluate=look.valid, on_step=hooks, resume=options.resume,
    )
    if history.interrupted:
        raise KeyboardInterrupt(
            f"stopped at step {describe(keep.folder / 'last')['step']} of "
            f"{options.steps}; the same command with resume goes on from there"
        )
    seconds = time.perf_counter() - began - (look.seconds - looked)
    curve = pd.DataFrame({"step": history.step, "train": history.train,
                          "valid": history.valid, "lr": history.lr,
                          "grad_norm": history.grad_norm})
    first = pd.DataFrame({"step": [0], "valid": [start]})
    curve = pd.concat([first, curve], ignore_index=True)
    return Run("pytorch", model, task, options.steps, seconds, curve, look.snapshots)


def _same(options: Options, before: dict[str, Any], place: Path) -> None:
    """Refuse to go on with a training of other options."""
    for name, value in asdict(options).items():
        if name not in FREE and before.get(name) != value:
            raise CheckpointError(
                f"{place.relative_to(options.folder)} was trained with {name} "
                f"{before.get(name)} and this run has {value}; go on with the same, or "
                "leave resume out to start anew."
            )


def trial(options: Options, task: Task, **changes: Any) -> float:
    """Validation loss after one epoch of the PyTorch version with other options.

    Nothing is written; sizes of the task must stay what they are.
    """
    options = replace(options, epochs=1, **changes)
    config = replace(task.config, dropout=options.dropout,
                     norm_first=options.norm_first)
    task = replace(task, config=config)
    model = first_model(options, task).to(pick_device(options.device))
    said = ", ".join(f"{name} {value}" for name, value in changes.items())
    fit(model, task.rows(options), replace(recipe_of(options), evaluations=1),
        loss=lambda m, batch: loss_of(m, batch, options.label_smoothing),
        name=said or "trial")
    return validation_loss(model, task)


def recipe_of(options: Options) -> Recipe:
    """The recipe of both versions; betas are those of the paper, section 5.3."""
    warmup = options.warmup_steps
    return Recipe(
        steps=options.steps, batch=options.batch_size,
        learning_rate=options.learning_rate, schedule=options.schedule,
        warmup=max(1, options.steps // 10) if warmup is None else warmup,
        weight_decay=0.0, betas=(0.9, 0.98), clip=1.0,
        precision=options.mixed_precision, seed=options.seed, evaluations=10,
        accumulation=options.gradient_accumulation_steps,
    )


class _SameRates(TracingTrainer):
    """The Trainer with our learning rates; its own first update has a rate of 0."""

    def create_scheduler(self, num_training_steps, optimizer=None):
        self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(
            optimizer or self.optimizer,
            lambda step: learning_rate(self.recipe, step) / self.recipe.learning_rate,
        )
        return self.lr_scheduler


def _huggingface(options: Options, task: Task) -> Run:
    folder = options.folder / "huggingface"
    checkpoints = folder / "checkpoints"
    look = _Look(options, task, checkpoints / "losses.json")
    device, recipe = pick_device(options.device), recipe_of(options)
    last = last_checkpoint(checkpoints) if options.resume else None
    world = int(os.environ.get("WORLD_SIZE", "1"))
    main = int(os.environ.get("RANK", "0")) == 0
    if last is None and main:
        shutil.rmtree(checkpoints, ignore_errors=True)
        checkpoints.mkdir(parents=True)
    elif last is not None:
        before = json.loads((checkpoints / "options.json").read_text(encoding="utf-8"))
        _same(options, before, last)
        done = int(last.name.rpartition("-")[2])
        losses = json.loads((checkpoints / "losses.json").read_text(encoding="utf-8"))
        look.losses = {int(step): value for step, value in losses.items()
                       if int(step) <= done}
    if main:
        told = json.dumps(asdict(options), indent=1) + "\n"
        (checkpoints / "options.json").write_text(told, encoding="utf-8")
    wrapped = wrap_tokenizer(task.tokenizer, task.config.max_length)
    batches = task.rows(options)
    order = [i for epoch in range(options.epochs)
             for i in batches.order(epoch).tolist()]
    rows = make_dataset(task.train, wrapped).select(order)
    arguments = training_arguments(
        checkpoints, steps=options.steps, order="as given",
        batch=options.batch_size // recipe.accumulation // world,
        accumulation=recipe.accumulation, learning_rate=recipe.learning_rate,
        schedule=recipe.schedule, warmup=recipe.warmup, beta2=recipe.betas[1],
        weight_decay=recipe.weight_decay, clip=recipe.clip,
        label_smoothing=options.label_smoothing, precision=recipe.precision,
        device=device, seed=options.seed, log_every=look.every,
        save_every=max(1, options.per_epoch // 2), wandb=options.wandb,
        wandb_project=options.wandb_project,
    )
    arguments.logging_first_step = False  # it would be missing in the first mean
    model = to_transformers(first_model(options, task))
    trainer = _SameRates(model, arguments, wrapped, rows, on_step=look,
                         every=look.every)
    trainer.recipe = recipe
    began = time.perf_counter()
    with own_randomness(device), deterministic(device):
        try:
            with within_memory(), quiet():
                trainer.train(resume_from_checkpoint=last and str(last))
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            raise OutOfMemory(
                f"memory ran out on {device} with a batch of {options.batch_size} in "
                f"{recipe.accumulation} part(s); lower batch_size, max_length or "
                "hidden_size, or raise gradient_accumulation_steps"
            ) from None
    seconds = time.perf_counter() - began - look.seconds
    log = pd.DataFrame(logged(trainer)).rename(
        columns={"loss": "train", "learning_rate": "lr"})
    valid = pd.DataFrame({"step": look.losses.keys(), "valid": look.losses.values()})
    curve = valid.merge(log, on="step", how="left")
    if main:
        save(folder, model, wrapped, arguments, logged(trainer))
    return Run("huggingface", model, task, options.steps, seconds, curve,
               look.snapshots)


def main(words: list[str]) -> int:
    """`python -m lib.workbench name=value …`: train and save, also under accelerate.

    Returns 0, or 1 after one sentence on what is wrong, or 130 after Ctrl-C.
    """
    from lib import workbench_files as files  # it stands on this module

    try:
        options = check(parsed(words))
        if options.version == "test":
            print(files.self_test(options).to_string(index=False))
            return 0
        task = prepare(options)
        runs = [train(options, task, version) for version in versions(options)]
        if options.version == "analysis":
            runs = files.loaded(options) or [files.untrained(options, task)]
        if int(os.environ.get("RANK", "0")) == 0:
            for run in runs:
                left = files.leave(run, options)
                scores = ", ".join(f"{k} {v:.1%}" for k, v in run.scores.items())
                print(f"{run.version}: {scores or 'untrained'}; {len(left)} files")
    except (ValueError, OutOfMemory) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt as error:
        print(error or "stopped", file=sys.stderr)
        return 130
    return 0



if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
