"""What a reassigned vocabulary is worth: bits per byte before, between and after.

    python -m benchmarks.ivr                    all of it
    python -m benchmarks.ivr --parts align      the strategies only
    python -m benchmarks.ivr --steps 20 --pieces 200 --out /tmp/ivr.jsonl

SmolLM2-135M gets pieces for Korean film reviews. `align`: every strategy, with the new
rows in the input table only, in the output table only, and in both. `train`: the
swapped model and the untouched one, fine-tuned on as many tokens: some rows of the
table, at a rate of their own, and additions of low rank to the matrices. The untouched
one learns as many rows, those of the tokens that its domain uses most. With --validate
other documents are measured, for choosing numbers by. Each measurement is a line of
benchmarks/results/ivr.jsonl, written when it is done; what stands there with the same
settings is not measured again. See benchmarks/README.md.
"""

import argparse
import dataclasses
import datetime
import heapq
import importlib
import inspect
import json
import math
import random
import sched
import shlex
import statistics
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer

from lib import data
from lib.data.mixture import gather
from lib.data.tokenizer_files import load_tokenizer
from lib.vocabulary.bits_per_byte import bits_per_byte
from lib.vocabulary.realign import make_rows
from lib.vocabulary.rows import (
    STRATEGIES,
    load_model,
    put_rows,
    reassigned,
    untie,
)
from lib.vocabulary.small import small_swap
from lib.vocabulary.tune import Mixed, fine_tune, most_used, phases, windows

RESULTS = Path(__file__).parent / "results" / "ivr.jsonl"
#: Modules of the standard library whose source is the code of the measurement, and of
#: the one that numbers are chosen by.
CODE = {False: (textwrap, statistics, random, argparse, inspect, json),
        True: (dataclasses, heapq, sched, shlex)}
#: Others, whose source is read and replayed beside the prose.
REPLAYED = (
    "ast", "calendar", "collections", "csv", "datetime", "difflib", "doctest",
    "fractions", "functools", "http.client", "ipaddress", "locale", "logging", "os",
    "pathlib", "pickle", "shutil", "socket", "string", "subprocess", "tarfile",
    "threading", "tokenize", "traceback", "typing", "uuid", "warnings", "zipfile",
)


def paragraphs(name: str, size: int) -> list[str]:
    """The long lines of an English text, cut to `size` characters."""
    lines = (line.strip() for line in data.text(name).splitlines())
    return [line[:size] for line in lines if len(line) > 200]


