"""Train a language model with gravity, or its vanilla twin, from one set of options.

    options = check(Options(max_steps=200))
    task = prepare(options)          # text, tokenizer, ids
    run = train(options, task)       # model, losses, checkpoints, TensorBoard

or `python -m lib.workbench.ngt max_steps=200 model=vanilla`, also under `accelerate
launch`. The options stand in `lib.workbench.ngt.options`, what TensorBoard is told in
`lib.workbench.ngt.log`. `model="vanilla"` shares everything but attention.
"""

import copy
import json
import os
import time
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lib.commands import path_of
from lib.data import DataError
from lib.files import alone, beside, shown
from lib.gravity.attention import repulsion
from lib.gravity.model import LanguageModel, LMConfig, build, matched_width
from lib.gravity.texts import Text, ids_of, load_text
from lib.gravity.tokenizers import CharTokens, Tokens, from_json, tokens_of
from lib.options import given_by
from lib.page.profile import pick_device
from lib.training import startup
from lib.training.checkpoint import CheckpointError, load_weights
from lib.training.loop import History, Recipe, evaluate, fit, token_loss
from lib.training.out_of_memory import OutOfMemory
from lib.training.process import own_randomness
from lib.training.resume import Keep
from lib.training.startup import ANEW, Held
from lib.workbench.command import exit_code
from lib.workbench.ngt.log import Board
from lib.workbench.ngt.options import EARLIER, FREE, Options, check

KIND = "gravity_lm"  # of a checkpoint's configuration
PAIRS = 64  # tokens among which a step's repulsion is taken


# ---- the task ----------------------------------------------------------------------


@dataclass(frozen=True)
class Task:
    """What is learned: the text, its tokenizer, and both parts as ids."""

    tokens: Tokens
    train_ids: Int[Tensor, " length"]
    valid_ids: Int[Tensor, " valid_length"]
    text: Text


def prepare(options: Options) -> Task:
    """Read the text and encode it.

    The char tokenizer knows the characters of both parts; BPE learns from the first
    part alone. A run that goes on takes the tokenizer of its checkpoint. Raises
    ValueError or DataError if the text cannot be had, encoded, or is shorter than a
    window, or the folder holds another training.
    """
    _held(options)
    file = options.data_path and path_of(options.data_path)
    text = load_text(options.dataset, file)
    if held := _held(options, text):
        tokens = from_json(held.configuration["tokenizer"])
    elif options.tokenizer == "char":
        tokens = CharTokens.of(text.train + text.valid)
    else:
        path = options.tokenizer_path and path_of(options.tokenizer_path)
        tokens = tokens_of(options.tokenizer, text.train, options.bpe_vocab_size, path)
    train_ids, valid_ids = (ids_of(t, tokens) for t in (text.train, text.valid))
    for ids, what in ((train_ids, "training"), (valid_ids, "validation")):
        if len(ids) <= options.block_size:
            raise ValueError(
                f"the {what} part of {text.name} has {len(ids):,} tokens and "
                f"block_size is {options.block_size:,}; use block_size "
                f"{max(1, len(ids) - 1):,} or less, or a longer text")
    return Task(tokens, train_ids, valid_ids, text)


#: How `newton` starts: with a small ε a token first sees itself alone (lab log).
SOFT: dict[str, Any] = {"strength": 1.0, "eps": 1.0}


def model_config(options: Options, vocab: int) -> LMConfig:
    """The model of the options, for a vocabulary of that size."""
    ngt = options.model == "ngt"
    config = LMConfig(
        vocab=vocab, context=options.block_size, d_model=options.hidden_dim,
        n_layers=options.num_layers, n_heads=options.num_heads, d_ff=options.mlp_dim,
        attention=options.kernel if ngt else "dot", coordinates=options.coordinates,
        sign=options.sign, cutoff=options.gate, place=options.place,
        looking=options.looking, form=options.form, mass_in_value=options.mass_in_value,
        dropout=options.dropout, d_coord=options.coord_dim or 1,
        positions=options.positions, moves=options.moves, mass=options.mass,
        stream=options.stream, qk_norm=options.qk_norm and not ngt,
        **(SOFT if options.kernel == "newton" else {}))
    if config.has_coordinates and options.coord_dim is None:
        config = replace(config, d_coord=matched_width(config))
    return config


