"""Fine-tuning after a vocabulary was reassigned: the new rows first, then all.

The new rows know the least and can move fast; a large step on them harms nothing else.
Then every parameter learns, slowly, and a share of each batch is other text (replay),
so that what the model knew stays. The loop is `lib.train.fit`.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from tokenizers import Tokenizer
from torch import Tensor, nn

from lib.batching import Epochs
from lib.bits import Bits, bits_per_byte, check_context, start_token
from lib.held_out import HeldOut, split
from lib.keep import Keep
from lib.models import quiet
from lib.running import Diverged
from lib.train import History, Recipe, Step, fit, token_loss
from lib.vocabulary_light import Light

__all__ = ["Mixed", "Phase", "fine_tune", "next_token_loss", "phases", "train",
           "windows"]


def windows(
    tokenizer: Tokenizer, texts: Iterable[str], context: int, most: int | None = None
) -> Int[Tensor, "windows tokens"]:
    """Texts one after another, each after the start token, cut into rows.

    A row has `context` + 1 tokens: the inputs, and the same one token later. The rest
    that fills no row is left out. most: how many rows are wanted at most; no more text
    than that is read.

    Raises
    ------
    ValueError
        If the texts do not fill one row.
    """
    start, width, ids = start_token(tokenizer), context + 1, []
    texts = iter(texts)
    while batch := list(itertools.islice(texts, 256)):
        for encoding in tokenizer.encode_batch(batch, add_special_tokens=False):
            if encoding.ids:  # the tokenizer may know no byte of a text
                ids += [start, *encoding.ids]
        if most is not None and len(ids) >= most * width:
            break
    rows = len(ids) // width
    rows = rows if most is None else min(rows, most)
    if not rows:
        raise ValueError(
            f"the texts have {len(ids)} tokens and one row takes {width}; pass more "
            "text, or a shorter context"
        )
    return torch.tensor(ids[:rows * width]).view(rows, width)


class Mixed:
    """Batches of which a share is replayed text; the two sides go round by themselves.

    >>> rows = Mixed(torch.zeros(9, 2), torch.ones(9, 2), batch=4, share=0.25)
    >>> next(iter(rows))[:, 0].tolist()
    [0.0, 0.0, 0.0, 1.0]
    """

    def __init__(self, domain: Tensor, replay: Tensor | None, batch: int,
                 share: float = 0.25, seed: int = 0):
        if not 0 <= share < 1:
            raise ValueError(
                f"replay_share is {share}; use a number from 0 on and below 1"
            )
        other = round(batch * share) if replay is not None else 0
        self.sides = [Epochs(domain, batch - other, seed)]
        if other:
            self.sides.append(Epochs(replay, other, seed))

    def __iter__(self) -> Iterator[Tensor]:
        return self.after(0)

    def after(self, step: int) -> Iterator[Tensor]:
        """The batches that follow the first `step`."""
        for parts in zip(*(side.after(step) for side in self.sides), strict=True):
            yield torch.cat(parts)


def next_token_loss(model: nn.Module, batch: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy of the next token, summed, and the number of tokens."""
    logits = model(input_ids=batch[:, :-1], use_cache=False).logits
    return token_loss(logits.float(), batch[:, 1:])


@dataclass(frozen=True)
class Phase:
    """A stretch of the training: `rows` alone learn, or everything.

    rank: where it is not 0, `all` means the rows and additions of this rank to the
    matrices of the model, the rows `faster` times as fast; see `lib.vocabulary_light`.
    """

    name: str  # rows or all
    recipe: Recipe
    rank: int = 0
    faster: float = 1.0


