"""The workbench: both Transformers of Part I on one task, every option in one place.

    options = check(Options(epochs=2, train_size=500))
    task = prepare(options)
    runs = [train(options, task, version) for version in versions(options)]

`pytorch` is `lib.attention.transformer` trained by `lib.training.loop.fit`;
`huggingface` is the same model of transformers trained by `lib.training.trainer`. Both
start from the same weights and see the same rows in the same order.
`lib.workbench.transformer.files` writes what they leave.
"""

import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pandas as pd
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import PreTrainedModel

from lib.attention import translation
from lib.attention.conversion import to_transformers
from lib.attention.huggingface import make_dataset, save, translate, wrap_tokenizer
from lib.attention.transformer import Transformer, TransformerConfig
from lib.attention.translation import PAD, Pair, collate, decode, encode, exact_match
from lib.data.pretrained import quiet
from lib.files import alone, write_json
from lib.page.profile import pick_device
from lib.trace.analyses import Snapshots
from lib.training.batches import Epochs
from lib.training.checkpoint import INDEX, describe, load_weights
from lib.training.loop import Recipe, Step, fit, learning_rate, token_loss
from lib.training.out_of_memory import OutOfMemory, is_out_of_memory, within_memory
from lib.training.process import deterministic, own_randomness
from lib.training.resume import Keep
from lib.training.startup import Held, goes_on, held_by, how, say_so
from lib.training.trainer import TracingTrainer, last_checkpoint, training_arguments
from lib.training.trainer import history as logged
from lib.training.wandb_log import Wandb
from lib.workbench.transformer.options import (
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
        If a pair is longer than `max_length`, the vocabulary too small, or the folder
        holds another training.
    """
    going_on = [held_training(options, version) for version in versions(options)]
    if options.resume and going_on and not any(going_on):
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
        return translate(cast(PreTrainedModel, model), wrapped, texts)
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
    options: Options = field(default_factory=Options)  # it was trained with


class _Look:
    """Validation loss and snapshots while training; counts its own seconds.

    file: where the losses are kept for a run that goes on with this one. before: the
    seconds of training that came before that.
    """

    def __init__(self, options: Options, task: Task, file: Path | None = None):
        self.file, self.before, self.began = file, 0.0, time.perf_counter()
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
        self.seconds += time.perf_counter() - began
        self.keep()

    @property
    def trained(self) -> float:
        """Seconds of training, those before a resume included, without looking."""
        return self.before + time.perf_counter() - self.began - self.seconds

    def keep(self) -> None:
        """Write what a run that goes on with this one wants to know."""
        told = {"seconds": self.trained, "losses": self.losses}
        write_json(cast(Path, self.file), told)

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

    A training of these options that the folder holds is gone on with; one that has its
    steps is used as it is.

    Raises
    ------
    OutOfMemory, CheckpointError, Diverged, Taken, ValueError
        One sentence each; KeyboardInterrupt after Ctrl-C, with a checkpoint left.
    """
    train_it = _pytorch if version == "pytorch" else _huggingface
    with alone(options.folder / ".lock", options.folder):
        held = held_training(options, version)
        if held is not None:
            say_so(held, options.steps)
        run = train_it(options, task, held)
    found = written(run.model, task, task.valid)
    for kind in translation.KINDS:
        pairs = [(text, pair.target) for text, pair in
                 zip(found, task.valid, strict=True) if pair.kind == kind]
        run.scores[kind] = exact_match(*zip(*pairs, strict=True))
    places = (0, 1, len(task.valid) - 2, len(task.valid) - 1)
    run.samples = [(task.valid[i], found[i]) for i in places]
    return run


def held_training(options: Options, version: str) -> Held | None:
    """The training of a version to go on with; None where one begins.

    Raises
    ------
    CheckpointError
        If the folder holds another training.
    """
    place = options.folder / version / "checkpoints"
    if options.force:
        return None
    held = None
    if version == "pytorch":
        if found := held_by(Keep(place)):
            held = Held(found[0], found[1]["configuration"], found[1]["step"])
    elif last := last_checkpoint(place):
        before = json.loads((place / "options.json").read_text(encoding="utf-8"))
        held = Held(last, before, int(last.name.rpartition("-")[2]))
    going_on = goes_on(options, held, options.steps, FREE, "epochs", "output_dir")
    return held if going_on else None


def epochs_kept(
    snapshots: Snapshots, model: nn.Module, checkpoints: Path, until: int | None = None
) -> None:
    """Take a snapshot of the weights after each epoch, as the checkpoints have them."""
    places = [index.parent for index in checkpoints.glob(f"epoch_*/{INDEX}")]
    steps = {describe(place)["step"]: place for place in places}
    for step in sorted(steps):
        if until is None or step <= until:
            load_weights(steps[step], model)
            snapshots.take(step, model)


def _pytorch(options: Options, task: Task, held: Held | None) -> Run:
    folder, look = options.folder / "pytorch", _Look(options, task)
    model = first_model(options, task).to(pick_device(options.device))
    hooks: list[Callable] = [look.step]
    if options.wandb:
        hooks.append(Wandb(options.wandb_project, asdict(options), "pytorch"))
    keep = Keep(folder / "checkpoints", every=max(1, options.per_epoch // 2),
                epoch=options.per_epoch, configuration=asdict(options))
    if look.snapshots is not None:
        look.snapshots.take(0, model)
    start = validation_loss(model, task)
    if look.snapshots is not None and held is not None:
        epochs_kept(look.snapshots, model, keep.folder, held.step)
    history = fit(
        model, task.rows(options), recipe_of(options), keep=keep, name="pytorch",
        loss=lambda m, batch: loss_of(m, batch, options.label_smoothing),
        evaluate=look.valid, on_step=hooks, resume=held is not None,
    )
    if history.interrupted:
        raise KeyboardInterrupt(
            f"stopped at step {describe(keep.folder / 'last')['step']:,} of "
            f"{options.steps:,}; {how(options)}"
        )
    curve = pd.DataFrame({"step": history.step, "train": history.train,
                          "valid": history.valid, "lr": history.lr,
                          "grad_norm": history.grad_norm})
    first = pd.DataFrame({"step": [0], "valid": [start]})
    curve = pd.concat([first, curve], ignore_index=True)
    return Run("pytorch", model, task, options.steps, history.seconds, curve,
               look.snapshots, options=options)


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
    history = fit(
        model, task.rows(options), replace(recipe_of(options), evaluations=1),
        loss=lambda m, batch: loss_of(m, batch, options.label_smoothing),
        name=said or "trial",
    )
    if history.interrupted:
        raise KeyboardInterrupt("stopped in a trial, of which nothing is kept")
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

    recipe: Recipe

    def create_scheduler(self, num_training_steps, optimizer=None):
        self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(
            cast(torch.optim.Optimizer, optimizer or self.optimizer),
            lambda step: learning_rate(self.recipe, step) / self.recipe.learning_rate,
        )
        return self.lr_scheduler


def _huggingface(options: Options, task: Task, held: Held | None) -> Run:
    folder = options.folder / "huggingface"
    checkpoints = folder / "checkpoints"
    look = _Look(options, task, checkpoints / "losses.json")
    device, recipe = pick_device(options.device), recipe_of(options)
    last = held and held.place
    world = int(os.environ.get("WORLD_SIZE", "1"))
    main = int(os.environ.get("RANK", "0")) == 0
    seconds = 0.0
    if held is None and main:
        shutil.rmtree(checkpoints, ignore_errors=True)
        checkpoints.mkdir(parents=True)
    elif held is not None:
        looked = json.loads((checkpoints / "losses.json").read_text(encoding="utf-8"))
        look.losses = {int(step): value for step, value in looked["losses"].items()
                       if int(step) <= held.step}
        seconds = looked["seconds"]
    look.before = seconds
    if main:
        write_json(checkpoints / "options.json", asdict(options))
    wrapped = wrap_tokenizer(task.tokenizer, task.config.max_length)
    batches = task.rows(options)
    order = [i for epoch in range(options.epochs)
             for i in batches.order(epoch).tolist()]
    rows = make_dataset(task.train, wrapped).select(order)
    arguments = training_arguments(
        checkpoints, epochs=float(options.epochs), steps=options.steps,
        order="as given",
        batch=options.batch_size // recipe.accumulation // world,
        accumulation=recipe.accumulation, learning_rate=recipe.learning_rate,
        schedule=recipe.schedule, warmup=recipe.warmup, beta2=recipe.betas[1],
        weight_decay=recipe.weight_decay, clip=cast(float, recipe.clip),
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
    look.began = time.perf_counter()
    with own_randomness(device), deterministic(device):
        try:
            with within_memory(), quiet():
                trainer.train(resume_from_checkpoint=last and str(last))
        except KeyboardInterrupt as error:
            if not error.args:  # pressed twice: nothing was saved by that
                raise
            if main:
                look.keep()
            raise KeyboardInterrupt(f"{error}; {how(options)}") from None
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            raise OutOfMemory(
                f"memory ran out on {device} with a batch of {options.batch_size} in "
                f"{recipe.accumulation} part(s); lower batch_size, max_length or "
                "hidden_size, or raise gradient_accumulation_steps"
            ) from None
    if main:
        look.keep()
    log = pd.DataFrame(logged(trainer)).rename(
        columns={"loss": "train", "learning_rate": "lr"})
    valid = pd.DataFrame({"step": look.losses.keys(), "valid": look.losses.values()})
    curve = valid.merge(log, on="step", how="left")
    if main:
        save(folder, model, wrapped, arguments, logged(trainer))
    return Run("huggingface", model, task, options.steps, look.trained, curve,
               look.snapshots, options=options)
