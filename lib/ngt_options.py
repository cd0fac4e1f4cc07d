"""The options of a training with gravity: their names, defaults, and what they exclude.

They have the names and defaults of leetae9yu/newton-gravity-transformer; where ours
differ, `Options` says so. `lib.ngt` trains with them.
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path

from lib.checkpoint import INDEX, CheckpointError, describe
from lib.data import ROOT
from lib.gravity import CUTOFFS, KERNELS
from lib.gravity_layers import COORDINATES
from lib.keep import KEPT, Keep
from lib.profile import given_by, pick_device
from lib.text_tokenizers import KINDS
from lib.texts import DATASETS

MODELS = ("ngt", "vanilla")
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
    looking: bool = False  # whether tokens look from a place of their own
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
            f"resume was asked for and {shown(options.folder)} holds no training to "
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


def parsed(words: list[str]) -> Options:
    """Options from `name=value`; a value is Python where it is, else text.

    >>> parsed(["max_steps=9", "kernel=gaussian"]).kernel
    'gaussian'
    """
    return Options(**given_by(words, NAMES))


def place_of(options: Options) -> Path | None:
    """A checkpoint of the run, whichever can be read."""
    for place in [*(options.folder / name for name in KEPT), options.folder]:
        if (place / INDEX).exists():
            try:
                describe(place)
                return place
            except CheckpointError:
                continue
    return None


def shown(folder: Path) -> str:
    """A folder as messages name it: from the root of the repository, if inside."""
    inside = folder.is_relative_to(ROOT)
    return str(folder.relative_to(ROOT) if inside else folder)
