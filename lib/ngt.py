"""Train a language model with gravity, or its vanilla twin, from one set of options.

    options = check(Options(max_steps=200))
    task = prepare(options)          # text, tokenizer, ids
    run = train(options, task)       # model, losses, checkpoints, TensorBoard

or `python -m lib.ngt max_steps=200 model=vanilla`, also under `accelerate launch`.
The options have the names and defaults of leetae9yu/newton-gravity-transformer; where
ours differ, `Options` says so. `model="vanilla"` shares everything but attention.
"""

import ast
import copy
import os
import sys
import time
import zlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lib.checkpoint import INDEX, CheckpointError, describe, load, part, put
from lib.data import ROOT, DataError
from lib.gravity import CUTOFFS, KERNELS, repulsion
from lib.gravity_layers import COORDINATES
from lib.gravity_lm import LanguageModel, LMConfig, build
from lib.keep import KEPT, Keep
from lib.memory import OutOfMemory
from lib.ngt_log import Board
from lib.profile import pick_device
from lib.running import own_randomness
from lib.text_tokenizers import KINDS, CharTokens, Tokens, from_json, tokens_of
from lib.texts import DATASETS, Text, ids_of, load_text
from lib.train import History, Recipe, evaluate, fit, token_loss

MODELS = ("ngt", "vanilla")
PAIRS = 64  # tokens among which a step's repulsion is taken
#: What may differ between a run and the one that goes on with it.
FREE = ("max_steps", "eval_interval", "eval_iters", "vis_interval", "use_rsqrt",
        "gradient_accumulation_steps", "checkpoint_path", "resume", "run_name",
        "tokenizer_path", "device")


@dataclass(frozen=True)
class Options:
    """Every option of a training; those of the original keep its names.

    Other than in the original: `coord_dim` is chosen so that the model has as many
    parameters as its vanilla twin (32 there), since fewer would not be a comparison;
    there is no cutoff unless one is asked for (hard there), since the fast forms need
    none; coordinates know the token; `eval_iters` windows are the same each time; a
    cosine ends at a tenth of the rate; weight decay is 0.1, on matrices alone.
    """

    model: str = "ngt"  # ngt or vanilla
    dataset: str = "tinyshakespeare"  # tinyshakespeare, wikitext2 or wikitext103
    data_path: str | None = None  # a text file in place of the dataset
    tokenizer: str = "char"  # char, bpe or tiktoken
    bpe_vocab_size: int = 4000
    tokenizer_path: str | None = None  # of bpe: loaded if it is there, else written;
    # relative paths count from the root of the repository
    hidden_dim: int = 256
    coord_dim: int | None = None  # None: as many parameters as vanilla has
    num_layers: int = 6
    num_heads: int = 8
    mlp_dim: int = 1024
    block_size: int = 256  # tokens of a window
    batch_size: int = 64  # windows of an update
    max_steps: int = 5000  # updates
    learning_rate: float = 3e-4  # at its peak
    grad_clip: float = 1.0  # largest norm of all gradients; 0: no limit
    dropout: float = 0.1
    eval_interval: int = 100  # updates between two evaluations
    eval_iters: int = 50  # windows of an evaluation, evenly spread
    vis_interval: int | None = None  # between two embeddings; 0: none; None: as above
    use_amp: bool = False  # bf16, or fp16 on a GPU without it
    gradient_accumulation_steps: int = 1  # parts that a batch is cut into
    use_cosine_schedule: bool = False
    warmup_steps: int = 0
    lambda_repulsion: float = 0.05  # weight of the repulsion in what is minimised
    repulsion_interval: int = 1  # updates from one with repulsion to the next
    no_repulsion: bool = False
    no_radius_cutoff: bool | None = None  # True: none; False: compact; None: none
    use_soft_cutoff: bool = False
    use_rsqrt: bool = False  # for compatibility: our kernels take no reciprocal root
    mass_in_value: bool = False
    checkpoint_path: str | None = None  # None: checkpoints/ngt or checkpoints/vanilla
    resume: bool = False
    run_name: str | None = None  # of the TensorBoard folder, runs/…; None: by options
    seed: int = 0
    kernel: str = "newton"  # newton, gaussian or potential
    cutoff: str | None = None  # none, hard, soft or compact; None: by the two flags
    coordinates: str = "token+position"  # or position, as the original
    sign: int = 1  # of potential: 1 attracts, −1 repels as the original
    place: int | None = None  # axes of a head's coordinates; None: half a head less 2
    device: str = "auto"  # auto, cpu, cuda or mps

    @property
    def folder(self) -> Path:
        """Where checkpoints go; a relative path counts from the root."""
        return ROOT / (self.checkpoint_path or f"checkpoints/{self.model}")

    @property
    def board(self) -> Path:
        """Where TensorBoard looks."""
        kind = self.kernel if self.model == "ngt" else "dot"
        data = Path(self.data_path).stem if self.data_path else self.dataset
        return ROOT / "runs" / (
            self.run_name or f"{self.model}_{data}_{kind}_s{self.seed}"
        )

    @property
    def gate(self) -> str:
        """The cutoff: `cutoff`, else what the two flags of the original ask for."""
        if self.cutoff is not None:
            return self.cutoff
        if self.use_soft_cutoff:
            return "soft"
        return "compact" if self.no_radius_cutoff is False else "none"

    @property
    def repels(self) -> bool:
        """Whether repulsion is a part of what is minimised."""
        asked = self.lambda_repulsion > 0 and not self.no_repulsion
        return self.model == "ngt" and asked


