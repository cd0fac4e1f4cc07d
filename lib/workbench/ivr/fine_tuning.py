"""The stages `align` and `train`: rows for new pieces, then the model trained on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any, cast

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from lib import data
from lib.commands import path_of, stage_command
from lib.data.held_out import HeldOut, split
from lib.data.mixture import gather
from lib.data.pretrained import quiet
from lib.page.profile import pick_device
from lib.training.loop import Step
from lib.training.process import Diverged
from lib.training.sharding import is_sharded
from lib.vocabulary.bits_per_byte import bits_per_byte, check_context
from lib.vocabulary.realign import make_rows
from lib.vocabulary.rows import (
    STRATEGIES,
    is_tied,
    load_model,
    put_rows,
    reassigned,
    tables,
    untie,
)
from lib.vocabulary.tune import (
    Mixed,
    Phase,
    fine_tune,
    most_used,
    phases,
    windows,
)
from lib.workbench.ivr.artifacts import TREE, Room, StageError
from lib.workbench.ivr.corpora import cleaned
from lib.workbench.ivr.original import (
    original_model,
    original_tokenizer,
    read_tokenizer,
    write_tokenizer,
)

__all__ = ["align", "load_rows", "other_texts", "replay_texts", "train"]


def align(options: Any, room: Room) -> dict[str, Any]:
    """The stage: the tables before, with holes for the new pieces, and filled.

    `original_*.pt` are those of the model, `aligned_wte.pt` has zeros where a row is
    to be made, `final_*.pt` has the rows. `embeddings.json` tells what is what.
    """
    if options.init_strategy not in STRATEGIES:
        raise StageError(
            f"init_strategy {options.init_strategy!r} is not known; use one of "
            f"{', '.join(STRATEGIES)}"
        )
    original = original_tokenizer(room.root)
    remapped = read_tokenizer(room.root, TREE.REMAPPED, "remap")
    model = load_model(original_model(room.root))
    change = reassigned(original, remapped)
    if not change.ids:
        raise StageError(
            "the remapped tokenizer has no new piece; add rules to "
            f"analysis/reports/remap_rules.yaml and run {stage_command('remap')}"
        )
    if options.untie and is_tied(model):
        untie(model)
    texts, held = split(cleaned(room.root), options.held_out_documents)
    texts = HeldOut(held).without(texts)  # as `train` will measure on it
    rows = make_rows(model, original, remapped, options.init_strategy,
                     texts=islice(texts, options.align_documents), seed=options.seed)
    made = {f"original_{name}": table.clone() for name, table in tables(model).items()}
    put_rows(model, change.ids, rows.wte, rows.lm_head)
    made["final_wte"] = tables(model)["wte"]
    made["aligned_wte"] = made["final_wte"].clone()
    made["aligned_wte"][change.ids] = 0
    if rows.lm_head is not None:
        made["final_lm_head"] = tables(model)["lm_head"]
    about = {
        "init_strategy": options.init_strategy, "seed": options.seed,
        "tied": rows.lm_head is None, "reassigned": len(change),
        "tables": {name: {"shape": list(table.shape), "dtype": str(table.dtype)}
                   for name, table in made.items()},
        **rows.about,
        "rows": [{"id": index, "piece": piece, "spelling": spelling} for
                 index, piece, spelling in
                 zip(change.ids, change.pieces, change.spellings, strict=True)],
    }
    for name, table in made.items():
        torch.save(table.contiguous(), room.make(f"{TREE.EMBEDDINGS}/{name}.pt"))
    room.make(f"{TREE.EMBEDDINGS}/embeddings.json").write_text(
        json.dumps(about, indent=1, ensure_ascii=False) + "\n", "utf-8")
    return {"init_strategy": options.init_strategy, "reassigned": len(change),
            "tied": rows.lm_head is None, "rows": made["final_wte"].shape[0],
            "width": made["final_wte"].shape[1]}


def load_rows(model: nn.Module, folder: Path) -> list[int]:
    """Put the tables of `align` into a model; return the reassigned ids.

    Raises
    ------
    ValueError
        If a table does not fit the model.
    """
    about = json.loads((folder / "embeddings.json").read_text("utf-8"))
    if not about["tied"] and is_tied(model):
        untie(model)
    theirs = cast(Any, model)
    modules = {"wte": theirs.get_input_embeddings()}
    if not about["tied"]:
        modules["lm_head"] = theirs.get_output_embeddings()
    for name, module in modules.items():
        table = torch.load(folder / f"final_{name}.pt", weights_only=True)
        if table.shape != module.weight.shape:
            raise ValueError(
                f"final_{name}.pt is {tuple(table.shape)} and the model's table "
                f"{tuple(module.weight.shape)}; run {stage_command('align')} again"
            )
        with torch.no_grad():
            module.weight.copy_(table)
    return [row["id"] for row in about["rows"]]


def replay_texts(name: str) -> list[str]:
    """Paragraphs of other text: a text of `lib.data`, or a file.

    Raises
    ------
    ValueError
        If it is neither.
    """
    file = path_of(name)
    try:
        text = file.read_text("utf-8") if file.is_file() else data.text(name)
    except (data.DataError, UnicodeDecodeError, OSError) as error:
        why = str(error).rstrip(".")
        raise ValueError(
            f"replay_corpus {name!r} cannot be read ({why}); name a text of the book "
            "such as tinyshakespeare, a UTF-8 file, mixture, or none"
        ) from None
    return [part.strip() for part in text.split("\n") if len(part.strip()) > 40]


def other_texts(size: int) -> tuple[list[str], list[str]]:
    """Text of every kind that a machine has but Korean: to replay, to measure on.

    Kinds take turns, so that any beginning holds as much of each. size: bytes.
    """
    sides = []
    for side in gather(size):
        blocks: dict[str, list[str]] = {}
        for document in side:
            blocks.setdefault(document.kind, []).extend(
                document.text[at:at + 1500]
                for at in range(0, len(document.text), 1500))
        blocks.pop("korean", None)
        turns = zip_longest(*blocks.values())
        sides.append([text for turn in turns for text in turn if text])
    return sides[0], sides[1]


def train(options: Any, room: Room) -> dict[str, Any]:
    """The stage: fine-tune the aligned model and write it with its tokenizer.

    The untouched model is tuned as well, on as much text or as many tokens, and both
    are measured on documents that nothing learns from. Under `accelerate launch` every
    process trains and the first writes. What a run that was cut off kept in
    `room.scratch` is gone on with.
    """
    try:
        plan = _plan(options)
        swapped = read_tokenizer(room.root, TREE.REMAPPED, "remap")
        steps = sum(phase.recipe.steps for phase in plan)
        texts = _Texts(options, room, steps)
        batches = texts.batches(swapped, steps)
    except ValueError as error:
        raise StageError(str(error)) from None
    log = room.scratch / "log.jsonl"

    def note(phase: str, step: Step) -> None:
        with log.open("a", encoding="utf-8") as file:
            file.write("\n" + json.dumps(_line(phase, step)))  # after a cut-off line

    model, original = _model(options, room), original_tokenizer(room.root)
    results = texts.measured("before", model, original)
    ids = load_rows(model, room.root / TREE.EMBEDDINGS)
    results |= texts.measured("aligned", model, swapped)
    _tune(options, room, model, ids, batches, plan, note, room.scratch)
    results |= texts.measured("trained", model, swapped)
    results |= {"steps": steps, "tokens": steps * options.batch_size * options.context,
                **texts.left_out}
    if options.baseline != "none":
        untouched = _model(options, room)
        more = texts.ratio(original, swapped) if options.baseline == "text" else 1
        alone = [replace(phase, faster=1.0) for phase in
                 _plan(options, rows_steps=0, steps=max(1, round(steps * more)))]
        often = most_used(original, texts.some, len(ids)) if options.lora_rank else []
        count = alone[0].recipe.steps
        _tune(options, room, untouched, often, texts.batches(original, count), alone,
              None, room.scratch / "untouched")
        results |= texts.measured("untouched", untouched, original)
        results["untouched_steps"] = count
    if room.first:
        _write(model, swapped, _lines(log), room, results)
    return results


class _Texts:
    """What the stage trains and measures on; read anew for each tokenizer."""

    def __init__(self, options: Any, room: Room, steps: int):
        self.options, self.room = options, room
        documents, self.held = split(cleaned(room.root), options.held_out_documents)
        self.some = list(islice(documents, 1000))
        self.left_out: dict[str, int] = {}
        self.replay: list[str] | None = None
        self.others: list[str] = []
        if options.replay_corpus == "mixture":
            letters = 6 * steps * options.batch_size * options.context
            self.replay, others = other_texts(max(200_000, round(
                letters * max(options.replay_share, 0.1))))
            self.others = [text[:600] for text in others[:40]]
        elif options.replay_corpus != "none":
            self.replay = replay_texts(options.replay_corpus)

    def batches(self, tokenizer: Tokenizer, steps: int) -> Mixed:
        """The windows of domain and replay, mixed."""
        options, most = self.options, steps * self.options.batch_size
        aside, other = HeldOut(self.held), HeldOut([*self.held, *self.others])
        domain, _ = split(cleaned(self.room.root), options.held_out_documents)
        rows = _windows("the corpora", tokenizer, aside, domain, options, most)
        replay = None
        if self.replay is not None:
            name = f"replay_corpus {options.replay_corpus!r}"
            replay = _windows(name, tokenizer, other, self.replay, options, most)
        self.left_out = self.left_out or {
            "domain_left_out": aside.lines, "replay_left_out": other.lines}
        return Mixed(rows, replay, options.batch_size, options.replay_share,
                     options.seed)

    def ratio(self, original: Tokenizer, swapped: Tokenizer) -> float:
        """How many tokens the original spends on a text for one of the other's."""
        old, new = (sum(len(e.ids) for e in t.encode_batch(self.some))
                    for t in (original, swapped))
        return old / max(new, 1)

    def measured(self, when: str, model: nn.Module, tokenizer: Tokenizer
                 ) -> dict[str, Any]:
        """Bits per byte of the documents held out, and of other text where it is."""
        try:
            check_context(model, self.options.context)
            bits = bits_per_byte(model, tokenizer, self.held,
                                 context=self.options.context)
            told = {f"bits_{when}": bits.per_byte, "held_out_bytes": bits.bytes}
            if self.others:
                told[f"other_bits_{when}"] = bits_per_byte(
                    model, tokenizer, self.others,
                    context=self.options.context).per_byte
        except ValueError as error:
            raise StageError(str(error)) from None
        return told