def code(modules, count: int, size: int) -> list[str]:
    """Pieces of Python source."""
    found = []
    for module in modules:
        source = inspect.getsource(module)
        found += [source[i:i + size] for i in range(0, len(source) - size, 3 * size)]
    return found[::max(1, len(found) // count)][:count]


def parted(lines: list[str]) -> tuple[list[str], list[str]]:
    """Korean text to learn from, and the lines at its end that are kept from it."""
    cut = len(lines) - min(4000, len(lines) // 3)
    return lines[:cut], lines[cut:]


def texts(documents: int, validate: bool, judged: str = "nsmc_valid"
          ) -> dict[str, list[str]]:
    """The documents of the measurement, by kind; none of them is trained on.

    Prose and code are kinds that are replayed; the plays are not. judged: where the
    documents of the domain come from, `nsmc_valid` or the end of `korean`.
    """
    if judged == "korean":
        reviews = parted(data.text("korean").splitlines())[1]
    else:
        lines = data.path("nsmc_valid").read_text("utf-8").splitlines()
        reviews = [json.loads(line)["review"] for line in lines]
    reviews = [review for review in reviews if review.strip()]
    prose = paragraphs("wikitext2_valid", 600)
    plays = data.text("tinyshakespeare")
    plays = [plays[i:i + 600] for i in range(0, len(plays), 600)]
    start, count = (1, 10) if validate else (0, 10)
    return {
        "domain": reviews[-documents:] if validate else reviews[:documents],
        "prose": prose[start::len(prose) // count][:count],
        "code": code(CODE[validate], count, 600),
        "plays": plays[start::len(plays) // 6][:6],
    }


def replayed() -> list[str]:
    """Prose and code, by turns."""
    parts = []
    for name in REPLAYED:
        source = inspect.getsource(importlib.import_module(name))
        parts += [source[i:i + 1500] for i in range(0, len(source), 1500)]
    random.Random(0).shuffle(parts)
    prose = paragraphs("wikitext2_test", 2000)
    return [text for pair in zip(prose, parts, strict=False) for text in pair]


def _none(value) -> bool:
    return isinstance(value, float) and math.isnan(value)


class Bench:
    """The model, the tokenizers, the documents, and the file of results."""

    def __init__(self, given: argparse.Namespace):
        self.given = given
        self.place = str(data.path("smollm2"))
        self.original = load_tokenizer(f"{self.place}/tokenizer.json")
        self.reviews = data.text("korean").splitlines()
        self.replay = replayed()
        found, _ = gather(int(given.general * 1e6))
        self.unigram, self.remapped = small_swap(
            self.original, self.reviews[:given.distill], self.replay, given.pieces,
            general=[d.text for d in found if d.kind != "korean"], layer=True)
        self.ids = reassigned(self.original, self.remapped).ids
        self.texts = texts(given.documents, given.validate)
        self.settings = {
            "pieces": len(self.ids), "documents": given.documents,
            "general": given.general, "precision": given.precision, "seed": given.seed,
        } | ({"validate": True} if given.validate else {})
        self.done = self._read()

    def _read(self) -> list[dict]:
        if not self.given.out.exists():
            return []
        lines = self.given.out.read_text("utf-8").splitlines()
        return [json.loads(line) for line in lines]

    def has(self, **named) -> bool:
        """Whether a row with these settings is there."""
        wanted = self.settings | named
        return any(wanted.items() <= row.items() for row in self.done)

    def write(self, began: float, **row) -> None:
        """Add a row to the file; a number that is none, after a divergence, is null."""
        row = {key: None if _none(value) else value for key, value in row.items()}
        row = self.settings | row | {
            "seconds": round(time.perf_counter() - began, 1),
            "threads": torch.get_num_threads(), "device": self.given.device,
            "torch": torch.__version__,
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        }
        self.done.append(row)
        self.given.out.parent.mkdir(parents=True, exist_ok=True)
        with self.given.out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row), file=sys.stderr)

    def model(self) -> Any:
        """The model as it was published, in the precision of the measurement."""
        model = load_model(self.place).to(self.given.device)
        if self.given.precision == "bf16":
            model.to(torch.bfloat16)
        if self.given.device == "cpu":  # short windows: the faster of the two there
            model.set_attn_implementation("eager")
        return model

    def bits(self, model, tokenizer: Tokenizer) -> dict[str, float]:
        """Bits per byte of each kind, and the tokens of the domain."""
        found = {}
        for kind, documents in self.texts.items():
            with self.autocast():
                told = bits_per_byte(model, tokenizer, documents, tokens=2048)
            found[kind] = round(told.per_byte, 5)
            if kind == "domain":
                found |= {"domain_tokens": told.tokens, "domain_bytes": told.bytes}
        return found

    def autocast(self):
        """The precision of everything that is measured or trained."""
        return torch.autocast(self.given.device, dtype=torch.bfloat16,
                              enabled=self.given.precision == "bf16")


def before(bench: Bench) -> None:
    """The model with its own tokenizer, with the Unigram, and with rows not made."""
    tokenizers = {"original": bench.original, "distilled": bench.unigram,
                  "rows not made": bench.remapped}
    model = None
    for name, tokenizer in tokenizers.items():
        if bench.has(part="before", name=name):
            continue
        model, began = model or bench.model(), time.perf_counter()
        bench.write(began, part="before", name=name, **bench.bits(model, tokenizer))


def align(bench: Bench) -> None:
    """Every strategy: input rows only, output rows only, both, and one table."""
    for own in (False, True):
        model = bench.model()
        if own:
            untie(model)
        old = [module.weight[bench.ids].detach().clone() for module in
               (model.get_input_embeddings(), model.get_output_embeddings())]
        for strategy in STRATEGIES:
            sides = ("input", "output", "both") if own else ("one table",)
            sides = [side for side in sides if not bench.has(
                part="align", strategy=strategy, rows=side)]
            if not sides:
                continue
            began = time.perf_counter()
            put_rows(model, bench.ids, old[0], old[1] if own else None)
            with bench.autocast():
                rows = make_rows(model, bench.original, bench.remapped, strategy,
                                 texts=mixed(bench), seed=bench.given.seed)
            for side in sides:
                put_rows(model, bench.ids,
                         old[0] if side == "output" else rows.wte,
                         None if not own else
                         old[1] if side == "input" else rows.lm_head)
                bench.write(began, part="align", strategy=strategy, rows=side,
                            **bench.bits(model, bench.remapped))
                began = time.perf_counter()


def mixed(bench: Bench) -> list[str]:
    """What `hidden_states` reads: reviews, and some prose to leave alone."""
    count = bench.given.read
    return [*bench.reviews[:count],
            *(text[:600] for text in bench.replay[:count // 12])]


class Curve:
    """Measures the model again and again while it is trained."""

    def __init__(self, bench: Bench, tokenizer: Tokenizer, began: float, steps: int,
                 reading: int, about: dict):
        self.bench, self.tokenizer, self.began = bench, tokenizer, began
        self.steps, self.reading, self.about = steps, reading, about
        self.every, self.losses = max(1, steps // bench.given.points), []

    def __call__(self, phase: str, step) -> None:
        self.losses.append(float(step.loss))
        at = len(self.losses)
        if at == self.steps or (at % self.every == 0
                                and at + self.every // 2 < self.steps):
            self.point(step.model, at, phase=phase,
                       loss=round(statistics.mean(self.losses[-self.every:]), 4))

    def point(self, model, at: int, **more) -> None:
        """Write how the model is now; tokens are those of training and of reading."""
        given = self.bench.given
        tokens = at * given.batch * given.context + self.reading
        self.bench.write(self.began, **self.about, step=at, tokens=tokens,
                         last=at == self.steps, **more,
                         **self.bench.bits(model, self.tokenizer))


def train(bench: Bench) -> None:
    """Fine-tune on equally many tokens: swapped by strategy, and as it was.

    What `hidden_states` read before is taken off its steps: a token that is read
    without a pass back counts as a third of one that is trained on.
    """
    given = bench.given
    budget = {"steps": given.steps, "rows_steps": given.rows_steps,
              "batch": given.batch, "context": given.context, "rate": given.rate,
              "rows_rate": given.rows_rate, "share": given.share, "rank": given.rank}
    for name in given.models:
        if bench.has(part="train", name=name, last=True, **budget):
            continue
        began, model = time.perf_counter(), bench.model()
        steps, reading = given.steps, 0
        tokenizer, rows_steps = bench.original, 0
        ids = most_used(tokenizer, bench.reviews[:5000], len(bench.ids))
        rows_rate = given.rate  # its rows are not new
        if name != "unswapped":
            tokenizer, rows_steps = bench.remapped, given.rows_steps
            ids, rows_rate = bench.ids, given.rows_rate
            with bench.autocast():
                rows = make_rows(model, bench.original, bench.remapped, name,
                                 texts=mixed(bench), seed=given.seed)
            put_rows(model, bench.ids, rows.wte, rows.lm_head)
            reading = rows.about.get("read", 0) // 3
            steps -= round(reading / given.batch / given.context)
        plan = phases(rows_steps=rows_steps, steps=steps - rows_steps,
                      batch=given.batch, rows_rate=rows_rate, rate=given.rate,
                      precision=given.precision, seed=given.seed, rank=given.rank)
        need = given.steps * given.batch
        batches = Mixed(windows(tokenizer, bench.reviews, given.context, need),
                        windows(tokenizer, bench.replay, given.context, need),
                        given.batch, given.share, given.seed)
        curve = Curve(bench, tokenizer, began, steps, reading,
                      {"part": "train", "name": name, **budget})
        curve.point(model, 0)
        fine_tune(model, ids, batches, plan, on_step=curve)


PARTS = {"before": before, "align": align, "train": train}


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark: 0 measured, 2 wrong use."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.ivr", description=str(__doc__).splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--models", nargs="+", choices=("unswapped", *STRATEGIES),
                        default=["unswapped", "constituents", "hidden_states"],
                        help="to train")
    parser.add_argument("--pieces", type=int, default=400, help="reassigned ids")
    parser.add_argument("--distill", type=int, default=20_000, help="reviews")
    parser.add_argument("--general", type=float, default=60.0,
                        help="MB of other text that the distillation reads as well")
    parser.add_argument("--read", type=int, default=100, help="by hidden_states")
    parser.add_argument("--documents", type=int, default=260, help="to measure on")
    parser.add_argument("--steps", type=int, default=512, help="updates of each run")
    parser.add_argument("--rows-steps", type=int, default=0, help="of them rows only")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--context", type=int, default=64)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--rows-rate", type=float, default=5e-3)
    parser.add_argument("--share", type=float, default=0.25, help="of replay")
    parser.add_argument("--rank", type=int, default=16, help="of the additions")
    parser.add_argument("--validate", action="store_true",
                        help="measure on other documents than the published ones")
    parser.add_argument("--points", type=int, default=4, help="of the curve")
    parser.add_argument("--precision", choices=("no", "bf16"), default="bf16")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS)
    bench = Bench(parser.parse_args(arguments))
    for part in bench.given.parts:
        PARTS[part](bench)
    return 0


if __name__ == "__main__":
    sys.exit(main())
