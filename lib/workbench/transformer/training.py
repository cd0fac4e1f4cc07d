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

from lib.attention import huggingface, translation
from lib.attention.conversion import to_transformers
from lib.attention.transformer import Transformer, TransformerConfig
from lib.attention.translation import PAD, Pair, collate, decode, encode, exact_match
from lib.data.pretrained import quiet
from lib.files import alone, write_json
from lib.page.profile import pick_device
from lib.trace.analyses import Snapshots
from lib.training import startup, trainer
from lib.training.batches import Epochs
from lib.training.checkpoint import INDEX, describe, load_weights
from lib.training.loop import Recipe, fit, learning_rate, token_loss
from lib.training.out_of_memory import is_out_of_memory, ran_out, within_memory
from lib.training.process import deterministic, own_randomness
from lib.training.resume import Keep
from lib.training.startup import Held
from lib.training.wandb_log import Wandb
from lib.workbench.transformer.options import FREE, TRAINED, Options, check, versions

__all__ = ["TRAINED", "Options", "Run", "Task", "check", "first_model", "loss_of",
           "prepare", "snapshots_of", "train", "trial", "validation_loss", "versions",
           "written"]

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

    Raises ValueError if a pair is longer than `max_length`, the vocabulary too small,
    or the folder holds another training.
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
    probe = translation.make_pair("date", translation.datetime.date(2026, 3, 5),
                                  korean=True)
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
        raise ValueError(f"the longest sequence has {longest} tokens and max_length is "
                         f"{options.max_length}; use max_length {longest} or more.")
    return task


def first_model(options: Options, task: Task) -> Transformer:
    """The model before training; its weights depend on the seed alone."""
    with own_randomness(torch.device("cpu")):
        torch.manual_seed(options.seed)
        return Transformer(task.config)