def _plan(options: Any, **other: int) -> list[Phase]:
    """The phases that the options ask for."""
    steps = {"rows_steps": options.rows_steps, "steps": options.train_steps} | other
    return phases(
        **steps, batch=options.batch_size, rows_rate=options.rows_learning_rate,
        rate=options.learning_rate, seed=options.seed, rank=options.lora_rank,
        accumulation=options.gradient_accumulation_steps,
        precision=options.mixed_precision,
    )


def _model(options: Any, room: Room) -> Any:
    """The model as it was, on the device."""
    model = load_model(original_model(room.root))
    if options.gradient_checkpointing:
        model.activation_checkpointing_enable()
    return model if is_sharded() else model.to(pick_device(options.device))


def _tune(options: Any, room: Room, model: nn.Module, ids: Sequence[int],
          batches: Mixed, plan: Sequence[Phase], note: Any, folder: Path) -> None:
    """Fine-tune, or say in a sentence why that has not come to its end."""
    try:
        told = fine_tune(model, ids, batches, plan, folder=folder,
                         every=options.save_every, on_step=note)
    except Diverged as error:
        room.clear()  # nothing to go on with
        raise StageError(
            f"the training diverged: at step {error.step} of the phase {error.run} the "
            f"{error.what}; lower rows_learning_rate ({options.rows_learning_rate}) or "
            f"learning_rate ({options.learning_rate}) and run {stage_command('train')}"
        ) from None
    if any(history.interrupted for history in told.values()):
        raise StageError(
            "the training was interrupted and is kept; "
            f"{stage_command('train')} with the "
            "same options goes on with it"
        )


