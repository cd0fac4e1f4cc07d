"""The options of a training with gravity: their names, defaults, and what they exclude.

They have the names of leetae9yu/newton-gravity-transformer, and its sizes. How a model
attends and learns has the defaults that did best in benchmarks/results/quality.jsonl;
ORIGINAL holds those of the original. `lib.workbench.ngt.training` trains with them.
Nothing here needs torch.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, no_type_check

from lib.commands import ROOT, path_of
from lib.gravity.forms import expect_form
from lib.options import (
    Count,
    CountOrNone,
    Device,
    Range,
    Rate,
    Seed,
    Share,
    changed,
    defaults_lowered,
    expect,
)
from lib.workbench.options import among, expect_heads, expect_start

#: What may differ between a run and the one that goes on with it.
FREE = ("max_steps", "eval_interval", "eval_iters", "vis_interval", "use_rsqrt",
        "gradient_accumulation_steps", "checkpoint_path", "resume", "force", "run_name",
        "tokenizer_path", "device", "form")


@no_type_check  # `expect` does, and not while testing alone
@dataclass(frozen=True)
class Options:
    """Every option of a training; those of the original keep its names.

    Other than in the original, whatever is asked for: `eval_iters` windows are the same
    each time; a cosine ends at a tenth of the rate; weight decay is 0.1, on matrices
    alone; `coord_dim` None gives the model as many parameters as its vanilla twin,
    since fewer would not be a comparison.
    """

    model: Literal["ngt", "vanilla"] = "ngt"
    dataset: Literal["tinyshakespeare", "wikitext2", "wikitext103"] = "tinyshakespeare"
    data_path: Annotated[str | None, "a text file in place of the dataset"] = None
    tokenizer: Literal["char", "bpe", "tiktoken"] = "char"
    bpe_vocab_size: Annotated[int, Range(least=256), "the most pieces of bpe"] = 4000
    tokenizer_path: Annotated[
        str | None, "of bpe: loaded if it is there, else written"] = None
    hidden_dim: Annotated[Count, "width of the residual stream"] = 256
    coord_dim: Annotated[
        Count | None, "of coordinates; None: as many parameters as vanilla"] = None
    num_layers: Annotated[Count, "blocks of attention and feed-forward"] = 6
    num_heads: Annotated[Count, "must divide hidden_dim"] = 8
    mlp_dim: Annotated[Count, "width inside the feed-forward networks"] = 1024
    block_size: Annotated[Count, "tokens of a window"] = 256
    batch_size: Annotated[Count, "windows of an update"] = 64
    max_steps: Annotated[Count, "updates"] = 5000
    learning_rate: Annotated[Rate, "at its peak"] = 2e-3
    grad_clip: Annotated[
        float, Range(least=0), "largest norm of all gradients; 0: no limit"] = 1.0
    dropout: Share = 0.1
    eval_interval: Annotated[Count, "updates between two evaluations"] = 100
    eval_iters: Annotated[Count, "windows of an evaluation, evenly spread"] = 50
    vis_interval: Annotated[
        CountOrNone | None, "steps of embeddings; 0: none; None: eval_interval"] = None
    use_amp: Annotated[bool, "bf16, or fp16 on a GPU that has no bf16"] = False
    gradient_accumulation_steps: Annotated[Count, "parts that a batch is cut into"] = 1
    use_cosine_schedule: Annotated[bool, "else the rate stays at its peak"] = True
    warmup_steps: Annotated[CountOrNone, "updates until the peak"] = 50
    lambda_repulsion: Annotated[
        float, Range(least=0), "weight of the repulsion in what is minimised"] = 0.0
    repulsion_interval: Annotated[
        Count, "updates from one with repulsion to the next"] = 1
    no_repulsion: Annotated[bool, "True: nothing keeps the coordinates apart"] = False
    no_radius_cutoff: Annotated[
        bool | None, "True: no cutoff; False: compact; None: none"] = None
    use_soft_cutoff: Annotated[
        bool, "True: a soft cutoff, as the original has it"] = False
    use_rsqrt: Annotated[
        bool, "taken for compatibility; our kernels need no root"] = False
    mass_in_value: Annotated[
        bool, "mass multiplies the value and leaves the logit"] = False
    checkpoint_path: Annotated[
        str | None, "None: checkpoints/ngt or checkpoints/vanilla"] = None
    resume: Annotated[bool, "refuse where there is nothing to go on with"] = False
    force: Annotated[
        bool, "begin anew, whatever checkpoint_path and run_name hold"] = False
    run_name: Annotated[
        str | None, "TensorBoard's folder in runs; None: by the options"] = None
    seed: Annotated[Seed, "of the first weights and of the windows"] = 0
    kernel: Literal["newton", "gaussian", "potential"] = "gaussian"
    cutoff: Annotated[
        Literal["none", "hard", "soft", "compact"] | None, "None: by the two flags"
    ] = None
    coordinates: Literal["token+position", "position", "token"] = "token"
    sign: Annotated[
        Literal[1, -1], "of potential: 1 attracts, -1 repels as the original"] = 1
    place: Annotated[
        Count | None, "axes of a head's coordinates; None: half a head less 2"] = None
    #: of `lib.gravity.fast`; auto: what fits the kernel, the cutoff and the device
    form: Literal[
        "auto", "reference", "sdpa", "fused", "near", "chunked", "flex"] = "auto"
    looking: Annotated[bool, "whether tokens look from a place of their own"] = True
    #: of hidden states if learned; rotary turns places, or queries and keys
    positions: Literal[
        "learned", "rotary", "learned+rotary", "alibi", "none"] = "rotary"
    moves: Annotated[bool, "whether coordinates move between layers"] = True
    mass: Annotated[bool, "whether tokens have masses"] = True
    #: what vanilla's queries and keys are read from; ngt has none
    stream: Literal["content", "coordinates", "content+coordinates"] = "content"
    qk_norm: Annotated[bool, "of vanilla: queries and keys are normalised"] = True
    device: Device = "auto"

    def __post_init__(self) -> None:
        """Refuse a value of another kind, an unknown name, a number out of range."""
        if self.dataset == "shakespeare":  # the word of the vocabulary's corpora
            object.__setattr__(self, "dataset", "tinyshakespeare")
        expect(self)

    @property
    def folder(self) -> Path:
        """Where checkpoints go; a relative path counts from the root."""
        return path_of(self.checkpoint_path or f"checkpoints/{self.model}")

    @property
    def board(self) -> Path:
        """Where TensorBoard looks; unless it is named, a folder of these options alone.

        >>> Options().board.name, Options(num_layers=2).board.name
        ('ngt_tinyshakespeare_gaussian_s0', 'ngt_tinyshakespeare_gaussian_s0_8174d8')
        """
        kind = self.kernel if self.model == "ngt" else "dot"
        data = Path(self.data_path).stem if self.data_path else self.dataset
        name = f"{self.model}_{data}_{kind}_s{self.seed}"
        others = {name: value for name, value in changed(self).items()
                  if name not in (*FREE, "model", "dataset", "kernel", "seed")}
        if others:
            text = json.dumps(others, sort_keys=True)
            name += f"_{hashlib.sha256(text.encode()).hexdigest()[:6]}"
        return ROOT / "runs" / (self.run_name or name)

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


#: What trainings did before these options were there; their records do not name them.
EARLIER: dict[str, Any] = {"positions": "learned", "moves": True, "mass": True,
                           "stream": "content", "qk_norm": False}

#: What the original does where it is not told otherwise, and `Options` does not. Its
#: softening of 1e-6 has no option: ours stays 0.1, which bounds what a token can pull.
ORIGINAL: dict[str, Any] = {
    "learning_rate": 3e-4, "use_cosine_schedule": False, "warmup_steps": 0,
    "lambda_repulsion": 0.05, "kernel": "potential", "sign": -1, "cutoff": "hard",
    "coordinates": "position", "looking": False, "coord_dim": 32,
    "positions": "learned",
}

#: What the profile `smoke` makes of a size that was left at its default.
SMOKE = {"hidden_dim": 32, "num_layers": 2, "num_heads": 4, "mlp_dim": 64,
         "block_size": 32, "batch_size": 4, "max_steps": 6, "eval_interval": 3,
         "eval_iters": 4, "bpe_vocab_size": 300}


def for_profile(options: Options, profile: str) -> Options:
    """What a profile makes of the options: `smoke` lowers what was left at its default.

    Its checkpoints go to a folder `smoke` of their own, where each run begins anew.

    >>> small = for_profile(Options(max_steps=200), "smoke")
    >>> small.hidden_dim, small.max_steps, small.folder.relative_to(ROOT).as_posix()
    (32, 200, 'checkpoints/smoke/ngt')
    """
    if profile != "smoke":
        return options
    lowered = defaults_lowered(options, SMOKE)
    if "hidden_dim" in lowered:
        heads = lowered.get("num_heads", options.num_heads)
        lowered["hidden_dim"] = 8 * heads
    if options.checkpoint_path is None:
        lowered["checkpoint_path"] = f"checkpoints/smoke/{options.model}"
        lowered["force"] = not options.resume
    if options.run_name is None:
        lowered["run_name"] = f"smoke_{options.board.name}"
    return replace(options, **lowered)


def check(options: Options) -> Options:
    """Refuse, before anything is done, what cannot be meant.

    >>> check(Options(hidden_dim=100))
    Traceback (most recent call last):
    ...
    ValueError: hidden_dim 100 does not divide into num_heads 8; use hidden_dim 96 or
    104, or 5 heads
    """
    expect_heads("hidden_dim", options.hidden_dim, options.num_heads)
    parts = options.gradient_accumulation_steps
    parts *= int(os.environ.get("WORLD_SIZE", "1"))
    if options.batch_size < parts:
        raise ValueError(
            f"batch_size {options.batch_size} cannot be cut into "
            f"gradient_accumulation_steps {options.gradient_accumulation_steps}; raise "
            f"batch_size to {parts} or lower gradient_accumulation_steps")
    if options.sign == -1 and options.kernel != "potential":
        raise ValueError(
            f"sign -1 belongs to kernel potential and kernel is {options.kernel}; use "
            "kernel potential, or sign 1")
    flags = {"no_radius_cutoff": options.no_radius_cutoff is True,
             "use_soft_cutoff": options.use_soft_cutoff}
    if all(flags.values()):
        raise ValueError(
            "no_radius_cutoff leaves no radius that use_soft_cutoff could soften; "
            "leave use_soft_cutoff out for no cutoff, or no_radius_cutoff for a soft "
            "one")
    meant = {"no_radius_cutoff": "none", "use_soft_cutoff": "soft"}
    for name, given in flags.items():
        if given and options.cutoff not in (None, meant[name]):
            raise ValueError(
                f"{name} and cutoff {options.cutoff} exclude each other; leave one out")
    _expect_positions(options)
    if options.model == "ngt":
        expect_form(options.form, options.kernel, options.gate)
    expect_start(options)
    return options


def _expect_positions(options: Options) -> None:
    """Refuse positions and streams that the model asked for does not have."""
    ngt, turned = options.model == "ngt", "rotary" in options.positions
    if turned and options.place and options.place % 2:
        raise ValueError(
            f"place {options.place} is odd and positions {options.positions} turn "
            f"axes in pairs; use place {options.place + 1}, or positions learned")
    step = 2 * options.num_heads
    if turned and not ngt and "content" in options.stream and options.hidden_dim % step:
        below = max(options.hidden_dim // step * step, step)
        raise ValueError(
            f"hidden_dim {options.hidden_dim} gives each of num_heads "
            f"{options.num_heads} an odd width and positions {options.positions} turn "
            f"numbers in pairs; use hidden_dim {below} or {below + step}, or positions "
            "learned")
    if ngt and options.positions == "alibi":
        raise ValueError(
            "positions alibi belong to model vanilla and model is ngt; use learned, "
            "rotary, learned+rotary or none")
    if ngt and options.stream != "content":
        raise ValueError(
            f"stream {options.stream} belongs to model vanilla and model is ngt, which "
            "has no queries and keys; leave stream out, or use model vanilla")
    if options.mass_in_value and not options.mass:
        raise ValueError(
            "mass_in_value has nothing to multiply where mass is False; leave one out")


def settled(given: Mapping[str, Any], profile: str) -> Options:
    """What a notebook runs: the options among its parameters, as the profile has them.

    They are checked as they came as well, so that `smoke` refuses what `book` does.
    """
    return check(for_profile(check(among(given, Options)), profile))
