"""The options of the vocabulary pipeline: their names, defaults, and what they exclude.

`lib.workbench.ivr.pipeline` runs its stages with them. Nothing here needs torch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, no_type_check

from lib.commands import path_of
from lib.options import (
    Count,
    CountOrNone,
    Device,
    Precision,
    Range,
    Seed,
    defaults_lowered,
    expect,
    given_by,
)
from lib.workbench.ivr.artifacts import StageError, stage_errors
from lib.workbench.options import among

STAGES = ("init", "analyze", "distill", "select", "remap", "align", "train")
#: Stages that run when they are named, and not with `all`.
APART = ("export",)
Baseline = Literal["text", "tokens", "none"]
Strategy = Literal["mean", "random", "zeros", "constituents", "hidden_states"]
Part = Annotated[float, Range(above=0, most=1)]

#: What else a value is called: by the Hub, or where another option takes it.
MEANT = {"model": {"openai-community/gpt2": "gpt2",
                   "huggingfacetb/smollm2-135m-instruct": "smollm2",
                   "smollm2-135m-instruct": "smollm2"},
         "corpus": {"tinyshakespeare": "shakespeare"},
         "replay_corpus": {"shakespeare": "tinyshakespeare"}}


@no_type_check  # `expect` does, and not while testing alone
@dataclass(frozen=True)
class Options:
    """Every option of every stage.

    A relative folder counts from the root of the repository.
    """

    # everywhere
    artifacts_dir: Annotated[str, "where everything is read and written"] = "artifacts"
    seed: Annotated[Seed, "of learning, choosing, new rows and batches"] = 0
    force: Annotated[bool, "make anew what holds"] = False
    # init
    model: Annotated[str, "smollm2, gpt2, tiny, a folder or a name on the Hub"] = (
        "smollm2")
    corpus: Annotated[str, "for an empty raw folder: korean, shakespeare or none"] = (
        "korean")
    corpus_documents: Annotated[
        Count | None, "of it, from its beginning; None: all"] = None
    raw_corpora_dir: Annotated[str | None, "None: corpora/raw in artifacts_dir"] = None
    cleaned_corpora_dir: Annotated[
        str | None, "None: corpora/cleaned in artifacts_dir"] = None
    text_key: Annotated[str, "the key or column of the text, but in .txt"] = "text"
    encoding: Annotated[str, "of the raw files"] = "utf-8"
    normalize_force: Annotated[bool, "clean again what is clean already"] = False
    # analyze and distill
    engine: Annotated[
        Literal["local", "dask"], "where the corpora are counted"] = "local"
    workers: Annotated[Count, "processes that count on this machine"] = 1
    # distill
    most_words: Annotated[
        Count, "different words that are held; beyond, the rarest are lost"
    ] = 5_000_000
    passes: Annotated[Count, "of distill over the words"] = 60
    made_items: Annotated[
        CountOrNone, "made words and numbers of each kind, for distill"] = 20_000
    layer: Annotated[bool, "the exactness layer of distill"] = True
    lexicon: Annotated[
        CountOrNone, "words of each of eleven languages, for distill"
    ] = 20_000
    room: Annotated[
        float, Range(least=0), "for rules: the file, as a multiple of the original's"
    ] = 1.0
    # select
    share: Annotated[Part, "of the vocabulary that select gives up, at most"] = 0.05
    least: Annotated[Count, "times that a new piece occurs in the corpora"] = 20
    general_mb: Annotated[
        float, Range(least=0), "of other text: what it needs is not given up"] = 12.0
    merge_list: Annotated[
        bool, "take in the pieces by way of which merges reach the new ones"] = False
    # align
    init_strategy: Annotated[Strategy, "how new rows begin"] = "constituents"
    align_documents: Annotated[Count, "that hidden_states reads"] = 400
    untie: Annotated[bool, "rows of their own for the output head"] = False
    # train
    rows_steps: Annotated[CountOrNone, "updates of the new rows alone"] = 100
    train_steps: Annotated[CountOrNone, "updates of everything, after them"] = 300
    batch_size: Annotated[Count, "windows of an update"] = 8
    context: Annotated[Count, "tokens of a window"] = 128
    rows_learning_rate: Annotated[Part, "of the new rows alone"] = 1e-3
    learning_rate: Annotated[Part, "of everything"] = 1e-4
    gradient_accumulation_steps: Annotated[Count, "parts that a batch is cut into"] = 1
    mixed_precision: Precision = "no"
    lora_rank: Annotated[
        CountOrNone, "of additions that learn in place of all matrices; 0: none"
    ] = 0
    gradient_checkpointing: Annotated[
        bool, "keep less between the passes and compute it again"
    ] = False
    baseline: Annotated[
        Baseline, "what the untouched model, tuned too, reads as much of"
    ] = "text"
    replay_corpus: Annotated[
        str, "mixture (code, prose and more), a text of the book, a file, or none"
    ] = "mixture"
    replay_share: Annotated[float, "of each batch"] = 0.25
    held_out_documents: Annotated[Count, "that nothing learns from"] = 200
    # export
    export_strings: Annotated[
        int, Range(least=1000), "that prove each form, id by id"
    ] = 10_000
    save_every: Annotated[Count, "updates between two saves"] = 50
    device: Device = "auto"

    def __post_init__(self) -> None:
        """Refuse a value of another kind, an unknown name, a number out of range."""
        for name, words in MEANT.items():  # frozen for all others
            value = getattr(self, name)
            object.__setattr__(self, name, words.get(str(value).lower(), value))
        with stage_errors(ValueError):
            expect(self)

    @property
    def root(self) -> Path:
        """The folder of the artifacts."""
        return path_of(self.artifacts_dir)


#: The names of all options.
NAMES = tuple(Options.__dataclass_fields__)
#: What the profile `smoke` makes of an option that was left at its default.
SMOKE = {"artifacts_dir": "artifacts/smoke", "model": "tiny", "corpus_documents": 200,
         "passes": 2, "made_items": 20, "lexicon": 0, "share": 0.002,
         "general_mb": 0.05, "align_documents": 8, "rows_steps": 2, "train_steps": 3,
         "batch_size": 2, "context": 32, "held_out_documents": 4,
         "export_strings": 1000}


def settled(given: Mapping[str, Any], profile: str = "book") -> Options:
    """Options of the values given, as a profile has them.

    Raises StageError if a batch cannot be cut into the parts that were asked for, or
    the engine is not installed.
    """
    options = for_profile(Options(**given), profile)
    if options.gradient_accumulation_steps > options.batch_size:
        raise StageError(
            f"gradient_accumulation_steps is {options.gradient_accumulation_steps} and "
            f"batch_size {options.batch_size}: a batch cannot be cut into more parts "
            "than it has windows; lower the one or raise the other")
    if options.engine == "dask":
        from lib.tokens.counting import expect_dask

        with stage_errors(ValueError):
            expect_dask()
    return options


def judged(given: Mapping[str, Any], profile: str) -> Options:
    """What the notebook runs, of its parameters; refused before anything is started."""
    chosen(given["stages"])
    return settled(vars(among(given, Options)), profile)


def for_profile(options: Options, profile: str) -> Options:
    """What a profile makes of the options: `smoke` lowers what was left at its default.

    >>> small = for_profile(Options(passes=9), "smoke")
    >>> small.passes, small.model, small.artifacts_dir
    (9, 'tiny', 'artifacts/smoke')
    """
    if profile != "smoke":
        return options
    return replace(options, **defaults_lowered(options, SMOKE))


def parsed(words: Sequence[str]) -> Options:
    """Options from `name=value`; a value is Python where it is, else text.

    >>> parsed(["passes=9", "model=gpt2"]).passes
    9
    """
    with stage_errors(ValueError):
        return settled(given_by(words, Options))


def chosen(stages: str) -> tuple[str, ...]:
    """The stages that `all`, one name, or `first..last` names.

    Raises StageError if a stage is not known, or the last comes before the first.

    >>> chosen("distill..remap")
    ('distill', 'select', 'remap')
    """
    if stages == "all":
        return STAGES
    if stages in APART:
        return (stages,)
    first, _, last = stages.partition("..")
    ends = [known(name.strip()) for name in (first, last or first)]
    if apart := [name for name in ends if name in APART]:
        raise StageError(f"{apart[0]} runs by itself; write {apart[0]} alone")
    start, end = map(STAGES.index, ends)
    if start > end:
        raise StageError(f"{ends[0]} comes after {ends[1]}; write {ends[1]}..{ends[0]}")
    return STAGES[start:end + 1]


def known(stage: str) -> str:
    """The name of a stage; StageError if it is none."""
    if stage not in (*STAGES, *APART):
        raise StageError(
            f"stage {stage!r} is not known; use one of {', '.join(STAGES + APART)}, "
            "first..last or all")
    return stage