def _windows(name: str, tokenizer: Tokenizer, held: HeldOut, texts: Iterable[str],
             options: Any, rows: int) -> Tensor:
    """Rows of the texts, without what is held out."""
    try:
        return windows(tokenizer, held.without(texts), options.context, rows)
    except ValueError as error:
        left = f", {held.lines:,} lines that are held out left aside" * bool(held.lines)
        raise ValueError(f"{name}{left}: {error}") from None


def _lines(log: Path) -> list[dict[str, Any]]:
    """The steps in order, each as it was last told: a resumed run repeats some."""
    found = {}
    for line in log.read_text("utf-8").splitlines():
        with suppress(ValueError):  # cut off while it was written
            told = json.loads(line)
            found[told["phase"], told["step"]] = told
    return sorted(found.values(), key=lambda told: (told["phase"] != "rows",
                                                    told["step"]))


def _write(model: nn.Module, tokenizer: Tokenizer, log: list[dict], room: Room,
           results: dict) -> None:
    """Put the model, its tokenizer and the log into one folder."""
    folder = room.make(TREE.TRAINING)
    folder.mkdir()
    with quiet():
        cast(Any, model).cpu().save_pretrained(folder)
    write_tokenizer(tokenizer, folder, room.root)
    lines = "".join(json.dumps(line) + "\n" for line in log)
    (folder / "training_log.jsonl").write_text(lines, "utf-8")
    told = json.dumps(results, indent=1)
    (folder / "training.json").write_text(told + "\n", "utf-8")


def _line(phase: str, step: Step) -> dict[str, Any]:
    return {"phase": phase, "step": step.step, "loss": round(float(step.loss), 6),
            "grad_norm": round(float(step.grad_norm), 4), "learning_rate": step.lr}