#: The names of all options.
NAMES = tuple(Options.__dataclass_fields__)
#: What the profile `smoke` makes of a size that was left at its default.
SMOKE = {"hidden_dim": 32, "num_layers": 2, "num_heads": 4, "mlp_dim": 64,
         "block_size": 32, "batch_size": 4, "max_steps": 6, "eval_interval": 3,
         "eval_iters": 4, "bpe_vocab_size": 300}


def for_profile(options: Options, profile: str) -> Options:
    """What a profile makes of the options: `smoke` lowers what was left at its default.

    Its checkpoints go to a folder `smoke` of their own.

    >>> small = for_profile(Options(max_steps=200), "smoke")
    >>> small.hidden_dim, small.max_steps, small.folder.relative_to(ROOT).as_posix()
    (32, 200, 'checkpoints/smoke/ngt')
    """
    if profile != "smoke":
        return options
    plain = Options()
    lowered = {name: most for name, most in SMOKE.items()
               if getattr(options, name) == getattr(plain, name)}
    if "hidden_dim" in lowered:
        heads = lowered.get("num_heads", options.num_heads)
        lowered["hidden_dim"] = 8 * heads
    if options.checkpoint_path is None:
        lowered["checkpoint_path"] = f"checkpoints/smoke/{options.model}"
    if options.run_name is None:
        lowered["run_name"] = f"smoke_{options.board.name}"
    return replace(options, **lowered)