class Windows:
    """Batches without end: random windows of a text, and where repulsion is taken.

    Each is (ids, next ids, places): (rows, block), (rows, block), (rows, n) where the
    n places are those of the tokens that repel each other, n = 0 where none do. All is
    drawn from the seed and the step alone, so that `after` starts anywhere.

    >>> windows = Windows(torch.arange(99), 2, block=8, seed=1, sampled=4, every=2)
    >>> x, y, places = next(windows.after(6))
    >>> bool((y == x + 1).all()), places.shape, next(windows.after(7))[2].shape
    (True, torch.Size([2, 4]), torch.Size([2, 0]))
    """

    def __init__(self, ids: Int[Tensor, " length"], batch: int, block: int, seed: int,
                 sampled: int = 0, every: int = 1):
        self.ids, self.batch, self.block, self.seed = ids, batch, block, seed
        self.sampled, self.every = min(sampled, block), every

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        return self.after(0)

    def after(self, step: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """The batches that follow the first `step`."""
        span = torch.arange(self.block + 1)
        while True:
            generator = torch.Generator()
            generator.manual_seed(zlib.crc32(f"{self.seed} {step}".encode()))
            first = torch.randint(len(self.ids) - self.block, (self.batch, 1),
                                  generator=generator)
            chunk = self.ids[first + span]
            due = self.sampled if step % self.every == 0 else 0
            places = torch.randperm(self.block, generator=generator)[:due]
            yield chunk[:, :-1], chunk[:, 1:], places.expand(self.batch, -1)
            step += 1


def objective(
    model: LanguageModel, batch: tuple[Tensor, Tensor, Tensor], weight: float = 0.0
) -> tuple[Float[Tensor, ""], Int[Tensor, ""], Float[Tensor, ""]]:
    """What is minimised, the number of tokens, and the cross-entropy alone; summed.

    weight: λ of cross-entropy + λ · repulsion of the last layer's coordinates; each
    token carries the mean energy, so that parts of a batch add up to the whole.
    """
    ids, targets, places = batch
    if not weight or places.shape[1] < 2:
        total, tokens = token_loss(model(ids), targets)
        return total, tokens, total.detach()
    logits, *where = model.places(ids)
    total, tokens = token_loss(logits, targets)
    z, mass = (cast(Tensor, x)[:, places[0]].float() for x in where)
    energy = repulsion(z, mass)
    return total + weight * tokens * energy, tokens, total.detach()


# ---- training ----------------------------------------------------------------------


@dataclass
class Run:
    """What came of a training."""

    model: LanguageModel  # after the last update
    tokens: Tokens
    history: History
    options: Options
    folder: Path  # of the checkpoints
    losses: list[float] = field(default_factory=list)  # of every step, in nats
    valid: float = 0.0  # over the whole validation part, after the last update
    best: float = 0.0  # the same of the checkpoint `best`
    seconds: float = 0.0  # of the steps of this process, evaluations included


def recipe_of(options: Options) -> Recipe:
    """The options as `lib.training.loop.fit` takes them."""
    return Recipe(
        steps=options.max_steps, batch=options.batch_size, context=options.block_size,
        learning_rate=options.learning_rate, warmup=options.warmup_steps,
        schedule="cosine" if options.use_cosine_schedule else "constant",
        clip=options.grad_clip or None, precision=precision(options),
        accumulation=options.gradient_accumulation_steps, seed=options.seed,
        evaluation_interval=options.eval_interval,
        evaluation_windows=options.eval_iters)


def precision(options: Options) -> str:
    """What `use_amp` means on the device: bf16, or fp16 on a GPU without it."""
    if not options.use_amp:
        return "no"
    cuda = pick_device(options.device).type == "cuda"
    return "fp16" if cuda and not torch.cuda.is_bf16_supported() else "bf16"


def train(options: Options, task: Task) -> Run:
    """Train, and leave checkpoints in `options.folder`, scalars in `options.board`.

    A training of these options that the folder holds is gone on with; one that has its
    steps is used as it is. Raises OutOfMemory, CheckpointError, Diverged, Taken or
    ValueError, and KeyboardInterrupt after Ctrl-C, with a checkpoint left.
    """
    config = model_config(options, task.tokens.vocab)
    configuration = {"kind": KIND, "model": asdict(config), "text": task.text.sha256,
                     "tokenizer": task.tokens.to_json(), "options": asdict(options)}
    device = pick_device(options.device)
    model = build(config, options.seed).to(device)
    keep = Keep(options.folder, configuration=configuration)
    weight = options.lambda_repulsion if options.repels else 0.0
    windows = Windows(task.train_ids, options.batch_size, options.block_size,
                      options.seed, PAIRS if weight else 0, options.repulsion_interval)

    def measured(model: LanguageModel, windows: int | None = None) -> float:
        return evaluate(model, task.valid_ids, options.block_size, windows,
                        options.batch_size)

    began = time.perf_counter()
    interval = options.vis_interval
    interval = options.eval_interval if interval is None else interval
    with ExitStack() as stack:
        for folder in (options.folder, options.board):
            stack.enter_context(alone(beside(folder), folder))
        held = _held(options, task.text, task.tokens)
        _expect_board(options, held is not None)
        startup.say_so(held, options.max_steps)
        board = Board(options.board, task.valid_ids[: options.block_size], task.tokens,
                      interval, fresh=held is None, options=asdict(options))
        stack.enter_context(closing(board))
        history = fit(model, windows, recipe_of(options), keep=keep, name=options.model,
                      loss=lambda model, batch: objective(model, batch, weight),
                      evaluate=lambda model: measured(model, options.eval_iters),
                      on_step=board, resume=held is not None)
    if history.interrupted:
        raise startup.stopped(options.folder, options.max_steps, options)
    run = Run(model, task.tokens, history, options, options.folder, keep.losses(),
              seconds=time.perf_counter() - began)
    with own_randomness(device), torch.no_grad():
        run.valid = measured(model)
        best = copy.deepcopy(model)
        load_weights(options.folder / "best", best)
        run.best = measured(best)
    model.eval()
    return run


def _held(options: Options, text: Text | None = None,
          tokens: Tokens | None = None) -> Held | None:
    """The training to go on with, of this text and tokenizer; None where one begins.

    Raises CheckpointError if the folder holds another training, or nothing to go on
    with where `resume` was asked for.
    """
    kept = None if options.force else startup.held_by(options.folder)
    if kept is None:
        if options.resume:
            raise CheckpointError(
                f"resume was asked for and {shown(options.folder)} holds no training "
                "to go on with; leave resume out to start one")
        return None
    place, about = kept
    configuration, another = about.get("configuration") or {}, ""
    held = Held(place, {**EARLIER, **configuration.get("options", {})},
                about.get("step", 0), configuration)
    if configuration.get("kind") != KIND:
        another = "holds no training of a language model"
    else:
        startup.going_on(options, held, options.max_steps, FREE, "max_steps",
                         "checkpoint_path")
        if text and configuration.get("text") not in (None, text.sha256):  # old: None
            another = f"was trained on another text than what {text.name} is now"
        elif tokens and configuration.get("tokenizer") != tokens.to_json():
            another = f"was trained with another tokenizer than {tokens.name}"
    if another:
        raise CheckpointError(
            f"{shown(place)} {another}; name another checkpoint_path, or {ANEW}")
    return held


def _expect_board(options: Options, going_on: bool) -> None:
    """Refuse to write over what TensorBoard is told of a run of other options."""
    file = options.board / "options.json"
    if going_on or options.force or not file.exists():
        return
    before = EARLIER | json.loads(file.read_text(encoding="utf-8"))
    if name := startup.differing(before, options, FREE):
        raise CheckpointError(
            f"{shown(options.board)} is the log of a run with {name} "
            f"{before.get(name)} and this run has {getattr(options, name)}; name "
            f"another run_name, or {ANEW}")


def main(words: list[str]) -> int:
    """`python -m lib.workbench.ngt name=value …`: train, also under accelerate."""
    def work() -> None:
        options = check(Options(**given_by(words, Options)))
        run = train(options, prepare(options))
        if int(os.environ.get("RANK", "0")) == 0:
            print(f"{options.model}: loss {run.valid:.4f} nats over the whole "
                  f"validation text after {options.max_steps} steps; "
                  f"{shown(run.folder)}")

    return exit_code(work, ValueError, OutOfMemory, DataError)
