"""The vocabulary pipeline: from a BPE tokenizer to a reassigned vocabulary, in stages.

    init → analyze → distill → select → remap → align → train
                                             ↘ export

Each stage is a function of the options and a `lib.workbench.ivr.artifacts.Room`, in a
module of its own. What they read and leave lies under one folder, `artifacts/`; see
`lib.workbench.ivr.artifacts`.

    python -m lib.workbench.ivr distill passes=40
    accelerate launch --multi_gpu --num_processes 2 -m lib.workbench.ivr train
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from lib.commands import module_command
from lib.options import kinds
from lib.workbench.command import exit_code
from lib.workbench.ivr import corpora
from lib.workbench.ivr.artifacts import Room, StageError, Step, carry_out
from lib.workbench.ivr.options import (
    APART,
    NAMES,
    STAGES,
    Options,
    chosen,
    known,
    parsed,
)
from lib.workbench.ivr.original import model_files, original_model

__all__ = ["APART", "NAMES", "STAGES", "STEPS", "Options", "chosen", "parsed", "run",
           "run_each", "usage"]


def _later(stage: str, name: str) -> Callable[[Options, Room], dict[str, Any]]:
    """A stage whose module is imported when it is run: numba and torch are slow."""
    def work(options: Options, room: Room) -> dict[str, Any]:
        if name == "counts":
            from lib.workbench.ivr import counts as module
        elif name == "fine_tuning":
            from lib.workbench.ivr import fine_tuning as module
        else:
            from lib.workbench.ivr import reassigning as module
        return getattr(module, stage)(options, room)
    return work


def _export(options: Options, room: Room) -> dict[str, Any]:
    from lib.workbench.ivr.exporting import export

    return export(options, room)


#: What each stage needs, and the options that decide what it makes.
STEPS = {step.stage: step for step in (
    Step("init", (), ("model", "corpus", "corpus_documents", "raw_corpora_dir",
                      "cleaned_corpora_dir", "text_key", "encoding"),
         corpora.init, prepare=corpora.fill,
         reads=lambda options, root: [*corpora.raw_files(options, root),
                                      *corpora.own_clean_files(options, root),
                                      *model_files(options.model)]),
    Step("analyze", ("init",), (), _later("analyze", "counts")),
    Step("distill", ("init", "analyze"),
         ("most_words", "passes", "made_items", "layer", "lexicon", "room", "seed"),
         _later("distill", "counts")),
    Step("select", ("init", "analyze", "distill"),
         ("share", "least", "general_mb", "merge_list", "seed"),
         _later("select", "reassigning")),
    Step("remap", ("init", "distill", "select"), (), _later("remap", "reassigning")),
    Step("align", ("init", "distill", "remap"),
         ("init_strategy", "align_documents", "untie", "held_out_documents", "seed"),
         _later("align", "fine_tuning")),
    Step("train", ("init", "remap", "align"),
         ("rows_steps", "train_steps", "batch_size", "context", "rows_learning_rate",
          "learning_rate", "gradient_accumulation_steps", "mixed_precision",
          "lora_rank", "gradient_checkpointing", "baseline", "replay_corpus",
          "replay_share", "held_out_documents", "seed"),
         _later("train", "fine_tuning")),
    Step("export", ("init", "distill", "select", "remap"),
         ("export_strings", "general_mb", "seed"), _export))}


def run(stage: str, options: Options | None = None) -> dict[str, Any]:
    """Run one stage, unless what it made holds; return its manifest.

    Beside the manifest the result has `kept`: whether the stage was not run. Raises
    StageError if one before it is missing or stale, or it cannot do its work.
    """
    options = options or Options()
    anew = options.force or (stage == "init" and options.normalize_force)
    return carry_out(known(stage), STEPS, options, options.root, anew)


def run_each(stages: Sequence[str], options: Options | None = None
             ) -> Iterator[tuple[str, dict[str, Any]]]:
    """Run stages in their order; give each with its manifest when it has ended.

    Raises StageError also once `init` has ended, if a later one of these needs weights
    that the model does not have.
    """
    options = options or Options()
    for stage in stages:
        yield stage, run(stage, options)
        if stage == "init" and {"align", "train"}.intersection(stages):
            original_model(options.root)


#: What each stage does, in a line.
ABOUT = {"init": "tokenizer and configuration of the model, and the corpora, cleaned",
         "analyze": "counts of every token in the corpora",
         "distill": "a Unigram tokenizer that gives the ids of the BPE",
         "select": "which ids are given up, and for which new pieces",
         "remap": "the tokenizer with these ids reassigned",
         "align": "rows of the embeddings for the new pieces",
         "train": "the model, trained on with them",
         "export": "both tokenizers for transformers, browsers and llama.cpp, proved"}


def usage() -> str:
    """What `python -m lib.workbench.ivr --help` prints."""
    command = module_command("lib.workbench.ivr", "STAGES")
    lines = [f"{command} [name=value …]", "",
             "STAGES is all (up to train), one of these, or first..last:"]
    lines += [f"  {stage:9} {about}" for stage, about in ABOUT.items()]
    lines += ["", "Options, with their defaults and the stages they are for:"]
    plain = Options()
    for name, kind in kinds(Options).items():
        stages = [step.stage for step in STEPS.values() if name in step.options]
        lines.append(f"  {name}={getattr(plain, name)}  ({', '.join(stages) or 'all'}) "
                     f"{kind.comment}".rstrip())
    return "\n".join(lines)


def main(words: list[str] | None = None) -> int:
    """Run `python -m lib.workbench.ivr STAGES name=value …`; 1 where it cannot."""
    words = sys.argv[1:] if words is None else words
    if not words or {"-h", "--help", "help"}.intersection(words):
        print(usage())
        return 0

    def work() -> None:
        stages, *values = words
        options = parsed(values)
        for stage, manifest in run_each(chosen(stages), options):
            print(f"{stage}{' (kept)' if manifest['kept'] else ''}")
            for name, value in manifest["results"].items():
                print(f"  {name} = {value}")

    return exit_code(work, StageError)