def check(options: Options) -> Options:
    """Refuse, before anything is done, what cannot be meant.

    Raises
    ------
    ValueError
        One sentence: what came, what works, what to do.

    >>> check(Options(hidden_dim=100))
    Traceback (most recent call last):
    ...
    ValueError: hidden_dim 100 does not divide into num_heads 8; use hidden_dim 96 or
    104, or 5 heads
    """
    known = [("model", MODELS), ("tokenizer", KINDS), ("kernel", KERNELS),
             ("coordinates", COORDINATES), ("sign", (1, -1))]
    known += [("dataset", DATASETS)] if options.data_path is None else []
    known += [("cutoff", CUTOFFS)] if options.cutoff is not None else []
    for name, values in known:
        if getattr(options, name) not in values:
            raise ValueError(
                f"{name} {getattr(options, name)!r} is not known; use one of "
                f"{', '.join(map(str, values))}"
            )
    for name in ("hidden_dim", "num_layers", "num_heads", "mlp_dim", "block_size",
                 "batch_size", "max_steps", "eval_interval", "eval_iters",
                 "gradient_accumulation_steps", "repulsion_interval", "coord_dim",
                 "place"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise ValueError(f"{name} is {value}; use 1 or more")
    for name in ("grad_clip", "warmup_steps", "lambda_repulsion", "vis_interval"):
        value = getattr(options, name)
        if value is not None and value < 0:
            raise ValueError(f"{name} is {value}; use 0 or more")
    if not options.learning_rate > 0:
        raise ValueError(f"learning_rate is {options.learning_rate}; use more than 0")
    if not 0 <= options.dropout < 1:
        raise ValueError(f"dropout is {options.dropout}; use 0 or more, below 1")
    _check_together(options)
    pick_device(options.device)
    if options.resume and not Keep(options.folder).there():
        raise ValueError(
            f"resume was asked for and {_shown(options.folder)} holds no training to "
            "go on with; leave resume out to start one"
        )
    return options


def settled(options: Options, profile: str) -> Options:
    """What a notebook runs: the options it was given, checked, as the profile has them.

    They are checked as they came as well, so that `smoke` refuses what `book` does.
    """
    check(replace(options, resume=False))
    return check(for_profile(options, profile))


def _check_together(options: Options) -> None:
    width, heads = options.hidden_dim, options.num_heads
    if width % heads:
        below = max(width // heads * heads, heads)
        fits = max(n for n in range(1, heads + 1) if width % n == 0)
        raise ValueError(
            f"hidden_dim {width} does not divide into num_heads {heads}; use "
            f"hidden_dim {below} or {below + heads}, or {fits} heads"
        )
    parts = options.gradient_accumulation_steps
    parts *= int(os.environ.get("WORLD_SIZE", "1"))
    if options.batch_size < parts:
        raise ValueError(
            f"batch_size {options.batch_size} cannot be cut into "
            f"gradient_accumulation_steps {options.gradient_accumulation_steps}; raise "
            f"batch_size to {parts} or lower gradient_accumulation_steps"
        )
    if options.sign == -1 and options.kernel != "potential":
        raise ValueError(
            f"sign -1 belongs to kernel potential and kernel is {options.kernel}; use "
            "kernel potential, or sign 1"
        )
    flags = {"no_radius_cutoff": options.no_radius_cutoff is True,
             "use_soft_cutoff": options.use_soft_cutoff}
    if all(flags.values()):
        raise ValueError(
            "no_radius_cutoff and use_soft_cutoff exclude each other; leave one out"
        )
    meant = {"no_radius_cutoff": "none", "use_soft_cutoff": "soft"}
    for name, given in flags.items():
        if given and options.cutoff not in (None, meant[name]):
            raise ValueError(
                f"{name} and cutoff {options.cutoff} exclude each other; leave one out"
            )


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
    part alone. A run that goes on takes the tokenizer of its checkpoint.

    Raises
    ------
    ValueError, DataError
        If the text cannot be had, encoded, or is shorter than a window.
    """
    file = options.data_path and ROOT / options.data_path
    text = load_text(options.dataset, file)
    if options.resume and (place := _place(options)) is not None:
        tokens = from_json(describe(place)["configuration"]["tokenizer"])
    elif options.tokenizer == "char":
        tokens = CharTokens.of(text.train + text.valid)
    else:
        path = options.tokenizer_path
        path = path if path is None else ROOT / path
        tokens = tokens_of(options.tokenizer, text.train, options.bpe_vocab_size, path)
    train_ids, valid_ids = (ids_of(t, tokens) for t in (text.train, text.valid))
    for ids, what in ((train_ids, "training"), (valid_ids, "validation")):
        if len(ids) <= options.block_size:
            raise ValueError(
                f"the {what} part of {text.name} has {len(ids):,} tokens and "
                f"block_size is {options.block_size:,}; use block_size "
                f"{max(1, len(ids) - 1):,} or less, or a longer text"
            )
    return Task(tokens, train_ids, valid_ids, text)


def model_config(options: Options, vocab: int) -> LMConfig:
    """The model of the options, for a vocabulary of that size."""
    ngt = options.model == "ngt"
    config = LMConfig(
        vocab=vocab, context=options.block_size, d_model=options.hidden_dim,
        n_layers=options.num_layers, n_heads=options.num_heads, d_ff=options.mlp_dim,
        attention=options.kernel if ngt else "dot", coordinates=options.coordinates,
        sign=options.sign, cutoff=options.gate, place=options.place,
        mass_in_value=options.mass_in_value, dropout=options.dropout,
        d_coord=options.coord_dim or 1,
    )
    if ngt and options.coord_dim is None:
        config = replace(config, d_coord=matched_coordinates(config))
    return config


def matched_coordinates(config: LMConfig) -> int:
    """The `d_coord` with which a model has as many parameters as its vanilla twin.

    The twin's queries and keys are 2 d² numbers a layer. In their place stand a mass a
    vocabulary entry, two or three numbers a head, and for each axis of the coordinates
    a column in every table and projection that reads or writes them.

    >>> matched_coordinates(LMConfig(vocab=65, context=256, d_model=256, n_layers=6,
    ...                              n_heads=8, d_ff=1024))
    344
    """
    d, layers, heads = config.d_model, config.n_layers, config.n_heads
    axes = config.place or max(2, d // heads // 2 - 2)
    of_heads = 1 + (config.cutoff != "none") + (not config.mass_in_value)
    fixed = config.vocab + layers * heads * of_heads
    tables = config.context + config.vocab * ("token" in config.coordinates)
    column = layers * heads * axes + tables + 2 + (layers - 1) * (d + 2)
    return max(2, round((2 * layers * d**2 - fixed) / column))


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
    logits, z, mass = model.places(ids)
    total, tokens = token_loss(logits, targets)
    energy = repulsion(z[:, places[0]].float(), mass[:, places[0]].float())
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
    """The options as `lib.train.fit` takes them."""
    return Recipe(
        steps=options.max_steps, batch=options.batch_size, context=options.block_size,
        learning_rate=options.learning_rate, warmup=options.warmup_steps,
        schedule="cosine" if options.use_cosine_schedule else "constant",
        clip=options.grad_clip or None, precision=precision(options),
        accumulation=options.gradient_accumulation_steps, seed=options.seed,
        evaluation_interval=options.eval_interval,
        evaluation_windows=options.eval_iters,
    )


def precision(options: Options) -> str:
    """What `use_amp` means on the device: bf16, or fp16 on a GPU without it."""
    if not options.use_amp:
        return "no"
    cuda = pick_device(options.device).type == "cuda"
    return "fp16" if cuda and not torch.cuda.is_bf16_supported() else "bf16"


def train(options: Options, task: Task) -> Run:
    """Train, and leave checkpoints in `options.folder`, scalars in `options.board`.

    Raises
    ------
    OutOfMemory, CheckpointError, ValueError
        One sentence each; KeyboardInterrupt after Ctrl-C, with a checkpoint left.
    """
    config = model_config(options, task.tokens.vocab)
    told = {"kind": "gravity_lm", "model": asdict(config),
            "tokenizer": task.tokens.to_json(), "options": asdict(options)}
    if options.resume:
        _same(options, task)
    device = pick_device(options.device)
    model = build(config, options.seed).to(device)
    recipe, keep = recipe_of(options), Keep(options.folder, configuration=told)
    weight = options.lambda_repulsion if options.repels else 0.0
    windows = Windows(task.train_ids, options.batch_size, options.block_size,
                      options.seed, PAIRS if weight else 0, options.repulsion_interval)

    def measured(model: LanguageModel, windows: int | None = None) -> float:
        return evaluate(model, task.valid_ids, options.block_size, windows,
                        options.batch_size)

    began = time.perf_counter()
    interval = options.vis_interval
    interval = options.eval_interval if interval is None else interval
    board = Board(options.board, task.valid_ids[: options.block_size], task.tokens,
                  interval, fresh=not options.resume)
    with closing(board):
        history = fit(
            model, windows, recipe, keep=keep, name=options.model,
            loss=lambda model, batch: objective(model, batch, weight),
            evaluate=lambda model: measured(model, options.eval_iters),
            on_step=board, resume=options.resume,
        )
    if history.interrupted:
        raise KeyboardInterrupt(
            f"stopped at step {describe(options.folder / 'last')['step']} of "
            f"{options.max_steps}; the same command with resume goes on from there"
        )
    run = Run(model, task.tokens, history, options, options.folder, keep.losses(),
              seconds=time.perf_counter() - began)
    with own_randomness(device), torch.no_grad():
        run.valid = measured(model)
        best = copy.deepcopy(model)
        put(part(load(options.folder / "best")[0], "model"), best, options.folder)
        run.best = measured(best)
    model.eval()
    return run


def _place(options: Options) -> Path | None:
    """A checkpoint of the run, whichever can be read."""
    for place in [*(options.folder / name for name in KEPT), options.folder]:
        if (place / INDEX).exists():
            try:
                describe(place)
                return place
            except CheckpointError:
                continue
    return None


def _same(options: Options, task: Task) -> None:
    """Refuse to go on with a training of other options or another tokenizer."""
    place = _place(options)
    if place is None:
        return  # lib.keep says what is wrong
    before = describe(place)["configuration"]
    instead = "go on with the same, or leave resume out to start anew"
    for name, value in asdict(options).items():
        was = before.get("options", {}).get(name)
        if name not in FREE and was != value:
            raise CheckpointError(
                f"{_shown(place)} was trained with {name} {was} and this run has "
                f"{value}; {instead}"
            )
    if before.get("tokenizer") != task.tokens.to_json():
        raise CheckpointError(
            f"{_shown(place)} was trained with another tokenizer than "
            f"{task.tokens.name}; {instead}"
        )


def _shown(folder: Path) -> str:
    inside = folder.is_relative_to(ROOT)
    return str(folder.relative_to(ROOT) if inside else folder)


def main(words: list[str]) -> int:
    """`python -m lib.ngt name=value …`: train, also under accelerate.

    Returns 0, or 1 after one sentence on what is wrong, or 130 after Ctrl-C.
    """
    try:
        options = check(parsed(words))
        run = train(options, prepare(options))
        if int(os.environ.get("RANK", "0")) == 0:
            print(f"{options.model}: loss {run.valid:.4f} nats over the whole "
                  f"validation text after {options.max_steps} steps; "
                  f"{_shown(run.folder)}")
    except (ValueError, OutOfMemory, DataError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt as error:
        print(error or "stopped", file=sys.stderr)
        return 130
    return 0


def parsed(words: list[str]) -> Options:
    """Options from `name=value`; a value is Python where it is, else text.

    >>> parsed(["max_steps=9", "kernel=gaussian"]).kernel
    'gaussian'
    """
    given: dict[str, Any] = {}
    for word in words:
        name, sign, value = word.partition("=")
        if not sign or name not in NAMES:
            raise ValueError(
                f"{word!r} is no option; write name=value, with one of "
                f"{', '.join(NAMES)}"
            )
        try:
            given[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            given[name] = value
    return Options(**given)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