def loss_of(model: nn.Module, batch: dict[str, Tensor], smoothing: float = 0.0
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
        wrapped = huggingface.wrap_tokenizer(task.tokenizer, task.config.max_length)
        return huggingface.translate(cast(PreTrainedModel, model), wrapped, texts)
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
    """Snapshots while training; for the Trainer, also validation losses and seconds.

    file: where these are kept for a run that goes on with this one.
    """

    def __init__(self, options: Options, task: Task, file: Path = Path()):
        self.task, self.file, self.steps = task, file, options.steps
        self.every = max(1, options.steps // 10)
        self.snapshots = snapshots_of(task) if options.track_internals else None
        self.losses: dict[int, float] = {}
        self.began = time.perf_counter()  # later by what looking took
        self.before = 0.0  # seconds of the run that this one goes on with

    def snapshot(self, step: int, model: nn.Module) -> None:
        """At every other evaluation, and at the last step, but not just before it."""
        due = step == self.steps or (
            step % (2 * self.every) == 0 and step + self.every <= self.steps)
        if self.snapshots is not None and due:
            self.snapshots.take(step, model)

    def __call__(self, step: int, model: nn.Module) -> None:
        """Look in when the Trainer calls: every so many steps, and at the ends."""
        began = time.perf_counter()
        self.snapshot(step, model)
        self.losses[step] = validation_loss(model, self.task)
        self.began += time.perf_counter() - began
        self.keep()

    @property
    def trained(self) -> float:
        """Seconds of training, those before a resume included, without looking."""
        return self.before + time.perf_counter() - self.began

    def keep(self) -> None:
        """Write what a run that goes on with this one wants to know."""
        write_json(self.file, {"seconds": self.trained, "losses": self.losses})

    def read(self, until: int) -> None:
        """What the run before kept, up to a step."""
        kept = json.loads(self.file.read_text(encoding="utf-8"))
        self.losses = {int(step): value for step, value in kept["losses"].items()
                       if int(step) <= until}
        self.before = kept["seconds"]


def snapshots_of(task: Task) -> Snapshots:
    """Snapshots of the probe, with gradients of its loss."""
    return Snapshots(collate([task.probe], task.tokenizer), task.tokens(), loss=loss_of)


def train(options: Options, task: Task, version: str) -> Run:
    """Train one version, score it on what it has not seen, and save it.

    A training of these options that the folder holds is gone on with; one that has its
    steps is used as it is. Raises OutOfMemory, CheckpointError, Diverged, Taken or
    ValueError, and KeyboardInterrupt after Ctrl-C, with a checkpoint left.
    """
    train_it = _pytorch if version == "pytorch" else _huggingface
    with alone(options.folder / ".lock", options.folder):
        held = held_training(options, version)
        startup.say_so(held, options.steps)
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
    """The training of a version to go on with; None where one begins, and
    CheckpointError where the folder holds another."""
    place, held = options.folder / version / "checkpoints", None
    if options.force:
        return None
    if version == "pytorch":
        if kept := startup.held_by(place):
            held = Held(kept[0], kept[1]["configuration"], kept[1]["step"])
    elif last := trainer.last_checkpoint(place):
        before = json.loads((place / "options.json").read_text(encoding="utf-8"))
        held = Held(last, before, int(last.name.rpartition("-")[2]))
    return startup.going_on(options, held, options.steps, FREE, "epochs", "output_dir")


def epochs_kept(snapshots: Snapshots, model: nn.Module, checkpoints: Path,
                until: int | None = None) -> None:
    """Take a snapshot of the weights after each epoch, as the checkpoints have them."""
    places = [index.parent for index in checkpoints.glob(f"epoch_*/{INDEX}")]
    for step, place in sorted((describe(place)["step"], place) for place in places):
        if until is None or step <= until:
            load_weights(place, model)
            snapshots.take(step, model)


def _pytorch(options: Options, task: Task, held: Held | None) -> Run:
    folder, look = options.folder / "pytorch", _Look(options, task)
    model = first_model(options, task).to(pick_device(options.device))
    hooks: list[Callable] = [lambda step: look.snapshot(step.step, step.model)]
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
        evaluate=lambda m: validation_loss(m, task), on_step=hooks,
        resume=held is not None)
    if history.interrupted:
        raise startup.stopped(keep.folder, options.steps, options)
    curve = pd.DataFrame({name: getattr(history, name) for name in
                          ("step", "train", "valid", "lr", "grad_norm")})
    first = pd.DataFrame({"step": [0], "valid": [start]})
    curve = pd.concat([first, curve], ignore_index=True)
    return Run("pytorch", model, task, options.steps, history.seconds, curve,
               look.snapshots, options=options)


def trial(options: Options, task: Task, **changes: Any) -> float:
    """Validation loss after an epoch of the PyTorch version with other options; nothing
    is written, and sizes of the task must stay what they are."""
    options = replace(options, epochs=1, **changes)
    task = replace(task, config=replace(task.config, dropout=options.dropout,
                                        norm_first=options.norm_first))
    model = first_model(options, task).to(pick_device(options.device))
    said = ", ".join(f"{name} {value}" for name, value in changes.items())
    history = fit(model, task.rows(options), replace(recipe_of(options), evaluations=1),
                  loss=lambda m, batch: loss_of(m, batch, options.label_smoothing),
                  name=said or "trial")
    if history.interrupted:
        raise KeyboardInterrupt("stopped in a trial, of which nothing is kept")
    return validation_loss(model, task)


def recipe_of(options: Options) -> Recipe:
    """The recipe of both versions; betas are those of the paper, section 5.3."""
    warmup = options.warmup_steps
    return Recipe(steps=options.steps, batch=options.batch_size,
                  learning_rate=options.learning_rate, schedule=options.schedule,
                  warmup=max(1, options.steps // 10) if warmup is None else warmup,
                  weight_decay=0.0, betas=(0.9, 0.98), clip=1.0,
                  precision=options.mixed_precision, seed=options.seed, evaluations=10,
                  accumulation=options.gradient_accumulation_steps)


class _SameRates(trainer.TracingTrainer):
    """The Trainer with our learning rates; its own first update has a rate of 0."""

    recipe: Recipe

    def create_scheduler(self, num_training_steps, optimizer=None):
        self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(
            cast(torch.optim.Optimizer, optimizer or self.optimizer),
            lambda step: learning_rate(self.recipe, step) / self.recipe.learning_rate)
        return self.lr_scheduler


def _huggingface(options: Options, task: Task, held: Held | None) -> Run:
    folder = options.folder / "huggingface"
    checkpoints = folder / "checkpoints"
    look = _Look(options, task, checkpoints / "losses.json")
    device, recipe = pick_device(options.device), recipe_of(options)
    world = int(os.environ.get("WORLD_SIZE", "1"))
    main = int(os.environ.get("RANK", "0")) == 0
    if held is not None:
        look.read(held.step)
    elif main:
        shutil.rmtree(checkpoints, ignore_errors=True)
        checkpoints.mkdir(parents=True)
    if main:
        write_json(checkpoints / "options.json", asdict(options))
    wrapped = huggingface.wrap_tokenizer(task.tokenizer, task.config.max_length)
    batches = task.rows(options)
    order = [i for epoch in range(options.epochs)
             for i in batches.order(epoch).tolist()]
    rows = huggingface.make_dataset(task.train, wrapped).select(order)
    arguments = trainer.training_arguments(
        checkpoints, epochs=float(options.epochs), steps=options.steps,
        order="as given", batch=options.batch_size // recipe.accumulation // world,
        accumulation=recipe.accumulation, learning_rate=recipe.learning_rate,
        schedule=recipe.schedule, warmup=recipe.warmup, beta2=recipe.betas[1],
        weight_decay=recipe.weight_decay, clip=cast(float, recipe.clip),
        label_smoothing=options.label_smoothing, precision=recipe.precision,
        device=device, seed=options.seed, log_every=look.every,
        save_every=max(1, options.per_epoch // 2), wandb=options.wandb,
        wandb_project=options.wandb_project)
    arguments.logging_first_step = False  # it would be missing in the first mean
    model = to_transformers(first_model(options, task))
    learner = _SameRates(model, arguments, wrapped, rows, on_step=look,
                         every=look.every)
    learner.recipe = recipe
    look.began = time.perf_counter()
    try:
        with own_randomness(device), deterministic(device), within_memory(), quiet():
            learner.train(resume_from_checkpoint=held and str(held.place))
    except KeyboardInterrupt as error:
        if not error.args:  # pressed twice: nothing was saved by that
            raise
        if main:
            look.keep()
        raise KeyboardInterrupt(f"{error}; {startup.how(options)}") from None
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise ran_out(f"on {device}", options.batch_size,
                      recipe.accumulation) from None
    log = trainer.history(learner)
    if main:
        look.keep()
        huggingface.save(folder, model, wrapped, arguments, log)
    curve = pd.DataFrame({"step": look.losses.keys(), "valid": look.losses.values()})
    curve = curve.merge(pd.DataFrame(log).rename(
        columns={"loss": "train", "learning_rate": "lr"}), on="step", how="left")
    return Run("huggingface", model, task, options.steps, look.trained, curve,
               look.snapshots, options=options)