def phases(
    *, rows_steps: int, steps: int, batch: int, rows_rate: float, rate: float,
    accumulation: int = 1, precision: str = "no", seed: int = 0, rank: int = 0,
) -> list[Phase]:
    """The two phases; one without steps is left out.

    Only the rows: a large rate and no weight decay. All: a warm-up and a cosine to a
    tenth; where `rank` is not 0, the rows keep a rate of their own, whose peak is
    `rows_rate`.

    Raises
    ------
    ValueError
        If there are no steps at all.
    """
    shared = {"batch": batch, "accumulation": accumulation, "precision": precision,
              "seed": seed, "evaluations": 1, "weight_decay": 0.0}
    found = []
    if rows_steps:
        found.append(Phase("rows", Recipe(
            steps=rows_steps, learning_rate=rows_rate, warmup=min(5, rows_steps),
            **shared)))
    if not rows_steps and not steps:
        raise ValueError(
            "rows_steps and train_steps are both 0; give at least one of them a number"
        )
    if steps:
        found.append(Phase("all", Recipe(
            steps=steps, learning_rate=rate, warmup=max(1, steps // 20), **shared),
            rank, rows_rate / rate if rank else 1.0))
    return found


def fine_tune(
    model: nn.Module,
    ids: Sequence[int],
    batches: Any,
    plan: Sequence[Phase],
    *,
    on_step: Callable[[str, Step], None] | None = None,
    folder: Path | None = None,
    every: int | None = None,
) -> dict[str, History]:
    """Train in place, phase by phase; return the history of each.

    Parameters
    ----------
    ids
        The reassigned ids, for the phase `rows`.
    batches
        See `Mixed`; the second phase goes on where the first ended.
    plan
        See `phases`.
    on_step
        Told the name of the phase and the step after each update. `step.model` is
        what learns: the model, or a `Light` around it.
    folder
        Where checkpoints go. A run that finds some there goes on from them.
    every
        Steps from one checkpoint to the next; None: at the end of a phase.
    """
    told, done = {}, 0
    for phase in plan:
        keep = Keep(folder / phase.name, every=every) if folder else None
        hooks = [lambda step, name=phase.name: on_step(name, step)] if on_step else []
        with _learning(model, ids, phase) as learner:
            told[phase.name] = fit(
                learner, _From(batches, done), phase.recipe, loss=next_token_loss,
                on_step=hooks, name=phase.name, keep=keep, resume=keep is not None,
            )
        done += phase.recipe.steps
        if told[phase.name].interrupted:
            break
    return told


@contextmanager
def _learning(model: nn.Module, ids: Sequence[int], phase: Phase) -> Iterator[Any]:
    """What is trained; at the end of the block all of it is in the model."""
    if phase.name != "rows" and not phase.rank:
        yield model
        return
    light = Light(model, ids, rank=0 if phase.name == "rows" else phase.rank,
                  faster=phase.faster, seed=phase.recipe.seed)
    try:
        yield light
    finally:
        light.close()


class _From:
    """The batches that follow the first `done` of another's."""

    def __init__(self, batches: Any, done: int):
        self.batches, self.done = batches, done

    def __iter__(self) -> Iterator[Any]:
        return self.after(0)

    def after(self, step: int) -> Iterator[Any]:
        return self.batches.after(self.done + step)


# --- the stage ------------------------------------------------------------------------


def replay_texts(name: str) -> list[str]:
    """Paragraphs of other text: a text of `lib.data`, or a file.

    Raises
    ------
    ValueError
        If it is neither.
    """
    from lib import data
    from lib.cache import ROOT

    file = ROOT / name
    try:
        text = file.read_text("utf-8") if file.is_file() else data.text(name)
    except (data.DataError, UnicodeDecodeError, OSError) as error:
        why = str(error).rstrip(".")
        raise ValueError(
            f"replay_corpus {name!r} cannot be read ({why}); name a text of the book "
            "such as tinyshakespeare, a UTF-8 file, or none"
        ) from None
    return [part.strip() for part in text.split("\n") if len(part.strip()) > 40]


def train(options: Any, room: Any) -> dict[str, Any]:
    """The stage: fine-tune the aligned model and write it with its tokenizer.

    Under `accelerate launch` every process trains and the first writes. What a run
    that was cut off kept in `room.scratch` is gone on with.
    """
    from lib.profile import pick_device
    from lib.stages import TREE, StageError, command
    from lib.vocabulary_align import load_model, load_rows
    from lib.vocabulary_corpus import cleaned
    from lib.vocabulary_original import original_model, read_tokenizer

    try:
        plan = phases(
            rows_steps=options.rows_steps, steps=options.train_steps,
            batch=options.batch_size, rows_rate=options.rows_learning_rate,
            rate=options.learning_rate, seed=options.seed,
            accumulation=options.gradient_accumulation_steps,
            precision=options.mixed_precision,
        )
        tokenizer = read_tokenizer(room.root, TREE.REMAPPED, "remap")
        rows = sum(phase.recipe.steps for phase in plan) * options.batch_size
        domain, held = split(cleaned(room.root), options.held_out_documents)
        aside, other = HeldOut(held), HeldOut(held)
        domain = _windows("the corpora", tokenizer, aside, domain, options, rows)
        replay = None
        if options.replay_corpus != "none":
            name = options.replay_corpus
            replay = _windows(f"replay_corpus {name!r}", tokenizer, other,
                              replay_texts(name), options, rows)
        batches = Mixed(domain, replay, options.batch_size, options.replay_share,
                        options.seed)
    except ValueError as error:
        raise StageError(str(error)) from None
    model = load_model(original_model(room.root))
    ids = load_rows(model, room.root / TREE.EMBEDDINGS)
    model.to(pick_device(options.device))

    def measured() -> Bits:
        try:
            check_context(model, options.context)
            return bits_per_byte(model, tokenizer, held, context=options.context)
        except ValueError as error:
            raise StageError(str(error)) from None

    bits = [measured()]
    log = room.scratch / "log.jsonl"

    def note(phase: str, step: Step) -> None:
        with log.open("a", encoding="utf-8") as file:
            file.write("\n" + json.dumps(_line(phase, step)))  # after a cut-off line

    try:
        told = fine_tune(model, ids, batches, plan, folder=room.scratch,
                         every=options.save_every, on_step=note)
    except Diverged as error:
        room.clear()  # nothing to go on with
        raise StageError(
            f"the training diverged: at step {error.step} of the phase {error.run} the "
            f"{error.what}; lower rows_learning_rate ({options.rows_learning_rate}) or "
            f"learning_rate ({options.learning_rate}) and run {command('train')}"
        ) from None
    if any(history.interrupted for history in told.values()):
        raise StageError(
            f"the training was interrupted and is kept; {command('train')} with the "
            "same options goes on with it"
        )
    bits.append(measured())
    results = {
        "steps": sum(phase.recipe.steps for phase in plan),
        "tokens": rows * options.context, "bits_aligned": bits[0].per_byte,
        "bits_trained": bits[1].per_byte, "held_out_bytes": bits[0].bytes,
        "domain_left_out": aside.lines, "replay_left_out": other.lines,
    }
    if room.first:
        _write(model, tokenizer, _lines(log), room, results)
    return results


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


def _write(model: nn.Module, tokenizer: Tokenizer, log: list[dict], room: Any,
           results: dict) -> None:
    """Put the model, its tokenizer and the log into one folder."""
    from lib.stages import TREE
    from lib.vocabulary_original import write_tokenizer

    folder = room.make(TREE.TRAINING)
    folder.mkdir()
    with quiet():
        model.cpu().save_pretrained(folder)
    write_tokenizer(tokenizer, folder, room.root)
    lines = "".join(json.dumps(line) + "\n" for line in log)
    (folder / "training_log.jsonl").write_text(lines, "utf-8")
    told = json.dumps(results, indent=1)
    (folder / "training.json").write_text(told + "\n", "utf-8")


def _line(phase: str, step: Step) -> dict[str, Any]:
    return {"phase": phase, "step": step.step, "loss": round(float(step.loss), 6),
            "grad_norm": round(float(step.grad_norm), 4), "learning_rate": step.lr}
