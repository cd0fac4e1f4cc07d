"""The vocabulary pipeline: from a BPE tokenizer to a reassigned vocabulary, in stages.

    init → analyze → distill → select → remap → align → train

Each stage is a function of the options and a `lib.workbench.ivr.artifacts.Room`, in a
module of its own. What they read and leave lies under one folder, `artifacts/`; see
`lib.workbench.ivr.artifacts`.

    python -m lib.workbench.ivr distill passes=40
    accelerate launch --multi_gpu --num_processes 2 -m lib.workbench.ivr train
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from lib.commands import ROOT, module_command
from lib.options import fitting, given_by, kinds
from lib.page.profile import DEVICES
from lib.workbench.ivr.artifacts import Room, StageError, Step, carry_out
from lib.workbench.ivr.corpora import (
    analyze,
    distill,
    fill,
    init,
    own_clean_files,
    raw_files,
)
from lib.workbench.ivr.original import model_files, original_model

__all__ = ["NAMES", "STAGES", "STEPS", "Options", "chosen", "for_profile", "judged",
           "parsed", "run", "run_all", "run_each", "settled", "usage"]

STAGES = ("init", "analyze", "distill", "select", "remap", "align", "train")


#: What else a value is called: by the Hub, or where another option takes it.
MEANT = {
    "model": {"openai-community/gpt2": "gpt2",
              "huggingfacetb/smollm2-135m-instruct": "smollm2",
              "smollm2-135m-instruct": "smollm2"},
    "corpus": {"tinyshakespeare": "shakespeare"},
    "replay_corpus": {"shakespeare": "tinyshakespeare"},
}


@dataclass(frozen=True)
class Options:
    """Every option of every stage.

    A relative folder counts from the root of the repository.
    """

    # everywhere
    artifacts_dir: str = "artifacts"
    seed: int = 0
    force: bool = False  # make it anew although it holds
    # init
    model: str = "smollm2"  # smollm2, gpt2, tiny, a folder or a name on the Hub
    corpus: str = "korean"  # put into an empty raw folder: korean, shakespeare or none
    corpus_documents: int | None = None  # of it, from its beginning; None: all
    raw_corpora_dir: str | None = None  # None: corpora/raw of the artifacts
    cleaned_corpora_dir: str | None = None  # None: corpora/cleaned of the artifacts
    text_key: str = "text"  # where the text stands in .json and .jsonl
    encoding: str = "utf-8"  # of the raw files
    normalize_force: bool = False  # clean again what is already clean
    # distill
    passes: int = 60  # over the words
    made_items: int = 20_000  # made words and numbers that join the corpus
    layer: bool = True  # the exactness layer: rules that cut what scores cannot
    # select
    share: float = 0.05  # of the vocabulary, at most, that is given up
    least: int = 20  # times that a new piece occurs in the corpora
    general_mb: float = 12.0  # of text found here: what it needs is not given up
    # align
    init_strategy: str = "constituents"  # mean, random, zeros, constituents or
    # hidden_states: how the rows of the new pieces are made
    align_documents: int = 400  # that hidden_states reads
    untie: bool = False  # give the output rows of their own where they are one table
    # train
    rows_steps: int = 100  # updates of the new rows alone, first
    train_steps: int = 300  # updates of everything, after them
    batch_size: int = 8  # windows of an update
    context: int = 128  # tokens of a window
    rows_learning_rate: float = 1e-3
    learning_rate: float = 1e-4
    gradient_accumulation_steps: int = 1  # parts that a batch is cut into
    mixed_precision: str = "no"  # no, bf16 or fp16
    replay_corpus: str = "tinyshakespeare"  # other text: of the book, a file, or none
    replay_share: float = 0.25  # of each batch
    held_out_documents: int = 200  # that nothing learns from: for bits per byte
    save_every: int = 50  # updates between two saves that a run can go on from
    device: str = "auto"  # auto, cpu, cuda or mps

    def __post_init__(self) -> None:
        for name, words in MEANT.items():  # frozen for all others
            value = getattr(self, name)
            object.__setattr__(self, name, words.get(str(value).lower(), value))

    @property
    def root(self) -> Path:
        """The folder of the artifacts."""
        return ROOT / self.artifacts_dir


#: The names of all options.
NAMES = tuple(field.name for field in fields(Options))
#: What the profile `smoke` makes of an option that was left at its default.
SMOKE = {"artifacts_dir": "artifacts/smoke", "model": "tiny", "corpus_documents": 200,
         "passes": 2, "made_items": 20, "share": 0.002, "general_mb": 0.05,
         "align_documents": 8, "rows_steps": 2, "train_steps": 3, "batch_size": 2,
         "context": 32, "held_out_documents": 4}


#: The least that a number may be.
LEAST = {"seed": 0, "corpus_documents": 1, "passes": 1, "made_items": 0, "least": 1,
         "general_mb": 0, "align_documents": 1, "rows_steps": 0, "train_steps": 0,
         "batch_size": 1, "context": 1, "gradient_accumulation_steps": 1,
         "held_out_documents": 1, "save_every": 1}
#: Numbers above 0 and at most 1.
PARTS = ("share", "rows_learning_rate", "learning_rate")
#: Texts of which only some mean something.
KNOWN = {"mixed_precision": ("no", "bf16", "fp16"), "device": DEVICES,
         "init_strategy": ("mean", "random", "zeros", "constituents", "hidden_states")}


def settled(given: dict[str, Any], profile: str = "book") -> Options:
    """Options of the values given, as a profile has them.

    Raises
    ------
    StageError
        If one is of another kind than its default (a text for a number), is out of its
        range, or a batch cannot be cut into the parts that were asked for.
    """
    try:
        given |= {name: fitting(name, given.get(name, getattr(Options, name)), wanted)
                  for name, wanted in kinds(Options).items()}
    except ValueError as error:
        raise StageError(str(error)) from None
    options = for_profile(Options(**given), profile)
    _check_ranges(options)
    return options


def judged(given: dict[str, Any], profile: str) -> None:
    """Refuse the values of the notebook's parameters, before anything is started.

    Raises
    ------
    StageError
        As `settled`, or if `stages` names none.
    """
    settled({name: given[name] for name in NAMES}, profile)
    chosen(given["stages"])


def _check_ranges(options: Options) -> None:
    for name, value in vars(options).items():
        if value is None:
            continue
        if name in LEAST and not LEAST[name] <= value < math.inf:
            raise StageError(f"{name} is {value:g}; use {LEAST[name]} or more")
        if name in PARTS and not 0 < value <= 1:
            raise StageError(f"{name} is {value:g}; use a number above 0 and at most 1")
        if name in KNOWN and value not in KNOWN[name]:
            raise StageError(f"{name} is {value!r}; use {', '.join(KNOWN[name])}")
    if options.gradient_accumulation_steps > options.batch_size:
        raise StageError(
            f"gradient_accumulation_steps is {options.gradient_accumulation_steps} and "
            f"batch_size {options.batch_size}: a batch cannot be cut into more parts "
            "than it has windows; lower the one or raise the other"
        )


def for_profile(options: Options, profile: str) -> Options:
    """What a profile makes of the options: `smoke` lowers what was left at its default.

    >>> small = for_profile(Options(passes=9), "smoke")
    >>> small.passes, small.model, small.artifacts_dir
    (9, 'tiny', 'artifacts/smoke')
    """
    if profile != "smoke":
        return options
    plain = Options()
    return replace(options, **{name: least for name, least in SMOKE.items()
                               if getattr(options, name) == getattr(plain, name)})


def chosen(stages: str) -> tuple[str, ...]:
    """The stages that `all`, one name, or `first..last` names.

    >>> chosen("distill..remap")
    ('distill', 'select', 'remap')

    Raises
    ------
    StageError
        If a stage is not known, or the last comes before the first.
    """
    if stages == "all":
        return STAGES
    first, _, last = stages.partition("..")
    ends = [_known(name.strip()) for name in (first, last or first)]
    start, end = map(STAGES.index, ends)
    if start > end:
        raise StageError(f"{ends[0]} comes after {ends[1]}; write {ends[1]}..{ends[0]}")
    return STAGES[start:end + 1]


def _select(options: Options, room: Room) -> dict[str, Any]:
    from lib.workbench.ivr.reassigning import select

    return select(options, room)


def _remap(options: Options, room: Room) -> dict[str, Any]:
    from lib.workbench.ivr.reassigning import remap

    return remap(options, room)


def _align(options: Options, room: Room) -> dict[str, Any]:
    from lib.workbench.ivr.fine_tuning import align  # torch is slow to import

    return align(options, room)


def _train(options: Options, room: Room) -> dict[str, Any]:
    from lib.workbench.ivr.fine_tuning import train

    return train(options, room)


#: What each stage needs, and the options that decide what it makes.
STEPS = {step.stage: step for step in (
    Step("init", (), ("model", "corpus", "corpus_documents", "raw_corpora_dir",
                      "cleaned_corpora_dir", "text_key", "encoding"),
         init, prepare=fill,
         reads=lambda options, root: [*raw_files(options, root),
                                      *own_clean_files(options, root),
                                      *model_files(options.model)]),
    Step("analyze", ("init",), (), analyze),
    Step("distill", ("init", "analyze"), ("passes", "made_items", "layer", "seed"),
         distill),
    Step("select", ("init", "analyze", "distill"),
         ("share", "least", "general_mb", "seed"),
         _select),
    Step("remap", ("init", "distill", "select"), (),
         _remap),
    Step("align", ("init", "distill", "remap"),
         ("init_strategy", "align_documents", "untie", "held_out_documents", "seed"),
         _align),
    Step("train", ("init", "remap", "align"),
         ("rows_steps", "train_steps", "batch_size", "context", "rows_learning_rate",
          "learning_rate", "gradient_accumulation_steps", "mixed_precision",
          "replay_corpus", "replay_share", "held_out_documents", "seed"),
         _train),
)}


def run(stage: str, options: Options | None = None) -> dict[str, Any]:
    """Run one stage, unless what it made holds; return its manifest.

    Beside the manifest the result has `kept`: whether the stage was not run.

    Raises
    ------
    StageError
        If the stage is not known, one before it is missing or stale, or it cannot do
        its work.
    """
    options = options or Options()
    anew = options.force or (stage == "init" and options.normalize_force)
    return carry_out(_known(stage), STEPS, options, options.root, anew)


def run_all(options: Options | None = None, first: str = "init",
            last: str = "train") -> dict[str, dict[str, Any]]:
    """Run the stages from the first to the last; return their manifests by stage."""
    return dict(run_each(chosen(f"{first}..{last}"), options))


def run_each(stages: Sequence[str], options: Options | None = None
             ) -> Iterator[tuple[str, dict[str, Any]]]:
    """Run stages in their order; give each with its manifest when it has ended.

    Raises
    ------
    StageError
        Also once `init` has ended, if a later one of these needs weights that the model
        does not have.
    """
    options = options or Options()
    for stage in stages:
        yield stage, run(stage, options)
        if stage == "init" and {"align", "train"}.intersection(stages):
            original_model(options.root)


def _known(stage: str) -> str:
    if stage not in STAGES:
        raise StageError(
            f"stage {stage!r} is not known; use one of {', '.join(STAGES)}, "
            "first..last or all"
        )
    return stage


def parsed(words: list[str]) -> Options:
    """Options from `name=value`; a value is Python where it is, else text.

    >>> parsed(["passes=9", "model=gpt2"]).passes
    9

    Raises
    ------
    StageError
        If a word is no option.
    """
    try:
        return settled(given_by(words, Options))
    except StageError:
        raise
    except ValueError as error:
        raise StageError(str(error)) from None


#: What each stage does, in a line.
ABOUT = {
    "init": "tokenizer and configuration of the model, and the corpora, cleaned",
    "analyze": "counts of every token in the corpora",
    "distill": "a Unigram tokenizer that gives the ids of the BPE",
    "select": "which ids are given up, and for which new pieces",
    "remap": "the tokenizer with these ids reassigned",
    "align": "rows of the embeddings for the new pieces",
    "train": "the model, trained on with them",
}


def usage() -> str:
    """What `python -m lib.workbench.ivr --help` prints."""
    command = module_command("lib.workbench.ivr", "STAGES")
    lines = [f"{command} [name=value …]", "",
             "STAGES is all, one of these, or first..last:"]
    lines += [f"  {stage:9} {about}" for stage, about in ABOUT.items()]
    lines += ["", "Options, with their defaults and the stages they are for:"]
    for field in fields(Options):
        stages = [step.stage for step in STEPS.values() if field.name in step.options]
        lines.append(f"  {field.name}={field.default}  ({', '.join(stages) or 'all'})")
    return "\n".join(lines)


def main(words: list[str] | None = None) -> int:
    """Run `python -m lib.workbench.ivr STAGES name=value …`; 1 where it cannot."""
    words = sys.argv[1:] if words is None else words
    if not words or {"-h", "--help", "help"}.intersection(words):
        print(usage())
        return 0
    try:
        stages, *given = words
        options = parsed(given)
        for stage, told in run_each(chosen(stages), options):
            print(f"{stage}{' (kept)' if told['kept'] else ''}")
            for name, value in told["results"].items():
                print(f"  {name} = {value}")
    except StageError as error:
        print(error, file=sys.stderr)
        return 1
    return 0
