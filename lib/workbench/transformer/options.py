"""The options of the workbench: their names, defaults, and what they exclude.

`lib.workbench.transformer.training` trains with them. Nothing here needs torch.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, no_type_check

from lib.commands import path_of
from lib.options import (
    Count,
    CountOrNone,
    Device,
    Precision,
    Range,
    Rate,
    Seed,
    Share,
    expect,
)
from lib.training.wandb_log import expect_wandb
from lib.workbench.options import among, expect_heads, expect_start

Version = Literal["both", "pytorch", "huggingface", "analysis", "test"]
VERSIONS = get_args(Version)
TRAINED = ("pytorch", "huggingface")
#: What may differ between a run and the one that goes on with it.
FREE = ("version", "epochs", "eval_size", "output_dir", "device", "debug", "visualize",
        "track_internals", "wandb", "wandb_project", "gradient_accumulation_steps",
        "resume", "force", "trials")


@no_type_check  # `expect` does, and not while testing alone
@dataclass(frozen=True)
class Options:
    """Every option of the workbench; all act on both versions."""

    version: Version = "both"
    vocab_size: Annotated[Count, "the most entries that the tokenizer may have"] = 1000
    hidden_size: Annotated[Count, "width of the residual stream"] = 256
    num_layers: Annotated[Count, "of the encoder, and of the decoder"] = 4
    num_heads: Annotated[Count, "of each attention layer; must divide hidden_size"] = 8
    epochs: Annotated[Count, "passes over the training pairs"] = 5
    batch_size: Annotated[Count, "pairs in one update"] = 16
    learning_rate: Annotated[Rate, "at its peak; the tutorial has 1e-4"] = 1e-3
    max_length: Annotated[Count, "the longest sequence, in tokens"] = 64
    train_size: Annotated[Count, "training pairs"] = 2000
    eval_size: Annotated[
        int, Range(least=2), "pairs never trained on, half dates and half numbers"
    ] = 500
    output_dir: Annotated[str, "relative to the root of the repository"] = "results"
    device: Device = "auto"
    debug: Annotated[
        bool, "a table of every tensor, and of where one is not finite"] = False
    visualize: Annotated[bool, "pictures, here and in output_dir"] = True
    track_internals: Annotated[
        bool, "look inside while training, not only after it"] = True
    wandb: Annotated[bool, "report to Weights & Biases"] = False
    wandb_project: Annotated[str, "under this name"] = "transformer-workbench"
    seed: Annotated[
        Seed, "of the pairs, the first weights and the order of the rows"] = 42
    mixed_precision: Precision = "no"
    gradient_accumulation_steps: Annotated[Count, "parts that a batch is cut into"] = 1
    resume: Annotated[
        bool, "refuse where output_dir holds nothing to go on with"] = False
    force: Annotated[bool, "begin anew, whatever output_dir holds"] = False
    trials: Annotated[bool, "an epoch more for each of two learning rates"] = False
    label_smoothing: Share = 0.0
    schedule: Literal["constant", "cosine", "noam"] = "cosine"
    warmup_steps: Annotated[
        CountOrNone | None, "updates until the peak; None: a tenth of all"] = None
    dropout: Share = 0.0
    norm_first: Annotated[
        bool, "normalise before each part; False: after it, as the paper"] = True

    def __post_init__(self) -> None:
        """Refuse a value of another kind, an unknown name, a number out of range."""
        expect(self)

    @property
    def folder(self) -> Path:
        """Where results go; a relative name counts from the root of the repository."""
        return path_of(self.output_dir)

    @property
    def per_epoch(self) -> int:
        """Updates in an epoch."""
        return self.train_size // self.batch_size

    @property
    def steps(self) -> int:
        """Updates in all."""
        return self.epochs * self.per_epoch


#: The most that the profile `smoke` does.
SMOKE = {"num_layers": 2, "epochs": 1, "train_size": 64, "eval_size": 8}


def for_profile(options: Options, profile: str) -> Options:
    """What a profile makes of the options: `smoke` does less, and harms nothing.

    Unless a folder is named, its results go to one of their own, where each run begins
    anew.

    >>> small = for_profile(Options(epochs=9), "smoke")
    >>> small.epochs, small.output_dir, small.force
    (1, 'results/smoke', True)
    >>> for_profile(Options(epochs=9), "book").epochs
    9
    """
    if profile != "smoke":
        return options
    small = replace(options, **{
        name: min(getattr(options, name), most) for name, most in SMOKE.items()})
    if options.output_dir != Options().output_dir:
        return small
    return replace(small, output_dir=f"{options.output_dir}/smoke",
                   force=not options.resume)


def check(options: Options) -> Options:
    """Refuse, before anything is done, what cannot be meant.

    >>> check(Options(hidden_size=100, num_heads=8, device="cpu"))
    Traceback (most recent call last):
    ...
    ValueError: hidden_size 100 does not divide into num_heads 8; use hidden_size 96 or
    104, or 5 heads
    """
    expect_heads("hidden_size", options.hidden_size, options.num_heads, even=True)
    rows, parts = options.batch_size, options.gradient_accumulation_steps
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if rows > options.train_size:
        raise ValueError(
            f"batch_size {rows} is more than train_size {options.train_size}; lower "
            "batch_size or raise train_size.")
    if rows % (parts * world):
        raise ValueError(
            f"batch_size {rows} cannot be cut into gradient_accumulation_steps {parts} "
            f"equal parts for {world} process(es); use numbers that divide it.")
    expect_start(options)
    if options.mixed_precision == "fp16":
        from lib.page.profile import pick_device

        if pick_device(options.device).type == "cpu":
            raise ValueError("mixed_precision 'fp16' needs a GPU and this run is on "
                             "the cpu; use bf16 or no.")
    if options.wandb:
        expect_wandb()
    return options


def settled(given: Mapping[str, Any], profile: str) -> Options:
    """What a notebook runs: the options among its parameters, as the profile has them.
    """
    return for_profile(check(among(given, Options)), profile)


def versions(options: Options) -> tuple[str, ...]:
    """Which versions the option `version` trains."""
    return TRAINED if options.version == "both" else tuple(
        version for version in TRAINED if version == options.version)
